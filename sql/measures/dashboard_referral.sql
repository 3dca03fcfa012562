-- IPS referrals of the dashboard, as they stood in each month: found by team, or by an IPS procedure at a direct contact of the month.
-- Two names of one provider give two rows; the published table counts both, and so does this.
-- Grain: one row per monthly referral record, record of its person and provider name. Keys: submission, patient_row, referral_row, provider_name.
WITH named AS (
    -- What the published table calls a provider, by procedure and by team.
    SELECT
        submission.submission,
        coalesce(general.level, provider.Name) AS by_direct_procedure,
        coalesce(general.level, by_team.level, provider.Name) AS by_team
    FROM submission
    LEFT JOIN provider ON provider.OrgIDProvider = submission.OrgIDProv
    LEFT JOIN code_level AS general
        ON general.class = 'dashboard provider name'
        AND general.code = submission.OrgIDProv
    LEFT JOIN code_level AS by_team
        ON by_team.class = 'dashboard provider name, team route'
        AND by_team.code = submission.OrgIDProv
),
route AS (
    -- A referral found by both is two rows only where the names differ.
    SELECT submission, provider_name, bool_or(name = 'by_team') AS by_team, bool_or(name = 'by_direct_procedure') AS by_direct_procedure
    FROM named UNPIVOT INCLUDE NULLS (provider_name FOR name IN (by_team, by_direct_procedure))
    GROUP BY submission, provider_name
),
aged AS (
    -- A band as its years, which are found faster than its bounds.
    SELECT years, min(level) AS level
    FROM (SELECT unnest(range(lowest, highest + 1)) AS years, level FROM band WHERE class = 'dashboard age') AS band_year
    GROUP BY years
),
referral AS (
    SELECT
        ips_referral.*,
        patient.patient_row,
        patient.Person_ID,
        patient.EthnicCategory,
        patient.IMDDecile2019,
        coalesce(identity.code, patient.Gender) AS gender_code,
        -- Completed years on the day the referral was received; 29 February turns a year on 1 March in other years.
        year(ips_referral.ReferralRequestReceivedDate) - year(patient.PersonBirthDate)
        - CASE
            WHEN
                month(ips_referral.ReferralRequestReceivedDate) * 100 + day(ips_referral.ReferralRequestReceivedDate)
                < month(patient.PersonBirthDate) * 100 + day(patient.PersonBirthDate) THEN 1
            ELSE 0
        END AS AgeServReferRecDate
    FROM ips_referral
    INNER JOIN ips_patient AS patient
        ON patient.submission = ips_referral.submission
        AND patient.LocalPatientID = ips_referral.LocalPatientID
    LEFT JOIN code_level AS identity
        ON identity.class = 'dashboard gender identity'
        AND identity.code = patient.GenderIDCode
    WHERE
        ips_referral.ReferralRequestReceivedDate >= getvariable('earliest_referral')
        AND patient.counts_as_england
)
SELECT
    referral.submission,
    route.provider_name,
    referral.patient_row,
    referral.row AS referral_row,
    referral.ServiceRequestID,
    referral.CareProfTeamLocalID,
    submission.OrgIDProv || referral.ServiceRequestID AS UniqServReqID,
    referral.Person_ID,
    referral.ReferralRequestReceivedDate,
    referral.ServDischDate,
    coalesce(source.level, 'Missing/Invalid') AS source,
    coalesce(age.level, 'Missing/Invalid') AS age,
    coalesce(ethnicity.level, 'Missing/Invalid') AS ethnicity,
    coalesce(gender.level, 'Missing/Invalid') AS gender,
    coalesce(deprivation.level, 'Missing/Invalid') AS deprivation
FROM referral
INNER JOIN submission ON submission.submission = referral.submission
INNER JOIN route
    ON route.submission = referral.submission
    AND ((route.by_team AND referral.dashboard_by_team) OR (route.by_direct_procedure AND referral.by_direct_procedure))
LEFT JOIN code_level AS source
    ON source.class = 'dashboard source'
    AND source.code = referral.SourceOfReferralMH
LEFT JOIN aged AS age ON age.years = referral.AgeServReferRecDate
LEFT JOIN code_level AS ethnicity
    ON ethnicity.class = 'dashboard ethnicity'
    AND ethnicity.code = referral.EthnicCategory
LEFT JOIN code_level AS gender
    ON gender.class = 'dashboard gender'
    AND gender.code = referral.gender_code
    AND submission.UniqMonthID BETWEEN gender.from_month AND gender.to_month
LEFT JOIN code_level AS deprivation
    ON deprivation.class = 'dashboard deprivation'
    AND deprivation.code = referral.IMDDecile2019
WHERE submission.UniqMonthID BETWEEN getvariable('dashboard_first_month') AND getvariable('window_last_month')
