-- The people who had an IPS contact, with the day of the first one that any provider sent, and the record of the person in that month.
--   has_episode   the referral behind it is an episode: it lacks one when its last record is of somebody who lives outside England
--   known_first   the referral behind it was received in or after the first month its provider sent, so no earlier contact can be missing
-- Grain: one row per person. Keys: Person_ID.
SELECT
    contact.Person_ID,
    contact.UniqServReqID,
    contact.OrgIDProv,
    contact.submission,
    contact.patient_row,
    contact.CareContDate AS first_contact,
    episode.UniqServReqID IS NOT NULL AS has_episode,
    coalesce(episode.received >= since.first_day, false) AS known_first
FROM episode_contact AS contact
INNER JOIN (
    SELECT OrgIDProv, min(ReportingPeriodStartDate) AS first_day
    FROM submission
    GROUP BY OrgIDProv
) AS since ON since.OrgIDProv = contact.OrgIDProv
LEFT JOIN referral_episode AS episode ON episode.UniqServReqID = contact.UniqServReqID
WHERE contact.CareContDate <= getvariable('period_end')
QUALIFY row_number() OVER (
    PARTITION BY contact.Person_ID
    ORDER BY contact.CareContDate, contact.RecordNumber, contact.UniqServReqID
) = 1
