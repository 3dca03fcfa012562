-- IPS referrals of the submissions in hand, with the person's NHS number and the days of the month.
-- Grain: one row per row of MHS101. Keys: submission, row.
SELECT
    referral.submission,
    referral.row,
    referral.ServiceRequestID,
    referral.LocalPatientID,
    referral.CareProfTeamLocalID,
    referral.ReferralRequestReceivedDate,
    referral.ServDischDate,
    person.NHSNumber,
    month.first_day,
    month.last_day
FROM ips_referral AS referral
INNER JOIN current_submission AS month ON month.submission = referral.submission
LEFT JOIN person
    ON person.submission = referral.submission
    AND person.LocalPatientID = referral.LocalPatientID
