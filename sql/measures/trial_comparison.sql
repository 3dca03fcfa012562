-- Differences and ratios of the outcomes between arms, each arm against each other one, with 95% intervals.
--   difference    of two proportions, by Newcombe's method 10 from the two Wilson intervals (Newcombe 1998)
--   ratio         of two proportions, on the log scale (Katz 1978); not where either count is nought
-- The first arm of the level is the one that is compared, the second the one it is compared with.
-- Grain: one row per measure, period and pair of arms. Keys: measure_id, period_start, period_end, level.
WITH arm AS (
    SELECT
        count.period_start,
        count.period_end,
        count.level AS arm,
        count.quantity,
        CAST(count.amount AS DOUBLE) AS x,
        CAST(followed.amount AS DOUBLE) AS n
    FROM evidence_count AS count
    INNER JOIN evidence_count AS followed
        ON followed.family = count.family
        AND followed.period_start = count.period_start
        AND followed.period_end = count.period_end
        AND followed.breakdown = count.breakdown
        AND followed.level = count.level
        AND followed.quantity = 'n_trial_followed'
    WHERE
        count.family = 'trial'
        AND count.breakdown = 'by_arm'
        AND count.quantity IN ('n_trial_employed_13', 'n_trial_hours')
        AND followed.amount > 0
),
bounded AS (
    SELECT
        *,
        x / n AS p,
        (x + z * z / 2 - z * sqrt(x * (n - x) / n + z * z / 4)) / (n + z * z) AS low,
        (x + z * z / 2 + z * sqrt(x * (n - x) / n + z * z / 4)) / (n + z * z) AS high
    FROM (SELECT *, 1.959963984540054 AS z FROM arm)
),
pair AS (
    SELECT
        one.period_start,
        one.period_end,
        one.quantity,
        one.arm || ' against ' || other.arm AS level,
        one.p - other.p AS difference,
        one.p - other.p - sqrt((one.p - one.low) ** 2 + (other.high - other.p) ** 2) AS difference_lower,
        one.p - other.p + sqrt((one.high - one.p) ** 2 + (other.p - other.low) ** 2) AS difference_upper,
        CASE WHEN one.x > 0 AND other.x > 0 THEN one.p / other.p END AS ratio,
        CASE WHEN one.x > 0 AND other.x > 0 THEN one.z * sqrt(1 / one.x - 1 / one.n + 1 / other.x - 1 / other.n) END AS spread
    FROM bounded AS one
    INNER JOIN bounded AS other
        ON other.period_start = one.period_start
        AND other.period_end = one.period_end
        AND other.quantity = one.quantity
        AND other.arm <> one.arm
),
compared AS (
    SELECT period_start, period_end, level, quantity, 'difference' AS kind, difference AS value, difference_lower AS lower, difference_upper AS upper
    FROM pair

    UNION ALL

    SELECT
        period_start, period_end, level, quantity, 'ratio' AS kind, ratio AS value,
        exp(ln(ratio) - spread) AS lower, exp(ln(ratio) + spread) AS upper
    FROM pair
    WHERE ratio IS NOT NULL
)
SELECT
    measure.measure_id,
    compared.period_start,
    compared.period_end,
    measure_breakdown.breakdown,
    compared.level,
    round(compared.value, 6) AS value,
    round(compared.lower, 6) AS lower,
    round(compared.upper, 6) AS upper
FROM compared
INNER JOIN measure
    ON measure.family = 'trial'
    AND measure.kind = compared.kind
    AND measure.numerator = compared.quantity
INNER JOIN measure_breakdown
    ON measure_breakdown.measure_id = measure.measure_id
    AND measure_breakdown.evaluated
