-- Our own measures with their denominators, before disclosure control. A level at which the denominator has nothing is left out.
-- Grain: one row per measure, period, breakdown and level. Keys: measure_id, period_start, period_end, breakdown, level.
WITH counted AS (
    SELECT
        measure.measure_id,
        measure.kind,
        measure.per,
        measure.denominator AS denominator_name,
        count.family,
        count.period_start,
        count.period_end,
        count.breakdown,
        count.level,
        max(CASE WHEN count.quantity = measure.numerator THEN count.amount END) AS numerator,
        max(CASE WHEN count.quantity = measure.denominator THEN count.amount END) AS denominator
    FROM evidence_count AS count
    INNER JOIN measure
        ON measure.family = count.family
        AND count.quantity IN (measure.numerator, measure.denominator)
    INNER JOIN measure_breakdown
        ON measure_breakdown.measure_id = measure.measure_id
        AND measure_breakdown.breakdown = count.breakdown
        AND measure_breakdown.evaluated
    GROUP BY ALL
)
SELECT
    measure_id,
    period_start,
    period_end,
    breakdown,
    level,
    coalesce(numerator, 0) AS numerator,
    denominator,
    CASE
        WHEN denominator_name IS NULL THEN CAST(numerator AS DECIMAL(38, 6))
        WHEN denominator > 0 THEN CAST(coalesce(numerator, 0) * per AS DECIMAL(38, 6)) / denominator
    END AS value
FROM counted
WHERE denominator_name IS NULL OR denominator > 0
