-- People who stand in the file twice, under two local numbers with one NHS number, and have an IPS referral under either.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    person.submission,
    person.submission AS file,
    'MHS001MPI' AS table_name,
    person.row
FROM person
SEMI JOIN current_submission ON current_submission.submission = person.submission
WHERE person.NHSNumber IS NOT NULL
QUALIFY
    count(*) OVER (PARTITION BY person.submission, person.NHSNumber) > 1
    AND bool_or(person.ips) OVER (PARTITION BY person.submission, person.NHSNumber)
