-- What a release may hold: the local variant of everything or, from a national body, MHS116 as NHS England publishes it and the rest as locally.
-- One state stands for every hidden cell, because to know which were hidden for the sake of others would be to know that they are 5 or more.
-- Grain: one row per measure, period, breakdown, level and level name. Keys: measure_id, period_start, period_end, breakdown, level, level_name.
SELECT * REPLACE (CASE WHEN disclosure = 'secondary' THEN 'suppressed' ELSE disclosure END AS disclosure)
FROM measure_value
WHERE
    breakdown NOT IN (SELECT name FROM breakdown WHERE restricted)
    AND (
        disclosure = 'not evaluated'
        OR variant = CASE WHEN getvariable('publisher') = 'published' AND family = 'mhs116' THEN 'published' ELSE 'local' END
    )
ORDER BY family, measure_id, period_end, period_start, breakdown, level, level_name, variant
