-- All dashboard measures at every level of every breakdown. Teams add up to providers and England, sub-ICBs to ICBs and regions;
-- breakdowns that are short share a grouping, since each grouping reads every row.
-- Grain: one row per month, breakdown, level and level name, with one column per measure. Keys: UniqMonthID, breakdown, level, level_name.
WITH part AS (
    SELECT
        UniqMonthID,
        OrgIDProv,
        provider_name,
        team,
        sub_icb,
        source,
        age,
        ethnicity,
        gender,
        deprivation,
        CASE
            WHEN grouping(team) = 0 THEN 'provider and team'
            WHEN grouping(sub_icb) = 0 THEN 'place'
            WHEN grouping(age) = 0 THEN 'age and ethnicity'
            ELSE 'source, gender and deprivation'
        END AS told,
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
        (UniqMonthID, sub_icb),
        (UniqMonthID, age, ethnicity),
        (UniqMonthID, source, gender, deprivation)
    )
),
month AS (
    SELECT DISTINCT UniqMonthID, ReportingPeriodEndDate, FinancialYear
    FROM submission
),
shown AS (
    SELECT
        UNNEST(
            CASE told
                WHEN 'provider and team' THEN [
                    {'breakdown': 'dashboard_england', 'level': 'England', 'level_name': 'England'},
                    {'breakdown': 'dashboard_provider', 'level': OrgIDProv, 'level_name': provider_name},
                    {'breakdown': 'dashboard_team', 'level': team, 'level_name': provider_name}
                ]
                WHEN 'place' THEN [
                    {'breakdown': 'dashboard_sub_icb', 'level': sub_icb, 'level_name': coalesce(area.sub_icb_name, 'Missing / Invalid')},
                    {
                        'breakdown': 'dashboard_icb',
                        'level': coalesce(area.icb, 'Missing / Invalid'),
                        'level_name': coalesce(area.icb_name, 'Missing / Invalid')
                    },
                    {
                        'breakdown': 'dashboard_region',
                        'level': coalesce(area.region, 'Missing / Invalid'),
                        'level_name': coalesce(area.region_name, 'Missing / Invalid')
                    }
                ]
                WHEN 'age and ethnicity' THEN [
                    {'breakdown': 'dashboard_age', 'level': age, 'level_name': age},
                    {'breakdown': 'dashboard_ethnicity', 'level': ethnicity, 'level_name': ethnicity}
                ]
                WHEN 'source, gender and deprivation' THEN [
                    {'breakdown': 'dashboard_source', 'level': source, 'level_name': source},
                    {'breakdown': 'dashboard_gender', 'level': gender, 'level_name': gender},
                    {'breakdown': 'dashboard_deprivation', 'level': deprivation, 'level_name': deprivation}
                ]
            END,
            recursive := true
        ),
        part.* EXCLUDE (OrgIDProv, provider_name, team, sub_icb, source, age, ethnicity, gender, deprivation, told)
    FROM part
    LEFT JOIN dashboard_area AS area ON area.SubICB = part.sub_icb
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
