-- Contacts of the twelve months that belong to IPS, made by an IPS team or on a referral that one held in some month, and what is wrong with them.
--   held    an IPS team holds the referral in the month of the contact
-- Grain: one row per row of MHS201 that qualifies. Keys: submission, row.
WITH known AS (
    SELECT DISTINCT submission.OrgIDProv, held.ServiceRequestID
    FROM ips_team_referral AS held
    INNER JOIN submission ON submission.submission = held.submission
),
candidate AS (
    SELECT
        contact.submission,
        contact.row,
        submission.OrgIDProv,
        submission.ReportingPeriodStartDate,
        contact.ServiceRequestID,
        contact.CareContactID,
        TRY_CAST(contact.CareContDate AS DATE) AS CareContDate,
        contact.AttendStatus IN (SELECT code FROM code_group WHERE group_name = 'attended') AS attended,
        team.CareProfTeamLocalID IS NOT NULL AS by_ips_team,
        known.ServiceRequestID IS NOT NULL AS known_referral
    FROM near_contact AS contact
    INNER JOIN submission ON submission.submission = contact.submission
    LEFT JOIN ips_team AS team
        ON team.submission = contact.submission
        AND team.CareProfTeamLocalID = contact.OtherCareProfTeamLocalID
    LEFT JOIN known
        ON known.OrgIDProv = submission.OrgIDProv
        AND known.ServiceRequestID = contact.ServiceRequestID
    WHERE
        submission.UniqMonthID BETWEEN getvariable('window_first_month') AND getvariable('window_last_month')
        AND (team.CareProfTeamLocalID IS NOT NULL OR known.ServiceRequestID IS NOT NULL)
),
referral AS (
    SELECT
        referral.submission,
        referral.ServiceRequestID,
        max(TRY_CAST(referral.ReferralRequestReceivedDate AS DATE)) AS received,
        max(TRY_CAST(referral.ServDischDate AS DATE)) AS discharged
    FROM MHS101Referral AS referral
    SEMI JOIN candidate
        ON candidate.submission = referral.submission
        AND candidate.ServiceRequestID = referral.ServiceRequestID
    GROUP BY referral.submission, referral.ServiceRequestID
)
SELECT
    candidate.*,
    held.ServiceRequestID IS NOT NULL AS held,
    referral.ServiceRequestID IS NULL AS without_referral,
    candidate.by_ips_team AND referral.ServiceRequestID IS NOT NULL AND held.ServiceRequestID IS NULL AS on_other_referral,
    coalesce(candidate.CareContDate < referral.received, false) AS before_referral,
    coalesce(candidate.CareContDate > referral.discharged, false) AS after_discharge
FROM candidate
LEFT JOIN referral
    ON referral.submission = candidate.submission
    AND referral.ServiceRequestID = candidate.ServiceRequestID
LEFT JOIN ips_team_referral AS held
    ON held.submission = candidate.submission
    AND held.ServiceRequestID = candidate.ServiceRequestID
