"""Secrets of sources must be found nowhere but where they were put: not in logs, Airflow's metadata, rendered fields or anyone's list of processes.

Airflow runs the DAGs over four sources whose secrets hold planted words: one opens, the others have no server behind them.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from ips_pipeline.sources import madeup
from ips_pipeline.sources.madeup import periods

ROOT = Path(__file__).resolve().parents[2]
MONTH = periods()[-3]
#: One for each way to give a secret. The first stands in the path of a database that opens, so that the run gets on.
PLANTED = {way: f"Canarysecret-{way}" for way in ("path", "file", "env", "airflow")}
#: Nobody listens on port 1.
NOWHERE = "127.0.0.1:1/epr"

SITE = f"""
name = "Secrets"
data = "data"
reference = "reference"

[sources.opens]
kind = "sql"
url = {{ file = "opens_url" }}

[sources.by_file]
kind = "sql"
url = "postgresql+psycopg://reader@{NOWHERE}"
password = {{ file = "by_file_password" }}

[sources.by_env]
kind = "sql"
url = {{ env = "CANARY_URL" }}

[sources.by_airflow]
kind = "sql"
url = {{ airflow = "canary" }}
"""
SOURCES = {"MU1": "opens", "RX1": "by_file", "RX2": "by_env", "RX3": "by_airflow"}


@dataclass(frozen=True)
class Ran:
    """What a run left behind, and the command lines of all its processes while it ran."""

    code: int
    screen: bytes
    commands: frozenset[bytes]
    data: Path


def commands(session: int) -> set[bytes]:
    """The command lines of all processes of a session."""
    seen = set()
    for process in Path("/proc").glob("[0-9]*"):
        # A process may end while we look, and those of others are no concern.
        with suppress(OSError, ValueError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                seen.add((process / "cmdline").read_bytes())
    return seen


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    home = madeup.write_site(tmp_path_factory.mktemp("secrets") / "site").parent
    hidden = home / PLANTED["path"]
    (home / "trusts" / "MU1").rename(hidden)
    providers = "".join(
        f'\n[[providers]]\ncode = "{code}"\nname = "Trust {code}"\nsource = "{source}"\nmapping = "mappings/epr.yaml"\n'
        for code, source in SOURCES.items()
    )
    (home / "SITE.toml").write_text(SITE + providers, encoding="utf-8")
    (home / "secrets").mkdir(mode=0o700)
    for name, value in {"opens_url": f"sqlite:///{hidden}/epr.sqlite", "by_file_password": PLANTED["file"]}.items():
        (home / "secrets" / name).write_text(value + "\n", encoding="utf-8")
        (home / "secrets" / name).chmod(0o600)
    connection = {"conn_type": "postgres", "login": "reader", "password": PLANTED["airflow"], "host": "127.0.0.1", "port": 1, "schema": "epr"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "IPS_"))}
    environment |= {"CANARY_URL": f"postgresql+psycopg://reader:{PLANTED['env']}@{NOWHERE}", "AIRFLOW_CONN_CANARY": json.dumps(connection)}
    command = [sys.executable, "-m", "dags.local", "--site", str(home / "SITE.toml"), "--from", MONTH, "--to", MONTH]
    with (home / "screen").open("wb") as screen:
        running = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=screen, stderr=screen, start_new_session=True)
        seen: set[bytes] = set()
        while running.poll() is None:
            seen |= commands(running.pid)
            time.sleep(0.05)
    return Ran(running.returncode, (home / "screen").read_bytes(), frozenset(seen), home / "data")


def test_the_secrets_were_used(ran: Ran) -> None:
    """One source was read and the others were tried, or their secrets' absence would prove nothing."""
    assert list((ran.data / "restricted" / "landing" / "MU1" / MONTH).rglob("*.parquet"))
    with closing(sqlite3.connect(ran.data / "airflow" / "airflow.db")) as connection:
        query = "SELECT rendered_map_index, state FROM task_instance WHERE task_id = 'provider_month.extract'"
        states = {name.split()[0]: state for name, state in connection.execute(query)}
    assert states == {"MU1": "success", "RX1": "failed", "RX2": "failed", "RX3": "failed"}
    screen = ran.screen.decode()
    assert ran.code == 20, screen
    for source in ("by_file", "by_env", "by_airflow"):
        assert f"{source}" in screen


@pytest.mark.parametrize("way", PLANTED)
def test_a_secret_is_in_nothing_that_was_printed_logged_kept_or_rendered(ran: Ran, way: str) -> None:
    value = PLANTED[way].encode()
    assert value not in ran.screen
    held = [path for path in ran.data.rglob("*") if path.is_file()]
    assert {"airflow.db", "airflow.log", "ledger.jsonl"} <= {path.name for path in held}
    assert [str(path.relative_to(ran.data)) for path in held if value in path.read_bytes()] == []


def test_no_command_line_shows_a_secret(ran: Ran) -> None:
    assert any(b"dags.local" in command for command in ran.commands)
    assert [command for command in ran.commands for value in PLANTED.values() if value.encode() in command] == []
