-- Direct contacts of the dashboard's referrals, month by month, and whether the first of all, or of the financial year, is among them.
-- The first is sought per person and referral, so a person whose identity changes every month has several first contacts.
-- A contact of a person in two sub-ICBs counts twice.
-- Grain: one row per monthly referral record with a direct contact. Keys: submission, patient_row, ServiceRequestID.
WITH record AS (
    SELECT held.*, submission.UniqMonthID, submission.FinancialYear
    FROM (
        SELECT submission, patient_row, ServiceRequestID, Person_ID, UniqServReqID, count(DISTINCT sub_icb) AS sub_icbs
        FROM dashboard_referral
        GROUP BY submission, patient_row, ServiceRequestID, Person_ID, UniqServReqID
    ) AS held
    INNER JOIN submission ON submission.submission = held.submission
),
activity AS (
    SELECT
        record.*,
        counted.AccessDate,
        counted.contacts * record.sub_icbs AS contacts,
        counted.face_to_face * record.sub_icbs AS face_to_face,
        counted.telephone * record.sub_icbs AS telephone,
        counted.video * record.sub_icbs AS video
    FROM dashboard_contact_count AS counted
    INNER JOIN record
        ON record.submission = counted.submission
        AND record.ServiceRequestID = counted.ServiceRequestID
),
dated AS (
    -- A key that sorts as a date not known before all others, then the submission, then the record.
    SELECT *, create_sort_key(AccessDate, 'ASC NULLS FIRST', submission, 'ASC NULLS FIRST', patient_row, 'ASC NULLS FIRST') AS turn
    FROM activity
),
year AS (
    SELECT Person_ID, UniqServReqID, FinancialYear, min(turn) AS first_in_year
    FROM dated
    GROUP BY Person_ID, UniqServReqID, FinancialYear
),
first AS (
    SELECT *, min(first_in_year) OVER (PARTITION BY Person_ID, UniqServReqID) AS first_ever
    FROM year
)
SELECT
    dated.* EXCLUDE (turn),
    dated.turn = first.first_ever AS first_ever,
    dated.turn = first.first_in_year AS first_in_year
FROM dated
INNER JOIN first
    ON first.Person_ID = dated.Person_ID
    AND first.UniqServReqID = dated.UniqServReqID
    AND first.FinancialYear = dated.FinancialYear
