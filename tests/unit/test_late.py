"""What is different between landings: deleted records, merged people, and months that were handed over and have late records now."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ips_pipeline import flows, late, settings
from ips_pipeline.cli import ips
from ips_pipeline.reports.landings import Landed
from ips_pipeline.sources import changes
from ips_pipeline.sources.changes import Counts
from ips_pipeline.store import ledger, stages

SITE = """\
name = "A site"
data = "data"
reference = "reference"
calendar = "calendar.csv"
sources.exports = { kind = "files", folder = "exports" }
providers = [{ code = "RXX", name = "A trust", source = "exports", mapping = "map.yaml" }]
"""
WINDOWS = "opens,closes,state,source\n2026-08-21,2026-09-17,final,entered for the tests\n2026-09-21,2026-10-25,final,entered for the tests\n"
MAPPING = """\
inputs:
  people: {file: people.csv}
  contacts: {file: "{period}.csv"}
tables:
  MHS000Header:
    columns: {OrgIDProvider: {parameter: provider}, DateTimeDatSetCreate: {parameter: as_of}}
  MHS001MPI:
    from: people
    columns: {LocalPatientID: id}
  MHS002GP:
    from: people
    columns: {LocalPatientID: id, GMPReg: practice}
  MHS101Referral:
    from: people
    columns: {ServiceRequestID: ref, LocalPatientID: id}
  MHS201CareContact:
    from: contacts
    columns: {CareContactID: nr, ServiceRequestID: ref, CareContDate: day}
"""
JULY, AUGUST = ("RXX", "2026-07"), ("RXX", "2026-08")
IN_SEPTEMBER = datetime(2026, 9, 10, 9, tzinfo=UTC)

PEOPLE = [{"id": f"P{number}", "ref": f"R{number}", "practice": "V81999"} for number in range(1, 5)]


def contacts(month: str, *numbers: int, moved: int | None = None) -> list[dict[str, str]]:
    return [{"nr": f"C{month[-2:]}{n}", "ref": "R1", "day": f"{month}-{n + (10 if n == moved else 0):02d}"} for n in numbers]


def send(home: Path, name: str, rows: Sequence[Mapping[str, str]]) -> None:
    with (home / "exports" / f"{name}.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> settings.Site:
    monkeypatch.delenv("IPS_DATA", raising=False)
    for folder in ("reference", "exports"):
        (tmp_path / folder).mkdir()
    for name, text in (("SITE.toml", SITE), ("calendar.csv", WINDOWS), ("map.yaml", MAPPING)):
        (tmp_path / name).write_text(text)
    send(tmp_path, "people", PEOPLE)
    send(tmp_path, "2026-07", contacts("2026-07", 1, 2, 3))
    send(tmp_path, "2026-08", contacts("2026-08", 1, 2))
    return settings.load(tmp_path / "SITE.toml")


def home(site: settings.Site) -> Path:
    return site.file.parent


def hand_over(site: settings.Site, provider: str, period: str) -> None:
    """Put on the shelves what a hand-over rests on, and its line into the ledger."""
    landed = stages.current(site.landing(provider, period))
    assert landed is not None

    def put(shelf: Path, inputs: Mapping[str, Any]) -> str:
        return stages.write(shelf, lambda folder: {}, staging=site.staging, inputs=inputs).identity

    accepted = put(site.accepted(provider, period), {"landing": landed.identity})
    package = put(site.package(provider, period), {"accepted": accepted, "findings": "those of the landing"})
    ledger.append(site.ledger, "submitted", {"package": package, "content": f"content of {package}"}, provider=provider, period=period)


def marked(site: settings.Site) -> list[str]:
    return [item.words(site, IN_SEPTEMBER) for item in late.marks(site)]


def changed(site: settings.Site) -> list[tuple[str, ...]]:
    held = stages.current(site.changes(*AUGUST))
    assert held is not None
    with (held.path / changes.CHANGES).open(newline="") as handle:
        return [tuple(row.values()) for row in csv.DictReader(handle)]


def test_a_record_that_vanished_one_that_came_and_one_that_changed_are_counted_and_kept_by_id(site: settings.Site) -> None:
    assert flows.extract(site, *AUGUST)["different"] == {}
    send(home(site), "2026-08", contacts("2026-08", 2, 3, moved=2))
    told = flows.extract(site, *AUGUST)
    assert told["different"] == {"MHS201CareContact": {"added": 1, "changed": 1, "withdrawn": 1, "moved": 0}}
    assert changed(site) == [
        ("MHS201CareContact", "added", "C083", "", ""),
        ("MHS201CareContact", "changed", "C082", "", ""),
        ("MHS201CareContact", "withdrawn", "C081", "", ""),
    ]
    held = stages.current(site.changes(*AUGUST))
    assert held is not None and "C08" not in (held.path / stages.MANIFEST).read_text()
    assert all(path.stat().st_mode & 0o077 == 0 for path in (held.path, *held.path.iterdir()))
    # The same again is different from nothing.
    assert flows.extract(site, *AUGUST)["different"] == {}


def test_what_vanished_is_told_by_the_next_run_when_one_was_killed_after_it_landed(site: settings.Site, monkeypatch: pytest.MonkeyPatch) -> None:
    flows.extract(site, *AUGUST)
    send(home(site), "2026-08", contacts("2026-08", 1))

    def killed(*given: object, **more: object) -> None:
        raise KeyboardInterrupt

    for place in ((changes, "keep"), (flows, "_record")):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(*place, killed)
            flows.extract(site, *AUGUST)
    assert flows.extract(site, *AUGUST)["different"] == {"MHS201CareContact": {"added": 0, "changed": 0, "withdrawn": 1, "moved": 0}}


def test_people_who_were_merged_are_told_by_their_records(site: settings.Site) -> None:
    flows.extract(site, *AUGUST)
    send(home(site), "people", [{**row, "id": "P1"} if row["id"] == "P2" else row for row in PEOPLE])
    told = flows.extract(site, *AUGUST)
    assert told["people_merged"] == 1
    assert told["different"]["MHS101Referral"] == {"added": 0, "changed": 1, "withdrawn": 0, "moved": 1}
    assert told["different"]["MHS001MPI"]["withdrawn"] == 1
    assert ("MHS101Referral", "moved", "R2", "P2", "P1") in changed(site)


def test_a_table_without_a_key_counts_a_changed_row_as_withdrawn_and_added(site: settings.Site) -> None:
    flows.extract(site, *AUGUST)
    send(home(site), "people", [{**row, "practice": "V81998"} if row["id"] == "P2" else row for row in PEOPLE])
    assert flows.extract(site, *AUGUST)["different"] == {"MHS002GP": {"added": 1, "changed": 0, "withdrawn": 1, "moved": 0}}
    assert ("MHS002GP", "added", "P2", "", "") in changed(site)


def test_a_month_that_was_handed_over_is_marked_when_records_come_late_until_it_is_handed_over_again(site: settings.Site) -> None:
    flows.extract(site, *JULY)
    hand_over(site, *JULY)
    first = stages.current(site.landing(*JULY))
    flows.extract(site, *AUGUST)
    assert marked(site) == []
    send(home(site), "2026-07", contacts("2026-07", 2, 3, 4, 5, moved=3))
    for _ in range(2):
        flows.extract(site, *AUGUST)
    assert marked(site) == [
        "2026-07: Care Contact: 2 added, 1 changed, 1 withdrawn, since the return was handed over; the window closes on 17 September 2026"
    ]
    assert [entry.kind for entry in ledger.about(site.ledger, *JULY)] == ["landed", "submitted", "late"]
    # Nothing of the month itself has changed.
    assert stages.current(site.landing(*JULY)) == first

    again = flows.extract(site, *JULY, why="contacts came late")
    (mark,) = late.marks(site)
    assert mark.landing == again["landing"]
    hand_over(site, *JULY)
    assert late.marks(site) == []
    flows.extract(site, *AUGUST)
    assert late.marks(site) == []


def test_a_mark_goes_when_the_source_is_as_it_was_handed_over(site: settings.Site) -> None:
    flows.extract(site, *JULY)
    hand_over(site, *JULY)
    send(home(site), "2026-07", contacts("2026-07", 1, 2))
    flows.extract(site, *AUGUST)
    assert len(marked(site)) == 1
    send(home(site), "2026-07", contacts("2026-07", 1, 2, 3))
    flows.extract(site, *AUGUST)
    assert marked(site) == []


def test_the_window_that_is_left_is_told(site: settings.Site) -> None:
    flows.extract(site, *JULY)
    hand_over(site, *JULY)
    send(home(site), "2026-07", contacts("2026-07", 1, 2))
    flows.extract(site, *AUGUST)
    (mark,) = late.marks(site)
    said = [mark.words(site, datetime(2026, month, day, tzinfo=UTC)).partition("; ")[2] for month, day in ((9, 19), (11, 1))]
    assert said[0] == "the window opens on 21 September 2026 and closes on 25 October 2026"
    assert said[1] == "the last window for it is closed"


def test_the_report_of_a_month_is_told_what_is_different_and_which_months_to_send_again(site: settings.Site) -> None:
    flows.extract(site, *JULY)
    assert flows._landings(site, [JULY])[JULY] == Landed(True, None, [])
    hand_over(site, *JULY)
    flows.extract(site, *AUGUST)
    send(home(site), "2026-07", contacts("2026-07", 1, 2, 3, 4))
    send(home(site), "2026-08", contacts("2026-08", 1, 2, 3))
    flows.extract(site, *AUGUST)
    told = flows._landings(site, [JULY, AUGUST])
    assert told[JULY].first and told[AUGUST].before is not None
    assert told[AUGUST].before.tables == {"MHS201CareContact": Counts(1, 0, 0, 0)}
    (again,) = told[AUGUST].again
    assert (again.different.period, again.different.tables, again.run) == ("2026-07", {"MHS201CareContact": Counts(1, 0, 0, 0)}, False)
    assert again.windows is not None and all(opens < closes for opens, closes in again.windows)
    assert [item.records.read_text().splitlines()[1:] for _, _, item in told[AUGUST].records() if item.records] == [
        ["MHS201CareContact,added,C083,,"],
        ["MHS201CareContact,added,C074,,"],
    ]
    # What a stage is named by holds neither a record nor a path.
    named = json.dumps(told[AUGUST].facts())
    assert "C08" not in named and str(home(site)) not in named

    flows.extract(site, *JULY, why="contacts came late")
    told = flows._landings(site, [JULY, AUGUST])
    assert [item.run for item in (*told[JULY].again, *told[AUGUST].again)] == [True, True]
    assert told[JULY].before is not None and told[JULY].before.tables == {"MHS201CareContact": Counts(1, 0, 0, 0)}
    hand_over(site, *JULY)
    assert flows._landings(site, [AUGUST])[AUGUST].again == []


def test_a_landing_that_comes_back_is_compared_with_the_one_between(site: settings.Site) -> None:
    for numbers in ((1, 2), (1, 2, 3), (1, 2)):
        send(home(site), "2026-08", contacts("2026-08", *numbers))
        flows.extract(site, *AUGUST)
    found = flows._landings(site, [AUGUST])[AUGUST].before
    assert found is not None and found.tables == {"MHS201CareContact": Counts(0, 0, 1, 0)}


def test_months_that_were_not_handed_over_and_those_too_far_back_are_not_looked_at(site: settings.Site) -> None:
    flows.extract(site, *JULY)
    send(home(site), "2026-07", contacts("2026-07", 1))
    flows.extract(site, *AUGUST)
    hand_over(site, *JULY)
    send(home(site), "2026-07", contacts("2026-07", 1, 2))
    none = site.model_copy(update={"late_months": 0})
    flows.extract(none, *AUGUST)
    assert late.marks(site) == []


def test_a_month_that_cannot_be_read_any_more_is_told_and_does_not_stop_the_one_that_is_run(site: settings.Site) -> None:
    flows.extract(site, *JULY)
    hand_over(site, *JULY)
    (home(site) / "exports/2026-07.csv").unlink()
    told = flows.extract(site, *AUGUST)
    assert set(told["late_unread"]) == {"2026-07"} and "there is no file" in told["late_unread"]["2026-07"]
    assert told["changed"]


def test_calendar_and_history_show_the_mark_to_people_and_programs(site: settings.Site) -> None:
    flows.extract(site, *JULY)
    hand_over(site, *JULY)
    send(home(site), "2026-07", contacts("2026-07", 1, 2, 3, 4))
    flows.extract(site, *AUGUST)
    at = ["--config", str(site.file)]

    def ask(*words: str) -> str:
        said = CliRunner().invoke(ips, [*words, *at])
        assert said.exit_code == 0, said.output
        return said.output

    window = "the window closes on 17 September 2026"
    assert f"RXX  2026-07: Care Contact: 1 added, since the return was handed over; {window}" in ask("calendar", "--on", "2026-09-10")
    shown = json.loads(ask("calendar", "--on", "2026-09-10", "--json"))
    found = {item["period"]: item["late"] for item in shown}
    assert found["2026-07"]["tables"] == {"MHS201CareContact": {"added": 1, "changed": 0, "withdrawn": 0}}
    assert found["2026-08"] is None
    assert "2026-07: Care Contact: 1 added, since" in ask("history", "--provider", "RXX", "--period", "2026-07")
    (mark,) = [item for item in json.loads(ask("history", "--provider", "RXX", "--period", "2026-07", "--json")) if item["stage"] == "late"]
    assert mark["identity"] == late.marks(site)[0].landing
