-- The levels at which a local IPS episode counts: place, age, gender, ethnic group and deprivation from the episode itself, else from the latest
-- MHSDS record of the person; provider, team, borough, specialist, work status at the start, arm of a trial, arm with condition. Unknown is a level.
-- The place is that of the home: local records hold no GP practice.
-- Grain: one row per episode. Keys: UniqEpisodeID.
WITH patient AS (
    SELECT *
    FROM ips_patient
    QUALIFY row_number() OVER (PARTITION BY Person_ID ORDER BY RecordNumber DESC) = 1
),
described AS (
    SELECT
        episode.*,
        coalesce(episode.PersonBirthDate, patient.PersonBirthDate) AS born,
        patient.GenderIDCode,
        coalesce(episode.Gender, patient.Gender) AS gender_code,
        coalesce(episode.EthnicCategory, patient.EthnicCategory) AS ethnic_code,
        coalesce(postcode.SubICB, patient.residence_sub_icb) AS home_sub_icb,
        coalesce(postcode.LSOA2011, patient.LSOA2011) AS lsoa
    FROM ips_episode AS episode
    LEFT JOIN patient ON patient.Person_ID = episode.Person_ID
    LEFT JOIN postcode ON postcode.Postcode = episode.Postcode
),
placed AS (
    SELECT
        described.*,
        year(getvariable('period_end')) - year(born)
        - CASE
            WHEN
                month(getvariable('period_end')) * 100 + day(getvariable('period_end')) < month(born) * 100 + day(born)
                THEN 1
            ELSE 0
        END AS age,
        coalesce(change.NewSubICB, home_sub_icb) AS sub_icb,
        CASE described.health_condition
            WHEN 'mental' THEN 'Mental ill health'
            WHEN 'physical' THEN 'Physical ill health'
            WHEN 'both' THEN 'Both'
            ELSE 'Unknown'
        END AS condition
    FROM described
    LEFT JOIN commissioner_code_change AS change ON change.OldSubICB = described.home_sub_icb
)
SELECT
    placed.UniqEpisodeID,
    placed.OrgIDProvider AS by_provider,
    coalesce(geography.SubICB, 'Unknown') AS by_sub_icb,
    coalesce(geography.ICB, 'Unknown') AS by_icb,
    coalesce(geography.Region, 'Unknown') AS by_region,
    coalesce(age_group.level, 'Unknown') AS by_age_group,
    coalesce(working_age.level, 'Unknown') AS by_working_age,
    coalesce(adult.level, 'Unknown') AS by_adult,
    coalesce(identity.description, gender.description, 'Unknown') AS by_gender,
    coalesce(ethnicity.level, 'Unknown') AS by_ethnicity,
    coalesce(deprivation.level, 'Unknown') AS by_deprivation,
    placed.OrgIDProvider || ' ' || coalesce(placed.ips_team, 'Unknown') AS by_ips_team,
    coalesce(placed.borough, 'Unknown') AS by_borough,
    placed.OrgIDProvider || ' ' || coalesce(placed.specialist_id, 'Unknown') AS by_specialist,
    CASE placed.status_at_start
        WHEN 'out_of_work' THEN 'Out of work'
        WHEN 'in_work' THEN 'In work'
        ELSE 'Unknown'
    END AS by_start_status,
    placed.arm AS by_arm,
    placed.arm || '; ' || placed.condition AS by_arm_condition
FROM placed
LEFT JOIN geography ON geography.SubICB = placed.sub_icb
LEFT JOIN lsoa_imd ON lsoa_imd.LSOA2011 = placed.lsoa
LEFT JOIN band AS age_group
    ON age_group.class = 'age group'
    AND placed.age BETWEEN age_group.lowest AND age_group.highest
LEFT JOIN band AS working_age
    ON working_age.class = 'working age'
    AND placed.age BETWEEN working_age.lowest AND working_age.highest
LEFT JOIN band AS adult
    ON adult.class = 'adult'
    AND placed.age BETWEEN adult.lowest AND adult.highest
LEFT JOIN code_level AS identity
    ON identity.class = 'gender'
    AND identity.code = placed.GenderIDCode
LEFT JOIN code_level AS gender
    ON gender.class = 'gender if not stated'
    AND gender.code = placed.gender_code
LEFT JOIN code_level AS ethnicity
    ON ethnicity.class = 'upper ethnicity'
    AND ethnicity.code = placed.ethnic_code
LEFT JOIN code_level AS deprivation
    ON deprivation.class = 'dashboard deprivation'
    AND deprivation.code = lsoa_imd.IMDDecile2019
