-- How much each file holds: the rows of the tables that the checks read, and of IPS its referrals and its contacts that count as direct.
-- A table without a row counts 0, so that a table left out is seen.
-- Grain: one row per file, table and what is counted. Keys: submission, table_name, what.
WITH counted AS (
    SELECT submission, 'MHS001MPI' AS table_name, 'rows' AS what, count(*) AS n FROM MHS001MPI GROUP BY submission
    UNION ALL
    SELECT submission, 'MHS002GP', 'rows', count(*) FROM MHS002GP GROUP BY submission
    UNION ALL
    SELECT submission, 'MHS004EmpStatus', 'rows', count(*) FROM MHS004EmpStatus GROUP BY submission
    UNION ALL
    SELECT submission, 'MHS101Referral', 'rows', count(*) FROM MHS101Referral GROUP BY submission
    UNION ALL
    SELECT submission, 'MHS102OtherServiceType', 'rows', count(*) FROM MHS102OtherServiceType GROUP BY submission
    UNION ALL
    SELECT submission, 'MHS201CareContact', 'rows', count(*) FROM MHS201CareContact GROUP BY submission
    UNION ALL
    SELECT submission, 'MHS202CareActivity', 'rows', count(*) FROM MHS202CareActivity GROUP BY submission
    UNION ALL
    SELECT submission, 'MHS902ServiceTeamDetails', 'rows', count(*) FROM MHS902ServiceTeamDetails GROUP BY submission
    UNION ALL
    SELECT submission, 'MHS101Referral', 'IPS', count(DISTINCT ServiceRequestID) FROM ips_team_referral GROUP BY submission
    UNION ALL
    SELECT submission, 'MHS201CareContact', 'IPS', count(*) FROM ips_contact WHERE direct GROUP BY submission
),
every AS (
    SELECT kept.submission, kind.table_name, kind.what
    FROM submission AS kept
    CROSS JOIN (SELECT DISTINCT table_name, what FROM counted) AS kind
)
SELECT
    every.submission,
    every.table_name,
    every.what,
    coalesce(counted.n, 0) AS n
FROM every
LEFT JOIN counted
    ON counted.submission = every.submission
    AND counted.table_name = every.table_name
    AND counted.what = every.what
