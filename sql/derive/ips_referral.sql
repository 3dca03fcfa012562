-- The monthly rows of the referrals that may count for IPS, by team or by procedure.
-- Grain: one row per row of MHS101 that qualifies. Keys: submission, row.
WITH candidate AS (
    SELECT submission, ServiceRequestID, true AS by_team FROM ips_team_referral
    UNION ALL
    SELECT submission, ServiceRequestID, false AS by_team FROM ips_contact WHERE NOT by_team
),
referral AS (
    SELECT submission, ServiceRequestID, bool_or(by_team) AS by_team
    FROM candidate
    GROUP BY submission, ServiceRequestID
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
    referral.by_team
FROM MHS101Referral AS source
INNER JOIN referral
    ON referral.submission = source.submission
    AND referral.ServiceRequestID = source.ServiceRequestID
