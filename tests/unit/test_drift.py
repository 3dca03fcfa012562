"""What has changed in a source since its earlier months, and what becomes of the month: taken, set aside, stopped."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ips_pipeline import flows, returns, settings
from ips_pipeline.cli import ips
from ips_pipeline.errors import IpsError, UsageError
from ips_pipeline.sources import drift
from ips_pipeline.store import ledger, stages

SITE = """\
name = "A site"
data = "data"
reference = "reference"
sources.exports = { kind = "files", folder = "exports" }
providers = [
  { code = "RXX", name = "A trust", source = "exports", mapping = "rxx.yaml" },
  { code = "RXY", name = "Another", source = "exports", mapping = "rxx.yaml" },
]
"""
MAPPING = """\
unmapped_codes: keep
inputs:
  people: {file: "{provider}/{period}/people.csv"}
  referrals: {file: "{provider}/{period}/referrals.csv"}
tables:
  MHS000Header:
    columns: {OrgIDProvider: {parameter: provider}, ReportingPeriodStartDate: {parameter: period_start}}
  MHS001MPI:
    from: people
    columns: {LocalPatientID: id, Gender: sex, PersonBirthDate: {column: born, format: ["%Y-%m-%d", "%d/%m/%Y"]}}
  MHS002GP:
    from: people
    columns: {LocalPatientID: id, GMPReg: {value: V81999}}
  MHS101Referral:
    from: referrals
    columns: {ServiceRequestID: ref, LocalPatientID: person, ReferralRequestReceivedDate: received}
"""
MONTHS = ("2026-04", "2026-05", "2026-06", "2026-07", "2026-08")
NOW = ("RXX", "2026-08")

Rows = Sequence[Mapping[str, str]]


def people(count: int = 60, *, born: str = "1980-02-{day:02d}", sex: str | None = None) -> list[dict[str, str]]:
    return [{"id": f"P{number:03d}", "sex": sex or "12"[number % 2], "born": born.format(day=number % 28 + 1)} for number in range(count)]


def referrals(month: str, count: int = 60) -> list[dict[str, str]]:
    return [{"ref": f"R{number:03d}", "person": f"P{number:03d}", "received": f"{month}-{number % 28 + 1:02d}"} for number in range(count)]


def send(home: Path, month: str, name: str, rows: Rows, provider: str = "RXX") -> None:
    path = home / "exports" / provider / month / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four months that are alike have landed of two providers, and the fifth is sent."""
    monkeypatch.delenv("IPS_DATA", raising=False)
    (tmp_path / "reference").mkdir()
    (tmp_path / "SITE.toml").write_text(SITE)
    (tmp_path / "rxx.yaml").write_text(MAPPING)
    for provider in ("RXX", "RXY"):
        for month in MONTHS:
            send(tmp_path, month, "people", people(), provider)
            send(tmp_path, month, "referrals", referrals(month), provider)
    for month in MONTHS[:-1]:
        flows.extract(site(tmp_path), "RXX", month)
    return tmp_path


def site(home: Path, drifts: str = "") -> settings.Site:
    (home / "SITE.toml").write_text(SITE + drifts)
    return settings.load(home / "SITE.toml")


def changes(home: Path, drifts: str = "") -> dict[str, int]:
    return dict(flows.extract(site(home, drifts), *NOW)["drift"])


def ask(home: Path, *words: str) -> Result:
    return CliRunner().invoke(ips, ["drift", *words, "--config", str(home / "SITE.toml")])


def test_a_month_like_the_ones_before_has_not_changed(home: Path) -> None:
    assert changes(home) == {}
    assert ask(home, "list").output == "No source has changed\n"


@pytest.mark.parametrize(
    ("sent", "expected", "named"),
    [
        ([{**row, "ward": "W1"} for row in people()], {"column added": 1}, ("people", "ward", "", "ward")),
        ([{"id": row["id"], "gender": row["sex"], "born": row["born"]} for row in people()], None, ()),
        (people(born="{day:02d}/02/1980"), {"column retyped": 1}, ("people", "born", "yyyy-mm-dd", "dd/mm/yyyy")),
        (people(sex="Z"), {"column retyped": 1, "new code": 1}, ("MHS001MPI", "Gender", "", "Z")),
        ([{**row, "sex": ""} for row in people()], {"empty values": 1}, ("MHS001MPI", "Gender", "0%", "100%")),
        (people(20), {"volume": 2}, ("MHS001MPI", "", "60", "20")),
    ],
)
def test_each_change_is_found_by_its_rule(home: Path, sent: Rows, expected: dict[str, int] | None, named: tuple[str, ...]) -> None:
    send(home, "2026-08", "people", sent)
    if expected is None:
        # A column that the mapping reads cannot be done without.
        with pytest.raises(IpsError, match="the input people has no column sex") as caught:
            changes(home)
        assert caught.value.exit_code == 11
        return
    assert changes(home) == expected
    (found,) = returns.drifts(site(home))
    assert named in [(item.entity, item.item, item.was, item.now) for item in found.findings]
    assert found.state == "taken"
    assert stages.current(site(home).landing(*NOW)) is not None


def test_a_column_that_no_table_reads_goes_or_gets_another_name(home: Path) -> None:
    for month in MONTHS[:-1]:
        send(home, month, "people", [{**row, "ward_code": "W1", "note": "text"} for row in people()])
        flows.extract(site(home), "RXX", month)
    send(home, "2026-08", "people", [{**row, "ward_cd": "W1"} for row in people()])
    assert changes(home) == {"column removed": 1, "column renamed": 1}
    found = {item.change: (item.was, item.now) for item in returns.drifts(site(home))[-1].findings}
    assert found == {"column removed": ("note", ""), "column renamed": ("ward_code", "ward_cd")}


def test_a_few_rows_more_a_code_of_the_list_and_little_history_are_no_findings(home: Path) -> None:
    send(home, "2026-08", "people", [*people(62), {"id": "P999", "sex": "9", "born": "1980-02-01"}])
    assert changes(home) == {}
    for month in ("2026-04", "2026-05"):
        flows.extract(site(home), "RXY", month)
    send(home, "2026-06", "people", people(5), "RXY")
    assert flows.extract(site(home), "RXY", "2026-06")["drift"] == {}


@pytest.mark.parametrize(("rows", "stopped"), [(4, False), (5, True)])
def test_a_required_element_that_a_few_rows_lack_is_left_to_the_rules(home: Path, rows: int, stopped: bool) -> None:
    send(home, "2026-08", "referrals", [{**row, "received": ""} for row in referrals("2026-08", rows)])
    if stopped:
        with pytest.raises(drift.Drifted, match="ReferralRequestReceivedDate"):
            flows.extract(site(home), *NOW)
    else:
        assert drift.LOST not in changes(home)


def test_what_is_frozen_does_not_land_and_can_be_taken_with_a_reason(home: Path) -> None:
    first = flows.extract(site(home), *NOW)
    send(home, "2026-08", "people", [{**row, "ward": "W1", "sex": "1"} for row in people()])
    frozen = '[drift]\nmode = "freeze"\n'
    for _ in range(2):
        with pytest.raises(drift.Drifted, match=r"column added 1.* says freeze, so nothing was taken") as caught:
            flows.extract(site(home, frozen), *NOW)
        assert caught.value.exit_code == 11 and "\n" not in str(caught.value)
    held = site(home, frozen)
    assert [stage.identity for stage in stages.kept(held.landing(*NOW))] == [first["landing"]]
    assert [entry.kind for entry in ledger.about(held.ledger, *NOW)] == ["landed", "stopped"]
    assert json.loads(ask(home, "list", "--json").output)[0]["state"] == "stopped"

    said = ask(home, "accept", "--provider", "RXX", "--period", "2026-08", "--why", "a new column of the supplier")
    assert said.exit_code == 0 and "run the month again" in said.output
    assert flows.extract(held, *NOW)["changed"]
    # What was taken is what later months are compared with.
    assert returns.refused(held, *NOW) is None
    assert flows.extract(held, *NOW)["drift"] == {}


def test_what_is_set_aside_is_kept_beside_what_is_in_force_until_a_person_takes_it(home: Path) -> None:
    first = flows.extract(site(home), *NOW)
    send(home, "2026-08", "people", people(20))
    aside = '[drift.entities]\npeople = "quarantine"\n'
    with pytest.raises(drift.Drifted, match=r"volume 2.* so the landing was set aside"):
        flows.extract(site(home, aside), *NOW)
    held = site(home, aside)
    in_force = stages.current(held.landing(*NOW))
    assert in_force is not None and in_force.identity == first["landing"]
    assert len(stages.kept(held.landing(*NOW))) == 2
    listed = CliRunner().invoke(ips, ["quarantine", "list", "--config", str(held.file)])
    assert listed.stderr == "RXX 2026-08: a landing was set aside, 2 changes at source; see: ips drift list\n"
    done = returns.take_drift(held, *NOW, "a service has closed", by="an analyst")
    in_force = stages.current(held.landing(*NOW))
    assert in_force is not None and in_force.identity == done["landing"] != first["landing"]
    assert [entry.kind for entry in ledger.about(held.ledger, *NOW)] == ["landed", "set aside", "taken", "landed"]
    assert not flows.extract(held, *NOW)["changed"]
    with pytest.raises(UsageError, match="Nothing of RXX 2026-08 is stopped or set aside"):
        returns.take_drift(held, *NOW, "again")


def test_a_source_that_is_mended_ends_what_was_set_aside(home: Path) -> None:
    held = site(home, '[drift]\nmode = "quarantine"\n')
    flows.extract(held, *NOW)
    send(home, "2026-08", "people", people(20))
    with pytest.raises(drift.Drifted):
        flows.extract(held, *NOW)
    send(home, "2026-08", "people", people())
    assert not flows.extract(held, *NOW)["changed"]
    assert returns.refused(held, *NOW) is None
    assert returns.drifts(held) == []


def test_the_mode_of_a_table_stands_over_that_of_the_site(home: Path) -> None:
    send(home, "2026-08", "people", people(sex="Z"))
    modes = '[drift]\nmode = "freeze"\n[drift.entities]\nMHS001MPI = "evolve"\n'
    assert changes(home, modes) == {"column retyped": 1, "new code": 1}
    with pytest.raises(UsageError, match=r"names MHS001MPIx, which the standard does not have \(did you mean MHS001MPI\?\)"):
        changes(home, modes.replace("MPI", "MPIx"))


@pytest.mark.parametrize("mode", ["evolve", "quarantine", "freeze"])
def test_a_required_element_that_is_empty_now_stops_the_month_under_every_mode(home: Path, mode: str) -> None:
    send(home, "2026-08", "referrals", [{**row, "received": ""} for row in referrals("2026-08")])
    held = site(home, f'[drift]\nmode = "{mode}"\n')
    with pytest.raises(drift.Drifted, match=r"requires MHS101Referral.ReferralRequestReceivedDate \(0 of 60 rows, 60 of 60 before\)"):
        flows.extract(held, *NOW)
    assert stages.current(held.landing(*NOW)) is None
    with pytest.raises(UsageError, match="which cannot be taken; mend the source"):
        returns.take_drift(held, *NOW, "we send it all the same")


def test_a_column_that_an_expression_reads_and_is_gone_is_named(home: Path) -> None:
    text = MAPPING.replace("Gender: sex", "Gender: {expression: upper(sex)}")
    (home / "rxx.yaml").write_text(text)
    send(home, "2026-08", "people", [{"id": row["id"], "born": row["born"]} for row in people()])
    with pytest.raises(IpsError, match=r"has no longer people\.sex; mend the source") as caught:
        changes(home)
    assert caught.value.exit_code == 11


def test_a_provider_that_is_stopped_does_not_stop_the_others(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    send(home, "2026-08", "people", people(20))
    judged: list[object] = []
    monkeypatch.setattr(flows, "_judge", lambda given, wanted: [judged.append(month) for month in wanted])
    monkeypatch.setattr(flows, "_refusal", lambda *given: "rejected as a file")
    monkeypatch.setattr(flows, "measure", lambda given, period: {})
    summary = flows.run(site(home, '[drift]\nmode = "freeze"\n'), "2026-08")
    assert judged == [("RXY", "2026-08")]
    assert [item["provider"] for item in summary.stopped] == ["RXX"]


def test_codes_and_people_stay_in_the_restricted_zone(home: Path) -> None:
    send(home, "2026-08", "people", people(sex="SECRETCODE"))
    changes(home)
    said = ask(home, "list")
    assert "new code" in said.output and "SECRETCODE" not in said.output and "P001" not in said.output
    (found,) = returns.drifts(site(home))
    assert "SECRETCODE" not in (found.stage.path / stages.MANIFEST).read_text()
    assert "SECRETCODE" in (found.stage.path / drift.FINDINGS).read_text()
    assert all(path.stat().st_mode & 0o077 == 0 for path in (found.stage.path, *found.stage.path.iterdir()))
