-- The levels at which a patient record counts in our own measures: place, age, gender, ethnic group, deprivation. Unknown is a level of its own.
-- Closed sub-ICBs count in their successors. Two open GP registrations in two sub-ICBs give two rows, so whoever counts people counts distinct ones.
-- Grain: one row per patient record and sub-ICB. Keys: submission, patient_row, by_sub_icb.
WITH place AS (
    SELECT DISTINCT
        patient_sub_icb.submission,
        patient_sub_icb.patient_row,
        coalesce(change.NewSubICB, patient_sub_icb.IC_Rec_CCG) AS sub_icb
    FROM patient_sub_icb
    LEFT JOIN commissioner_code_change AS change ON change.OldSubICB = patient_sub_icb.IC_Rec_CCG
)
SELECT
    patient.submission,
    patient.patient_row,
    patient.OrgIDProv AS by_provider,
    coalesce(geography.SubICB, 'Unknown') AS by_sub_icb,
    coalesce(geography.ICB, 'Unknown') AS by_icb,
    coalesce(geography.Region, 'Unknown') AS by_region,
    coalesce(age_group.level, 'Unknown') AS by_age_group,
    coalesce(working_age.level, 'Unknown') AS by_working_age,
    coalesce(adult.level, 'Unknown') AS by_adult,
    coalesce(identity.description, gender.description, 'Unknown') AS by_gender,
    coalesce(ethnicity.level, 'Unknown') AS by_ethnicity,
    coalesce(deprivation.level, 'Unknown') AS by_deprivation
FROM ips_patient AS patient
INNER JOIN place
    ON place.submission = patient.submission
    AND place.patient_row = patient.patient_row
LEFT JOIN geography ON geography.SubICB = place.sub_icb
LEFT JOIN band AS age_group
    ON age_group.class = 'age group'
    AND patient.AgeRepPeriodEnd BETWEEN age_group.lowest AND age_group.highest
LEFT JOIN band AS working_age
    ON working_age.class = 'working age'
    AND patient.AgeRepPeriodEnd BETWEEN working_age.lowest AND working_age.highest
LEFT JOIN band AS adult
    ON adult.class = 'adult'
    AND patient.AgeRepPeriodEnd BETWEEN adult.lowest AND adult.highest
LEFT JOIN code_level AS identity
    ON identity.class = 'gender'
    AND identity.code = patient.GenderIDCode
LEFT JOIN code_level AS gender
    ON gender.class = 'gender if not stated'
    AND gender.code = patient.Gender
LEFT JOIN code_level AS ethnicity
    ON ethnicity.class = 'upper ethnicity'
    AND ethnicity.code = patient.EthnicCategory
LEFT JOIN code_level AS deprivation
    ON deprivation.class = 'dashboard deprivation'
    AND deprivation.code = patient.IMDDecile2019
