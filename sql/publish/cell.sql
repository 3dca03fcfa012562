-- Everything countable that a measure shows as numerator or denominator, once each: what disclosure control decides about.
-- Populations are public and what a mean adds up is no count of anybody, so neither is here.
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
)
SELECT
    row_number() OVER (ORDER BY amount.family, quantity, period_end, amount.breakdown, level, level_name) - 1 AS cell,
    amount.*
FROM amount
SEMI JOIN measure_quantity
    ON measure_quantity.family = amount.family
    AND measure_quantity.breakdown = amount.breakdown
    AND amount.quantity IN (measure_quantity.numerator_quantity, measure_quantity.denominator_quantity)
WHERE amount.amount IS NOT NULL
