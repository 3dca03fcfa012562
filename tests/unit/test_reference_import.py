"""Made-up downloads in the layouts of the real ones: what the reference folder holds afterwards, and what is refused in one line."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import openpyxl
import pytest

from ips_pipeline.errors import InputError, IpsError, RetryableError, UsageError
from ips_pipeline.measures import reference as measures_reference
from ips_pipeline.sources import reference_import
from ips_pipeline.store import duck

DECILE = "Index of Multiple Deprivation (IMD) Decile (where 1 is most deprived 10% of LSOAs)"
AGES = [f"{sex}{age}" for sex in "FM" for age in range(91)]


def as_csv(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


def ods(code: str, name: str, opened: str, closed: str = "", commissioner: str = "") -> list[str]:
    """A row of the 27 fields that ODS reports share."""
    row = [""] * 27
    row[0], row[1], row[2], row[9], row[10], row[11], row[12] = code, name, "Y63", "AA1 1AA", opened, closed, "ACTIVE"
    row[14], row[23], row[25] = commissioner, "Q99", "RO76"
    return row


GEOGRAPHY = as_csv(
    [
        ["SICBL24CD", "SICBL24CDH", "SICBL24NM", "ICB24CD", "ICB24CDH", "ICB24NM", "NHSER24CD", "NHSER24CDH", "NHSER24NM", "ObjectId"],
        ["E38000001", "AAA", "NHS ALPHA ICB - AAA", "E54000001", "Q1", "NHS ALPHA ICB", "E40000001", "Y1", "NORTH", "1"],
        ["E38000002", "BBB", "NHS ALPHA ICB - BBB", "E54000001", "Q1", "NHS ALPHA ICB", "E40000001", "Y1", "NORTH", "2"],
    ]
)
EPRACCUR = as_csv(
    [
        ods("B00001", "SURGERY, THE", "19740401", "", "BBB"),
        ods("A00001", "OLD SURGERY", "19740401", "20250331", "AAA"),
        ods("Y00001", "NOBODY'S", "20200101"),
    ]
)
ETR = as_csv([ods("RAA", "ALPHA NHS TRUST", "20010401"), ods("RBB", "BETA NHS TRUST", "20010401", "20260331")])
ONSPD = as_csv(
    [
        ["pcd", "pcd2", "pcds", "dointr", "doterm", "oslaua", "ccg", "lsoa11", "lsoa21", "lat"],
        ["AA1 1AA", "AA1  1AA", "AA1 1AA", "198001", "", "E06000001", "E38000001", "E01000001", "E01000001", "51.5"],
        ["AA1 1ZZ", "AA1  1ZZ", "AA1 1ZZ", "200006", "202402", "E06000001", "E38000002", "E01000002", "E01000003", "51.5"],
        ["CF1 1AA", "CF1  1AA", "CF1 1AA", "198001", "", "W06000001", "W11000001", "W01000001", "W01000001", "51.5"],
    ]
)
IOD2019 = as_csv([["LSOA code (2011)", "LSOA name (2011)", "IMD Score", DECILE], ["E01000001", "A 1", "9.9", "1"], ["E01000002", "A 2", "9", "10"]])
IOD2025 = as_csv([["LSOA code (2021)", "LSOA name (2021)", "IMD Score", DECILE], ["E01000001", "A 1", "9.9", "2"], ["E01000003", "A 3", "9", "9"]])
CENSUS = as_csv(
    [
        [
            "Sub integrated care board locations Code",
            "Sub integrated care board locations",
            "Age (101 categories) Code",
            "Age (101 categories)",
            "Sex (2 categories) Code",
            "Sex (2 categories)",
            "Ethnic group (20 categories) Code",
            "Ethnic group (20 categories)",
            "Observation",
        ],
        ["E38000001", "Alpha", "30", "Aged 30 years", "1", "Female", "13", "White: British", "50"],
        ["E38000001", "Alpha", "30", "Aged 30 years", "2", "Male", "-8", "Does not apply", "0"],
        ["W11000001", "Elsewhere", "30", "Aged 30 years", "1", "Female", "13", "White: British", "7"],
    ]
)


def estimates(path: Path, sheets: dict[str, Sequence[Sequence[object]]]) -> Path:
    """A workbook of mid-year estimates: contents first, headings in the fourth row of each sheet."""
    book = openpyxl.Workbook()
    book.active.title = "Contents"
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for note in (f"{title} population estimates", "Source: made up", ""):
            sheet.append([note])
        for row in rows:
            sheet.append(list(row))
    book.save(path)
    return path


def of_sub_icbs(people: int) -> list[list[object]]:
    heading = ["SICBL 2023 Code", "SICBL 2023 Name", "ICB 2023 Code", "ICB 2023 Name", "NHSER 2023 Code", "NHSER 2023 Name", "Total", *AGES]
    place = ["E38000001", "Alpha", "E54000001", "Alpha", "E40000001", "North"]
    return [heading, [*place, people * 182, *[people] * 182]]


def of_areas(people: int) -> list[list[object]]:
    heading = ["LAD 2023 Code", "LAD 2023 Name", "LSOA 2021 Code", "LSOA 2021 Name", "Total", *AGES]
    areas = [("E06000001", "Alpha", "E01000001", "A 1"), ("E06000001", "Alpha", "E01000003", "A 3"), ("W06000001", "Elsewhere", "W01000001", "B 1")]
    return [heading, *([*area, people * 182, *[people] * 182] for area in areas)]


@pytest.fixture
def download(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Save a file as a browser would."""

    def save(name: str, content: str | bytes) -> Path:
        path = tmp_path / "downloads" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return save


@pytest.fixture
def everything(download: Callable[..., Path], tmp_path: Path) -> list[Path]:
    """One download of every layout, in an order that does not help."""
    return [
        download("ONSPD_NOV_2025_UK.csv", ONSPD),
        download("epraccur.csv", EPRACCUR),
        download("etr.csv", ETR),
        download("File_7_IoD2019.csv", "\ufeff" + IOD2019),
        estimates(tmp_path / "downloads" / "sapehealthgeog.xlsx", {"Mid-2021 ICB 2023": of_sub_icbs(1), "Mid-2022 ICB 2023": of_sub_icbs(2)}),
        estimates(tmp_path / "downloads" / "sapelsoasyoa.xlsx", {"Mid-2022 LSOA 2021": of_areas(3)}),
        download("custom-filtered.csv", CENSUS),
        download("SICBL_to_ICB_April_2024.csv", GEOGRAPHY),
    ]


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.reader(handle))


def refusal(*downloads: Path, into: Path, **options: object) -> str:
    """The one line an import ends with; the folder is as it was."""
    before = {path.name: path.read_bytes() for path in into.glob("*")} if into.is_dir() else {}
    with pytest.raises(IpsError) as refused:
        reference_import.load(downloads, into, **options)  # type: ignore[arg-type]
    assert isinstance(refused.value, InputError | UsageError)
    assert "\n" not in str(refused.value)
    assert {path.name: path.read_bytes() for path in into.glob("*")} == before
    assert not list(into.parent.glob(".*"))
    return str(refused.value)


def test_every_layout_becomes_the_columns_that_are_read(everything: list[Path], tmp_path: Path) -> None:
    into = tmp_path / "reference"
    done = {item.kind: item for item in reference_import.load(everything, into)}
    assert rows(into / "geography.csv")[1] == ["AAA", "NHS ALPHA ICB - AAA", "E38000001", "Q1", "NHS ALPHA ICB", "Y1", "NORTH"]
    assert rows(into / "gp_practices.csv") == [["GMPReg", "SubICB"], ["A00001", "AAA"], ["B00001", "BBB"]]
    assert rows(into / "providers.csv") == [["OrgIDProvider", "Name", "source"], ["RAA", "ALPHA NHS TRUST", "etr"], ["RBB", "BETA NHS TRUST", "etr"]]
    assert rows(into / "postcodes.csv") == [
        ["Postcode", "LSOA2011", "LSOA2021", "LADistrictAuth", "SubICB", "live_from", "live_to"],
        ["AA1 1AA", "E01000001", "E01000001", "E06000001", "AAA", "1980-01-01", ""],
        ["AA1 1ZZ", "E01000002", "E01000003", "E06000001", "BBB", "2000-06-01", "2024-02-29"],
        ["CF1 1AA", "W01000001", "W01000001", "W06000001", "", "1980-01-01", ""],
    ]
    assert rows(into / "lsoa_imd2019.csv") == [["LSOA2011", "IMDDecile2019"], ["E01000001", "1"], ["E01000002", "10"]]
    # The latest sheet, and no row of Wales.
    assert rows(into / "population_subicb.csv")[:3] == [
        ["SubICB_ONS", "Gender", "Age", "Population"],
        ["E38000001", "F", "0", "2"],
        ["E38000001", "F", "1", "2"],
    ]
    assert done["population_subicb"].edition == "Mid-2022"
    assert done["population_lsoa"].rows == {"population_lsoa.csv": 2 * 2 * 91}
    assert rows(into / "census2021_ethnicity.csv")[1:] == [["E38000001", "30", "1", "13", "50"], ["E38000001", "30", "2", "-8", "0"]]
    assert not (into / "organisations.csv").exists()


def test_the_measures_load_what_was_imported(everything: list[Path], tmp_path: Path) -> None:
    into = tmp_path / "reference"
    reference_import.load(everything, into)
    with duck.session(read=[into, measures_reference.STANDARD]) as connection:
        measures_reference.load(connection, into)
        held = set(measures_reference.held(into))
        assert held == set(measures_reference.FILES) - {"minimum_wage", "commissioner_code_changes"}
        assert connection.execute("SELECT sum(Population) FROM population_lsoa").fetchone() == (2 * 182 * 3,)
        assert connection.execute("SELECT EthnicGroupCode, Observation FROM census2021_ethnicity ORDER BY ALL").fetchall() == [("-8", 0), ("13", 50)]


def test_a_file_that_does_not_fit_into_memory_is_not_said_to_be_damaged(tmp_path: Path) -> None:
    rows = "".join(f"ZZ{number} 1AA,E01{number:06d},E06000001,000S\n" for number in range(50_000))
    (tmp_path / "postcodes.csv").write_text(f"Postcode,LSOA2011,LADistrictAuth,SubICB\n{rows}")
    with pytest.raises(RetryableError, match="memory limit"), duck.session(read=[tmp_path], memory_limit="1MB") as connection:
        measures_reference.load(connection, tmp_path)


def test_an_import_is_on_record_and_a_later_change_is_noticed(download: Callable[..., Path], tmp_path: Path) -> None:
    into = tmp_path / "reference"
    reference_import.load([download("etr.csv", ETR)], into, edition="2026-11", valid_from=date(2026, 11, 1))
    entry = measures_reference.versions(into)["imported"]["etr"]
    assert (entry["edition"], entry["valid_from"], entry["valid_to"], entry["download"]) == ("2026-11", "2026-11-01", None, "etr.csv")
    assert entry["files"] == {"providers.csv": 2}
    assert len(entry["sha256"]) == 64
    assert str(tmp_path) not in (into / reference_import.IMPORTED).read_text()
    (into / "schools.csv").write_text("code,live_from,live_to\n")
    assert {item.file: item.state for item in reference_import.standing(into)} == {"providers.csv": "as imported", "schools.csv": "by hand"}
    with (into / "providers.csv").open("a") as handle:
        handle.write("RZZ,GAMMA,\n")
    assert next(item for item in reference_import.standing(into) if item.file == "providers.csv").state == "changed since it was imported"


def test_the_same_download_gives_the_same_bytes(download: Callable[..., Path], tmp_path: Path) -> None:
    taken = []
    for name in ("first", "second"):
        reference_import.load([download("etr.csv", ETR), download("epraccur.csv", EPRACCUR)], tmp_path / name)
        taken.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert taken[0] == taken[1]


def test_shared_files_keep_what_was_there_by_hand_and_from_other_downloads(download: Callable[..., Path], tmp_path: Path) -> None:
    into = tmp_path / "reference"
    into.mkdir()
    (into / "organisations.csv").write_text("code,live_from,live_to\nDFC,2020-01-01,\nRAA,1999-01-01,\n")
    reference_import.load([download("etr.csv", ETR), download("epraccur.csv", EPRACCUR)], into, organisations=True)
    held = [
        ["code", "live_from", "live_to", "source"],
        ["A00001", "1974-04-01", "2025-03-31", "epraccur"],
        ["B00001", "1974-04-01", "", "epraccur"],
        ["DFC", "2020-01-01", "", "by hand"],
        ["RAA", "2001-04-01", "", "etr"],
        ["RBB", "2001-04-01", "2026-03-31", "etr"],
        ["Y00001", "2020-01-01", "", "epraccur"],
    ]
    assert rows(into / "organisations.csv") == held
    # The next edition has one trust less; nobody else's row is lost.
    reference_import.load([download("etr.csv", ETR.splitlines()[0])], into, organisations=True)
    assert rows(into / "organisations.csv") == [row for row in held if row[0] != "RBB"]


@pytest.mark.parametrize(
    "heading",
    [
        "pcds,dointr,doterm,lad26cd,lsoa21cd,sicbl26cd",
        '"PCDS","DOINTR","DOTERM","LAUA","LSOA21","SICBL"',
    ],
)
def test_postcode_directories_of_any_edition(heading: str, download: Callable[..., Path], tmp_path: Path) -> None:
    """The National Statistics Postcode Lookup has had no areas of 2011 since 2025; it says so, and the measures by IMD 2019 cannot use it."""
    into = tmp_path / "reference"
    given = f'{heading}\n"AA1 1AA","198001","","E06000001","E01000001","E38000001"\n'
    geography = download("geography.csv", GEOGRAPHY)
    done = reference_import.load([geography, download("NSPL.csv", given)], into)
    assert rows(into / "postcodes.csv")[0] == ["Postcode", "LSOA2021", "LADistrictAuth", "SubICB", "live_from", "live_to"]
    assert any("no LSOA2011" in note for note in done[1].notes)
    with duck.session(read=[into]) as connection, pytest.raises(InputError, match=r"postcodes\.csv has no column LSOA2011"):
        measures_reference.load(connection, into)


def test_postcodes_of_another_edition_than_the_geography_are_counted(download: Callable[..., Path], tmp_path: Path) -> None:
    moved = ONSPD.replace("E38000002", "E38000099")
    done = reference_import.load([download("geography.csv", GEOGRAPHY), download("onspd.csv", moved)], tmp_path / "reference")
    assert any(note.startswith("1 postcodes are in a sub-ICB") for note in done[1].notes)


def test_the_index_of_2025_goes_with_the_areas_of_2021(everything: list[Path], download: Callable[..., Path], tmp_path: Path) -> None:
    into = tmp_path / "reference"
    reference_import.load([path for path in everything if "IoD2019" not in path.name] + [download("File_7_IoD2025.csv", IOD2025)], into)
    assert measures_reference.versions(into)["index_of_deprivation"] == "IoD2025"
    with duck.session(read=[into]) as connection:
        measures_reference.load(connection, into)
        assert "lsoa_imd2019" in measures_reference.held(into)
        deciles = connection.execute("SELECT Postcode, IMDDecile2019 FROM postcode JOIN lsoa_imd USING (LSOA2011) ORDER BY ALL").fetchall()
        assert deciles == [("AA1 1AA", "2"), ("AA1 1ZZ", "9")]
    assert "one index of deprivation" in refusal(download("File_7_IoD2019.csv", IOD2019), into=into)


def test_the_index_of_2025_is_refused_beside_areas_of_2011(everything: list[Path], download: Callable[..., Path], tmp_path: Path) -> None:
    into = tmp_path / "reference"
    index = download("File_7_IoD2025.csv", IOD2025)
    reference_import.load([index], into)
    (into / "postcodes.csv").write_text("Postcode,LSOA2011,LADistrictAuth,SubICB\nAA1 1AA,E01000001,E06000001,AAA\n")
    with (
        duck.session(read=[into]) as connection,
        pytest.raises(InputError, match=r"has no column LSOA2021; lsoa_imd2025\.csv goes by the areas of 2021"),
    ):
        measures_reference.load(connection, into)
    (into / "postcodes.csv").unlink()
    (into / "population_lsoa.csv").write_text("LSOA2011,Gender,Age,Population\nE01000001,F,1,2\nE01000002,F,1,2\n")
    with duck.session(read=[into]) as connection, pytest.raises(InputError, match="import estimates of the areas of 2021"):
        measures_reference.load(connection, into)
    (into / "lsoa_imd2019.csv").write_text("LSOA2011,IMDDecile2019\n")
    with pytest.raises(InputError, match="a release goes by one"):
        measures_reference.versions(into)


def test_an_edition_chooses_the_sheet_of_a_workbook(tmp_path: Path) -> None:
    book = estimates(tmp_path / "years.xlsx", {"Mid-2021 ICB 2023": of_sub_icbs(1), "Mid-2022 ICB 2023": of_sub_icbs(2)})
    into = tmp_path / "reference"
    reference_import.load([book], into, edition="Mid-2021")
    assert rows(into / "population_subicb.csv")[1][-1] == "1"
    assert json.loads((into / reference_import.IMPORTED).read_text())["imports"]["population_subicb"]["valid_from"] == "2021-06-30"
    assert "no sheet of the edition Mid-1999; its sheets are Mid-2021 ICB 2023, Mid-2022 ICB 2023" in refusal(book, into=into, edition="Mid-1999")


def zipped(path: Path, **members: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "/") + ".csv", text)
    return path


def test_a_zip_file_of_one_table_is_taken_as_that_table(tmp_path: Path) -> None:
    into = tmp_path / "reference"
    reference_import.load([zipped(tmp_path / "download.zip", epraccur=EPRACCUR)], into)
    # A postcode directory comes with names of codes; the table is called as the archive. A path in the archive is not followed.
    directory = zipped(tmp_path / "ONSPD_NOV_2025_UK.zip", **{"..__..__ONSPD_NOV_2025_UK": ONSPD, "Documents__names": "code,name\n"})
    reference_import.load([zipped(tmp_path / "g.zip", geography=GEOGRAPHY), directory], into)
    assert sorted(path.name for path in into.glob("*.csv")) == ["geography.csv", "gp_practices.csv", "postcodes.csv"]
    assert not list(tmp_path.parent.glob("ONSPD*"))


def test_an_older_edition_in_a_windows_code_page_is_read(download: Callable[..., Path], tmp_path: Path) -> None:
    reference_import.load([download("etr.csv", ETR.replace("ALPHA", "CAFÉ").encode("cp1252"))], tmp_path / "reference")
    assert rows(tmp_path / "reference" / "providers.csv")[1][1] == "CAFÉ NHS TRUST"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("etr.csv", "<!DOCTYPE html><html><body>Access denied</body></html>", "is a web page, not the download"),
        ("etr.csv", "", "is empty"),
        ("etr.csv", "\r\n \r\n", "is empty"),
        ("etr.csv", "RAA,ALPHA\n", "is not laid out as NHS trusts (ODS etr); that has 27 columns and no header"),
        ("etr.csv", EPRACCUR, "is not NHS trusts (ODS etr): most of its values of code look otherwise"),
        ("epraccur.csv", EPRACCUR.replace("19740401", "04/1974").replace("20200101", "01/2020"), "most of its values of opened look otherwise"),
        ("etr.csv", ETR + "RCC,too short\r\n", "cannot be read as CSV"),
        ("imd.csv", IOD2019.replace(DECILE, "IMD Decile"), "is no download that is known by its header"),
        ("imd.csv", IOD2019.split("\r\n")[0] + "\r\n", "holds no row of English indices of deprivation 2019"),
        ("imd.csv", IOD2019 + "E01000001,A 1,9.9,4\r\n", "says two things of 1 values of LSOA2011"),
        ("imd.csv", IOD2019 + "E01000004,A 4,9.9,\r\n", "holds 1 rows without a whole number"),
        ("imd.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "workbook of the old kind"),
        ("etr.csv", b"\x00\x01\x02binary" * 9, "neither CSV in UTF-8 nor a workbook"),
        ("onspd.csv", ONSPD, "needs geography.csv"),
        ("etr.zip", b"PK\x03\x04 cut short", "neither CSV in UTF-8 nor a workbook|27 columns"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_and_nothing_is_written(
    name: str, content: str | bytes, says: str, download: Callable[..., Path], tmp_path: Path
) -> None:
    into = tmp_path / "reference"
    into.mkdir()
    (into / "providers.csv").write_text("OrgIDProvider,Name\nRZZ,GAMMA\n")
    # A good file beside it is not taken either.
    line = refusal(
        download("epraccur-good.csv" if name != "epraccur.csv" else "etr.csv", EPRACCUR if name != "epraccur.csv" else ETR),
        download(name, content),
        into=into,
    )
    assert any(part in line for part in says.split("|")), line


def test_archives_that_do_not_say_which_table(tmp_path: Path) -> None:
    into = tmp_path / "reference"
    assert "holds 2 tables, none of them called as the archive" in refusal(zipped(tmp_path / "two.zip", a=ETR, b=ETR), into=into)
    assert "holds 0 tables" in refusal(zipped(tmp_path / "none.zip"), into=into)


def test_options_that_do_not_fit(download: Callable[..., Path], tmp_path: Path) -> None:
    into = tmp_path / "reference"
    trusts, practices = download("etr.csv", ETR), download("epraccur.csv", EPRACCUR)
    assert "There is no layout gps; use one of geography, epraccur" in refusal(trusts, into=into, kind="gps")
    assert "are of one file" in refusal(trusts, practices, into=into, edition="2026")
    assert "give one edition" in refusal(trusts, download("etr-2.csv", ETR), into=into)
    assert "is not laid out as Postcode directory" in refusal(trusts, into=into, kind="onspd")
    assert "There is no file" in refusal(tmp_path / "missing.csv", into=into)
    reference_import.load([download("trusts.csv", ETR)], into, kind="etr")
    assert len(rows(into / "providers.csv")) == 3
