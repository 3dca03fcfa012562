-- The months in which a referral has a contact that MHS116 would count, over all months held up to the reporting month.
-- The tests are those of mhs116_contact.sql, which keeps the contacts of the twelve months; here earlier months are needed too.
-- Grain: one row per patient record and referral with such a contact. Keys: submission, patient_row, UniqServReqID.
SELECT
    submission.OrgIDProv || referral.ServiceRequestID AS UniqServReqID,
    submission.OrgIDProv,
    submission.UniqMonthID,
    contact.submission,
    patient.patient_row,
    patient.RecordNumber,
    patient.Person_ID,
    min(contact.CareContDate) AS first_contact,
    bool_or(contact.CareContDate IS NULL) AS undated
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
GROUP BY ALL
