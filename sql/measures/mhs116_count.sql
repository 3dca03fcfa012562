-- MHS116 at every level of every breakdown, by one count of distinct referrals.
-- Grain: one row per breakdown and level that has a referral. Keys: breakdown, level.
WITH levelled AS (
    SELECT
        UniqServReqID,
        unnest([
            {'breakdown': 'england', 'level': 'England'},
            {'breakdown': 'age_band', 'level': coalesce(age_band, 'UNKNOWN')},
            {'breakdown': 'gender', 'level': coalesce(gender, 'UNKNOWN')},
            {'breakdown': 'upper_ethnicity', 'level': coalesce(upper_ethnicity, 'UNKNOWN')},
            {'breakdown': 'imd_decile', 'level': coalesce(imd_decile, 'UNKNOWN')},
            {'breakdown': 'provider', 'level': OrgIDProv}
        ], recursive := true)
    FROM mhs116
    WHERE counted

    UNION ALL

    SELECT UniqServReqID, 'sub_icb' AS breakdown, sub_icb AS level
    FROM mhs116_sub_icb
)
SELECT
    breakdown,
    level,
    count(DISTINCT UniqServReqID) AS referrals
FROM levelled
GROUP BY breakdown, level
