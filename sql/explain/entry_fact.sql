-- What else the evidence says of each row: ids, dates, counts, in the words of its columns.
-- Grain: one row per entry that says anything. Keys: entry.
WITH fact AS (
    UNPIVOT (
        SELECT entry, CAST(COLUMNS(lambda name: NOT regexp_matches(name, '^(entry|family|unit|period_start|period_end|by_.*|n_.*)$')) AS VARCHAR)
        FROM entry
    )
    ON COLUMNS(* EXCLUDE (entry))
    INTO NAME name VALUE said
)
SELECT
    entry,
    max(said) FILTER (name = 'reason') AS reason,
    max(TRY_CAST(said AS INTEGER)) FILTER (name = 'UniqMonthID') AS UniqMonthID,
    string_agg(name || ' ' || said, '; ' ORDER BY name) FILTER (name <> 'reason') AS facts
FROM fact
GROUP BY entry
