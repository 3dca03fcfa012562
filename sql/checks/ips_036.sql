-- IPS referrals without a discharge that an earlier month's file said was made.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT DISTINCT
    referral.submission,
    referral.submission AS file,
    'MHS101Referral' AS table_name,
    referral.row
FROM current_referral AS referral
INNER JOIN earlier_referral AS before
    ON before.submission = referral.submission
    AND before.ServiceRequestID = referral.ServiceRequestID
    AND before.LocalPatientID = referral.LocalPatientID
    AND before.ServDischDate IS NOT NULL
WHERE referral.ServDischDate IS NULL
