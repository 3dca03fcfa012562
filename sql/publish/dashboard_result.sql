-- The dashboard's measures with their denominators, in long form. Levels where both are nothing are left out.
-- Grain: one row per measure, month, breakdown, level and level name. Keys: measure_id, UniqMonthID, breakdown, level, level_name.
WITH value AS MATERIALIZED (
    SELECT
        quantity.*,
        measure.measure_id,
        measure.denominator
    FROM dashboard_quantity AS quantity
    INNER JOIN measure
        ON measure.family = 'dashboard'
        AND measure.numerator = quantity.quantity
    INNER JOIN measure_breakdown
        ON measure_breakdown.measure_id = measure.measure_id
        AND measure_breakdown.breakdown = quantity.breakdown
        AND measure_breakdown.evaluated
)
SELECT
    value.measure_id,
    value.UniqMonthID,
    value.ReportingPeriodEndDate,
    value.FinancialYear,
    value.breakdown,
    value.level,
    value.level_name,
    CAST(value.amount AS BIGINT) AS numerator,
    CAST(whole.amount AS BIGINT) AS denominator
FROM value
LEFT JOIN dashboard_quantity AS whole
    ON whole.quantity = value.denominator
    AND whole.UniqMonthID = value.UniqMonthID
    AND whole.breakdown = value.breakdown
    AND whole.level = value.level
    AND coalesce(whole.level_name, '') = coalesce(value.level_name, '')
WHERE value.amount <> 0 OR coalesce(whole.amount, 0) <> 0
