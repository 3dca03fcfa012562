-- The rows of the twelve months that belong to IPS: people with an IPS referral, their practices and employment statuses, the referrals, the contacts
-- and activities on them, and the IPS teams. The completeness of fields is counted over these and not over everything a provider sends.
-- Grain: one row per table and row. Keys: table_name, submission, row.
WITH ips AS (
    SELECT referral.submission, referral.row, referral.ServiceRequestID, referral.LocalPatientID
    FROM ips_referral AS referral
    INNER JOIN submission ON submission.submission = referral.submission
    WHERE submission.UniqMonthID BETWEEN getvariable('window_first_month') AND getvariable('window_last_month')
),
contact AS (
    SELECT contact.submission, contact.row, contact.CareContactID
    FROM near_contact AS contact
    SEMI JOIN ips
        ON ips.submission = contact.submission
        AND ips.ServiceRequestID = contact.ServiceRequestID
)
SELECT 'MHS001MPI' AS table_name, patient.submission, patient.row
FROM MHS001MPI AS patient
SEMI JOIN ips ON ips.submission = patient.submission AND ips.LocalPatientID = patient.LocalPatientID

UNION ALL

SELECT 'MHS002GP' AS table_name, registration.submission, registration.row
FROM MHS002GP AS registration
SEMI JOIN ips ON ips.submission = registration.submission AND ips.LocalPatientID = registration.LocalPatientID

UNION ALL

SELECT 'MHS004EmpStatus' AS table_name, status.submission, status.row
FROM MHS004EmpStatus AS status
SEMI JOIN ips ON ips.submission = status.submission AND ips.LocalPatientID = status.LocalPatientID

UNION ALL

SELECT 'MHS101Referral' AS table_name, submission, row
FROM ips

UNION ALL

SELECT 'MHS102OtherServiceType' AS table_name, other.submission, other.row
FROM MHS102OtherServiceType AS other
SEMI JOIN ips ON ips.submission = other.submission AND ips.ServiceRequestID = other.ServiceRequestID

UNION ALL

SELECT 'MHS201CareContact' AS table_name, submission, row
FROM contact

UNION ALL

SELECT 'MHS202CareActivity' AS table_name, activity.submission, activity.row
FROM MHS202CareActivity AS activity
SEMI JOIN contact ON contact.submission = activity.submission AND contact.CareContactID = activity.CareContactID

UNION ALL

SELECT 'MHS902ServiceTeamDetails' AS table_name, team.submission, team.row
FROM MHS902ServiceTeamDetails AS team
INNER JOIN submission ON submission.submission = team.submission
SEMI JOIN ips_team ON ips_team.submission = team.submission AND ips_team.CareProfTeamLocalID = team.CareProfTeamLocalID
WHERE submission.UniqMonthID BETWEEN getvariable('window_first_month') AND getvariable('window_last_month')
