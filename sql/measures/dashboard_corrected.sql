-- Evidence of the corrected dashboard: each referral once a month, where the published one adds up a row per team and open GP registration.
-- What else differs from dashboard_row.sql:
--   discharge measures ask for a discharge in the month, as their denominators do
--   not yet accessed means open at the end of the month and no direct contact since 1 April
--   a contact before receipt, and a discharge before the first contact or receipt, are counted apart
--   an employment status outside the code list, and hours that do not apply to somebody employed, are told apart from unknown and counted missing
--   the first contact is sought per referral, whoever the person is said to be; contacts are those up to the end of the month
-- Grain: one row per referral and month of the twelve, sub-ICB and IPS team. Keys: unit, period_start, by_sub_icb, by_team.
WITH referral AS (
    SELECT
        referral.UniqServReqID,
        submission.UniqMonthID,
        min(submission.ReportingPeriodStartDate) AS first_day,
        min(submission.ReportingPeriodEndDate) AS last_day,
        min(submission.FinancialYear) AS FinancialYear,
        -- Two names of one provider give a referral two rows; they differ in nothing that is read here.
        min_by({
            'submission': referral.submission,
            'patient_row': referral.patient_row,
            'ServiceRequestID': referral.ServiceRequestID,
            'OrgIDProv': submission.OrgIDProv,
            'received': referral.ReferralRequestReceivedDate,
            'discharged': referral.ServDischDate,
            'source': referral.source,
            'age': referral.age,
            'ethnicity': referral.ethnicity,
            'gender': referral.gender,
            'deprivation': referral.deprivation
        }, (referral.submission, referral.patient_row, referral.referral_row)) AS described
    FROM dashboard_referral AS referral
    INNER JOIN submission ON submission.submission = referral.submission
    GROUP BY referral.UniqServReqID, submission.UniqMonthID
),
told AS (
    SELECT
        referral.* EXCLUDE (described),
        unnest(referral.described),
        contact.AccessDate AS contact_date,
        coalesce(contact.contacts, 0) AS contacts,
        coalesce(contact.face_to_face, 0) AS face_to_face,
        coalesce(contact.telephone, 0) AS telephone,
        coalesce(contact.video, 0) AS video,
        contact.contacts IS NOT NULL AND count(contact.contacts) OVER so_far = 1 AS first_ever,
        contact.contacts IS NOT NULL AND count(contact.contacts) OVER this_year = 1 AS first_in_year,
        count(contact.contacts) OVER this_year > 0 AS seen_this_year,
        min(contact.AccessDate) OVER so_far AS access_date,
        coalesce(sum(contact.contacts) OVER so_far, 0) AS contacts_so_far
    FROM referral
    LEFT JOIN dashboard_contact AS contact
        ON contact.UniqServReqID = referral.UniqServReqID
        AND contact.UniqMonthID = referral.UniqMonthID
    WINDOW
        so_far AS (PARTITION BY referral.UniqServReqID ORDER BY referral.UniqMonthID),
        this_year AS (PARTITION BY referral.UniqServReqID, referral.FinancialYear ORDER BY referral.UniqMonthID)
),
held AS (
    SELECT DISTINCT ips_referral.submission, ips_referral.ServiceRequestID, ips_referral.CareProfTeamLocalID AS team
    FROM ips_referral
    SEMI JOIN ips_team
        ON ips_team.submission = ips_referral.submission
        AND ips_team.CareProfTeamLocalID = ips_referral.CareProfTeamLocalID

    UNION

    SELECT other.submission, other.ServiceRequestID, other.OtherCareProfTeamLocalID AS team
    FROM MHS102OtherServiceType AS other
    SEMI JOIN ips_team
        ON ips_team.submission = other.submission
        AND ips_team.CareProfTeamLocalID = other.OtherCareProfTeamLocalID
),
judged AS (
    SELECT
        told.*,
        told.received BETWEEN told.first_day AND told.last_day AS is_new,
        coalesce(told.discharged BETWEEN told.first_day AND told.last_day, false) AS closed,
        coalesce(told.discharged > told.last_day, true) AS open,
        date_diff('day', told.received, told.discharged) AS days_open,
        date_diff('day', told.access_date, told.discharged) AS days_in_caseload,
        date_diff('day', told.received, told.contact_date) AS days_to_contact,
        told.contacts_so_far > 0 AS accessed,
        coalesce(employment.employed_first, false) AS employed_first,
        coalesce(employment.not_employed_first, false) AS not_employed_first,
        coalesce(employment.unknown_first, true) AS unknown_first,
        coalesce(employment.employed_last, false) AS employed,
        coalesce(employment.not_employed_last, false) AS not_employed,
        coalesce(employment.unknown_last, true) AS unknown,
        coalesce(employment.hours_30_or_more, false) AS hours_30,
        coalesce(employment.hours_16_to_29, false) AS hours_16,
        coalesce(employment.hours_15_or_less, false) AS hours_15,
        coalesce(employment.start_known, false) AS start_known
    FROM told
    LEFT JOIN dashboard_employment AS employment
        ON employment.submission = told.submission
        AND employment.patient_row = told.patient_row
    WHERE told.UniqMonthID BETWEEN getvariable('window_first_month') AND getvariable('window_last_month')
)
SELECT
    'dashboard_corrected' AS family,
    'referral ' || judged.UniqServReqID AS unit,
    judged.first_day AS period_start,
    judged.last_day AS period_end,
    patient_level.* EXCLUDE (submission, patient_row),
    judged.OrgIDProv || '; ' || coalesce(held.team, 'no IPS team') AS by_team,
    judged.source AS by_source,
    judged.received,
    judged.discharged,
    judged.access_date AS first_contact,
    1 AS n_dash_all_referrals,
    CAST(employed AS INTEGER) AS n_dash_all_employed,
    CAST(closed AND accessed AS INTEGER) AS n_dash_closed_referrals_who_accessed,
    CAST(is_new AS INTEGER) AS n_dash_new_referrals,
    CAST(closed AS INTEGER) AS n_dash_closed_referrals,
    CAST(open AS INTEGER) AS n_dash_open_referrals,
    CAST(open AND accessed AS INTEGER) AS n_dash_caseload,
    CAST(closed AND days_open < 0 AS INTEGER) AS n_dash_length_of_referral_negative,
    CAST(closed AND days_open BETWEEN 0 AND 90 AS INTEGER) AS n_dash_length_of_referral_0_to_90,
    CAST(closed AND days_open BETWEEN 91 AND 180 AS INTEGER) AS n_dash_length_of_referral_91_to_180,
    CAST(closed AND days_open > 180 AS INTEGER) AS n_dash_length_of_referral_over_180,
    CAST(closed AND accessed AND coalesce(days_in_caseload < 0, true) AS INTEGER) AS n_dash_time_in_caseload_negative,
    CAST(closed AND coalesce(days_in_caseload BETWEEN 0 AND 90, false) AS INTEGER) AS n_dash_time_in_caseload_0_to_90,
    CAST(closed AND coalesce(days_in_caseload BETWEEN 91 AND 180, false) AS INTEGER) AS n_dash_time_in_caseload_91_to_180,
    CAST(closed AND coalesce(days_in_caseload > 180, false) AS INTEGER) AS n_dash_time_in_caseload_over_180,
    CAST(first_ever AS INTEGER) AS n_dash_accessed_first_time_ever,
    CAST(first_in_year AS INTEGER) AS n_dash_accessed_in_financial_year,
    CAST(open AND NOT seen_this_year AS INTEGER) AS n_dash_not_yet_accessed_in_financial_year,
    CAST(first_ever AND coalesce(days_to_contact < 0, true) AS INTEGER) AS n_dash_seen_before_receipt,
    CAST(first_ever AND coalesce(days_to_contact BETWEEN 0 AND 7, false) AS INTEGER) AS n_dash_seen_in_7,
    CAST(first_ever AND coalesce(days_to_contact BETWEEN 8 AND 30, false) AS INTEGER) AS n_dash_seen_in_8_to_30,
    CAST(first_ever AND coalesce(days_to_contact > 30, false) AS INTEGER) AS n_dash_seen_in_over_30,
    CAST(contacts AS INTEGER) AS n_dash_total_contacts,
    CAST(face_to_face AS INTEGER) AS n_dash_total_contacts_f2f,
    CAST(telephone AS INTEGER) AS n_dash_total_contacts_telephone,
    CAST(video AS INTEGER) AS n_dash_total_contacts_video,
    CAST(contacts - face_to_face - telephone - video AS INTEGER) AS n_dash_total_contacts_other,
    CAST(closed AND employed AS INTEGER) AS n_dash_employed_at_discharge,
    CAST(closed AND not_employed AS INTEGER) AS n_dash_not_employed_at_discharge,
    CAST(closed AND unknown AS INTEGER) AS n_dash_unknown_employed_at_discharge,
    CAST(closed AND NOT (employed OR not_employed OR unknown) AS INTEGER) AS n_dash_invalid_employed_at_discharge,
    CAST(closed AND employed AND hours_30 AS INTEGER) AS n_dash_employed_at_discharge_30_hours,
    CAST(closed AND employed AND hours_16 AS INTEGER) AS n_dash_employed_at_discharge_16_to_29_hours,
    CAST(closed AND employed AND hours_15 AS INTEGER) AS n_dash_employed_at_discharge_15_or_less,
    CAST(closed AND employed AND NOT (hours_30 OR hours_16 OR hours_15) AS INTEGER) AS n_dash_employed_at_discharge_hours_missing,
    CAST(closed AND employed AND accessed AND coalesce(days_in_caseload < 0, true) AS INTEGER) AS n_dash_employed_at_discharge_seen_for_negative,
    CAST(closed AND employed AND coalesce(days_in_caseload BETWEEN 0 AND 90, false) AS INTEGER) AS n_dash_employed_at_discharge_seen_for_0_to_90,
    CAST(closed AND employed AND coalesce(days_in_caseload BETWEEN 91 AND 180, false) AS INTEGER)
        AS n_dash_employed_at_discharge_seen_for_91_to_180,
    CAST(closed AND employed AND coalesce(days_in_caseload > 180, false) AS INTEGER) AS n_dash_employed_at_discharge_seen_for_over_180,
    CAST(closed AND employed AND NOT accessed AS INTEGER) AS n_dash_employed_at_discharge_never_seen,
    CAST(closed AND employed AND contacts_so_far = 0 AS INTEGER) AS n_dash_employed_at_discharge_seen_0_times,
    CAST(closed AND employed AND contacts_so_far BETWEEN 1 AND 5 AS INTEGER) AS n_dash_employed_at_discharge_seen_1_to_5_times,
    CAST(closed AND employed AND contacts_so_far BETWEEN 6 AND 10 AS INTEGER) AS n_dash_employed_at_discharge_seen_6_to_10_times,
    CAST(closed AND employed AND contacts_so_far > 10 AS INTEGER) AS n_dash_employed_at_discharge_seen_over_10_times,
    CAST(is_new AND employed_first AS INTEGER) AS n_dash_employed_at_referral,
    CAST(is_new AND not_employed_first AS INTEGER) AS n_dash_not_employed_at_referral,
    CAST(is_new AND unknown_first AS INTEGER) AS n_dash_unknown_employed_at_referral,
    CAST(is_new AND NOT (employed_first OR not_employed_first OR unknown_first) AS INTEGER) AS n_dash_invalid_employed_at_referral,
    CAST(source = 'Missing/Invalid' AS INTEGER) AS n_dash_source_cat_missing,
    CAST(source <> 'Missing/Invalid' AS INTEGER) AS n_dash_source_cat_not_missing,
    CAST(age = 'Missing/Invalid' AS INTEGER) AS n_dash_age_cat_missing,
    CAST(age <> 'Missing/Invalid' AS INTEGER) AS n_dash_age_cat_not_missing,
    CAST(ethnicity = 'Missing/Invalid' AS INTEGER) AS n_dash_ethnicity_cat_missing,
    CAST(ethnicity <> 'Missing/Invalid' AS INTEGER) AS n_dash_ethnicity_cat_not_missing,
    CAST(gender = 'Missing/Invalid' AS INTEGER) AS n_dash_gender_cat_missing,
    CAST(gender <> 'Missing/Invalid' AS INTEGER) AS n_dash_gender_cat_not_missing,
    CAST(deprivation = 'Missing/Invalid' AS INTEGER) AS n_dash_deprivation_quintile_missing,
    CAST(deprivation <> 'Missing/Invalid' AS INTEGER) AS n_dash_deprivation_quintile_not_missing,
    CAST(unknown AS INTEGER) AS n_dash_employ_status_missing,
    CAST(employed OR not_employed AS INTEGER) AS n_dash_employ_status_not_missing,
    CAST(NOT (employed OR not_employed OR unknown) AS INTEGER) AS n_dash_employ_status_invalid,
    CAST(employed AND NOT (hours_30 OR hours_16 OR hours_15) AS INTEGER) AS n_dash_week_hours_worked_missing,
    CAST(employed AND (hours_30 OR hours_16 OR hours_15) AS INTEGER) AS n_dash_week_hours_worked_not_missing,
    CAST(employed AND NOT start_known AS INTEGER) AS n_dash_employ_status_start_date_last_missing,
    CAST(employed AND start_known AS INTEGER) AS n_dash_employ_status_start_date_last_not_missing
FROM judged
INNER JOIN patient_level
    ON patient_level.submission = judged.submission
    AND patient_level.patient_row = judged.patient_row
LEFT JOIN held
    ON held.submission = judged.submission
    AND held.ServiceRequestID = judged.ServiceRequestID
