-- The sub-ICBs of each counted referral: those of the month of its first contact that exist today, else UNKNOWN.
-- A person with two open GP registrations counts in both, so the sub-ICBs may add up to more than England.
-- Grain: one row per counted referral and sub-ICB. Keys: UniqServReqID, sub_icb.
SELECT DISTINCT
    evidence.UniqServReqID,
    coalesce(geography.SubICB, 'UNKNOWN') AS sub_icb
FROM mhs116 AS evidence
INNER JOIN patient_sub_icb AS place
    ON place.submission = evidence.submission
    AND place.patient_row = evidence.patient_row
LEFT JOIN geography ON geography.SubICB = place.IC_Rec_CCG
WHERE evidence.counted
