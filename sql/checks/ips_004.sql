-- Teams whose type is the IPS code but for case, blanks, punctuation, or a letter that looks like a digit.
-- Grain: one row per row found. Keys: submission, file, table_name, row.
SELECT
    team.submission,
    team.submission AS file,
    'MHS902ServiceTeamDetails' AS table_name,
    team.row
FROM MHS902ServiceTeamDetails AS team
SEMI JOIN current_submission ON current_submission.submission = team.submission
WHERE
    translate(upper(regexp_replace(team.ServTeamTypeMH, '[^A-Za-z0-9]', '', 'g')), 'OIL', '011')
    IN (SELECT code FROM code_group WHERE group_name = 'ips team')
    AND team.ServTeamTypeMH NOT IN (SELECT code FROM code_group WHERE group_name = 'ips team')
