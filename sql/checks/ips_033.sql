-- People with an IPS referral who had another NHS number in an earlier month, or had one and have none now.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT DISTINCT
    person.submission,
    person.submission AS file,
    'MHS001MPI' AS table_name,
    person.row
FROM person
INNER JOIN earlier_submission AS earlier ON earlier.submission = person.submission
INNER JOIN person AS before
    ON before.submission = earlier.file
    AND before.LocalPatientID = person.LocalPatientID
    AND before.NHSNumber IS NOT NULL
    AND before.NHSNumber IS DISTINCT FROM person.NHSNumber
WHERE person.ips
