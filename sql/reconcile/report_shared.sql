-- The elements that both sides show on the lines of a code. A code that only one side has is compared by nothing but its count.
-- Grain: one row per code and element. Keys: code, element.
SELECT DISTINCT code, element FROM report_item WHERE side = 'theirs'
INTERSECT
SELECT DISTINCT code, element FROM report_item WHERE side = 'ours'
