-- The rows of a release as they are filed for consumers: with the month of their last day, and the provider they are about.
-- A row is about a provider when its breakdown is by provider, or by something of a provider: then its level begins with the provider's code. All
-- others are filed under a word that is no ODS code. Numbers are to six decimals; what was released, to the letter, is in published.
-- Grain: as released. Keys: measure_id, period_start, period_end, breakdown, level, level_name, variant.
SELECT
    strftime(period_end, '%Y-%m') AS period,
    CASE
        WHEN breakdown = 'Provider' OR starts_with(breakdown, 'Provider; ')
            THEN coalesce(nullif(regexp_extract(level, '^[A-Za-z0-9]+'), ''), 'all-providers')
        ELSE 'all-providers'
    END AS provider,
    * REPLACE (
        CAST(value AS DECIMAL(18, 6)) AS value,
        CAST(lower AS DECIMAL(18, 6)) AS lower,
        CAST(upper AS DECIMAL(18, 6)) AS upper,
        CAST(ratio AS DECIMAL(18, 6)) AS ratio,
        CAST(ratio_lower AS DECIMAL(18, 6)) AS ratio_lower,
        CAST(ratio_upper AS DECIMAL(18, 6)) AS ratio_upper,
        CAST(limit_lower_95 AS DECIMAL(18, 6)) AS limit_lower_95,
        CAST(limit_upper_95 AS DECIMAL(18, 6)) AS limit_upper_95,
        CAST(limit_lower_998 AS DECIMAL(18, 6)) AS limit_lower_998,
        CAST(limit_upper_998 AS DECIMAL(18, 6)) AS limit_upper_998
    )
FROM released
ORDER BY period, provider, family, measure_id, period_end, period_start, breakdown, level, level_name, variant
