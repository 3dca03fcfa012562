-- When a referral first had a direct contact, and how many it has had, over all months.
-- Grain: one row per person and referral with a direct contact. Keys: Person_ID, UniqServReqID.
SELECT
    Person_ID,
    UniqServReqID,
    min(CareContDate) AS AccessDate,
    count(*) AS contacts
FROM dashboard_contact
GROUP BY Person_ID, UniqServReqID
