-- Evidence of IPS Grow's measures about staff: every post of an employment specialist that was filled on some day of the twelve months.
--   n_ips_wte_hundredths        filled whole-time equivalent on the last day, in hundredths
--   n_ips_wte_hundredth_days    the same summed over the days of the twelve months
--   n_ips_expected_hundredths   the accesses that the benchmark expects of the post in the twelve months, in hundredths: fewer in the first year
--                               in post, and only for the part of the year that it was filled (pro rata)
-- Grain: one row per post. Keys: submission, row.
WITH post AS (
    SELECT
        *,
        greatest(from_date, getvariable('period_start')) AS first_day,
        coalesce(to_date, getvariable('period_end')) AS last_day,
        min(from_date) OVER (PARTITION BY OrgIDProvider, specialist_id) + 365 AS second_year
    FROM ips_staff
    WHERE role = 'specialist'
),
days AS (
    SELECT
        *,
        last_day - first_day + 1 AS in_post,
        greatest(least(last_day + 1, second_year) - first_day, 0) AS in_first_year
    FROM post
    WHERE last_day >= first_day
),
expected AS (
    SELECT
        max_by(CAST(value AS DECIMAL(9, 2)), valid_from) FILTER (WHERE code = 'access_first_year') AS first_year,
        max_by(CAST(value AS DECIMAL(9, 2)), valid_from) FILTER (WHERE code = 'access_later_years') AS later_years
    FROM ips_benchmark
    WHERE valid_from <= getvariable('period_end')
)
SELECT
    days.submission,
    days.row,
    days.OrgIDProvider,
    days.specialist_id,
    days.ips_team,
    days.borough,
    days.from_date,
    days.to_date,
    CASE WHEN days.last_day = getvariable('period_end') THEN days.wte_hundredths ELSE 0 END AS n_ips_wte_hundredths,
    CAST(days.wte_hundredths * days.in_post AS BIGINT) AS n_ips_wte_hundredth_days,
    CAST(
        round(
            days.wte_hundredths * (days.in_first_year * expected.first_year + (days.in_post - days.in_first_year) * expected.later_years) / 365
        ) AS BIGINT
    ) AS n_ips_expected_hundredths
FROM days
CROSS JOIN expected
