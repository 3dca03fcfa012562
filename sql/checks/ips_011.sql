-- Contacts on IPS referrals whose attendance is blank or no national code.
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
ANTI JOIN national_code
    ON national_code.list = 'AttendStatus'
    AND national_code.code = contact.AttendStatus
