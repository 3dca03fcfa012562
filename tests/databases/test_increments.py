"""Fetching only what has changed, from real servers: times of change of every kind, zones, and whatever happens to rows and to the connection.

After each step the landing is that of a site that has never extracted before, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ips_pipeline.errors import InputError, RetryableError
from ips_pipeline.sources import increments, raw, sql
from ips_pipeline.sources.extract import extract
from ips_pipeline.sources.mapping import Incremental, Input
from ips_pipeline.store import stages

START = datetime(2026, 8, 10, 6)

#: One row of ``note`` says when it was changed in five ways; each is an input, and a table of the standard, of its own.
CHANGED = {
    "local": "changed_at >= :changed_since",
    "zoned": "changed_zoned >= :changed_since",
    "day": "changed_on >= :changed_since",
    "text": "CAST(changed_text AS {moment}) >= :changed_since",
    "maybe": "(changed_maybe >= :changed_since OR changed_maybe IS NULL)",
}
_COLUMN = {"local": "changed_at", "zoned": "changed_zoned", "day": "changed_on", "text": "changed_text", "maybe": "changed_maybe"}
_TYPES = {
    "postgresql": {"moment": "TIMESTAMP", "local": "TIMESTAMP(6)", "zoned": "TIMESTAMP(6) WITH TIME ZONE"},
    "mariadb": {"moment": "DATETIME(6)", "local": "DATETIME(6)", "zoned": "TIMESTAMP(6) NULL"},
}
_TABLES = """\
tables:
  MHS000Header:
    columns: {OrgIDProvider: {parameter: provider}, DateTimeDatSetCreate: {parameter: as_of}}
  MHS001MPI:
    from: person
    columns: {LocalPatientID: person_no}
  MHS002GP:
    from: person
    columns: {LocalPatientID: person_no, GMPReg: {value: V81999}}
  MHS101Referral:
    from: zoned
    columns: {ServiceRequestID: note_no, LocalPatientID: person_no, ReferralRequestReceivedDate: changed_zoned, PrimReasonReferralMH: hours}
"""
_TABLE = {
    "zoned": "",
    "local": "MHS201CareContact: {from: local, columns: {CareContactID: note_no, CareContDate: held_on, ClinContDurOfCareCont: hours}}",
    "day": "MHS204IndirectActivity: {from: day, columns: {ServiceRequestID: note_no, CareProfLocalID: person_no, IndirectActDate: changed_on}}",
    "text": "MHS206StaffActivity: {from: text, columns: {CareActID: note_no, CareProfLocalID: person_no}}",
    "maybe": "MHS202CareActivity: {from: maybe, columns: {CareActID: note_no, CareContactID: person_no, Finding: changed_maybe}}",
}


class Source:
    """The trust's notes, and the clock of the machine that extracts."""

    def __init__(self, trust: Any) -> None:
        self.trust, self.now, self.keys, self.inputs = trust, START, True, ("zoned",)
        types = _TYPES[trust.server.kind]
        trust.run(
            "CREATE TABLE epr.note (note_no CHAR(8) PRIMARY KEY, person_no VARCHAR(20), held_on DATE, hours DECIMAL(6, 2),"
            f" changed_maybe {types['local']}, changed_at {types['local']}, changed_zoned {types['zoned']}, changed_on DATE,"
            " changed_text VARCHAR(30));" + ("ALTER TABLE epr.note OWNER TO owner;" if trust.server.kind == "postgresql" else "")
        )
        for number in range(1, 6):
            at = START - timedelta(days=20 + number)
            self.enter(number, at=at, maybe=at if number == 1 else None)

    def enter(self, number: int, *, at: datetime, person: str = "P1", maybe: datetime | None = None) -> None:
        """Enter a note, or change it; ``at`` is the time of change that the system writes, ``maybe`` the one that it does not always write."""
        written = at.isoformat(sep=" ")
        last = f"'{maybe}'" if maybe else "NULL"
        moments = f"{last}, '{written}', '{written}{self.offset}', DATE '{at:%Y-%m-%d}', '{written}'"
        values = f"'N{number}', '{person}', DATE '2026-08-03', {number}.5, {moments}"
        gone = f"DELETE FROM epr.note WHERE note_no = 'N{number}'"
        self.trust.run(f"{self.zone} {gone}; INSERT INTO epr.note VALUES ({values})")

    @property
    def offset(self) -> str:
        return "+00" if self.trust.server.kind == "postgresql" else ""

    @property
    def zone(self) -> str:
        """MariaDB takes a moment to be in the zone of the session."""
        return "" if self.trust.server.kind == "postgresql" else "SET time_zone = '+00:00';"

    def server_zone(self, zone: str) -> None:
        """Where the server is from now on, as far as new sessions know."""
        if self.trust.server.kind == "postgresql":
            self.trust.run(f"ALTER DATABASE trust SET timezone = '{zone}'")
        else:
            offsets = {"America/New_York": "-04:00", "Europe/London": "+01:00", "Pacific/Auckland": "+12:00"}
            self.trust.run(f"SET GLOBAL time_zone = '{offsets[zone]}'")

    def site(self, data: str = "data", **keys: Any) -> Any:
        made = self.trust.site(**keys)
        lines = ["inputs:", "  person: {table: epr.person}"]
        for key in self.inputs:
            condition, keys_query = CHANGED[key], ", keys: SELECT note_no FROM epr.note" if self.keys else ""
            lines += [
                f"  {key}:",
                f"    query: SELECT * FROM epr.note WHERE {condition.format(**_TYPES[self.trust.server.kind])}",
                f"    incremental: {{key: note_no, changed: {_COLUMN[key]}, look_back_days: 7{keys_query}}}",
            ]
        (self.trust.home / "mapping.yaml").write_text("\n".join(lines) + "\n" + _TABLES + "".join(f"  {_TABLE[key]}\n" for key in self.inputs))
        return made.model_copy(update={"data": self.trust.home / data})

    def extract(self, data: str = "data", *, full: bool = False, **keys: Any) -> stages.Stage:
        return extract(self.site(data, **keys), "RXX", "2026-08", full=full)

    def told(self, stage: stages.Stage, what: str) -> dict[str, Any]:
        return {key: item[what] for key, item in stage.manifest["facts"]["increments"].items()}

    def snapshots(self) -> dict[str, str | None]:
        site = self.site()
        held = {key: stages.current(site.snapshot("RXX", key)) for key in self.inputs}
        return {key: stage.identity if stage else None for key, stage in held.items()}

    def landed(self, full: str | None, **fetched: int) -> stages.Stage:
        """Extract; every input was fetched for the reason ``full``, with so many rows; the landing is that of a site without a past."""
        landed = self.extract()
        assert set(self.told(landed, "full").values()) == {full}
        assert not fetched or self.told(landed, "fetched") == fetched
        other = extract(self.site("other"), "RXX", "2026-08", full=True)
        files = [{key: item for key, item in stage.manifest["files"].items() if "Header" not in key} for stage in (landed, other)]
        assert landed.identity == other.identity and files[0] == files[1]
        return landed


@pytest.fixture
def source(trust: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    made = Source(trust)

    class Clock:
        @staticmethod
        def now(zone: object) -> datetime:
            return made.now.replace(tzinfo=UTC)

    monkeypatch.setattr("ips_pipeline.sources.extract.datetime", Clock)
    monkeypatch.delenv("IPS_DATA", raising=False)
    yield made
    if trust.server.kind == "mariadb":
        trust.run("SET GLOBAL time_zone = 'SYSTEM'")


@contextmanager
def unfinished(trust: Any, *statements: str) -> Iterator[sa.Connection]:
    """Somebody else's transaction, which is committed when this ends."""
    site = trust.site()
    engine = sa.create_engine(sql._url(site, "epr", site.sources["epr"]), poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
        yield connection


def test_times_of_change_of_every_kind(source: Source) -> None:
    """With and without zone, of parts of a second, dates, text, and empty ones; a row of the very time of the last change is among what comes."""
    source.inputs = tuple(CHANGED)
    each = dict.fromkeys(CHANGED, 1)
    source.enter(6, at=START - timedelta(microseconds=1), maybe=START - timedelta(microseconds=1))
    source.enter(7, at=START - timedelta(days=7), maybe=START - timedelta(days=7))
    source.landed("there is no snapshot to go on from", **dict.fromkeys(CHANGED, 7))
    source.now += timedelta(days=1)
    # A time of change equal to the last one, one of the look-back's first day, and a changed note.
    source.enter(8, at=START - timedelta(microseconds=1), maybe=START - timedelta(microseconds=1))
    source.enter(6, at=START + timedelta(hours=2), person="P2", maybe=START + timedelta(hours=2))
    second = source.landed(None, local=3, zoned=3, day=3, text=3, maybe=7)
    assert source.told(second, "added") == source.told(second, "changed") == each


def test_a_row_that_changes_again_the_same_day(source: Source) -> None:
    source.inputs = ("zoned", "day", "maybe")
    # One dated in the future, so that the last change is taken to be the extract, which was in the morning.
    source.enter(5, at=datetime(2030, 1, 1))
    source.enter(1, at=START, maybe=START)
    source.extract()
    source.now += timedelta(hours=1)
    source.enter(1, at=START + timedelta(minutes=1), person="P3")
    source.enter(9, at=START + timedelta(hours=1, days=-7))
    again = source.landed(None)
    assert source.told(again, "added") == dict.fromkeys(source.inputs, 1)
    # The last time of change of one of them is empty now, as it is in all the rest.
    assert source.told(again, "changed") == dict.fromkeys(source.inputs, 1)
    source.enter(2, at=START, person="P4")
    third = source.extract()
    assert source.told(third, "full") == {"zoned": None, "day": None, "maybe": "no row had a time of change"}


def test_a_server_in_another_zone_and_one_that_moves(source: Source) -> None:
    """The look-back reaches as far wherever the server is; where its sessions give moments in another zone, everything is fetched anew."""
    source.inputs = ("zoned", "local")
    # By the clock in London it is another day than in New York.
    at = START.replace(hour=0, minute=30)
    for place, zone in enumerate(("America/New_York", "Pacific/Auckland")):
        source.server_zone(zone)
        source.enter(6, at=at + timedelta(minutes=place))
        source.landed("the database's sessions have another time zone" if place else "there is no snapshot to go on from")
        source.now += timedelta(days=1)
        # Entered late, in the first minutes of the look-back; the keys would tell of it if it were not among the increments.
        source.enter(10 + place, at=at + timedelta(minutes=place + 1, days=-7))
        assert source.told(source.landed(None), "added") == dict.fromkeys(source.inputs, 1)


def test_a_column_that_becomes_another_kind_at_source(source: Source) -> None:
    """No time of change tells it, and the columns are called as before."""
    source.extract()
    source.now += timedelta(days=1)
    change = "ALTER COLUMN hours TYPE DECIMAL(8, 3)" if source.trust.server.kind == "postgresql" else "MODIFY hours DECIMAL(8, 3)"
    source.trust.run(f"ALTER TABLE epr.note {change}")
    source.landed("its columns have changed")


def test_keys_that_disappear_and_a_merged_patient(source: Source) -> None:
    source.enter(6, at=START, person="OLD1")
    source.enter(7, at=START - timedelta(days=6), person="OLD1")
    source.extract()
    source.now += timedelta(days=1)
    # A merge as systems do it: the rows of the old number get the one that stays, one without and one with a new time of change, and one goes.
    source.trust.run("UPDATE epr.note SET person_no = 'P1' WHERE note_no = 'N7'; DELETE FROM epr.note WHERE note_no = 'N1'")
    source.enter(6, at=START + timedelta(hours=1), person="P1")
    merged = source.landed(None)
    assert (source.told(merged, "gone"), source.told(merged, "changed")) == ({"zoned": 1}, {"zoned": 2})
    # Entered with a time of change before the look-back.
    source.enter(9, at=START - timedelta(days=15))
    assert source.told(source.extract(), "full") == {"zoned": "1 rows were not among the increments"}


def test_without_keys_a_row_that_disappeared_is_found_by_the_next_full_extract(source: Source) -> None:
    source.keys = False
    source.enter(6, at=START)
    source.extract()
    source.trust.run("DELETE FROM epr.note WHERE note_no = 'N1'")
    source.now += timedelta(days=27)
    assert source.extract().manifest["facts"]["tables"]["MHS101Referral"] == 6
    source.now += timedelta(days=1)
    assert source.landed("every 28 days").manifest["facts"]["tables"]["MHS101Referral"] == 5


def test_rows_that_others_change_while_increments_are_read(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is committed between two inputs is in none of them and in the next extract; so is a transaction that had begun long before."""
    source.inputs = ("zoned", "local")
    source.extract()
    source.now += timedelta(days=1)
    source.enter(6, at=START)
    read, original = [], raw.write

    def interrupted(path: Path, *arguments: Any) -> raw.Fetched:
        done = original(path, *arguments)
        if not read:
            source.enter(7, at=source.now)
            source.trust.run("DELETE FROM epr.note WHERE note_no = 'N2'")
        read.append(path.name)
        return done

    moment = (START - timedelta(hours=1)).isoformat(sep=" ")
    change = f"changed_at = '{moment}', changed_zoned = '{moment}{source.offset}', changed_on = DATE '{START:%Y-%m-%d}', changed_text = '{moment}'"
    long_before = f"UPDATE epr.note SET person_no = 'P9', {change} WHERE note_no = 'N3'"
    with unfinished(source.trust, *([source.zone] if source.zone else []), long_before):
        with monkeypatch.context() as patch:
            patch.setattr(raw, "write", interrupted)
            during = source.extract()
        assert {"local.parquet", "local.keys.parquet", "zoned.parquet"} < set(read)
    each = dict.fromkeys(source.inputs, 1)
    assert source.told(during, "full") == dict.fromkeys(each) and source.told(during, "gone") == dict.fromkeys(each, 0)
    assert during.manifest["facts"]["tables"]["MHS101Referral"] == 6
    source.now += timedelta(hours=1)
    after = source.landed(None)
    assert source.told(after, "gone") == source.told(after, "changed") == source.told(after, "added") == each


def test_a_connection_lost_in_the_middle_of_an_increment(source: Source) -> None:
    """Nothing is left of it, the next extract begins where this one did, and what it fetches is whole."""
    first = source.extract()
    held = source.snapshots()
    files = {path for path in source.site().data.rglob("*") if path.is_file()}
    source.now += timedelta(days=20)
    rows = ", ".join(f"('L{number}', 'P1', '{START}', '{START}', DATE '{START:%Y-%m-%d}', '{START}')" for number in range(6000))
    columns = "note_no, person_no, changed_at, changed_zoned, changed_on, changed_text"
    source.trust.run(f"{source.zone} INSERT INTO epr.note ({columns}) VALUES {rows}")
    proxy = source.trust.proxy()
    for after in (40_000, 200_000):
        proxy.cut_after = after
        with pytest.raises(RetryableError, match=r"Source epr, input [\w.]+: the database ended the connection; run again"):
            source.extract(host="127.0.0.2", port=proxy.port)
        assert source.snapshots() == held
        assert {path for path in source.site().data.rglob("*") if path.is_file()} == files
        current = stages.current(source.site().landing("RXX", "2026-08"))
        assert current is not None and current.identity == first.identity
    assert proxy.cuts == 2
    landed = source.landed(None)
    assert source.told(landed, "added") == {"zoned": 6000}


@pytest.mark.parametrize("trust", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("note >= :changed_since", r"the query compares, .* write CAST\(… AS DATE\) or AS TIMESTAMP around the column"),
        ("date(held_on, '-1 day') >= :changed_since", "uses a function that this database does not have"),
        ("CAST(note AS TIMESTAMP) >= :changed_since", "a value of the source is not of the kind that the query takes it for"),
    ],
)
def test_a_time_of_change_that_cannot_be_compared_is_told_with_the_way_out(trust: Any, tmp_path: Path, condition: str, told: str) -> None:
    """PostgreSQL compares no text with a time; MariaDB does, as it can."""
    contact = Input(query=f"SELECT * FROM epr.contact WHERE {condition}", incremental=Incremental(key=("contact_no",), changed="note"))
    with pytest.raises(InputError, match=f"Source epr, input contact: .*{told}") as caught:
        sql.fetch(trust.site(), "epr", {"contact": contact}, bind={}, folder=tmp_path, since={"contact": increments.EVERYTHING})
    assert "Canary" not in str(caught.value)
