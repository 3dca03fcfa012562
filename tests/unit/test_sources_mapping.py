"""Mappings: what a site may write, what is refused with which words, and the SQL that comes of it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ips_pipeline.errors import UsageError
from ips_pipeline.mhsds import standard
from ips_pipeline.sources import mapping as mappings
from ips_pipeline.store.duck import session

GOOD = """\
codes:
  sex: {M: "1", F: "2"}
  outcome: {file: outcome.csv}
inputs:
  person: {query: "SELECT * FROM person WHERE seen <= :period_end"}
  appointment: {table: dbo.appointment}
tables:
  MHS000Header:
    columns:
      DatSetVer: {value: "6.0"}
      OrgIDProvider: {parameter: provider}
  MHS001MPI:
    from: person
    where: deleted IS NULL
    columns:
      LocalPatientID: id
      Gender: {column: sex, codes: sex}
      PersonBirthDate: {column: born, format: "%d/%m/%Y"}
      Postcode: {expression: "upper(post_code)"}
  MHS201CareContact:
    from: appointment
    columns: {CareContactID: visit_no, AttendStatus: {column: outcome, codes: outcome}}
"""


def load(folder: Path, text: str = GOOD) -> mappings.LocalMapping:
    (folder / "outcome.csv").write_text("local,national\nATT,5\nDNA,3\n", encoding="utf-8")
    (folder / "map.yaml").write_text(dedent(text), encoding="utf-8")
    return mappings.load(folder / "map.yaml")


def test_a_mapping_is_read(tmp_path: Path) -> None:
    mapping = load(tmp_path)
    assert mapping.tables["MHS001"].columns["LocalPatientID"].column == "id"
    assert mapping.codes["outcome"].values == {"ATT": "5", "DNA": "3"}
    assert mapping.unmapped_codes == "error"


def test_coverage_names_what_is_mapped_and_what_is_missing(tmp_path: Path) -> None:
    coverage = mappings.check(load(tmp_path))
    people = next(table for table in coverage.tables if table.table == "MHS001MPI")
    assert people.mapped == ("LocalPatientID", "PersonBirthDate", "Postcode", "Gender")
    assert people.missing_mandatory == ("OrgIDLocalPatientID",)
    assert "NHSNumber" in people.missing
    header = next(table for table in coverage.tables if table.table == "MHS000Header")
    assert header.constant == ("DatSetVer", "OrgIDProvider")
    assert coverage.missing_required == ("MHS002GP", "MHS101Referral")
    assert "MHS004EmpStatus" in coverage.missing_tables
    assert coverage.odd_codes == ()


def test_coverage_names_national_codes_that_the_standard_does_not_list(tmp_path: Path) -> None:
    coverage = mappings.check(load(tmp_path, GOOD.replace('F: "2"', 'F: "7"')))
    assert coverage.odd_codes == (("MHS001MPI", "Gender", "7"),)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("MHS001MPI:", "MHS001Mpi:", "names the table MHS001Mpi, which the standard does not have (did you mean MHS001MPI?)"),
        ("LocalPatientID: id", "LocalPatientId: id", "the standard has no element LocalPatientId (did you mean LocalPatientID?)"),
        ("from: person", "from: persons", "from names persons, which is not among the inputs (did you mean person?)"),
        ("codes: sex", "codes: sexes", "there is no code map sexes (did you mean sex?)"),
        ("file: outcome.csv", "file: none.csv", "cannot be read"),
        ("outcome: {file: outcome.csv}", "outcome: []", "codes.outcome must map local codes"),
        ('M: "1"', "M: 01", "codes.sex.values.M must be text; put it in quotes"),
        ("{table: dbo.appointment}", "{}", "exactly one of query, table or file"),
        ("{table: dbo.appointment}", "{file: visits.accdb}", "an Access file needs the table to read"),
        ("{table: dbo.appointment}", "{file: visits.csv, sheet: One}", "sheet and heading_row belong to a file that is a workbook"),
        ("{table: dbo.appointment}", "{file: visits.xlsx, table: one}", "exactly one of query, table or file"),
        ("{table: dbo.appointment}", "{file: ../visits.csv}", "a file is given relative to the folder of the source"),
        ("{table: dbo.appointment}", "{file: /visits.csv}", "a file is given relative to the folder of the source"),
        ("SELECT * FROM person", "DELETE FROM person", "a query must be one SELECT"),
        (":period_end", ":periodend", "binds :periodend, which is not known (did you mean period_end?)"),
        ("where: deleted IS NULL", "filter: deleted IS NULL", "unknown key tables.MHS001.filter"),
        ("{parameter: provider}", "{parameter: colour}", "tables.MHS000.columns.OrgIDProvider.parameter"),
        ("{column: born, ", '{column: born, value: "x", ', "exactly one of column, expression, value or parameter"),
        ('{value: "6.0"}', "local_version", "a table without an input (from) has no columns"),
        ('{value: "6.0"}', "{value: 6.0}", "DatSetVer.value must be text"),
        ("visit_no", "no", "tables.MHS201.columns.CareContactID must be text; put it in quotes"),
        ("codes:", "codez:", "unknown key codez"),
        ("tables:", "tabels:", "has no tables"),
        ("inputs:", "\tinputs:", "is not valid YAML at line"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_that_names_the_mapping(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(UsageError) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert message in str(caught.value)
    assert str(tmp_path / "map.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_code_file_that_gives_a_code_twice_or_lacks_a_column(tmp_path: Path) -> None:
    for content, message in (("local,national\nATT,5\nATT,6\n", "twice"), ("code,meaning\nATT,5\n", "columns local and national")):
        (tmp_path / "codes.csv").write_text(content)
        (tmp_path / "map.yaml").write_text(GOOD.replace("outcome.csv", "codes.csv"))
        with pytest.raises(UsageError, match=message):
            mappings.load(tmp_path / "map.yaml")


def test_an_empty_or_absent_mapping(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text("")
    with pytest.raises(UsageError, match="is empty"):
        mappings.load(tmp_path / "map.yaml")
    with pytest.raises(UsageError, match="cannot be read"):
        mappings.load(tmp_path / "none.yaml")


def test_the_hash_of_a_mapping_depends_on_its_content_and_not_on_its_place(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert load(tmp_path / "a").content() == load(tmp_path / "b").content()
    assert load(tmp_path / "a").content() != load(tmp_path / "b", GOOD.replace('M: "1"', 'M: "9"')).content()


def element(column: mappings.Column, name: str, value: str | None, mapping: mappings.LocalMapping, table: str = "MHS001") -> str | None:
    """What an element becomes when the local column ``it`` holds the value."""
    field = standard.load().table(table).field(name)
    with session() as connection:
        query = f"SELECT {mappings.element_sql(mapping, field, column)} FROM (SELECT $1 AS it)"
        found: str | None = connection.execute(query, [value]).fetchall()[0][0]
    return found


@pytest.mark.parametrize(
    ("name", "column", "value", "expected"),
    [
        ("LocalPatientID", {"column": "it"}, " x ", " x "),
        ("LocalPatientID", {"column": "it"}, "", None),
        ("LocalPatientID", {"expression": "upper(it)"}, "ab", "AB"),
        ("LocalPatientID", {"value": "O'Brien"}, "x", "O'Brien"),
        ("Gender", {"column": "it", "codes": "sex"}, "M", "1"),
        ("Gender", {"column": "it", "codes": "sex"}, "?", "?"),
        ("Gender", {"column": "it", "codes": "sex"}, None, None),
        ("PersonBirthDate", {"column": "it", "format": "%d/%m/%Y"}, "01/02/1980", "1980-02-01"),
        ("PersonBirthDate", {"column": "it", "format": "%d/%m/%Y"}, "30/02/1980", "30/02/1980"),
        ("PersonBirthDate", {"column": "it", "format": ("%d/%m/%Y", "%d-%b-%Y")}, "01-Feb-1980", "1980-02-01"),
        ("PersonBirthDate", {"column": "it"}, "1980-02-01T00:00:00", "1980-02-01"),
        ("PersonBirthDate", {"column": "it"}, "1980-02-01 00:00:00.000", "1980-02-01"),
        ("PersonBirthDate", {"column": "it"}, "1980-02-01T09:30:00", "1980-02-01T09:30:00"),
    ],
)
def test_an_element_is_the_local_value_mapped_or_left_as_it_is(
    tmp_path: Path, name: str, column: dict[str, object], value: str | None, expected: str | None
) -> None:
    assert element(mappings.Column.model_validate(column), name, value, load(tmp_path)) == expected


def test_times_take_the_shape_of_the_standard(tmp_path: Path) -> None:
    column = mappings.Column(column="it", format="%H:%M")
    assert element(column, "CareContTime", "9:05", load(tmp_path), "MHS201") == "09:05:00"


_words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@settings(deadline=None, max_examples=30)
@given(local=_words, national=_words)
def test_no_code_and_no_constant_can_break_out_of_its_place(local: str, national: str) -> None:
    codes = mappings.CodeMap(name="odd", values={local: national})
    with session() as connection:
        looked_up = connection.execute(f"SELECT {mappings.code_lookup(codes, '$1')}", [local]).fetchall()[0][0]
        constant = connection.execute(f"SELECT {mappings.origin_sql(mappings.Column(value=national))}").fetchall()[0][0]
    assert looked_up == constant == national


def test_what_a_system_writes_for_nothing_is_nothing(tmp_path: Path) -> None:
    rows = [" x ", "-", " n/k ", "", "  ", None, "a-b"]
    pq.write_table(pa.table({"it": pa.array(rows), "no": pa.array([str(number) for number, _ in enumerate(rows)])}), tmp_path / "it.parquet")
    with session(read=[tmp_path]) as connection:
        for missing, expected in (((), rows), (("-", "n/k"), [" x ", None, None, None, None, None, "a-b"])):
            query = mappings.input_sql(mappings.Input(file="it.csv", missing=missing), tmp_path / "it.parquet")
            found = connection.execute(f"SELECT it FROM ({query if missing else f'SELECT * {query}'}) ORDER BY no").fetchall()
            assert [it for (it,) in found] == list(expected)
