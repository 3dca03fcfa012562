-- IPS referrals received in the month of people whose employment is not known.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    referral.submission,
    referral.submission AS file,
    'MHS101Referral' AS table_name,
    referral.row
FROM current_referral AS referral
ANTI JOIN known_employment AS known
    ON known.submission = referral.submission
    AND known.LocalPatientID = referral.LocalPatientID
WHERE referral.ReferralRequestReceivedDate BETWEEN referral.first_day AND referral.last_day
