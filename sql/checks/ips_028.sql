-- Employment of people with an IPS referral without a start date.
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
SEMI JOIN code_group AS status
    ON status.group_name = 'employed'
    AND status.code = employment.EmployStatus
WHERE employment.EmployStatusStartDate IS NULL
