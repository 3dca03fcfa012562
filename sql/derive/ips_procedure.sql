-- Care contacts with an IPS procedure, read the two ways the published products read SNOMED CT expressions.
-- The code is what stands before the first colon, the qualifier what follows the last equals sign.
--   counted    MHS116: line breaks and surrounding blanks are ignored. A qualifier must be a number of 32 bits and not the refusal, because the
--              published code compares it as such: text, an empty qualifier and longer SNOMED CT identifiers compare as unknown and drop the row.
--   coded      dashboard: the code exactly, blanks after it ignored, whatever the qualifier says.
--   refused    the last qualifier is the refusal: shown as the reason a referral is not counted.
-- Grain: one row per submission and contact that names an IPS code. Keys: submission, CareContactID.
-- Each different expression is read once, however often it was recorded.
WITH expression AS (
    SELECT
        Procedure,
        replace(replace(split_part(Procedure, ':', 1), chr(10), ''), chr(13), '') AS code,
        rtrim(split_part(Procedure, ':', 1), ' ') AS exact_code,
        CASE WHEN contains(Procedure, '=') THEN split_part(Procedure, '=', -1) END AS qualifier
    FROM ips_written
    WHERE ips
    GROUP BY Procedure
),
numbered AS (
    -- As a cast to a whole number reads text: blanks and control characters around it, a sign and decimals are allowed, and decimals alone are 0.
    SELECT
        Procedure,
        exact_code,
        qualifier,
        CASE
            WHEN regexp_full_match(code, '[\x00-\x20\x7f]*[+-]?[0-9]+([.][0-9]*)?[\x00-\x20\x7f]*')
                THEN TRY_CAST(regexp_extract(code, '[+-]?[0-9]+') AS BIGINT)
        END AS code_number,
        CASE
            WHEN regexp_full_match(qualifier, '[\x00-\x20\x7f]*[+-]?[.][0-9]*[\x00-\x20\x7f]*') THEN 0
            WHEN regexp_full_match(qualifier, '[\x00-\x20\x7f]*[+-]?[0-9]+([.][0-9]*)?[\x00-\x20\x7f]*')
                THEN TRY_CAST(regexp_extract(qualifier, '[+-]?[0-9]+') AS INTEGER)
        END AS qualifier_number
    FROM expression
),
ips AS (
    SELECT
        Procedure,
        qualifier IS NULL AS unqualified,
        exact_code IN (SELECT code FROM code_group WHERE group_name = 'ips procedure') AS coded,
        qualifier_number IN (SELECT CAST(code AS INTEGER) FROM code_group WHERE group_name = 'refused') AS is_refusal
    FROM numbered
    WHERE code_number IN (SELECT CAST(code AS BIGINT) FROM code_group WHERE group_name = 'ips procedure')
)
SELECT
    activity.submission,
    activity.CareContactID,
    bool_or(ips.unqualified OR NOT coalesce(ips.is_refusal, true)) AS counted,
    bool_or(ips.coded) AS coded,
    bool_or(coalesce(ips.is_refusal, false)) AS refused
FROM ips_written AS activity
INNER JOIN ips ON ips.Procedure = activity.Procedure
GROUP BY activity.submission, activity.CareContactID
