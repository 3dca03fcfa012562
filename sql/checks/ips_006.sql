-- Referrals that an IPS team has contacts on, though no IPS team holds them.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    referral.submission,
    referral.submission AS file,
    'MHS101Referral' AS table_name,
    referral.row
FROM MHS101Referral AS referral
SEMI JOIN current_submission ON current_submission.submission = referral.submission
SEMI JOIN (
    SELECT contact.submission, contact.ServiceRequestID
    FROM MHS201CareContact AS contact
    SEMI JOIN ips_team
        ON ips_team.submission = contact.submission
        AND ips_team.CareProfTeamLocalID = contact.OtherCareProfTeamLocalID
) AS seen
    ON seen.submission = referral.submission
    AND seen.ServiceRequestID = referral.ServiceRequestID
ANTI JOIN ips_team_referral
    ON ips_team_referral.submission = referral.submission
    AND ips_team_referral.ServiceRequestID = referral.ServiceRequestID
