-- Times in local IPS records: from the vocational profile and from the referral to the first contact with an employer, and from the referral to the
-- first job. Those to whom it has not happened count for as long as they waited: until discharge, or the last day. Only referrals and profiles of
-- the twelve months.
-- Grain: one row per episode and quantity. Keys: unit, quantity.
WITH origin AS (
    SELECT
        episode.UniqEpisodeID,
        entry.quantity,
        entry.first_day,
        entry.happened_on,
        coalesce(episode.discharge_date, getvariable('period_end')) AS last_day
    FROM (
        SELECT
            episode.*,
            unnest([
                {
                    'quantity': 't_ips_profile_to_employer',
                    'first_day': episode.vocational_profile_date,
                    'happened_on': employer.first_contact
                },
                {'quantity': 't_ips_referral_to_employer', 'first_day': episode.referral_date, 'happened_on': employer.first_contact},
                {'quantity': 't_ips_referral_to_job', 'first_day': episode.referral_date, 'happened_on': job.start_date}
            ]) AS entry
        FROM ips_episode AS episode
        LEFT JOIN (
            SELECT UniqEpisodeID, min(contact_date) AS first_contact FROM ips_employer_contact GROUP BY UniqEpisodeID
        ) AS employer ON employer.UniqEpisodeID = episode.UniqEpisodeID
        LEFT JOIN ips_first_job AS job ON job.UniqEpisodeID = episode.UniqEpisodeID
        WHERE episode.accepted_date IS NOT NULL
    ) AS episode
    WHERE entry.first_day BETWEEN getvariable('period_start') AND getvariable('period_end')
)
SELECT
    'ips_grow' AS family,
    origin.quantity,
    'episode ' || origin.UniqEpisodeID AS unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    level.* EXCLUDE (UniqEpisodeID),
    CAST(greatest(coalesce(origin.happened_on, origin.last_day) - origin.first_day, 0) AS INTEGER) AS days,
    origin.happened_on IS NOT NULL AS happened
FROM origin
INNER JOIN ips_episode_level AS level ON level.UniqEpisodeID = origin.UniqEpisodeID
