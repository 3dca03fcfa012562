"""Small made-up worlds for the measures: a few people, their monthly rows, and a reference folder of three places."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from ips_pipeline.measures import computation, compute
from ips_pipeline.store import duck, folders

Row = Mapping[str, str | None]

#: Where a made-up person may live: postcode -> (LSOA, local authority, sub-ICB).
HOMES: Mapping[str, tuple[str, str, str]] = {
    "AA1 1AA": ("E01000001", "E06000001", "AAA"),
    "AA1 1ZZ": ("E01000002", "E92000001", "AAA"),
    "AA9 9AA": ("E01009999", "E06000001", "AAA"),
    "NO1 1LA": ("E01000001", "", "AAA"),
    "NO1 1IC": ("E01000001", "E06000001", ""),
    "CF1 1AA": ("W01000001", "W06000001", "7A1"),
    "EH1 1AA": ("S01000001", "S12000005", ""),
    "JE1 1AA": ("L99999999", "L99999999", "X98"),
    "IM1 1AA": ("M99999999", "M99999999", "X98"),
}
#: GP practices and the sub-ICB of each; ZZZ is one that no longer exists.
PRACTICES: Mapping[str, str] = {"B00001": "BBB", "B00002": "BBB", "C00001": "CCC", "Z00001": "ZZZ", "X00001": "X98", "N00001": ""}
PROVIDERS = ("RAA", "RBB", "RZZ", "DFC", "S9X2N", "RT3", "RT4", "RT7", "RT8", "RT12", "RT13")


class World:
    """Rows by provider, month and table, in the order they were added."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
        #: Providers and months whose file is written without a header.
        self.headerless: set[tuple[str, str]] = set()

    def submission(self, provider: str, month: str, created: str = "10:00:00") -> None:
        """Make sure the provider submits that month."""
        if not self.rows[provider, month]["MHS000Header"]:
            header = {"OrgIDProvider": provider, "ReportingPeriodStartDate": f"{month}-01", "DateTimeDatSetCreate": f"{month}-28T{created}"}
            self.rows[provider, month]["MHS000Header"].append(header)
            for team, kind in (("IPS", "D05"), ("IPS2", "D05"), ("CMHT", "A06")):
                self.rows[provider, month]["MHS902ServiceTeamDetails"].append({"CareProfTeamLocalID": team, "ServTeamTypeMH": kind})

    def add(self, provider: str, month: str, table: str, row: Row) -> None:
        """Add a row unless the very same one is there."""
        self.submission(provider, month)
        if row not in self.rows[provider, month][table]:
            self.rows[provider, month][table].append(row)

    def write(self, root: Path) -> None:
        """Write the submissions as CSV, and the reference folder."""
        for (provider, month), tables in self.rows.items():
            for table, rows in tables.items():
                if table == "MHS000Header" and (provider, month) in self.headerless:
                    continue
                _write(root / "submissions" / provider / month / f"{table}.csv", list(dict.fromkeys(name for row in rows for name in row)), rows)
        write_reference(root / "reference")


def write_reference(folder: Path) -> None:
    """Three sub-ICBs, two ICBs, one region; RZZ is a provider the register does not know, and K85 one that it lists twice, as are all postcodes."""
    registered = [code for code in (*PROVIDERS, "K85", "K85") if code != "RZZ"]
    _table(folder / "providers.csv", "OrgIDProvider,Name", [(code, f"TRUST {code}") for code in registered])
    _table(folder / "gp_practices.csv", "GMPReg,SubICB", list(PRACTICES.items()))
    _table(folder / "postcodes.csv", "Postcode,LSOA2011,LADistrictAuth,SubICB", [(code, *place) for code, place in HOMES.items()] * 2)
    places = [
        (code, f"SUB ICB {code}", f"E3800000{number}", "Q1" if number < 3 else "Q2", "ICB", "Y1", "REGION")
        for number, code in enumerate(("AAA", "BBB", "CCC"), 1)
    ]
    _table(folder / "geography.csv", "SubICB,SubICBName,SubICB_ONS,ICB,ICBName,Region,RegionName", places)
    _table(folder / "commissioner_code_changes.csv", "OldSubICB,NewSubICB", [("ZZZ", "CCC")])
    _table(folder / "lsoa_imd2019.csv", "LSOA2011,IMDDecile2019", [("E01000001", "1"), ("E01000002", "10")])
    ages = [(f"E3800000{number}", gender, str(age), "100") for number in (1, 2, 3) for gender in "MF" for age in range(91)]
    _table(folder / "population_subicb.csv", "SubICB_ONS,Gender,Age,Population", ages)
    _table(folder / "population_lsoa.csv", "LSOA2011,Gender,Age,Population", [("E01000001", "M", "30", "1500"), ("E01000002", "F", "30", "2500")])
    census = [("E38000001", "30", "1", str(group), "100") for group in (*range(1, 20), -8)]
    _table(folder / "census2021_ethnicity.csv", "SubICB_ONS,Age,Sex,EthnicGroupCode,Observation", census)


def _table(path: Path, header: str, rows: Sequence[tuple[str, ...]]) -> None:
    columns = header.split(",")
    _write(path, columns, [dict(zip(columns, row, strict=True)) for row in rows])


def _write(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


Run = Callable[..., "Result"]


class Result:
    """What a run gives: the evidence by referral, the two publication files, and what compute() returned."""

    def __init__(self, returned: dict[str, Any], out: Path) -> None:
        self.returned = returned
        self.evidence = {row["UniqServReqID"]: row for row in pq.read_table(out / "evidence" / "mhs116.parquet").to_pylist()}
        self.raw = self._file(next((out / "publication").glob("*_RAW_bbrb.csv")))
        self.final = self._file(next(path for path in (out / "publication").glob("*_bbrb.csv") if "RAW" not in path.name))
        with (out / "dashboard.csv").open(encoding="utf-8", newline="") as handle:
            self.dashboard = list(csv.DictReader(handle))
        #: The long table of every measure, after a full run.
        self.measures = pq.read_table(out / "measures.parquet").to_pylist() if (out / "measures.parquet").is_file() else []

    @staticmethod
    def _file(path: Path) -> dict[tuple[str, str, str], str]:
        with path.open(encoding="utf-8", newline="") as handle:
            return {(row["MEASURE_ID"], row["BREAKDOWN"], row["PRIMARY_LEVEL"]): row["MEASURE_VALUE"] for row in csv.DictReader(handle)}

    def measure(self, name: str, month: str, breakdown: str = "England", level: str = "England") -> tuple[str, str]:
        """Value and denominator of a dashboard measure; two empty texts when it is left out."""
        for row in self.dashboard:
            if (row["MeasureName"], row["ReportingPeriodEnd"][:7], row["Breakdown"], row["Level"]) == (name, month, breakdown, level):
                return row["MeasureValue"], row["Denominator"]
        return "", ""


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def new_world() -> Callable[[], World]:
    return World


@contextmanager
def session(root: Path, period: str, made: Sequence[str], records: Sequence[Path] = ()) -> Iterator[computation.Inputs]:
    """A connection in which the steps ``made`` have been run over a world written to ``root``, and the inputs that were held."""
    submissions = folders.discover(root / "submissions", last=period)
    declared = computation.variables(period, "Performance")
    with computation.opened(submissions, root / "reference", declared, records=records, write=[root]) as inputs:
        inputs.make(*made)
        yield inputs


@pytest.fixture(scope="session")
def run() -> Run:
    """Write a world into a folder and compute its measures."""

    def run(world: World, root: Path, period: str = "2026-08") -> Result:
        world.write(root)
        out = root / "out"
        returned = compute(folders.discover(root / "submissions"), root / "reference", period, "Performance", out, evidence=out / "evidence")
        return Result(returned, out)

    return run


@pytest.fixture(scope="session")
def publish() -> Run:
    """Write a world into a folder and compute the publications alone, which takes a fraction of a full run."""

    def publish(
        world: World,
        root: Path,
        period: str = "2026-08",
        without: Sequence[str] = (),
        population: Sequence[tuple[str, ...]] = (),
        repeated: Sequence[str] = (),
    ) -> Result:
        """``population`` stands for that of the sub-ICBs; of the reference files ``repeated`` every line is there twice."""
        world.write(root)
        for name in without:
            (root / "reference" / f"{name}.csv").unlink()
        if population:
            _table(root / "reference" / "population_subicb.csv", "SubICB_ONS,Gender,Age,Population", population)
        for name in repeated:
            lines = (root / "reference" / f"{name}.csv").read_text(encoding="utf-8").splitlines(keepends=True)
            (root / "reference" / f"{name}.csv").write_text("".join([*lines, *lines[1:]]), encoding="utf-8")
        out = root / "out"
        for folder in (out / "publication", out / "evidence"):
            folder.mkdir(parents=True)
        made = (*computation.DERIVE, *computation.MHS116, *computation.DASHBOARD, *computation.PUBLICATIONS)
        with session(root, period, made) as inputs:
            connection = inputs.connection
            computation.copy(connection, "mhsds_raw", out / "publication" / "MHSDS Data_RAW_bbrb.csv", "FORMAT csv, HEADER")
            computation.copy(connection, "mhsds_final", out / "publication" / "MHSDS Data_bbrb.csv", "FORMAT csv, HEADER")
            computation.copy(connection, "dashboard", out / "dashboard.csv", "FORMAT csv, HEADER")
            computation.copy(connection, "mhs116_evidence", out / "evidence" / "mhs116.parquet", "FORMAT parquet")
            counted = connection.execute("SELECT count(*) FROM mhs116 WHERE counted").fetchone()
            return Result({"mhs116": counted[0] if counted else 0, "not_evaluated": computation.not_evaluated(inputs.held)}, out)

    return publish


@pytest.fixture(scope="session")
def access_evidence() -> Callable[..., dict[str, list[dict[str, Any]]]]:
    """Write a world and make the evidence of access, the corrected dashboard and targets, without publishing it: table -> rows.

    A full run takes several times as long, and what it adds to these tables is counted and tested elsewhere. ``local`` are
    local IPS records by table; ``extra`` are files to put into the reference folder.
    """

    def evidence(
        world: World,
        root: Path,
        *tables: str,
        period: str = "2026-08",
        local: Mapping[str, Sequence[Row]] | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> dict[str, list[dict[str, Any]]]:
        world.write(root)
        for name, text in (extra or {}).items():
            (root / "reference" / name).write_text(text, encoding="utf-8")
        records = root / "records"
        records.mkdir()
        for table, rows in (local or {}).items():
            columns = dict.fromkeys(name for row in rows for name in row)
            told = pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in columns})
            pq.write_table(told, records / f"{table}.parquet")
        families = [step for step in computation.FAMILIES if step.startswith(("measures/access", "measures/dashboard", "measures/target"))]
        made = (*computation.DERIVE, *computation.RECORDS, *computation.MHS116, *computation.DASHBOARD, *families)
        with session(root, period, made, [records]) as inputs:
            return {table: inputs.connection.sql(f"FROM {duck.identifier(table)} ORDER BY ALL").to_arrow_table().to_pylist() for table in tables}

    return evidence
