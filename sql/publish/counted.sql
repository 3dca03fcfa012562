-- Every measure as counted, in one form: numerator, denominator, for a median the days, and for MHS116 the value as the published code reckons it.
-- Grain: one row per measure, period, breakdown, level, level name and variant. Keys: measure_id, period_end, breakdown, level, level_name, variant.
SELECT
    'unsuppressed' AS variant, measure_id, getvariable('period_start') AS period_start, getvariable('period_end') AS period_end,
    breakdown, level, description AS level_name, numerator, denominator,
    CAST(NULL AS INTEGER) AS median, CAST(NULL AS INTEGER) AS median_lower, CAST(NULL AS INTEGER) AS median_upper,
    value AS value_as_published, 'exact' AS disclosure
FROM result
WHERE evaluated AND numerator IS NOT NULL

UNION ALL BY NAME

SELECT
    'unsuppressed' AS variant, measure_id, date_trunc('month', ReportingPeriodEndDate)::DATE AS period_start, ReportingPeriodEndDate AS period_end,
    breakdown, level, level_name, numerator, denominator, 'exact' AS disclosure
FROM dashboard_result

UNION ALL BY NAME

SELECT 'unsuppressed' AS variant, *, 'exact' AS disclosure
FROM evidence_result

UNION ALL BY NAME

-- What found nobody at all is nothing over nothing: it was evaluated, and a quotient has no value.
SELECT
    'unsuppressed' AS variant, measure.measure_id, getvariable('period_start') AS period_start, getvariable('period_end') AS period_end,
    'by_all' AS breakdown, 'All' AS level, 0 AS numerator,
    CASE WHEN measure.kind = 'median' OR measure.denominator IS NOT NULL THEN 0 END AS denominator,
    'exact' AS disclosure
FROM measure
SEMI JOIN measure_breakdown
    ON measure_breakdown.measure_id = measure.measure_id
    AND measure_breakdown.breakdown = 'by_all'
    AND measure_breakdown.evaluated
ANTI JOIN evidence_result ON evidence_result.measure_id = measure.measure_id
