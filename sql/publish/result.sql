-- MHS116 and MHS116a before disclosure control, at every level shown and at every level found in the data.
-- The rate divides 32-bit numbers in double precision, as the published tables hold them; without a population, or by one of nobody, it is
-- nothing, not missing.
-- Grain: one row per measure, breakdown and level. Keys: measure_id, breakdown, level.
WITH found AS (
    SELECT
        coalesce(level.breakdown, mhs116_count.breakdown) AS breakdown,
        coalesce(level.level, mhs116_count.level) AS level,
        level.description,
        level.level IS NOT NULL AS shown,
        mhs116_count.referrals
    FROM level
    FULL JOIN mhs116_count
        ON mhs116_count.breakdown = level.breakdown
        AND mhs116_count.level = level.level
)
SELECT
    measure.measure_id,
    measure.kind,
    measure_breakdown.breakdown,
    found.level,
    found.description,
    found.shown,
    measure_breakdown.national,
    measure_breakdown.evaluated,
    found.referrals AS numerator,
    CASE WHEN measure.denominator IS NOT NULL THEN population.people END AS denominator,
    CASE
        WHEN NOT measure_breakdown.evaluated THEN NULL
        WHEN measure.denominator IS NULL THEN CAST(found.referrals AS DOUBLE)
        WHEN found.referrals IS NOT NULL
            THEN coalesce(CAST(CAST(found.referrals AS FLOAT) AS DOUBLE) / nullif(CAST(population.people_as_published AS DOUBLE), 0), 0) * measure.per
    END AS value
FROM measure
INNER JOIN measure_breakdown ON measure_breakdown.measure_id = measure.measure_id
INNER JOIN found ON found.breakdown = measure_breakdown.breakdown
LEFT JOIN population
    ON population.breakdown = found.breakdown
    AND population.level = found.level
WHERE measure.family = 'mhs116'
