-- Counts of rows and diagnostics compared: the numerator and denominator of each code on both sides.
-- Diagnostics are our reading of unpublished formulas, so a difference there says that the reading is wrong as likely as the data.
-- Grain: one row per report and code. Keys: report, code.
WITH amount AS (
    SELECT
        side, report, CODE AS code,
        max(TRY_CAST(NUMERATOR AS BIGINT)) AS numerator,
        max(TRY_CAST(DENOMINATOR AS BIGINT)) AS denominator
    FROM report_line
    WHERE report IN ('aggregation', 'diagnostics')
    GROUP BY ALL
),
theirs AS (SELECT * FROM amount WHERE side = 'theirs'),
ours AS (SELECT * FROM amount WHERE side = 'ours')
SELECT
    coalesce(theirs.report, ours.report) AS report,
    coalesce(theirs.code, ours.code) AS code,
    theirs.numerator AS theirs,
    ours.numerator AS ours,
    CASE
        WHEN theirs.code IS NULL THEN 'only ours'
        WHEN ours.code IS NULL THEN 'only theirs'
        WHEN
            theirs.numerator IS NOT DISTINCT FROM ours.numerator
            AND (theirs.denominator IS NOT DISTINCT FROM ours.denominator OR theirs.denominator IS NULL OR ours.denominator IS NULL)
            THEN 'same count'
        WHEN coalesce(theirs.report, ours.report) = 'diagnostics' THEN 'formula not published'
        ELSE 'count differs'
    END AS class
FROM theirs
FULL JOIN ours
    ON ours.report = theirs.report
    AND ours.code = theirs.code
ORDER BY report, code
