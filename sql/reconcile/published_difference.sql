-- Published values compared level by level, as numbers where both are numbers. The classes, tried in this order:
--   match              the same number, or both suppressed
--   rounding edge      one step of rounding apart, or suppressed against the smallest that is shown
--   window             their value is ours of the month before or after: another twelve months were counted
--   late rows          their value is ours of an earlier version of this month: it was made before a resubmission
--   only ours, only theirs   one side does not list the level, such as a provider that the register of the day did not know
--   derivation         England is the same, but not a breakdown that rests on derived places, ages or groups
--   unexplained        none of these: look at the evidence of the measure
-- Grain: one row per measure, breakdown and level. Keys: measure_id, breakdown, level.
WITH step AS (
    SELECT measure_id, CASE WHEN measure_id = 'MHS116' THEN getvariable('rounding_base') ELSE 1 END AS one_step
    FROM (SELECT DISTINCT measure_id FROM published WHERE version = 'ours')
),
side AS (
    SELECT
        measure_id,
        breakdown,
        level,
        max(CASE WHEN version = 'theirs' THEN value END) AS theirs,
        max(CASE WHEN version = 'ours' THEN value END) AS ours,
        list(DISTINCT value) FILTER (version = 'another month') AS another_month,
        list(DISTINCT value) FILTER (version = 'earlier version') AS earlier
    FROM published
    GROUP BY ALL
    HAVING theirs IS NOT NULL OR ours IS NOT NULL
),
numbered AS (
    SELECT *, TRY_CAST(theirs AS DOUBLE) AS their_number, TRY_CAST(ours AS DOUBLE) AS our_number
    FROM side
),
england AS (
    SELECT measure_id, bool_and(theirs IS NOT NULL AND (theirs = ours OR abs(their_number - our_number) < 0.0001 * abs(our_number))) AS same
    FROM numbered
    WHERE breakdown = 'England'
    GROUP BY measure_id
)
SELECT
    numbered.measure_id,
    numbered.breakdown,
    numbered.level,
    numbered.theirs,
    numbered.ours,
    CASE
        WHEN numbered.ours IS NULL THEN 'only theirs'
        WHEN numbered.theirs IS NULL THEN 'only ours'
        WHEN numbered.theirs = numbered.ours OR abs(numbered.their_number - numbered.our_number) <= 0.0001 * abs(numbered.our_number) THEN 'match'
        WHEN
            NOT starts_with(numbered.breakdown, 'England')
            AND (
                abs(numbered.their_number - numbered.our_number) <= step.one_step
                OR (numbered.theirs = '*' AND numbered.measure_id = 'MHS116' AND numbered.our_number = step.one_step)
                OR (numbered.ours = '*' AND numbered.measure_id = 'MHS116' AND numbered.their_number = step.one_step)
            )
            THEN 'rounding edge'
        WHEN list_contains(numbered.another_month, numbered.theirs) THEN 'window'
        WHEN list_contains(numbered.earlier, numbered.theirs) THEN 'late rows'
        WHEN england.same AND numbered.breakdown <> 'England' AND numbered.breakdown <> 'Provider' THEN 'derivation'
        ELSE 'unexplained'
    END AS class
FROM numbered
LEFT JOIN step ON step.measure_id = numbered.measure_id
LEFT JOIN england ON england.measure_id = numbered.measure_id
ORDER BY numbered.measure_id, numbered.breakdown, numbered.level
