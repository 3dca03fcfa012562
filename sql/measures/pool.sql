-- The periods over which small counts are put together: the last 12, 24 and 36 months, those that reach no further back than what was sent.
-- Grain: one row per period. Keys: months.
SELECT
    span.months,
    getvariable('window_last_month') - span.months + 1 AS first_month,
    CAST(getvariable('period_end') + 1 - to_months(span.months) AS DATE) AS period_start
FROM (SELECT CAST(unnest([12, 24, 36]) AS INTEGER) AS months) AS span
WHERE
    span.months = 12
    OR (SELECT min(UniqMonthID) FROM submission) <= getvariable('window_last_month') - span.months + 1
