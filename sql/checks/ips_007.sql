-- Open referrals that an IPS team held in the latest earlier month and no IPS team holds now.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    submission,
    submission AS file,
    'MHS101Referral' AS table_name,
    row
FROM lost_team
