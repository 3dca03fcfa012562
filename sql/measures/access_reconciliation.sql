-- The three access counts, referral by referral: MHS116 and IPS Grow over twelve months, the dashboard over the financial year to date.
-- in_local is NULL where the provider gave no local records. A reason says why a count leaves the referral out; NULL where it is in.
-- Grain: one row per referral, and per local episode that has none in MHSDS. Keys: unit.
WITH in_year AS (
    SELECT UniqServReqID, min(OrgIDProv) AS OrgIDProv, min(AccessDate) AS AccessDate
    FROM dashboard_contact
    WHERE UniqMonthID BETWEEN getvariable('year_first_month') AND getvariable('window_last_month')
    GROUP BY UniqServReqID
),
ever AS (
    SELECT DISTINCT UniqServReqID FROM dashboard_contact
),
local AS (
    -- Of several episodes of one referral the one that accessed, else the latest, speaks for it.
    SELECT *
    FROM access_local
    QUALIFY row_number() OVER (
        PARTITION BY coalesce(UniqServReqID, 'episode ' || UniqEpisodeID)
        ORDER BY accessed DESC, access_date DESC NULLS LAST, UniqEpisodeID
    ) = 1
),
recording AS (
    SELECT DISTINCT OrgIDProv FROM access_local
),
unit AS (
    SELECT UniqServReqID, OrgIDProv, CAST(NULL AS VARCHAR) AS UniqEpisodeID FROM mhs116
    UNION
    SELECT UniqServReqID, OrgIDProv, CAST(NULL AS VARCHAR) AS UniqEpisodeID FROM in_year
    UNION
    SELECT UniqServReqID, OrgIDProv, CAST(NULL AS VARCHAR) AS UniqEpisodeID FROM access_sign
    UNION
    SELECT UniqServReqID, OrgIDProv, CASE WHEN UniqServReqID IS NULL THEN UniqEpisodeID END AS UniqEpisodeID FROM local
),
held AS (
    SELECT
        unit.*,
        coalesce(mhs116.counted, false) AS in_mhs116,
        in_year.UniqServReqID IS NOT NULL AS in_dashboard,
        CASE WHEN recording.OrgIDProv IS NOT NULL THEN coalesce(local.accessed, false) END AS in_local,
        local.UniqEpisodeID AS local_episode,
        local.matched_by,
        mhs116.AccessDate AS mhs116_first_contact,
        in_year.AccessDate AS dashboard_first_contact,
        local.access_date AS local_access,
        local.reason AS local_reason,
        ever.UniqServReqID IS NOT NULL AS dashboard_ever,
        trace.* EXCLUDE (UniqServReqID),
        trace.UniqServReqID IS NOT NULL AS held_in_mhsds,
        sign.refused OR coalesce(mhs116.reason = 'IPS procedure refused', false) AS refused,
        sign.unread,
        sign.signposted,
        sign.other_holder,
        sign.other_month,
        sent.OrgIDProv IS NOT NULL AS month_submitted
    FROM unit
    LEFT JOIN mhs116 ON mhs116.UniqServReqID = unit.UniqServReqID
    LEFT JOIN in_year ON in_year.UniqServReqID = unit.UniqServReqID
    LEFT JOIN ever ON ever.UniqServReqID = unit.UniqServReqID
    LEFT JOIN local
        ON coalesce(local.UniqServReqID, local.UniqEpisodeID) = coalesce(unit.UniqServReqID, unit.UniqEpisodeID)
    LEFT JOIN recording ON recording.OrgIDProv = unit.OrgIDProv
    LEFT JOIN access_trace AS trace ON trace.UniqServReqID = unit.UniqServReqID
    LEFT JOIN access_sign AS sign ON sign.UniqServReqID = unit.UniqServReqID
    LEFT JOIN (SELECT DISTINCT OrgIDProv, ReportingPeriodStartDate FROM submission) AS sent
        ON sent.OrgIDProv = unit.OrgIDProv
        AND sent.ReportingPeriodStartDate = date_trunc('month', local.access_date)
),
explained AS (
    SELECT
        *,
        CASE
            WHEN in_mhs116 THEN NULL
            WHEN in_local AND NOT month_submitted THEN 'month of access not submitted'
            WHEN NOT held_in_mhsds THEN 'referral not found in MHSDS'
            WHEN NOT received_in_scope THEN 'received before the measure begins, or without a date'
            WHEN NOT in_england THEN 'resident outside England'
            WHEN direct = 0 AND seen_before THEN 'last seen before the twelve months'
            WHEN NOT in_window THEN 'not sent in the twelve months'
            WHEN discharged < local_access AND in_local THEN 'discharged before the access in local records'
            WHEN contacts = 0 AND discharged IS NOT NULL THEN 'discharged without a contact'
            WHEN contacts = 0 THEN 'no contact recorded'
            WHEN attended = 0 THEN 'not attended'
            WHEN direct = 0 AND unspecified > 0 THEN 'consultation mechanism blank'
            WHEN direct = 0 THEN 'consultation mechanism not direct'
            WHEN refused THEN 'IPS procedure refused'
            WHEN unread THEN 'IPS code not read'
            WHEN ips_team THEN 'IPS team row missing in the month of contact'
            WHEN other_holder THEN 'contact by an IPS team on a referral it does not hold'
            WHEN signposted THEN 'referred to an IPS service'
            ELSE 'no IPS team and no IPS procedure'
        END AS reason_mhs116
    FROM held
)
SELECT
    coalesce('referral ' || UniqServReqID, 'episode ' || UniqEpisodeID) AS unit,
    OrgIDProv,
    UniqServReqID,
    local_episode,
    matched_by,
    in_mhs116,
    in_dashboard,
    in_local,
    mhs116_first_contact,
    dashboard_first_contact,
    local_access,
    discharged,
    CASE
        WHEN in_mhs116 AND in_dashboard AND in_local THEN 'MHS116, dashboard and local'
        WHEN in_mhs116 AND in_dashboard THEN 'MHS116 and dashboard'
        WHEN in_mhs116 AND in_local THEN 'MHS116 and local'
        WHEN in_dashboard AND in_local THEN 'Dashboard and local'
        WHEN in_mhs116 THEN 'MHS116 only'
        WHEN in_dashboard THEN 'Dashboard only'
        WHEN in_local THEN 'Local only'
        ELSE 'None, but near'
    END AS agreement,
    reason_mhs116,
    CASE
        WHEN in_dashboard THEN NULL
        WHEN dashboard_ever THEN 'seen, but not yet in this financial year'
        WHEN in_mhs116 THEN 'contact or code that only MHS116 reads'
        ELSE reason_mhs116
    END AS reason_dashboard,
    CASE
        WHEN in_local IS NULL THEN NULL
        WHEN local_episode IS NULL THEN 'no local record'
        ELSE local_reason
    END AS reason_local,
    CASE
        WHEN in_mhs116 THEN NULL
        WHEN refused THEN 'IPS procedure refused'
        WHEN unread THEN 'IPS code not read'
        WHEN other_month THEN 'IPS team row missing in the month of contact'
        WHEN other_holder THEN 'contact by an IPS team on a referral it does not hold'
        WHEN signposted THEN 'referred to an IPS service'
    END AS sign
FROM explained
