-- IPS procedures that count for nothing because their contact was not attended, or not direct, and no IPS team holds the referral.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    activity.submission,
    activity.submission AS file,
    'MHS202CareActivity' AS table_name,
    activity.row
FROM ips_mention AS activity
SEMI JOIN current_submission ON current_submission.submission = activity.submission
SEMI JOIN (
    SELECT contact.submission, contact.CareContactID
    FROM MHS201CareContact AS contact
    ANTI JOIN ips_team_referral AS held
        ON held.submission = contact.submission
        AND held.ServiceRequestID = contact.ServiceRequestID
    ANTI JOIN ips_contact AS direct
        ON direct.submission = contact.submission
        AND direct.row = contact.row
        AND direct.direct
) AS lost
    ON lost.submission = activity.submission
    AND lost.CareContactID = activity.CareContactID
WHERE activity.leads AND NOT activity.refused
