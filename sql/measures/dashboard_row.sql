-- The rows that NHS England's dashboard adds up, with their measures as true or false (contacts: a number).
-- A referral counts once per team it is with and once per open GP registration of the person, because the published code joins it to both
-- when it fetches the team; a referral with two teams is therefore two rows, one of them under a team that may not be an IPS team.
-- Two sub-ICBs of one person give two rows, and each of them counts each contact twice.
-- Grain: one row per row of dashboard_referral, team of the referral, sub-ICB and open GP registration. Keys: none, rows may repeat.
WITH held AS (
    SELECT referral.*, referral.CareProfTeamLocalID AS team
    FROM dashboard_referral AS referral

    UNION ALL

    SELECT referral.*, other.OtherCareProfTeamLocalID AS team
    FROM MHS102OtherServiceType AS other
    INNER JOIN dashboard_referral AS referral
        ON referral.submission = other.submission
        AND referral.ServiceRequestID = other.ServiceRequestID
),
joined AS (
    SELECT
        referral.*,
        submission.UniqMonthID,
        submission.ReportingPeriodStartDate,
        submission.ReportingPeriodEndDate,
        submission.FinancialYear,
        submission.OrgIDProv,
        place.sub_icb,
        coalesce(area.sub_icb_name, 'Missing / Invalid') AS sub_icb_name,
        coalesce(area.icb, 'Missing / Invalid') AS icb,
        coalesce(area.icb_name, 'Missing / Invalid') AS icb_name,
        coalesce(area.region, 'Missing / Invalid') AS region,
        coalesce(area.region_name, 'Missing / Invalid') AS region_name,
        referral.source = 'Missing/Invalid' AS no_source,
        referral.age = 'Missing/Invalid' AS no_age,
        referral.ethnicity = 'Missing/Invalid' AS no_ethnicity,
        referral.gender = 'Missing/Invalid' AS no_gender,
        referral.deprivation = 'Missing/Invalid' AS no_deprivation,
        referral.ReferralRequestReceivedDate BETWEEN submission.ReportingPeriodStartDate AND submission.ReportingPeriodEndDate AS is_new,
        referral.ServDischDate IS NOT NULL AS discharged,
        date_diff('day', referral.ReferralRequestReceivedDate, referral.ServDischDate) AS days_open,
        access.AccessDate AS access_date,
        date_diff('day', access.AccessDate, referral.ServDischDate) AS days_in_caseload,
        coalesce(access.contacts, 0) AS contacts_ever,
        activity.submission IS NULL AS no_contact_in_month,
        coalesce(activity.first_ever, false) AS first_ever,
        coalesce(activity.first_in_year, false) AS first_in_year,
        date_diff('day', referral.ReferralRequestReceivedDate, activity.AccessDate) AS days_to_contact,
        coalesce(activity.contacts * place.sub_icbs, 0) AS contacts,
        coalesce(activity.face_to_face * place.sub_icbs, 0) AS face_to_face,
        coalesce(activity.telephone * place.sub_icbs, 0) AS telephone,
        coalesce(activity.video * place.sub_icbs, 0) AS video,
        coalesce(employment.employed_first, false) AS employed_first,
        coalesce(employment.not_employed_first, false) AS not_employed_first,
        coalesce(employment.unknown_first OR employment.none_first, true) AS unknown_first,
        coalesce(employment.employed_last, false) AS employed_last,
        coalesce(employment.not_employed_last, false) AS not_employed_last,
        coalesce(employment.unknown_last, true) AS unknown_last,
        coalesce(employment.none_last, false) AS none_last,
        coalesce(employment.hours_30_or_more, false) AS hours_30_or_more,
        coalesce(employment.hours_16_to_29, false) AS hours_16_to_29,
        coalesce(employment.hours_15_or_less, false) AS hours_15_or_less,
        coalesce(employment.hours_unknown, true) AS hours_unknown,
        coalesce(employment.start_known, false) AS start_known
    FROM held AS referral
    INNER JOIN submission ON submission.submission = referral.submission
    INNER JOIN dashboard_place AS place
        ON place.submission = referral.submission
        AND place.patient_row = referral.patient_row
    LEFT JOIN dashboard_area AS area ON area.SubICB = place.sub_icb
    LEFT JOIN dashboard_activity AS activity
        ON activity.submission = referral.submission
        AND activity.patient_row = referral.patient_row
        AND activity.ServiceRequestID = referral.ServiceRequestID
    LEFT JOIN dashboard_access AS access
        ON access.Person_ID = referral.Person_ID
        AND access.UniqServReqID = referral.UniqServReqID
    LEFT JOIN dashboard_employment AS employment
        ON employment.submission = referral.submission
        AND employment.patient_row = referral.patient_row
)
SELECT
    UniqMonthID,
    ReportingPeriodEndDate,
    FinancialYear,
    OrgIDProv,
    provider_name,
    OrgIDProv || '|' || coalesce(team, '') AS team,
    sub_icb,
    sub_icb_name,
    icb,
    icb_name,
    region,
    region_name,
    source,
    age,
    ethnicity,
    gender,
    deprivation,
    UniqServReqID,
    ReferralRequestReceivedDate,
    ServDischDate,
    access_date,
    contacts_ever,
    is_new AS NewReferrals,
    coalesce(ServDischDate BETWEEN ReportingPeriodStartDate AND ReportingPeriodEndDate, false) AS ClosedReferrals,
    NOT discharged OR ServDischDate > ReportingPeriodEndDate AS OpenReferrals,
    NOT discharged AND coalesce(access_date <= ReportingPeriodEndDate, false) AS Caseload,
    coalesce(days_open BETWEEN 0 AND 90, false) AS LengthOfReferral0To90,
    coalesce(days_open BETWEEN 91 AND 180, false) AS LengthOfReferral91To180,
    coalesce(days_open > 180, false) AS LengthOfReferralOver180,
    coalesce(days_in_caseload BETWEEN 0 AND 90, false) AS TimeInCaseload0To90,
    coalesce(days_in_caseload BETWEEN 91 AND 180, false) AS TimeInCaseload91To180,
    coalesce(days_in_caseload > 180, false) AS TimeInCaseloadOver180,
    first_ever AS AccessedFirstTimeEver,
    first_in_year AS AccessedInFinancialYear,
    discharged AND no_contact_in_month AS NotYetAccessedInFinancialYear,
    first_ever AND coalesce(days_to_contact <= 7, false) AS SeenIn7,
    first_ever AND coalesce(days_to_contact BETWEEN 8 AND 30, false) AS SeenIn8To30,
    first_ever AND coalesce(days_to_contact > 30, false) AS SeenInOver30,
    contacts AS TotalContacts,
    face_to_face AS TotalContactsF2F,
    telephone AS TotalContactsTelephone,
    video AS TotalContactsVideo,
    discharged AND employed_last AS EmployedAtDischarge,
    discharged AND not_employed_last AS NotEmployedAtDischarge,
    discharged AND (unknown_last OR none_last) AS UnknownEmployedAtDischarge,
    discharged AND employed_last AND hours_30_or_more AS EmployedAtDischarge30Hours,
    discharged AND employed_last AND hours_16_to_29 AS EmployedAtDischarge16to29Hours,
    discharged AND employed_last AND hours_15_or_less AS EmployedAtDischarge15OrLess,
    discharged AND employed_last AND NOT (hours_30_or_more OR hours_16_to_29 OR hours_15_or_less) AS EmployedAtDischargeHoursMissing,
    employed_last AND coalesce(days_in_caseload BETWEEN 0 AND 90, false) AS EmployedAtDischargeSeenFor0To90,
    employed_last AND coalesce(days_in_caseload BETWEEN 91 AND 180, false) AS EmployedAtDischargeSeenFor91To180,
    employed_last AND coalesce(days_in_caseload > 180, false) AS EmployedAtDischargeSeenForOver180,
    discharged AND employed_last AND access_date IS NULL AS EmployedAtDischargeNeverSeen,
    discharged AND employed_last AND contacts_ever = 0 AS EmployedAtDischargeSeen0Times,
    discharged AND employed_last AND contacts_ever BETWEEN 1 AND 5 AS EmployedAtDischargeSeen1To5Times,
    discharged AND employed_last AND contacts_ever BETWEEN 6 AND 10 AS EmployedAtDischargeSeen6To10Times,
    discharged AND employed_last AND contacts_ever > 10 AS EmployedAtDischargeSeenOver10Times,
    is_new AND employed_first AS EmployedAtReferral,
    is_new AND not_employed_first AS NotEmployedAtReferral,
    is_new AND unknown_first AS UnknownEmployedAtReferral,
    no_source AS SourceCatMissing,
    NOT no_source AS SourceCatNotMissing,
    no_age AS AgeCatMissing,
    NOT no_age AS AgeCatNotMissing,
    no_ethnicity AS EthnicityCatMissing,
    NOT no_ethnicity AS EthnicityCatNotMissing,
    no_gender AS GenderCatMissing,
    NOT no_gender AS GenderCatNotMissing,
    no_deprivation AS DeprivationQuintileMissing,
    NOT no_deprivation AS DeprivationQuintileNotMissing,
    unknown_last AS EmployStatusMissing,
    NOT unknown_last AS EmployStatusNotMissing,
    employed_last AND hours_unknown AS WeekHoursWorkedMissing,
    employed_last AND NOT hours_unknown AS WeekHoursWorkedNotMissing,
    employed_last AND NOT start_known AS EmployStatusStartDateLastMissing,
    employed_last AND start_known AS EmployStatusStartDateLastNotMissing,
    true AS AllReferrals,
    employed_last AS AllEmployed,
    discharged AND access_date IS NOT NULL AS ClosedReferralsWhoAccessed
FROM joined
