"""Measures in words, explanations and comparisons on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ips_pipeline import cli

CASE = Path(__file__).resolve().parents[1] / "conformance" / "case-small"
REMINDER = "This output holds patient identifiers: keep it in the restricted zone"


@dataclass(frozen=True)
class Finished:
    """How a command ended and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


Ips = Callable[..., Finished]


@pytest.fixture
def ips(capsys: pytest.CaptureFixture[str]) -> Ips:
    """Run a command in this process; a process of its own for each would cost seconds."""

    def run(*arguments: str | Path) -> Finished:
        code = cli._answer([str(argument) for argument in arguments])
        written = capsys.readouterr()
        return Finished(code, written.out, written.err)

    return run


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Case-small, measured for August with its evidence."""
    out = tmp_path_factory.mktemp("release")
    where = ("--submissions", CASE / "submissions", "--reference", CASE / "reference")
    code = cli._answer([str(item) for item in ("measures", *where, "--period", "2026-08", "--out", out, "--evidence", out / "evidence")])
    assert code == 0
    return out


def test_measures_are_listed(ips: Ips) -> None:
    finished = ips("measures", "list")
    assert finished.returncode == 0
    lines = finished.stdout.splitlines()
    assert lines[0].split()[:2] == ["MHS116", "count"]
    assert any(line.startswith("Caseload ") for line in lines)


def test_a_measure_is_shown(ips: Ips) -> None:
    finished = ips("measures", "show", "mhs116")
    assert finished.returncode == 0
    assert finished.stdout.startswith("MHS116  Number of referrals that accessed")
    unknown = ips("measures", "show", "MHS117")
    assert unknown.returncode == 2
    assert unknown.stderr.startswith("ips: There is no measure 'MHS117'; did you mean MHS116 or MHS116a")
    assert unknown.stderr.count("\n") == 1


def test_computing_still_asks_for_what_it_needs(ips: Ips) -> None:
    finished = ips("measures", "--submissions", CASE / "submissions")
    assert finished.returncode == 2
    assert "Missing option '--reference'" in finished.stderr


def test_evidence_is_for_its_owner_only(release: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in (release / "evidence").iterdir()} == {0o600}


def test_a_measure_is_explained(ips: Ips, release: Path) -> None:
    finished = ips("explain", "MHS116", "--provider", "RXA", "--period", "2026-08", "--evidence", release / "evidence", "--limit", "1")
    assert finished.returncode == 0
    assert finished.stderr.strip() == REMINDER
    lines = finished.stdout.splitlines()
    assert lines[:2] == ["     21 counted, amounting to 21", "     18 not counted, amounting to 0: no attended direct contact"]
    assert lines[-1].endswith("more rows; see all with --out FILE.csv, or raise --limit")


def test_near_misses_as_json(ips: Ips, release: Path) -> None:
    finished = ips("explain", "MHS116", "--period", "2026-08", "--evidence", release / "evidence", "--near-only", "--json")
    held = json.loads(finished.stdout)
    assert {row["verdict"] for row in held["rows"]} == {"not counted"}
    assert sum(line["units"] for line in held["summary"]) == len(held["rows"])


def test_a_referral_is_explained(ips: Ips, release: Path) -> None:
    finished = ips("explain", "--referral", "000005A", "--provider", "RXA", "--period", "2026-08", "--evidence", release / "evidence")
    assert finished.returncode == 0
    assert any(line.startswith("MHS116 ") and "counted (2026-08; referral RXA000005A)" in line for line in finished.stdout.splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["MHS116"], "Give either --config SITE.toml or --evidence DIR"),
        (["--referral", "1", "--evidence", "."], "A referral id means something only at its provider; add --provider ODS"),
        (["--evidence", "."], "Give either a measure, such as MHS116, or a referral with --referral and --provider"),
        (["MHS116", "--evidence", ".", "--level", "1"], "A level belongs to a breakdown; add --breakdown, such as --breakdown Gender"),
    ],
)
def test_wrong_usage_is_one_line(ips: Ips, arguments: list[str], message: str) -> None:
    finished = ips("explain", "--period", "2026-08", *arguments)
    assert finished.returncode == 2
    assert finished.stderr == f"ips: {message}\n"


def test_a_release_does_not_differ_from_itself(ips: Ips, release: Path, tmp_path: Path) -> None:
    finished = ips("diff", release, release, "--out", tmp_path / "out")
    assert finished.returncode == 0, finished.stderr
    assert "0 values of 0 measures differ" in finished.stdout
    assert (tmp_path / "out" / "summary.csv").read_text() == "measure_id,months,change,cause,units\n"


def test_a_release_that_is_not_there_is_one_line(ips: Ips, release: Path) -> None:
    finished = ips("diff", release, "2026-07")
    assert finished.returncode == 2
    assert finished.stderr.startswith("ips: 2026-07 is not a folder; give one, or add --config SITE.toml")
