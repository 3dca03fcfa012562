-- What counted in the measures asked about and what came near, with the reason. A unit counts once, however many rows name it.
-- A unit without either quantity of a measure and without a reason is no part of it and is left out.
-- Grain: one row per measure, unit and period. Keys: measure_id, unit, period_end.
WITH chosen AS (
    SELECT entry
    FROM entry
    CROSS JOIN asked
    WHERE
        asked.breakdown IS NULL
        OR EXISTS (
            SELECT 1
            FROM entry_level
            WHERE
                entry_level.entry = entry.entry
                AND entry_level.breakdown = asked.breakdown
                AND (asked.level IS NULL OR entry_level.level = asked.level)
        )
),
place AS (
    SELECT entry_level.entry, list(shown_breakdown.name || ' ' || entry_level.level) AS levels
    FROM entry_level
    INNER JOIN shown_breakdown ON shown_breakdown.breakdown = entry_level.breakdown
    GROUP BY entry_level.entry
),
measured AS (
    SELECT
        asked_measure.measure_id,
        asked_measure.kind,
        asked_measure.denominator AS denominator_name,
        entry.unit,
        entry.period_start,
        entry.period_end,
        max(numerator.amount) AS numerator,
        max(denominator.amount) AS denominator,
        min(entry_fact.reason) AS reason,
        list_sort(list_distinct(list(entry.by_provider))) AS providers,
        min(entry_fact.UniqMonthID) AS UniqMonthID,
        list_sort(list_distinct(flatten(list(place.levels)))) AS levels,
        min(entry_fact.facts) AS facts
    FROM entry
    SEMI JOIN chosen ON chosen.entry = entry.entry
    CROSS JOIN asked_measure
    LEFT JOIN entry_amount AS numerator
        ON numerator.entry = entry.entry
        AND numerator.quantity = asked_measure.numerator
    LEFT JOIN entry_amount AS denominator
        ON denominator.entry = entry.entry
        AND denominator.quantity = asked_measure.denominator
    LEFT JOIN place ON place.entry = entry.entry
    LEFT JOIN entry_fact ON entry_fact.entry = entry.entry
    GROUP BY ALL
),
judged AS (
    SELECT
        *,
        CASE
            WHEN numerator <> 0 OR (kind = 'mean' AND denominator <> 0) THEN 'counted'
            WHEN denominator <> 0 THEN 'in the denominator only'
            ELSE 'not counted'
        END AS verdict
    FROM measured
    WHERE numerator IS NOT NULL OR denominator IS NOT NULL OR reason IS NOT NULL
)
SELECT
    measure_id,
    unit,
    period_start,
    period_end,
    verdict,
    coalesce(numerator, 0) AS numerator,
    CASE WHEN denominator_name IS NOT NULL THEN coalesce(denominator, 0) END AS denominator,
    CASE
        WHEN reason IS NOT NULL THEN reason
        WHEN verdict = 'in the denominator only' THEN 'does not meet the definition of the measure'
        WHEN verdict = 'not counted' AND denominator_name IS NOT NULL THEN 'meets neither the definition nor that of the denominator'
        WHEN verdict = 'not counted' THEN 'does not meet the definition of the measure'
    END AS reason,
    providers,
    UniqMonthID,
    levels,
    facts
FROM judged
