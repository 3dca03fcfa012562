-- Differences and ratios of the outcomes between arms, each arm against each other one, with 95% intervals.
--   difference    of two proportions, by Newcombe's method 10 from the two Wilson intervals (Newcombe 1998)
--   ratio         of two proportions, on the log scale (Katz 1978); not where either count is nought
-- The first arm of the level is the one that is compared, the second the one it is compared with.
-- What a local release shows is reckoned from the counts that it shows, rounded as they are: it tells nothing that they do not.
-- Grain: one row per measure, period, pair of arms and variant. Keys: measure_id, period_start, period_end, level, variant.
WITH arm AS (
    SELECT
        held.variant,
        held.period_start,
        held.period_end,
        held.level AS arm,
        measure.numerator AS quantity,
        held.disclosure,
        CAST(held.numerator AS DOUBLE) AS x,
        CASE WHEN held.denominator > 0 AND held.numerator <= held.denominator THEN CAST(held.denominator AS DOUBLE) END AS n
    FROM (
        SELECT variant, measure_id, period_start, period_end, breakdown, level, numerator, denominator, disclosure FROM counted
        UNION ALL
        SELECT variant, measure_id, period_start, period_end, breakdown, level, numerator, denominator, disclosure FROM local_count
    ) AS held
    INNER JOIN measure
        ON measure.measure_id = held.measure_id
        AND measure.family = 'trial'
        AND measure.kind = 'proportion'
    WHERE held.breakdown = 'by_arm'
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
        one.variant,
        one.period_start,
        one.period_end,
        one.quantity,
        CASE
            WHEN one.variant <> 'local' THEN 'exact'
            WHEN 'suppressed' IN (one.disclosure, other.disclosure) THEN 'suppressed'
            WHEN 'secondary' IN (one.disclosure, other.disclosure) THEN 'secondary'
            ELSE 'rounded'
        END AS disclosure,
        one.arm || ' against ' || other.arm AS level,
        one.p - other.p AS difference,
        one.p - other.p - sqrt((one.p - one.low) ** 2 + (other.high - other.p) ** 2) AS difference_lower,
        one.p - other.p + sqrt((one.high - one.p) ** 2 + (other.p - other.low) ** 2) AS difference_upper,
        CASE WHEN one.x > 0 AND other.x > 0 THEN one.p / other.p END AS ratio,
        one.z * sqrt(1 / one.x - 1 / one.n + 1 / other.x - 1 / other.n) AS spread
    FROM bounded AS one
    INNER JOIN bounded AS other
        ON other.variant = one.variant
        AND other.period_start = one.period_start
        AND other.period_end = one.period_end
        AND other.quantity = one.quantity
        AND other.arm <> one.arm
),
compared AS (
    SELECT
        variant, period_start, period_end, level, quantity, disclosure, 'difference' AS kind, difference AS value,
        difference_lower AS lower, difference_upper AS upper
    FROM pair

    UNION ALL

    SELECT
        variant, period_start, period_end, level, quantity, disclosure, 'ratio' AS kind, ratio AS value,
        exp(ln(ratio) - spread) AS lower, exp(ln(ratio) + spread) AS upper
    FROM pair
)
SELECT
    measure.measure_id,
    compared.period_start,
    compared.period_end,
    measure_breakdown.breakdown,
    compared.level,
    round(compared.value, 6) AS value,
    round(compared.lower, 6) AS lower,
    round(compared.upper, 6) AS upper,
    compared.variant,
    compared.disclosure
FROM compared
INNER JOIN measure
    ON measure.family = 'trial'
    AND measure.kind = compared.kind
    AND measure.numerator = compared.quantity
INNER JOIN measure_breakdown
    ON measure_breakdown.measure_id = measure.measure_id
    AND measure_breakdown.evaluated
-- Without a value there is a row only where that says something was hidden.
WHERE compared.value IS NOT NULL OR compared.disclosure IN ('suppressed', 'secondary')
