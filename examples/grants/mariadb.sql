-- The login that reads a trust's MariaDB or MySQL for the IPS pipeline: views of one database, nothing else, and never a change.
--
-- A database administrator runs this once, after replacing ips_reader and reporting by the names that are wanted and '%' by the address of
-- the machine that runs the pipeline; then sets the password and opens the login, which is locked until then:
--
--     mariadb < mariadb.sql
--     SET PASSWORD FOR 'ips_reader'@'%' = PASSWORD('…');        -- MySQL: ALTER USER 'ips_reader'@'%' IDENTIFIED BY '…';
--     ALTER USER 'ips_reader'@'%' ACCOUNT UNLOCK;
--
-- The views show what the return needs and leave out the rest. They read with the rights of their definer (SQL SECURITY DEFINER, as views do
-- unless told otherwise), so the login needs none on the tables behind them. The url in the settings names the database of the views.
CREATE USER IF NOT EXISTS 'ips_reader'@'%' ACCOUNT LOCK;
-- Encrypted connections only; the pipeline holds one for each source it reads at a time. MySQL has no MAX_STATEMENT_TIME for a login: leave
-- it out there, since the pipeline limits its own queries (statement_seconds).
ALTER USER 'ips_reader'@'%' REQUIRE SSL WITH MAX_USER_CONNECTIONS 4 MAX_STATEMENT_TIME 3600;
GRANT SELECT ON reporting.* TO 'ips_reader'@'%';
