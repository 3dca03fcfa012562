-- Every quantity of the evidence at every level of every breakdown, by one count: each unit counts once at a level, however many rows name it there.
-- The breakdowns are the columns by_… of the evidence and, over all of it, by_all; a level that is NULL does not apply.
-- Grain: one row per family, period, breakdown, level and quantity. Keys: family, period_start, period_end, breakdown, level, quantity.
WITH levelled AS (
    UNPIVOT (SELECT *, 'All' AS by_all FROM evidence)
    ON COLUMNS('^by_')
    INTO NAME breakdown VALUE level
),
once AS (
    SELECT family, period_start, period_end, breakdown, level, unit, max(COLUMNS('^n_'))
    FROM levelled
    GROUP BY family, period_start, period_end, breakdown, level, unit
),
total AS (
    SELECT family, period_start, period_end, breakdown, level, CAST(sum(COLUMNS('^n_')) AS BIGINT)
    FROM once
    GROUP BY family, period_start, period_end, breakdown, level
)
UNPIVOT total ON COLUMNS('^n_') INTO NAME quantity VALUE amount
