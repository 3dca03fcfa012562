-- Employment of people with an IPS referral that was recorded, or began, after its own end.
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
WHERE
    TRY_CAST(employment.EmployStatusRecDate AS DATE) > TRY_CAST(employment.EmployStatusEndDate AS DATE)
    OR TRY_CAST(employment.EmployStatusStartDate AS DATE) > TRY_CAST(employment.EmployStatusEndDate AS DATE)
