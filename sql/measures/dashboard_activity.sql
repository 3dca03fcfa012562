-- Direct contacts of the dashboard's referrals, month by month, and whether the first of all, or of the financial year, is among them.
-- The first is sought per person and referral, so a person whose identity changes every month has several first contacts.
-- Grain: one row per monthly referral record with a direct contact. Keys: submission, patient_row, ServiceRequestID.
WITH record AS (
    SELECT DISTINCT submission, patient_row, ServiceRequestID, Person_ID, UniqServReqID
    FROM dashboard_referral
),
activity AS (
    SELECT
        record.*,
        submission.UniqMonthID,
        submission.FinancialYear,
        counted.* EXCLUDE (submission, ServiceRequestID),
        -- A key that sorts as a date not known before all others, then the submission, then the record.
        create_sort_key(
            counted.AccessDate, 'ASC NULLS FIRST', record.submission, 'ASC NULLS FIRST', record.patient_row, 'ASC NULLS FIRST'
        ) AS turn
    FROM dashboard_contact_count AS counted
    INNER JOIN record
        ON record.submission = counted.submission
        AND record.ServiceRequestID = counted.ServiceRequestID
    INNER JOIN submission ON submission.submission = record.submission
),
year AS (
    SELECT Person_ID, UniqServReqID, FinancialYear, min(turn) AS first_in_year
    FROM activity
    GROUP BY Person_ID, UniqServReqID, FinancialYear
),
ever AS (
    SELECT Person_ID, UniqServReqID, min(first_in_year) AS first_ever
    FROM year
    GROUP BY Person_ID, UniqServReqID
),
first AS (
    SELECT year.*, ever.first_ever
    FROM year
    INNER JOIN ever
        ON ever.Person_ID = year.Person_ID
        AND ever.UniqServReqID = year.UniqServReqID
)
SELECT
    activity.* EXCLUDE (turn),
    activity.turn = first.first_ever AS first_ever,
    activity.turn = first.first_in_year AS first_in_year
FROM activity
INNER JOIN first
    ON first.Person_ID = activity.Person_ID
    AND first.UniqServReqID = activity.UniqServReqID
    AND first.FinancialYear = activity.FinancialYear
