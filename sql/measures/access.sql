-- Evidence of access, seen three ways: in the twelve months and in the financial year to date, how the count moves, what local records say, and
-- where the three disagree; and what looks like IPS but is found by neither route.
-- Grain: one row per unit, period and combination of levels; a referral or person has rows of several kinds. Keys: unit, period, levels.
WITH client AS (
    -- A client is described by the latest of their episodes, so that one person has one age, one ethnic group and one home.
    SELECT
        local.Person_ID,
        COLUMNS('^by_(age_group|working_age|adult|gender|ethnicity|deprivation)$')
    FROM access_local AS local
    INNER JOIN ips_episode_level AS level ON level.UniqEpisodeID = local.UniqEpisodeID
    QUALIFY row_number() OVER (PARTITION BY local.Person_ID ORDER BY local.access_date DESC NULLS LAST, local.UniqEpisodeID) = 1
)
SELECT 'access' AS family, * FROM access_rolling

UNION ALL BY NAME

SELECT 'access' AS family, * FROM access_year

UNION ALL BY NAME

SELECT 'access' AS family, * FROM access_movement

UNION ALL BY NAME

SELECT
    'access' AS family,
    'episode ' || local.UniqEpisodeID AS unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    level.* EXCLUDE (UniqEpisodeID),
    local.reason,
    local.access_date AS first_contact,
    CAST(accessed AS INTEGER) AS n_episodes_accessed
FROM access_local AS local
INNER JOIN ips_episode_level AS level ON level.UniqEpisodeID = local.UniqEpisodeID

UNION ALL BY NAME

SELECT
    'access' AS family,
    'client ' || local.Person_ID AS unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    level.* EXCLUDE (UniqEpisodeID, by_age_group, by_working_age, by_adult, by_gender, by_ethnicity, by_deprivation),
    client.* EXCLUDE (Person_ID),
    local.reason,
    local.access_date AS first_contact,
    CAST(accessed AS INTEGER) AS n_clients_accessed
FROM access_local AS local
INNER JOIN ips_episode_level AS level ON level.UniqEpisodeID = local.UniqEpisodeID
INNER JOIN client ON client.Person_ID = local.Person_ID

UNION ALL BY NAME

SELECT
    'access' AS family,
    'client ' || local.Person_ID AS unit,
    getvariable('year_start') AS period_start,
    getvariable('period_end') AS period_end,
    level.* EXCLUDE (UniqEpisodeID, by_age_group, by_working_age, by_adult, by_gender, by_ethnicity, by_deprivation),
    client.* EXCLUDE (Person_ID),
    local.reason,
    local.access_date AS first_contact,
    CAST(accessed_in_year AS INTEGER) AS n_clients_accessed_in_year
FROM access_local AS local
INNER JOIN ips_episode_level AS level ON level.UniqEpisodeID = local.UniqEpisodeID
INNER JOIN client ON client.Person_ID = local.Person_ID

UNION ALL BY NAME

SELECT
    'access' AS family,
    unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    OrgIDProv AS by_provider,
    agreement AS by_agreement,
    OrgIDProv || '|' || agreement AS by_provider_agreement,
    COLUMNS('^(in|reason)_(mhs116|dashboard|local)$'),
    mhs116_first_contact AS first_contact,
    dashboard_first_contact,
    local_access,
    local_episode,
    matched_by,
    1 AS n_referrals_compared
FROM access_reconciliation

UNION ALL BY NAME

-- A reason for each count that leaves the referral out although another has it.
SELECT
    'access' AS family,
    unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    OrgIDProv AS by_provider,
    reason AS by_reason,
    OrgIDProv || '|' || reason AS by_provider_reason,
    reason,
    CASE WHEN count_name = 'reason_mhs116' THEN 1 END AS n_not_in_mhs116,
    CASE WHEN count_name = 'reason_dashboard' THEN 1 END AS n_not_in_dashboard,
    CASE WHEN count_name = 'reason_local' THEN 1 END AS n_not_in_local
FROM (
    UNPIVOT (FROM access_reconciliation WHERE in_mhs116 OR in_dashboard OR in_local)
    ON reason_mhs116, reason_dashboard, reason_local
    INTO NAME count_name VALUE reason
)

UNION ALL BY NAME

SELECT
    'access' AS family,
    unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    OrgIDProv AS by_provider,
    'Neither, but looks like IPS' AS by_route,
    sign AS by_reason,
    OrgIDProv || '|' || sign AS by_provider_reason,
    sign AS reason,
    1 AS n_looks_like_ips
FROM access_reconciliation
WHERE sign IS NOT NULL
