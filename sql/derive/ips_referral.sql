-- The monthly rows of the referrals that may count for IPS.
--   by_team               an IPS team holds the referral, as MHS116 sees it
--   dashboard_by_team     the same as the dashboard sees it
--   by_direct_procedure   an IPS code was recorded at one of its direct contacts of the month, as the dashboard reads both
-- Grain: one row per row of MHS101 that qualifies. Keys: submission, row.
WITH by_contact AS (
    SELECT submission, ServiceRequestID, bool_or(by_any_procedure AND dashboard_direct) AS by_direct_procedure
    FROM ips_contact
    WHERE by_any_procedure OR NOT dashboard_by_team
    GROUP BY submission, ServiceRequestID
),
referral AS (
    SELECT
        coalesce(team.submission, by_contact.submission) AS submission,
        coalesce(team.ServiceRequestID, by_contact.ServiceRequestID) AS ServiceRequestID,
        coalesce(team.mhs116, false) AS by_team,
        team.submission IS NOT NULL AS dashboard_by_team,
        coalesce(by_contact.by_direct_procedure, false) AS by_direct_procedure
    FROM ips_team_referral AS team
    FULL JOIN by_contact
        ON by_contact.submission = team.submission
        AND by_contact.ServiceRequestID = team.ServiceRequestID
)
SELECT
    source.submission,
    source.row,
    source.ServiceRequestID,
    source.LocalPatientID,
    source.CareProfTeamLocalID,
    source.SourceOfReferralMH,
    TRY_CAST(source.ReferralRequestReceivedDate AS DATE) AS ReferralRequestReceivedDate,
    TRY_CAST(source.ServDischDate AS DATE) AS ServDischDate,
    referral.by_team,
    referral.dashboard_by_team,
    referral.by_direct_procedure
FROM MHS101Referral AS source
INNER JOIN referral
    ON referral.submission = source.submission
    AND referral.ServiceRequestID = source.ServiceRequestID
