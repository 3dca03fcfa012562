-- The quantities of the evidence that the measures asked about read, one a row; one that does not apply to the row is left out.
-- Grain: one row per entry and quantity. Keys: entry, quantity.
WITH amount AS (
    UNPIVOT (SELECT entry, CAST(COLUMNS('^n_') AS BIGINT) FROM entry)
    ON COLUMNS('^n_')
    INTO NAME quantity VALUE amount
)
SELECT
    entry,
    quantity,
    amount
FROM amount
WHERE
    quantity IN (SELECT numerator FROM asked_measure)
    OR quantity IN (SELECT denominator FROM asked_measure)
