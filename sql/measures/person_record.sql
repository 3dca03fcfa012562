-- Every monthly record of the people with an IPS episode, at whichever provider: the way from a person to what other services recorded of them.
-- Grain: one row per submission and local patient. Keys: submission, LocalPatientID.
SELECT DISTINCT
    patient.submission,
    patient.LocalPatientID,
    submission.OrgIDProv,
    submission.UniqMonthID,
    submission.UniqSubmissionID,
    submission.ReportingPeriodEndDate,
    coalesce(patient.NHSNumber, submission.OrgIDProv || patient.LocalPatientID) AS Person_ID
FROM MHS001MPI AS patient
INNER JOIN submission ON submission.submission = patient.submission
WHERE
    submission.UniqMonthID <= getvariable('window_last_month')
    AND coalesce(patient.NHSNumber, submission.OrgIDProv || patient.LocalPatientID) IN (SELECT Person_ID FROM referral_episode)
