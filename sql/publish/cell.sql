-- Everything countable that a measure shows as numerator or denominator, once each: what disclosure control decides about.
-- Populations are public and what a mean adds up is no count of anybody, so neither is here. Two more kinds of cell are in no release of this month:
--   earlier   last month's rolling count, which was released with that month
--   unseen    everybody in the rolling count of either month, which ties the two to those who entered and left
-- Grain: one row per family, quantity, period, breakdown, level and level name. Keys: cell.
WITH amount AS (
    SELECT
        'mhs116' AS family, 'referrals' AS quantity, getvariable('period_start') AS period_start, getvariable('period_end') AS period_end,
        breakdown, level, description AS level_name, any_value(numerator) AS amount
    FROM result
    WHERE evaluated AND numerator IS NOT NULL
    GROUP BY breakdown, level, description

    UNION ALL

    SELECT
        'dashboard' AS family, quantity, date_trunc('month', ReportingPeriodEndDate)::DATE AS period_start, ReportingPeriodEndDate AS period_end,
        breakdown, level, level_name, CAST(amount AS BIGINT) AS amount
    FROM dashboard_quantity

    UNION ALL

    SELECT family, quantity, period_start, period_end, breakdown, level, CAST(NULL AS VARCHAR) AS level_name, amount
    FROM evidence_count

    UNION ALL

    SELECT family, quantity, period_start, period_end, breakdown, level, CAST(NULL AS VARCHAR) AS level_name, events AS amount
    FROM survival

    UNION ALL

    SELECT
        family, quantity || ' waiting' AS quantity, period_start, period_end, breakdown, level, CAST(NULL AS VARCHAR) AS level_name,
        units AS amount
    FROM survival
),
shown AS (
    SELECT *, false AS earlier, false AS unseen
    FROM amount
    SEMI JOIN measure_quantity
        ON measure_quantity.family = amount.family
        AND measure_quantity.breakdown = amount.breakdown
        AND amount.quantity IN (measure_quantity.numerator_quantity, measure_quantity.denominator_quantity)
    WHERE amount.amount IS NOT NULL
),
moved AS (
    SELECT
        shown.family, shown.period_start, shown.period_end, shown.breakdown, shown.level, shown.level_name, balance.now AS quantity,
        coalesce(max(shown.amount) FILTER (WHERE shown.quantity = balance.now), 0) AS now,
        coalesce(max(shown.amount) FILTER (WHERE shown.quantity = balance.entered), 0) AS entered,
        coalesce(max(shown.amount) FILTER (WHERE shown.quantity = balance.left), 0) AS gone
    FROM shown
    INNER JOIN quantity_balance AS balance
        ON balance.family = shown.family
        AND shown.quantity IN (balance.now, balance.entered, balance.left)
    -- Without the month before nobody is said to have entered or left.
    SEMI JOIN measure_quantity
        ON measure_quantity.family = balance.family
        AND measure_quantity.numerator_quantity = balance.entered
        AND measure_quantity.breakdown = shown.breakdown
    GROUP BY ALL
),
held AS (
    FROM shown

    UNION ALL BY NAME

    SELECT * EXCLUDE (now, entered, gone) REPLACE (quantity || ' last month' AS quantity), now - entered + gone AS amount, true AS earlier,
        false AS unseen
    FROM moved
    WHERE now + gone >= entered

    UNION ALL BY NAME

    SELECT * EXCLUDE (now, entered, gone) REPLACE (quantity || ' in either month' AS quantity), now + gone AS amount, false AS earlier,
        true AS unseen
    FROM moved
    WHERE now + gone >= entered
)
SELECT
    row_number() OVER (ORDER BY family, quantity, period_end, period_start, breakdown, level, level_name) - 1 AS cell,
    *
FROM held
