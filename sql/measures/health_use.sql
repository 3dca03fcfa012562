-- Evidence of hospital use in the twelve months before and after the first IPS contact, with the days each person was really in view.
-- A day is in view when it lies in a month that a provider which knows the person sent, and that provider sends hospital stays at all. The day of
-- the contact is the first day after. A stay across that day is split: its nights count on the side they lie on, its admission where it began.
--   matched   as many days before as after: the shorter of the two runs of days in view that reach the contact without a gap
-- It covers people whose first contact lies in the twelve months or in the twelve before them.
-- Grain: one row per person and sub-ICB. Keys: unit, by_sub_icb.
WITH in_view AS (
    -- A month is in view once, however many providers sent it.
    SELECT DISTINCT
        access.Person_ID,
        access.first_contact,
        submission.ReportingPeriodStartDate AS first_day,
        submission.ReportingPeriodEndDate + 1 AS next_day
    FROM person_access AS access
    INNER JOIN (SELECT DISTINCT Person_ID, OrgIDProv FROM person_record) AS known ON known.Person_ID = access.Person_ID
    INNER JOIN submission ON submission.OrgIDProv = known.OrgIDProv
    WHERE
        submission.UniqMonthID <= getvariable('window_last_month')
        AND submission.ReportingPeriodEndDate >= access.first_contact - 365
        AND submission.ReportingPeriodStartDate < access.first_contact + 365
        AND known.OrgIDProv IN (
            SELECT sends.OrgIDProv
            FROM MHS501HospProvSpell AS spell
            INNER JOIN submission AS sends ON sends.submission = spell.submission
        )
),
side AS (
    SELECT
        Person_ID,
        'before' AS side,
        greatest(first_day, first_contact - 365) AS first_day,
        least(next_day, first_contact) AS next_day
    FROM in_view

    UNION ALL

    SELECT
        Person_ID,
        'after' AS side,
        greatest(first_day, first_contact) AS first_day,
        least(next_day, first_contact + 365) AS next_day
    FROM in_view
),
piece AS (
    SELECT
        *,
        sum(next_day - first_day) OVER (
            PARTITION BY Person_ID, side
            ORDER BY CASE side WHEN 'before' THEN next_day END DESC, first_day
        ) AS days_so_far
    FROM side
    WHERE first_day < next_day
),
view_of AS (
    SELECT
        piece.Person_ID,
        access.first_contact,
        CAST(coalesce(sum(next_day - first_day) FILTER (side = 'before'), 0) AS INTEGER) AS days_before,
        CAST(coalesce(sum(next_day - first_day) FILTER (side = 'after'), 0) AS INTEGER) AS days_after,
        CAST(least(
            coalesce(max(days_so_far) FILTER (side = 'before' AND days_so_far = access.first_contact - first_day), 0),
            coalesce(max(days_so_far) FILTER (side = 'after' AND days_so_far = next_day - access.first_contact), 0)
        ) AS INTEGER) AS days_matched
    FROM piece
    INNER JOIN person_access AS access ON access.Person_ID = piece.Person_ID
    GROUP BY piece.Person_ID, access.first_contact
),
night AS (
    -- One row per night in hospital, so that stays that overlap give one night.
    SELECT DISTINCT
        spell.Person_ID,
        CAST(unnest(range(
            greatest(spell.started, view_of.first_contact - 365),
            least(spell.nights_until, view_of.first_contact + 365),
            INTERVAL 1 DAY
        )) AS DATE) AS day
    FROM hospital_spell AS spell
    INNER JOIN view_of ON view_of.Person_ID = spell.Person_ID
),
event AS (
    SELECT Person_ID, day, 1 AS nights, 0 AS admissions FROM night
    UNION ALL
    SELECT Person_ID, started AS day, 0 AS nights, 1 AS admissions FROM hospital_spell
),
use AS (
    SELECT
        event.Person_ID,
        sum(event.nights) FILTER (piece.side = 'before') AS nights_before,
        sum(event.nights) FILTER (piece.side = 'after') AS nights_after,
        sum(event.admissions) FILTER (piece.side = 'before') AS admissions_before,
        sum(event.admissions) FILTER (piece.side = 'after') AS admissions_after,
        sum(event.nights) FILTER (piece.side = 'before' AND event.day >= view_of.first_contact - days_matched) AS matched_before,
        sum(event.nights) FILTER (piece.side = 'after' AND event.day < view_of.first_contact + days_matched) AS matched_after
    FROM event
    INNER JOIN view_of ON view_of.Person_ID = event.Person_ID
    INNER JOIN piece
        ON piece.Person_ID = event.Person_ID
        AND event.day >= piece.first_day
        AND event.day < piece.next_day
    GROUP BY event.Person_ID
),
judged AS (
    SELECT
        access.*,
        coalesce(view_of.days_before, 0) AS days_before,
        coalesce(view_of.days_after, 0) AS days_after,
        coalesce(view_of.days_matched, 0) AS days_matched,
        coalesce(nights_before, 0) AS nights_before,
        coalesce(nights_after, 0) AS nights_after,
        coalesce(admissions_before, 0) AS admissions_before,
        coalesce(admissions_after, 0) AS admissions_after,
        coalesce(matched_before, 0) AS matched_before,
        coalesce(matched_after, 0) AS matched_after,
        CASE
            WHEN NOT access.has_episode THEN 'lives outside England by the last record of the referral'
            WHEN NOT access.known_first THEN 'an earlier contact may lie before the months sent'
            WHEN view_of.Person_ID IS NULL THEN 'no provider of the person sends hospital stays'
            WHEN view_of.days_before = 0 THEN 'no day before the first contact is in view'
        END AS reason
    FROM person_access AS access
    LEFT JOIN view_of ON view_of.Person_ID = access.Person_ID
    LEFT JOIN use ON use.Person_ID = access.Person_ID
    WHERE access.first_contact >= getvariable('period_start') - INTERVAL 12 MONTH
)
SELECT
    'health_use' AS family,
    'person ' || judged.Person_ID AS unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    patient_level.* EXCLUDE (submission, patient_row),
    judged.first_contact,
    judged.reason,
    CAST(reason IS NULL AS INTEGER) AS n_hosp_people,
    CASE WHEN reason IS NULL THEN days_before END AS n_hosp_days_before,
    CASE WHEN reason IS NULL THEN days_after END AS n_hosp_days_after,
    CASE WHEN reason IS NULL THEN admissions_before END AS n_hosp_admissions_before,
    CASE WHEN reason IS NULL THEN admissions_after END AS n_hosp_admissions_after,
    CASE WHEN reason IS NULL THEN nights_before END AS n_hosp_nights_before,
    CASE WHEN reason IS NULL THEN nights_after END AS n_hosp_nights_after,
    CASE WHEN reason IS NULL THEN days_matched END AS n_hosp_days_matched,
    CASE WHEN reason IS NULL THEN matched_before END AS n_hosp_nights_matched_before,
    CASE WHEN reason IS NULL THEN matched_after END AS n_hosp_nights_matched_after,
    CASE WHEN reason IS NULL THEN greatest(matched_before - matched_after, 0) END AS n_hosp_nights_fewer,
    CASE WHEN reason IS NULL THEN greatest(matched_after - matched_before, 0) END AS n_hosp_nights_more,
    CAST(reason IS NULL AND days_matched > 0 AS INTEGER) AS n_hosp_people_matched,
    CAST(reason IS NULL AND matched_after < matched_before AS INTEGER) AS n_hosp_people_fewer_nights,
    CAST(reason IS NULL AND matched_after > matched_before AS INTEGER) AS n_hosp_people_more_nights
FROM judged
INNER JOIN patient_level
    ON patient_level.submission = judged.submission
    AND patient_level.patient_row = judged.patient_row
