-- All dashboard measures at every level of every breakdown. Teams add up to providers and England, sub-ICBs to ICBs and regions.
-- Grain: one row per month, breakdown, level and level name, with one column per measure. Keys: UniqMonthID, breakdown, level, level_name.
WITH part AS (
    SELECT
        UniqMonthID,
        OrgIDProv,
        provider_name,
        team,
        sub_icb,
        sub_icb_name,
        icb,
        icb_name,
        region,
        region_name,
        source,
        age,
        ethnicity,
        gender,
        deprivation,
        grouping(team, sub_icb, source, age, ethnicity, gender, deprivation) AS added_up,
        sum(COLUMNS(
            * EXCLUDE (
                UniqMonthID, ReportingPeriodEndDate, FinancialYear, OrgIDProv, provider_name, team, sub_icb, sub_icb_name, icb, icb_name,
                region, region_name, source, age, ethnicity, gender, deprivation,
                UniqServReqID, ReferralRequestReceivedDate, ServDischDate, access_date, contacts_ever
            )
        ))
    FROM dashboard_row
    GROUP BY GROUPING SETS (
        (UniqMonthID, OrgIDProv, provider_name, team),
        (UniqMonthID, sub_icb, sub_icb_name, icb, icb_name, region, region_name),
        (UniqMonthID, source),
        (UniqMonthID, age),
        (UniqMonthID, ethnicity),
        (UniqMonthID, gender),
        (UniqMonthID, deprivation)
    )
),
month AS (
    SELECT DISTINCT UniqMonthID, ReportingPeriodEndDate, FinancialYear
    FROM submission
),
shown AS (
    SELECT
        UNNEST(
            CASE added_up
                WHEN 63 THEN [
                    {'breakdown': 'dashboard_england', 'level': 'England', 'level_name': 'England'},
                    {'breakdown': 'dashboard_provider', 'level': OrgIDProv, 'level_name': provider_name},
                    {'breakdown': 'dashboard_team', 'level': team, 'level_name': provider_name}
                ]
                WHEN 95 THEN [
                    {'breakdown': 'dashboard_sub_icb', 'level': sub_icb, 'level_name': sub_icb_name},
                    {'breakdown': 'dashboard_icb', 'level': icb, 'level_name': icb_name},
                    {'breakdown': 'dashboard_region', 'level': region, 'level_name': region_name}
                ]
                WHEN 111 THEN [{'breakdown': 'dashboard_source', 'level': source, 'level_name': source}]
                WHEN 119 THEN [{'breakdown': 'dashboard_age', 'level': age, 'level_name': age}]
                WHEN 123 THEN [{'breakdown': 'dashboard_ethnicity', 'level': ethnicity, 'level_name': ethnicity}]
                WHEN 125 THEN [{'breakdown': 'dashboard_gender', 'level': gender, 'level_name': gender}]
                WHEN 126 THEN [{'breakdown': 'dashboard_deprivation', 'level': deprivation, 'level_name': deprivation}]
            END,
            recursive := true
        ),
        * EXCLUDE (
            OrgIDProv, provider_name, team, sub_icb, sub_icb_name, icb, icb_name, region, region_name,
            source, age, ethnicity, gender, deprivation, added_up
        )
    FROM part
)
SELECT
    month.UniqMonthID,
    month.ReportingPeriodEndDate,
    month.FinancialYear,
    shown.breakdown,
    shown.level,
    shown.level_name,
    sum(COLUMNS(shown.* EXCLUDE (UniqMonthID, breakdown, level, level_name)))
FROM shown
INNER JOIN month ON month.UniqMonthID = shown.UniqMonthID
GROUP BY month.UniqMonthID, month.ReportingPeriodEndDate, month.FinancialYear, shown.breakdown, shown.level, shown.level_name
