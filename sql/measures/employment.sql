-- Evidence of employment in the twelve months, as the employment statuses of MHSDS show it: a proxy, for MHSDS holds no job.
-- A job is judged after 13, 26 and 52 weeks in the twelve months in which that day falls; a group of people who came to IPS is followed for 6, 9, 12
-- and 18 months and judged in the twelve months in which their time is up. So nothing is judged before its time, and nothing twice.
-- Grain: one row per referral and sub-ICB of the person. Keys: unit, by_sub_icb.
WITH window_of AS (
    SELECT getvariable('period_start') AS first_day, getvariable('period_end') AS last_day
),
judged AS (
    SELECT
        episode.*,
        -- Only who was out of work at the start can have moved.
        start_status = 'Out of work' AS was_out_of_work,
        received BETWEEN first_day AND last_day AS came,
        coalesce(discharged BETWEEN first_day AND last_day, false) AS left_now,
        coalesce(moved BETWEEN first_day AND last_day, false) AS moved_now,
        coalesce(moved_dated BETWEEN first_day AND last_day, false) AS moved_dated_now,
        coalesce(job_started BETWEEN first_day AND last_day, false) AS job_now,
        coalesce(job_started + 13 * 7 BETWEEN first_day AND last_day, false) AS due_13,
        coalesce(job_started + 26 * 7 BETWEEN first_day AND last_day, false) AS due_26,
        coalesce(job_started + 52 * 7 BETWEEN first_day AND last_day, false) AS due_52,
        coalesce(first_contact + INTERVAL 6 MONTH BETWEEN first_day AND last_day, false) AS due_6_months,
        coalesce(first_contact + INTERVAL 9 MONTH BETWEEN first_day AND last_day, false) AS due_9_months,
        coalesce(first_contact + INTERVAL 12 MONTH BETWEEN first_day AND last_day, false) AS due_12_months,
        coalesce(first_contact + INTERVAL 18 MONTH BETWEEN first_day AND last_day, false) AS due_18_months
    FROM employment_episode AS episode
    CROSS JOIN window_of
)
SELECT
    'employment' AS family,
    'referral ' || judged.UniqServReqID AS unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    patient_level.* EXCLUDE (submission, patient_row),
    judged.start_status AS by_start_status,
    judged.received,
    judged.discharged,
    judged.first_contact,
    judged.start_status_recorded,
    judged.discharge_status,
    judged.job_started,
    judged.job_ended,
    judged.moved,
    CASE
        WHEN judged.moved_dated IS NOT NULL THEN 'work began inside the episode'
        WHEN judged.moved IS NOT NULL THEN 'in work recorded inside the episode, without a start date'
        WHEN judged.start_status = 'In work' THEN 'in work at the start'
        WHEN judged.start_status_recorded IS NULL THEN 'no status recorded near the referral'
        WHEN judged.start_status = 'Unknown' THEN 'status at the start not stated'
        ELSE 'no work recorded inside the episode'
    END AS reason,

    CAST(came AS INTEGER) AS n_emp_received,
    CAST(came AND start_status = 'In work' AS INTEGER) AS n_emp_received_in_work,
    CAST(came AND start_status = 'Out of work' AS INTEGER) AS n_emp_received_out_of_work,
    CAST(came AND start_status = 'Unknown' AS INTEGER) AS n_emp_received_unknown,
    CAST(left_now AS INTEGER) AS n_emp_discharged,
    CAST(left_now AND discharge_status = 'In work' AS INTEGER) AS n_emp_discharged_in_work,
    CAST(left_now AND discharge_status = 'Out of work' AS INTEGER) AS n_emp_discharged_out_of_work,
    CAST(left_now AND discharge_status = 'Unknown' AS INTEGER) AS n_emp_discharged_unknown,
    CAST(left_now AND discharge_status = 'In work' AND discharge_hours = '1 to 4 hours' AS INTEGER) AS n_emp_discharged_hours_1_to_4,
    CAST(left_now AND discharge_status = 'In work' AND discharge_hours = '5 to 15 hours' AS INTEGER) AS n_emp_discharged_hours_5_to_15,
    CAST(left_now AND discharge_status = 'In work' AND discharge_hours = '16 to 29 hours' AS INTEGER) AS n_emp_discharged_hours_16_to_29,
    CAST(left_now AND discharge_status = 'In work' AND discharge_hours = '30 hours or more' AS INTEGER) AS n_emp_discharged_hours_30_or_more,
    CAST(left_now AND discharge_status = 'In work' AND discharge_hours = 'Unknown' AS INTEGER) AS n_emp_discharged_hours_unknown,

    CAST(moved_now AS INTEGER) AS n_emp_moves,
    CAST(moved_dated_now AS INTEGER) AS n_emp_moves_dated,
    CAST(was_out_of_work AND contacts_in_window > 0 AS INTEGER) AS n_emp_seen_out_of_work,
    CAST(left_now AND was_out_of_work AS INTEGER) AS n_emp_discharged_from_out_of_work,
    CAST(left_now AND moved IS NOT NULL AS INTEGER) AS n_emp_discharged_moved,

    CAST(job_now AS INTEGER) AS n_emp_job_starts,
    CAST(job_now AND job_hours = '1 to 4 hours' AS INTEGER) AS n_emp_job_hours_1_to_4,
    CAST(job_now AND job_hours = '5 to 15 hours' AS INTEGER) AS n_emp_job_hours_5_to_15,
    CAST(job_now AND job_hours = '16 to 29 hours' AS INTEGER) AS n_emp_job_hours_16_to_29,
    CAST(job_now AND job_hours = '30 hours or more' AS INTEGER) AS n_emp_job_hours_30_or_more,
    CAST(job_now AND job_hours = 'Unknown' AS INTEGER) AS n_emp_job_hours_unknown,
    CAST(due_13 AS INTEGER) AS n_emp_due_13_weeks,
    CAST(due_13 AND coalesce(job_ended >= job_started + 13 * 7, true) AS INTEGER) AS n_emp_sustained_13_weeks,
    CAST(due_26 AS INTEGER) AS n_emp_due_26_weeks,
    CAST(due_26 AND coalesce(job_ended >= job_started + 26 * 7, true) AS INTEGER) AS n_emp_sustained_26_weeks,
    CAST(due_52 AS INTEGER) AS n_emp_due_52_weeks,
    CAST(due_52 AND coalesce(job_ended >= job_started + 52 * 7, true) AS INTEGER) AS n_emp_sustained_52_weeks,

    CAST(was_out_of_work AND due_6_months AS INTEGER) AS n_emp_due_6_months,
    CAST(due_6_months AND coalesce(moved BETWEEN first_contact AND first_contact + INTERVAL 6 MONTH, false) AS INTEGER)
        AS n_emp_moved_in_6_months,
    CAST(was_out_of_work AND due_9_months AS INTEGER) AS n_emp_due_9_months,
    CAST(due_9_months AND coalesce(moved BETWEEN first_contact AND first_contact + INTERVAL 9 MONTH, false) AS INTEGER)
        AS n_emp_moved_in_9_months,
    CAST(was_out_of_work AND due_12_months AS INTEGER) AS n_emp_due_12_months,
    CAST(due_12_months AND coalesce(moved BETWEEN first_contact AND first_contact + INTERVAL 12 MONTH, false) AS INTEGER)
        AS n_emp_moved_in_12_months,
    CAST(was_out_of_work AND due_18_months AS INTEGER) AS n_emp_due_18_months,
    CAST(due_18_months AND coalesce(moved BETWEEN first_contact AND first_contact + INTERVAL 18 MONTH, false) AS INTEGER)
        AS n_emp_moved_in_18_months
FROM judged
INNER JOIN patient_level
    ON patient_level.submission = judged.submission
    AND patient_level.patient_row = judged.patient_row
