"""ips doctor: every fault of a site is one line that says what to do, no secret is in any of them, and the exit code is that of the fault."""

from __future__ import annotations

import json
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from ips_pipeline import doctor
from ips_pipeline.cli import ips
from ips_pipeline.doctor import State
from ips_pipeline.errors import IpsError
from ips_pipeline.measures import reference
from ips_pipeline.quality import checks, validate
from ips_pipeline.sources import sql
from ips_pipeline.store import ledger

NOW = datetime(2026, 9, 10, 9, tzinfo=UTC)
PASSWORD = "correct-horse"  # noqa: S105 - planted, to be found nowhere
SITE = """\
name = "A trust"
data = "data"
reference = "reference"
calendar = "calendar.csv"
outbox = "outbox"
sources.epr = {{ kind = "sql", url = {{ file = "epr_url" }} }}
sources.exports = {{ kind = "files", folder = "exports" }}
providers = [
  {{ code = "RXA", name = "One", source = "epr", mapping = "map.yaml" }},
  {{ code = "RXB", name = "Two", source = "exports", mapping = "map.yaml" }},
]
{more}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site with nothing wrong."""
    for name in ("IPS_DATA", "IPS_SECRETS", "IPS_SITE", "AIRFLOW_HOME"):
        monkeypatch.delenv(name, raising=False)
    for folder in ("reference", "exports", "secrets", "data/restricted", "data/releases"):
        (tmp_path / folder).mkdir(parents=True, mode=0o700)
    for path in (tmp_path / "data" / "restricted", tmp_path / "data" / "releases"):
        path.chmod(0o700)
    sqlite3.connect(tmp_path / "epr.sqlite").close()
    (tmp_path / "secrets" / "epr_url").write_text("sqlite:///epr.sqlite", encoding="utf-8")
    (tmp_path / "secrets" / "epr_url").chmod(0o600)
    (tmp_path / "map.yaml").write_text(mapping(), encoding="utf-8")
    for name in {*reference.FILES, *validate.LISTS, *checks.LISTS}:
        columns = reference.FILES[name].columns if name in reference.FILES else ("code",)
        (tmp_path / "reference" / f"{name}.csv").write_text(",".join(columns) + "\n", encoding="utf-8")
    windows = [("2026-08-21", "2026-09-17"), ("2026-09-21", "2026-10-20"), ("2026-10-21", "2026-11-20"), ("2026-11-21", "2026-12-20")]
    lines = [f"{opens},{closes},final,made up" for opens, closes in windows]
    (tmp_path / "calendar.csv").write_text("\n".join(["opens,closes,state,source", *lines]) + "\n", encoding="utf-8")
    settle(tmp_path)
    return tmp_path


def mapping() -> str:
    from ips_pipeline.mhsds import standard
    from ips_pipeline.sources.mapping import REQUIRED_TABLES

    known = standard.load()
    text = "inputs: {}\ntables:\n"
    for table in REQUIRED_TABLES:
        about = known.table(table)
        columns = [name for name in about.elements if about.field(name).mandation == "M"]
        text += f"  {about.name}:\n    columns:\n" + "".join(f"      {name}: {{expression: \"'1'\"}}\n" for name in columns)
    return text


def settle(home: Path, more: str = "", was: str = "", now: str = "") -> None:
    (home / "SITE.toml").write_text(SITE.format(more=more).replace(was, now) if was else SITE.format(more=more), encoding="utf-8")


def found(home: Path, **environment: str) -> dict[str, doctor.Check]:
    return {check.name: check for check in doctor.examine(home / "SITE.toml", clock=lambda: NOW, environment=environment)}


def test_a_site_with_nothing_wrong_is_ok_throughout(home: Path) -> None:
    told = found(home)
    assert {name: check.found for name, check in told.items() if check.state is not State.OK} == {}
    assert told["driver epr"].found == "sqlite"
    assert doctor.exit_code(list(told.values())) == 0


def harm_settings(home: Path) -> None:
    settle(home, "colour = 'red'")


def harm_mapping(home: Path) -> None:
    (home / "map.yaml").write_text("tables: {}\n", encoding="utf-8")


def harm_driver(home: Path) -> None:
    (home / "secrets" / "epr_url").write_text(f"nosuchdatabase://me:{PASSWORD}@localhost/epr", encoding="utf-8")


def harm_secret(home: Path) -> None:
    (home / "secrets" / "epr_url").unlink()


def harm_database(home: Path) -> None:
    (home / "epr.sqlite").unlink()


def harm_folder(home: Path) -> None:
    (home / "exports").rmdir()


def harm_permissions(home: Path) -> None:
    (home / "data" / "restricted" / "landing").mkdir(mode=0o755)
    (home / "data" / "restricted" / "landing").chmod(0o755)


def harm_reference(home: Path) -> None:
    (home / "reference" / "geography.csv").write_text("SubICB\n", encoding="utf-8")


def harm_calendar(home: Path) -> None:
    (home / "calendar.csv").write_text("opens,closes\n", encoding="utf-8")


def harm_ledger(home: Path) -> None:
    ledger.append(home / "data" / "restricted" / "ledger", "landed", {}, clock=lambda: NOW)
    path = home / "data" / "restricted" / "ledger" / ledger.LEDGER
    path.write_bytes(path.read_bytes().replace(b"landed", b"copied"))


def harm_clock(home: Path) -> None:
    ledger.append(home / "data" / "restricted" / "ledger", "landed", {}, clock=lambda: NOW.replace(hour=11))


def harm_template(home: Path) -> None:
    settle(home, "template = 'idb.accdb'")


def harm_copies(home: Path) -> None:
    settle(home, "publish = { copy_to = 'nosuch://bucket/prefix' }")


@pytest.mark.parametrize(
    ("harm", "name", "code", "next_step"),
    [
        (harm_settings, "settings", 2, "remove it"),
        (harm_mapping, "mapping map.yaml", 2, "map at least"),
        (harm_driver, "driver epr", 2, "install the extra"),
        (harm_secret, "driver epr", 2, "put it there"),
        (harm_database, "source epr", 11, "correct the url"),
        (harm_folder, "source exports", 11, "check that it is mounted"),
        (harm_permissions, "permissions restricted", 2, "chmod -R go-rwx"),
        (harm_reference, "reference files", 11, "it needs SubICB, SubICBName"),
        (harm_calendar, "calendar", 2, "it needs opens"),
        (harm_ledger, "ledger", 11, "compare it with a copy"),
        (harm_clock, "clock", 20, "set the machine's clock"),
        (harm_template, "hand-over", 11, "correct template"),
        (harm_copies, "copies", 2, "correct copy_to"),
    ],
)
def test_a_fault_is_told_with_the_next_step_and_the_exit_code_of_its_class(home: Path, harm: object, name: str, code: int, next_step: str) -> None:
    harm(home)  # type: ignore[operator]
    told = found(home)
    assert (told[name].state, told[name].exit_code) == (State.FAULT, code)
    assert next_step in told[name].found
    assert "\n" not in told[name].found and PASSWORD not in str(told)


def test_a_driver_that_is_missing_spares_the_attempt_to_connect(home: Path) -> None:
    harm_driver(home)
    assert "source epr" not in found(home)


def test_what_stops_nothing_is_a_warning(home: Path) -> None:
    (home / "reference" / "minimum_wage.csv").unlink()
    (home / "calendar.csv").write_text("opens,closes,state,source\n", encoding="utf-8")
    (home / "secrets" / "epr_url").chmod(0o644)
    (home / "data" / "releases").rmdir()
    settle(home, was='outbox = "outbox"\n')
    told = found(home)
    warned = {name for name, check in told.items() if check.state is State.WARNING}
    assert warned == {"reference files", "calendar", "permissions secrets", "permissions releases", "hand-over"}
    assert "minimum_wage" in told["reference files"].found
    assert "2026-08, 2026-09, 2026-10, 2026-11" in told["calendar"].found
    assert doctor.exit_code(list(told.values())) == 0


@pytest.mark.parametrize("place", ["SITE.toml", "map.yaml", "secrets", "data"])
def test_what_every_account_may_write_is_a_fault(home: Path, place: str) -> None:
    (home / place).chmod((home / place).stat().st_mode | 0o002)
    told = found(home)["permissions settings"]
    assert (told.state, told.exit_code) == (State.FAULT, 2)
    assert told.found.endswith(f"chmod o-w {home / place}")


@pytest.mark.parametrize(("zone", "mode"), [("restricted", 0o750), ("restricted", 0o701), ("releases", 0o755)])
def test_a_zone_of_the_data_root_that_is_open_to_others_is_a_fault(home: Path, zone: str, mode: int) -> None:
    (home / "data" / zone).chmod(mode)
    told = found(home)[f"permissions {zone}"]
    assert (told.state, told.exit_code) == (State.FAULT, 2)
    assert f"chmod -R go-rwx {home / 'data' / zone}" in told.found


def test_each_secret_that_others_may_read_is_named_and_never_shown(home: Path) -> None:
    settle(home, was='url = { file = "epr_url" }', now='url = "postgresql://me@localhost/epr", password = { file = "epr_password" }')
    (home / "secrets" / "epr_password").write_text(PASSWORD, encoding="utf-8")
    for mode in (0o640, 0o604):
        (home / "secrets" / "epr_password").chmod(mode)
        told = {check.name: check for check in doctor.examine(home / "SITE.toml", clock=lambda: NOW, environment={}, patience=0.01)}
        assert told["permissions secrets"].state is State.WARNING
        assert f"chmod go-rwx {home / 'secrets' / 'epr_password'}" in told["permissions secrets"].found
        assert PASSWORD not in str(told)


@pytest.mark.parametrize(
    ("free", "state"), [(doctor.LITTLE_DISK - 1, State.FAULT), (doctor.LITTLE_DISK, State.WARNING), (doctor.SCARCE_DISK, State.OK)]
)
def test_little_disk_is_told_before_a_run_fails_of_it(home: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: State) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: type("Usage", (), {"free": free}))
    assert found(home)["disk"].state is state


def test_a_source_that_does_not_answer_is_not_waited_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "probe", lambda site, name: time.sleep(5))
    told = {check.name: check for check in doctor.examine(home / "SITE.toml", clock=lambda: NOW, environment={}, patience=0.01)}
    assert (told["source epr"].state, told["source epr"].exit_code) == (State.FAULT, 20)


def test_a_source_is_opened_so_that_nothing_can_be_written(home: Path) -> None:
    before = (home / "epr.sqlite").read_bytes()
    found(home)
    assert (home / "epr.sqlite").read_bytes() == before
    assert sorted(path.name for path in (home / "data").rglob("*")) == ["releases", "restricted"]


def test_airflow_is_looked_at_where_its_environment_is(home: Path) -> None:
    dags = Path(doctor.__file__).resolve().parents[1] / "dags"
    whole = {
        "IPS_SITE": str(home / "SITE.toml"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(dags / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_EPR": f"postgres://me:{PASSWORD}@db/epr",
    }
    assert found(home, **whole)["Airflow"].state is State.OK
    for name, value, state in [
        ("IPS_SITE", "/elsewhere/SITE.toml", State.FAULT),
        ("AIRFLOW__CORE__DAGS_FOLDER", str(home), State.FAULT),
        ("AIRFLOW__CORE__PLUGINS_FOLDER", str(home / "none"), State.FAULT),
        ("AIRFLOW__CORE__LOAD_EXAMPLES", "True", State.WARNING),
    ]:
        told = found(home, **{**whole, name: value})["Airflow"]
        assert told.state is state
        assert PASSWORD not in told.found


def test_the_command_prints_a_line_a_check_and_ends_with_the_class_of_the_fault(home: Path) -> None:
    for more in ((), ("--json",)):
        finished = CliRunner().invoke(ips, ["doctor", "--config", str(home / "SITE.toml"), *more])
        assert finished.exit_code == 0, finished.output
    assert {item["check"] for item in json.loads(finished.output)} == set(found(home))
    harm_folder(home)
    finished = CliRunner().invoke(ips, ["doctor", "--config", str(home / "SITE.toml")])
    assert isinstance(finished.exception, IpsError) and finished.exception.exit_code == 11
    assert "source exports" in str(finished.exception)
