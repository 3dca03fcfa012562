-- Evidence of waits, caseload and contacts of IPS referrals. A wait runs from the day the referral was received to its first counted contact ever.
--   open at the end    sent in the last month and not discharged by its last day
-- A contact before the referral was received makes a negative wait: it has a count of its own and no part in the shares.
-- Grain: one row per referral, IPS team of it and sub-ICB of the person. Keys: unit, by_team, by_sub_icb.
WITH team AS (
    SELECT DISTINCT episode.UniqServReqID, episode.OrgIDProv || '|' || ips_team.CareProfTeamLocalID AS team
    FROM referral_episode AS episode
    INNER JOIN (
        SELECT submission, ServiceRequestID, CareProfTeamLocalID FROM ips_referral
        UNION ALL
        SELECT submission, ServiceRequestID, OtherCareProfTeamLocalID AS CareProfTeamLocalID FROM MHS102OtherServiceType
    ) AS held
        ON held.submission = episode.submission
        AND held.ServiceRequestID = episode.ServiceRequestID
    INNER JOIN ips_team
        ON ips_team.submission = held.submission
        AND ips_team.CareProfTeamLocalID = held.CareProfTeamLocalID
),
contact_after AS (
    SELECT
        episode.UniqServReqID,
        count(DISTINCT contact.CareContactID) AS contacts
    FROM employment_episode AS episode
    INNER JOIN episode_contact AS contact
        ON contact.UniqServReqID = episode.UniqServReqID
        AND contact.CareContDate > episode.job_started
        AND contact.CareContDate <= getvariable('period_end')
    GROUP BY episode.UniqServReqID
),
judged AS (
    SELECT
        episode.*,
        coalesce(contact_after.contacts, 0) AS contacts_after_job,
        episode.first_contact - episode.received AS days_to_contact,
        coalesce(episode.first_contact BETWEEN getvariable('period_start') AND getvariable('period_end'), false) AS seen_first,
        episode.last_month = getvariable('window_last_month') AND episode.discharged IS NULL AS still_open,
        coalesce(episode.discharged BETWEEN getvariable('period_start') AND getvariable('period_end'), false) AS left_now,
        coalesce(episode.job_started BETWEEN getvariable('period_start') AND getvariable('period_end'), false) AS job_now
    FROM employment_episode AS episode
    LEFT JOIN contact_after ON contact_after.UniqServReqID = episode.UniqServReqID
)
SELECT
    'waits' AS family,
    'referral ' || judged.UniqServReqID AS unit,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    patient_level.* EXCLUDE (submission, patient_row),
    coalesce(team.team, judged.OrgIDProv || '|no IPS team') AS by_team,
    judged.start_status AS by_start_status,
    judged.received,
    judged.first_contact,
    judged.discharged,
    judged.job_started,
    CASE
        WHEN judged.days_to_contact < 0 THEN 'contact before the referral was received'
        WHEN judged.first_contact IS NOT NULL THEN 'seen'
        WHEN judged.still_open THEN 'waiting'
        WHEN judged.discharged IS NOT NULL THEN 'discharged without a contact'
        ELSE 'no longer sent, neither seen nor discharged'
    END AS reason,
    CAST(judged.received BETWEEN getvariable('period_start') AND getvariable('period_end') AS INTEGER) AS n_wait_received,
    CAST(seen_first AND days_to_contact >= 0 AS INTEGER) AS n_wait_seen_first,
    CAST(seen_first AND days_to_contact BETWEEN 0 AND 7 AS INTEGER) AS n_wait_seen_in_7,
    CAST(seen_first AND days_to_contact BETWEEN 0 AND 30 AS INTEGER) AS n_wait_seen_in_30,
    CAST(seen_first AND days_to_contact BETWEEN 0 AND 90 AS INTEGER) AS n_wait_seen_in_90,
    CAST(seen_first AND days_to_contact < 0 AS INTEGER) AS n_wait_negative,
    CAST(still_open AS INTEGER) AS n_wait_open,
    CAST(still_open AND first_contact IS NULL AS INTEGER) AS n_wait_waiting,
    CAST(still_open AND first_contact IS NULL AND getvariable('period_end') - judged.received > 90 AS INTEGER) AS n_wait_waiting_over_90,
    CAST(still_open AND coalesce(first_contact <= getvariable('period_end'), false) AS INTEGER) AS n_wait_caseload,
    CAST(contacts_in_window > 0 AS INTEGER) AS n_wait_seen,
    contacts_in_window AS n_wait_contacts,
    contacts_placed AS n_wait_contacts_placed,
    contacts_in_community AS n_wait_contacts_in_community,
    CAST(left_now AND discharged >= judged.received AS INTEGER) AS n_wait_discharged,
    CASE WHEN left_now AND discharged >= judged.received THEN discharged - judged.received ELSE 0 END AS n_wait_days_of_stay,
    CAST(job_now AS INTEGER) AS n_wait_job_starts,
    CAST(job_now AND contacts_after_job > 0 AS INTEGER) AS n_wait_job_starts_followed,
    CASE WHEN job_now THEN contacts_after_job ELSE 0 END AS n_wait_contacts_after_job
FROM judged
INNER JOIN patient_level
    ON patient_level.submission = judged.submission
    AND patient_level.patient_row = judged.patient_row
LEFT JOIN team ON team.UniqServReqID = judged.UniqServReqID
