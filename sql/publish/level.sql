-- Every level that a publication shows, whether or not anybody falls into it.
-- Providers are those with a submission in the twelve months that the organisation register knows; sub-ICBs are today's.
-- Grain: one row per breakdown and level. Keys: breakdown, level.
SELECT 'england' AS breakdown, 'England' AS level, 'England' AS description

UNION ALL

SELECT 'age_band' AS breakdown, level, level AS description
FROM band
WHERE class = 'age band'

UNION

SELECT 'gender' AS breakdown, level, description
FROM code_level
WHERE class IN ('gender', 'gender if not stated')

UNION

SELECT replace(class, ' ', '_') AS breakdown, level, description
FROM code_level
WHERE class IN ('upper ethnicity', 'imd decile')

UNION

SELECT unnest(['age_band', 'gender', 'upper_ethnicity', 'imd_decile', 'sub_icb']) AS breakdown, 'UNKNOWN' AS level, 'UNKNOWN' AS description

UNION

SELECT 'provider' AS breakdown, provider.OrgIDProvider AS level, provider.Name AS description
FROM provider
SEMI JOIN submission
    ON submission.OrgIDProv = provider.OrgIDProvider
    AND submission.UniqMonthID BETWEEN getvariable('window_first_month') AND getvariable('window_last_month')

UNION

SELECT 'sub_icb' AS breakdown, SubICB AS level, SubICBName AS description
FROM geography
