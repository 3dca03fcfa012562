"""The grants that administrators run, run on real servers: the login reads the views, and nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ips_pipeline.errors import InputError
from ips_pipeline.sources import sql
from ips_pipeline.sources.extract import extract
from ips_pipeline.sources.mapping import Input

GRANTS = Path(__file__).parents[2] / "examples/grants"
PASSWORD = "Canarypassword-2"  # noqa: S105 - the test's own


def run_grants(trust: Any) -> None:
    """As the head of each file says."""
    if trust.server.kind == "postgresql":
        names = ("--set=schema=reporting", "--set=login=ips_reader", "--set=connections=2")
        command = [*trust.server.client("trust"), *names, f"--file={GRANTS / 'postgresql.sql'}"]
        subprocess.run(command, check=True, capture_output=True)
        trust.run(f"ALTER ROLE ips_reader PASSWORD '{PASSWORD}'")
    else:
        trust.run((GRANTS / "mariadb.sql").read_text(encoding="utf-8"))
        trust.run(f"SET PASSWORD FOR 'ips_reader'@'%' = PASSWORD('{PASSWORD}'); ALTER USER 'ips_reader'@'%' ACCOUNT UNLOCK;")


def reader(trust: Any, **keys: Any) -> Any:
    return trust.site(user="ips_reader", password=PASSWORD, tls="require", **keys)


def as_reader(trust: Any, statement: str) -> Any:
    """Run a statement as the login in a session of its own, which the pipeline has not made read-only."""
    site = reader(trust)
    engine = sa.create_engine(sql._url(site, "epr", site.sources["epr"]), poolclass=sa.NullPool)
    with engine.connect() as connection:
        return connection.exec_driver_sql(statement).fetchone()


@pytest.fixture
def granted(trust: Any) -> Any:
    run_grants(trust)
    return trust


def test_a_month_is_extracted_with_the_login_and_the_file_may_be_run_again(granted: Any) -> None:
    assert extract(reader(granted), "RXX", "2026-08").manifest["facts"]["rows"] == 6151
    run_grants(granted)
    assert not extract(reader(granted), "RXX", "2026-08").changed


def test_the_login_reads_no_table_behind_the_views_nor_any_other(granted: Any, tmp_path: Path) -> None:
    for table in ("epr.person", "epr.staff_pay"):
        with pytest.raises(InputError) as caught:
            sql.fetch(reader(granted), "epr", {"person": Input(table=table)}, bind={}, folder=tmp_path)
        assert str(caught.value) == "Source epr, input person: the login may not read a table of the query; ask for SELECT on it"


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO reporting.person VALUES ('P100', NULL, 'New', NULL)",
        "DELETE FROM reporting.contact",
        "UPDATE epr.staff_pay SET pay = 0",
        "DROP VIEW reporting.person",
        "CREATE TABLE reporting.mine (n INTEGER)",
    ],
)
def test_the_login_changes_nothing_even_in_a_session_of_its_own(granted: Any, statement: str) -> None:
    if granted.server.kind == "postgresql":
        statement = f"SET default_transaction_read_only = off; COMMIT; {statement}"
    with pytest.raises(sa.exc.DBAPIError, match=r"denied|permission|must be owner"):
        as_reader(granted, statement)
    assert granted.run("SELECT COUNT(*) FROM epr.person") == "50"


def test_the_login_has_its_limits(granted: Any) -> None:
    if granted.server.kind == "postgresql":
        limits = "SELECT rolconnlimit, 'statement_timeout=1h' = ANY (rolconfig) FROM pg_roles WHERE rolname = 'ips_reader'"
        assert granted.run(limits) == "2\tt"
        assert as_reader(granted, "SHOW statement_timeout") == ("1h",)
        assert as_reader(granted, "SHOW default_transaction_read_only") == ("on",)
    else:
        limits = "SELECT max_user_connections, ssl_type, max_statement_time FROM mysql.user WHERE user = 'ips_reader'"
        assert granted.run(limits) == "4\tANY\t3600.000000"
        # The server does not let the login in unencrypted.
        with pytest.raises(InputError, match="refused the login"):
            sql.probe(granted.site(user="ips_reader", password=PASSWORD, tls="off"), "epr")
