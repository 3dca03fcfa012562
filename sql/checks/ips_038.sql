-- Far more, or far fewer, referrals held by IPS teams than in the provider's own earlier months.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    submission,
    submission AS file,
    table_name,
    0 AS row
FROM unusual_volume
WHERE what = 'IPS' AND table_name = 'MHS101Referral'
