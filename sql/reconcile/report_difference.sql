-- Findings compared line by line: how many of a code and record both sides have, and how many only one of them.
-- class says why one side is alone, as far as can be told; 'unexplained' is to be looked at.
-- Grain: one row per code and record. Keys: code, record.
WITH theirs AS (SELECT code, record, lines FROM report_row WHERE side = 'theirs'),
ours AS (SELECT code, record, lines FROM report_row WHERE side = 'ours'),
judged AS (
    SELECT
        coalesce(theirs.code, ours.code) AS code,
        coalesce(theirs.record, ours.record) AS record,
        coalesce(theirs.lines, 0) AS theirs,
        coalesce(ours.lines, 0) AS ours
    FROM theirs
    FULL JOIN ours
        ON ours.code = theirs.code
        AND ours.record = theirs.record
)
SELECT
    judged.code,
    judged.record,
    judged.theirs,
    judged.ours,
    CASE
        WHEN judged.theirs = judged.ours THEN 'same code and row'
        WHEN known_code.code IS NULL THEN 'code not in the standard we hold'
        WHEN not_evaluated.code IS NOT NULL THEN 'not evaluated by us'
        WHEN judged.theirs > judged.ours AND judged.ours > 0 THEN 'more often theirs'
        WHEN judged.theirs > 0 AND judged.ours > 0 THEN 'more often ours'
        WHEN judged.theirs > 0 THEN 'only theirs'
        ELSE 'only ours'
    END AS class
FROM judged
LEFT JOIN known_code ON known_code.code = judged.code
LEFT JOIN not_evaluated ON not_evaluated.code = judged.code
ORDER BY judged.code, judged.record
