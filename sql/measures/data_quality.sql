-- Evidence of data quality in the twelve months: how the fields that matter for IPS are filled, what does not fit together, and who sent what.
-- What is wrong has rows of its own; what is right only makes up denominators, so it is counted together.
--   n_qual_score   coverage times the mean, over the fields, of the share that is valid, other or default; in hundredths of a per cent, rounded
-- Grain: one row per thing judged, or per provider for those without a fault. Keys: unit.
WITH field AS (
    SELECT
        submission.OrgIDProv,
        vodim.table_name || '.' || vodim.element AS field,
        sum(vodim.counted) AS counted,
        sum(vodim.valid) AS valid,
        sum(vodim.other) AS other,
        sum(vodim.defaulted) AS defaulted,
        sum(vodim.invalid) AS invalid,
        sum(vodim.missing) AS missing
    FROM vodim
    INNER JOIN submission ON submission.submission = vodim.submission
    GROUP BY submission.OrgIDProv, field
),
due AS (
    -- Expected of a provider that sent anything in the month or in the seven before it, as the national data quality measures do.
    SELECT
        provider.OrgIDProv,
        month.UniqMonthID,
        bool_or(sent.UniqMonthID = month.UniqMonthID) AS submitted
    FROM (SELECT DISTINCT OrgIDProv FROM submission) AS provider
    CROSS JOIN (SELECT unnest(range(getvariable('window_first_month'), getvariable('window_last_month') + 1)) AS UniqMonthID) AS month
    INNER JOIN submission AS sent
        ON sent.OrgIDProv = provider.OrgIDProv
        AND sent.UniqMonthID BETWEEN month.UniqMonthID - 7 AND month.UniqMonthID
    GROUP BY provider.OrgIDProv, month.UniqMonthID
),
coverage AS (
    SELECT OrgIDProv, count(*) AS expected, count(*) FILTER (submitted) AS submitted
    FROM due
    GROUP BY OrgIDProv
),
score AS (
    SELECT
        field.OrgIDProv,
        (
            CAST(sum((field.valid + field.other + field.defaulted) * 1000000 // field.counted) AS BIGINT) * any_value(coverage.submitted)
            // (count(*) * any_value(coverage.expected)) + 50
        ) // 100 AS points
    FROM field
    INNER JOIN coverage ON coverage.OrgIDProv = field.OrgIDProv
    GROUP BY field.OrgIDProv
),
sends_ips AS (
    SELECT DISTINCT submission.OrgIDProv
    FROM ips_referral
    INNER JOIN submission ON submission.submission = ips_referral.submission
    WHERE submission.UniqMonthID BETWEEN getvariable('window_first_month') AND getvariable('window_last_month')
),
contact_judged AS (
    SELECT
        *,
        without_referral OR on_other_referral OR before_referral OR after_discharge AS at_fault
    FROM data_quality_contact
),
gap AS (
    -- Months with an attended contact on a referral that an IPS team held in some month.
    SELECT OrgIDProv, ServiceRequestID, ReportingPeriodStartDate, bool_or(held) AS held
    FROM data_quality_contact
    WHERE attended AND known_referral
    GROUP BY OrgIDProv, ServiceRequestID, ReportingPeriodStartDate
),
shared AS (
    SELECT submission.OrgIDProv || referral.ServiceRequestID AS UniqServReqID, count(DISTINCT patient.Person_ID) AS people
    FROM ips_referral AS referral
    INNER JOIN submission ON submission.submission = referral.submission
    INNER JOIN ips_patient AS patient
        ON patient.submission = referral.submission
        AND patient.LocalPatientID = referral.LocalPatientID
    WHERE submission.UniqMonthID <= getvariable('window_last_month')
    GROUP BY ALL
),
recorded AS (
    SELECT DISTINCT Person_ID
    FROM employment_status
    WHERE recorded > getvariable('period_end') - INTERVAL 12 MONTH AND state <> 'Unknown'
),
sent_now AS (
    SELECT
        submission.OrgIDProv || referral.ServiceRequestID AS UniqServReqID,
        bool_or(referral.ServDischDate < referral.ReferralRequestReceivedDate) AS reversed
    FROM ips_referral AS referral
    INNER JOIN submission ON submission.submission = referral.submission
    WHERE submission.UniqMonthID BETWEEN getvariable('window_first_month') AND getvariable('window_last_month')
    GROUP BY ALL
),
referral AS (
    SELECT
        episode.UniqServReqID,
        episode.OrgIDProv,
        coalesce(sent_now.reversed, false) AS reversed,
        shared.people > 1 AS shared,
        episode.last_month = getvariable('window_last_month') AND episode.discharged IS NULL AS open,
        recorded.Person_ID IS NOT NULL AS status_recorded
    FROM referral_episode AS episode
    INNER JOIN sent_now ON sent_now.UniqServReqID = episode.UniqServReqID
    INNER JOIN shared ON shared.UniqServReqID = episode.UniqServReqID
    LEFT JOIN recorded ON recorded.Person_ID = episode.Person_ID
)
SELECT
    'data_quality' AS family,
    getvariable('period_start') AS period_start,
    getvariable('period_end') AS period_end,
    judged.*
FROM (
    SELECT
        'values of ' || field || ' from ' || OrgIDProv AS unit,
        OrgIDProv AS by_provider,
        field AS by_field,
        OrgIDProv || '|' || field AS by_provider_field,
        counted AS n_qual_values,
        valid AS n_qual_valid,
        other AS n_qual_other,
        defaulted AS n_qual_default,
        invalid AS n_qual_invalid,
        missing AS n_qual_missing,
        counted - missing AS n_qual_filled,
        valid + other + defaulted AS n_qual_usable
    FROM field

    UNION ALL BY NAME

    SELECT
        'month ' || UniqMonthID || ' of ' || OrgIDProv AS unit,
        OrgIDProv AS by_provider,
        1 AS n_qual_months_expected,
        CAST(submitted AS INTEGER) AS n_qual_months_submitted
    FROM due

    UNION ALL BY NAME

    SELECT
        'provider ' || coverage.OrgIDProv AS unit,
        coverage.OrgIDProv AS by_provider,
        CAST(score.points AS BIGINT) AS n_qual_score,
        CASE WHEN score.points IS NOT NULL THEN 100 END AS n_qual_score_of,
        CAST(coverage.submitted > 0 AS INTEGER) AS n_qual_providers,
        CAST(sends_ips.OrgIDProv IS NOT NULL AS INTEGER) AS n_qual_providers_with_ips
    FROM coverage
    LEFT JOIN score ON score.OrgIDProv = coverage.OrgIDProv
    LEFT JOIN sends_ips ON sends_ips.OrgIDProv = coverage.OrgIDProv

    UNION ALL BY NAME

    SELECT
        CASE WHEN at_fault THEN 'contact ' || OrgIDProv || CareContactID || ' of ' || submission ELSE 'contacts of ' || OrgIDProv END AS unit,
        OrgIDProv AS by_provider,
        CASE
            WHEN without_referral THEN 'no referral in the month'
            WHEN before_referral THEN 'before the referral was received'
            WHEN after_discharge THEN 'after the discharge'
            WHEN on_other_referral THEN 'by an IPS team, on a referral that no IPS team holds in the month'
        END AS reason,
        count(*) AS n_qual_contacts,
        count(*) FILTER (by_ips_team) AS n_qual_team_contacts,
        count(*) FILTER (without_referral) AS n_qual_contacts_without_referral,
        count(*) FILTER (on_other_referral) AS n_qual_contacts_on_other_referral,
        count(*) FILTER (before_referral) AS n_qual_contacts_before_referral,
        count(*) FILTER (after_discharge) AS n_qual_contacts_after_discharge
    FROM contact_judged
    GROUP BY ALL

    UNION ALL BY NAME

    SELECT
        CASE
            WHEN held THEN 'months with contacts of ' || OrgIDProv
            ELSE 'referral ' || OrgIDProv || ServiceRequestID || ' in ' || strftime(ReportingPeriodStartDate, '%Y-%m')
        END AS unit,
        OrgIDProv AS by_provider,
        CASE WHEN NOT held THEN 'contact in a month without an IPS team on the referral' END AS reason,
        count(*) AS n_qual_contact_months,
        count(*) FILTER (NOT held) AS n_qual_contact_months_without_team
    FROM gap
    GROUP BY ALL

    UNION ALL BY NAME

    SELECT
        'referral ' || UniqServReqID AS unit,
        OrgIDProv AS by_provider,
        CASE
            WHEN reversed THEN 'discharged before it was received'
            WHEN shared THEN 'one referral id for more than one person'
            WHEN open AND NOT status_recorded THEN 'open, without a known employment status in the last twelve months'
        END AS reason,
        1 AS n_qual_referrals,
        CAST(reversed AS INTEGER) AS n_qual_referrals_reversed,
        CAST(shared AS INTEGER) AS n_qual_referrals_shared,
        CAST(open AS INTEGER) AS n_qual_open_referrals,
        CAST(open AND status_recorded AS INTEGER) AS n_qual_open_referrals_with_status
    FROM referral
) AS judged
