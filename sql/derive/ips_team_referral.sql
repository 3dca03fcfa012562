-- Referrals that an IPS team holds in the month: the team on the referral itself (from version 6 of the data set) or another team on it.
-- Grain: one row per submission and referral. Keys: submission, ServiceRequestID.
SELECT
    referral.submission,
    referral.ServiceRequestID
FROM MHS101Referral AS referral
INNER JOIN submission ON submission.submission = referral.submission
SEMI JOIN ips_team
    ON ips_team.submission = referral.submission
    AND ips_team.CareProfTeamLocalID = referral.CareProfTeamLocalID
WHERE submission.UniqMonthID >= getvariable('first_month_of_v6')

UNION

SELECT
    other.submission,
    other.ServiceRequestID
FROM MHS102OtherServiceType AS other
SEMI JOIN ips_team
    ON ips_team.submission = other.submission
    AND ips_team.CareProfTeamLocalID = other.OtherCareProfTeamLocalID
