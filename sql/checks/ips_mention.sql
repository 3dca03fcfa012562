-- Activities whose procedure names an IPS code anywhere, however it is written, with what stands first and last in it.
--   leads      the IPS code is the first code of the expression
--   refused    what follows the last equals sign is the refusal, blanks and line breaks aside
--   plain      one code, or code:attribute=value, and nothing else
-- Grain: one row per row of MHS202 that names an IPS code. Keys: submission, row.
WITH expression AS (
    SELECT
        Procedure,
        regexp_extract_all(Procedure, '[0-9]{6,18}') AS codes,
        CASE WHEN contains(Procedure, '=') THEN regexp_extract(split_part(Procedure, '=', -1), '^\s*([0-9]+)\s*$', 1) END AS qualifier
    FROM MHS202CareActivity
    WHERE Procedure IS NOT NULL
    GROUP BY Procedure
),
ips AS (
    SELECT list(code) AS codes FROM code_group WHERE group_name = 'ips procedure'
)
SELECT
    activity.submission,
    activity.row,
    activity.CareContactID,
    contains(expression.Procedure, '=') AS qualified,
    list_contains(ips.codes, expression.codes[1]) AS leads,
    coalesce(expression.qualifier IN (SELECT code FROM code_group WHERE group_name = 'refused'), false) AS refused,
    regexp_full_match(expression.Procedure, '[0-9]+(:[0-9]+=[0-9]+)?') AS plain
FROM MHS202CareActivity AS activity
INNER JOIN expression ON expression.Procedure = activity.Procedure
CROSS JOIN ips
WHERE list_has_any(expression.codes, ips.codes)
