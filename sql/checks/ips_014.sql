-- Attended contacts dated before their IPS referral was received.
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
    AND TRY_CAST(contact.CareContDate AS DATE) < referral.ReferralRequestReceivedDate
SEMI JOIN code_group AS attended
    ON attended.group_name = 'attended'
    AND attended.code = contact.AttendStatus
