-- IPS referrals whose number belonged to another person in an earlier month.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT DISTINCT
    referral.submission,
    referral.submission AS file,
    'MHS101Referral' AS table_name,
    referral.row
FROM current_referral AS referral
INNER JOIN earlier_submission AS earlier ON earlier.submission = referral.submission
INNER JOIN MHS101Referral AS before
    ON before.submission = earlier.file
    AND before.ServiceRequestID = referral.ServiceRequestID
    AND before.LocalPatientID <> referral.LocalPatientID
LEFT JOIN person
    ON person.submission = before.submission
    AND person.LocalPatientID = before.LocalPatientID
WHERE person.NHSNumber IS NULL OR referral.NHSNumber IS NULL OR person.NHSNumber <> referral.NHSNumber
