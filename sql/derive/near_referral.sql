-- Referrals that may have to do with IPS: an IPS team holds it in some month or made a contact on it, or one of its contacts names an IPS code.
-- Whatever else is held of these referrals is looked at; the contacts of all others are read once, here.
-- Grain: one row per provider and referral of any month. Keys: OrgIDProv, ServiceRequestID; the latter is NULL for contacts on no referral.
WITH contact AS (
    SELECT DISTINCT source.submission, source.ServiceRequestID
    FROM MHS201CareContact AS source
    LEFT JOIN ips_team AS team
        ON team.submission = source.submission
        AND team.CareProfTeamLocalID = source.OtherCareProfTeamLocalID
    LEFT JOIN (SELECT DISTINCT submission, CareContactID FROM ips_written) AS written
        ON written.submission = source.submission
        AND written.CareContactID = source.CareContactID
    WHERE team.submission IS NOT NULL OR written.submission IS NOT NULL
)
SELECT submission.OrgIDProv, held.ServiceRequestID
FROM ips_team_referral AS held
INNER JOIN submission ON submission.submission = held.submission

UNION

SELECT submission.OrgIDProv, contact.ServiceRequestID
FROM contact
INNER JOIN submission ON submission.submission = contact.submission
