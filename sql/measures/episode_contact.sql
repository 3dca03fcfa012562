-- The contacts that make a referral count in MHS116, over all months and not only the twelve: attended, direct, of IPS, of people living in England.
-- Grain: one row per referral, contact, place and record. Keys: UniqServReqID, CareContactID, CareContDate, ActLocTypeCode, submission, patient_row.
SELECT DISTINCT
    submission.OrgIDProv || referral.ServiceRequestID AS UniqServReqID,
    submission.OrgIDProv,
    submission.UniqMonthID,
    patient.Person_ID,
    patient.RecordNumber,
    patient.submission,
    patient.patient_row,
    contact.CareContactID,
    contact.CareContDate,
    contact.ActLocTypeCode
FROM ips_contact AS contact
INNER JOIN submission ON submission.submission = contact.submission
INNER JOIN ips_referral AS referral
    ON referral.submission = contact.submission
    AND referral.ServiceRequestID = contact.ServiceRequestID
INNER JOIN ips_patient AS patient
    ON patient.submission = referral.submission
    AND patient.LocalPatientID = referral.LocalPatientID
WHERE
    submission.UniqMonthID <= getvariable('window_last_month')
    AND referral.ReferralRequestReceivedDate >= getvariable('earliest_referral')
    AND patient.counts_as_england
    AND contact.direct
    AND (contact.by_team OR contact.by_procedure)
    AND contact.CareContDate IS NOT NULL
