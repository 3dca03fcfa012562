"""The DAGs, run by Airflow on two made-up trusts over two months; in the second month one trust's submission is rejected as a file."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ips_pipeline import flows, settings
from ips_pipeline.sources import madeup

ROOT = Path(__file__).resolve().parents[2]
GOOD, REJECTED = "DFC", "V9Z9Z"
MONTHS = ("2026-08", "2026-09")

#: Each stage fails for one trust or month with a canary's values in the text and in the exception behind it.
BROKEN = f"""
import sys
from ips_pipeline import flows
from ips_pipeline.sources import madeup
real = flows.extract, flows.validate
def fail(*_):
    try:
        raise KeyError(*madeup.canaries())
    except KeyError as cause:
        raise RuntimeError("cannot convert " + " ".join(madeup.canaries())) from cause
flows.extract = lambda site, provider, period, **given: fail() if provider == "{GOOD}" else real[0](site, provider, period, **given)
flows.validate = flows.measure = fail
from dags.local import main
sys.exit(main())
"""


@dataclass(frozen=True)
class Ran:
    """What a run of the DAGs left behind."""

    code: int
    screen: str
    data: Path

    def rows(self, query: str) -> list[Any]:
        """Rows of Airflow's own metadata."""
        with closing(sqlite3.connect(self.data / "airflow" / "airflow.db")) as connection:
            return connection.execute(query).fetchall()


def files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def run_dags(site: Path, data: Path, *program: str) -> Ran:
    environment = {**os.environ, "IPS_DATA": str(data)}
    command = [sys.executable, *program, "--site", str(site), "--from", MONTHS[0], "--to", MONTHS[1]]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return Ran(ran.returncode, ran.stdout + ran.stderr, data)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up site, cut down to two trusts."""
    file = madeup.write_site(tmp_path_factory.mktemp("dags") / "site")
    blocks = file.read_text(encoding="utf-8").split("\n\n")
    kept = [block for block in blocks if "[[providers]]" not in block or re.search(f'code = "({GOOD}|{REJECTED})"', block)]
    file.write_text("\n\n".join(kept), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def ran(site: Path) -> Ran:
    return run_dags(site, site.parent / "by-airflow", "-m", "dags.local")


@pytest.fixture(scope="module")
def broken(site: Path) -> Ran:
    return run_dags(site, site.parent / "broken", "-c", BROKEN)


def states(ran: Ran) -> dict[str, str]:
    """State by task and provider, in the second month."""
    found = ran.rows(
        "SELECT i.task_id || ' ' || coalesce(i.rendered_map_index, ''), i.state FROM task_instance i JOIN dag_run r ON i.run_id = r.run_id "
        "WHERE i.dag_id = 'ips_provider_month' AND r.logical_date = (SELECT max(logical_date) FROM dag_run)"
    )
    return {str(name).strip(): state for name, state in found}


def test_a_rejected_submission_fails_its_branch_and_leaves_the_other(ran: Ran) -> None:
    assert ran.code == 0, ran.screen
    assert states(ran) == {
        "submissions": "success",
        f"provider_month.extract {GOOD} 2026-09": "success",
        f"provider_month.validate {GOOD} 2026-09": "success",
        f"provider_month.extract {REJECTED} 2026-09": "success",
        f"provider_month.validate {REJECTED} 2026-09": "failed",
    }
    assert ran.rows("SELECT state FROM dag_run WHERE dag_id = 'ips_provider_month' ORDER BY logical_date") == [("success",), ("failed",)]
    assert ran.rows("SELECT state FROM dag_run WHERE dag_id = 'ips_national_rollup'") == [("success",)]
    assert f"2026-09  {REJECTED}  Submission rejected: {REJECTED} 2026-09" in ran.screen
    assert "3 provider-months accepted, 1 rejected, 0 failed" in ran.screen
    assert "Traceback" not in ran.screen


def test_the_release_is_that_of_the_command_line_byte_for_byte(ran: Ran, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPS_DATA", str(site.parent / "by-hand"))
    by_hand = settings.load(site)
    summary = flows.run(by_hand, MONTHS[1], since=MONTHS[0])
    assert [rejection["provider"] for rejection in summary.rejected] == [REJECTED]
    for shelf in ("releases", "restricted/accepted", "restricted/evidence"):
        left, right = ran.data / shelf, by_hand.data / shelf
        held = [path.relative_to(left) for path in files(left)]
        assert held
        assert held == [path.relative_to(right) for path in files(right)]
        assert [name for name in held if (left / name).read_bytes() != (right / name).read_bytes()] == []


def test_each_accepted_month_is_announced(ran: Ran) -> None:
    events = [json.loads(extra) for (extra,) in ran.rows("SELECT extra FROM asset_event")]
    assert {(event["provider"], event["period"]) for event in events} == {(GOOD, "2026-08"), (GOOD, "2026-09"), (REJECTED, "2026-08")}
    for event in events:
        assert set(event) == {"provider", "period", "accepted", "rows"}
        current = ran.data / "restricted" / "accepted" / event["provider"] / event["period"] / "CURRENT"
        assert event["accepted"] == current.read_text().strip()
        assert event["rows"] > 0


def test_what_tasks_hand_over_is_references_and_counts(ran: Ran) -> None:
    handed = ran.rows("SELECT key, value FROM xcom")
    assert {key for key, _ in handed} == {"return_value", "pools"}
    for _, value in handed:
        assert len(value) < 500
        content = json.loads(value)
        for item in content if isinstance(content, list) else [content]:
            for held in item.values() if isinstance(item, dict) else [item]:
                assert isinstance(held, int | bool) or re.fullmatch(
                    r"[0-9a-f]{16}|[A-Z0-9]{3,6}|\d{4}-\d{2}|accepted( with rejections)?|ips_[a-z0-9-]+", held
                )


def test_no_value_of_a_canary_reaches_airflow_or_a_release(ran: Ran, site: Path) -> None:
    planted = [
        value for value in madeup.canaries() if any(value in path.read_text() for path in files(site.parent / "trusts") if path.suffix == ".csv")
    ]
    assert len(planted) > 10
    assert_absent(ran)


def test_nor_when_every_stage_fails(broken: Ran) -> None:
    assert broken.code == 1
    assert f"2026-09  {GOOD}  Unexpected RuntimeError at" in broken.screen
    assert f"2026-09  {REJECTED}  Unexpected RuntimeError at" in broken.screen
    assert "2026-09  measure  Unexpected RuntimeError at" in broken.screen
    assert broken.rows("SELECT DISTINCT state FROM dag_run") == [("failed",)]
    assert_absent(broken)


def test_what_airflow_keeps_is_the_owners_alone(ran: Ran) -> None:
    assert {path.stat().st_mode & 0o077 for path in files(ran.data / "airflow")} == {0}


def assert_absent(ran: Ran) -> None:
    """No canary in what was printed, nor in any file of Airflow's (metadata with XCom and rendered fields, logs), nor in a release."""
    seen = {"screen": ran.screen.encode()} | {
        str(path): path.read_bytes() for zone in ("airflow", "releases") if (ran.data / zone).is_dir() for path in files(ran.data / zone)
    }
    assert any(name.endswith("airflow.db") for name in seen)
    found = [(name, value) for name, content in seen.items() for value in madeup.canaries() if value.encode() in content]
    assert found == []
