-- The evidence of the dashboard as it is kept: the rows of the twelve months that it adds up, each with its referral and what decided its measures,
-- and the measures as numbers.
-- Grain: one row per row of dashboard_row in the twelve months. Keys: none, rows may repeat as they do in the published table.
SELECT
    UniqMonthID,
    ReportingPeriodEndDate,
    FinancialYear,
    OrgIDProv,
    team,
    sub_icb,
    icb,
    region,
    source,
    age,
    ethnicity,
    gender,
    deprivation,
    UniqServReqID,
    ReferralRequestReceivedDate,
    ServDischDate,
    access_date,
    contacts_ever,
    CAST(COLUMNS(
        * EXCLUDE (
            UniqMonthID, ReportingPeriodEndDate, FinancialYear, OrgIDProv, provider_name, team, sub_icb, sub_icb_name, icb, icb_name,
            region, region_name, source, age, ethnicity, gender, deprivation,
            UniqServReqID, ReferralRequestReceivedDate, ServDischDate, access_date, contacts_ever
        )
    ) AS INTEGER)
FROM dashboard_row
WHERE UniqMonthID BETWEEN getvariable('window_first_month') AND getvariable('window_last_month')
