-- Referrals of the month that an IPS team held in the latest earlier month and no IPS team holds now, though they are open and the
-- team's part in them was not closed.
-- Grain: one row per row of MHS101. Keys: submission, row.
WITH latest AS (
    SELECT submission, min(months_before) AS months_before FROM earlier_submission GROUP BY submission
),
ended AS (
    SELECT submission, ServiceRequestID
    FROM MHS102OtherServiceType
    WHERE ReferClosureDate IS NOT NULL OR ReferRejectionDate IS NOT NULL
)
SELECT
    referral.submission,
    referral.row,
    referral.ServiceRequestID
FROM MHS101Referral AS referral
INNER JOIN latest ON latest.submission = referral.submission
INNER JOIN earlier_submission AS earlier
    ON earlier.submission = latest.submission
    AND earlier.months_before = latest.months_before
SEMI JOIN ips_team_referral AS held
    ON held.submission = earlier.file
    AND held.ServiceRequestID = referral.ServiceRequestID
ANTI JOIN ips_team_referral AS now_held
    ON now_held.submission = referral.submission
    AND now_held.ServiceRequestID = referral.ServiceRequestID
ANTI JOIN ended
    ON ended.submission = earlier.file
    AND ended.ServiceRequestID = referral.ServiceRequestID
WHERE referral.ServDischDate IS NULL
