-- Referrals that look like IPS in the twelve months but that neither route finds: an attended direct contact with a sign of IPS, and none counted.
--   refused       an IPS procedure whose last qualifier says refused
--   unread        an IPS code in an expression that the published code does not read: a term beside it, context before it, or a qualifier it drops
--   signposted    the procedure is the referral to an IPS service
--   other_holder  an IPS team made the contact, but does not hold the referral in that month
--   other_month   an IPS team holds the referral, but in another month of the twelve
-- Grain: one row per referral. Keys: UniqServReqID.
WITH coded AS (
    SELECT
        submission,
        CareContactID,
        bool_or(ips) AS ips,
        bool_or(signpost) AS signpost
    FROM ips_written
    GROUP BY submission, CareContactID
),
held_some_month AS (
    SELECT DISTINCT
        submission.OrgIDProv,
        held.ServiceRequestID
    FROM ips_team_referral AS held
    INNER JOIN submission ON submission.submission = held.submission
    WHERE submission.UniqMonthID BETWEEN getvariable('window_first_month') AND getvariable('window_last_month')
),
contact AS (
    SELECT
        submission.OrgIDProv || source.ServiceRequestID AS UniqServReqID,
        submission.OrgIDProv,
        source.ServiceRequestID,
        source.submission,
        coalesce(procedure.refused, false) AS refused,
        coalesce(coded.ips, false) AND NOT coalesce(procedure.refused, false) AS unread,
        coalesce(coded.signpost, false) AS signposted,
        by_ips_team.CareProfTeamLocalID IS NOT NULL AS other_holder,
        held_some_month.ServiceRequestID IS NOT NULL AS other_month
    FROM near_contact AS source
    INNER JOIN submission ON submission.submission = source.submission
    SEMI JOIN code_group AS attended
        ON attended.group_name = 'attended'
        AND attended.code = source.AttendStatus
    SEMI JOIN code_group AS mechanism
        ON mechanism.group_name = 'direct contact'
        AND mechanism.code = source.ConsMechanismMH
        AND submission.UniqMonthID BETWEEN mechanism.from_month AND mechanism.to_month
        AND coalesce(mechanism.provider, submission.OrgIDProv) = submission.OrgIDProv
    LEFT JOIN coded
        ON coded.submission = source.submission
        AND coded.CareContactID = source.CareContactID
    LEFT JOIN ips_procedure AS procedure
        ON procedure.submission = source.submission
        AND procedure.CareContactID = source.CareContactID
    LEFT JOIN ips_team AS by_ips_team
        ON by_ips_team.submission = source.submission
        AND by_ips_team.CareProfTeamLocalID = source.OtherCareProfTeamLocalID
    LEFT JOIN held_some_month
        ON held_some_month.OrgIDProv = submission.OrgIDProv
        AND held_some_month.ServiceRequestID = source.ServiceRequestID
    -- What a route finds and another test of MHS116 puts out does not belong here.
    ANTI JOIN ips_team_referral AS found
        ON found.submission = source.submission
        AND found.ServiceRequestID = source.ServiceRequestID
    WHERE
        submission.UniqMonthID BETWEEN getvariable('window_first_month') AND getvariable('window_last_month')
        AND NOT coalesce(procedure.counted, false)
        AND (
            coded.CareContactID IS NOT NULL
            OR by_ips_team.CareProfTeamLocalID IS NOT NULL
            OR held_some_month.ServiceRequestID IS NOT NULL
        )
)
SELECT
    contact.UniqServReqID,
    contact.OrgIDProv,
    contact.ServiceRequestID,
    bool_or(contact.refused) AS refused,
    bool_or(contact.unread) AS unread,
    bool_or(contact.signposted) AS signposted,
    bool_or(contact.other_holder) AS other_holder,
    bool_or(contact.other_month) AS other_month
FROM contact
ANTI JOIN access_window
    ON access_window.span = 'current'
    AND access_window.UniqServReqID = contact.UniqServReqID
GROUP BY contact.UniqServReqID, contact.OrgIDProv, contact.ServiceRequestID
