-- Attended IPS contacts that do not say by which means they were held.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    contact.submission,
    contact.submission AS file,
    'MHS201CareContact' AS table_name,
    contact.row
FROM ips_contact AS contact
SEMI JOIN current_submission ON current_submission.submission = contact.submission
WHERE contact.ConsMechanismMH IS NULL
