-- The lines of both sides about rows, known by the values of the elements that both show: the portal gives no row numbers.
-- Grain: one row per side, code and record. Keys: side, code, record.
WITH line AS (
    SELECT
        report_line.side,
        report_line.report,
        report_line.line,
        report_line.CODE AS code,
        coalesce(string_agg(report_item.element || '=' || coalesce(report_item.value, ''), '; ' ORDER BY report_item.element), '') AS record
    FROM report_line
    LEFT JOIN report_shared ON report_shared.code = report_line.CODE
    LEFT JOIN report_item
        ON report_item.side = report_line.side
        AND report_item.report = report_line.report
        AND report_item.line = report_line.line
        AND report_item.element = report_shared.element
    WHERE report_line.report IN ('validations', 'data_quality')
    GROUP BY ALL
)
SELECT side, code, record, count(*) AS lines
FROM line
GROUP BY side, code, record
