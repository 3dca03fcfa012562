-- What MHSDS holds, in the twelve months, about the referrals that one of the three access counts leaves out: enough to say why.
-- Grain: one row per referral that MHSDS holds in any month. Keys: UniqServReqID.
WITH wanted AS (
    SELECT OrgIDProv, substr(UniqServReqID, length(OrgIDProv) + 1) AS ServiceRequestID FROM mhs116 WHERE NOT counted
    UNION
    SELECT OrgIDProv, substr(UniqServReqID, length(OrgIDProv) + 1) AS ServiceRequestID FROM access_local WHERE UniqServReqID IS NOT NULL
    UNION
    SELECT OrgIDProv, ServiceRequestID FROM access_sign
),
request AS (
    SELECT
        submission.OrgIDProv || referral.ServiceRequestID AS UniqServReqID,
        submission.UniqMonthID,
        referral.submission,
        referral.ServiceRequestID,
        referral.LocalPatientID,
        TRY_CAST(referral.ReferralRequestReceivedDate AS DATE) AS received,
        TRY_CAST(referral.ServDischDate AS DATE) AS discharged
    FROM MHS101Referral AS referral
    INNER JOIN submission ON submission.submission = referral.submission
    INNER JOIN wanted
        ON wanted.OrgIDProv = submission.OrgIDProv
        AND wanted.ServiceRequestID = referral.ServiceRequestID
    WHERE submission.UniqMonthID <= getvariable('window_last_month')
),
far AS (
    -- Local records may name a referral that nothing in MHSDS brings near IPS.
    SELECT request.submission, request.ServiceRequestID
    FROM request
    INNER JOIN submission ON submission.submission = request.submission
    ANTI JOIN near_referral
        ON near_referral.OrgIDProv = submission.OrgIDProv
        AND near_referral.ServiceRequestID = request.ServiceRequestID
),
held AS (
    SELECT submission, ServiceRequestID, ConsMechanismMH, AttendStatus
    FROM near_contact

    UNION ALL

    SELECT contact.submission, contact.ServiceRequestID, contact.ConsMechanismMH, contact.AttendStatus
    FROM MHS201CareContact AS contact
    SEMI JOIN far
        ON far.submission = contact.submission
        AND far.ServiceRequestID = contact.ServiceRequestID
),
contact AS (
    SELECT
        request.UniqServReqID,
        count(*) AS contacts,
        count(attended.code) AS attended,
        count(attended.code) FILTER (contact.ConsMechanismMH IS NULL) AS unspecified,
        count(attended.code) FILTER (EXISTS (
            SELECT 1 FROM code_group AS mechanism
            WHERE
                mechanism.group_name = 'direct contact'
                AND mechanism.code = contact.ConsMechanismMH
                AND request.UniqMonthID BETWEEN mechanism.from_month AND mechanism.to_month
                AND coalesce(mechanism.provider, submission.OrgIDProv) = submission.OrgIDProv
        )) AS direct
    FROM request
    INNER JOIN submission ON submission.submission = request.submission
    INNER JOIN held AS contact
        ON contact.submission = request.submission
        AND contact.ServiceRequestID = request.ServiceRequestID
    LEFT JOIN code_group AS attended
        ON attended.group_name = 'attended'
        AND attended.code = contact.AttendStatus
    WHERE request.UniqMonthID BETWEEN getvariable('window_first_month') AND getvariable('window_last_month')
    GROUP BY request.UniqServReqID
),
resident AS (
    SELECT
        request.UniqServReqID,
        bool_or(
            home.LADistrictAuth IS NULL
            OR EXISTS (
                SELECT 1 FROM code_group
                WHERE code_group.group_name = 'residence in England' AND starts_with(home.LADistrictAuth, code_group.code)
            )
        ) AS in_england
    FROM request
    INNER JOIN MHS001MPI AS patient
        ON patient.submission = request.submission
        AND patient.LocalPatientID = request.LocalPatientID
    LEFT JOIN home ON home.Postcode = patient.Postcode
    GROUP BY request.UniqServReqID
),
team AS (
    SELECT DISTINCT request.UniqServReqID
    FROM request
    SEMI JOIN ips_team_referral
        ON ips_team_referral.submission = request.submission
        AND ips_team_referral.ServiceRequestID = request.ServiceRequestID
    WHERE request.UniqMonthID BETWEEN getvariable('window_first_month') AND getvariable('window_last_month')
),
referral AS (
    SELECT
        UniqServReqID,
        max(UniqMonthID) >= getvariable('window_first_month') AS in_window,
        coalesce(bool_or(received >= getvariable('earliest_referral')), false) AS received_in_scope,
        max(discharged) AS discharged
    FROM request
    GROUP BY UniqServReqID
)
SELECT
    referral.*,
    coalesce(resident.in_england, false) AS in_england,
    coalesce(contact.contacts, 0) AS contacts,
    coalesce(contact.attended, 0) AS attended,
    coalesce(contact.unspecified, 0) AS unspecified,
    coalesce(contact.direct, 0) AS direct,
    team.UniqServReqID IS NOT NULL AS ips_team,
    EXISTS (
        SELECT 1 FROM access_month
        WHERE access_month.UniqServReqID = referral.UniqServReqID AND access_month.UniqMonthID < getvariable('window_first_month')
    ) AS seen_before
FROM referral
LEFT JOIN contact ON contact.UniqServReqID = referral.UniqServReqID
LEFT JOIN resident ON resident.UniqServReqID = referral.UniqServReqID
LEFT JOIN team ON team.UniqServReqID = referral.UniqServReqID
