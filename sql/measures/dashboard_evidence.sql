-- The evidence of the dashboard as it is kept: the rows of the twelve months that it adds up, each with its referral and what decided its measures.
-- Grain: one row per row of dashboard_row in the twelve months. Keys: none, rows may repeat as they do in the published table.
SELECT * EXCLUDE (provider_name, sub_icb_name, icb_name, region_name)
FROM dashboard_row
WHERE UniqMonthID BETWEEN getvariable('window_first_month') AND getvariable('window_last_month')
