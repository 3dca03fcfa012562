-- All dashboard measures at every level of every breakdown, by one set of sums.
-- Grain: one row per month, breakdown, level and level name, with one column per measure. Keys: UniqMonthID, breakdown, level, level_name.
SELECT
    UniqMonthID,
    ReportingPeriodEndDate,
    FinancialYear,
    CASE grouping(team, OrgIDProv, sub_icb, icb, region, source, age, ethnicity, gender, deprivation)
        WHEN 1023 THEN 'dashboard_england'
        WHEN 255 THEN 'dashboard_team'
        WHEN 767 THEN 'dashboard_provider'
        WHEN 895 THEN 'dashboard_sub_icb'
        WHEN 959 THEN 'dashboard_icb'
        WHEN 991 THEN 'dashboard_region'
        WHEN 1007 THEN 'dashboard_source'
        WHEN 1015 THEN 'dashboard_age'
        WHEN 1019 THEN 'dashboard_ethnicity'
        WHEN 1021 THEN 'dashboard_gender'
        WHEN 1022 THEN 'dashboard_deprivation'
    END AS breakdown,
    coalesce(team, OrgIDProv, sub_icb, icb, region, source, age, ethnicity, gender, deprivation, 'England') AS level,
    CASE
        WHEN grouping(OrgIDProv) = 0 THEN provider_name
        ELSE coalesce(sub_icb_name, icb_name, region_name, source, age, ethnicity, gender, deprivation, 'England')
    END AS level_name,
    sum(COLUMNS(
        * EXCLUDE (
            UniqMonthID, ReportingPeriodEndDate, FinancialYear, OrgIDProv, provider_name, team, sub_icb, sub_icb_name, icb, icb_name,
            region, region_name, source, age, ethnicity, gender, deprivation,
            UniqServReqID, ReferralRequestReceivedDate, ServDischDate, access_date, contacts_ever
        )
    ))
FROM dashboard_row
GROUP BY GROUPING SETS (
    (UniqMonthID, ReportingPeriodEndDate, FinancialYear),
    (UniqMonthID, ReportingPeriodEndDate, FinancialYear, OrgIDProv, provider_name),
    (UniqMonthID, ReportingPeriodEndDate, FinancialYear, OrgIDProv, provider_name, team),
    (UniqMonthID, ReportingPeriodEndDate, FinancialYear, sub_icb, sub_icb_name),
    (UniqMonthID, ReportingPeriodEndDate, FinancialYear, icb, icb_name),
    (UniqMonthID, ReportingPeriodEndDate, FinancialYear, region, region_name),
    (UniqMonthID, ReportingPeriodEndDate, FinancialYear, source),
    (UniqMonthID, ReportingPeriodEndDate, FinancialYear, age),
    (UniqMonthID, ReportingPeriodEndDate, FinancialYear, ethnicity),
    (UniqMonthID, ReportingPeriodEndDate, FinancialYear, gender),
    (UniqMonthID, ReportingPeriodEndDate, FinancialYear, deprivation)
)
