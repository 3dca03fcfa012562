-- The evidence of MHS116 as it is kept: each referral with the sub-ICBs it counts in.
-- Grain: one row per referral. Keys: UniqServReqID.
WITH place AS (
    SELECT UniqServReqID, list(sub_icb ORDER BY sub_icb) AS sub_icbs
    FROM mhs116_sub_icb
    GROUP BY UniqServReqID
)
SELECT
    mhs116.* EXCLUDE (submission, patient_row),
    place.sub_icbs
FROM mhs116
LEFT JOIN place ON place.UniqServReqID = mhs116.UniqServReqID
ORDER BY mhs116.UniqServReqID
