-- IPS referrals that are new in the month by their number only: in the latest earlier month the same person had a referral received on the
-- same day by the same team, under a number that is gone now.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
WITH latest AS (
    SELECT submission, min(months_before) AS months_before FROM earlier_submission GROUP BY submission
),
before AS (
    SELECT earlier_referral.*
    FROM earlier_referral
    SEMI JOIN latest
        ON latest.submission = earlier_referral.submission
        AND latest.months_before = earlier_referral.months_before
)
SELECT DISTINCT
    referral.submission,
    referral.submission AS file,
    'MHS101Referral' AS table_name,
    referral.row
FROM current_referral AS referral
INNER JOIN before
    ON before.submission = referral.submission
    AND before.ReferralRequestReceivedDate = referral.ReferralRequestReceivedDate
    AND before.CareProfTeamLocalID IS NOT DISTINCT FROM referral.CareProfTeamLocalID
    AND (before.LocalPatientID = referral.LocalPatientID OR before.NHSNumber = referral.NHSNumber)
ANTI JOIN MHS101Referral AS kept
    ON kept.submission = before.submission
    AND kept.ServiceRequestID = before.ServiceRequestID
ANTI JOIN before AS known
    ON known.submission = referral.submission
    AND known.ServiceRequestID = referral.ServiceRequestID
