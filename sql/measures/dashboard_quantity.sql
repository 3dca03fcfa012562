-- The dashboard's sums in long form: one number per quantity, which a measure reads as its value or as its denominator.
-- Grain: one row per quantity, month, breakdown, level and level name. Keys: quantity, UniqMonthID, breakdown, level, level_name.
UNPIVOT dashboard_count
ON COLUMNS(* EXCLUDE (UniqMonthID, ReportingPeriodEndDate, FinancialYear, breakdown, level, level_name))
INTO NAME quantity VALUE amount
