-- Evidence of IPS Grow's measures about clients: every local episode, what it counts for in the twelve months, and why not where it does not.
-- Dates are those known on the last day; a cohort counts in the months in which it matures, so that everybody in it has had the same time.
-- Grain: one row per episode. Keys: UniqEpisodeID.
WITH contact AS (
    -- Support after the start of work also shows in the MHSDS, where the episode names its referral.
    SELECT submission.OrgIDProv || ips_contact.ServiceRequestID AS UniqServReqID, max(ips_contact.CareContDate) AS latest
    FROM ips_contact
    INNER JOIN submission ON submission.submission = ips_contact.submission
    WHERE ips_contact.CareContDate <= getvariable('period_end')
    GROUP BY ALL
),
search AS (
    SELECT UniqEpisodeID, min(contact_date) AS first_contact FROM ips_employer_contact GROUP BY UniqEpisodeID
),
hours_known AS (
    SELECT DISTINCT UniqEpisodeID FROM ips_job_week
),
episode AS (
    SELECT
        episode.*,
        coalesce(episode.status_at_start = 'out_of_work', false) AS out_of_work,
        coalesce(episode.status_at_start = 'in_work', false) AS in_work,
        coalesce(episode.access_date BETWEEN getvariable('period_start') AND getvariable('period_end'), false) AS accessed,
        episode.accepted_date IS NOT NULL AND episode.discharge_date IS NULL AS on_caseload,
        coalesce(episode.discharge_date >= getvariable('period_start'), false) AS discharged,
        job.start_date AS first_start,
        coalesce(job.start_date >= getvariable('period_start'), false) AS started,
        greatest(episode.last_contact_date, contact.latest) AS latest_contact,
        least(episode.access_date + 91, coalesce(episode.discharge_date, DATE '9999-12-31')) AS retention_day,
        search.first_contact AS first_employer_contact,
        hours_known.UniqEpisodeID IS NOT NULL AS hours_recorded,
        threshold.reached_on
    FROM ips_episode AS episode
    LEFT JOIN ips_first_job AS job ON job.UniqEpisodeID = episode.UniqEpisodeID
    LEFT JOIN contact ON contact.UniqServReqID = episode.UniqServReqID
    LEFT JOIN search ON search.UniqEpisodeID = episode.UniqEpisodeID
    LEFT JOIN hours_known ON hours_known.UniqEpisodeID = episode.UniqEpisodeID
    LEFT JOIN ips_threshold AS threshold ON threshold.UniqEpisodeID = episode.UniqEpisodeID
),
due AS (
    SELECT
        *,
        coalesce(in_work AND retention_day BETWEEN getvariable('period_start') AND getvariable('period_end'), false) AS retention_due,
        coalesce(
            vocational_profile_date + 30 BETWEEN getvariable('period_start') AND getvariable('period_end'), false
        ) AS search_due,
        coalesce(first_start + 112 BETWEEN getvariable('period_start') AND getvariable('period_end'), false) AND hours_recorded AS hours_due
    FROM episode
),
cohort AS (
    SELECT
        UniqEpisodeID,
        months,
        coalesce(first_start <= access_date + to_months(months), false) AS started_in_time
    FROM (SELECT *, unnest([6, 9, 12, 18]) AS months FROM due WHERE out_of_work)
    WHERE CAST(access_date + to_months(months) AS DATE) BETWEEN getvariable('period_start') AND getvariable('period_end')
),
cohort_flag AS (
    SELECT
        UniqEpisodeID,
        count(*) FILTER (months = 6) AS n_ips_cohort_6,
        count(*) FILTER (months = 6 AND started_in_time) AS n_ips_cohort_6_started,
        count(*) FILTER (months = 9) AS n_ips_cohort_9,
        count(*) FILTER (months = 9 AND started_in_time) AS n_ips_cohort_9_started,
        count(*) FILTER (months = 12) AS n_ips_cohort_12,
        count(*) FILTER (months = 12 AND started_in_time) AS n_ips_cohort_12_started,
        count(*) FILTER (months = 18) AS n_ips_cohort_18,
        count(*) FILTER (months = 18 AND started_in_time) AS n_ips_cohort_18_started
    FROM cohort
    GROUP BY UniqEpisodeID
),
lasted AS (
    SELECT
        covered.UniqEpisodeID,
        covered.purpose,
        coalesce(job.last_day > covered.last_day, true) AS same_job,
        covered.gap_days <= 14 AS any_job
    FROM ips_covered AS covered
    INNER JOIN ips_first_job AS job ON job.UniqEpisodeID = covered.UniqEpisodeID
    WHERE covered.last_day + 1 >= getvariable('period_start')
),
lasted_flag AS (
    SELECT
        UniqEpisodeID,
        count(*) FILTER (purpose = 'weeks 13') AS n_ips_mature_13,
        count(*) FILTER (purpose = 'weeks 13' AND same_job) AS n_ips_same_job_13,
        count(*) FILTER (purpose = 'weeks 13' AND any_job) AS n_ips_any_job_13,
        count(*) FILTER (purpose = 'weeks 26') AS n_ips_mature_26,
        count(*) FILTER (purpose = 'weeks 26' AND same_job) AS n_ips_same_job_26,
        count(*) FILTER (purpose = 'weeks 26' AND any_job) AS n_ips_any_job_26,
        count(*) FILTER (purpose = 'weeks 52') AS n_ips_mature_52,
        count(*) FILTER (purpose = 'weeks 52' AND same_job) AS n_ips_same_job_52,
        count(*) FILTER (purpose = 'weeks 52' AND any_job) AS n_ips_any_job_52
    FROM lasted
    GROUP BY UniqEpisodeID
),
benchmark AS (
    SELECT CAST(max_by(CAST(value AS DECIMAL(9, 2)) * 100, valid_from) AS INTEGER) AS hundredths
    FROM ips_benchmark
    WHERE code = 'employment_rate' AND valid_from <= getvariable('period_end')
),
working AS (
    -- Whether somebody who was in work at the start had that job or another on the day it is asked about.
    SELECT
        due.UniqEpisodeID,
        bool_or(coalesce(job.last_day, DATE '9999-12-31') >= due.retention_day AND job.start_date <= due.retention_day) AS working
    FROM due
    INNER JOIN ips_job AS job ON job.UniqEpisodeID = due.UniqEpisodeID
    GROUP BY due.UniqEpisodeID
)
SELECT
    due.UniqEpisodeID,
    due.Person_ID,
    due.referral_date,
    due.accepted_date,
    due.access_date,
    due.first_start,
    due.discharge_date,
    CASE
        WHEN due.accessed THEN 'accessed in the twelve months'
        WHEN due.access_date IS NOT NULL THEN 'accessed before the twelve months'
        WHEN due.accepted_date IS NULL THEN 'not accepted onto the caseload'
        WHEN due.first_contact_date IS NULL THEN 'no meaningful contact yet'
        ELSE 'no agreement to take part and no vocational profile yet'
    END AS reason,
    CASE WHEN due.accepted_date IS NOT NULL AND due.referral_date >= getvariable('period_start') THEN 1 ELSE 0 END AS n_ips_referrals,
    CASE
        WHEN due.accepted_date IS NOT NULL AND due.referral_date >= getvariable('period_start') AND due.in_work THEN 1 ELSE 0
    END AS n_ips_referrals_in_work,
    CASE WHEN due.accessed THEN 1 ELSE 0 END AS n_ips_access,
    CASE WHEN due.accessed AND due.out_of_work THEN 1 ELSE 0 END AS n_ips_access_out_of_work,
    CASE WHEN due.accessed AND due.out_of_work THEN 100 ELSE 0 END AS n_ips_access_out_of_work_hundredths,
    CASE WHEN due.accessed AND due.out_of_work THEN benchmark.hundredths ELSE 0 END AS n_ips_benchmark_hundredths,
    CASE WHEN due.vocational_profile_date >= getvariable('period_start') AND due.discharge_date IS NULL THEN 1 ELSE 0 END AS n_ips_profiles_open,
    CASE WHEN due.vocational_profile_date >= getvariable('period_start') THEN 1 ELSE 0 END AS n_ips_profiles,
    CASE WHEN due.on_caseload THEN 1 ELSE 0 END AS n_ips_caseload,
    CASE WHEN due.on_caseload AND due.in_work THEN 1 ELSE 0 END AS n_ips_caseload_in_work,
    CASE
        WHEN due.on_caseload AND due.access_date IS NOT NULL AND due.latest_contact > getvariable('period_end') - 28 THEN 1 ELSE 0
    END AS n_ips_active,
    CASE WHEN due.started THEN 1 ELSE 0 END AS n_ips_first_starts,
    CASE WHEN due.started AND due.out_of_work THEN 1 ELSE 0 END AS n_ips_first_starts_out_of_work,
    CASE WHEN due.started AND due.latest_contact > due.first_start THEN 1 ELSE 0 END AS n_ips_supported_after_start,
    coalesce(cohort_flag.n_ips_cohort_6, 0) AS n_ips_cohort_6,
    coalesce(cohort_flag.n_ips_cohort_6_started, 0) AS n_ips_cohort_6_started,
    coalesce(cohort_flag.n_ips_cohort_9, 0) AS n_ips_cohort_9,
    coalesce(cohort_flag.n_ips_cohort_9_started, 0) AS n_ips_cohort_9_started,
    coalesce(cohort_flag.n_ips_cohort_12, 0) AS n_ips_cohort_12,
    coalesce(cohort_flag.n_ips_cohort_12_started, 0) AS n_ips_cohort_12_started,
    coalesce(cohort_flag.n_ips_cohort_18, 0) AS n_ips_cohort_18,
    coalesce(cohort_flag.n_ips_cohort_18_started, 0) AS n_ips_cohort_18_started,
    CASE WHEN due.discharged AND due.out_of_work THEN 1 ELSE 0 END AS n_ips_discharged_out_of_work,
    CASE WHEN due.discharged AND due.out_of_work AND due.first_start IS NOT NULL THEN 1 ELSE 0 END AS n_ips_discharged_with_job,
    CASE WHEN due.discharged THEN 1 ELSE 0 END AS n_ips_discharged,
    CASE WHEN due.discharged AND due.in_work_at_discharge = 'Y' THEN 1 ELSE 0 END AS n_ips_discharged_in_work,
    CASE WHEN due.discharged AND due.in_work_at_discharge IS NULL THEN 1 ELSE 0 END AS n_ips_discharged_unknown,
    CASE WHEN due.discharged AND due.accepted_date IS NOT NULL THEN due.discharge_date - due.accepted_date ELSE 0 END AS n_ips_episode_days,
    CASE WHEN due.discharged AND due.accepted_date IS NOT NULL THEN 1 ELSE 0 END AS n_ips_episodes_ended,
    CASE WHEN due.retention_due THEN 1 ELSE 0 END AS n_ips_retention_due,
    CASE WHEN due.retention_due AND working.working THEN 1 ELSE 0 END AS n_ips_retention_kept,
    CASE WHEN due.retention_due AND working.working IS NULL THEN 1 ELSE 0 END AS n_ips_retention_no_job_recorded,
    CASE WHEN due.search_due THEN 1 ELSE 0 END AS n_ips_search_due,
    CASE
        WHEN due.search_due AND due.first_employer_contact <= due.vocational_profile_date + 30 THEN 1 ELSE 0
    END AS n_ips_search_within_30,
    CASE WHEN due.search_due AND due.first_employer_contact IS NULL THEN 1 ELSE 0 END AS n_ips_search_none_yet,
    CASE WHEN due.accessed AND due.benefits_advice_date IS NOT NULL THEN 1 ELSE 0 END AS n_ips_benefits_advice,
    CASE WHEN due.hours_due THEN 1 ELSE 0 END AS n_ips_threshold_due,
    CASE WHEN due.hours_due AND due.reached_on IS NOT NULL THEN 1 ELSE 0 END AS n_ips_threshold_reached,
    coalesce(lasted_flag.n_ips_mature_13, 0) AS n_ips_mature_13,
    coalesce(lasted_flag.n_ips_same_job_13, 0) AS n_ips_same_job_13,
    coalesce(lasted_flag.n_ips_any_job_13, 0) AS n_ips_any_job_13,
    coalesce(lasted_flag.n_ips_mature_26, 0) AS n_ips_mature_26,
    coalesce(lasted_flag.n_ips_same_job_26, 0) AS n_ips_same_job_26,
    coalesce(lasted_flag.n_ips_any_job_26, 0) AS n_ips_any_job_26,
    coalesce(lasted_flag.n_ips_mature_52, 0) AS n_ips_mature_52,
    coalesce(lasted_flag.n_ips_same_job_52, 0) AS n_ips_same_job_52,
    coalesce(lasted_flag.n_ips_any_job_52, 0) AS n_ips_any_job_52
FROM due
CROSS JOIN benchmark
LEFT JOIN cohort_flag ON cohort_flag.UniqEpisodeID = due.UniqEpisodeID
LEFT JOIN lasted_flag ON lasted_flag.UniqEpisodeID = due.UniqEpisodeID
LEFT JOIN working ON working.UniqEpisodeID = due.UniqEpisodeID
