-- Procedures that record IPS as refused.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    activity.submission,
    activity.submission AS file,
    'MHS202CareActivity' AS table_name,
    activity.row
FROM ips_mention AS activity
SEMI JOIN current_submission ON current_submission.submission = activity.submission
WHERE activity.leads AND activity.refused
