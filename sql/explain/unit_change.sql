-- The units that entered a measure between two releases, left it, or changed in it, and what most likely caused it: first what the releases were made
-- from, then what the evidence says. Both sides are compared in the reporting period that each release is for.
-- Grain: one row per measure, unit, length of period and change. Keys: measure_id, unit, months.
WITH was AS (
    SELECT
        explained_was.*,
        CASE WHEN months IN (1, 3, 12, 24, 36) THEN months ELSE 0 END AS span
    FROM (SELECT *, date_diff('month', period_start, period_end) + 1 AS months FROM explained_was) AS explained_was
),
later AS (
    SELECT
        explained_now.*,
        CASE WHEN months IN (1, 3, 12, 24, 36) THEN months ELSE 0 END AS span
    FROM (SELECT *, date_diff('month', period_start, period_end) + 1 AS months FROM explained_now) AS explained_now
),
both_sides AS (
    SELECT
        coalesce(later.measure_id, was.measure_id) AS measure_id,
        coalesce(later.unit, was.unit) AS unit,
        coalesce(later.months, was.months) AS months,
        list_sort(list_distinct(coalesce(was.providers, []) || coalesce(later.providers, []))) AS providers,
        was.UniqMonthID AS was_month,
        later.UniqMonthID AS now_month,
        coalesce(was.verdict = 'counted', false) AS was_counted,
        coalesce(later.verdict = 'counted', false) AS now_counted,
        CASE WHEN was.verdict = 'counted' THEN was.numerator ELSE 0 END AS was_amount,
        CASE WHEN later.verdict = 'counted' THEN later.numerator ELSE 0 END AS now_amount,
        coalesce(was.denominator, 0) AS was_denominator,
        coalesce(later.denominator, 0) AS now_denominator,
        was.reason AS was_reason,
        later.reason AS now_reason,
        was.levels AS was_levels,
        later.levels AS now_levels
    FROM was
    FULL JOIN later
        ON later.measure_id = was.measure_id
        AND later.unit = was.unit
        AND later.span = was.span
),
changed AS (
    SELECT
        both_sides.*,
        CASE
            WHEN now_counted AND NOT was_counted THEN 'entered'
            WHEN was_counted AND NOT now_counted THEN 'left'
            ELSE 'changed'
        END AS change,
        CASE WHEN now_counted THEN now_month ELSE was_month END AS deciding_month
    FROM both_sides
    WHERE
        now_counted <> was_counted
        OR was_denominator <> now_denominator
        OR (was_counted AND (was_amount <> now_amount OR was_levels IS DISTINCT FROM now_levels))
),
resubmitted AS (
    SELECT
        changed.measure_id,
        changed.unit,
        changed.months,
        min(submission_change.change) AS change
    FROM changed
    INNER JOIN submission_change
        ON list_contains(changed.providers, submission_change.provider)
        AND submission_change.UniqMonthID = coalesce(changed.deciding_month, submission_change.UniqMonthID)
    GROUP BY changed.measure_id, changed.unit, changed.months
)
SELECT
    changed.measure_id,
    changed.unit,
    changed.months,
    changed.change,
    CASE
        WHEN changed.change = 'entered' AND changed.deciding_month > run_change.was_last_month THEN 'the period moved on to its month'
        WHEN changed.change = 'left' AND changed.deciding_month < run_change.now_first_month THEN 'the period moved past its month'
        WHEN resubmitted.change IS NOT NULL THEN 'the return of its month was ' || resubmitted.change
        WHEN run_change.period_moved AND changed.deciding_month IS NULL THEN 'the period moved'
        WHEN changed.change = 'entered' AND changed.was_reason IS NOT NULL THEN 'was out: ' || changed.was_reason
        WHEN changed.change = 'left' AND changed.now_reason IS NOT NULL THEN 'now out: ' || changed.now_reason
        WHEN run_change.period_moved THEN 'the period moved'
        WHEN run_change.reference_changed AND run_change.code_changed THEN 'the reference data and the definitions changed'
        WHEN run_change.reference_changed THEN 'the reference data changed'
        WHEN run_change.code_changed THEN 'the definitions changed'
        ELSE 'its records changed'
    END AS cause,
    array_to_string(changed.providers, ' ') AS providers,
    changed.was_amount,
    changed.now_amount,
    changed.was_denominator,
    changed.now_denominator,
    changed.was_reason,
    changed.now_reason,
    array_to_string(changed.was_levels, '; ') AS was_levels,
    array_to_string(changed.now_levels, '; ') AS now_levels
FROM changed
CROSS JOIN run_change
LEFT JOIN resubmitted
    ON resubmitted.measure_id = changed.measure_id
    AND resubmitted.unit = changed.unit
    AND resubmitted.months = changed.months
ORDER BY changed.measure_id, changed.change, cause, changed.unit, changed.months
