-- The login that reads a trust's SQL Server for the IPS pipeline: views of one schema, nothing else, and never a change.
--
-- A database administrator runs this once in the database that holds the views, after replacing the names (sqlcmd's variables):
--
--     sqlcmd -d Trust -i sqlserver.sql -v login="ips_reader" schema="reporting" password="…"
--
-- SQL Server has no read-only session: what this login may do is all that keeps the source from change. The pipeline therefore refuses a
-- login that may insert, update or delete in the database, and ends every transaction in a rollback.
CREATE LOGIN [$(login)] WITH PASSWORD = '$(password)', CHECK_POLICY = ON;
CREATE USER [$(login)] FOR LOGIN [$(login)] WITH DEFAULT_SCHEMA = [$(schema)];
GRANT SELECT ON SCHEMA::[$(schema)] TO [$(login)];
DENY INSERT, UPDATE, DELETE, EXECUTE ON SCHEMA::[$(schema)] TO [$(login)];

-- All inputs of a month are read from one snapshot, which does not block those who write. Needed once for the database; it costs space in
-- tempdb while rows change. A readable secondary replica has it already.
DECLARE @database sysname = QUOTENAME(DB_NAME());
EXECUTE (N'ALTER DATABASE ' + @database + N' SET ALLOW_SNAPSHOT_ISOLATION ON');

-- The number of its connections and the time of its queries are limited by the Resource Governor (Enterprise edition), or left to the
-- limits of the pipeline: lock_seconds and statement_seconds in SITE.toml. Encryption: set Force Encryption in the server's network
-- configuration, with a certificate that clients can check.
