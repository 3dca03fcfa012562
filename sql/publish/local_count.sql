-- What a local release may show of every measure: counts below five hidden, the others to the nearest five, totals and denominators too, and
-- more hidden where those would give one away. A provider that sent nothing in the period is 'not submitted', which is neither nought nor hidden.
-- A mean shows no numerator, and its value over the rounded number of those it is over, where that may be shown; a median where both counts may.
-- Grain: one row per measure, period, breakdown, level and level name. Keys: measure_id, period_start, period_end, breakdown, level, level_name.
WITH period AS (
    SELECT DISTINCT counted.measure_id, measure.denominator, counted.period_start, counted.period_end, measure_breakdown.breakdown
    FROM counted
    INNER JOIN measure
        ON measure.measure_id = counted.measure_id
        AND measure.from_returns
    INNER JOIN measure_breakdown
        ON measure_breakdown.measure_id = counted.measure_id
        AND measure_breakdown.evaluated
    INNER JOIN breakdown
        ON breakdown.breakdown = measure_breakdown.breakdown
        AND breakdown.name = 'Provider'
),
held AS (
    SELECT * EXCLUDE (variant, disclosure, value_as_published), true AS sent
    FROM counted

    UNION ALL BY NAME

    -- What a publication shows although nobody falls into it.
    SELECT
        measure_id, getvariable('period_start') AS period_start, getvariable('period_end') AS period_end, breakdown, level,
        description AS level_name, 0 AS numerator, denominator, true AS sent
    FROM result
    WHERE evaluated AND shown AND numerator IS NULL
),
sender AS (
    SELECT
        period.measure_id, period.denominator, period.period_start, period.period_end, period.breakdown, submission.OrgIDProv AS level,
        bool_or(submission.ReportingPeriodEndDate BETWEEN period.period_start AND period.period_end) AS sent
    FROM period
    CROSS JOIN submission
    GROUP BY ALL
),
level_row AS (
    FROM held

    UNION ALL BY NAME

    SELECT
        measure_id, period_start, period_end, breakdown, level, provider.Name AS level_name, sent,
        CASE WHEN sent THEN 0 END AS numerator,
        CASE WHEN sent AND denominator IS NOT NULL THEN 0 END AS denominator
    FROM sender
    LEFT JOIN provider ON provider.OrgIDProvider = sender.level
    ANTI JOIN held
        ON held.measure_id = sender.measure_id
        AND held.period_start = sender.period_start
        AND held.period_end = sender.period_end
        AND held.breakdown = sender.breakdown
        AND held.level = sender.level
),
judged AS (
    SELECT
        level_row.*,
        shown.kind,
        shown.numerator_quantity IS NULL AS without_numerator,
        shown.denominator_quantity IS NULL AS public_denominator,
        coalesce(above.state, 'zero') AS numerator_state,
        coalesce(below.state, 'zero') AS denominator_state
    FROM level_row
    INNER JOIN measure_quantity AS shown
        ON shown.measure_id = level_row.measure_id
        AND shown.breakdown = level_row.breakdown
    LEFT JOIN cell_state AS above
        ON above.family = shown.family
        AND above.quantity = shown.numerator_quantity
        AND above.period_start = level_row.period_start
        AND above.period_end = level_row.period_end
        AND above.breakdown = level_row.breakdown
        AND above.level = level_row.level
        AND above.level_name IS NOT DISTINCT FROM level_row.level_name
    LEFT JOIN cell_state AS below
        ON below.family = shown.family
        AND below.quantity = shown.denominator_quantity
        AND below.period_start = level_row.period_start
        AND below.period_end = level_row.period_end
        AND below.breakdown = level_row.breakdown
        AND below.level = level_row.level
        AND below.level_name IS NOT DISTINCT FROM level_row.level_name
),
decided AS (
    SELECT
        *,
        CASE
            WHEN NOT sent THEN 'not submitted'
            WHEN 'suppressed' IN (numerator_state, denominator_state) THEN 'suppressed'
            WHEN 'secondary' IN (numerator_state, denominator_state) THEN 'secondary'
            WHEN without_numerator THEN denominator_state
            ELSE numerator_state
        END AS disclosure
    FROM judged
)
SELECT
    'local' AS variant,
    measure_id,
    period_start,
    period_end,
    breakdown,
    level,
    level_name,
    CASE WHEN NOT without_numerator AND numerator_state IN ('zero', 'rounded')
        THEN (numerator + getvariable('rounding_base') // 2) // getvariable('rounding_base') * getvariable('rounding_base') END AS numerator,
    CASE
        WHEN public_denominator THEN denominator
        WHEN denominator_state IN ('zero', 'rounded')
            THEN (denominator + getvariable('rounding_base') // 2) // getvariable('rounding_base') * getvariable('rounding_base')
    END AS denominator,
    CASE WHEN disclosure = 'rounded' THEN median END AS median,
    CASE WHEN disclosure = 'rounded' THEN median_lower END AS median_lower,
    CASE WHEN disclosure = 'rounded' THEN median_upper END AS median_upper,
    -- Over those shown, not those there are: what is added up, such as funding, may be known elsewhere and would give the exact number away.
    CASE
        WHEN without_numerator AND disclosure = 'rounded' AND denominator > 0
            THEN numerator / ((denominator + getvariable('rounding_base') // 2) // getvariable('rounding_base') * getvariable('rounding_base'))
    END AS mean,
    disclosure
FROM decided
