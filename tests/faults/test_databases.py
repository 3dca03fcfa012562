"""Faults of a trust's database, on real servers: what the operator sees, whether it is worth trying again, and what is left.

After each of them a clean run gives the landing that an undisturbed one gives, and no planted value stands anywhere outside the landing.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ips_pipeline.errors import InputError, IpsError, RetryableError
from ips_pipeline.settings import Site
from ips_pipeline.sources import raw, sql
from ips_pipeline.sources.extract import extract
from ips_pipeline.store import stages

PLANTED = ("Canary", "999990")


def silent(text: str) -> None:
    for value in PLANTED:
        assert value not in text, "a planted value was told"


def seen(site: Site, kind: type[IpsError]) -> str:
    """The line an operator sees of an extract that fails as ``kind``; it is one line, and neither it nor its traceback tells a value."""
    with pytest.raises(IpsError) as caught:
        extract(site, "RXX", "2026-08")
    assert type(caught.value) is kind, str(caught.value)
    line = str(caught.value)
    assert "\n" not in line
    silent("".join(traceback.format_exception(caught.value)))
    return line


def nothing_left(site: Site) -> None:
    """No landing, no part of one, and nothing with a patient's value on the disk."""
    assert stages.current(site.landing("RXX", "2026-08")) is None
    left = [path for path in site.data.rglob("*") if path.is_file()]
    assert left == [], "a failed extract left something behind"


@pytest.fixture
def undisturbed(trust: Any) -> stages.Stage:
    """The landing of a run that nothing disturbs, on a data root of its own."""
    site = trust.site()
    return extract(site.model_copy(update={"data": trust.home / "undisturbed"}), "RXX", "2026-08")


def the_same_after_all(trust: Any, undisturbed: stages.Stage, **keys: Any) -> None:
    """A clean run gives what an undisturbed one gives: nothing is missing, and nothing is there twice."""
    site = trust.site(**keys)
    landed = extract(site, "RXX", "2026-08")
    assert landed.identity == undisturbed.identity
    assert landed.manifest["facts"]["tables"] == undisturbed.manifest["facts"]["tables"]
    assert not list((site.restricted / "tmp").rglob("*.parquet"))
    for path in site.data.rglob("*"):
        if path.is_file() and path.suffix != ".parquet":
            silent(path.read_text(encoding="utf-8"))
    assert b"999990" in b"".join(path.read_bytes() for path in landed.path.glob("MHS001MPI.parquet")), "nothing planted came, so nothing is proved"


def test_the_connection_drops_at_some_row(trust: Any, undisturbed: stages.Stage) -> None:
    for after in (60_000, 300_000):
        proxy = trust.proxy()
        proxy.cut_after = after
        site = trust.site(host="127.0.0.2", port=proxy.port)
        assert seen(site, RetryableError) == "Source epr, input contact: the database ended the connection; run again"
        assert proxy.cuts == 1
        nothing_left(site)
    proxy.cut_after = None
    the_same_after_all(trust, undisturbed, host="127.0.0.2", port=proxy.port)


def test_the_connection_drops_while_it_is_opened(trust: Any, undisturbed: stages.Stage) -> None:
    proxy = trust.proxy()
    proxy.cut_after = 0
    site = trust.site(host="127.0.0.2", port=proxy.port)
    line = "Source epr: the database does not answer; check that it is running and can be reached, then run again"
    assert seen(site, RetryableError) == line
    nothing_left(site)


def test_the_server_is_restarted_in_the_middle(trust: Any, undisturbed: stages.Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    original = raw.write

    def restarted(path: Path, *arguments: Any) -> raw.Fetched:
        done = original(path, *arguments)
        trust.server.stop()
        trust.server.start()
        return done

    monkeypatch.setattr(raw, "write", restarted)
    site = trust.site()
    assert seen(site, RetryableError) == "Source epr, input person: the database ended the connection; run again"
    monkeypatch.undo()
    nothing_left(site)
    the_same_after_all(trust, undisturbed)


def test_the_server_is_not_running(trust: Any, undisturbed: stages.Stage) -> None:
    trust.server.stop()
    try:
        site = trust.site()
        line = "Source epr: the database does not answer; check that it is running and can be reached, then run again"
        assert seen(site, RetryableError) == line
    finally:
        trust.server.start()
    nothing_left(site)
    the_same_after_all(trust, undisturbed)


def test_our_own_disk_is_full_in_the_middle_of_many_rows(trust: Any, undisturbed: stages.Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the rows is not waited for: a driver that reads them to their end would take minutes for a long table."""

    def full(path: Path, columns: Any, batches: Any) -> raw.Fetched:
        next(iter(batches))
        raise OSError(errno.ENOSPC, "No space left on device")

    endless = "SELECT c.* FROM reporting.contact c, reporting.contact d, reporting.contact e"
    site = trust.site()
    mapping = trust.home / "mapping.yaml"
    mapping.write_text(mapping.read_text().replace("SELECT * FROM reporting.contact WHERE held_on BETWEEN :period_start AND :period_end", endless))
    monkeypatch.setattr(raw, "write", full)
    began = time.monotonic()
    with pytest.raises(IpsError, match="space"):
        extract(site, "RXX", "2026-08")
    assert time.monotonic() - began < 15
    monkeypatch.undo()
    nothing_left(site)
    the_same_after_all(trust, undisturbed)


def test_a_wrong_password_and_an_unknown_login_or_database(trust: Any) -> None:
    refused = "Source epr: the database refused the login; check the user and password that SITE.toml refers to"
    assert seen(trust.site(password="Canarywrong"), InputError) == refused  # noqa: S106 - wrong on purpose
    assert seen(trust.site(user="nobody", password="Canarywrong"), InputError) == refused  # noqa: S106 - wrong on purpose
    site = trust.site()
    url = trust.home / "secrets/epr_url"
    url.write_text(url.read_text().replace(f"/{trust.database()}", "/elsewhere"))
    line = seen(site, InputError)
    # MariaDB does not tell a login without rights whether a database exists.
    assert ("no database of that name" if trust.server.kind == "postgresql" else "may not open that database") in line
    nothing_left(site)


def test_a_view_is_taken_away_and_given_back(trust: Any, undisturbed: stages.Stage) -> None:
    who = "ips_month"
    if trust.server.kind == "postgresql":
        # The test's own.
        made = f"CREATE ROLE {who} LOGIN PASSWORD 'Canarypassword-3'"  # pragma: allowlist secret
        trust.run(f"DROP ROLE IF EXISTS {who}; {made}; GRANT USAGE ON SCHEMA reporting TO {who}")
    else:
        trust.run(f"DROP USER IF EXISTS {who}; CREATE USER {who} IDENTIFIED BY 'Canarypassword-3'")
    try:
        for view in ("person", "referral", "contact"):
            trust.run(f"GRANT SELECT ON reporting.{view} TO {who}")
        login = {"user": who, "password": "Canarypassword-3"}
        first = extract(trust.site(**login), "RXX", "2026-08")
        trust.run(f"REVOKE SELECT ON reporting.referral FROM {who}")
        site = trust.site(**login)
        assert seen(site, InputError) == "Source epr, input referral: the login may not read a table of the query; ask for SELECT on it"
        held = stages.current(site.landing("RXX", "2026-08"))
        assert held is not None and held.identity == first.identity == undisturbed.identity, "what was in force stays"
        trust.run(f"GRANT SELECT ON reporting.referral TO {who}")
        assert not extract(trust.site(**login), "RXX", "2026-08").changed
    finally:
        owned = f"DROP OWNED BY {who}; DROP ROLE {who}" if trust.server.kind == "postgresql" else f"DROP USER {who}"
        trust.run(owned)


def test_a_source_that_never_answers_is_given_up_after_the_time_of_the_settings(trust: Any) -> None:
    with socket.create_server(("127.0.0.2", 0)) as deaf:
        site = trust.site(host="127.0.0.2", port=deaf.getsockname()[1], connect_seconds=2)
        began = time.monotonic()
        line = "Source epr: the database does not answer; check that it is running and can be reached, then run again"
        assert seen(site, RetryableError) == line
        assert time.monotonic() - began < 15
    nothing_left(site)


def test_a_query_that_takes_too_long_is_stopped(trust: Any, undisturbed: stages.Stage) -> None:
    slow = "SELECT p.* FROM reporting.person p, (SELECT {sleep}) AS waited"
    sleep = "pg_sleep(30)" if trust.server.kind == "postgresql" else "SLEEP(30) AS n"
    site = trust.site(statement_seconds=1)
    mapping = trust.home / "mapping.yaml"
    mapping.write_text(mapping.read_text().replace("SELECT * FROM reporting.person", slow.format(sleep=sleep)))
    began = time.monotonic()
    assert seen(site, RetryableError) == (
        "Source epr, input person: a query took longer than statement_seconds allows;"
        " run again at a quieter hour, make the query cheaper, or raise it in SITE.toml"
    )
    assert time.monotonic() - began < 15
    nothing_left(site)
    the_same_after_all(trust, undisturbed)


def test_a_host_that_no_name_server_knows(trust: Any) -> None:
    site = trust.site(host="nosuch.invalid")
    line = "Source epr: the name of the database's host is not known here; check the url and the network's name server, then run again"
    assert seen(site, RetryableError) == line
    nothing_left(site)


@contextmanager
def held(trust: Any, statements: str) -> Iterator[Any]:
    """Somebody else's session that keeps what it locked until this ends; gives its client."""
    command = [*trust.server.client(trust.database()), *(["--unbuffered"] if trust.server.kind == "mariadb" else [])]
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert client.stdin is not None and client.stdout is not None
    client.stdin.write(f"{statements}\nSELECT 'locked';\n")
    client.stdin.flush()
    assert client.stdout.readline().strip() == "locked"
    try:
        yield client
    finally:
        client.stdin.close()
        client.wait(30)


def test_a_table_that_another_session_has_locked(trust: Any, undisturbed: stages.Stage) -> None:
    lock = "BEGIN; LOCK TABLE epr.referral IN ACCESS EXCLUSIVE MODE;" if trust.server.kind == "postgresql" else "LOCK TABLES referral WRITE;"
    with held(trust, lock):
        site = trust.site(lock_seconds=1)
        line = "Source epr, input referral: the database is locked by another process; run again when it has finished"
        assert seen(site, RetryableError) == line
        nothing_left(site)
    the_same_after_all(trust, undisturbed, lock_seconds=1)


#: Another session wants two tables for itself: it has the referrals, and waits for the contacts, which the extract has read in its transaction.
#: PostgreSQL ends the session that finds the deadlock first, so this one is not to look. MariaDB takes the locks of a statement by schema and name,
#: so the contacts are asked for by their view.
WANTS_BOTH = {
    "postgresql": "SET deadlock_timeout = '10min'; BEGIN;"
    " LOCK TABLE epr.referral IN ACCESS EXCLUSIVE MODE; LOCK TABLE epr.contact IN ACCESS EXCLUSIVE MODE;",
    "mariadb": "LOCK TABLES epr.referral WRITE, reporting.contact WRITE;",
}
WAITING = {
    "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
    "mariadb": "SELECT count(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for%lock'",
}


def test_a_deadlock_that_the_server_ends_by_giving_up_the_extract(trust: Any, undisturbed: stages.Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    original, safe, told = raw.write, sql._safe, []
    kind = trust.server.kind

    with held(trust, "") as other:

        def read_and_wanted(path: Path, *arguments: Any) -> raw.Fetched:
            done = original(path, *arguments)
            if path.name == "contact.parquet":
                other.stdin.write(f"{WANTS_BOTH[kind]}\nSELECT 'both';\n")
                other.stdin.flush()
                until = time.monotonic() + 30
                while trust.run(WAITING[kind]) == "0" and time.monotonic() < until:
                    time.sleep(0.05)
            return done

        def noted(error: BaseException, *given: Any, **more: Any) -> IpsError:
            told.append(getattr(error, "sqlstate", None) if kind == "postgresql" else error.args[0])
            return safe(error, *given, **more)

        monkeypatch.setattr(raw, "write", read_and_wanted)
        monkeypatch.setattr(sql, "_safe", noted)
        site = trust.site()
        began = time.monotonic()
        line = "Source epr, input referral: the database is locked by another process; run again when it has finished"
        assert seen(site, RetryableError) == line
        # A deadlock by its own number, and long before the wait for a lock would have ended.
        assert told == ["40P01" if kind == "postgresql" else 1213]
        assert time.monotonic() - began < site.sources["epr"].lock_seconds / 2
        assert RetryableError.exit_code == 20
        assert other.stdout.readline().strip() == "both", "the other session got what it waited for"
        monkeypatch.undo()
        nothing_left(site)
    the_same_after_all(trust, undisturbed)


def test_rows_that_another_session_is_changing_are_read_as_they_were(trust: Any, undisturbed: stages.Stage) -> None:
    change = "BEGIN; UPDATE epr.person SET surname = 'Changed', born_on = NULL; DELETE FROM epr.contact WHERE contact_no < 1000;"
    with held(trust, change):
        the_same_after_all(trust, undisturbed, lock_seconds=1)


def test_a_server_with_no_connection_left(trust: Any) -> None:
    if trust.server.kind == "postgresql":
        trust.run("ALTER ROLE owner CONNECTION LIMIT 1")
    else:
        trust.run("ALTER USER owner WITH MAX_USER_CONNECTIONS 1")
    blocking = trust.site()
    engine = sql._engine(blocking, "epr", blocking.sources["epr"])
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        line = "Source epr: the database takes no more connections at present; run again when others have gone"
        assert seen(blocking, RetryableError) == line
    nothing_left(blocking)


def ips(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from ips_pipeline.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONUNBUFFERED": "1"})


@pytest.mark.parametrize("trust", ["postgresql"], indirect=True)
def test_the_command_line_tells_one_line_and_whether_to_try_again(trust: Any) -> None:
    """Wrong password, then a connection that is cut: exit codes 11 and 20, and no planted value in anything printed or left."""
    site = trust.site(password="Canarywrong")  # noqa: S106 - wrong on purpose
    refused = ips("run", "--config", site.file, "--period", "2026-08")
    proxy = trust.proxy()
    proxy.cut_after = 200_000
    site = trust.site(host="127.0.0.2", port=proxy.port)
    cut = ips("run", "--config", site.file, "--period", "2026-08")
    assert (refused.returncode, cut.returncode) == (11, 20), refused.stderr + cut.stderr
    for finished, words in ((refused, "refused the login"), (cut, "ended the connection; run again")):
        silent(finished.stdout + finished.stderr)
        assert "Traceback" not in finished.stderr
        assert len([line for line in finished.stderr.splitlines() if words in line]) == 1
    for path in site.data.rglob("*"):
        if path.is_file():
            silent(path.read_text(encoding="utf-8", errors="replace"))
