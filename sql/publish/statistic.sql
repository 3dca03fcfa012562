-- Values with their 95% intervals, comparisons with a reference level, and funnel limits, from what each variant lets be known of the counts.
--   proportions   Wilson's score interval (Wilson 1927)
--   rates         Byar's approximation to the exact Poisson interval (Breslow and Day 1987)
--   ratios        risk or rate ratio to the reference level, its interval on the log scale (Katz 1978); not where either count is nought
--   limits        the overall proportion plus and minus 1.96 and 3.09 standard errors at the level's size (Spiegelhalter 2005), for places
-- Everything is rounded to six decimals. Fewer than 20 in the denominator, or in a count, are marked as small numbers.
-- Grain: as counted. Keys: measure_id, period_start, period_end, breakdown, level, level_name, variant.
WITH held AS (
    SELECT
        counted.*,
        measure.kind,
        measure.per,
        measure.fair,
        coalesce(measure.reference, breakdown.reference) AS reference,
        breakdown.places,
        CAST(counted.numerator AS DOUBLE) AS x,
        CAST(counted.denominator AS DOUBLE) AS n
    FROM (
        SELECT * FROM counted
        UNION ALL BY NAME
        SELECT * FROM local_count
    ) AS counted
    INNER JOIN measure ON measure.measure_id = counted.measure_id
    INNER JOIN breakdown ON breakdown.breakdown = counted.breakdown
),
reference AS (
    SELECT variant, measure_id, period_start, period_end, breakdown, level AS reference_level, x AS reference_x, n AS reference_n
    FROM held
    WHERE fair AND NOT places AND x IS NOT NULL AND n > 0
    QUALIFY row_number() OVER (
        PARTITION BY variant, measure_id, period_start, period_end, breakdown
        ORDER BY coalesce(level = reference, false) DESC, level <> 'Unknown' DESC, n DESC, level
    ) = 1
),
overall AS (
    SELECT variant, measure_id, period_start, period_end, x / n AS p
    FROM held
    WHERE fair AND kind = 'proportion' AND breakdown = 'by_all' AND x <= n AND n > 0
),
compared AS (
    SELECT
        held.*,
        reference_x,
        reference_n,
        CASE WHEN held.kind = 'proportion' AND x BETWEEN 0 AND n AND n > 0 THEN x / n END AS share,
        CASE WHEN held.kind = 'rate' AND n > 0 AND x >= 0 THEN held.per / n END AS scale,
        CASE WHEN x > 0 AND n > 0 AND reference_x > 0 THEN (x / n) / (reference_x / reference_n) END AS ratio_to_reference,
        CASE
            -- The reference beside itself is one, for certain.
            WHEN x > 0 AND n > 0 AND reference_x > 0 AND held.level <> reference_level
                THEN greatest(0, 1 / x + 1 / reference_x - CASE WHEN held.kind = 'proportion' THEN 1 / n + 1 / reference_n ELSE 0 END)
        END AS log_variance,
        overall.p,
        sqrt(overall.p * (1 - overall.p) / n) AS standard_error
    FROM held
    LEFT JOIN reference
        ON reference.variant = held.variant
        AND reference.measure_id = held.measure_id
        AND reference.period_start = held.period_start
        AND reference.period_end = held.period_end
        AND reference.breakdown = held.breakdown
    LEFT JOIN overall
        ON overall.variant = held.variant
        AND overall.measure_id = held.measure_id
        AND overall.period_start = held.period_start
        AND overall.period_end = held.period_end
        AND held.places
        AND held.n > 0
)
SELECT
    measure_id,
    variant,
    period_start,
    period_end,
    breakdown,
    level,
    level_name,
    numerator,
    denominator,
    disclosure,
    CASE
        WHEN value_as_published IS NOT NULL THEN value_as_published
        WHEN kind = 'median' THEN CAST(median AS DOUBLE)
        WHEN kind = 'count' THEN x
        WHEN kind = 'mean' AND variant = 'local' THEN round(mean * per, CASE WHEN abs(mean * per) < 10 THEN 1 ELSE 0 END)
        WHEN n > 0 THEN x * per / n
    END AS value,
    round(CASE
        WHEN kind = 'median' THEN median_lower
        WHEN share IS NOT NULL
            THEN greatest(0, share + 1.920729410347062 / n - 1.959963984540054 * sqrt(share * (1 - share) / n + 0.960364705173531 / (n * n)))
                / (1 + 3.841458820694124 / n)
        WHEN scale IS NOT NULL AND x = 0 THEN 0
        WHEN scale IS NOT NULL THEN scale * greatest(0, x * power(1 - 1 / (9 * x) - 1.959963984540054 / (3 * sqrt(x)), 3))
    END, 6) AS lower,
    round(CASE
        WHEN kind = 'median' THEN median_upper
        WHEN share IS NOT NULL
            THEN least(
                1, (share + 1.920729410347062 / n + 1.959963984540054 * sqrt(share * (1 - share) / n + 0.960364705173531 / (n * n)))
                / (1 + 3.841458820694124 / n)
            )
        WHEN scale IS NOT NULL THEN scale * (x + 1) * power(1 - 1 / (9 * (x + 1)) + 1.959963984540054 / (3 * sqrt(x + 1)), 3)
    END, 6) AS upper,
    round(ratio_to_reference, 6) AS ratio,
    round(ratio_to_reference * exp(-1.959963984540054 * sqrt(log_variance)), 6) AS ratio_lower,
    round(ratio_to_reference * exp(1.959963984540054 * sqrt(log_variance)), 6) AS ratio_upper,
    round(CASE WHEN p IS NOT NULL THEN greatest(0, p - 1.959963984540054 * standard_error) END, 6) AS limit_lower_95,
    round(CASE WHEN p IS NOT NULL THEN least(1, p + 1.959963984540054 * standard_error) END, 6) AS limit_upper_95,
    round(CASE WHEN p IS NOT NULL THEN greatest(0, p - 3.090232306167813 * standard_error) END, 6) AS limit_lower_998,
    round(CASE WHEN p IS NOT NULL THEN least(1, p + 3.090232306167813 * standard_error) END, 6) AS limit_upper_998,
    CASE WHEN coalesce(n, x) < 20 THEN 'small numbers' END AS reliability
FROM compared
