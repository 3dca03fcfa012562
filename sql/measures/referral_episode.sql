-- The episodes our outcomes are about: every referral that an IPS team held in some month or that had a counted contact, over all months so far.
-- Its dates are those sent last, whether or not the referral still looked like IPS in that month; the person is as in the last month that did.
--   observed_until   the day up to which the episode is known: its discharge, else the end of the last month it was sent in, at most the period's end
-- Grain: one row per referral. Keys: UniqServReqID.
WITH contact AS (
    SELECT
        UniqServReqID,
        min(CareContDate) AS first_contact,
        count(DISTINCT CareContactID) FILTER (in_window) AS contacts_in_window,
        count(DISTINCT CareContactID) FILTER (in_window AND ActLocTypeCode IS NOT NULL) AS contacts_placed,
        count(DISTINCT CareContactID) FILTER (
            in_window AND ActLocTypeCode IN (SELECT code FROM code_group WHERE group_name = 'in the community')
        ) AS contacts_in_community
    FROM (
        SELECT *, UniqMonthID BETWEEN getvariable('window_first_month') AND getvariable('window_last_month') AS in_window
        FROM episode_contact
    )
    GROUP BY UniqServReqID
),
record AS (
    SELECT
        submission.OrgIDProv || referral.ServiceRequestID AS UniqServReqID,
        submission.OrgIDProv,
        referral.ServiceRequestID,
        patient.Person_ID,
        patient.submission,
        patient.patient_row,
        patient.counts_as_england,
        bool_or(referral.by_team) OVER (PARTITION BY submission.OrgIDProv || referral.ServiceRequestID) AS by_team
    FROM ips_referral AS referral
    INNER JOIN submission ON submission.submission = referral.submission
    INNER JOIN ips_patient AS patient
        ON patient.submission = referral.submission
        AND patient.LocalPatientID = referral.LocalPatientID
    WHERE submission.UniqMonthID <= getvariable('window_last_month')
    QUALIFY row_number() OVER (
        PARTITION BY submission.OrgIDProv || referral.ServiceRequestID
        ORDER BY patient.RecordNumber DESC, referral.row DESC
    ) = 1
),
ips AS (
    SELECT
        record.*,
        contact.first_contact,
        coalesce(contact.contacts_in_window, 0) AS contacts_in_window,
        coalesce(contact.contacts_placed, 0) AS contacts_placed,
        coalesce(contact.contacts_in_community, 0) AS contacts_in_community
    FROM record
    LEFT JOIN contact ON contact.UniqServReqID = record.UniqServReqID
    WHERE record.counts_as_england AND (record.by_team OR contact.UniqServReqID IS NOT NULL)
),
sent AS (
    SELECT
        ips.UniqServReqID,
        submission.UniqMonthID,
        submission.ReportingPeriodEndDate,
        TRY_CAST(referral.ReferralRequestReceivedDate AS DATE) AS received,
        TRY_CAST(referral.ServDischDate AS DATE) AS discharged
    FROM MHS101Referral AS referral
    INNER JOIN submission ON submission.submission = referral.submission
    INNER JOIN ips
        ON ips.OrgIDProv = submission.OrgIDProv
        AND ips.ServiceRequestID = referral.ServiceRequestID
    WHERE submission.UniqMonthID <= getvariable('window_last_month')
    QUALIFY row_number() OVER (PARTITION BY ips.UniqServReqID ORDER BY submission.UniqSubmissionID DESC, referral.row DESC) = 1
)
SELECT
    ips.UniqServReqID,
    ips.OrgIDProv,
    ips.ServiceRequestID,
    ips.Person_ID,
    ips.submission,
    ips.patient_row,
    ips.first_contact,
    ips.contacts_in_window,
    ips.contacts_placed,
    ips.contacts_in_community,
    sent.received,
    CASE WHEN sent.discharged <= getvariable('period_end') THEN sent.discharged END AS discharged,
    sent.UniqMonthID AS last_month,
    least(coalesce(sent.discharged, sent.ReportingPeriodEndDate), getvariable('period_end')) AS observed_until
FROM ips
INNER JOIN sent ON sent.UniqServReqID = ips.UniqServReqID
WHERE sent.received >= getvariable('earliest_referral')
