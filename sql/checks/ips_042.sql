-- Open GP registrations of people with an IPS referral at a practice that leads to no sub-ICB in force.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    registration.submission,
    registration.submission AS file,
    'MHS002GP' AS table_name,
    registration.row
FROM MHS002GP AS registration
SEMI JOIN current_submission ON current_submission.submission = registration.submission
SEMI JOIN person
    ON person.submission = registration.submission
    AND person.LocalPatientID = registration.LocalPatientID
    AND person.ips
ANTI JOIN current_practice ON current_practice.GMPReg = registration.GMPReg
WHERE
    registration.EndDateGMPRegistration IS NULL
    AND registration.GMPReg IS NOT NULL
    AND registration.GMPReg NOT IN (SELECT code FROM code_group WHERE group_name = 'not a practice')
