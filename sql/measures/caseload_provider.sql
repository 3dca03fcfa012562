-- Who was on whose caseload in the longest pooled period. The data set takes a person's record only with a referral to a service in that month, to
-- whichever service, so the records of people are the caseload.
--   last_month     the last month of it: who is in a shorter period too
--   RecordNumber   the latest record of the person there
-- Grain: one row per person and provider. Keys: Person_ID, OrgIDProv.
SELECT
    coalesce(patient.NHSNumber, submission.OrgIDProv || patient.LocalPatientID) AS Person_ID,
    submission.OrgIDProv,
    max(submission.UniqMonthID) AS last_month,
    max(submission.UniqSubmissionID * 1000000 + patient.row) AS RecordNumber
FROM MHS001MPI AS patient
INNER JOIN submission ON submission.submission = patient.submission
WHERE submission.UniqMonthID BETWEEN (SELECT min(first_month) FROM pool) AND getvariable('window_last_month')
GROUP BY ALL
