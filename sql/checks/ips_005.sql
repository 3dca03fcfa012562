-- Referrals made for employment support that nothing shows to be IPS: no IPS team holds them and no IPS procedure is recorded on them.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    referral.submission,
    referral.submission AS file,
    'MHS101Referral' AS table_name,
    referral.row
FROM MHS101Referral AS referral
SEMI JOIN current_submission ON current_submission.submission = referral.submission
SEMI JOIN code_group
    ON code_group.group_name = 'employment support'
    AND code_group.code = referral.PrimReasonReferralMH
ANTI JOIN ips_referral
    ON ips_referral.submission = referral.submission
    AND ips_referral.row = referral.row
