-- The accepted jobs of local IPS episodes that had started by the last day of the reporting period.
--   last_day       the last day of a job that had ended by then; NULL while it went on
--   found          the job was found with the service's support: the client did not have it when support began
--   four_hours     four hours of paid work had been completed (IPS Grow counts a client into work only then)
--   first_order    1 is the episode's first found job of which four hours were completed
-- Grain: one row per job. Keys: UniqEpisodeID, job_no.
WITH job AS (
    SELECT
        episode.UniqEpisodeID,
        episode.OrgIDProvider,
        CAST(recorded.job_no AS INTEGER) AS job_no,
        TRY_CAST(recorded.start_date AS DATE) AS start_date,
        CASE WHEN TRY_CAST(recorded.end_date AS DATE) <= getvariable('period_end') THEN TRY_CAST(recorded.end_date AS DATE) END AS last_day,
        recorded.held_at_start IS DISTINCT FROM 'Y' AS found,
        coalesce(TRY_CAST(recorded.first_four_hours_date AS DATE) <= getvariable('period_end'), false) AS four_hours,
        CAST(recorded.weekly_hours AS DECIMAL(5, 2)) AS weekly_hours,
        CAST(CAST(recorded.hourly_pay AS DECIMAL(9, 2)) * 100 AS INTEGER) AS hourly_pay_pence,
        recorded.employer_id,
        lower(trim(recorded.job_title)) AS job_title,
        recorded.competitive
    FROM "ips_job as recorded" AS recorded
    INNER JOIN ips_episode AS episode
        ON episode.submission = recorded.submission
        AND episode.episode_id = recorded.episode_id
    WHERE TRY_CAST(recorded.start_date AS DATE) <= getvariable('period_end')
)
SELECT
    *,
    CASE
        WHEN found AND four_hours
            THEN row_number() OVER (PARTITION BY UniqEpisodeID, found, four_hours ORDER BY start_date, job_no)
    END AS first_order
FROM job
