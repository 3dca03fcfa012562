-- When a referral first had a direct contact, and how many it has had, over all months; a contact of a person in two sub-ICBs counts twice.
-- Grain: one row per person and referral with a direct contact. Keys: Person_ID, UniqServReqID.
WITH several AS (
    SELECT DISTINCT submission, patient_row, sub_icbs
    FROM dashboard_place
    WHERE sub_icbs > 1
)
SELECT
    activity.Person_ID,
    activity.UniqServReqID,
    min(activity.AccessDate) AS AccessDate,
    CAST(sum(activity.contacts * coalesce(several.sub_icbs, 1)) AS BIGINT) AS contacts
FROM dashboard_activity AS activity
LEFT JOIN several
    ON several.submission = activity.submission
    AND several.patient_row = activity.patient_row
GROUP BY activity.Person_ID, activity.UniqServReqID
