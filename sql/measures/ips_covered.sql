-- On how many days of each span the client had a job; days on which there were several count once.
--   gap_days    the other days of the span, however they are spread
-- Grain: one row per span. Keys: UniqEpisodeID, purpose.
WITH held AS (
    SELECT
        span.UniqEpisodeID,
        span.purpose,
        greatest(job.start_date, span.first_day) AS from_day,
        least(coalesce(job.last_day, span.last_day), span.last_day) AS to_day,
        job.job_no
    FROM ips_span AS span
    INNER JOIN ips_job AS job
        ON job.UniqEpisodeID = span.UniqEpisodeID
        AND job.start_date <= span.last_day
        AND coalesce(job.last_day, span.last_day) >= span.first_day
),
fresh AS (
    SELECT
        UniqEpisodeID,
        purpose,
        greatest(
            to_day
            - greatest(
                from_day,
                coalesce(
                    max(to_day) OVER (
                        PARTITION BY UniqEpisodeID, purpose ORDER BY from_day, to_day, job_no ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                    ) + 1,
                    from_day
                )
            )
            + 1,
            0
        ) AS days
    FROM held
),
covered AS (
    SELECT UniqEpisodeID, purpose, CAST(sum(days) AS INTEGER) AS days FROM fresh GROUP BY UniqEpisodeID, purpose
)
SELECT
    span.*,
    coalesce(covered.days, 0) AS covered_days,
    span.last_day - span.first_day + 1 - coalesce(covered.days, 0) AS gap_days
FROM ips_span AS span
LEFT JOIN covered
    ON covered.UniqEpisodeID = span.UniqEpisodeID
    AND covered.purpose = span.purpose
