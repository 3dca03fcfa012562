-- What our own measures count at every level, before disclosure control. A level at which the denominator has nothing is left out.
-- Of a median the numerator is how many it happened to and the denominator how many were waiting.
-- Grain: one row per measure, period, breakdown and level. Keys: measure_id, period_start, period_end, breakdown, level.
WITH counted AS (
    SELECT
        measure.measure_id,
        measure.denominator AS divisor,
        count.period_start,
        count.period_end,
        count.breakdown,
        count.level,
        coalesce(max(CASE WHEN count.quantity = measure.numerator THEN count.amount END), 0) AS numerator,
        max(CASE WHEN count.quantity = measure.denominator THEN count.amount END) AS denominator
    FROM evidence_count AS count
    INNER JOIN measure
        ON measure.family = count.family
        AND count.quantity IN (measure.numerator, measure.denominator)
    GROUP BY ALL
),
found AS (
    SELECT
        * EXCLUDE (divisor),
        CAST(NULL AS INTEGER) AS median, CAST(NULL AS INTEGER) AS median_lower, CAST(NULL AS INTEGER) AS median_upper
    FROM counted
    WHERE divisor IS NULL OR denominator > 0

    UNION ALL BY NAME

    SELECT
        measure.measure_id, survival.* EXCLUDE (family, quantity, events, units), survival.events AS numerator, survival.units AS denominator
    FROM survival
    INNER JOIN measure
        ON measure.family = survival.family
        AND measure.numerator = survival.quantity
)
SELECT found.*
FROM found
INNER JOIN measure_breakdown
    ON measure_breakdown.measure_id = found.measure_id
    AND measure_breakdown.breakdown = found.breakdown
    AND measure_breakdown.evaluated
