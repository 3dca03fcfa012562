-- The publication file: every level shown, after disclosure control.
-- Grain: one row per measure, breakdown and level shown. Keys: MEASURE_ID, BREAKDOWN, PRIMARY_LEVEL.
SELECT
    getvariable('period_start') AS REPORTING_PERIOD_START,
    getvariable('period_end') AS REPORTING_PERIOD_END,
    getvariable('status') AS STATUS,
    breakdown.name AS BREAKDOWN,
    disclosed.level AS PRIMARY_LEVEL,
    disclosed.description AS PRIMARY_LEVEL_DESCRIPTION,
    'NONE' AS SECONDARY_LEVEL,
    'NONE' AS SECONDARY_LEVEL_DESCRIPTION,
    measure.measure_id AS MEASURE_ID,
    measure.title AS MEASURE_NAME,
    disclosed.published AS MEASURE_VALUE
FROM disclosed
INNER JOIN measure ON measure.measure_id = disclosed.measure_id
INNER JOIN breakdown ON breakdown.breakdown = disclosed.breakdown
WHERE disclosed.disclosure <> 'not evaluated'
ORDER BY REPORTING_PERIOD_START, REPORTING_PERIOD_END, STATUS, BREAKDOWN, PRIMARY_LEVEL, SECONDARY_LEVEL, MEASURE_ID
