"""Planted people must be found nowhere outside the files of patient data: not on the screen, in a manifest, a report or a release.

The runs go through the command line in processes of their own, so that everything a process prints is seen: a run that works, and
one that fails in each stage because of a canary's own record.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ips_pipeline import flows, settings
from ips_pipeline.publish import dataset
from ips_pipeline.sources.madeup import canaries, periods
from ips_pipeline.store import duck

CANARIES = [value.encode() for value in canaries()]
MONTH = periods()[-3]

#: One provider of each shape of source: a database, CSV files, Parquet files.
SHAPES = ("--provider", "MU1", "--provider", "MU2", "--provider", "MU3")

#: Files of patient data in the restricted zone; every other file must be free of patients' values.
PATIENT_FILES = {".parquet", ".sqlite", ".xlsx"}
PATIENT_REPORTS = {"validations.csv", "data_quality.csv", "operator.log"}


def ips(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", "from ips_pipeline.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, env={**os.environ, "PYTHONUNBUFFERED": "1"})


def found(content: bytes) -> list[bytes]:
    return [value for value in CANARIES if value in content]


def assert_silent(finished: subprocess.CompletedProcess[bytes]) -> None:
    assert not found(finished.stdout + finished.stderr)
    assert b"Traceback" not in finished.stderr


def assert_clean(folder: Path) -> None:
    for path in (item for item in folder.rglob("*") if item.is_file()):
        if path.suffix not in PATIENT_FILES and path.name not in PATIENT_REPORTS:
            assert not found(path.read_bytes()), f"a planted value is in {path.relative_to(folder)}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> settings.Site:
    made, _ = flows.make_up_site(tmp_path_factory.mktemp("canaries"))
    return made


def test_the_canaries_are_there_to_be_found(site: settings.Site) -> None:
    held = b"".join(path.read_bytes() for path in (site.file.parent / "trusts").rglob("*") if path.is_file())
    assert len(found(held)) > len(CANARIES) / 2


def test_a_run_that_works(site: settings.Site) -> None:
    finished = ips("run", "--config", site.file, "--period", MONTH, *SHAPES)
    assert finished.returncode == 0, finished.stderr
    assert_silent(finished)
    assert_clean(site.data)
    landed = b"".join(path.read_bytes() for path in (site.restricted / "landing").rglob("*.parquet"))
    assert found(landed), "the canaries did not reach the pipeline, so the test proves nothing"
    told = [json.loads(line) for line in (site.lineage / f"{MONTH}.jsonl").read_text().splitlines()]
    jobs = {
        name: [event["eventType"] for event in told if event["job"]["name"] == name] for name in ("extract.MU1", "validate.MU2", "measure", "publish")
    }
    assert set(map(tuple, jobs.values())) == {("START", "COMPLETE")}
    assert str(site.data) not in json.dumps(told)
    for path in site.data.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, f"{path} can be read by others"


def test_a_published_release_holds_no_planted_value_even_in_parquet(site: settings.Site) -> None:
    release = flows.release(site, MONTH).path
    with duck.session(read=[release]) as connection:
        for path in release.rglob("*.parquet"):
            text = connection.execute(f"SELECT string_agg(CAST(columns(*) AS VARCHAR), ' ') FROM read_parquet('{path}')").fetchone()
            assert not found(repr(text).encode()), path.name


@pytest.mark.parametrize("disclosure", ["published", "local"])
def test_a_release_holds_only_what_may_be_published(site: settings.Site, disclosure: str) -> None:
    """Exact small counts stay in the restricted zone, whichever rule the site chose; the two rules are two releases."""
    chosen = site.model_copy(update={"options": site.options.model_copy(update={"disclosure": disclosure})})
    flows.measure(chosen, MONTH)
    release, evidence = flows.release(chosen, MONTH).path, flows.evidence_in_force(chosen, MONTH).parent
    held = {path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_file()}
    final = {name for name in held if name.startswith("publication/")}
    parts = {name for name in held if name.startswith("measures/period=")}
    described = {"README.txt", "LICENCE.txt", "SHA256SUMS", "datapackage.json", *dataset.DICTIONARY}
    described |= {f"{name}-metadata.json" for name in held if name.endswith(".csv")}
    pages = {name for name in held if name.endswith(".html")}
    assert {"index.html", "definitions.html", "providers/MU1.html"} <= pages
    assert held - final - parts - described - pages == {"manifest.json", "measures.csv", "measures.parquet"}
    assert parts and described <= held
    assert len([name for name in final if name.endswith(".csv")]) == (disclosure == "published")
    header = (release / "measures.csv").read_text(encoding="utf-8").partition("\n")[0]
    assert header.split(",") == dataset.schema().names, "release.yaml describes other columns than are released"
    assert not any("_RAW_" in name for name in final)
    assert {path.name for path in (evidence / "exact").iterdir()} == {"publication", "dashboard.csv", "measures.parquet"}
    with duck.session(read=[release]) as connection:
        rows = f"FROM read_parquet('{release / 'measures.parquet'}') WHERE disclosure <> 'not evaluated'"
        variants = {variant for (variant,) in connection.execute(f"SELECT DISTINCT variant {rows}").fetchall()}
        assert variants == ({"local", "published"} if disclosure == "published" else {"local"})
        small = connection.execute(f"SELECT count(*) {rows} AND variant = 'local' AND (numerator % 5 <> 0 OR disclosure = 'secondary')").fetchone()
        assert small == (0,)
    manifest = (release / "manifest.json").read_text(encoding="utf-8")
    assert "mhs116" not in manifest and "near_misses" not in manifest


def test_a_run_that_fails_in_the_extract_on_a_planted_code(tmp_path: Path) -> None:
    made, _ = flows.make_up_site(tmp_path)
    epr = next((made.file.parent / "trusts").rglob("*.sqlite"))
    with sqlite3.connect(epr) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        # Every column of every table gets a planted value, so whichever the mapping reads first breaks on it.
        for table in tables:
            for _, column, *_ in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
                if column.lower().endswith(("sex", "gender", "status", "source", "type", "mechanism", "outcome", "medium")):
                    connection.execute(f'UPDATE "{table}" SET "{column}" = ?', [CANARIES[3].decode()])
    finished = ips("run", "--config", made.file, "--period", MONTH, "--provider", epr.parent.name)
    assert finished.returncode == 11, finished.stderr
    assert_silent(finished)
    assert_clean(made.data)


def test_a_run_that_fails_in_validation_on_a_planted_nhs_number(site: settings.Site) -> None:
    rejected = ips("run", "--config", site.file, "--period", periods()[-1], "--provider", "V9Z9Z")
    assert rejected.returncode == 13, rejected.stderr
    assert b"MHSREJ006a" in rejected.stderr
    assert_silent(rejected)
    assert_clean(site.data)


def test_a_run_that_fails_while_measuring(site: settings.Site) -> None:
    broken = site.reference / "gp_practices.csv"
    kept = broken.read_bytes()
    broken.write_bytes(kept + b"CANARYPAT0,9999900003,Canarysurname0\n")
    try:
        finished = ips("run", "--config", site.file, "--period", MONTH, "--provider", "MU2")
    finally:
        broken.write_bytes(kept)
    assert finished.returncode == 11, finished.stderr
    assert_silent(finished)
    assert_clean(site.data)


def test_a_run_that_fails_while_publishing(site: settings.Site) -> None:
    """The shelf of the release is taken by a file, so the release cannot be put in force."""
    shelf = site.releases(periods()[0])
    shelf.parent.mkdir(parents=True, exist_ok=True)
    shelf.write_text("in the way")
    finished = ips("run", "--config", site.file, "--period", periods()[0], "--provider", "MU2")
    assert finished.returncode == 15, finished.stderr
    assert_silent(finished)
    shelf.unlink()


def test_validating_a_folder_says_nothing_of_its_people(site: settings.Site, tmp_path: Path) -> None:
    landed = next((site.restricted / "landing").glob(f"MU1/{MONTH}/*/"))
    finished = ips("validate", landed, "--reference", site.reference, "--out", tmp_path / "out")
    assert_silent(finished)
    assert_clean(tmp_path / "out")
