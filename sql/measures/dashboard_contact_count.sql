-- How many direct contacts a month's submission holds for a referral, and when the first of them was.
-- A contact that stands there twice with the same date and mechanism counts once.
-- Grain: one row per submission and referral with a direct contact. Keys: submission, ServiceRequestID.
WITH contact AS (
    SELECT DISTINCT submission, ServiceRequestID, CareContactID, CareContDate, ConsMechanismMH
    FROM ips_contact
    WHERE dashboard_direct AND (by_team OR by_any_procedure)
),
mechanism AS (
    -- Which code means a video call depends on the month.
    SELECT
        submission.submission,
        code_group.code,
        bool_or(code_group.group_name = 'dashboard face to face') AS face_to_face,
        bool_or(code_group.group_name = 'dashboard telephone') AS telephone,
        bool_or(code_group.group_name = 'dashboard video' AND submission.UniqMonthID BETWEEN code_group.from_month AND code_group.to_month) AS video
    FROM submission
    INNER JOIN code_group ON code_group.group_name IN ('dashboard face to face', 'dashboard telephone', 'dashboard video')
    GROUP BY submission.submission, code_group.code
)
SELECT
    contact.submission,
    contact.ServiceRequestID,
    min(contact.CareContDate) AS AccessDate,
    count(*) AS contacts,
    CAST(count_if(mechanism.face_to_face) AS BIGINT) AS face_to_face,
    CAST(count_if(mechanism.telephone) AS BIGINT) AS telephone,
    CAST(count_if(mechanism.video) AS BIGINT) AS video
FROM contact
LEFT JOIN mechanism
    ON mechanism.submission = contact.submission
    AND mechanism.code = contact.ConsMechanismMH
GROUP BY contact.submission, contact.ServiceRequestID
