-- Attended contacts that do not count because the referral's IPS team is missing in their month.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    contact.submission,
    contact.submission AS file,
    'MHS201CareContact' AS table_name,
    contact.row
FROM MHS201CareContact AS contact
SEMI JOIN current_submission ON current_submission.submission = contact.submission
SEMI JOIN lost_team
    ON lost_team.submission = contact.submission
    AND lost_team.ServiceRequestID = contact.ServiceRequestID
SEMI JOIN code_group AS attended
    ON attended.group_name = 'attended'
    AND attended.code = contact.AttendStatus
ANTI JOIN ips_contact
    ON ips_contact.submission = contact.submission
    AND ips_contact.row = contact.row
