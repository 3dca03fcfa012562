-- Evidence of what local IPS records say in IPS Grow's terms: clients, jobs, employers, titles, contacts with employers, posts and funding.
-- Posts and funding count at the levels that they have; they have no demographics.
-- Grain: one row per unit, and per provider of an employer or title. Keys: unit.
SELECT
    'ips_grow' AS family,
    'episode ' || ips_grow_episode.UniqEpisodeID AS unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    level.* EXCLUDE (UniqEpisodeID),
    ips_grow_episode.* EXCLUDE (UniqEpisodeID)
FROM ips_grow_episode
INNER JOIN ips_episode_level AS level ON level.UniqEpisodeID = ips_grow_episode.UniqEpisodeID

UNION ALL BY NAME

SELECT
    'ips_grow' AS family,
    'job ' || job.UniqEpisodeID || ' ' || job.job_no AS unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    level.* EXCLUDE (UniqEpisodeID),
    job.* EXCLUDE (UniqEpisodeID, job_no, OrgIDProvider)
FROM ips_grow_job AS job
INNER JOIN ips_episode_level AS level ON level.UniqEpisodeID = job.UniqEpisodeID

UNION ALL BY NAME

SELECT DISTINCT
    'ips_grow' AS family,
    'employer ' || job.OrgIDProvider || ' ' || job.employer_id AS unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    level.by_provider, level.by_ips_team, level.by_borough, level.by_specialist,
    1 AS n_ips_different_employers
FROM ips_grow_job AS job
INNER JOIN ips_episode_level AS level ON level.UniqEpisodeID = job.UniqEpisodeID
WHERE job.employer_id IS NOT NULL

UNION ALL BY NAME

SELECT DISTINCT
    'ips_grow' AS family,
    'title ' || job.OrgIDProvider || ' ' || job.job_title AS unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    level.by_provider, level.by_ips_team, level.by_borough, level.by_specialist,
    1 AS n_ips_different_titles
FROM ips_grow_job AS job
INNER JOIN ips_episode_level AS level ON level.UniqEpisodeID = job.UniqEpisodeID
WHERE job.job_title IS NOT NULL

UNION ALL BY NAME

SELECT
    'ips_grow' AS family,
    'contact ' || staff.OrgIDProvider || ' ' || contact.contact_id AS unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    staff.OrgIDProvider AS by_provider,
    staff.OrgIDProvider || ' ' || coalesce(staff.ips_team, 'Unknown') AS by_ips_team,
    coalesce(staff.borough, 'Unknown') AS by_borough,
    staff.OrgIDProvider || ' ' || staff.specialist_id AS by_specialist,
    1 AS n_ips_employer_contacts
FROM ips_employer_contact AS contact
INNER JOIN (
    SELECT submission, specialist_id, OrgIDProvider, ips_team, borough
    FROM ips_staff
    QUALIFY row_number() OVER (PARTITION BY submission, specialist_id ORDER BY from_date DESC, row DESC) = 1
) AS staff
    ON staff.submission = contact.submission
    AND staff.specialist_id = contact.specialist_id
WHERE contact.contact_date >= getvariable('period_start') AND contact.mode = 'face_to_face'

UNION ALL BY NAME

SELECT
    'ips_grow' AS family,
    'post ' || OrgIDProvider || ' ' || submission || ' ' || row AS unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    OrgIDProvider AS by_provider,
    OrgIDProvider || ' ' || coalesce(ips_team, 'Unknown') AS by_ips_team,
    coalesce(borough, 'Unknown') AS by_borough,
    OrgIDProvider || ' ' || specialist_id AS by_specialist,
    COLUMNS('^n_')
FROM ips_grow_staff

UNION ALL BY NAME

SELECT
    'ips_grow' AS family,
    'funding ' || OrgIDProvider || ' ' || submission || ' ' || row AS unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    OrgIDProvider AS by_provider,
    OrgIDProvider || ' ' || coalesce(ips_team, 'Unknown') AS by_ips_team,
    coalesce(borough, 'Unknown') AS by_borough,
    in_window_pence AS n_ips_funding_pence
FROM ips_funding
WHERE in_window_pence > 0
