-- IPS procedures with a qualifier that makes NHS England's code drop them: not a whole number of 32 bits, and not the refusal either.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    activity.submission,
    activity.submission AS file,
    'MHS202CareActivity' AS table_name,
    activity.row
FROM ips_mention AS activity
SEMI JOIN current_submission ON current_submission.submission = activity.submission
SEMI JOIN ips_procedure
    ON ips_procedure.submission = activity.submission
    AND ips_procedure.CareContactID = activity.CareContactID
    AND NOT ips_procedure.counted
    AND NOT ips_procedure.refused
WHERE activity.leads AND activity.qualified AND NOT activity.refused
