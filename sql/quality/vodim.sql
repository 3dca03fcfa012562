-- How completely the fields that matter for IPS are filled: valid, other, default, invalid, missing (VODIM).
--   missing    blank, or blanks only
--   default    a code that says not known or not stated
--   other      a code that says other, or not applicable
--   invalid    not in the code list, or not in the format of the field, as the submission rules decide it
--   valid      anything else
-- A field that is right to be blank (a closing date) is counted where it is filled; one that belongs to another field (hours to a job) where
-- that field says so.
-- Reads field_value and the completeness tables, which store/completeness.py makes from the standard.
-- Grain: one row per submission and field. Keys: submission, table_name, element.
WITH attribute AS (
    SELECT list(code) AS codes
    FROM completeness_code
    WHERE list = 'SnomedAttribute'
),
counted AS (
    SELECT * FROM field_value
),
classed AS (
    -- A value is judged once, however many submissions hold it.
    SELECT
        field_value.position,
        field_value.value,
        CASE
            WHEN field_value.value IS NULL OR ltrim(field_value.value, ' ') = '' THEN 'missing'
            WHEN special.class IS NOT NULL THEN special.class
            WHEN length(field_value.value) NOT BETWEEN field.min_length AND field.max_length THEN 'invalid'
            WHEN field.max_length IS NOT NULL AND regexp_matches(field_value.value, '[\n\r\x{0085}\x{2028}\x{2029}]') THEN 'invalid'
            WHEN field.format = 'code' THEN 'invalid'
            WHEN field.format = 'date' AND NOT coalesce(lenient_date(field_value.value) >= DATE '1890-01-01', false) THEN 'invalid'
            WHEN field.format = 'nhs number' AND NOT is_nhs_number(field_value.value) THEN 'invalid'
            WHEN field.format = 'postcode' AND NOT is_postcode(field_value.value) THEN 'invalid'
            WHEN field.format = 'snomed expression' AND NOT is_expression(field_value.value, attribute.codes) THEN 'invalid'
            ELSE 'valid'
        END AS class
    FROM (SELECT DISTINCT position, value FROM counted) AS field_value
    INNER JOIN completeness_field AS field ON field.position = field_value.position
    CROSS JOIN attribute
    LEFT JOIN completeness_code AS special
        ON special.list = field.list
        AND special.code = field_value.value
),
read AS (
    SELECT
        counted.rows,
        counted.submission,
        field.table_name,
        field.element,
        classed.class
    FROM counted
    INNER JOIN completeness_field AS field ON field.position = counted.position
    INNER JOIN classed
        ON classed.position = counted.position
        AND classed.value IS NOT DISTINCT FROM counted.value
    LEFT JOIN completeness_with AS companion
        ON companion.table_name = field.table_name
        AND companion.element = field.element
        AND companion.code = counted.with_value
    WHERE CASE field.scope
        WHEN 'filled' THEN counted.value IS NOT NULL
        WHEN 'with' THEN companion.code IS NOT NULL OR (field.with_group IS NULL AND counted.with_value IS NOT NULL)
        ELSE true
    END
)
SELECT
    submission,
    table_name,
    element,
    CAST(sum(rows) AS BIGINT) AS counted,
    CAST(coalesce(sum(rows) FILTER (class = 'valid'), 0) AS BIGINT) AS valid,
    CAST(coalesce(sum(rows) FILTER (class = 'other'), 0) AS BIGINT) AS other,
    CAST(coalesce(sum(rows) FILTER (class = 'default'), 0) AS BIGINT) AS defaulted,
    CAST(coalesce(sum(rows) FILTER (class = 'invalid'), 0) AS BIGINT) AS invalid,
    CAST(coalesce(sum(rows) FILTER (class = 'missing'), 0) AS BIGINT) AS missing
FROM read
GROUP BY submission, table_name, element
