"""Fetching only what has changed: the same landing as when everything is fetched, whatever happens at source or in the middle."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, strategies
from hypothesis import settings as hypothesis

from ips_pipeline import settings
from ips_pipeline.errors import InputError, UsageError
from ips_pipeline.sources import drift, increments
from ips_pipeline.sources.extract import extract
from ips_pipeline.store import stages

SITE = """\
name = "A site"
data = "data"
reference = "reference"
sources.epr = { kind = "sql", url = "sqlite:///epr.sqlite" }
providers = [
  { code = "RXX", name = "A trust", source = "epr", mapping = "map.yaml" },
  { code = "RXY", name = "Another", source = "epr", mapping = "map.yaml" },
]
"""
MAPPING = """\
inputs:
  people: {table: people}
  contact:
    query: SELECT * FROM contact WHERE trust = :provider AND updated_at >= :changed_since
    incremental: {key: contact_no, changed: updated_at, look_back_days: 7}
tables:
  MHS000Header:
    columns: {OrgIDProvider: {parameter: provider}, DateTimeDatSetCreate: {parameter: as_of}}
  MHS001MPI:
    from: people
    columns: {LocalPatientID: id}
  MHS002GP:
    from: people
    columns: {LocalPatientID: id, GMPReg: {value: V81999}}
  MHS101Referral:
    from: people
    columns: {ServiceRequestID: id, LocalPatientID: id}
  MHS201CareContact:
    from: contact
    where: deleted IS NULL AND substr(held_on, 1, 7) = substr(getvariable('period_start'), 1, 7)
    columns: {CareContactID: contact_no, CareContDate: held_on, ServiceRequestID: person}
"""
KEYS = "look_back_days: 7, keys: SELECT contact_no FROM contact WHERE trust = :provider"
START = datetime(2026, 8, 10, 6)


class Source:
    """A trust's database, and the clock of the machine that extracts."""

    def __init__(self, home: Path) -> None:
        self.home, self.now = home, START
        self.do("CREATE TABLE people (id TEXT)", "INSERT INTO people VALUES ('P1'), ('P2')")
        self.do("CREATE TABLE contact (contact_no TEXT, trust TEXT, person TEXT, held_on TEXT, updated_at TEXT, deleted TEXT)")

    def do(self, *statements: str) -> None:
        with contextlib.closing(sqlite3.connect(self.home / "epr.sqlite")) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    def contact(self, number: int, *, held: str = "2026-08-03", at: datetime | None = None, person: str = "P1", trust: str = "RXX") -> None:
        """Enter a contact, or change it; ``at`` is the time of change that the system writes."""
        written = (at or self.now).isoformat(sep=" ")
        self.do(
            f"DELETE FROM contact WHERE contact_no = 'C{number}' AND trust = '{trust}'",
            f"INSERT INTO contact VALUES ('C{number}', '{trust}', '{person}', '{held}', '{written}', NULL)",
        )

    def remove(self, number: int) -> None:
        self.do(f"DELETE FROM contact WHERE contact_no = 'C{number}'")

    def mapping(self, text: str) -> None:
        (self.home / "map.yaml").write_text(text)

    def site(self, data: str = "data") -> settings.Site:
        return settings.load(self.home / "SITE.toml").model_copy(update={"data": self.home / data})

    def extract(self, data: str = "data", provider: str = "RXX", period: str = "2026-08", *, full: bool = False) -> stages.Stage:
        return extract(self.site(data), provider, period, full=full)

    def told(self, stage: stages.Stage) -> dict[str, Any]:
        return dict(stage.manifest["facts"]["increments"]["contact"])

    def snapshot(self, provider: str = "RXX") -> stages.Stage:
        held = stages.current(self.site().snapshot(provider, "contact"))
        assert held is not None
        return held


@contextlib.contextmanager
def a_source(home: Path) -> Iterator[Source]:
    (home / "reference").mkdir()
    (home / "SITE.toml").write_text(SITE)
    made = Source(home)
    made.mapping(MAPPING)

    class Clock:
        @staticmethod
        def now(zone: object) -> datetime:
            return made.now.replace(tzinfo=UTC)

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("IPS_DATA", raising=False)
        patch.setattr("ips_pipeline.sources.extract.datetime", Clock)
        yield made


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Source]:
    with a_source(tmp_path) as made:
        yield made


def same_as_full(source: Source, landed: stages.Stage, name: str) -> bool:
    """Whether a landing is that of a site that has never extracted before, file for file but for the time of the extract."""
    other = source.extract(name, full=True)
    files = [{key: item for key, item in stage.manifest["files"].items() if "Header" not in key} for stage in (landed, other)]
    return landed.identity == other.identity and files[0] == files[1]


def test_only_what_has_changed_is_fetched_and_the_landing_is_that_of_everything(source: Source) -> None:
    for number in range(20):
        source.contact(number, at=START - timedelta(days=40 + number))
    source.contact(20, at=START - timedelta(days=6))
    source.contact(21)
    first = source.extract()
    assert (source.told(first)["full"], source.told(first)["fetched"]) == ("there is no snapshot to go on from", 22)
    source.now += timedelta(days=1)
    source.contact(3, held="2026-08-04")
    source.contact(30)
    second = source.extract()
    told = source.told(second)
    # What was changed within the look-back before the watermark comes again.
    assert (told["fetched"], told["added"], told["changed"], told["gone"], told["full"]) == (4, 1, 1, 0, None)
    assert second.manifest["facts"]["fetched"]["contact"] == 23
    assert same_as_full(source, second, "other")


def test_the_same_content_again_changes_nothing(source: Source) -> None:
    source.contact(1)
    first, held = source.extract(), source.snapshot()
    source.now += timedelta(days=1)
    again = source.extract()
    assert (again.identity, again.changed, source.snapshot().identity) == (first.identity, False, held.identity)


def test_what_fails_later_leaves_the_watermark_where_it_was(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    source.contact(1)
    source.extract()
    held = source.snapshot().identity
    source.now += timedelta(days=1)
    source.contact(2)
    good = (source.home / "map.yaml").read_text()
    source.mapping(good.replace("CareContDate: held_on", "CareContDate: {expression: CAST(contact_no AS INTEGER)}"))
    with pytest.raises(InputError):
        source.extract()
    assert source.snapshot().identity == held
    source.mapping(good)
    for broken in ("ips_pipeline.sources.increments.put_in_force", "ips_pipeline.sources.drift.keep", "ips_pipeline.sources.increments._count"):
        with monkeypatch.context() as patch:
            patch.setattr(broken, _killed)
            with pytest.raises(KeyboardInterrupt):
                source.extract()
        assert source.snapshot().identity == held
    # Long after, so that the look-back from where it should not be would not reach the row.
    source.now += timedelta(days=20)
    source.contact(3)
    landed = source.extract()
    assert source.told(landed)["fetched"] == 3
    assert same_as_full(source, landed, "other")
    assert not [path for path in source.site().temporary.iterdir() if path.name.startswith("extract-")]


def _killed(*given: object, **more: object) -> None:
    raise KeyboardInterrupt


def test_a_row_later_than_the_look_back_is_found_by_the_periodic_full_extract(source: Source) -> None:
    source.contact(1)
    source.extract()
    source.now += timedelta(days=1)
    source.contact(2, at=START - timedelta(days=30))
    missing = source.extract()
    assert missing.manifest["facts"]["tables"]["MHS201CareContact"] == 1
    source.now = START + timedelta(days=28)
    found = source.extract()
    assert (source.told(found)["full"], source.told(found)["missed"]) == ("every 28 days", 1)
    assert found.manifest["facts"]["tables"]["MHS201CareContact"] == 2
    assert same_as_full(source, found, "other")


def test_keys_find_deleted_rows_and_rows_later_than_the_look_back_at_once(source: Source) -> None:
    source.mapping(MAPPING.replace("look_back_days: 7", KEYS))
    for number in range(3):
        source.contact(number)
    source.extract()
    source.now += timedelta(days=1)
    source.remove(1)
    gone = source.extract()
    assert (source.told(gone)["gone"], source.told(gone)["full"]) == (1, None)
    assert same_as_full(source, gone, "other")
    source.contact(9, at=START - timedelta(days=30))
    late = source.extract()
    assert (source.told(late)["full"], source.told(late)["missed"]) == ("1 rows were not among the increments", 1)
    assert same_as_full(source, late, "third")


def test_a_soft_deleted_row_leaves_the_landing(source: Source) -> None:
    source.contact(1)
    source.contact(2)
    source.extract()
    source.now += timedelta(days=1)
    source.do(f"UPDATE contact SET deleted = 'Y', updated_at = '{source.now}' WHERE contact_no = 'C1'")
    landed = source.extract()
    assert landed.manifest["facts"]["tables"]["MHS201CareContact"] == 1
    assert same_as_full(source, landed, "other")


def test_a_clock_that_goes_back_and_a_row_from_the_future_hide_nothing(source: Source) -> None:
    source.contact(1, at=datetime(2099, 1, 1))
    source.extract()
    source.now += timedelta(days=1)
    source.contact(2)
    second = source.extract()
    assert second.manifest["facts"]["tables"]["MHS201CareContact"] == 2
    source.now = START - timedelta(days=400)
    source.contact(3)
    third = source.extract()
    assert source.told(third)["full"] == "the clock has gone back"
    assert same_as_full(source, third, "other")


def test_two_providers_of_one_source_have_snapshots_of_their_own(source: Source) -> None:
    source.contact(1)
    source.contact(1, trust="RXY", held="2026-08-05")
    for provider in ("RXX", "RXY"):
        assert source.told(source.extract(provider=provider))["fetched"] == 1
    assert source.snapshot("RXX").identity != source.snapshot("RXY").identity
    source.now += timedelta(days=1)
    source.contact(2, trust="RXY")
    assert not source.extract(provider="RXX").changed
    assert source.extract(provider="RXY").manifest["facts"]["tables"]["MHS201CareContact"] == 2


def test_one_snapshot_serves_every_month(source: Source) -> None:
    source.contact(1, held="2026-07-31")
    source.contact(2)
    source.extract()
    july = source.extract(period="2026-07")
    assert source.told(july)["full"] is None
    assert july.manifest["facts"]["tables"]["MHS201CareContact"] == 1


def test_what_the_increments_cannot_be_merged_into_is_fetched_anew(source: Source) -> None:
    source.contact(1)
    source.extract()
    source.do("ALTER TABLE contact ADD COLUMN team TEXT", "UPDATE contact SET held_on = '2026-08-02'")
    assert source.told(source.extract())["full"] == "its columns have changed"
    (source.snapshot().path / increments.ROWS).write_bytes(b"torn")
    source.do("UPDATE contact SET held_on = '2026-08-04'")
    assert source.told(source.extract())["full"] == "there is no snapshot to go on from"
    source.mapping(MAPPING.replace("SELECT * FROM", "SELECT contact.* FROM"))
    assert source.told(source.extract())["full"] == "the query or its key has changed"
    source.do("UPDATE contact SET held_on = '2026-08-05'")
    assert source.told(source.extract(full=True))["full"] == "it was asked for"


def test_only_the_last_snapshots_are_kept_and_for_the_owner_alone(source: Source) -> None:
    for number in range(6):
        source.contact(number)
        source.now += timedelta(days=1)
        source.extract()
    kept = stages.kept(source.site().snapshot("RXX", "contact"))
    assert len(kept) == 3 and kept[-1].identity == source.snapshot().identity
    assert all(path.stat().st_mode & 0o077 == 0 for stage in kept for path in (stage.path, *stage.path.iterdir()))
    assert "C1" not in (kept[-1].path / stages.MANIFEST).read_text().replace("RXX", "")


def test_a_landing_that_is_not_taken_leaves_the_watermark(source: Source) -> None:
    source.contact(1)
    source.extract()
    held = source.snapshot().identity
    source.do("ALTER TABLE contact ADD COLUMN team TEXT")
    with (source.home / "SITE.toml").open("a") as file:
        file.write('[drift]\nmode = "quarantine"\n')
    with pytest.raises(drift.Drifted):
        source.extract()
    assert source.snapshot().identity == held


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("key: contact_no", "key: person", "come more than once and 0 are empty"),
        ("key: contact_no", "key: number", "the query gives no column number"),
        ("changed: updated_at", "changed: person", "person is no date and time in 2 rows"),
        ("look_back_days: 7", "keys: SELECT 'C9' AS contact_no", "names 1 rows that the query does not give"),
    ],
)
def test_what_cannot_be_merged_is_told_without_a_value(source: Source, old: str, new: str, message: str) -> None:
    source.contact(1)
    source.contact(2)
    source.mapping(MAPPING.replace(old, new))
    with pytest.raises(InputError) as caught:
        source.extract()
    assert message in str(caught.value)
    assert "P1" not in str(caught.value) and "C1" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (" AND updated_at >= :changed_since", "", "incremental needs a query that binds :changed_since"),
        ("updated_at >= :changed_since", "updated_at >= :changed_since AND held_on < :period_end", "serves every month"),
        ("updated_at >= :changed_since", "updated_at >= :changed_since AND held_on < :day_after", "serves every month"),
        ("    incremental: {key: contact_no, changed: updated_at, look_back_days: 7}\n", "", "add incremental with its key and changed"),
        ("look_back_days: 7", "look_back: 7", "unknown key inputs.contact.incremental.look_back"),
        ("look_back_days: 7", "keys: SELECT 1 WHERE :changed_since > 1", "may bind :provider only"),
    ],
)
def test_a_mapping_that_cannot_be_right_is_refused(source: Source, old: str, new: str, message: str) -> None:
    assert old in MAPPING
    source.mapping(MAPPING.replace(old, new))
    with pytest.raises(UsageError) as caught:
        source.extract()
    assert message in str(caught.value)


#: What may happen at source, and at the machine, between two looks at it: what, which contact, how many days.
_HAPPENS = strategies.lists(
    strategies.tuples(
        strategies.sampled_from(["enter", "enter late", "change", "soft delete", "delete", "days pass", "clock goes back", "killed", "extract"]),
        strategies.integers(0, 7),
        strategies.integers(0, 12),
    ),
    min_size=3,
    max_size=10,
)


@hypothesis(max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(_HAPPENS, strategies.booleans())
def test_whatever_happens_the_increments_land_what_a_full_extract_lands(happens: list[tuple[str, int, int]], with_keys: bool) -> None:
    with tempfile.TemporaryDirectory() as home, a_source(Path(home)) as source:
        source.mapping(MAPPING.replace("look_back_days: 7", KEYS) if with_keys else MAPPING)
        source.contact(99)
        source.extract()
        for step, (what, number, days) in enumerate([*happens, ("extract", 0, 0)]):
            match what:
                case "enter" | "change":
                    source.contact(number, held=f"2026-08-{days + 1:02d}")
                case "enter late":
                    # Without keys a row is only found within the look-back, which reaches back from the latest change.
                    source.contact(100 + step, at=source.now - timedelta(days=days if with_keys else 0, hours=number))
                case "soft delete":
                    source.do(f"UPDATE contact SET deleted = 'Y', updated_at = '{source.now}' WHERE contact_no = 'C{number}'")
                case "delete" if with_keys:
                    source.remove(number)
                case "days pass":
                    source.now += timedelta(days=days)
                case "clock goes back" if with_keys:
                    source.now -= timedelta(days=days)
                case "killed":
                    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
                        patch.setattr(increments, "put_in_force", _killed)
                        source.extract()
                case "extract":
                    source.extract()
        assert same_as_full(source, source.extract(), "other")
