"""ips mapping check: what a mapping covers and what it makes of a month, with everything that would stop the extract and no patient's value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ips_pipeline import settings
from ips_pipeline.cli import ips
from ips_pipeline.errors import InputError, UsageError
from ips_pipeline.sources import mapping_check
from ips_pipeline.sources.extract import extract

SITE = """\
name = "A site"
data = "data"
reference = "reference"
sources.exports = { kind = "files", folder = "exports" }
providers = [{ code = "RXX", name = "A trust", source = "exports", mapping = "rxx.yaml" }]
"""

MAPPING = """\
codes:
  sex: {Man: "1", Woman: "2", Other: "8"}
inputs:
  people: {file: people.csv, missing: ["-"]}
  referrals: {file: "{period}.csv"}
tables:
  MHS000Header:
    columns:
      DatSetVer: {value: "6.0"}
      OrgIDProvider: {parameter: provider}
  MHS001MPI:
    from: people
    where: id IN (SELECT person FROM referrals WHERE "Left out?" IS NULL)
    columns:
      LocalPatientID: id
      Gender: {column: sex, codes: sex}
      PersonBirthDate: {column: born, format: ["%d/%m/%Y", "%Y%m%d"]}
  MHS002GP:
    from: people
    columns: {LocalPatientID: id, GMPReg: {value: V81999}}
  MHS101Referral:
    from: referrals
    columns: {ServiceRequestID: ref, LocalPatientID: person, ReferralRequestReceivedDate: {expression: "trim(received)"}}
"""

PEOPLE = """\
id,sex,born,surname,note
P1,Man,01/02/1980,Canarysurname,'born' here
P2,Woman,19800201,Canarysurname,
P3,Man,1980 or so,-,
P4,Woman,,-,
P5,Man,03/04/1981,-,
P6,Alien,-,-,
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for folder in ("reference", "exports"):
        (tmp_path / folder).mkdir()
    (tmp_path / "SITE.toml").write_text(SITE)
    (tmp_path / "rxx.yaml").write_text(MAPPING)
    (tmp_path / "exports/people.csv").write_text(PEOPLE)
    rows = "".join(f"R{number},P{number},2026-08-0{number},,x\n" for number in range(1, 7))
    (tmp_path / "exports/2026-08.csv").write_text(f"ref,person,received,Left out?,colour\n{rows}R9,P9,ninth,,\n")
    return tmp_path


def look(home: Path, period: str | None = "2026-08") -> mapping_check.Check:
    return mapping_check.check(settings.load(home / "SITE.toml"), "RXX", period)


def element(found: mapping_check.Check, table: str, name: str) -> mapping_check.ElementCheck:
    return next(item for about in found.tables if about.table == table for item in about.elements if item.element == name)


def test_each_element_is_told_with_what_it_makes_of_the_month(home: Path) -> None:
    found = look(home)
    born = element(found, "MHS001MPI", "PersonBirthDate")
    assert born.formats == {"%d/%m/%Y": 2, "%Y%m%d": 1, "none": 1}
    assert (born.empty, born.odd, born.mandation) == (2, 1, "R")
    sex = element(found, "MHS001MPI", "Gender").unmapped
    assert sex is not None
    assert (sex.codes, sex.rows, sex.total, sex.shown) == (1, 1, 6, (("Alien", 1),))
    received = element(found, "MHS101Referral", "ReferralRequestReceivedDate")
    assert (received.origin, received.empty, received.odd) == ("expression", 0, 1)
    people = next(table for table in found.tables if table.table == "MHS001MPI")
    assert (people.rows, people.coverage.missing_mandatory) == (6, ("OrgIDLocalPatientID",))
    assert found.odd_codes == (("MHS001MPI", "Gender", "8"),)


def test_columns_that_nothing_uses_are_named_and_those_in_an_expression_are_not(home: Path) -> None:
    assert look(home).unused == {"people": ("surname", "note"), "referrals": ("colour",)}


def test_nothing_lands_and_nothing_stays(home: Path) -> None:
    look(home)
    assert not (home / "data/restricted/landing").exists()
    assert [path.name for path in (home / "data/restricted/tmp").iterdir()] == []


def test_all_that_would_stop_the_extract_is_found_in_one_go_and_in_its_words(home: Path) -> None:
    broken = MAPPING.replace("LocalPatientID: id\n      Gender", "LocalPatientID: ids\n      Gender").replace('"trim(received)"', '"trim(recived)"')
    (home / "rxx.yaml").write_text(broken)
    found = look(home)
    assert [str(stop).partition("; ")[0].partition(": ")[2] for stop in found.stops] == [
        "the input people has no column ids (did you mean id?)",
        "1 local codes have no national code, in 1 of 6 rows: Alien (1)",
        "the expression is not valid SQL over the columns of its input (BinderException)",
    ]
    with pytest.raises(InputError) as caught:
        extract(settings.load(home / "SITE.toml"), "RXX", "2026-08")
    assert str(caught.value) == str(found.stops[0])
    refused = mapping_check.refusal(found)
    assert isinstance(refused, InputError) and "(and 2 more, listed above)" in str(refused)


def test_an_expression_that_fails_on_a_value_and_a_condition_that_is_wrong(home: Path) -> None:
    (home / "rxx.yaml").write_text(MAPPING.replace("trim(received)", "CAST(received AS DATE)").replace("where: id IN", "where: idd IN"))
    stops = [str(stop) for stop in look(home).stops]
    assert [stop for stop in stops if "MHS001MPI, where: the expression is not valid SQL" in stop]
    assert [stop for stop in stops if "ReferralRequestReceivedDate: the expression fails on some of the values" in stop]
    assert not [stop for stop in stops if "ninth" in stop]


def test_what_does_not_stop_the_extract_does_not_stop_the_check(home: Path) -> None:
    (home / "rxx.yaml").write_text("unmapped_codes: keep\n" + MAPPING)
    found = look(home)
    assert found.stops == () and mapping_check.refusal(found) is None
    assert extract(settings.load(home / "SITE.toml"), "RXX", "2026-08").changed


def test_without_a_required_table_the_rest_is_told_all_the_same(home: Path) -> None:
    (home / "rxx.yaml").write_text(MAPPING[: MAPPING.index("  MHS101Referral")])
    for period in ("2026-08", None):
        found = look(home, period)
        assert len(found.stops) == 1 and "lacks MHS101Referral" in str(found.stops[0])
        assert isinstance(mapping_check.refusal(found), UsageError)
        assert len(found.tables) == 3


def test_offline_opens_no_source(home: Path) -> None:
    (home / "exports/people.csv").unlink()
    found = look(home, None)
    assert found.stops == () and element(found, "MHS001MPI", "PersonBirthDate").empty is None
    with pytest.raises(InputError, match="there is no file"):
        look(home)


def test_the_command_tells_people_and_programs_and_shows_no_value(home: Path) -> None:
    arguments = ["mapping", "check", "--config", str(home / "SITE.toml"), "--provider", "RXX"]
    said = CliRunner().invoke(ips, [*arguments, "--period", "2026-08"])
    assert isinstance(said.exception, InputError)
    assert (
        "PersonBirthDate                  R  column born; 33.3% empty; 1 not in the form of the standard; %d/%m/%Y 2, %Y%m%d 1, none 1" in said.output
    )
    assert "missing and mandatory: OrgIDLocalPatientID" in said.output
    assert "Nothing uses of the input referrals: colour" in said.output
    assert "Would stop the extract: The mapping" in said.output
    told = json.loads(CliRunner().invoke(ips, [*arguments, "--period", "2026-08", "--json"]).output)
    sex = next(item for item in told["tables"][1]["elements"] if item["element"] == "Gender")
    assert sex["unmapped"] == {"codes": 1, "rows": 1, "total": 6, "shown": [["Alien", 1]]}
    assert len(told["stops"]) == 1
    for text in (said.output, json.dumps(told), str(said.exception)):
        assert not [value for value in ("Canary", "1980 or so", "ninth", "P1", "R1") if value in text]
    offline = CliRunner().invoke(ips, [*arguments, "--offline"])
    assert offline.exit_code == 0 and "Nothing uses" not in offline.output


def test_values_of_a_column_that_is_not_one_of_codes_are_not_shown(home: Path) -> None:
    (home / "rxx.yaml").write_text(MAPPING.replace("column: sex, codes", "column: id, codes"))
    found = element(look(home), "MHS001MPI", "Gender").unmapped
    assert found is not None and (found.codes, found.shown) == (6, ())


def test_offline_and_a_period_contradict_each_other(home: Path) -> None:
    said = CliRunner().invoke(ips, ["mapping", "check", "--config", str(home / "SITE.toml"), "--provider", "RXX", "--offline", "--period", "2026-08"])
    assert isinstance(said.exception, UsageError) and "either --offline or --period" in str(said.exception)
