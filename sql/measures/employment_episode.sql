-- What the employment statuses say about each IPS episode. The person's statuses stand in for the episode: MHSDS holds no job.
--   start_status, discharge_status   the status nearest to the day, within the days that the bands of the standard allow; a known one before an
--                    unknown one, and not one that began after the day or had ended before it. On equal distance the earlier one describes the
--                    referral, the later one the discharge.
--   job_started      first start date of work inside the episode, whatever the status at the start
--   job_ended        its end date; without one, the day a later status was recorded as out of work
--   moved            first day inside the episode that shows work after a start out of work: a status recorded, or a start date (moved_dated)
-- Grain: one row per referral. Keys: UniqServReqID.
WITH near_start AS (
    SELECT episode.UniqServReqID, status.state, status.recorded
    FROM referral_episode AS episode
    INNER JOIN employment_status AS status ON status.Person_ID = episode.Person_ID
    INNER JOIN band
        ON band.class = 'status at referral'
        AND status.recorded - episode.received BETWEEN band.lowest AND band.highest
    WHERE
        coalesce(status.started, episode.received) <= episode.received
        AND coalesce(status.ended, episode.received) >= episode.received
    QUALIFY row_number() OVER (
        PARTITION BY episode.UniqServReqID
        ORDER BY status.state = 'Unknown', abs(status.recorded - episode.received), status.recorded, status.status_order
    ) = 1
),
near_discharge AS (
    SELECT episode.UniqServReqID, status.state, status.hours, status.recorded
    FROM referral_episode AS episode
    INNER JOIN employment_status AS status ON status.Person_ID = episode.Person_ID
    INNER JOIN band
        ON band.class = 'status at discharge'
        AND status.recorded - episode.discharged BETWEEN band.lowest AND band.highest
    WHERE
        coalesce(status.started, episode.discharged) <= episode.discharged
        AND coalesce(status.ended, episode.discharged) >= episode.discharged
    QUALIFY row_number() OVER (
        PARTITION BY episode.UniqServReqID
        ORDER BY status.state = 'Unknown', abs(status.recorded - episode.discharged), status.recorded DESC, status.status_order
    ) = 1
),
job AS (
    SELECT episode.UniqServReqID, episode.Person_ID, status.started, status.ended, status.hours, status.recorded
    FROM referral_episode AS episode
    INNER JOIN employment_status AS status
        ON status.Person_ID = episode.Person_ID
        AND status.state = 'In work'
        AND status.started BETWEEN episode.received AND episode.observed_until
    QUALIFY row_number() OVER (PARTITION BY episode.UniqServReqID ORDER BY status.started, status.recorded, status.status_order) = 1
),
job_left AS (
    SELECT job.UniqServReqID, min(status.recorded) AS recorded
    FROM job
    INNER JOIN employment_status AS status
        ON status.Person_ID = job.Person_ID
        AND status.state = 'Out of work'
        AND status.recorded > job.started
    GROUP BY job.UniqServReqID
),
recorded_in_work AS (
    SELECT episode.UniqServReqID, min(status.recorded) AS recorded
    FROM referral_episode AS episode
    INNER JOIN near_start ON near_start.UniqServReqID = episode.UniqServReqID
    INNER JOIN employment_status AS status
        ON status.Person_ID = episode.Person_ID
        AND status.state = 'In work'
        AND status.recorded > near_start.recorded
        AND status.recorded BETWEEN episode.received AND episode.observed_until
        AND coalesce(status.started, episode.received) >= episode.received
    GROUP BY episode.UniqServReqID
)
SELECT
    episode.*,
    coalesce(near_start.state, 'Unknown') AS start_status,
    near_start.recorded AS start_status_recorded,
    coalesce(near_discharge.state, 'Unknown') AS discharge_status,
    near_discharge.hours AS discharge_hours,
    job.started AS job_started,
    coalesce(job.ended, job_left.recorded) AS job_ended,
    job.hours AS job_hours,
    CASE WHEN near_start.state = 'Out of work' THEN job.started END AS moved_dated,
    CASE WHEN near_start.state = 'Out of work' THEN least(job.started, recorded_in_work.recorded) END AS moved
FROM referral_episode AS episode
LEFT JOIN near_start ON near_start.UniqServReqID = episode.UniqServReqID
LEFT JOIN near_discharge ON near_discharge.UniqServReqID = episode.UniqServReqID
LEFT JOIN job ON job.UniqServReqID = episode.UniqServReqID
LEFT JOIN job_left ON job_left.UniqServReqID = episode.UniqServReqID
LEFT JOIN recorded_in_work ON recorded_in_work.UniqServReqID = episode.UniqServReqID
