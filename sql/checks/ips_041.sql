-- People with an IPS referral whose home is not known: no postcode, or one that the list of postcodes does not have.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    person.submission,
    person.submission AS file,
    'MHS001MPI' AS table_name,
    person.row
FROM person
SEMI JOIN current_submission ON current_submission.submission = person.submission
ANTI JOIN postcode_district AS home ON home.code = upper(replace(person.Postcode, ' ', ''))
WHERE person.ips
