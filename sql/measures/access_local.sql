-- Access as IPS Grow counts it, from local records, with the referral of MHSDS that each episode belongs to: by the provider's own referral id, else
-- the person's referral at that provider that was seen first in the twelve months, else the one received first.
-- Grain: one row per local episode. Keys: UniqEpisodeID.
WITH listed AS (
    SELECT DISTINCT submission.OrgIDProv || referral.ServiceRequestID AS UniqServReqID
    FROM MHS101Referral AS referral
    INNER JOIN submission ON submission.submission = referral.submission
    WHERE submission.OrgIDProv || referral.ServiceRequestID IN (SELECT UniqServReqID FROM ips_episode)
),
of_person AS (
    SELECT
        submission.OrgIDProv,
        patient.Person_ID,
        patient.OrgIDProv || patient.LocalPatientID AS local_person,
        submission.OrgIDProv || referral.ServiceRequestID AS UniqServReqID,
        min(mhs116.AccessDate) AS seen,
        min(referral.ReferralRequestReceivedDate) AS received
    FROM ips_referral AS referral
    INNER JOIN submission ON submission.submission = referral.submission
    INNER JOIN ips_patient AS patient
        ON patient.submission = referral.submission
        AND patient.LocalPatientID = referral.LocalPatientID
    LEFT JOIN mhs116 ON mhs116.UniqServReqID = submission.OrgIDProv || referral.ServiceRequestID
    GROUP BY ALL
),
by_person AS (
    SELECT
        episode.UniqEpisodeID,
        of_person.UniqServReqID
    FROM ips_episode AS episode
    INNER JOIN of_person
        ON of_person.OrgIDProv = episode.OrgIDProvider
        AND (of_person.Person_ID = episode.Person_ID OR of_person.local_person = episode.OrgIDProvider || episode.LocalPatientID)
    QUALIFY row_number() OVER (
        PARTITION BY episode.UniqEpisodeID
        ORDER BY of_person.seen NULLS LAST, of_person.received NULLS LAST, of_person.UniqServReqID
    ) = 1
)
SELECT
    episode.UniqEpisodeID,
    episode.OrgIDProvider AS OrgIDProv,
    episode.Person_ID,
    episode.access_date,
    coalesce(listed.UniqServReqID, by_person.UniqServReqID) AS UniqServReqID,
    CASE
        WHEN listed.UniqServReqID IS NOT NULL THEN 'referral id'
        WHEN by_person.UniqServReqID IS NOT NULL THEN 'person'
    END AS matched_by,
    coalesce(episode.access_date BETWEEN getvariable('period_start') AND getvariable('period_end'), false) AS accessed,
    coalesce(episode.access_date BETWEEN getvariable('year_start') AND getvariable('period_end'), false) AS accessed_in_year,
    CASE
        WHEN episode.access_date BETWEEN getvariable('period_start') AND getvariable('period_end') THEN NULL
        WHEN episode.access_date IS NOT NULL THEN 'accessed before the twelve months in local records'
        WHEN episode.agreed_date IS NULL THEN 'no agreement and no vocational profile in local records'
        ELSE 'agreed, but no contact or vocational profile in local records'
    END AS reason
FROM ips_episode AS episode
LEFT JOIN listed ON listed.UniqServReqID = episode.UniqServReqID
LEFT JOIN by_person ON by_person.UniqEpisodeID = episode.UniqEpisodeID
