-- Evidence of IPS Grow's measures about jobs: every job found with support that started in the twelve months, first or not.
-- The largest employer and title are those of the provider: how far its jobs depend on one of them.
-- Grain: one row per job. Keys: UniqEpisodeID, job_no.
WITH job AS (
    SELECT
        job.*,
        episode.PersonBirthDate,
        count(*) OVER (PARTITION BY job.OrgIDProvider, job.employer_id) AS with_employer,
        count(*) OVER (PARTITION BY job.OrgIDProvider, job.job_title) AS with_title
    FROM ips_job AS job
    INNER JOIN ips_episode AS episode ON episode.UniqEpisodeID = job.UniqEpisodeID
    WHERE
        job.found
        AND job.start_date BETWEEN getvariable('period_start') AND getvariable('period_end')
        AND coalesce(episode.accepted_date, episode.access_date) IS NOT NULL
),
ranked AS (
    SELECT
        *,
        first_value(employer_id) OVER (PARTITION BY OrgIDProvider ORDER BY employer_id IS NULL, with_employer DESC, employer_id) AS largest_employer,
        first_value(job_title) OVER (PARTITION BY OrgIDProvider ORDER BY job_title IS NULL, with_title DESC, job_title) AS largest_title,
        date_sub('year', PersonBirthDate, start_date) AS age
    FROM job
),
paid AS (
    -- The legal minimum of the day the job started, for the age on that day.
    SELECT ranked.*, minimum_wage.pence_per_hour AS minimum_pence
    FROM ranked
    LEFT JOIN minimum_wage
        ON TRY_CAST(minimum_wage.valid_from AS DATE) <= ranked.start_date
        AND minimum_wage.lowest_age <= ranked.age
    QUALIFY row_number() OVER (
        PARTITION BY ranked.UniqEpisodeID, ranked.job_no
        ORDER BY TRY_CAST(minimum_wage.valid_from AS DATE) DESC, minimum_wage.lowest_age DESC
    ) = 1
)
SELECT
    UniqEpisodeID,
    job_no,
    OrgIDProvider,
    start_date,
    employer_id,
    job_title,
    1 AS n_ips_starts,
    CASE WHEN weekly_hours IS NOT NULL THEN 1 ELSE 0 END AS n_ips_hours_known,
    CASE WHEN weekly_hours < 5 THEN 1 ELSE 0 END AS n_ips_hours_1_4,
    CASE WHEN weekly_hours >= 5 AND weekly_hours < 16 THEN 1 ELSE 0 END AS n_ips_hours_5_15,
    CASE WHEN weekly_hours >= 16 AND weekly_hours < 30 THEN 1 ELSE 0 END AS n_ips_hours_16_29,
    CASE WHEN weekly_hours >= 30 THEN 1 ELSE 0 END AS n_ips_hours_30,
    CASE WHEN weekly_hours >= 16 THEN 1 ELSE 0 END AS n_ips_hours_16_or_more,
    CASE WHEN weekly_hours IS NULL THEN 1 ELSE 0 END AS n_ips_hours_unknown,
    CAST(coalesce(weekly_hours, 0) * 60 AS INTEGER) AS n_ips_weekly_minutes,
    CASE WHEN hourly_pay_pence IS NOT NULL THEN 1 ELSE 0 END AS n_ips_pay_known,
    coalesce(hourly_pay_pence, 0) AS n_ips_pay_pence,
    CASE WHEN hourly_pay_pence IS NOT NULL AND minimum_pence IS NOT NULL THEN 1 ELSE 0 END AS n_ips_pay_comparable,
    CASE WHEN hourly_pay_pence >= minimum_pence THEN 1 ELSE 0 END AS n_ips_pay_at_minimum,
    CASE WHEN competitive IS NOT NULL THEN 1 ELSE 0 END AS n_ips_competitive_known,
    CASE WHEN competitive = 'Y' THEN 1 ELSE 0 END AS n_ips_competitive,
    CASE WHEN employer_id IS NOT NULL THEN 1 ELSE 0 END AS n_ips_jobs_with_employer,
    CASE WHEN employer_id = largest_employer THEN 1 ELSE 0 END AS n_ips_jobs_largest_employer,
    CASE WHEN job_title IS NOT NULL THEN 1 ELSE 0 END AS n_ips_jobs_with_title,
    CASE WHEN job_title = largest_title THEN 1 ELSE 0 END AS n_ips_jobs_largest_title
FROM paid
