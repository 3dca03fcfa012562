-- IPS referrals that were open in the month before and are not in the file. The row is that of the month before.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    before.submission,
    before.file,
    'MHS101Referral' AS table_name,
    before.row
FROM earlier_referral AS before
ANTI JOIN MHS101Referral AS kept
    ON kept.submission = before.submission
    AND kept.ServiceRequestID = before.ServiceRequestID
WHERE before.months_before = 1 AND before.ServDischDate IS NULL
