-- The outcome that DWP programmes pay for: at least 7 hours of paid work in each of 13 weeks within some 16 weeks that follow each other.
--   first_week    the Monday of the first of those weeks
--   reached_on    the Sunday of the thirteenth; of several windows the one reached first
-- Grain: one row per episode that reached it. Keys: UniqEpisodeID.
WITH worked AS (
    SELECT
        UniqEpisodeID,
        week_number,
        lead(week_number, 12) OVER (PARTITION BY UniqEpisodeID ORDER BY week_number) AS thirteenth
    FROM ips_job_week
    WHERE hours >= 7
)
SELECT
    UniqEpisodeID,
    DATE '1900-01-01' + week_number * 7 AS first_week,
    DATE '1900-01-01' + thirteenth * 7 + 6 AS reached_on
FROM worked
WHERE thirteenth - week_number <= 15
QUALIFY row_number() OVER (PARTITION BY UniqEpisodeID ORDER BY thirteenth) = 1
