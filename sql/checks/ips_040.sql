-- People with an IPS referral whose postcode lies outside England, so that none of their referrals is counted.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    person.submission,
    person.submission AS file,
    'MHS001MPI' AS table_name,
    person.row
FROM person
SEMI JOIN current_submission ON current_submission.submission = person.submission
INNER JOIN postcode_district AS home ON home.code = upper(replace(person.Postcode, ' ', ''))
ANTI JOIN code_group AS england
    ON england.group_name = 'residence in England'
    AND starts_with(home.LADistrictAuth, england.code)
WHERE person.ips AND home.LADistrictAuth <> ''
