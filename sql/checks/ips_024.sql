-- Employed people with an IPS referral whose weekly hours are not known.
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
ANTI JOIN code_group AS hours
    ON hours.group_name IN ('30 hours or more', '16 to 29 hours', '15 hours or less')
    AND hours.code = employment.WeekHoursWorked
