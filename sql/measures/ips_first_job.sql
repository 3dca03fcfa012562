-- The first job that IPS Grow counts for an episode: found with the service's support, with four hours of paid work completed; none in an episode
-- that was never taken on, such as one of a trial's comparison arm.
-- Grain: one row per episode with such a job. Keys: UniqEpisodeID.
SELECT
    job.*,
    episode.status_at_start
FROM ips_job AS job
INNER JOIN ips_episode AS episode ON episode.UniqEpisodeID = job.UniqEpisodeID
WHERE job.first_order = 1 AND coalesce(episode.accepted_date, episode.access_date) IS NOT NULL
