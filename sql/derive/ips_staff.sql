-- The accepted posts of employment specialists and managers that had begun by the last day of the reporting period.
--   wte_hundredths    filled whole-time equivalent in hundredths
--   to_date           NULL while the post went on at that day
-- Grain: one row per post. Keys: submission, row.
SELECT
    submission,
    row,
    OrgIDProvider,
    specialist_id,
    ips_team,
    borough,
    coalesce(role, 'specialist') AS role,
    CAST(CAST(wte AS DECIMAL(5, 2)) * 100 AS INTEGER) AS wte_hundredths,
    TRY_CAST(from_date AS DATE) AS from_date,
    CASE WHEN TRY_CAST(to_date AS DATE) <= getvariable('period_end') THEN TRY_CAST(to_date AS DATE) END AS to_date
FROM "ips_staff as recorded"
WHERE TRY_CAST(from_date AS DATE) <= getvariable('period_end')
