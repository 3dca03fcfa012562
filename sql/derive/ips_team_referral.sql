-- Referrals that an IPS team holds in the month: the team on the referral itself or another team on it.
--   mhs116   MHS116 looks at the team on the referral from version 6 of the data set on, which is the first that has it; the dashboard always does
-- Grain: one row per submission and referral. Keys: submission, ServiceRequestID.
SELECT submission, ServiceRequestID, bool_or(mhs116) AS mhs116
FROM (
    SELECT
        referral.submission,
        referral.ServiceRequestID,
        submission.UniqMonthID >= getvariable('first_month_of_v6') AS mhs116
    FROM MHS101Referral AS referral
    INNER JOIN submission ON submission.submission = referral.submission
    SEMI JOIN ips_team
        ON ips_team.submission = referral.submission
        AND ips_team.CareProfTeamLocalID = referral.CareProfTeamLocalID

    UNION ALL

    SELECT other.submission, other.ServiceRequestID, true AS mhs116
    FROM MHS102OtherServiceType AS other
    SEMI JOIN ips_team
        ON ips_team.submission = other.submission
        AND ips_team.CareProfTeamLocalID = other.OtherCareProfTeamLocalID
) AS team
GROUP BY submission, ServiceRequestID
