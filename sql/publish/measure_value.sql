-- Every measure in one long table: what was counted, over what, how it was disclosed, and by which version of its definition.
-- variant 'unsuppressed' holds the exact value and 'published' what may be shown; a measure that lacks reference data has one row without values.
-- Grain: one row per measure, period, breakdown, level, level name and variant. Keys: measure_id, period_end, breakdown, level, level_name, variant.
WITH value AS (
    SELECT
        measure_id, breakdown, level, description AS level_name,
        getvariable('period_start') AS period_start, getvariable('period_end') AS period_end,
        'unsuppressed' AS variant, numerator, denominator, value, CAST(NULL AS VARCHAR) AS published, 'exact' AS disclosure
    FROM result
    WHERE evaluated AND numerator IS NOT NULL

    UNION ALL

    SELECT
        measure_id, breakdown, level, description AS level_name,
        getvariable('period_start') AS period_start, getvariable('period_end') AS period_end,
        'published' AS variant, CASE WHEN disclosure = 'exact' THEN numerator END AS numerator, denominator,
        TRY_CAST(published AS DOUBLE) AS value, published, disclosure
    FROM disclosed
    WHERE disclosure <> 'not evaluated'

    UNION ALL

    SELECT
        dashboard_result.measure_id, dashboard_result.breakdown, dashboard_result.level, dashboard_result.level_name,
        date_trunc('month', dashboard_result.ReportingPeriodEndDate)::DATE AS period_start, dashboard_result.ReportingPeriodEndDate AS period_end,
        'unsuppressed' AS variant, dashboard_result.numerator, dashboard_result.denominator,
        CASE
            WHEN measure.denominator IS NULL THEN CAST(dashboard_result.numerator AS DOUBLE)
            WHEN dashboard_result.denominator > 0 THEN dashboard_result.numerator / dashboard_result.denominator
        END AS value,
        CAST(NULL AS VARCHAR) AS published, 'exact' AS disclosure
    FROM dashboard_result
    INNER JOIN measure ON measure.measure_id = dashboard_result.measure_id

    UNION ALL

    SELECT
        measure_id, breakdown, level, CAST(NULL AS VARCHAR) AS level_name, period_start, period_end,
        'unsuppressed' AS variant, numerator, denominator, CAST(value AS DOUBLE) AS value, CAST(NULL AS VARCHAR) AS published, 'exact' AS disclosure
    FROM evidence_result

    UNION ALL

    SELECT
        measure_id, breakdown, CAST(NULL AS VARCHAR) AS level, CAST(NULL AS VARCHAR) AS level_name,
        getvariable('period_start') AS period_start, getvariable('period_end') AS period_end,
        'unsuppressed' AS variant, CAST(NULL AS BIGINT) AS numerator, CAST(NULL AS BIGINT) AS denominator, CAST(NULL AS DOUBLE) AS value,
        CAST(NULL AS VARCHAR) AS published, 'not evaluated' AS disclosure
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
    value.disclosure
FROM value
INNER JOIN measure ON measure.measure_id = value.measure_id
INNER JOIN breakdown ON breakdown.breakdown = value.breakdown
ORDER BY measure.family, value.measure_id, value.period_end, value.breakdown, value.level, value.level_name, value.variant
