-- How many direct contacts a month's submission holds for a referral, and when the first of them was.
-- A contact that stands there twice with the same date and mechanism counts once.
-- Grain: one row per submission and referral with a direct contact. Keys: submission, ServiceRequestID.
WITH contact AS (
    SELECT DISTINCT submission, ServiceRequestID, CareContactID, CareContDate, ConsMechanismMH
    FROM ips_contact
    WHERE dashboard_direct AND (dashboard_by_team OR by_any_procedure)
)
SELECT
    contact.submission,
    contact.ServiceRequestID,
    min(contact.CareContDate) AS AccessDate,
    count(*) AS contacts,
    CAST(count_if(mechanism.group_name = 'dashboard face to face') AS BIGINT) AS face_to_face,
    CAST(count_if(mechanism.group_name = 'dashboard telephone') AS BIGINT) AS telephone,
    CAST(count_if(mechanism.group_name = 'dashboard video') AS BIGINT) AS video
FROM contact
LEFT JOIN code_group AS mechanism
    -- Which codes are direct in a month is decided in ips_contact, so the months of these lists need no second look.
    ON mechanism.group_name IN ('dashboard face to face', 'dashboard telephone', 'dashboard video')
    AND mechanism.code = contact.ConsMechanismMH
GROUP BY contact.submission, contact.ServiceRequestID
