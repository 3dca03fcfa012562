-- The unsuppressed publication file: every level with a referral, whether or not the final file shows it, as 32-bit numbers.
-- Grain: one row per measure, breakdown and level found. Keys: MEASURE_ID, BREAKDOWN, PRIMARY_LEVEL.
SELECT
    getvariable('period_start') AS REPORTING_PERIOD_START,
    getvariable('period_end') AS REPORTING_PERIOD_END,
    getvariable('status') AS STATUS,
    breakdown.name AS BREAKDOWN,
    result.level AS PRIMARY_LEVEL,
    result.description AS PRIMARY_LEVEL_DESCRIPTION,
    'NONE' AS SECONDARY_LEVEL,
    'NONE' AS SECONDARY_LEVEL_DESCRIPTION,
    measure.measure_id AS MEASURE_ID,
    measure.title AS MEASURE_NAME,
    CAST(CAST(result.value AS FLOAT) AS DOUBLE) AS MEASURE_VALUE
FROM result
INNER JOIN measure ON measure.measure_id = result.measure_id
INNER JOIN breakdown ON breakdown.breakdown = result.breakdown
WHERE result.numerator IS NOT NULL AND result.evaluated
ORDER BY REPORTING_PERIOD_START, REPORTING_PERIOD_END, STATUS, BREAKDOWN, PRIMARY_LEVEL, SECONDARY_LEVEL, MEASURE_ID
