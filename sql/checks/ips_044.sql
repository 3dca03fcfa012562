-- IPS referrals received before the first day that NHS England's code looks at.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    submission,
    submission AS file,
    'MHS101Referral' AS table_name,
    row
FROM current_referral
WHERE ReferralRequestReceivedDate < getvariable('earliest_referral')
