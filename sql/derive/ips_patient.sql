-- The people behind the IPS referrals, as their provider described them in the month.
-- RecordNumber orders records as the national platform does: later months, and files made later, are larger.
-- Grain: one row per submission and row of MHS001. Keys: submission, patient_row; Person_ID is one person everywhere.
WITH described AS (
    SELECT
        patient.submission,
        patient.row AS patient_row,
        patient.LocalPatientID,
        submission.UniqMonthID,
        submission.OrgIDProv,
        submission.ReportingPeriodEndDate,
        submission.UniqSubmissionID * 1000000 + patient.row AS RecordNumber,
        patient.NHSNumber,
        coalesce(patient.NHSNumber, submission.OrgIDProv || patient.LocalPatientID) AS Person_ID,
        TRY_CAST(patient.PersonBirthDate AS DATE) AS PersonBirthDate,
        patient.EthnicCategory,
        patient.Gender,
        patient.GenderIDCode,
        home.LSOA2011,
        home.LADistrictAuth,
        home.SubICB AS residence_sub_icb,
        home.IMDDecile2019
    FROM MHS001MPI AS patient
    SEMI JOIN ips_referral
        ON ips_referral.submission = patient.submission
        AND ips_referral.LocalPatientID = patient.LocalPatientID
    INNER JOIN submission ON submission.submission = patient.submission
    LEFT JOIN home ON home.Postcode = patient.Postcode
)
SELECT
    described.* EXCLUDE (ReportingPeriodEndDate, LADistrictAuth),
    -- Completed years on the last day of the month; a person born on 29 February turns a year on 1 March in other years.
    year(ReportingPeriodEndDate) - year(PersonBirthDate)
    - CASE
        WHEN month(ReportingPeriodEndDate) * 100 + day(ReportingPeriodEndDate) < month(PersonBirthDate) * 100 + day(PersonBirthDate) THEN 1
        ELSE 0
    END AS AgeRepPeriodEnd,
    LADistrictAuth IS NULL
    OR left(LADistrictAuth, 1) IN (SELECT code FROM code_group WHERE group_name = 'residence in England') AS counts_as_england
FROM described
