"""The made-up site: always the same bytes, invented people only, and every kind of system giving the same month back."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ips_pipeline import settings
from ips_pipeline.errors import UsageError
from ips_pipeline.mhsds import standard
from ips_pipeline.sources import madeup
from ips_pipeline.sources import mapping as mappings
from ips_pipeline.sources.extract import extract
from ips_pipeline.sources.madeup import people, systems
from ips_pipeline.store import stages


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> settings.Site:
    return settings.load(madeup.write_site(tmp_path_factory.mktemp("madeup") / "site"))


def is_valid_nhs_number(number: str) -> bool:
    """The check of the standard (MHSREJ006a): ten digits, modulus 11, and not the same backwards."""
    if not re.fullmatch("[0-9]{10}", number) or number == number[::-1]:
        return False
    check = 11 - sum(int(digit) * (10 - position) for position, digit in enumerate(number[:9])) % 11
    return check % 11 == int(number[9]) and check != 10


@given(st.integers(0, 999_999))
def test_every_nhs_number_is_valid_and_of_the_test_range(serial: int) -> None:
    number = people.nhs_number(serial)
    if number is not None:
        assert number.startswith("999")
        assert is_valid_nhs_number(number)


def test_an_nhs_number_that_cannot_be_is_not_made() -> None:
    made = [people.nhs_number(serial) for serial in range(2000)]
    assert None in made
    assert all(number is None or is_valid_nhs_number(number) for number in made)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(site: settings.Site, tmp_path: Path) -> None:
    def content(folder: Path) -> dict[str, str]:
        listed = ("SITE.toml", "mappings", "reference", "trusts")
        paths = [path for name in listed for path in (folder / name, *(folder / name).rglob("*")) if path.is_file()]
        return {path.relative_to(folder).as_posix(): stages.file_hash(path) for path in paths}

    first = content(site.file.parent)
    assert content(madeup.write_site(tmp_path / "again").parent) == first
    other = content(madeup.write_site(tmp_path / "other", seed=1).parent)
    assert set(other) == set(first)
    assert other["trusts/MU1/epr.sqlite"] != first["trusts/MU1/epr.sqlite"]


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match="not an empty folder"):
        madeup.write_site(tmp_path)


def test_there_are_at_least_five_trusts_over_fifteen_months_in_three_kinds_of_system(site: settings.Site) -> None:
    assert len(site.providers) >= 5
    assert (madeup.periods()[0], madeup.periods()[-1], len(madeup.periods())) == ("2025-07", "2026-09", 15)
    assert {trust.shape for trust in people.variety().trusts} == {"epr", "exports", "warehouse"}


@pytest.mark.parametrize("shape", ["epr", "exports", "warehouse"])
def test_the_mappings_lack_nothing_mandatory_and_give_only_codes_of_the_standard(shape: str) -> None:
    coverage = mappings.check(mappings.load(systems.mapping_file(shape)))
    assert coverage.missing_required == ()
    assert {table.table: table.missing_mandatory for table in coverage.tables if table.missing_mandatory} == {}
    assert coverage.odd_codes == ()


@pytest.mark.parametrize("period", ["2025-07", "2026-02", "2026-09"])
@pytest.mark.parametrize("code", ["MU1", "MU2", "MU3"])
def test_extraction_and_mapping_give_back_the_month_that_was_written(site: settings.Site, code: str, period: str) -> None:
    held = next(history for history in madeup.histories() if history.trust.code == code)
    expected = people.month(held, period)
    stage = extract(site, code, period)
    for table, kind in systems._RECORDS.items():
        elements = [element for element in standard.load().table(table).elements if expected[kind] and element in expected[kind][0]]
        landed = pq.read_table(stage.path / f"{standard.load().table(table).name}.parquet").to_pylist()
        found = Counter(tuple(row[element] for element in elements) for row in landed)
        wanted = Counter(tuple(None if row[element] is None else str(row[element]) for element in elements) for row in expected[kind])
        assert found.total() == wanted.total(), table
        assert sum((found - wanted).values()) == 0, table


def test_one_trust_has_one_month_with_one_mistyped_nhs_number(site: settings.Site) -> None:
    trust = next(trust for trust in people.variety().trusts if trust.rejected_month)
    for period in ("2026-08", str(trust.rejected_month)):
        table = pq.read_table(extract(site, trust.code, period).path / "MHS001MPI.parquet")
        wrong = [number for number in table["NHSNumber"].to_pylist() if number is not None and not is_valid_nhs_number(number)]
        assert len(wrong) == (1 if period == trust.rejected_month else 0)


def test_the_variety_that_the_measures_need_is_there() -> None:
    held = madeup.histories()
    records = {kind: [record for history in held for record in history.records[kind]] for kind in held[0].records}
    lists = standard.load()
    assert {record["AttendStatus"] for record in records["contacts"]} - {None} == set(lists.codes("AttendStatus"))
    assert {record["ConsMechanismMH"] for record in records["contacts"]} - {None} == set(lists.codes("ConsMechanismMH"))
    assert {record["EmployStatus"] for record in records["employment"]} - {None} >= set(lists.codes("EmployStatus"))
    assert any(record["NHSNumber"] is None for record in records["people"])
    assert any(record["Postcode"] is None for record in records["addresses"])
    assert any(record["GMPReg"] == "V81997" for record in records["registrations"])
    assert any(record["PersDeathDate"] for record in records["people"])
    assert any(record["ServiceRequestID"].endswith("B") for record in records["referrals"])
    assert any("443390004" in (record["Procedure"] or "") for record in records["activities"])
    assert any("\n" in (record["Procedure"] or "") for record in records["activities"])
    assert records["spells"] and records["wards"] and records["indirect"] and records["other_teams"]
    numbers = Counter(record["NHSNumber"] for record in records["people"] if record["NHSNumber"])
    assert max(numbers.values()) == 2, "people known to two trusts"
    assert all(is_valid_nhs_number(number) for number in numbers)
    for history in held:
        own = Counter(record["NHSNumber"] for record in history.records["people"] if record["NHSNumber"])
        assert max(own.values()) == 1, "one trust never holds a number twice"


def test_canaries_stand_in_every_trusts_system_and_in_nothing_else(site: settings.Site) -> None:
    home = site.file.parent
    values = madeup.canaries()
    assert len(values) == len(set(values)) == 10 * len(site.providers)
    everything = "\n".join(path.read_text(encoding="utf-8") for folder in ("mappings", "reference") for path in (home / folder).iterdir())
    assert not [value for value in values if value in everything]
    for number, trust in enumerate(people.variety().trusts):
        canary = people.Canary.of(number)
        stage = extract(site, trust.code, "2026-08")
        assert canary.nhs in pq.read_table(stage.path / "MHS001MPI.parquet")["NHSNumber"].to_pylist()
        assert canary.bad_value in pq.read_table(stage.path / "MHS201CareContact.parquet")["ClinContDurOfCareCont"].to_pylist()
        systems = [
            path for path in (home / "trusts" / trust.code).rglob("*") if path.suffix in (".csv", ".sqlite") and path.parent.name != "ips_records"
        ]
        held = b"".join(path.read_bytes() for path in systems)
        if held:
            assert canary.surname.encode() in held
            assert canary.note.encode() in held
        assert not [value for value in values if value in (stage.path / stages.MANIFEST).read_text(encoding="utf-8")]


def test_made_up_systems_are_for_the_owner_only(site: settings.Site) -> None:
    trusts = site.file.parent / "trusts"
    assert all(path.stat().st_mode & 0o077 == 0 for path in (trusts, *trusts.rglob("*")) if path.is_file() or path == trusts)
