-- Evidence of access in the twelve months: every referral that MHS116 counts or nearly counted, and every person behind the counted ones.
-- A person is described by the record of the latest of their first contacts, so that one person has one age and one ethnic group.
-- A person is transferred when one provider discharged a referral on or before the day another first saw them in the twelve months.
-- Grain: one row per referral or person, and per provider and sub-ICB of theirs. Keys: unit, by_provider, by_sub_icb.
WITH discharge AS (
    SELECT
        submission.OrgIDProv || referral.ServiceRequestID AS UniqServReqID,
        max_by(referral.ServDischDate, submission.UniqSubmissionID) AS ServDischDate
    FROM ips_referral AS referral
    INNER JOIN submission ON submission.submission = referral.submission
    GROUP BY submission.OrgIDProv || referral.ServiceRequestID
),
referral AS (
    SELECT
        mhs116.UniqServReqID,
        mhs116.OrgIDProv,
        mhs116.Person_ID,
        mhs116.route,
        mhs116.RecordNumber,
        mhs116.AccessDate,
        discharge.ServDischDate,
        patient_level.* EXCLUDE (submission, patient_row)
    FROM mhs116
    -- Only a referral that counts has the record of its first contact.
    INNER JOIN patient_level
        ON patient_level.submission = mhs116.submission
        AND patient_level.patient_row = mhs116.patient_row
    LEFT JOIN discharge ON discharge.UniqServReqID = mhs116.UniqServReqID
),
person AS (
    SELECT
        Person_ID,
        COLUMNS('^by_(age_group|working_age|adult|gender|ethnicity|deprivation)$')
    FROM referral
    QUALIFY row_number() OVER (PARTITION BY Person_ID ORDER BY RecordNumber DESC) = 1
),
seen AS (
    SELECT
        Person_ID,
        count(DISTINCT OrgIDProv) > 1 AS several,
        min(AccessDate) AS first_seen
    FROM referral
    GROUP BY Person_ID
),
moved AS (
    SELECT later.Person_ID
    FROM referral AS later
    INNER JOIN referral AS earlier
        ON earlier.Person_ID = later.Person_ID
        AND earlier.OrgIDProv <> later.OrgIDProv
        AND earlier.AccessDate < later.AccessDate
        AND earlier.ServDischDate <= later.AccessDate
)
SELECT
    'referral ' || UniqServReqID AS unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    COLUMNS('^by_'),
    route AS by_route,
    CAST(NULL AS VARCHAR) AS reason,
    AccessDate AS first_contact,
    1 AS n_referrals_accessed
FROM referral

UNION ALL BY NAME

-- Near misses count nowhere; their provider is known, and why.
SELECT
    'referral ' || UniqServReqID AS unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    OrgIDProv AS by_provider,
    reason,
    0 AS n_referrals_accessed
FROM mhs116
WHERE NOT counted

UNION ALL BY NAME

SELECT DISTINCT
    'person ' || person.Person_ID AS unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    referral.by_provider,
    referral.by_sub_icb,
    referral.by_icb,
    referral.by_region,
    person.* EXCLUDE (Person_ID),
    referral.route AS by_route,
    CASE
        WHEN moved.Person_ID IS NOT NULL THEN 'transferred between providers'
        WHEN seen.several THEN 'seen by several providers'
    END AS reason,
    seen.first_seen AS first_contact,
    1 AS n_people_accessed,
    CAST(seen.several AS INTEGER) AS n_people_at_several_providers,
    CAST(moved.Person_ID IS NOT NULL AS INTEGER) AS n_people_transferred
FROM person
INNER JOIN referral ON referral.Person_ID = person.Person_ID
INNER JOIN seen ON seen.Person_ID = person.Person_ID
LEFT JOIN moved ON moved.Person_ID = person.Person_ID
