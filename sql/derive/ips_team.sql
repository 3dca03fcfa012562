-- The IPS teams of each submission. The type of a team is the one given in the same month, never a later or earlier one.
-- Grain: one row per submission and team. Keys: submission, CareProfTeamLocalID.
SELECT DISTINCT
    team.submission,
    team.CareProfTeamLocalID
FROM MHS902ServiceTeamDetails AS team
SEMI JOIN code_group
    ON code_group.group_name = 'ips team'
    AND code_group.code = team.ServTeamTypeMH
