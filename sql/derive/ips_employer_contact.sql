-- The accepted contacts with employers up to the last day of the reporting period; UniqEpisodeID is NULL for one made for no client in particular.
-- Grain: one row per contact. Keys: submission, contact_id.
SELECT
    recorded.submission,
    recorded.contact_id,
    recorded.specialist_id,
    episode.UniqEpisodeID,
    TRY_CAST(recorded.contact_date AS DATE) AS contact_date,
    recorded.mode
FROM "ips_employer_contact as recorded" AS recorded
LEFT JOIN ips_episode AS episode
    ON episode.submission = recorded.submission
    AND episode.episode_id = recorded.episode_id
WHERE TRY_CAST(recorded.contact_date AS DATE) <= getvariable('period_end')
