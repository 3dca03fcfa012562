"""SQL Server and Oracle, of which no server runs here: what their drivers are given, the SQL they would get, and faults of the network."""

from __future__ import annotations

import os
import socket
import threading
import time
from datetime import date
from pathlib import Path
from typing import Any

import mssql_python
import pytest
import sqlalchemy as sa

from ips_pipeline.errors import IpsError, RetryableError, UsageError
from ips_pipeline.settings import Provider, Reference, Site, SqlSource
from ips_pipeline.sources import backends, sql
from ips_pipeline.sources.mapping import Input

SQLSERVER = "mssql+mssqlpython://reader:pa;ss}w%40rd@db.example:1433/Trust"
ORACLE = "oracle+oracledb://reader:secret@db.example:2484/?service_name=trust"


def site(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch, **keys: Any) -> Site:
    monkeypatch.setenv("EPR_URL", url)
    return Site(
        file=folder / "SITE.toml",
        name="A site",
        data=folder / "data",
        reference=folder,
        secrets=folder / "secrets",
        providers=(Provider(code="RXX", name="A trust", source="epr", mapping=folder / "map.yaml"),),
        sources={"epr": SqlSource(kind="sql", url=Reference(env="EPR_URL"), **keys)},
    )


def given(url: str, **keys: Any) -> tuple[list[Any], dict[str, Any]]:
    """What the driver's connect would be given."""
    source = SqlSource(kind="sql", url=Reference(env="EPR_URL"), **keys)
    engine = backends.engine("epr", source, sa.make_url(url))
    seen: list[tuple[list[Any], dict[str, Any]]] = []

    class _StopError(Exception):
        pass

    def stop(*arguments: Any, **keywords: Any) -> None:
        seen.append((list(arguments), keywords))
        raise _StopError

    engine.dialect.connect = stop  # type: ignore[method-assign]
    with pytest.raises(_StopError):
        engine.connect()
    return seen[0]


def test_sql_server_is_asked_for_encryption_and_a_reader(tmp_path: Path) -> None:
    (text,), keywords = given(SQLSERVER)
    assert text == "Server=db.example,1433;Database=Trust;UID=reader;PWD={pa;ss}}w@rd};ApplicationIntent=ReadOnly;Encrypt=yes"
    assert keywords == {"timeout": 15}
    parsed = mssql_python.connection._ConnectionStringParser()._parse(text)
    assert parsed["pwd"] == "pa;ss}w@rd"  # noqa: S105 - the test's own
    assert "Encrypt=optional" in given(SQLSERVER, tls="off")[0][0]
    ca = tmp_path / "ca.pem"
    ca.touch()
    assert f"ServerCertificate={ca}" in given(SQLSERVER, ca=ca)[0][0]
    for weak in ("Encrypt=no", "encrypt=optional"):
        with pytest.raises(UsageError, match="lets the connection go unencrypted"):
            given(f"{SQLSERVER}?{weak}")
    source = SqlSource(kind="sql", url=Reference(env="EPR_URL"))
    assert backends.encryption("epr", source, sa.make_url(SQLSERVER)) == "verified"
    assert backends.encryption("epr", source, sa.make_url(f"{SQLSERVER}?TrustServerCertificate=yes")) == "encrypted"


def test_oracle_is_reached_by_tcps_unless_the_settings_say_otherwise() -> None:
    _, keywords = given(ORACLE)
    assert keywords["dsn"] == (
        "(DESCRIPTION=(ADDRESS=(PROTOCOL=tcps)(HOST=db.example)(PORT=2484))(CONNECT_DATA=(SERVICE_NAME=trust))(SECURITY=(SSL_SERVER_DN_MATCH=yes)))"
    )
    assert (keywords["user"], keywords["tcp_connect_timeout"]) == ("reader", 15)
    assert "tcps" not in given(ORACLE, tls="off")[1]["dsn"]


def test_the_sql_they_would_get() -> None:
    query = Input(query="SELECT no FROM reporting.contact WHERE held_on BETWEEN :period_start AND :period_end AND trust = :provider")
    bind = {"period_start": date(2026, 8, 1), "period_end": date(2026, 8, 31), "provider": "RXX"}
    for url, marks in ((SQLSERVER, ("%(period_start)s", "%(period_end)s", "%(provider)s")), (ORACLE, (":period_start", ":period_end", ":provider"))):
        engine = backends.engine("epr", SqlSource(kind="sql", url=Reference(env="EPR_URL")), sa.make_url(url))
        compiled = sql._bound(query, bind).compile(dialect=engine.dialect)  # type: ignore[attr-defined]
        assert all(mark in str(compiled) for mark in marks)
        assert compiled.params == bind
        table = str(sql.statement(Input(table="Reporting.Care Contact")).compile(dialect=engine.dialect))  # type: ignore[attr-defined]
        quoted = "[Reporting].[Care Contact]" if "mssql" in url else '"Reporting"."Care Contact"'
        assert table.split() == ["SELECT", "*", "FROM", *quoted.split()]


@pytest.mark.parametrize("kind", ["mssql+mssqlpython", "oracle+oracledb"])
class TestNetwork:
    """Their drivers load, and what they say of the network is told in our words."""

    def line(self, site: Site) -> str:
        with pytest.raises(IpsError) as caught:
            sql.probe(site, "epr")
        assert "Canary" not in str(caught.value)
        if "libltdl7" in str(caught.value) and os.environ.get("IPS_TEST_SERVERS") != "required":
            assert isinstance(caught.value, UsageError)
            pytest.skip("libltdl7 is not installed here, which Microsoft's driver needs")
        assert isinstance(caught.value, RetryableError), str(caught.value)
        return str(caught.value)

    def test_nobody_listens(self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        url = f"{kind}://reader:Canarypassword@127.0.0.1:{port}/" + ("Trust" if "mssql" in kind else "?service_name=trust")
        told = self.line(site(tmp_path, url, monkeypatch, connect_seconds=3))
        assert told == "Source epr: the database does not answer; check that it is running and can be reached, then run again"

    def test_a_host_that_no_name_server_knows(self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        url = f"{kind}://reader:Canarypassword@nosuch.invalid/" + ("Trust" if "mssql" in kind else "?service_name=trust")
        assert "the name of the database's host is not known here" in self.line(site(tmp_path, url, monkeypatch, connect_seconds=3))


@pytest.mark.parametrize(
    "url",
    [
        "mssql+mssqlpython://reader:Canarypassword@127.0.0.1:{port}/Trust",
        "oracle+oracledb://reader:Canarypassword@127.0.0.1:{port}/?service_name=trust",
        # Another machine as far as the pipeline knows, so that its answer to TLS is waited for.
        "oracle+oracledb://reader:Canarypassword@127.0.0.2:{port}/?service_name=trust",
    ],
)
def test_a_server_that_never_answers_is_given_up(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("0.0.0.0", 0)) as deaf:  # noqa: S104 - the test's own, and deaf
        began = time.monotonic()
        told = TestNetwork().line(site(tmp_path, url.format(port=deaf.getsockname()[1]), monkeypatch, connect_seconds=1))
        assert time.monotonic() - began < 20
    assert told == "Source epr: the database does not answer; check that it is running and can be reached, then run again"


def test_a_keyword_that_the_driver_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(IpsError) as caught:
        sql.probe(site(tmp_path, f"{SQLSERVER}?Canary=1", monkeypatch), "epr")
    assert str(caught.value) == "Source epr: the database could not be read (ArgumentError); check the url and the mapping"


def test_a_session_that_comes_too_late_is_closed_and_what_a_driver_raises_is_raised() -> None:
    awaited, late = threading.Event(), threading.Event()

    class Session:
        def close(self) -> None:
            late.set()

    def slow() -> Session:
        awaited.wait(30)
        return Session()

    with pytest.raises(TimeoutError):
        backends._connected(0, slow)
    awaited.set()
    assert late.wait(30)
    session = Session()
    assert backends._connected(30, lambda: session) is session
    with pytest.raises(ConnectionRefusedError):
        backends._connected(30, lambda: socket.create_connection(("127.0.0.1", 1)))
