-- Medians of times to an event by Kaplan and Meier, so that those for whom it has not happened yet count for as long as they have waited.
-- The median is the first day by which it had happened to half; its 95% interval is where that of the curve, on the scale log(-log), crosses a half
-- (Brookmeyer and Crowley 1982). What is not reached is NULL. Logarithms are added up as decimals, so that the order of adding does not matter.
-- Grain: one row per family, quantity, period, breakdown and level. Keys: family, quantity, period_start, period_end, breakdown, level.
WITH levelled AS (
    UNPIVOT (SELECT *, 'All' AS by_all FROM times)
    ON COLUMNS('^by_')
    INTO NAME breakdown VALUE level
),
once AS (
    SELECT
        family, quantity, period_start, period_end, breakdown, level, unit,
        bool_or(happened) AS happened,
        coalesce(min(days) FILTER (WHERE happened), max(days)) AS days
    FROM levelled
    GROUP BY family, quantity, period_start, period_end, breakdown, level, unit
),
by_day AS (
    SELECT
        family, quantity, period_start, period_end, breakdown, level, days,
        count(*) FILTER (WHERE happened) AS events,
        count(*) AS units
    FROM once
    GROUP BY family, quantity, period_start, period_end, breakdown, level, days
),
at_risk AS (
    SELECT
        *,
        CAST(sum(units) OVER (PARTITION BY family, quantity, period_start, period_end, breakdown, level ORDER BY days DESC) AS BIGINT) AS waiting
    FROM by_day
),
curve AS (
    SELECT
        *,
        sum(CASE WHEN events < waiting THEN CAST(ln((waiting - events) / waiting) AS DECIMAL(38, 12)) END) OVER so_far AS log_survival,
        sum(CASE WHEN events < waiting THEN CAST(events / (waiting * (waiting - events)) AS DECIMAL(38, 15)) END) OVER so_far AS variance,
        bool_or(events = waiting) OVER so_far AS everybody
    FROM at_risk
    WINDOW so_far AS (PARTITION BY family, quantity, period_start, period_end, breakdown, level ORDER BY days)
),
banded AS (
    SELECT
        *,
        everybody OR coalesce(exp(log_survival) <= 0.5 + 1e-9, false) AS half,
        NOT everybody AND coalesce(log_survival < 0, false) AS bounded,
        CASE WHEN log_survival < 0 THEN exp(1.959963984540054 * sqrt(variance) / abs(log_survival)) END AS spread
    FROM curve
)
SELECT
    family,
    quantity,
    period_start,
    period_end,
    breakdown,
    level,
    CAST(sum(events) AS BIGINT) AS events,
    CAST(sum(units) AS BIGINT) AS units,
    min(days) FILTER (WHERE half) AS median,
    min(days) FILTER (WHERE bounded AND exp(log_survival * spread) <= 0.5 + 1e-9) AS median_lower,
    min(days) FILTER (WHERE bounded AND exp(log_survival / spread) <= 0.5 + 1e-9) AS median_upper
FROM banded
GROUP BY family, quantity, period_start, period_end, breakdown, level
