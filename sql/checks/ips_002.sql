-- Further teams of referrals that the file does not describe.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    other.submission,
    other.submission AS file,
    'MHS102OtherServiceType' AS table_name,
    other.row
FROM MHS102OtherServiceType AS other
SEMI JOIN current_submission ON current_submission.submission = other.submission
ANTI JOIN MHS902ServiceTeamDetails AS team
    ON team.submission = other.submission
    AND team.CareProfTeamLocalID = other.OtherCareProfTeamLocalID
WHERE other.OtherCareProfTeamLocalID IS NOT NULL
