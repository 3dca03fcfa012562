-- Volumes far from the provider's own earlier months: beyond so many median absolute deviations from the median, so many per cent of the
-- median, and so many rows, all three. The median and not the mean, so that one odd month among the twelve does not hide the next.
-- Grain: one row per submission, table and what is counted. Keys: submission, table_name, what.
WITH history AS (
    SELECT
        earlier_submission.submission,
        month_volume.table_name,
        month_volume.what,
        month_volume.n,
        quantile_disc(month_volume.n, 0.5) OVER (
            PARTITION BY earlier_submission.submission, month_volume.table_name, month_volume.what
        ) AS middle
    FROM earlier_submission
    INNER JOIN month_volume ON month_volume.submission = earlier_submission.file
),
usual AS (
    SELECT
        submission,
        table_name,
        what,
        min(middle) AS middle,
        quantile_disc(abs(n - middle), 0.5) AS deviation
    FROM history
    GROUP BY submission, table_name, what
)
SELECT
    usual.submission,
    usual.table_name,
    usual.what
FROM usual
INNER JOIN month_volume AS own
    ON own.submission = usual.submission
    AND own.table_name = usual.table_name
    AND own.what = usual.what
WHERE
    abs(own.n - usual.middle) > getvariable('volume_deviations') * usual.deviation
    AND abs(own.n - usual.middle) * 100 > getvariable('volume_percent') * usual.middle
    AND abs(own.n - usual.middle) >= getvariable('volume_rows')
