-- Evidence of MHS116: every referral of the twelve months that came near IPS, what put it in, or why it is out.
-- counted is true when the referral has a qualifying contact; the demographics are those of the month of the first one.
-- reason says for the others which test failed in every month: the first of received date, residence, and direct contact that no month passed.
-- Grain: one row per referral. Keys: UniqServReqID.
WITH referral_month AS (
    SELECT
        submission.OrgIDProv || referral.ServiceRequestID AS UniqServReqID,
        submission.OrgIDProv,
        referral.by_team,
        referral.ReferralRequestReceivedDate >= getvariable('earliest_referral') AS received_in_scope,
        patient.counts_as_england,
        referral.submission,
        referral.ServiceRequestID
    FROM ips_referral AS referral
    INNER JOIN submission ON submission.submission = referral.submission
    INNER JOIN ips_patient AS patient
        ON patient.submission = referral.submission
        AND patient.LocalPatientID = referral.LocalPatientID
    WHERE submission.UniqMonthID BETWEEN getvariable('window_first_month') AND getvariable('window_last_month')
),
contact_month AS (
    SELECT
        submission,
        ServiceRequestID,
        bool_or(direct) AS any_direct,
        bool_or(refused AND NOT by_procedure) AS any_refused
    FROM ips_contact
    GROUP BY submission, ServiceRequestID
),
referral AS (
    SELECT
        referral_month.UniqServReqID,
        min(referral_month.OrgIDProv) AS OrgIDProv,
        count(DISTINCT referral_month.submission) AS months,
        bool_or(referral_month.by_team) AS ips_team_in_any_month,
        coalesce(bool_or(referral_month.received_in_scope), false) AS received,
        coalesce(bool_or(referral_month.received_in_scope AND referral_month.counts_as_england), false) AS resident,
        coalesce(bool_or(contact_month.any_direct), false) AS direct,
        coalesce(bool_or(contact_month.any_refused), false) AS refused
    FROM referral_month
    LEFT JOIN contact_month
        ON contact_month.submission = referral_month.submission
        AND contact_month.ServiceRequestID = referral_month.ServiceRequestID
    GROUP BY referral_month.UniqServReqID
),
contact AS (
    SELECT
        UniqServReqID,
        bool_or(by_team) AS by_team,
        bool_or(by_procedure) AS by_procedure,
        count(DISTINCT CareContactID) AS contacts
    FROM mhs116_contact
    GROUP BY UniqServReqID
)
SELECT
    referral.UniqServReqID,
    -- Ids are a provider and a number without anything between, so two providers may have one; whoever saw the person first has the referral.
    coalesce(seen.OrgIDProv, referral.OrgIDProv) AS OrgIDProv,
    contact.UniqServReqID IS NOT NULL AS counted,
    CASE
        WHEN contact.UniqServReqID IS NOT NULL THEN NULL
        WHEN NOT referral.received THEN 'received before the measure begins, or without a date'
        WHEN NOT referral.resident THEN 'resident outside England'
        WHEN NOT referral.direct THEN 'no attended direct contact'
        WHEN referral.refused THEN 'IPS procedure refused'
        ELSE 'no direct contact in a month that shows IPS'
    END AS reason,
    CASE
        WHEN contact.by_team AND contact.by_procedure THEN 'team and procedure'
        WHEN contact.by_team THEN 'team'
        WHEN contact.by_procedure THEN 'procedure'
    END AS route,
    referral.ips_team_in_any_month,
    referral.months,
    coalesce(contact.contacts, 0) AS contacts,
    first.CareContactID AS first_contact,
    first.CareContDate AS AccessDate,
    patient.UniqMonthID,
    patient.RecordNumber,
    patient.Person_ID,
    patient.submission,
    patient.patient_row,
    age_band.level AS age_band,
    coalesce(identity.level, gender.level) AS gender,
    upper_ethnicity.level AS upper_ethnicity,
    imd_decile.level AS imd_decile
FROM referral
LEFT JOIN contact ON contact.UniqServReqID = referral.UniqServReqID
LEFT JOIN mhs116_contact AS first
    ON first.UniqServReqID = referral.UniqServReqID
    AND first.contact_order = 1
LEFT JOIN submission AS seen ON seen.submission = first.submission
LEFT JOIN ips_patient AS patient
    ON patient.submission = first.submission
    AND patient.patient_row = first.patient_row
LEFT JOIN band AS age_band
    ON age_band.class = 'age band'
    AND patient.AgeRepPeriodEnd BETWEEN age_band.lowest AND age_band.highest
LEFT JOIN code_level AS identity
    ON identity.class = 'gender'
    AND identity.code = patient.GenderIDCode
LEFT JOIN code_level AS gender
    ON gender.class = 'gender if not stated'
    AND gender.code = patient.Gender
LEFT JOIN code_level AS upper_ethnicity
    ON upper_ethnicity.class = 'upper ethnicity'
    AND upper_ethnicity.code = patient.EthnicCategory
LEFT JOIN code_level AS imd_decile
    ON imd_decile.class = 'imd decile'
    AND imd_decile.code = patient.IMDDecile2019
