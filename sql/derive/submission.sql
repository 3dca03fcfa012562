-- The submissions of the run, with the identifiers the national platform would give them.
-- Grain: one row per submission folder. Keys: submission; UniqSubmissionID.
-- UniqSubmissionID grows with the reporting month, then with the time the file was made, then with the provider's code.
WITH header AS (
    SELECT
        submission,
        OrgIDProvider,
        TRY_CAST(ReportingPeriodStartDate AS DATE) AS first_day,
        TRY_CAST(DateTimeDatSetCreate AS TIMESTAMPTZ) AS created
    FROM MHS000Header
    QUALIFY row_number() OVER (PARTITION BY submission ORDER BY row) = 1
),
dated AS (
    SELECT
        folder.submission,
        coalesce(header.OrgIDProvider, folder.provider) AS OrgIDProv,
        CAST(date_trunc('month', coalesce(header.first_day, folder.first_day)) AS DATE) AS ReportingPeriodStartDate,
        header.created
    FROM folder
    LEFT JOIN header ON header.submission = folder.submission
)
SELECT
    submission,
    OrgIDProv,
    row_number() OVER (ORDER BY ReportingPeriodStartDate, created NULLS FIRST, OrgIDProv, submission) AS UniqSubmissionID,
    (year(ReportingPeriodStartDate) - 1900) * 12 + month(ReportingPeriodStartDate) - 3 AS UniqMonthID,
    ReportingPeriodStartDate,
    last_day(ReportingPeriodStartDate) AS ReportingPeriodEndDate,
    CASE
        WHEN month(ReportingPeriodStartDate) >= 4
            THEN printf('%d/%02d', year(ReportingPeriodStartDate), (year(ReportingPeriodStartDate) + 1) % 100)
        ELSE printf('%d/%02d', year(ReportingPeriodStartDate) - 1, year(ReportingPeriodStartDate) % 100)
    END AS FinancialYear
FROM dated
