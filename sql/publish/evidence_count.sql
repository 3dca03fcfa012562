-- Every quantity of the evidence at every level of every breakdown, by one count: each unit counts once at a level, however many rows name it there.
-- Grain: one row per family, period, breakdown, level and quantity. Keys: family, period_start, period_end, breakdown, level, quantity.
WITH levelled AS (
    SELECT
        family, period_start, period_end, unit, entry.breakdown AS breakdown, entry.level AS level, COLUMNS('^n_')
    FROM (
        SELECT
            *,
            unnest([
                {'breakdown': 'by_all', 'level': 'All'},
                {'breakdown': 'by_provider', 'level': by_provider},
                {'breakdown': 'by_sub_icb', 'level': by_sub_icb},
                {'breakdown': 'by_icb', 'level': by_icb},
                {'breakdown': 'by_region', 'level': by_region},
                {'breakdown': 'by_age_group', 'level': by_age_group},
                {'breakdown': 'by_working_age', 'level': by_working_age},
                {'breakdown': 'by_adult', 'level': by_adult},
                {'breakdown': 'by_gender', 'level': by_gender},
                {'breakdown': 'by_ethnicity', 'level': by_ethnicity},
                {'breakdown': 'by_deprivation', 'level': by_deprivation},
                {'breakdown': 'by_route', 'level': by_route}
            ]) AS entry
        FROM evidence
    )
    WHERE entry.level IS NOT NULL
),
once AS (
    SELECT family, period_start, period_end, breakdown, level, unit, max(COLUMNS('^n_'))
    FROM levelled
    GROUP BY family, period_start, period_end, breakdown, level, unit
),
total AS (
    SELECT family, period_start, period_end, breakdown, level, CAST(sum(COLUMNS('^n_')) AS BIGINT)
    FROM once
    GROUP BY family, period_start, period_end, breakdown, level
)
UNPIVOT total ON COLUMNS('^n_') INTO NAME quantity VALUE amount
