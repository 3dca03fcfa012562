"""Extract and map: the landing of a month, its name, its manifest, and what a mapping lacks."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ips_pipeline import settings
from ips_pipeline.errors import InputError, UsageError
from ips_pipeline.sources.extract import extract
from ips_pipeline.store import stages

SITE = """\
name = "A site"
data = "data"
reference = "reference"
sources.exports = { kind = "files", folder = "exports" }
sources.epr = { kind = "sql", url = "sqlite:///epr.sqlite" }
providers = [{ code = "RXX", name = "A trust", source = "exports", mapping = "rxx.yaml" }]
"""

MAPPING = """\
codes:
  sex: {Man: "1", Woman: "2"}
inputs:
  people: {file: people.csv}
  referrals: {file: "{period}.csv"}
tables:
  MHS000Header:
    columns:
      DatSetVer: {value: "6.0"}
      OrgIDProvider: {parameter: provider}
      OrgIDSubmit: {parameter: submitter}
      ReportingPeriodStartDate: {parameter: period_start}
      ReportingPeriodEndDate: {parameter: period_end}
      DateTimeDatSetCreate: {parameter: as_of}
  MHS001MPI:
    from: people
    where: id IN (SELECT person FROM referrals WHERE received <= getvariable('period_end'))
    columns:
      LocalPatientID: id
      Gender: {column: sex, codes: sex}
  MHS002GP:
    from: people
    columns: {LocalPatientID: id, GMPReg: {value: V81999}}
  MHS101Referral:
    from: referrals
    columns: {ServiceRequestID: ref, LocalPatientID: person, ReferralRequestReceivedDate: received}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for folder in ("reference", "exports"):
        (tmp_path / folder).mkdir()
    (tmp_path / "SITE.toml").write_text(SITE)
    (tmp_path / "rxx.yaml").write_text(MAPPING)
    (tmp_path / "exports/people.csv").write_text("id,sex\nP2,Woman\nP1,Man\nP3,\n")
    (tmp_path / "exports/2026-08.csv").write_text("ref,person,received\nR1,P1,2026-08-02\nR2,P2,2026-08-03\nR3,P3,2026-09-01\n")
    return tmp_path


def run(home: Path) -> stages.Stage:
    return extract(settings.load(home / "SITE.toml"), "RXX", "2026-08")


def rows(stage: stages.Stage, table: str, *elements: str) -> list[tuple[str | None, ...]]:
    found = pq.read_table(stage.path / f"{table}.parquet").to_pylist()
    return [tuple(row[element] for element in elements) for row in found]


def test_the_month_lands_in_the_layout_of_the_standard(home: Path) -> None:
    stage = run(home)
    assert rows(stage, "MHS000Header", "DatSetVer", "OrgIDProvider", "OrgIDSubmit", "ReportingPeriodStartDate", "ReportingPeriodEndDate") == [
        ("6.0", "RXX", "RXX", "2026-08-01", "2026-08-31")
    ]
    assert rows(stage, "MHS001MPI", "LocalPatientID", "Gender", "NHSNumber") == [("P1", "1", None), ("P2", "2", None)]
    schema = pq.read_schema(stage.path / "MHS101Referral.parquet")
    assert {str(field.type) for field in schema} == {"string"}
    assert schema.names[:3] == ["ServiceRequestID", "LocalPatientID", "OrgIDComm"]


def test_the_manifest_records_rows_hashes_and_when_but_no_value(home: Path) -> None:
    stage = run(home)
    facts, inputs = stage.manifest["facts"], stage.manifest["inputs"]
    assert facts["tables"] == {"MHS000Header": 1, "MHS001MPI": 2, "MHS002GP": 3, "MHS101Referral": 3}
    assert facts["rows"] == 9
    assert facts["fetched"] == {"people": 3, "referrals": 3}
    assert facts["as_of"].endswith("Z")
    assert set(inputs["queries"]) == {"people", "referrals"}
    assert len(inputs["mapping"]) == 16
    stages.verify(stage)
    text = (stage.path / stages.MANIFEST).read_text()
    assert "P1" not in text.replace("MHS", "")


def test_the_same_content_again_changes_nothing_though_time_has_passed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(home)
    assert first.changed
    monkeypatch.setattr("ips_pipeline.sources.extract.datetime", _Later)
    again = run(home)
    assert (again.identity, again.changed) == (first.identity, False)
    assert again.manifest["facts"]["as_of"] == first.manifest["facts"]["as_of"]


class _Later:
    """A clock that stands in the year after."""

    @staticmethod
    def now(zone: object) -> object:
        from datetime import UTC, datetime

        return datetime(2027, 9, 1, 12, 0, tzinfo=UTC)


def test_the_order_of_the_source_does_not_matter_but_its_content_does(home: Path) -> None:
    first = run(home)
    (home / "exports/people.csv").write_text("sex,id\n,P3\nMan,P1\nWoman,P2\n")
    assert not run(home).changed
    (home / "exports/people.csv").write_text("sex,id\n,P3\nMan,P1\nMan,P2\n")
    second = run(home)
    assert second.changed
    assert second.identity != first.identity
    assert first.path.is_dir()


def test_another_mapping_is_another_landing(home: Path) -> None:
    first = run(home)
    (home / "rxx.yaml").write_text(MAPPING.replace("V81999", "V81997"))
    assert run(home).identity != first.identity


def test_only_the_owner_can_look_into_the_restricted_zone(home: Path) -> None:
    stage = run(home)
    site = settings.load(home / "SITE.toml")
    for path in (site.restricted, site.temporary, *stage.path.iterdir()):
        assert path.stat().st_mode & 0o077 == 0
    assert [path.name for path in site.temporary.iterdir()] == ["staging"]
    assert not list(site.staging.iterdir())


@pytest.mark.parametrize(
    ("old", "new", "kind", "message"),
    [
        ("LocalPatientID: id\n", "LocalPatientID: ids\n", InputError, "the input people has no column ids (did you mean id?)"),
        ("LocalPatientID: id\n", "LocalPatientID: {expression: upper(ids)}\n", UsageError, "element LocalPatientID: the expression is not valid SQL"),
        ("where: id IN", "where: ids IN", UsageError, "table MHS001MPI, where: the expression is not valid SQL"),
        (
            "LocalPatientID: id\n",
            "LocalPatientID: {expression: CAST(id AS INTEGER)}\n",
            InputError,
            "LocalPatientID: the expression fails on some of the",
        ),
        ('Man: "1", Woman: "2"', 'Man: "1"', InputError, "1 local codes have no national code, in 1 of 2 rows: Woman (1); add them to codes.sex"),
        ('Man: "1", Woman: "2"', '"1": "1"', InputError, "2 local codes have no national code, in 2 of 2 rows; add them to codes.sex"),
        ("{file: people.csv}", "{query: SELECT 1}", UsageError, "input people: the source exports needs a file"),
        ("{file: people.csv}", "{file: persons.csv}", InputError, "there is no file"),
        ("  MHS002GP:", "  MHS003AccommStatus:", UsageError, "the standard has no element GMPReg"),
    ],
)
def test_what_is_lacking_is_told_in_one_line_and_nothing_lands(home: Path, old: str, new: str, kind: type[Exception], message: str) -> None:
    assert old in MAPPING
    (home / "rxx.yaml").write_text(MAPPING.replace(old, new, 1))
    with pytest.raises(kind) as caught:
        run(home)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (home / "data/restricted/landing").exists()


def test_a_mapping_without_a_required_table(home: Path) -> None:
    (home / "rxx.yaml").write_text(MAPPING[: MAPPING.index("  MHS101Referral")])
    with pytest.raises(UsageError, match="lacks MHS101Referral"):
        run(home)


def test_values_of_a_column_that_is_not_one_of_codes_are_never_shown(home: Path) -> None:
    (home / "rxx.yaml").write_text(MAPPING.replace("column: sex, codes", "column: id, codes"))
    with pytest.raises(InputError) as caught:
        run(home)
    assert "P1" not in str(caught.value)
    assert "P2" not in str(caught.value)


@pytest.mark.parametrize("where", ["unmapped_codes: keep\ncodes:\n  sex: {", "codes:\n  sex: {unmapped: keep, values: {"])
def test_unmapped_codes_may_pass_as_they_are(home: Path, where: str) -> None:
    changed = MAPPING.replace("codes:\n  sex: {", where, 1).replace(', Woman: "2"}', "}}" if "values" in where else "}", 1)
    (home / "rxx.yaml").write_text(changed)
    assert rows(run(home), "MHS001MPI", "Gender") == [("1",), ("Woman",)]


def test_a_database_needs_queries_or_tables(home: Path) -> None:
    (home / "SITE.toml").write_text(SITE.replace('source = "exports"', 'source = "epr"'))
    with pytest.raises(UsageError, match="the source epr needs a query or a table"):
        run(home)
