-- The evidence of one family, numbered so that its levels and quantities can be taken apart; a column that a family lacks is empty.
-- Rows that repeat are numbered one after the other, so each keeps its own number.
-- Grain: one row per row of evidence of the periods asked for. Keys: entry.
SELECT
    row_number() OVER (ORDER BY CAST(to_json(unit_row) AS VARCHAR)) AS entry,
    unit_row.*
FROM unit_row
CROSS JOIN asked
WHERE
    (asked.period_end IS NULL OR unit_row.period_end = asked.period_end)
    AND (asked.provider IS NULL OR unit_row.by_provider = asked.provider)
