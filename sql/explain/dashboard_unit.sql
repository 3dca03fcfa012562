-- The evidence of the dashboard in the form that our own families have. Its unit is a row of a referral, because the dashboard adds up rows;
-- the row's number within the referral and month shows how often the referral was multiplied.
-- Grain: one row per row of the dashboard. Keys: unit, period_end.
WITH numbered AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY UniqServReqID, UniqMonthID ORDER BY team, sub_icb) AS row_of_referral,
        count(*) OVER (PARTITION BY UniqServReqID, UniqMonthID) AS rows_of_referral
    FROM held
)
SELECT
    'dashboard' AS family,
    printf('referral %s, row %d of %d', UniqServReqID, row_of_referral, rows_of_referral) AS unit,
    CAST(date_trunc('month', ReportingPeriodEndDate) AS DATE) AS period_start,
    ReportingPeriodEndDate AS period_end,
    'England' AS by_dashboard_england,
    OrgIDProv AS by_provider,
    OrgIDProv AS by_dashboard_provider,
    team AS by_dashboard_team,
    sub_icb AS by_dashboard_sub_icb,
    icb AS by_dashboard_icb,
    region AS by_dashboard_region,
    source AS by_dashboard_source,
    age AS by_dashboard_age,
    ethnicity AS by_dashboard_ethnicity,
    gender AS by_dashboard_gender,
    deprivation AS by_dashboard_deprivation,
    UniqServReqID,
    UniqMonthID,
    ReferralRequestReceivedDate AS received,
    ServDischDate AS discharged,
    access_date AS first_contact,
    contacts_ever,
    COLUMNS(
        * EXCLUDE (
            UniqMonthID, ReportingPeriodEndDate, FinancialYear, OrgIDProv, team, sub_icb, icb, region, source, age, ethnicity, gender, deprivation,
            UniqServReqID, ReferralRequestReceivedDate, ServDischDate, access_date, contacts_ever, row_of_referral, rows_of_referral
        )
    ) AS 'n_\0'
FROM numbered
