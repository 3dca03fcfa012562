-- Values of measures that differ between two releases, exactly as counted. What each release says of its own reporting period is compared;
-- earlier months are compared with the same month.
-- Grain: one row per measure, period, breakdown, level and level name. Keys: measure_id, period, breakdown, level, level_name.
WITH was AS (
    SELECT
        value_was.*,
        CASE
            WHEN period_end = run_change.was_last_day THEN printf('reporting period, %d months', date_diff('month', period_start, period_end) + 1)
            ELSE strftime(period_start, '%Y-%m') || ' to ' || strftime(period_end, '%Y-%m')
        END AS period
    FROM value_was
    CROSS JOIN run_change
),
later AS (
    SELECT
        value_now.*,
        CASE
            WHEN period_end = run_change.now_last_day THEN printf('reporting period, %d months', date_diff('month', period_start, period_end) + 1)
            ELSE strftime(period_start, '%Y-%m') || ' to ' || strftime(period_end, '%Y-%m')
        END AS period
    FROM value_now
    CROSS JOIN run_change
)
SELECT
    coalesce(later.family, was.family) AS family,
    coalesce(later.measure_id, was.measure_id) AS measure_id,
    coalesce(later.period, was.period) AS period,
    coalesce(later.breakdown, was.breakdown) AS breakdown,
    coalesce(later.level, was.level) AS level,
    coalesce(later.level_name, was.level_name) AS level_name,
    was.numerator AS was_numerator,
    later.numerator AS now_numerator,
    was.denominator AS was_denominator,
    later.denominator AS now_denominator,
    was.value AS was_value,
    later.value AS now_value,
    was.definition_version AS was_version,
    later.definition_version AS now_version
FROM was
FULL JOIN later
    ON later.measure_id = was.measure_id
    AND later.period = was.period
    AND later.breakdown = was.breakdown
    AND later.level = was.level
    AND coalesce(later.level_name, '') = coalesce(was.level_name, '')
WHERE
    was.numerator IS DISTINCT FROM later.numerator
    OR was.denominator IS DISTINCT FROM later.denominator
    OR was.value IS DISTINCT FROM later.value
ORDER BY family, measure_id, period, breakdown, level, level_name
