-- Referrals whose team the file does not describe.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    referral.submission,
    referral.submission AS file,
    'MHS101Referral' AS table_name,
    referral.row
FROM MHS101Referral AS referral
SEMI JOIN current_submission ON current_submission.submission = referral.submission
ANTI JOIN MHS902ServiceTeamDetails AS team
    ON team.submission = referral.submission
    AND team.CareProfTeamLocalID = referral.CareProfTeamLocalID
WHERE referral.CareProfTeamLocalID IS NOT NULL
