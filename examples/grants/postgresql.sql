-- The login that reads a trust's PostgreSQL for the IPS pipeline: views of one schema, nothing else, and never a change.
--
-- A database administrator runs this once in the database that holds the views, after replacing the three names, and sets the password:
--
--     psql --dbname=trust --set=schema=reporting --set=login=ips_reader --set=connections=4 --file=postgresql.sql
--     \password ips_reader
--
-- The views show what the return needs and leave out the rest. They read with the rights of their owner, so the login needs none on the
-- tables behind them. Run it again after new views are made; it takes nothing away from anyone else.
\set ON_ERROR_STOP on

SELECT format('CREATE ROLE %I LOGIN', :'login')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'login') \gexec

-- The pipeline holds one connection for each source it reads at a time; a month of several providers takes a few.
ALTER ROLE :"login" NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT :connections;
-- The session is asked to be read-only in any case; here the login starts so by itself.
ALTER ROLE :"login" SET default_transaction_read_only = on;
ALTER ROLE :"login" SET statement_timeout = '1h';
ALTER ROLE :"login" SET lock_timeout = '1min';
ALTER ROLE :"login" SET idle_in_transaction_session_timeout = '1h';

SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), :'login') \gexec
GRANT USAGE ON SCHEMA :"schema" TO :"login";
GRANT SELECT ON ALL TABLES IN SCHEMA :"schema" TO :"login";

-- Encryption is the server's to demand: in pg_hba.conf, a line such as
--     hostssl  trust  ips_reader  10.0.0.0/8  scram-sha-256
-- and none that begins with host for this login.
