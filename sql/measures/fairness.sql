-- Evidence of fair access over 12, 24 and 36 months: who of the whole secondary-care caseload came to IPS, and who of those out of work found work.
-- People who came to IPS have rows of their own. All others only make up denominators, so they are counted together, by what they have in common.
-- Providers have quantities of their own, because a person on two caseloads belongs to both of them and still is one person.
-- Grain: one row per person or group of people, and period. Keys: unit, period_start.
WITH seen AS (
    SELECT
        pool.months,
        contact.Person_ID,
        contact.OrgIDProv,
        coalesce(bool_or(episode.start_status = 'Out of work'), false) AS out_of_work,
        coalesce(
            bool_or(episode.start_status = 'Out of work' AND episode.moved BETWEEN pool.period_start AND getvariable('period_end')), false
        ) AS moved
    FROM episode_contact AS contact
    INNER JOIN pool ON pool.first_month <= contact.UniqMonthID
    LEFT JOIN employment_episode AS episode ON episode.UniqServReqID = contact.UniqServReqID
    GROUP BY pool.months, contact.Person_ID, contact.OrgIDProv
),
seen_person AS (
    SELECT months, Person_ID, bool_or(out_of_work) AS out_of_work, bool_or(moved) AS moved
    FROM seen
    GROUP BY months, Person_ID
),
caseload AS (
    SELECT pool.months, pool.period_start, person.*
    FROM caseload_person AS person
    INNER JOIN pool ON pool.first_month <= person.last_month
),
person AS (
    SELECT
        'person ' || caseload.Person_ID AS unit,
        caseload.* EXCLUDE (Person_ID, last_month, is_adult),
        1 AS n_fair_people,
        1 AS n_fair_people_seen,
        CAST(caseload.is_adult AS INTEGER) AS n_fair_adults,
        CAST(caseload.is_adult AS INTEGER) AS n_fair_adults_seen,
        CAST(seen_person.out_of_work AS INTEGER) AS n_fair_out_of_work,
        CAST(seen_person.moved AS INTEGER) AS n_fair_moved
    FROM caseload
    INNER JOIN seen_person
        ON seen_person.months = caseload.months
        AND seen_person.Person_ID = caseload.Person_ID
),
others AS (
    SELECT
        caseload.* EXCLUDE (Person_ID, last_month, is_adult),
        count(*) AS n_fair_people,
        count(*) FILTER (caseload.is_adult) AS n_fair_adults
    FROM caseload
    ANTI JOIN seen_person
        ON seen_person.months = caseload.months
        AND seen_person.Person_ID = caseload.Person_ID
    GROUP BY ALL
),
provider AS (
    SELECT
        'caseload of ' || held.OrgIDProv AS unit,
        pool.months,
        pool.period_start,
        held.OrgIDProv AS by_provider,
        count(*) AS n_fair_caseload,
        count(seen.Person_ID) AS n_fair_caseload_seen,
        count(*) FILTER (seen.out_of_work) AS n_fair_caseload_out_of_work,
        count(*) FILTER (seen.moved) AS n_fair_caseload_moved
    FROM caseload_provider AS held
    INNER JOIN pool ON pool.first_month <= held.last_month
    LEFT JOIN seen
        ON seen.months = pool.months
        AND seen.Person_ID = held.Person_ID
        AND seen.OrgIDProv = held.OrgIDProv
    GROUP BY held.OrgIDProv, pool.months, pool.period_start
),
counted AS (
    SELECT * FROM person

    UNION ALL BY NAME

    SELECT
        'not seen by IPS: ' || concat_ws('; ', by_sub_icb, by_age_group, by_adult, by_gender, by_ethnicity, by_deprivation) AS unit,
        others.*
    FROM others

    UNION ALL BY NAME

    SELECT * FROM provider
),
named AS (
    SELECT * EXCLUDE (months) FROM counted
    WHERE months = 12

    UNION ALL BY NAME

    SELECT unit, period_start, COLUMNS('^by_'), COLUMNS('^(n_.*)$') AS '\1_24' FROM counted
    WHERE months = 24

    UNION ALL BY NAME

    SELECT unit, period_start, COLUMNS('^by_'), COLUMNS('^(n_.*)$') AS '\1_36' FROM counted
    WHERE months = 36
)
SELECT
    'fairness' AS family,
    getvariable('period_end') AS period_end,
    named.*
FROM named
