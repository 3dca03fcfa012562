-- What must hold of every measure and does not: a row here fails the run. Exempt is what the registry says the published code itself breaks.
-- Grain: one row per invariant, measure and breakdown that breaks it. Keys: invariant, measure_id, breakdown.
WITH exact AS (
    SELECT counted.*, measure.family, measure.kind, breakdown.within, breakdown.exclusive
    FROM counted
    INNER JOIN measure ON measure.measure_id = counted.measure_id
    INNER JOIN breakdown ON breakdown.breakdown = counted.breakdown
),
total AS (
    SELECT
        measure_id, kind, family, period_start, period_end, breakdown, any_value(within) AS within, any_value(exclusive) AS exclusive,
        sum(numerator) AS numerator, sum(denominator) AS denominator, max(numerator) AS largest
    FROM exact
    GROUP BY measure_id, kind, family, period_start, period_end, breakdown
),
added AS (
    SELECT measure_breakdown.measure_id, whole.kind, whole.period_end, measure_breakdown.breakdown, breakdown.exclusive,
        coalesce(part.numerator, 0) AS numerator, whole.numerator AS whole_numerator,
        coalesce(part.denominator, 0) AS denominator, coalesce(whole.denominator, 0) AS whole_denominator,
        coalesce(part.largest, 0) AS largest
    FROM measure_breakdown
    INNER JOIN breakdown ON breakdown.breakdown = measure_breakdown.breakdown
    INNER JOIN total AS whole
        ON whole.measure_id = measure_breakdown.measure_id
        AND whole.breakdown = breakdown.within
    LEFT JOIN total AS part
        ON part.measure_id = whole.measure_id
        AND part.period_start = whole.period_start
        AND part.period_end = whole.period_end
        AND part.breakdown = measure_breakdown.breakdown
    WHERE measure_breakdown.evaluated
),
summed AS (
    SELECT quantity_sum.number, whole.cell, whole.breakdown, whole.amount, coalesce(sum(part.amount), 0) AS parts
    FROM cell AS whole
    INNER JOIN quantity_sum
        ON quantity_sum.family = whole.family
        AND quantity_sum.total = whole.quantity
        AND quantity_sum.always
    -- A part that lacks reference data is not nought.
    ANTI JOIN (
        SELECT part.number, measure_breakdown.breakdown
        FROM quantity_sum AS part
        INNER JOIN measure
            ON measure.family = part.family
            AND measure.numerator = part.part
        INNER JOIN measure_breakdown
            ON measure_breakdown.measure_id = measure.measure_id
            AND NOT measure_breakdown.evaluated
    ) AS lacking
        ON lacking.number = quantity_sum.number
        AND lacking.breakdown = whole.breakdown
    LEFT JOIN cell AS part
        ON part.family = whole.family
        AND part.quantity = quantity_sum.part
        AND part.period_start = whole.period_start
        AND part.period_end = whole.period_end
        AND part.breakdown = whole.breakdown
        AND part.level = whole.level
        AND part.level_name IS NOT DISTINCT FROM whole.level_name
    GROUP BY quantity_sum.number, whole.cell, whole.breakdown, whole.amount
),
found AS (
    SELECT 'numerator within denominator' AS invariant, measure_id, breakdown
    FROM exact
    WHERE kind IN ('proportion', 'median') AND numerator > coalesce(denominator, 0)

    UNION ALL

    SELECT 'nothing negative' AS invariant, measure_id, breakdown
    FROM exact
    WHERE least(numerator, denominator, median, median_lower, median_upper) < 0

    UNION ALL

    -- A rate or a mean has no row at a level where there is nothing to divide by, so its levels may hold less than the total.
    SELECT 'exclusive levels add up to their total' AS invariant, measure_id, breakdown
    FROM added
    WHERE
        exclusive
        AND (
            numerator > whole_numerator
            OR kind NOT IN ('rate', 'mean') AND numerator < whole_numerator
            OR kind IN ('proportion', 'mean', 'median') AND denominator <> whole_denominator
        )

    UNION ALL

    SELECT 'levels cover their total and none exceeds it' AS invariant, measure_id, breakdown
    FROM added
    WHERE NOT exclusive AND (kind NOT IN ('rate', 'mean') AND numerator < whole_numerator OR largest > whole_numerator)

    UNION ALL

    SELECT 'unknown is a level of its own' AS invariant, measure_id, breakdown
    FROM exact
    WHERE coalesce(level, '') = ''

    UNION ALL

    SELECT 'one row per key' AS invariant, measure_id, breakdown
    FROM statistic
    GROUP BY measure_id, breakdown, variant, period_start, period_end, level, level_name
    HAVING count(*) > 1

    UNION ALL

    SELECT 'interval contains the value' AS invariant, measure_id, breakdown
    FROM statistic
    WHERE value < lower - 1e-6 * greatest(1, abs(lower)) OR value > upper + 1e-6 * greatest(1, abs(upper))

    UNION ALL

    SELECT 'quantities add up to their total' AS invariant, min(measure.measure_id) AS measure_id, summed.breakdown
    FROM summed
    INNER JOIN quantity_sum ON quantity_sum.number = summed.number
    INNER JOIN measure
        ON measure.family = quantity_sum.family
        AND measure.numerator = quantity_sum.part
    WHERE summed.amount <> summed.parts
    GROUP BY summed.number, summed.breakdown
)
SELECT DISTINCT found.invariant, found.measure_id, found.breakdown
FROM found
ANTI JOIN measure_exempt
    ON measure_exempt.measure_id = found.measure_id
    AND measure_exempt.invariant = found.invariant
ORDER BY found.invariant, found.measure_id, found.breakdown
