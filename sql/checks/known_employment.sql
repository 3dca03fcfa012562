-- People whose employment is known from the file: a status that says employed or not employed.
-- Grain: one row per file and person. Keys: submission, LocalPatientID.
SELECT DISTINCT employment.submission, employment.LocalPatientID
FROM MHS004EmpStatus AS employment
SEMI JOIN code_group
    ON code_group.group_name IN ('employed', 'not employed')
    AND code_group.code = employment.EmployStatus
