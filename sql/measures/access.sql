-- Evidence of access in the twelve months: every referral that MHS116 counts, and every person behind them, each with the levels they count at.
-- A person is described by the record of the latest of their first contacts, so that one person has one age and one ethnic group.
-- Grain: one row per referral or person, and per provider and sub-ICB of theirs. Keys: unit, by_provider, by_sub_icb.
WITH referral AS (
    SELECT
        mhs116.UniqServReqID,
        mhs116.Person_ID,
        mhs116.route,
        mhs116.RecordNumber,
        patient_level.* EXCLUDE (submission, patient_row)
    FROM mhs116
    INNER JOIN patient_level
        ON patient_level.submission = mhs116.submission
        AND patient_level.patient_row = mhs116.patient_row
    WHERE mhs116.counted
),
person AS (
    SELECT
        Person_ID,
        COLUMNS('^by_(age_group|working_age|adult|gender|ethnicity|deprivation)$')
    FROM referral
    QUALIFY row_number() OVER (PARTITION BY Person_ID ORDER BY RecordNumber DESC, UniqServReqID, by_sub_icb) = 1
)
SELECT
    'access' AS family,
    'referral ' || UniqServReqID AS unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    COLUMNS('^by_'),
    route AS by_route,
    1 AS n_referrals_accessed,
    CAST(NULL AS INTEGER) AS n_people_accessed
FROM referral

UNION ALL BY NAME

SELECT
    'access' AS family,
    'person ' || person.Person_ID AS unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    referral.by_provider,
    referral.by_sub_icb,
    referral.by_icb,
    referral.by_region,
    person.* EXCLUDE (Person_ID),
    referral.route AS by_route,
    1 AS n_people_accessed
FROM person
INNER JOIN referral ON referral.Person_ID = person.Person_ID
