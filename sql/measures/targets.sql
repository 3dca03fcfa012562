-- Evidence of targets: for each measure and organisation the target that is next, else the last one, with what is counted, the straight line to it,
-- and the new accesses needed each month.
--   rolling   the line runs from the target before to this one; whoever leaves the twelve months by the target must be replaced as well
--   ytd       only the target of this financial year; the line starts at 0 on 1 April
--   alike     the target and the count are of the same thing; where not (people and referrals), the row says so and counts apart
-- England's target counts only when every region of the geography is seen; the target of a provider that sent nothing has no count.
-- Grain: one row per measure, organisation and basis of a target. Keys: unit.
WITH known AS (
    SELECT measure, org_type, coalesce(org_code, 'All') AS org_code, period_end, basis, value, source, verified, approved_by
    FROM target_given

    UNION ALL

    -- The targets among the local records, where they name a measure that can have one; nobody has verified them here.
    SELECT local.measure, local.org_type, coalesce(local.org_code, 'All') AS org_code, local.target_period_end AS period_end, local.basis,
        CAST(local.value AS BIGINT) AS value, local.source, false AS verified, local.approved_by
    FROM ips_target AS local
    ANTI JOIN target_given AS given
        ON given.measure = local.measure
        AND given.org_type = local.org_type
        AND coalesce(given.org_code, 'All') = coalesce(local.org_code, 'All')
        AND given.period_end = local.target_period_end
        AND given.basis = local.basis
    WHERE local.target_period_end IS NOT NULL AND local.value > 0
),
target AS (
    SELECT
        known.*,
        measure.basis AS count_basis,
        (year(known.period_end) - 1900) * 12 + month(known.period_end) - 3 AS target_month,
        lag(known.value) OVER earlier AS previous_value,
        lag(known.period_end) OVER earlier AS previous_period_end,
        (year(lag(known.period_end) OVER earlier) - 1900) * 12 + month(lag(known.period_end) OVER earlier) - 3 AS previous_month
    FROM known
    INNER JOIN measure
        ON measure.measure_id = known.measure
    WINDOW earlier AS (PARTITION BY known.measure, known.org_type, known.org_code, known.basis ORDER BY known.period_end)
),
chosen AS (
    SELECT
        *,
        target_month - getvariable('window_last_month') AS months_ahead,
        ends_with(basis, 'ytd') AS in_year,
        basis = count_basis AS alike
    FROM target
    WHERE
        split_part(basis, ' ', 2) = split_part(count_basis, ' ', 2)
        AND (
            NOT ends_with(basis, 'ytd')
            OR target_month BETWEEN getvariable('window_last_month') AND getvariable('year_first_month') + 11
        )
    QUALIFY row_number() OVER (
        PARTITION BY measure, org_type, org_code, basis
        ORDER BY target_month < getvariable('window_last_month'), abs(target_month - getvariable('window_last_month'))
    ) = 1
),
covered AS (
    SELECT count(geography.Region) > 0 AND count(DISTINCT geography.Region) = count(DISTINCT standing.org_code) AS everywhere
    FROM geography
    LEFT JOIN targets_standing AS standing
        ON standing.org_type = 'region'
        AND standing.org_code = geography.Region
),
counted AS (
    SELECT
        chosen.*,
        CASE
            WHEN chosen.org_type = 'england' AND NOT covered.everywhere THEN 'the submissions do not cover every region'
            WHEN chosen.org_type = 'provider' AND sent.OrgIDProv IS NULL THEN 'the provider has sent nothing'
            WHEN NOT chosen.alike
                THEN 'the target is of ' || split_part(chosen.basis, ' ', 1) || ', the count of ' || split_part(chosen.count_basis, ' ', 1)
        END AS reason,
        chosen.org_type NOT IN ('england', 'provider') OR (chosen.org_type = 'england' AND covered.everywhere) OR sent.OrgIDProv IS NOT NULL AS known,
        count(standing.unit) AS counted,
        count(standing.unit) FILTER (standing.last_month + 12 <= chosen.target_month) AS leaving
    FROM chosen
    CROSS JOIN covered
    LEFT JOIN (SELECT DISTINCT OrgIDProv FROM submission) AS sent
        ON sent.OrgIDProv = chosen.org_code
    LEFT JOIN targets_standing AS standing
        ON standing.basis = chosen.count_basis
        AND standing.org_type = CASE WHEN chosen.org_type IN ('england', 'site') THEN 'whole' ELSE chosen.org_type END
        AND standing.org_code = chosen.org_code
    GROUP BY ALL
),
lined AS (
    SELECT
        * REPLACE (CASE WHEN known THEN counted END AS counted, CASE WHEN known THEN leaving END AS leaving),
        CASE
            WHEN months_ahead < 0 THEN NULL
            WHEN months_ahead = 0 THEN value
            WHEN in_year
                THEN CAST(round(value * (getvariable('window_last_month') - getvariable('year_first_month') + 1)
                    / (target_month - getvariable('year_first_month') + 1)) AS BIGINT)
            ELSE
                CAST(round(previous_value + (value - previous_value) * (getvariable('window_last_month') - previous_month)
                    / (target_month - previous_month)) AS BIGINT)
        END AS trajectory,
        CASE
            WHEN months_ahead > 0 AND known
                THEN CAST(ceil(greatest(0, value - counted + CASE WHEN in_year THEN 0 ELSE leaving END) / least(months_ahead, 12)) AS BIGINT)
        END AS needed
    FROM counted
)
SELECT
    'targets' AS family,
    'target ' || concat_ws(' ', measure, org_type, org_code, basis) AS unit,
    CASE WHEN in_year THEN getvariable('year_start') ELSE getvariable('period_start') END AS period_start,
    getvariable('period_end') AS period_end,
    CASE org_type WHEN 'england' THEN 'England' WHEN 'site' THEN 'All submissions' END AS by_whole,
    CASE WHEN org_type = 'provider' THEN org_code END AS by_provider,
    CASE WHEN org_type = 'sub_icb' THEN org_code END AS by_sub_icb,
    CASE WHEN org_type = 'icb' THEN org_code END AS by_icb,
    CASE WHEN org_type = 'region' THEN org_code END AS by_region,
    measure AS measure_id,
    basis AS target_basis,
    count_basis,
    reason,
    period_end AS target_period_end,
    value AS target,
    counted,
    counted - value AS gap,
    trajectory,
    previous_period_end,
    previous_value,
    leaving,
    needed AS needed_each_month,
    verified,
    source,
    approved_by,
    CASE WHEN alike AND basis = 'people rolling' THEN counted END AS n_count_people_rolling,
    CASE WHEN alike AND known AND basis = 'people rolling' THEN value END AS n_target_people_rolling,
    CASE WHEN alike AND known AND basis = 'people rolling' THEN trajectory END AS n_trajectory_people_rolling,
    CASE WHEN alike AND basis = 'people rolling' THEN needed END AS n_needed_people_rolling,
    CASE WHEN alike AND basis = 'referrals rolling' THEN counted END AS n_count_referrals_rolling,
    CASE WHEN alike AND known AND basis = 'referrals rolling' THEN value END AS n_target_referrals_rolling,
    CASE WHEN alike AND known AND basis = 'referrals rolling' THEN trajectory END AS n_trajectory_referrals_rolling,
    CASE WHEN alike AND basis = 'referrals rolling' THEN needed END AS n_needed_referrals_rolling,
    CASE WHEN alike AND basis = 'people ytd' THEN counted END AS n_count_people_ytd,
    CASE WHEN alike AND known AND basis = 'people ytd' THEN value END AS n_target_people_ytd,
    CASE WHEN alike AND known AND basis = 'people ytd' THEN trajectory END AS n_trajectory_people_ytd,
    CASE WHEN alike AND basis = 'people ytd' THEN needed END AS n_needed_people_ytd,
    CASE WHEN alike AND basis = 'referrals ytd' THEN counted END AS n_count_referrals_ytd,
    CASE WHEN alike AND known AND basis = 'referrals ytd' THEN value END AS n_target_referrals_ytd,
    CASE WHEN alike AND known AND basis = 'referrals ytd' THEN trajectory END AS n_trajectory_referrals_ytd,
    CASE WHEN alike AND basis = 'referrals ytd' THEN needed END AS n_needed_referrals_ytd,
    CASE WHEN NOT alike AND starts_with(basis, 'people') THEN counted END AS n_count_referrals_for_people,
    CASE WHEN NOT alike AND known AND starts_with(basis, 'people') THEN value END AS n_target_people_for_referrals,
    CASE WHEN NOT alike AND starts_with(basis, 'referrals') THEN counted END AS n_count_people_for_referrals,
    CASE WHEN NOT alike AND known AND starts_with(basis, 'referrals') THEN value END AS n_target_referrals_for_people
FROM lined
