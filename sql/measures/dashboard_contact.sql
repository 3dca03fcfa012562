-- Months in which a referral had direct contacts as the dashboard reads them: the dashboard looks for a first contact per person and referral;
-- here it is the referral that counts.
-- Grain: one row per referral and month with a direct contact. Keys: UniqServReqID, UniqMonthID.
SELECT
    UniqServReqID,
    UniqMonthID,
    min(submission.OrgIDProv) AS OrgIDProv,
    min(activity.AccessDate) AS AccessDate,
    max(activity.contacts) AS contacts,
    max(activity.face_to_face) AS face_to_face,
    max(activity.telephone) AS telephone,
    max(activity.video) AS video
FROM dashboard_activity AS activity
INNER JOIN submission USING (submission, UniqMonthID)
GROUP BY UniqServReqID, UniqMonthID
