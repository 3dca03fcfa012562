-- The accepted local IPS episodes as they stood on the last day of the reporting period: what is dated later had not happened yet.
--   Person_ID, UniqServReqID   as in MHSDS, so that both can be compared
--   access_date                IPS Grow (framework, version 8): the first meaningful contact once the client has agreed to take part, or the
--                              start of the vocational profile if that is earlier
-- Grain: one row per episode that had begun. Keys: UniqEpisodeID; submission, row.
WITH dated AS (
    SELECT
        submission, row, OrgIDProvider, episode_id, LocalPatientID, NHSNumber, ServiceRequestID,
        TRY_CAST(PersonBirthDate AS DATE) AS PersonBirthDate, Gender, EthnicCategory, Postcode,
        CASE WHEN TRY_CAST(COLUMNS('_date$') AS DATE) <= getvariable('period_end') THEN TRY_CAST(COLUMNS('_date$') AS DATE) END,
        status_at_start, in_work_reason, specialist_id, clinical_team, ips_team, borough, discharge_reason, in_work_at_discharge, arm,
        health_condition
    FROM "ips_episode as recorded"
)
SELECT
    *,
    OrgIDProvider || ' ' || episode_id AS UniqEpisodeID,
    coalesce(NHSNumber, OrgIDProvider || coalesce(LocalPatientID, ' ' || episode_id)) AS Person_ID,
    OrgIDProvider || ServiceRequestID AS UniqServReqID,
    CASE
        WHEN agreed_date IS NULL OR first_contact_date IS NULL THEN vocational_profile_date
        ELSE least(coalesce(vocational_profile_date, DATE '9999-12-31'), greatest(agreed_date, first_contact_date))
    END AS access_date
FROM dated
WHERE coalesce(referral_date, randomised_date) IS NOT NULL
