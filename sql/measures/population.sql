-- MHSPOPALL: the population that MHS116a divides by. Resident England, all ages; ethnicity from Census 2021, deprivation from small-area estimates.
-- The published table holds it as a 32-bit number, so populations above 16,777,216 are rounded before anything is divided by them.
-- Grain: one row per breakdown and level. Keys: breakdown, level.
WITH by_age AS (
    SELECT Age, sum(Population) AS people
    FROM population_subicb
    GROUP BY Age
),
counted AS (
    SELECT 'england' AS breakdown, 'England' AS level, Population AS people
    FROM population_subicb

    UNION ALL

    -- People of an area that no sub-ICB has are those of no sub-ICB.
    SELECT 'sub_icb' AS breakdown, coalesce(geography.SubICB, 'UNKNOWN') AS level, population_subicb.Population AS people
    FROM population_subicb
    LEFT JOIN geography ON geography.SubICB_ONS = population_subicb.SubICB_ONS

    UNION ALL

    SELECT 'age_band' AS breakdown, band.level, by_age.people
    FROM by_age
    INNER JOIN band
        ON band.class = 'age band'
        AND by_age.Age BETWEEN band.lowest AND band.highest

    UNION ALL

    SELECT 'gender' AS breakdown, code_level.level, population_subicb.Population AS people
    FROM population_subicb
    INNER JOIN code_level
        ON code_level.class = 'population gender'
        AND code_level.code = population_subicb.Gender

    UNION ALL

    -- The code for "does not apply" has no group, so it is left out.
    SELECT 'upper_ethnicity' AS breakdown, code_level.level, census2021_ethnicity.Observation AS people
    FROM census2021_ethnicity
    INNER JOIN code_level
        ON code_level.class = 'census ethnic group'
        AND code_level.code = census2021_ethnicity.EthnicGroupCode

    UNION ALL

    -- A small area whose postcodes lie in two sub-ICBs counts in both, as in the published population.
    SELECT 'imd_decile' AS breakdown, coalesce(code_level.level, 'UNKNOWN') AS level, population_lsoa.Population AS people
    FROM population_lsoa
    LEFT JOIN lsoa_imd ON lsoa_imd.LSOA2011 = population_lsoa.LSOA2011
    LEFT JOIN code_level
        ON code_level.class = 'imd decile'
        AND code_level.code = lsoa_imd.IMDDecile2019
    LEFT JOIN (SELECT DISTINCT LSOA2011, SubICB FROM postcode) AS place ON place.LSOA2011 = population_lsoa.LSOA2011
)
SELECT
    breakdown,
    level,
    sum(people)::BIGINT AS people,
    CAST(sum(people) AS FLOAT) AS people_as_published
FROM counted
GROUP BY breakdown, level
