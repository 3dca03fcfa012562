-- The open GP registration that decides a person's sub-ICB in a month: of all records of the person, at any provider, the one with the highest
-- RecordNumber that has an open registration with a practice. Two open registrations on that record both stay.
-- Grain: one row per open registration on the deciding record. Keys: Person_ID, UniqMonthID, gp_row.
-- Months in which a person has no IPS referral are here too; nothing reads them.
WITH record AS (
    SELECT
        patient.NHSNumber AS Person_ID,
        submission.UniqMonthID,
        patient.submission,
        patient.LocalPatientID,
        submission.UniqSubmissionID * 1000000 + patient.row AS RecordNumber
    FROM MHS001MPI AS patient
    INNER JOIN submission ON submission.submission = patient.submission
    WHERE patient.NHSNumber IN (SELECT NHSNumber FROM ips_patient)

    UNION ALL

    -- Without an NHS number nobody is known elsewhere.
    SELECT Person_ID, UniqMonthID, submission, LocalPatientID, RecordNumber
    FROM ips_patient
    WHERE NHSNumber IS NULL
),
open AS (
    SELECT
        record.Person_ID,
        record.UniqMonthID,
        record.RecordNumber,
        registration.row AS gp_row,
        registration.GMPReg
    FROM MHS002GP AS registration
    INNER JOIN record
        ON record.submission = registration.submission
        AND record.LocalPatientID = registration.LocalPatientID
    WHERE
        registration.EndDateGMPRegistration IS NULL
        AND registration.GMPReg IS NOT NULL
        AND registration.GMPReg NOT IN (SELECT code FROM code_group WHERE group_name = 'not a practice')
),
deciding AS (
    SELECT Person_ID, UniqMonthID, max(RecordNumber) AS RecordNumber
    FROM open
    GROUP BY Person_ID, UniqMonthID
)
SELECT
    open.Person_ID,
    open.UniqMonthID,
    open.gp_row,
    gp_practice.SubICB
FROM open
SEMI JOIN deciding
    ON deciding.Person_ID = open.Person_ID
    AND deciding.UniqMonthID = open.UniqMonthID
    AND deciding.RecordNumber = open.RecordNumber
LEFT JOIN gp_practice ON gp_practice.GMPReg = open.GMPReg
