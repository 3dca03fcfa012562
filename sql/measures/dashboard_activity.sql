-- What happened on a referral in a month.
-- Grain: one row per monthly referral record with a direct contact. Keys: submission, patient_row, ServiceRequestID.
SELECT
    submission,
    patient_row,
    ServiceRequestID,
    bool_or(contact_order = 1) AS first_ever,
    bool_or(contact_order_in_year = 1) AS first_in_year,
    min(CareContDate) AS AccessDate,
    count(*) AS contacts,
    count(*) FILTER (face_to_face.code IS NOT NULL) AS face_to_face,
    count(*) FILTER (telephone.code IS NOT NULL) AS telephone,
    count(*) FILTER (video.code IS NOT NULL) AS video
FROM dashboard_contact AS contact
LEFT JOIN code_group AS face_to_face
    ON face_to_face.group_name = 'dashboard face to face'
    AND face_to_face.code = contact.ConsMechanismMH
LEFT JOIN code_group AS telephone
    ON telephone.group_name = 'dashboard telephone'
    AND telephone.code = contact.ConsMechanismMH
LEFT JOIN code_group AS video
    ON video.group_name = 'dashboard video'
    AND video.code = contact.ConsMechanismMH
    AND contact.UniqMonthID BETWEEN video.from_month AND video.to_month
GROUP BY submission, patient_row, ServiceRequestID
