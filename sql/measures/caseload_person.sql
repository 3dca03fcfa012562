-- Everybody on the caseload of a mental health provider in the longest pooled period, to any service, as their latest record describes them.
--   last_month   the last month on a caseload: who is in a shorter period too
-- The sub-ICB is that of the open GP registration on that record (the first, should there be two), else of the home; closed ones count in their
-- successors.
-- Grain: one row per person. Keys: Person_ID.
WITH latest AS (
    SELECT Person_ID, max(last_month) AS last_month, max(RecordNumber) AS RecordNumber
    FROM caseload_provider
    GROUP BY Person_ID
),
described AS (
    SELECT
        latest.Person_ID,
        latest.last_month,
        patient.submission,
        patient.LocalPatientID,
        patient.Gender,
        patient.GenderIDCode,
        patient.EthnicCategory,
        patient.Postcode,
        -- Completed years on the last day of the month; a person born on 29 February turns a year on 1 March in other years.
        year(submission.ReportingPeriodEndDate) - year(TRY_CAST(patient.PersonBirthDate AS DATE))
        - CASE
            WHEN
                month(submission.ReportingPeriodEndDate) * 100 + day(submission.ReportingPeriodEndDate)
                < month(TRY_CAST(patient.PersonBirthDate AS DATE)) * 100 + day(TRY_CAST(patient.PersonBirthDate AS DATE)) THEN 1
            ELSE 0
        END AS age
    FROM latest
    INNER JOIN submission ON submission.UniqSubmissionID = latest.RecordNumber // 1000000
    INNER JOIN MHS001MPI AS patient
        ON patient.submission = submission.submission
        AND patient.row = latest.RecordNumber % 1000000
),
registered AS (
    SELECT
        described.Person_ID,
        arg_min(gp_practice.SubICB, registration.row) AS SubICB
    FROM MHS002GP AS registration
    INNER JOIN described
        ON described.submission = registration.submission
        AND described.LocalPatientID = registration.LocalPatientID
    INNER JOIN gp_practice ON gp_practice.GMPReg = registration.GMPReg
    WHERE registration.EndDateGMPRegistration IS NULL
    GROUP BY described.Person_ID
),
banded AS (
    -- There are a hundred ages and half a million people: an age finds its bands once.
    SELECT
        of_person.age,
        age_group.level AS age_group,
        working_age.level AS working_age,
        adult.level AS adult
    FROM (SELECT DISTINCT age FROM described) AS of_person
    LEFT JOIN band AS age_group
        ON age_group.class = 'age group'
        AND of_person.age BETWEEN age_group.lowest AND age_group.highest
    LEFT JOIN band AS working_age
        ON working_age.class = 'working age'
        AND of_person.age BETWEEN working_age.lowest AND working_age.highest
    LEFT JOIN band AS adult
        ON adult.class = 'adult'
        AND of_person.age BETWEEN adult.lowest AND adult.highest
)
SELECT
    described.Person_ID,
    described.last_month,
    coalesce(geography.SubICB, 'Unknown') AS by_sub_icb,
    coalesce(geography.ICB, 'Unknown') AS by_icb,
    coalesce(geography.Region, 'Unknown') AS by_region,
    coalesce(banded.age_group, 'Unknown') AS by_age_group,
    coalesce(banded.working_age, 'Unknown') AS by_working_age,
    coalesce(banded.adult, 'Unknown') AS by_adult,
    coalesce(identity.description, gender.description, 'Unknown') AS by_gender,
    coalesce(ethnicity.level, 'Unknown') AS by_ethnicity,
    coalesce(deprivation.level, 'Unknown') AS by_deprivation,
    coalesce(described.age >= grown_up.lowest, false) AS is_adult
FROM described
LEFT JOIN registered ON registered.Person_ID = described.Person_ID
LEFT JOIN home ON home.Postcode = described.Postcode
LEFT JOIN commissioner_code_change AS change ON change.OldSubICB = coalesce(registered.SubICB, home.SubICB)
LEFT JOIN geography ON geography.SubICB = coalesce(change.NewSubICB, registered.SubICB, home.SubICB)
LEFT JOIN banded ON banded.age = described.age
LEFT JOIN code_level AS identity
    ON identity.class = 'gender'
    AND identity.code = described.GenderIDCode
LEFT JOIN code_level AS gender
    ON gender.class = 'gender if not stated'
    AND gender.code = described.Gender
LEFT JOIN code_level AS ethnicity
    ON ethnicity.class = 'upper ethnicity'
    AND ethnicity.code = described.EthnicCategory
LEFT JOIN code_level AS deprivation
    ON deprivation.class = 'dashboard deprivation'
    AND deprivation.code = home.IMDDecile2019
CROSS JOIN (SELECT max(lowest) AS lowest FROM band WHERE class = 'adult') AS grown_up
