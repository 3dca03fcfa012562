-- What each measure that was evaluated shows by each breakdown: its numerator and its denominator as they are called in cell.
-- Grain: one row per measure and breakdown. Keys: measure_id, breakdown.
SELECT
    measure.measure_id,
    measure.family,
    measure.kind,
    measure_breakdown.breakdown,
    CASE
        WHEN measure.family = 'mhs116' THEN 'referrals'
        WHEN measure.kind <> 'mean' THEN measure.numerator
    END AS numerator_quantity,
    CASE
        WHEN measure.kind = 'median' THEN measure.numerator || ' waiting'
        WHEN measure.family <> 'mhs116' THEN measure.denominator
    END AS denominator_quantity
FROM measure
INNER JOIN measure_breakdown
    ON measure_breakdown.measure_id = measure.measure_id
    AND measure_breakdown.evaluated
