-- NHS England's IPS dashboard, one dimension at a time.
-- Grain: one row per month, breakdown, level and measure. Keys: UniqMonthID, Breakdown, Level, LevelName, MeasureName.
SELECT
    result.UniqMonthID,
    result.ReportingPeriodEndDate AS ReportingPeriodEnd,
    result.FinancialYear,
    breakdown.name AS Breakdown,
    result.level AS Level,
    result.level_name AS LevelName,
    result.measure_id AS MeasureName,
    result.numerator AS MeasureValue,
    result.denominator AS Denominator
FROM dashboard_result AS result
INNER JOIN breakdown ON breakdown.breakdown = result.breakdown
ORDER BY UniqMonthID, Breakdown, Level, LevelName, MeasureName
