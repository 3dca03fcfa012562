"""The worked mappings: one made-up trust kept in six kinds of system lands the same tables, whatever the system's habits.

Each example is made, extracted with its own mapping, and compared row for row with the trust's records and with the other examples.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ips_pipeline import cli_operations, flows, settings, worked_sites
from ips_pipeline.errors import UsageError
from ips_pipeline.mhsds import standard
from ips_pipeline.sources import mapping as mappings
from ips_pipeline.sources import mapping_draft
from ips_pipeline.sources.extract import extract
from ips_pipeline.sources.madeup import shapes, systems
from ips_pipeline.sources.madeup.people import Canary, month
from ips_pipeline.store import stages
from ips_pipeline.submission import access

EXAMPLES = worked_sites.root() / "mappings"
#: A month with the autumn change of the clocks, one with the spring change, and one whose first and last nights are in other months in UTC.
MONTHS = ("2025-10", "2026-03", "2026-08")

Landed = dict[str, Counter[tuple[str | None, ...]]]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, settings.Site]:
    """The made-up trust in every shape that can be made here."""
    folder = tmp_path_factory.mktemp("shapes")
    names = [name for name in shapes.NAMES if name != "access-database" or access.runtime() is not None]
    return {name: settings.load(shapes.write_site(EXAMPLES / name, folder / name)) for name in names}


@pytest.fixture(scope="module")
def landings(sites: dict[str, settings.Site]) -> dict[tuple[str, str], stages.Stage]:
    """Every shape extracted: the databases for three months, the files, which hold the same whatever the month, for one."""
    months = {name: MONTHS if site.file.parent.joinpath("source/trust.sqlite").is_file() else MONTHS[-1:] for name, site in sites.items()}
    return {(name, period): extract(site, "MUM", period) for name, site in sites.items() for period in months[name]}


@cache
def mapped(name: str) -> dict[str, list[str]]:
    """Table -> its elements that an example maps from the source or as a constant."""
    return {
        standard.load().table(table).name: [element for element in standard.load().table(table).elements if element in about.columns]
        for table, about in mappings.load(EXAMPLES / name / "mapping.yaml").tables.items()
        if table != "MHS000"
    }


def rows(stage: stages.Stage, table: str, elements: list[str]) -> Counter[tuple[str | None, ...]]:
    """How often each row landed, as far as those elements go."""
    return Counter(tuple(row[element] for element in elements) for row in pq.read_table(stage.path / f"{table}.parquet").to_pylist())


def test_every_folder_of_the_examples_is_a_shape_with_a_page_of_its_own() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir()} == set(shapes.NAMES)
    assert cli_operations.SHAPES == shapes.NAMES
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for name in shapes.NAMES:
        assert f"({name}/README.md)" in index
        assert "made up" in (EXAMPLES / name / "README.md").read_text(encoding="utf-8").lower()


def test_what_lands_is_what_the_trust_recorded(landings: dict[tuple[str, str], stages.Stage]) -> None:
    held = shapes.trust()
    expected = {period: month(held, period) for period in MONTHS}
    for (name, period), stage in landings.items():
        for table, elements in mapped(name).items():
            records = expected[period][systems._RECORDS[table[:6]]]
            assert records, f"the trust has nothing for {table} in {period}; take another seed"
            known = [element for element in elements if element in records[0]]
            wanted = Counter(tuple(None if record[element] is None else str(record[element]) for element in known) for record in records)
            assert len(known) > 1, (name, table)
            assert rows(stage, table, known) == wanted, (name, period, table)


def test_all_shapes_land_the_same_rows_on_the_elements_they_map(landings: dict[tuple[str, str], stages.Stage]) -> None:
    everything = {
        (name, period, table): pq.read_table(stage.path / f"{table}.parquet").to_pylist()
        for (name, period), stage in landings.items()
        for table in mapped(name)
    }
    compared = 0
    for (name, period, table), found in everything.items():
        for (other, other_period, other_table), twin in everything.items():
            if other > name and (other_period, other_table) == (period, table):
                shared = [element for element in mapped(name)[table] if element in mapped(other)[table]]
                one, two = (Counter(tuple(row[element] for element in shared) for row in rows_) for rows_ in (found, twin))
                assert one == two and one, (name, other, period, table)
                compared += 1
    assert compared > 100


def test_the_databases_cover_the_same_tables_and_the_files_what_every_return_needs() -> None:
    databases = [set(mapped(name)) for name in ("rio-like", "systmone-like", "carenotes-like", "mhsds-staging")]
    assert all(tables == databases[0] for tables in databases) and len(databases[0]) == 14
    for name in ("excel-workbook", "access-database"):
        assert {"MHS001MPI", "MHS002GP", "MHS004EmpStatus", "MHS101Referral", "MHS201CareContact"} <= set(mapped(name))
    for name in shapes.NAMES:
        coverage = mappings.check(mappings.load(EXAMPLES / name / "mapping.yaml"))
        assert coverage.missing_required == () and coverage.odd_codes == ()
        assert [table.missing_mandatory for table in coverage.tables if table.missing_mandatory] == []


def test_every_submission_is_accepted(sites: dict[str, settings.Site], landings: dict[tuple[str, str], stages.Stage], tmp_path: Path) -> None:
    period = MONTHS[-1]
    folders = [stage.path for (_, extracted), stage in landings.items() if extracted == period]
    # The header says when the extract was taken, which must not lie after the upload.
    login = flows.login("MUM", None, period, (datetime.now() + timedelta(days=1)).isoformat(timespec="seconds"))
    verdicts = flows.validate_folders(folders, sites["rio-like"].reference, tmp_path / "out", login)
    assert len(verdicts) == len(sites)
    assert [verdict.file_codes for verdict in verdicts if verdict.file_codes] == []
    assert min(verdict.rows_submitted - verdict.rows_rejected for verdict in verdicts) > 300


def test_nights_are_in_the_month_and_at_the_hour_of_london(landings: dict[tuple[str, str], stages.Stage]) -> None:
    found = {
        (day, at)
        for (name, _), stage in landings.items()
        if name == "systmone-like"
        for contact, day, at in rows(stage, "MHS201CareContact", ["CareContactID", "CareContDate", "CareContTime"])
        if (contact or "").startswith("NIGHT")
    }
    held = {(day, at) for day, at in shapes._words()["night_contacts"] if day[:7] in MONTHS}
    assert found == held and len(held) >= 6


@pytest.mark.parametrize(
    ("name", "statement", "least"),
    [
        ("rio-like", "SELECT count(*) FROM rep_client_merge WHERE kept_client_no IN (SELECT old_client_no FROM rep_client_merge)", 1),
        ("rio-like", "SELECT count(*) FROM rep_referral WHERE client_no LIKE 'OLD%'", 5),
        ("rio-like", "SELECT count(*) FROM (SELECT client_no FROM rep_client_alias GROUP BY client_no HAVING count(*) > 1)", 10),
        ("rio-like", "SELECT sum(is_deleted) FROM rep_diary", 1),
        ("rio-like", "SELECT count(*) - count(DISTINCT local_code) FROM rep_lookup WHERE domain = 'OUTCOME'", 6),
        ("systmone-like", "SELECT count(*) FROM pathway WHERE trim(ended) = ''", 20),
        ("systmone-like", "SELECT min((SELECT count(*) FROM visit), (SELECT count(*) FROM remote_event))", 100),
        ("carenotes-like", "SELECT count(*) - count(DISTINCT header_no) FROM referral_status", 100),
        ("carenotes-like", "SELECT count(DISTINCT length(dob)) FROM client", 4),
        ("carenotes-like", "SELECT count(DISTINCT hours) FROM job_note", 12),
        ("mhsds-staging", "SELECT count(*) - count(DISTINCT period_start) FROM stg_load", 12),
        ("mhsds-staging", "SELECT count(*) FROM stg_load WHERE load_state = 'FAILED'", 2),
    ],
)
def test_the_habits_are_there_to_be_dealt_with(sites: dict[str, settings.Site], name: str, statement: str, least: int) -> None:
    with contextlib.closing(sqlite3.connect(sites[name].file.parent / "source/trust.sqlite")) as connection:
        assert connection.execute(statement).fetchone()[0] >= least


def test_the_same_seed_gives_the_same_trust_and_a_used_folder_is_left_alone(tmp_path: Path) -> None:
    assert shapes.trust().records == shapes.trust().records
    assert shapes.trust(1).records != shapes.trust().records
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UsageError, match="not an empty folder"):
        shapes.write_site(EXAMPLES / "rio-like", tmp_path)


@pytest.fixture(scope="module")
def drafts(sites: dict[str, settings.Site]) -> dict[str, mapping_draft.Draft]:
    return {name: mapping_draft.draft(site, "trust") for name, site in sites.items()}


def test_a_draft_finds_most_columns_and_is_never_sure_of_a_wrong_one(drafts: dict[str, mapping_draft.Draft]) -> None:
    for name, drafted in drafts.items():
        columns = {
            (table, element): str(column.column).lower()
            for table, about in mappings.load(EXAMPLES / name / "mapping.yaml").tables.items()
            for element, column in about.columns.items()
            if column.column is not None
        }
        guesses = {(table, guess.element): guess for table, held in drafted.guesses.items() for guess in held}
        right = [key for key, column in columns.items() if key in guesses and guesses[key].column.lower() == column]
        sure = {key for key, guess in guesses.items() if guess.score >= mapping_draft.SURE and guess.ready}
        assert len(right) >= 0.88 * len(columns), name
        assert len(sure.intersection(right)) >= 0.8 * len(columns), name
        assert (sure & set(columns)) - set(right) == set(), name


def test_a_draft_is_a_mapping_as_it_stands(drafts: dict[str, mapping_draft.Draft], tmp_path: Path) -> None:
    for name, drafted in drafts.items():
        (tmp_path / f"{name}.yaml").write_text(drafted.text, encoding="utf-8")
        mapping = mappings.load(tmp_path / f"{name}.yaml")
        assert mappings.check(mapping).missing_required == (), name
        sure = {guess.element for guess in drafted.guesses["MHS101"] if guess.score >= mapping_draft.SURE and guess.ready}
        assert set(mapping.tables["MHS101"].columns) == sure


def test_a_draft_holds_none_of_the_values_it_was_made_from(drafts: dict[str, mapping_draft.Draft]) -> None:
    records = shapes.trust().records
    people = ("LocalPatientID", "NHSNumber", "surname", "forename", "PersonBirthDate")
    values = {str(record[key]) for record in records["people"] for key in people if record[key]}
    values |= {str(record["ServiceRequestID"]) for record in records["referrals"]} | {str(record["CareContactID"]) for record in records["contacts"]}
    values |= {str(record["Postcode"]) for record in records["addresses"] if record["Postcode"]} | set(Canary.of(0).values)
    assert len(values) > 1000
    for name, drafted in drafts.items():
        assert [value for value in values - {"None"} if value in drafted.text] == [], name


def test_a_part_of_a_file_may_be_drafted_alone_and_a_wrong_source_is_named(sites: dict[str, settings.Site]) -> None:
    drafted = mapping_draft.draft(sites["excel-workbook"], "trust", ["caseload.xlsx#Sessions"])
    assert list(drafted.guesses) == ["MHS201"]
    assert "caseload_sessions: {file: caseload.xlsx, sheet: Sessions, heading_row: 3}" in drafted.text
    assert "# MHS101Referral: nothing here looks like it" in drafted.text
    with pytest.raises(UsageError, match=r"has no source trusts \(did you mean trust\?\)"):
        mapping_draft.draft(sites["excel-workbook"], "trusts")
