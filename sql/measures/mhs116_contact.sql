-- Contacts that make a referral count in MHS116, in order: the first inside the twelve months decides whose month describes the person.
-- The contact date alone decides; contacts of the same date are put in order of record and contact so that a run can be repeated.
-- Grain: one row per patient record and contact. Keys: submission, patient_row, contact_row.
SELECT
    submission.OrgIDProv || referral.ServiceRequestID AS UniqServReqID,
    contact.submission,
    patient.patient_row,
    patient.RecordNumber,
    contact.row AS contact_row,
    contact.CareContactID,
    contact.CareContDate,
    contact.by_team,
    contact.by_procedure,
    row_number() OVER (
        PARTITION BY submission.OrgIDProv || referral.ServiceRequestID
        ORDER BY contact.CareContDate NULLS FIRST, patient.RecordNumber, contact.CareContactID, contact.row
    ) AS contact_order
FROM ips_contact AS contact
INNER JOIN submission ON submission.submission = contact.submission
INNER JOIN ips_referral AS referral
    ON referral.submission = contact.submission
    AND referral.ServiceRequestID = contact.ServiceRequestID
INNER JOIN ips_patient AS patient
    ON patient.submission = referral.submission
    AND patient.LocalPatientID = referral.LocalPatientID
WHERE
    submission.UniqMonthID BETWEEN getvariable('window_first_month') AND getvariable('window_last_month')
    AND referral.ReferralRequestReceivedDate >= getvariable('earliest_referral')
    AND patient.counts_as_england
    AND contact.direct
    AND (contact.by_team OR contact.by_procedure)
