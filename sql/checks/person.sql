-- The people of each file, with the NHS number of their first row, and whether they have an IPS referral in it.
-- Grain: one row per file and local patient. Keys: submission, LocalPatientID.
SELECT
    patient.submission,
    patient.row,
    patient.LocalPatientID,
    patient.NHSNumber,
    patient.Postcode,
    referral.LocalPatientID IS NOT NULL AS ips
FROM MHS001MPI AS patient
LEFT JOIN (SELECT DISTINCT submission, LocalPatientID FROM ips_referral) AS referral
    ON referral.submission = patient.submission
    AND referral.LocalPatientID = patient.LocalPatientID
WHERE patient.LocalPatientID IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY patient.submission, patient.LocalPatientID ORDER BY patient.row) = 1
