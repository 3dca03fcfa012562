-- Spans of days for which it matters how many of them a client was in work: 13, 26 and 52 weeks from the first job, and the year of a trial.
-- Only spans that have passed, so that nobody counts as a failure who has not had the time.
-- Grain: one row per episode and purpose. Keys: UniqEpisodeID, purpose.
SELECT
    UniqEpisodeID,
    'weeks ' || weeks AS purpose,
    start_date AS first_day,
    start_date + CAST(weeks * 7 - 1 AS INTEGER) AS last_day
FROM (SELECT *, unnest([13, 26, 52]) AS weeks FROM ips_first_job)
WHERE start_date + CAST(weeks * 7 AS INTEGER) <= getvariable('period_end')

UNION ALL

SELECT
    UniqEpisodeID,
    'trial year' AS purpose,
    coalesce(randomised_date, access_date) AS first_day,
    coalesce(randomised_date, access_date) + 364 AS last_day
FROM ips_episode
WHERE arm IS NOT NULL AND coalesce(randomised_date, access_date) + 365 <= getvariable('period_end')
