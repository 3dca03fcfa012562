-- Who is counted, for each kind of count that may have a target, in each organisation: the whole, a region, an ICB, a sub-ICB or a provider.
-- last_month is the last month of the twelve in which the organisation saw them, twelve months before they leave its count unless seen again.
-- Grain: one row per kind of count, organisation and referral or person. Keys: basis, org_type, org_code, unit.
WITH rolling AS (
    SELECT
        access_window.UniqServReqID,
        access_window.Person_ID,
        access_window.last_month,
        patient_level.*
    FROM access_window
    INNER JOIN patient_level
        ON patient_level.submission = access_window.submission
        AND patient_level.patient_row = access_window.patient_row
    WHERE access_window.span = 'current'
),
counted AS (
    SELECT 'referrals rolling' AS basis, UniqServReqID AS unit, last_month, COLUMNS('^by_(provider|sub_icb|icb|region)$') FROM rolling
    UNION ALL
    SELECT 'people rolling' AS basis, Person_ID AS unit, last_month, COLUMNS('^by_(provider|sub_icb|icb|region)$') FROM rolling
    UNION ALL
    SELECT
        CASE WHEN n_people_accessed_in_year = 1 THEN 'people ytd' ELSE 'referrals ytd' END AS basis,
        unit,
        CAST(NULL AS BIGINT) AS last_month,
        COLUMNS('^by_(provider|sub_icb|icb|region)$')
    FROM access_year
    WHERE n_people_accessed_in_year = 1 OR n_referrals_accessed_in_year = 1
),
placed AS (
    SELECT
        basis,
        unit,
        last_month,
        unnest([
            {'org_type': 'whole', 'org_code': 'All'},
            {'org_type': 'provider', 'org_code': by_provider},
            {'org_type': 'sub_icb', 'org_code': by_sub_icb},
            {'org_type': 'icb', 'org_code': by_icb},
            {'org_type': 'region', 'org_code': by_region}
        ], recursive := true)
    FROM counted
)
SELECT basis, org_type, org_code, unit, max(last_month) AS last_month
FROM placed
GROUP BY basis, org_type, org_code, unit
