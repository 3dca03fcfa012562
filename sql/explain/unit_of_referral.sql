-- The evidence that names one referral, and that of the people it names, in the common form of evidence.
-- Grain: as the evidence of the family. Keys: as the evidence of the family.
WITH unit AS (
    SELECT
        all_units.*,
        to_json(all_units) AS told
    FROM all_units
)
SELECT unit.* EXCLUDE (told) REPLACE (coalesce(unit.by_all, 'All') AS by_all)
FROM unit
CROSS JOIN asked_referral
WHERE
    unit.unit = 'referral ' || asked_referral.UniqServReqID
    OR unit.told ->> 'UniqServReqID' = asked_referral.UniqServReqID
