-- The accepted targets agreed locally.
-- Grain: one row per target. Keys: submission, row.
SELECT
    submission,
    row,
    measure,
    org_type,
    org_code,
    TRY_CAST(period_end AS DATE) AS target_period_end,
    basis,
    CAST(value AS DECIMAL(18, 4)) AS value,
    source,
    approved_by
FROM "ips_target as recorded"
