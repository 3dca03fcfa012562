-- When a referral first had a direct contact, and how many it has had, over all months.
-- Grain: one row per person and referral with a direct contact. Keys: Person_ID, UniqServReqID.
SELECT
    Person_ID,
    UniqServReqID,
    min(AccessDate) AS AccessDate,
    CAST(sum(contacts) AS BIGINT) AS contacts
FROM dashboard_activity
GROUP BY Person_ID, UniqServReqID
