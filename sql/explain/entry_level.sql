-- The levels at which the evidence counts, one a row.
-- Grain: one row per entry and breakdown that applies to it. Keys: entry, breakdown.
UNPIVOT (SELECT entry, COLUMNS('^by_') FROM entry)
ON COLUMNS('^by_')
INTO NAME breakdown VALUE level
