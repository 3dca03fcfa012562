-- Which cells make up which: levels make up the level above them or a coarser level, quantities make up others as the registry says, one quantity
-- is published under two names, and a numerator is part of its denominator, of which the rest is nobody's cell but must not be given away either;
-- nor must those whom a count over 24 months has and the one over its last 12 has not.
-- Grain: one row per relation and part of it. Keys: relation, part.
WITH counted_cell AS (
    -- Where there is nobody there is nothing to give away.
    SELECT * FROM cell WHERE amount > 0
),
placed AS (
    SELECT
        cell.*,
        breakdown.within,
        CASE
            WHEN breakdown.within IN ('england', 'dashboard_england') THEN 'England'
            WHEN breakdown.within = 'by_all' THEN 'All'
            WHEN breakdown.within IN ('by_icb', 'dashboard_icb') THEN coalesce(sub_icb.ICB, cell.level)
            WHEN breakdown.within IN ('by_region', 'dashboard_region') THEN coalesce(icb.Region, cell.level)
            -- A team, say, is named after its provider: RXA|T1 or RXA T1.
            ELSE regexp_extract(cell.level, '^[^| ]+')
        END AS level_above
    FROM counted_cell AS cell
    INNER JOIN breakdown ON breakdown.breakdown = cell.breakdown
    LEFT JOIN geography AS sub_icb ON sub_icb.SubICB = cell.level
    LEFT JOIN (SELECT DISTINCT ICB, Region FROM geography) AS icb ON icb.ICB = cell.level
    WHERE breakdown.within IS NOT NULL
),
level_band AS (
    SELECT *, count(*) OVER (PARTITION BY class, level) AS bands
    FROM band
),
-- Levels that make up coarser levels of another breakdown: bands within bands, and groups of codes within groups of codes.
coarser AS (
    SELECT finer.breakdown, inner_band.level, wider.breakdown AS above, outer_band.level AS level_above
    FROM breakdown AS finer
    INNER JOIN level_band AS inner_band ON inner_band.class = finer.levels
    INNER JOIN breakdown AS wider ON wider.levels <> finer.levels
    INNER JOIN level_band AS outer_band
        ON outer_band.class = wider.levels
        AND inner_band.lowest >= outer_band.lowest
        AND inner_band.highest <= outer_band.highest
    GROUP BY finer.breakdown, inner_band.level, wider.breakdown, outer_band.level
    HAVING count(DISTINCT inner_band.lowest) = any_value(inner_band.bands)

    UNION

    SELECT finer.breakdown, code.level, wider.breakdown AS above, wider_code.level AS level_above
    FROM breakdown AS finer
    INNER JOIN code_level AS code ON code.class = finer.levels
    INNER JOIN breakdown AS wider ON wider.levels <> finer.levels
    INNER JOIN code_level AS wider_code
        ON wider_code.class = wider.levels
        AND wider_code.list = code.list
        AND wider_code.code = code.code
),
coarser_or_unknown AS (
    FROM coarser

    UNION ALL

    SELECT DISTINCT breakdown, unnest(['UNKNOWN', 'Unknown']) AS level, above, 'Unknown' AS level_above
    FROM coarser
),
published_as AS (
    SELECT DISTINCT family, quantity, family AS other_family, quantity AS other_quantity
    FROM counted_cell

    UNION

    SELECT DISTINCT family, quantity, twin_family, twin_quantity
    FROM quantity_twin
),
related AS (
    SELECT 'levels ' || placed.breakdown AS kind, whole.cell AS total, placed.cell AS part
    FROM placed
    INNER JOIN counted_cell AS whole
        ON whole.family = placed.family
        AND whole.quantity = placed.quantity
        AND whole.period_start = placed.period_start
        AND whole.period_end = placed.period_end
        AND whole.breakdown = placed.within
        AND whole.level = placed.level_above

    UNION ALL

    SELECT 'sum ' || quantity_sum.number AS kind, whole.cell AS total, part.cell AS part
    FROM quantity_sum
    INNER JOIN counted_cell AS whole
        ON whole.family = quantity_sum.family
        AND whole.quantity = quantity_sum.total
    INNER JOIN counted_cell AS part
        ON part.family = quantity_sum.family
        AND part.quantity = quantity_sum.part
        AND part.period_start = whole.period_start
        AND part.period_end = whole.period_end
        AND part.breakdown = whole.breakdown
        AND part.level = whole.level
        AND part.level_name IS NOT DISTINCT FROM whole.level_name

    UNION ALL

    SELECT 'same ' || twin.breakdown AS kind, one.cell AS total, other.cell AS part
    FROM quantity_twin AS twin
    INNER JOIN counted_cell AS one
        ON one.family = twin.family
        AND one.quantity = twin.quantity
        AND one.breakdown = twin.breakdown
    INNER JOIN counted_cell AS other
        ON other.family = twin.twin_family
        AND other.quantity = twin.twin_quantity
        AND other.breakdown = twin.twin_breakdown
        AND other.period_start >= one.period_start
        AND other.period_end <= one.period_end
        AND (upper(other.level) IN (upper(one.level), upper(one.level_name)) OR one.breakdown IN ('england', 'by_all'))

    UNION ALL

    SELECT pair.kind || balance.number AS kind, whole.cell AS total, part.cell AS part
    FROM quantity_balance AS balance
    CROSS JOIN LATERAL (
        VALUES
            ('before and entered ', balance.now || ' last month'),
            ('before and entered ', balance.entered),
            ('now and left ', balance.now),
            ('now and left ', balance.left)
    ) AS pair(kind, quantity)
    INNER JOIN counted_cell AS whole
        ON whole.family = balance.family
        AND whole.quantity = balance.now || ' in either month'
    INNER JOIN counted_cell AS part
        ON part.family = balance.family
        AND part.quantity = pair.quantity
        AND part.period_start = whole.period_start
        AND part.period_end = whole.period_end
        AND part.breakdown = whole.breakdown
        AND part.level = whole.level

    UNION ALL

    SELECT 'pool ' || shorter.months AS kind, whole.cell AS total, part.cell AS part
    FROM pool AS longer
    INNER JOIN (SELECT months, period_start, lead(months) OVER (ORDER BY months) AS next_months FROM pool) AS shorter
        ON shorter.next_months = longer.months
    INNER JOIN counted_cell AS whole
        ON whole.period_start = longer.period_start
        AND whole.period_end = getvariable('period_end')
    INNER JOIN counted_cell AS part
        ON part.family = whole.family
        -- A quantity over more than twelve months is named after them: n_fair_people_24.
        AND regexp_replace(part.quantity, '_[0-9]+$', '') = regexp_replace(whole.quantity, '_[0-9]+$', '')
        AND part.period_start = shorter.period_start
        AND part.period_end = whole.period_end
        AND part.breakdown = whole.breakdown
        AND part.level = whole.level
        AND part.level_name IS NOT DISTINCT FROM whole.level_name

    UNION ALL

    SELECT 'bands ' || coarser.breakdown || ' ' || published_as.other_family AS kind, whole.cell AS total, part.cell AS part
    FROM coarser_or_unknown AS coarser
    INNER JOIN counted_cell AS part
        ON part.breakdown = coarser.breakdown
        AND part.level = coarser.level
    INNER JOIN published_as
        ON published_as.family = part.family
        AND published_as.quantity = part.quantity
    INNER JOIN counted_cell AS whole
        ON whole.family = published_as.other_family
        AND whole.quantity = published_as.other_quantity
        AND whole.period_start = part.period_start
        AND whole.period_end = part.period_end
        AND whole.breakdown = coarser.above
        AND whole.level = coarser.level_above

    UNION

    SELECT 'share ' || shown.numerator_quantity AS kind, whole.cell AS total, part.cell AS part
    FROM measure_quantity AS shown
    INNER JOIN counted_cell AS whole
        ON whole.family = shown.family
        AND whole.breakdown = shown.breakdown
        AND whole.quantity = shown.denominator_quantity
    INNER JOIN counted_cell AS part
        ON part.family = shown.family
        AND part.breakdown = shown.breakdown
        AND part.quantity = shown.numerator_quantity
        AND part.period_start = whole.period_start
        AND part.period_end = whole.period_end
        AND part.level = whole.level
        AND part.level_name IS NOT DISTINCT FROM whole.level_name
    WHERE shown.kind IN ('proportion', 'median')
)
SELECT
    dense_rank() OVER (ORDER BY kind, total) - 1 AS relation,
    kind LIKE 'share %' AS share,
    kind LIKE 'pool %' AS pool,
    total,
    part
FROM related
ORDER BY relation, part
