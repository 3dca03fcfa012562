-- Hours of paid work of a client in each week that had ended by the last day of the reporting period, over all jobs of the episode.
--   week_number    counts weeks from Monday 1 January 1900, so that weeks that follow each other have numbers that do
-- Grain: one row per episode and week. Keys: UniqEpisodeID, week_number.
SELECT
    episode.UniqEpisodeID,
    TRY_CAST(recorded.week_start AS DATE) AS week_start,
    CAST((TRY_CAST(recorded.week_start AS DATE) - DATE '1900-01-01') // 7 AS INTEGER) AS week_number,
    sum(CAST(recorded.hours AS DECIMAL(5, 2))) AS hours
FROM "ips_job_week as recorded" AS recorded
INNER JOIN ips_episode AS episode
    ON episode.submission = recorded.submission
    AND episode.episode_id = recorded.episode_id
WHERE
    recorded.paid IS DISTINCT FROM 'N'
    AND TRY_CAST(recorded.week_start AS DATE) + 6 <= getvariable('period_end')
GROUP BY ALL
