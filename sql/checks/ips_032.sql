-- People with an IPS referral who stood under another local number in an earlier month.
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
    AND before.NHSNumber = person.NHSNumber
    AND before.LocalPatientID <> person.LocalPatientID
WHERE person.ips
