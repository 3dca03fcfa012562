-- Evidence of access in the financial year to date, with the dashboard's direct contacts: each referral and each person once, at their first
-- contact of the year; and beside them the rows the dashboard adds up for the same months.
-- Grain: one row per referral, person, or provider and month, and per provider and sub-ICB of theirs. Keys: unit, by_provider, by_sub_icb.
WITH referral AS (
    SELECT
        first.UniqServReqID,
        first.Person_ID,
        first.AccessDate,
        first.RecordNumber,
        patient_level.* EXCLUDE (submission, patient_row)
    FROM (
        SELECT activity.*, patient.RecordNumber
        FROM dashboard_activity AS activity
        INNER JOIN ips_patient AS patient
            ON patient.submission = activity.submission
            AND patient.patient_row = activity.patient_row
        WHERE activity.UniqMonthID BETWEEN getvariable('year_first_month') AND getvariable('window_last_month')
        QUALIFY row_number() OVER (PARTITION BY activity.UniqServReqID ORDER BY activity.AccessDate NULLS FIRST, patient.RecordNumber) = 1
    ) AS first
    INNER JOIN patient_level
        ON patient_level.submission = first.submission
        AND patient_level.patient_row = first.patient_row
),
person AS (
    SELECT
        Person_ID,
        COLUMNS('^by_(age_group|working_age|adult|gender|ethnicity|deprivation)$')
    FROM referral
    QUALIFY row_number() OVER (PARTITION BY Person_ID ORDER BY RecordNumber DESC) = 1
)
SELECT
    'referral ' || UniqServReqID AS unit,
    getvariable('year_start') AS period_start,
    getvariable('period_end') AS period_end,
    COLUMNS('^by_'),
    AccessDate AS first_contact,
    1 AS n_referrals_accessed_in_year
FROM referral

UNION ALL BY NAME

SELECT DISTINCT
    'person ' || person.Person_ID AS unit,
    getvariable('year_start') AS period_start,
    getvariable('period_end') AS period_end,
    referral.by_provider,
    referral.by_sub_icb,
    referral.by_icb,
    referral.by_region,
    person.* EXCLUDE (Person_ID),
    1 AS n_people_accessed_in_year
FROM person
INNER JOIN referral ON referral.Person_ID = person.Person_ID

UNION ALL BY NAME

SELECT
    'dashboard rows ' || level || ' ' || UniqMonthID AS unit,
    getvariable('year_start') AS period_start,
    getvariable('period_end') AS period_end,
    level AS by_provider,
    CAST(sum(AccessedInFinancialYear) AS BIGINT) AS n_dashboard_rows_in_year
FROM dashboard_count
WHERE
    breakdown = 'dashboard_provider'
    AND UniqMonthID BETWEEN getvariable('year_first_month') AND getvariable('window_last_month')
GROUP BY level, UniqMonthID
