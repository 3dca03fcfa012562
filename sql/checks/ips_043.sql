-- People with an IPS referral without an open registration at a GP practice.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    person.submission,
    person.submission AS file,
    'MHS001MPI' AS table_name,
    person.row
FROM person
SEMI JOIN current_submission ON current_submission.submission = person.submission
ANTI JOIN MHS002GP AS registration
    ON registration.submission = person.submission
    AND registration.LocalPatientID = person.LocalPatientID
    AND registration.EndDateGMPRegistration IS NULL
    AND registration.GMPReg IS NOT NULL
    AND registration.GMPReg NOT IN (SELECT code FROM code_group WHERE group_name = 'not a practice')
WHERE person.ips
