-- Evidence of comparison designs: everybody who was allocated to an arm, in the arm they were allocated to, whatever happened next (intention to
-- treat). The year begins at randomisation, else at the start of support. Outcomes count for those whose whole year is known; those lost to
-- follow-up within it are shown and left out.
-- Grain: one row per episode in a trial. Keys: unit.
WITH allocated AS (
    SELECT
        episode.*,
        coalesce(episode.randomised_date, episode.access_date) AS year_begins
    FROM ips_episode AS episode
    WHERE episode.arm IS NOT NULL
),
worked AS (
    SELECT
        week.UniqEpisodeID,
        week.week_number,
        lead(week.week_number, 12) OVER (PARTITION BY week.UniqEpisodeID ORDER BY week.week_number) AS thirteenth
    FROM ips_job_week AS week
    INNER JOIN allocated
        ON allocated.UniqEpisodeID = week.UniqEpisodeID
        AND week.week_start >= allocated.year_begins
        AND week.week_start + 6 <= allocated.year_begins + 364
    WHERE week.hours >= 7
),
hours AS (
    -- The thirteenth such week within sixteen that follow each other.
    SELECT UniqEpisodeID, bool_or(coalesce(thirteenth - week_number <= 15, false)) AS reached FROM worked GROUP BY UniqEpisodeID
),
followed AS (
    SELECT
        allocated.*,
        coalesce(year_begins + 365 <= getvariable('period_end'), false) AS due,
        coalesce(year_begins + 365 <= getvariable('period_end') AND lost_date < year_begins + 364, false) AS lost,
        coalesce(covered.covered_days, 0) AS covered_days,
        coalesce(hours.reached, false) AS reached_hours
    FROM allocated
    LEFT JOIN ips_covered AS covered
        ON covered.UniqEpisodeID = allocated.UniqEpisodeID
        AND covered.purpose = 'trial year'
    LEFT JOIN hours ON hours.UniqEpisodeID = allocated.UniqEpisodeID
)
SELECT
    'trial' AS family,
    'episode ' || followed.UniqEpisodeID AS unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    level.* EXCLUDE (UniqEpisodeID),
    followed.Person_ID,
    followed.year_begins,
    followed.lost_date,
    followed.covered_days,
    CASE
        WHEN followed.year_begins IS NULL THEN 'neither randomised nor started'
        WHEN NOT followed.due THEN 'the year has not passed'
        WHEN followed.lost THEN 'lost to follow-up within the year'
        ELSE 'followed for the whole year'
    END AS reason,
    1 AS n_trial_allocated,
    CASE WHEN followed.due THEN 1 ELSE 0 END AS n_trial_due,
    CASE WHEN followed.lost THEN 1 ELSE 0 END AS n_trial_lost,
    CASE WHEN followed.due AND NOT followed.lost THEN 1 ELSE 0 END AS n_trial_followed,
    CASE WHEN followed.due AND NOT followed.lost AND followed.covered_days >= 91 THEN 1 ELSE 0 END AS n_trial_employed_13,
    CASE WHEN followed.due AND NOT followed.lost AND followed.reached_hours THEN 1 ELSE 0 END AS n_trial_hours
FROM followed
INNER JOIN ips_episode_level AS level ON level.UniqEpisodeID = followed.UniqEpisodeID
