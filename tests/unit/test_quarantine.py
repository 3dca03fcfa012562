"""ips quarantine: the rejected rows of a month by table and code, the rows themselves for the restricted zone alone, and the month run again."""

from __future__ import annotations

import csv
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from ips_pipeline import flows, quarantine, retention, settings
from ips_pipeline.cli import ips
from ips_pipeline.errors import InputError, IpsError, UsageError
from ips_pipeline.settings import Keep
from ips_pipeline.store import stages

MONTH = ("RXA", "2026-08")
SITE = """\
name = "A trust"
data = "data"
reference = "reference"
sources.exports = { kind = "files", folder = "exports" }
providers = [
  { code = "RXA", name = "One", source = "exports", mapping = "map.yaml" },
  { code = "RXB", name = "Two", source = "exports", mapping = "map.yaml" },
]
"""
#: Three people and three referrals; the second person is refused for two reasons, and the referral of that person with it.
PEOPLE = {"LocalPatientID": ["A1", "A2", "A3"], "NHSNumber": ["9990000018", "9990000026", "9990000034"]}
REFERRALS = {"ServiceRequestID": ["R1", "R2", "R3"], "LocalPatientID": ["A1", "A2", "A3"]}
FINDINGS = [
    ("MHS001MPI", 2, "MHS00145", "group"),
    ("MHS001MPI", 2, "MHS00169", "record"),
    ("MHS001MPI", 3, "MHS00170", "warning"),
    ("MHS101Referral", 1, "MHS10150", "warning"),
    ("MHS101Referral", 2, "MHS10101", "group"),
]
REJECTED = [("MHS001MPI", 2), ("MHS101Referral", 2), ("MHS101Referral", 3)]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> settings.Site:
    monkeypatch.delenv("IPS_DATA", raising=False)
    (tmp_path / "reference").mkdir()
    (tmp_path / "map.yaml").write_text("tables: {}\n", encoding="utf-8")
    (tmp_path / "SITE.toml").write_text(SITE, encoding="utf-8")
    return settings.load(tmp_path / "SITE.toml")


def judge(site: settings.Site, findings: list[tuple[Any, ...]] = FINDINGS, rejected: list[tuple[Any, ...]] = REJECTED) -> None:
    """Put a landed month and its findings in force, as extraction and validation do."""

    def land(folder: Path) -> Mapping[str, Any]:
        pq.write_table(pa.table(PEOPLE), folder / "MHS001MPI.parquet")
        pq.write_table(pa.table(REFERRALS), folder / "MHS101Referral.parquet")
        return {}

    def find(folder: Path) -> Mapping[str, Any]:
        for name, heading, rows in (
            ("findings.csv", ("table", "row", "code", "level"), findings),
            ("rejected_rows.csv", ("table", "row"), rejected),
        ):
            with (folder / name).open("w", encoding="utf-8", newline="") as handle:
                csv.writer(handle).writerows([heading, *rows])
        return {"file_codes": []}

    landed = stages.write(site.landing(*MONTH), land, staging=site.staging)
    stages.write(site.findings(*MONTH), find, staging=site.staging, inputs={"landing": landed.identity})


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def ask(site: settings.Site, *arguments: str) -> Result:
    return CliRunner().invoke(ips, ["quarantine", arguments[0], "--config", str(site.file), *arguments[1:]])


IT = ("--provider", "RXA", "--period", "2026-08")


def test_rejected_rows_are_counted_by_table_and_by_the_rules_that_reject(site: settings.Site) -> None:
    judge(site)
    held = [(item.table, item.code, item.level, item.rows) for item in quarantine.counts(site)]
    assert held == [
        ("MHS001MPI", None, None, 1),
        ("MHS001MPI", "MHS00145", "group", 1),
        ("MHS001MPI", "MHS00169", "record", 1),
        ("MHS101Referral", None, None, 2),
        ("MHS101Referral", "MHS10101", "group", 1),
    ]
    assert quarantine.counts(site, "RXB") == []
    assert quarantine.counts(site, "RXA", "2026-08") == quarantine.counts(site, "RXA")
    with pytest.raises(InputError, match="RXB 2026-08 has not been validated"):
        quarantine.counts(site, "RXB", "2026-08")
    with pytest.raises(UsageError):
        quarantine.counts(site, "RXC")


def test_the_list_shows_no_value_of_a_row(site: settings.Site) -> None:
    judge(site)
    for more in ((), ("--json",)):
        said = ask(site, "list", *more)
        assert said.exit_code == 0
        assert "MHS00145" in said.output and "999000" not in said.output and "A2" not in said.output
    assert json.loads(said.output)[0] == {"provider": "RXA", "period": "2026-08", "table": "MHS001MPI", "code": None, "level": None, "rows": 1}


def test_nothing_rejected_is_said(site: settings.Site) -> None:
    assert ask(site, "list").output == "No row is rejected\n"


def test_an_export_has_the_rows_as_they_landed_with_their_codes_for_the_owner_only(site: settings.Site) -> None:
    judge(site)
    made = quarantine.export(site, *MONTH)
    assert made.path.is_relative_to(site.restricted)
    people, referrals = rows(made.path / "MHS001MPI.csv"), rows(made.path / "MHS101Referral.csv")
    assert [(row["row"], row["codes"], row["LocalPatientID"], row["NHSNumber"]) for row in people] == [("2", "MHS00145 MHS00169", "A2", "9990000026")]
    # A row may be lost with another and break no rule itself.
    assert [(row["row"], row["codes"], row["ServiceRequestID"]) for row in referrals] == [("2", "MHS10101", "R2"), ("3", "", "R3")]
    assert made.manifest["facts"] == {"rows": 3, "tables": {"MHS001MPI": 1, "MHS101Referral": 2}}
    for path in (made.path, *made.path.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    assert not quarantine.export(site, *MONTH).changed


def test_the_command_names_the_folder_and_no_value(site: settings.Site) -> None:
    judge(site)
    said = ask(site, "export", *IT)
    assert "3 rejected rows in" in said.output and "999000" not in said.output
    told = json.loads(ask(site, "export", *IT, "--json").output)
    assert (told["rows"], Path(told["path"]).parent) == (3, site.quarantine(*MONTH))


def test_what_landed_must_be_what_was_judged(site: settings.Site) -> None:
    judge(site)
    landed = stages.current(site.landing(*MONTH))
    assert landed is not None
    (landed.path / "MHS001MPI.parquet").write_bytes(b"")
    with pytest.raises(InputError, match=r"MHS001MPI\.parquet is not what its manifest says"):
        quarantine.export(site, *MONTH)
    with pytest.raises(InputError, match="RXB 2026-08 has not been validated"):
        quarantine.export(site, "RXB", "2026-08")


def test_an_export_can_be_purged_although_it_is_the_last_and_made_again(site: settings.Site) -> None:
    judge(site)
    made = quarantine.export(site, *MONTH)
    assert retention.purge(site, retention.plan(site, "quarantine", Keep(days=0)), "worked on") == 1
    assert list(site.quarantine(*MONTH).iterdir()) == []
    assert quarantine.export(site, *MONTH).identity == made.identity


def test_a_replay_extracts_and_validates_with_the_reason_and_compares(site: settings.Site, monkeypatch: pytest.MonkeyPatch) -> None:
    judge(site)
    called: list[object] = []

    def extract(given: settings.Site, provider: str, period: str, *, why: str, by: str | None) -> dict[str, Any]:
        called.append((provider, period, why, by))
        return {}

    def validate(given: settings.Site, provider: str, period: str) -> dict[str, Any]:
        judge(given, FINDINGS[2:4], [])
        return {"provider": provider, "period": period, "rows_submitted": 6}

    monkeypatch.setattr(flows, "extract", extract)
    monkeypatch.setattr(flows, "validate", validate)
    said = ask(site, "replay", *IT, "--why", "mended at source", "--by", "an operator")
    assert said.output == "RXA 2026-08: 3 rows were rejected before, 0 are now, of 6\n"
    assert called == [(*MONTH, "mended at source", "an operator")]


def test_a_replay_needs_a_reason(site: settings.Site) -> None:
    assert ask(site, "replay", *IT).exit_code == 2
    judge(site)
    refused = ask(site, "replay", *IT, "--why", " ")
    assert isinstance(refused.exception, IpsError) and refused.exception.exit_code == 2
