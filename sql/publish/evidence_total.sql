-- Every quantity of one family's evidence at every level of every breakdown: each unit counts once at a level, however many rows name it there.
-- The breakdowns are the columns by_… of the evidence and, over all of it, by_all; a level that is NULL does not apply.
-- Most units have one row and are added up as they are; only the others are first put together, which is dear where quantities are many.
-- A macro: evidence_table is the name of the family's table.
-- Grain: one row per family, period, breakdown, level and quantity. Keys: family, period_start, period_end, breakdown, level, quantity.
WITH named AS (
    SELECT
        *,
        'All' AS by_all,
        count(*) OVER (PARTITION BY unit, period_start, period_end) AS rows_of_unit
    FROM query_table(evidence_table)
),
single AS (
    UNPIVOT (SELECT * FROM named WHERE rows_of_unit = 1)
    ON COLUMNS('^by_')
    INTO NAME breakdown VALUE level
),
several AS (
    UNPIVOT (SELECT * FROM named WHERE rows_of_unit > 1)
    ON COLUMNS('^by_')
    INTO NAME breakdown VALUE level
),
once AS (
    SELECT family, period_start, period_end, breakdown, level, COLUMNS('^n_')
    FROM single

    UNION ALL BY NAME

    SELECT * EXCLUDE (unit)
    FROM (
        SELECT family, period_start, period_end, breakdown, level, unit, max(COLUMNS('^n_'))
        FROM several
        GROUP BY family, period_start, period_end, breakdown, level, unit
    )
),
total AS (
    SELECT family, period_start, period_end, breakdown, level, CAST(sum(COLUMNS('^n_')) AS BIGINT)
    FROM once
    GROUP BY family, period_start, period_end, breakdown, level
)
UNPIVOT total ON COLUMNS('^n_') INTO NAME quantity VALUE amount
