-- The login that reads a trust's Oracle database for the IPS pipeline: named views of one schema, nothing else, and never a change.
--
-- A database administrator runs this once in the pluggable database that holds the views, with SQL*Plus or SQLcl, which asks for the
-- password:
--
--     sqlplus admin@trust @oracle.sql
--
-- The views show what the return needs and leave out the rest; one grant is needed for each, since Oracle has none for a whole schema before
-- release 23 (there: GRANT SELECT ANY TABLE ON SCHEMA reporting TO ips_reader). READ rather than SELECT, which would also allow locks.
WHENEVER SQLERROR EXIT FAILURE
ACCEPT password CHAR PROMPT 'Password of ips_reader: ' HIDE

CREATE PROFILE ips_reader LIMIT SESSIONS_PER_USER 4 IDLE_TIME 60 CONNECT_TIME 240 FAILED_LOGIN_ATTEMPTS 5;
CREATE USER ips_reader IDENTIFIED BY "&password" PROFILE ips_reader QUOTA 0 ON users;
GRANT CREATE SESSION TO ips_reader;

BEGIN
    FOR item IN (SELECT owner, view_name FROM all_views WHERE owner = 'REPORTING') LOOP
        EXECUTE IMMEDIATE 'GRANT READ ON ' || sys.dbms_assert.enquote_name(item.owner, FALSE)
            || '.' || sys.dbms_assert.enquote_name(item.view_name, FALSE) || ' TO ips_reader';
    END LOOP;
END;
/

-- Limits of a session count only with RESOURCE_LIMIT; time of a query is limited by statement_seconds in SITE.toml.
ALTER SYSTEM SET RESOURCE_LIMIT = TRUE;

-- Encryption: a listener with PROTOCOL=TCPS, usually at port 2484. The thin driver knows no other way, in particular not Oracle's own
-- (native) network encryption.
