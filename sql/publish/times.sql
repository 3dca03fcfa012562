-- Times to an event of all families in one form: how many days a unit waited for it, or has waited so far, and whether it happened.
-- A new family adds its table <family>_time here; the first SELECT gives the columns their types and has no rows.
-- Grain: one row per family, quantity, unit, period and combination of levels. Keys: family, quantity, unit, period_end, and the levels.
SELECT
    family,
    CAST(NULL AS VARCHAR) AS quantity,
    unit,
    period_start,
    period_end,
    COLUMNS('^by_'),
    CAST(NULL AS INTEGER) AS days,
    CAST(NULL AS BOOLEAN) AS happened
FROM evidence
WHERE false

UNION ALL BY NAME

SELECT * FROM waits_time

UNION ALL BY NAME

SELECT * FROM ips_grow_time
