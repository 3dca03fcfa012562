-- The evidence of all families of our own measures in one form: whom or what a row is about, when, the levels it counts at (by_…) and how much (n_…).
-- A new family adds its evidence here. A level that is NULL does not apply to the family.
-- Grain: one row per family, unit, period and combination of levels. Keys: family, unit, period_start, period_end, and the levels.
SELECT
    family,
    unit,
    period_start,
    period_end,
    COLUMNS('^by_'),
    COLUMNS('^n_')
FROM (
    SELECT * FROM access
    UNION ALL BY NAME
    SELECT * FROM dashboard_corrected
    UNION ALL BY NAME
    SELECT * FROM targets
    UNION ALL BY NAME
    SELECT * FROM employment
    UNION ALL BY NAME
    SELECT * FROM waits
    UNION ALL BY NAME
    SELECT * FROM health_use
    UNION ALL BY NAME
    SELECT * FROM data_quality
    UNION ALL BY NAME
    SELECT * FROM fairness
    UNION ALL BY NAME
    SELECT * FROM ips_grow
    UNION ALL BY NAME
    SELECT * FROM trial
)
