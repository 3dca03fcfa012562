-- Months in which a referral had direct contacts as the dashboard reads them, each contact once: the dashboard counts a contact again for each
-- sub-ICB of the person, and looks for a first contact per person and referral; here it is the referral that counts.
-- Grain: one row per referral and month with a direct contact. Keys: UniqServReqID, UniqMonthID.
SELECT
    UniqServReqID,
    UniqMonthID,
    min(submission.OrgIDProv) AS OrgIDProv,
    min(activity.AccessDate) AS AccessDate,
    max(activity.contacts // activity.sub_icbs) AS contacts,
    max(activity.face_to_face // activity.sub_icbs) AS face_to_face,
    max(activity.telephone // activity.sub_icbs) AS telephone,
    max(activity.video // activity.sub_icbs) AS video
FROM dashboard_activity AS activity
INNER JOIN submission USING (submission, UniqMonthID)
GROUP BY UniqServReqID, UniqMonthID
