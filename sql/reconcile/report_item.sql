-- The named values on the lines of both sides' reports, one a row. A mark that keeps a spreadsheet from taking a value for a formula is taken off.
-- Grain: one row per side, report, line and element. Keys: side, report, line, element.
SELECT
    side,
    report,
    line,
    CODE AS code,
    item.element AS element,
    CASE
        WHEN regexp_full_match(item.value, '''[=+@\t\r-](.|\n)*') THEN substr(item.value, 2)
        ELSE item.value
    END AS value
FROM (
    SELECT
        side, report, line, CODE,
        unnest([
            {'element': DATA_ITEM1, 'value': DATA_VALUE1}, {'element': DATA_ITEM2, 'value': DATA_VALUE2},
            {'element': DATA_ITEM3, 'value': DATA_VALUE3}, {'element': DATA_ITEM4, 'value': DATA_VALUE4},
            {'element': DATA_ITEM5, 'value': DATA_VALUE5}, {'element': DATA_ITEM6, 'value': DATA_VALUE6},
            {'element': DATA_ITEM7, 'value': DATA_VALUE7}, {'element': DATA_ITEM8, 'value': DATA_VALUE8},
            {'element': DATA_ITEM9, 'value': DATA_VALUE9}, {'element': DATA_ITEM10, 'value': DATA_VALUE10}
        ]) AS item
    FROM report_line
)
WHERE item.element IS NOT NULL
