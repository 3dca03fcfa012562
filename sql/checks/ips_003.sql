-- IPS teams of an earlier month that are no IPS team now: of the latest earlier month, or of any that this month's rows still name.
-- The row is the one that described the team last.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
WITH latest AS (
    SELECT submission, min(months_before) AS months_before FROM earlier_submission GROUP BY submission
),
described AS (
    SELECT
        earlier.submission,
        earlier.file,
        earlier.months_before,
        team.row,
        team.CareProfTeamLocalID
    FROM earlier_submission AS earlier
    INNER JOIN MHS902ServiceTeamDetails AS team ON team.submission = earlier.file
    SEMI JOIN ips_team
        ON ips_team.submission = team.submission
        AND ips_team.CareProfTeamLocalID = team.CareProfTeamLocalID
    QUALIFY row_number() OVER (PARTITION BY earlier.submission, team.CareProfTeamLocalID ORDER BY earlier.months_before, team.row) = 1
),
named AS (
    SELECT submission, CareProfTeamLocalID FROM MHS101Referral
    UNION
    SELECT submission, OtherCareProfTeamLocalID FROM MHS102OtherServiceType
    UNION
    SELECT submission, OtherCareProfTeamLocalID FROM MHS201CareContact
)
SELECT
    described.submission,
    described.file,
    'MHS902ServiceTeamDetails' AS table_name,
    described.row
FROM described
INNER JOIN latest ON latest.submission = described.submission
LEFT JOIN named
    ON named.submission = described.submission
    AND named.CareProfTeamLocalID = described.CareProfTeamLocalID
ANTI JOIN ips_team
    ON ips_team.submission = described.submission
    AND ips_team.CareProfTeamLocalID = described.CareProfTeamLocalID
WHERE described.months_before = latest.months_before OR named.CareProfTeamLocalID IS NOT NULL
