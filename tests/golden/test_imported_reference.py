"""A reference folder imported from downloads of every layout, and the measures that read it, by IMD 2019 and by IMD 2025."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from ips_pipeline.measures import computation
from ips_pipeline.sources import reference_import
from ips_pipeline.store import folders

DECILE = "Index of Multiple Deprivation (IMD) Decile (where 1 is most deprived 10% of LSOAs)"
AGES = [f"{sex}{age}" for sex in "FM" for age in range(91)]


def download(path: Path, rows: Sequence[Sequence[str]]) -> Path:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


def ods(code: str, name: str, commissioner: str = "") -> list[str]:
    fields = {0: code, 1: name, 10: "19740401", 12: "ACTIVE", 14: commissioner}
    return [fields.get(position, "") for position in range(27)]


def estimates(path: Path, title: str, heading: str, people: dict[str, int]) -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = title
    for row in (["Estimates"], [""], [""], [heading, "Total", *AGES]):
        sheet.append(row)
    for area, count in people.items():
        sheet.append([area, count * len(AGES), *[count] * len(AGES)])
    book.save(path)
    return path


def downloads(folder: Path, index: str) -> list[Path]:
    """Two sub-ICBs; the second postcode's area was split after 2011 and has another decile in each index."""
    folder.mkdir()
    year, deciles = {"2019": ("2011", {"E01000001": "1", "E01000002": "10"}), "2025": ("2021", {"E01000001": "3", "E01000022": "5"})}[index]
    census = ["Sub integrated care board locations Code", "Ethnic group (20 categories) Code", "Ethnic group (20 categories)", "Observation"]
    lookup = [
        ["SICBL24CD", "SICBL24CDH", "SICBL24NM", "ICB24CD", "ICB24CDH", "ICB24NM", "NHSER24CD", "NHSER24CDH", "NHSER24NM"],
        *([f"E3800000{n}", code, f"SUB ICB {code}", "E54000001", "Q1", "ICB", "E40000001", "Y1", "REGION"] for n, code in ((1, "AAA"), (2, "BBB"))),
    ]
    return [
        download(folder / "lookup.csv", lookup),
        download(folder / "epraccur.csv", [ods("B00001", "PRACTICE", "BBB"), ods("B00002", "PRACTICE", "BBB")]),
        download(folder / "etr.csv", [ods("RAA", "TRUST RAA"), ods("RBB", "TRUST RBB")]),
        download(
            folder / "ONSPD.csv",
            [
                ["pcds", "dointr", "doterm", "lad25cd", "sicbl25cd", "lsoa11cd", "lsoa21cd"],
                ["AA1 1AA", "198001", "", "E06000001", "E38000001", "E01000001", "E01000001"],
                ["AA1 1ZZ", "198001", "", "E06000001", "E38000001", "E01000002", "E01000022"],
            ],
        ),
        download(folder / "File_7.csv", [[f"LSOA code ({year})", "LSOA name", DECILE], *([area, "A", decile] for area, decile in deciles.items())]),
        estimates(folder / "sapehealthgeog.xlsx", "Mid-2024 SICBL 2024", "SICBL 2024 Code", {"E38000001": 10, "E38000002": 20}),
        estimates(folder / "sapelsoasyoa.xlsx", "Mid-2024 LSOA 2021", "LSOA 2021 Code", {"E01000001": 3, "E01000022": 5}),
        download(folder / "census.csv", [census, ["E38000001", "13", "White", "700"], ["E38000001", "3", "Indian", "300"]]),
    ]


@pytest.mark.parametrize(
    ("index", "deciles", "people"),
    [
        # As in the published measure, an area that 2011 did not have is in no decile of 2019.
        ("2019", {"01 Most deprived": 1, "10 Least deprived": 1}, {"01 Most deprived": 546, "UNKNOWN": 910}),
        ("2025", {"03 More deprived": 1, "05 More deprived": 1}, {"03 More deprived": 546, "05 More deprived": 910}),
    ],
)
def test_measures_of_an_imported_folder(index: str, deciles: dict[str, int], people: dict[str, int], new_world: Any, tmp_path: Path) -> None:
    world = new_world()
    for patient, home in (("P1", "AA1 1AA"), ("P2", "AA1 1ZZ")):
        referral = {"ServiceRequestID": f"R{patient}", "LocalPatientID": patient}
        world.add("RAA", "2026-08", "MHS001MPI", {"LocalPatientID": patient, "PersonBirthDate": "1994-05-05", "Postcode": home, "GenderIDCode": "1"})
        world.add("RAA", "2026-08", "MHS002GP", {"LocalPatientID": patient, "GMPReg": "B00001"})
        world.add("RAA", "2026-08", "MHS101Referral", referral | {"ReferralRequestReceivedDate": "2026-01-10", "CareProfTeamLocalID": "IPS"})
        contact = {
            "CareContactID": f"C{patient}",
            "CareContDate": "2026-08-10",
            "AttendStatus": "5",
            "ConsMechanismMH": "01",
        }
        world.add("RAA", "2026-08", "MHS201CareContact", contact | {"ServiceRequestID": referral["ServiceRequestID"]})
    world.write(tmp_path / "world")
    reference = tmp_path / "reference"
    reference_import.load(downloads(tmp_path / "downloads", index), reference)

    declared = computation.variables("2026-08", "Performance")
    submissions = folders.discover(tmp_path / "world" / "submissions", last="2026-08")
    with computation.opened(submissions, reference, declared) as inputs:
        assert {"providers", "gp_practices", "postcodes", "geography", "lsoa_imd2019", "population_lsoa", "census2021_ethnicity"} <= inputs.held
        inputs.make(*computation.DERIVE, *computation.MHS116, *computation.DASHBOARD, *computation.PUBLICATIONS)
        connection = inputs.connection

        def shown(breakdown: str) -> dict[str, int]:
            query = (
                "SELECT PRIMARY_LEVEL, MEASURE_VALUE::DOUBLE::INTEGER FROM mhsds_raw"
                " WHERE MEASURE_ID = 'MHS116' AND BREAKDOWN = $1 AND MEASURE_VALUE::DOUBLE > 0"
            )
            return dict(connection.execute(query, [breakdown]).fetchall())

        assert shown("England; IMD Decile") == deciles
        assert shown("Sub ICB of GP Practice or Residence") == {"BBB": 2}
        assert shown("Provider") == {"RAA": 2}
        held = dict(connection.execute("SELECT level, people FROM population WHERE breakdown = 'imd_decile' AND people > 0").fetchall())
        assert held == people
        assert connection.execute("SELECT people FROM population WHERE breakdown = 'england'").fetchone() == (30 * 182,)
        ethnicity = connection.execute("SELECT level, people FROM population WHERE breakdown = 'upper_ethnicity' AND people > 0").fetchall()
        assert dict(ethnicity) == {"White or White British": 700, "Asian or Asian British": 300}
