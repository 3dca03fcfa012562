-- Contacts on IPS referrals that lie outside the month of the file.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    contact.submission,
    contact.submission AS file,
    'MHS201CareContact' AS table_name,
    contact.row
FROM MHS201CareContact AS contact
SEMI JOIN current_referral AS referral
    ON referral.submission = contact.submission
    AND referral.ServiceRequestID = contact.ServiceRequestID
    AND TRY_CAST(contact.CareContDate AS DATE) NOT BETWEEN referral.first_day AND referral.last_day
