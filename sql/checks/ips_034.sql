-- IPS referrals whose received date is another one than in an earlier month.
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
    AND before.ReferralRequestReceivedDate <> referral.ReferralRequestReceivedDate
