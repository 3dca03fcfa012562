-- Times from the day an IPS referral was received, for medians that let referrals without the event count for as long as they were watched.
--   t_first_contact    to the first counted contact; referrals received in the twelve months, those with a negative wait left out
--   t_first_job        to the first start of work inside the episode; referrals received in the twelve months, not in work at the start
--   t_length_of_stay   to the discharge; referrals discharged in the twelve months, so it happened to all of them
-- A referral is watched until its discharge, the end of the last month it was sent in, or the end of the period.
-- Grain: one row per quantity, referral, IPS team and sub-ICB. Keys: quantity, unit, by_team, by_sub_icb.
WITH timed AS (
    SELECT
        't_first_contact' AS quantity,
        UniqServReqID,
        coalesce(first_contact, observed_until) - received AS days,
        first_contact IS NOT NULL AS happened
    FROM employment_episode
    WHERE received BETWEEN getvariable('period_start') AND getvariable('period_end')

    UNION ALL

    SELECT
        't_first_job' AS quantity,
        UniqServReqID,
        coalesce(job_started, observed_until) - received AS days,
        job_started IS NOT NULL AS happened
    FROM employment_episode
    WHERE received BETWEEN getvariable('period_start') AND getvariable('period_end') AND start_status <> 'In work'

    UNION ALL

    SELECT
        't_length_of_stay' AS quantity,
        UniqServReqID,
        discharged - received AS days,
        true AS happened
    FROM employment_episode
    WHERE discharged BETWEEN getvariable('period_start') AND getvariable('period_end')
)
SELECT
    waits.family,
    timed.quantity,
    waits.unit,
    waits.period_start,
    waits.period_end,
    COLUMNS('^by_'),
    timed.days,
    timed.happened
FROM timed
INNER JOIN waits ON waits.unit = 'referral ' || timed.UniqServReqID
WHERE timed.days >= 0
