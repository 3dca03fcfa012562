-- The dashboard's measures with their denominators, in long form. Levels where both are nothing are left out.
-- Grain: one row per measure, month, breakdown, level and level name. Keys: measure_id, UniqMonthID, breakdown, level, level_name.
WITH quantity AS (
    UNPIVOT dashboard_count
    ON COLUMNS(* EXCLUDE (UniqMonthID, ReportingPeriodEndDate, FinancialYear, breakdown, level, level_name))
    INTO NAME quantity VALUE amount
)
SELECT
    measure.measure_id,
    value.UniqMonthID,
    value.ReportingPeriodEndDate,
    value.FinancialYear,
    value.breakdown,
    value.level,
    value.level_name,
    CAST(value.amount AS BIGINT) AS numerator,
    CAST(whole.amount AS BIGINT) AS denominator
FROM quantity AS value
INNER JOIN measure
    ON measure.family = 'dashboard'
    AND measure.measure_id = value.quantity
INNER JOIN measure_breakdown
    ON measure_breakdown.measure_id = measure.measure_id
    AND measure_breakdown.breakdown = value.breakdown
    AND measure_breakdown.evaluated
LEFT JOIN quantity AS whole
    ON whole.quantity = measure.denominator
    AND whole.UniqMonthID = value.UniqMonthID
    AND whole.breakdown = value.breakdown
    AND whole.level = value.level
    AND whole.level_name IS NOT DISTINCT FROM value.level_name
WHERE value.amount <> 0 OR coalesce(whole.amount, 0) <> 0
