-- The accepted funding of employment support, with the part of it that falls in the twelve months, day by day.
--   amount_pence, in_window_pence    whole pence; the part in the window is rounded down
-- Grain: one row per line of funding. Keys: submission, row.
WITH line AS (
    SELECT
        submission,
        row,
        OrgIDProvider,
        ips_team,
        borough,
        TRY_CAST(period_start AS DATE) AS funded_from,
        TRY_CAST(period_end AS DATE) AS funded_to,
        CAST(CAST(amount AS DECIMAL(18, 2)) * 100 AS BIGINT) AS amount_pence
    FROM "ips_funding as recorded"
)
SELECT
    *,
    amount_pence
    * greatest(least(funded_to, getvariable('period_end')) - greatest(funded_from, getvariable('period_start')) + 1, 0)
    // (funded_to - funded_from + 1) AS in_window_pence
FROM line
