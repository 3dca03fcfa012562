-- Care contacts with an IPS procedure, read the two ways the published products read SNOMED CT expressions.
-- The code is what stands before the first colon, the qualifier what follows the last equals sign.
--   counted    MHS116: line breaks and surrounding blanks are ignored. A qualifier must be a number of 32 bits and not the refusal, because the
--              published code compares it as such: text, an empty qualifier and longer SNOMED CT identifiers compare as unknown and drop the row.
--   coded      dashboard: the code exactly, blanks after it ignored, whatever the qualifier says.
--   refused    the last qualifier is the refusal: shown as the reason a referral is not counted.
-- Grain: one row per submission and contact that names an IPS code. Keys: submission, CareContactID.
WITH expression AS (
    SELECT
        submission,
        CareContactID,
        split_part(Procedure, ':', 1) AS code,
        CASE WHEN contains(Procedure, '=') THEN split_part(Procedure, '=', -1) END AS qualifier
    FROM MHS202CareActivity
    WHERE Procedure IS NOT NULL
),
read AS (
    SELECT
        expression.submission,
        expression.CareContactID,
        expression.qualifier,
        rtrim(expression.code, ' ') IN (SELECT code FROM code_group WHERE group_name = 'ips procedure') AS coded,
        -- As a cast to a whole number reads it: blanks and control characters around it, a sign and decimals are allowed.
        CASE
            WHEN regexp_full_match(expression.qualifier, '[\x00-\x20]*[+-]?[0-9]+([.][0-9]*)?[\x00-\x20]*')
                THEN TRY_CAST(regexp_extract(expression.qualifier, '[+-]?[0-9]+') AS INTEGER)
        END AS qualifier_number
    FROM expression
    WHERE
        CASE
            WHEN regexp_full_match(replace(replace(expression.code, chr(10), ''), chr(13), ''), '[\x00-\x20]*[+-]?[0-9]+([.][0-9]*)?[\x00-\x20]*')
                THEN TRY_CAST(regexp_extract(replace(replace(expression.code, chr(10), ''), chr(13), ''), '[+-]?[0-9]+') AS BIGINT)
        END IN (SELECT CAST(code AS BIGINT) FROM code_group WHERE group_name = 'ips procedure')
),
judged AS (
    SELECT
        submission,
        CareContactID,
        coded,
        qualifier_number IN (SELECT CAST(code AS INTEGER) FROM code_group WHERE group_name = 'refused') AS is_refusal,
        qualifier
    FROM read
)
SELECT
    submission,
    CareContactID,
    bool_or(qualifier IS NULL OR NOT coalesce(is_refusal, true)) AS counted,
    bool_or(coded) AS coded,
    bool_or(coalesce(is_refusal, false)) AS refused
FROM judged
GROUP BY submission, CareContactID
