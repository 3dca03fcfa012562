-- Disclosure control, as NHS England publishes: breakdowns of England are exact, everything below is suppressed and rounded.
-- Fewer than five referrals, or none, are an asterisk; a rate hides with its referrals, and is otherwise a whole number: that nearest to the
-- 32-bit number which the published table holds of it.
-- An empty count of England is "0", and so is its rate; a rate whose level has no population is "0.0".
-- Grain: one row per measure, breakdown and level shown. Keys: measure_id, breakdown, level.
WITH judged AS (
    SELECT
        *,
        CASE
            WHEN NOT evaluated THEN 'not evaluated'
            WHEN national THEN 'exact'
            WHEN coalesce(numerator, 0) < getvariable('smallest_shown') THEN 'suppressed'
            ELSE 'rounded'
        END AS disclosure
    FROM result
    WHERE shown
)
SELECT
    measure_id,
    breakdown,
    level,
    description,
    numerator,
    denominator,
    disclosure,
    CASE
        WHEN disclosure = 'suppressed' THEN '*'
        WHEN disclosure = 'exact' AND numerator IS NULL THEN '0'
        WHEN disclosure = 'exact' AND kind = 'count' THEN CAST(numerator AS VARCHAR)
        WHEN disclosure = 'exact' THEN CAST(value AS VARCHAR)
        WHEN disclosure = 'rounded' AND kind = 'count'
            THEN CAST((numerator + getvariable('rounding_base') // 2) // getvariable('rounding_base') * getvariable('rounding_base') AS VARCHAR)
        WHEN disclosure = 'rounded' THEN CAST(round(CAST(CAST(value AS FLOAT) AS DOUBLE), 0) AS VARCHAR)
    END AS published
FROM judged
