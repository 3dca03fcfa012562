-- IPS referrals of the earlier months beside the submission they came before, with the person's NHS number.
-- Grain: one row per submission, earlier file and IPS referral in it. Keys: submission, file, row.
SELECT
    earlier.submission,
    earlier.file,
    earlier.months_before,
    referral.row,
    referral.ServiceRequestID,
    referral.LocalPatientID,
    referral.CareProfTeamLocalID,
    referral.ReferralRequestReceivedDate,
    referral.ServDischDate,
    person.NHSNumber
FROM earlier_submission AS earlier
INNER JOIN ips_referral AS referral ON referral.submission = earlier.file
LEFT JOIN person
    ON person.submission = earlier.file
    AND person.LocalPatientID = referral.LocalPatientID
