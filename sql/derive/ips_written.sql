-- Activities whose procedure names an IPS code, or the referral to an IPS service, anywhere and however it is written.
-- Each different expression is read once, however often it was recorded; a code may be broken over lines.
-- Grain: one row per submission, contact and expression. Keys: submission, CareContactID, Procedure.
WITH expression AS (
    SELECT
        used.Procedure,
        bool_or(code_group.group_name = 'ips procedure') AS ips,
        bool_or(code_group.group_name = 'ips service referral') AS signpost
    FROM (SELECT DISTINCT Procedure FROM MHS202CareActivity WHERE Procedure IS NOT NULL) AS used
    INNER JOIN code_group
        ON code_group.group_name IN ('ips procedure', 'ips service referral')
        AND contains(replace(replace(used.Procedure, chr(10), ''), chr(13), ''), code_group.code)
    GROUP BY used.Procedure
)
SELECT DISTINCT
    activity.submission,
    activity.CareContactID,
    expression.Procedure,
    expression.ips,
    expression.signpost
FROM MHS202CareActivity AS activity
INNER JOIN expression ON expression.Procedure = activity.Procedure
