-- Contacts on IPS referrals that an earlier month's file has already sent.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    contact.submission,
    contact.submission AS file,
    'MHS201CareContact' AS table_name,
    contact.row
FROM MHS201CareContact AS contact
SEMI JOIN current_submission ON current_submission.submission = contact.submission
SEMI JOIN current_referral AS referral
    ON referral.submission = contact.submission
    AND referral.ServiceRequestID = contact.ServiceRequestID
SEMI JOIN (
    SELECT earlier.submission, sent.CareContactID
    FROM earlier_submission AS earlier
    INNER JOIN MHS201CareContact AS sent ON sent.submission = earlier.file
) AS sent
    ON sent.submission = contact.submission
    AND sent.CareContactID = contact.CareContactID
