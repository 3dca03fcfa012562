-- Employment statuses of people with an IPS referral without the day they were recorded.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    employment.submission,
    employment.submission AS file,
    'MHS004EmpStatus' AS table_name,
    employment.row
FROM MHS004EmpStatus AS employment
SEMI JOIN current_submission ON current_submission.submission = employment.submission
SEMI JOIN person
    ON person.submission = employment.submission
    AND person.LocalPatientID = employment.LocalPatientID
    AND person.ips
WHERE employment.EmployStatusRecDate IS NULL
