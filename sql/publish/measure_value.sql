-- Every measure in one long table: what was counted, over what, how it was disclosed, and by which version of its definition.
-- variant 'unsuppressed' holds the exact value, 'published' what NHS England would show, and 'local' what a local release may show; what lacks
-- reference data has one row without values.
-- Grain: one row per measure, period, breakdown, level, level name and variant. Keys: measure_id, both ends of period, breakdown, level, variant.
WITH value AS (
    SELECT
        *,
        CASE
            WHEN variant <> 'local' OR disclosure = 'not submitted' THEN NULL
            WHEN disclosure IN ('suppressed', 'secondary') THEN '*'
            WHEN denominator IS NULL THEN CAST(CAST(value AS BIGINT) AS VARCHAR)
            ELSE CAST(round(value, 4) AS VARCHAR)
        END AS published
    FROM statistic

    UNION ALL BY NAME

    SELECT
        *,
        CASE
            WHEN variant <> 'local' THEN NULL
            WHEN disclosure IN ('suppressed', 'secondary') THEN '*'
            ELSE CAST(round(value, 4) AS VARCHAR)
        END AS published
    FROM trial_comparison

    UNION ALL BY NAME

    SELECT
        measure_id, breakdown, level, description AS level_name,
        getvariable('period_start') AS period_start, getvariable('period_end') AS period_end,
        'published' AS variant, CASE WHEN disclosure = 'exact' THEN numerator END AS numerator, denominator,
        TRY_CAST(published AS DOUBLE) AS value, published, disclosure
    FROM disclosed
    WHERE disclosure <> 'not evaluated'

    UNION ALL BY NAME

    SELECT
        measure_id, breakdown,
        getvariable('period_start') AS period_start, getvariable('period_end') AS period_end,
        'unsuppressed' AS variant, 'not evaluated' AS disclosure
    FROM measure_breakdown
    WHERE NOT evaluated
)
SELECT
    measure.family,
    value.measure_id,
    measure.title AS measure_name,
    measure.version AS definition_version,
    value.period_start,
    value.period_end,
    getvariable('status') AS status,
    breakdown.name AS breakdown,
    value.level,
    value.level_name,
    value.variant,
    value.numerator,
    value.denominator,
    value.value,
    value.published,
    value.disclosure,
    value.lower,
    value.upper,
    value.ratio,
    value.ratio_lower,
    value.ratio_upper,
    value.limit_lower_95,
    value.limit_upper_95,
    value.limit_lower_998,
    value.limit_upper_998,
    value.reliability,
    measure.unit,
    measure.kind
FROM value
INNER JOIN measure ON measure.measure_id = value.measure_id
INNER JOIN breakdown ON breakdown.breakdown = value.breakdown
ORDER BY measure.family, value.measure_id, value.period_end, value.period_start, value.breakdown, value.level, value.level_name, value.variant
