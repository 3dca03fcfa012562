-- How many units entered, left or changed, by measure and cause: nothing that names a record, and fewer than are ever shown as an asterisk.
-- Grain: one row per measure, length of period, change and cause. Keys: measure_id, months, change, cause.
SELECT
    measure_id,
    months,
    change,
    cause,
    count(*) AS units,
    CASE WHEN count(*) < getvariable('smallest_shown') THEN '*' ELSE CAST(count(*) AS VARCHAR) END AS units_shown,
    CAST(sum(now_amount) - sum(was_amount) AS BIGINT) AS difference
FROM unit_change
GROUP BY measure_id, months, change, cause
ORDER BY measure_id, months, change, units DESC, cause
