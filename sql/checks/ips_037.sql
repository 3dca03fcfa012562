-- Tables with far more, or far fewer, rows than the provider's own earlier months.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    submission,
    submission AS file,
    table_name,
    0 AS row
FROM unusual_volume
WHERE what = 'rows'
