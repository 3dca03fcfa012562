-- The evidence of MHS116 in the form that our own families have: one unit counted once, its levels (by_…), its quantities (n_…), its reason.
-- Grain: one row per referral and sub-ICB it counts in. Keys: unit, by_sub_icb.
SELECT
    'mhs116' AS family,
    'referral ' || held.UniqServReqID AS unit,
    release.period_start,
    release.period_end,
    'England' AS by_england,
    CASE WHEN held.counted THEN coalesce(held.age_band, 'UNKNOWN') END AS by_age_band,
    CASE WHEN held.counted THEN coalesce(held.gender, 'UNKNOWN') END AS by_gender,
    CASE WHEN held.counted THEN coalesce(held.upper_ethnicity, 'UNKNOWN') END AS by_upper_ethnicity,
    CASE WHEN held.counted THEN coalesce(held.imd_decile, 'UNKNOWN') END AS by_imd_decile,
    held.OrgIDProv AS by_provider,
    unnest(coalesce(held.sub_icbs, [NULL])) AS by_sub_icb,
    CAST(held.counted AS INTEGER) AS "n_distinct referrals",
    CAST(held.counted AS INTEGER) AS n_MHS116,
    held.* EXCLUDE (OrgIDProv, counted, age_band, gender, upper_ethnicity, imd_decile, sub_icbs, ips_team_in_any_month, RecordNumber)
FROM held
CROSS JOIN release
