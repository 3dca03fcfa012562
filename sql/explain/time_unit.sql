-- The evidence of one time to an event in the form that our own families have: whoever had the event counts, whoever still waits is near.
-- Grain: as the family's times. Keys: unit, period_start, period_end, and the levels.
SELECT
    held.* EXCLUDE (quantity, days, happened),
    CAST(held.happened AS INTEGER) AS n_happened,
    printf(CASE WHEN held.happened THEN 'after %d days' ELSE 'not yet after %d days' END, held.days) AS reason
FROM held
SEMI JOIN asked_time ON asked_time.quantity = held.quantity
