-- Attended contacts that may count for IPS: on a referral an IPS team holds in the month, or with an IPS procedure.
--   by_team             an IPS team holds the referral, as MHS116 sees it; which team made the contact does not matter
--   dashboard_by_team   the same as the dashboard sees it
--   by_procedure        an IPS procedure that MHS116 counts was recorded at this contact
--   by_any_procedure    an IPS code was recorded at this contact, as the dashboard reads it
--   refused             an IPS procedure was recorded as refused at this contact
--   direct              attended by a mechanism that MHS116 takes as direct; the anonymous online services may use more of them
--   dashboard_direct    the same for the dashboard, which makes no exception for them
-- Grain: one row per row of MHS201 that qualifies. Keys: submission, row.
WITH mechanism AS (
    -- What each submission may use: it depends on the month, and for MHS116 on the provider.
    SELECT
        submission.submission,
        code_group.code,
        bool_or(code_group.group_name = 'direct contact' AND coalesce(code_group.provider, submission.OrgIDProv) = submission.OrgIDProv) AS direct,
        bool_or(code_group.group_name = 'dashboard direct contact') AS dashboard_direct
    FROM submission
    INNER JOIN code_group
        ON code_group.group_name IN ('direct contact', 'dashboard direct contact')
        AND submission.UniqMonthID BETWEEN code_group.from_month AND code_group.to_month
    GROUP BY submission.submission, code_group.code
)
SELECT
    contact.submission,
    contact.row,
    contact.ServiceRequestID,
    contact.CareContactID,
    TRY_CAST(contact.CareContDate AS DATE) AS CareContDate,
    contact.ConsMechanismMH,
    contact.ActLocTypeCode,
    coalesce(team.mhs116, false) AS by_team,
    team.submission IS NOT NULL AS dashboard_by_team,
    coalesce(procedure.counted, false) AS by_procedure,
    coalesce(procedure.coded, false) AS by_any_procedure,
    coalesce(procedure.refused, false) AS refused,
    coalesce(mechanism.direct, false) AS direct,
    coalesce(mechanism.dashboard_direct, false) AS dashboard_direct
FROM near_contact AS contact
SEMI JOIN code_group AS attended
    ON attended.group_name = 'attended'
    AND attended.code = contact.AttendStatus
LEFT JOIN mechanism
    ON mechanism.submission = contact.submission
    AND mechanism.code = contact.ConsMechanismMH
LEFT JOIN ips_team_referral AS team
    ON team.submission = contact.submission
    AND team.ServiceRequestID = contact.ServiceRequestID
LEFT JOIN ips_procedure AS procedure
    ON procedure.submission = contact.submission
    AND procedure.CareContactID = contact.CareContactID
WHERE team.submission IS NOT NULL OR procedure.CareContactID IS NOT NULL
