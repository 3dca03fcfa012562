-- Evidence of how the count of twelve months moves: when each referral and person is first seen; who entered the count with the reporting
-- month and who left it; and, month by month, who will leave it unless seen again.
-- A person's rows have no place: first seen, entered and left are about the person wherever they were seen.
-- Grain: one row per referral or person, movement, and sub-ICB of theirs. Keys: unit, movement, by_sub_icb.
WITH last_day AS (
    -- The reporting month may be the first that is held; then nobody can be said to have entered, and nobody can have left.
    SELECT count(*) > 0 AS earlier_held
    FROM submission
    WHERE UniqMonthID < getvariable('window_first_month')
),
current AS (SELECT * FROM access_window WHERE span = 'current'),
previous AS (SELECT * FROM access_window WHERE span = 'previous'),
earlier AS (
    SELECT UniqServReqID, Person_ID FROM access_month WHERE UniqMonthID < getvariable('window_first_month')
),
movement AS (
    SELECT
        'first seen' AS movement,
        'referral ' || UniqServReqID AS unit,
        submission,
        patient_row,
        true AS placed,
        first_month AS UniqMonthID,
        CASE
            WHEN UniqServReqID IN (SELECT UniqServReqID FROM earlier) THEN 'seen before the twelve months'
            ELSE 'first contact in all months held'
        END AS reason
    FROM current

    UNION ALL

    SELECT
        'entered' AS movement,
        'referral ' || UniqServReqID AS unit,
        submission,
        patient_row,
        true AS placed,
        getvariable('window_last_month') AS UniqMonthID,
        CASE
            WHEN UniqServReqID IN (SELECT UniqServReqID FROM earlier) THEN 'seen again after leaving'
            ELSE 'first contact in all months held'
        END AS reason
    FROM current
    WHERE (SELECT earlier_held FROM last_day) AND UniqServReqID NOT IN (SELECT UniqServReqID FROM previous)

    UNION ALL

    SELECT
        'left' AS movement,
        'referral ' || UniqServReqID AS unit,
        submission,
        patient_row,
        true AS placed,
        getvariable('window_last_month') AS UniqMonthID,
        'not seen in the twelve months since' AS reason
    FROM previous
    WHERE UniqServReqID NOT IN (SELECT UniqServReqID FROM current)

    UNION ALL

    SELECT
        'will leave' AS movement,
        'referral ' || UniqServReqID AS unit,
        submission,
        patient_row,
        true AS placed,
        last_month + 12 AS UniqMonthID,
        'last seen twelve months before' AS reason
    FROM current

    UNION ALL

    SELECT
        'first seen' AS movement,
        'person ' || Person_ID AS unit,
        submission,
        patient_row,
        false AS placed,
        first_month AS UniqMonthID,
        CASE
            WHEN Person_ID IN (SELECT Person_ID FROM earlier) THEN 'seen before the twelve months'
            ELSE 'first contact in all months held'
        END AS reason
    FROM current
    QUALIFY row_number() OVER (PARTITION BY Person_ID ORDER BY first_month, first_contact NULLS FIRST, RecordNumber) = 1

    UNION ALL

    SELECT
        'entered' AS movement,
        'person ' || Person_ID AS unit,
        submission,
        patient_row,
        false AS placed,
        getvariable('window_last_month') AS UniqMonthID,
        CASE
            WHEN Person_ID IN (SELECT Person_ID FROM earlier) THEN 'seen again after leaving'
            ELSE 'first contact in all months held'
        END AS reason
    FROM current
    WHERE (SELECT earlier_held FROM last_day) AND Person_ID NOT IN (SELECT Person_ID FROM previous)
    QUALIFY row_number() OVER (PARTITION BY Person_ID ORDER BY first_contact NULLS FIRST, RecordNumber) = 1

    UNION ALL

    SELECT
        'left' AS movement,
        'person ' || Person_ID AS unit,
        submission,
        patient_row,
        false AS placed,
        getvariable('window_last_month') AS UniqMonthID,
        'not seen in the twelve months since' AS reason
    FROM previous
    WHERE Person_ID NOT IN (SELECT Person_ID FROM current)
    QUALIFY row_number() OVER (PARTITION BY Person_ID ORDER BY first_contact NULLS FIRST, RecordNumber) = 1

    UNION ALL

    SELECT
        'will leave' AS movement,
        'person ' || Person_ID AS unit,
        submission,
        patient_row,
        false AS placed,
        last_month + 12 AS UniqMonthID,
        'last seen twelve months before' AS reason
    FROM current
    QUALIFY row_number() OVER (PARTITION BY Person_ID ORDER BY last_month DESC, first_contact DESC NULLS LAST, RecordNumber DESC) = 1
),
dated AS (
    -- Month 1 is April 1900.
    SELECT *, make_date(1900 + (UniqMonthID + 2) // 12, (UniqMonthID + 2) % 12 + 1, 1) AS first_day
    FROM movement
)
SELECT
    dated.unit,
    dated.first_day AS period_start,
    last_day(dated.first_day) AS period_end,
    dated.movement,
    dated.reason,
    CASE WHEN dated.placed THEN patient_level.by_provider END AS by_provider,
    CASE WHEN dated.placed THEN patient_level.by_sub_icb END AS by_sub_icb,
    CASE WHEN dated.placed THEN patient_level.by_icb END AS by_icb,
    CASE WHEN dated.placed THEN patient_level.by_region END AS by_region,
    COLUMNS('^by_(age_group|working_age|adult|gender|ethnicity|deprivation)$'),
    CASE WHEN placed AND movement = 'first seen' THEN 1 END AS n_referrals_first_in_window,
    CASE WHEN placed AND movement = 'first seen' THEN CAST(reason = 'first contact in all months held' AS INTEGER) END AS n_referrals_first_ever,
    CASE WHEN placed AND movement = 'entered' THEN 1 END AS n_referrals_entered,
    CASE WHEN placed AND movement = 'left' THEN 1 END AS n_referrals_left,
    CASE WHEN placed AND movement = 'will leave' THEN 1 END AS n_referrals_leaving,
    CASE WHEN NOT placed AND movement = 'first seen' THEN 1 END AS n_people_first_in_window,
    CASE WHEN NOT placed AND movement = 'first seen' THEN CAST(reason = 'first contact in all months held' AS INTEGER) END AS n_people_first_ever,
    CASE WHEN NOT placed AND movement = 'entered' THEN 1 END AS n_people_entered,
    CASE WHEN NOT placed AND movement = 'left' THEN 1 END AS n_people_left,
    CASE WHEN NOT placed AND movement = 'will leave' THEN 1 END AS n_people_leaving
FROM dated
INNER JOIN patient_level
    ON patient_level.submission = dated.submission
    AND patient_level.patient_row = dated.patient_row
