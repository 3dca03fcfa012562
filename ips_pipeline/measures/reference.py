"""Load the reference folder into tables the SQL joins to."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ips_pipeline.errors import InputError
from ips_pipeline.store.duck import Connection, DuckError, MemoryExceeded, identifier, text_literal
from ips_pipeline.store.groups import STANDARD, load_groups

__all__ = ["FILES", "STANDARD", "held", "hold_homes", "index_of_deprivation", "load", "load_groups", "versions"]


@dataclass(frozen=True, slots=True)
class _File:
    """``total`` is a column to add up over the others: only the sums of the large population files are kept.

    ``once`` says that a row which is there twice, word for word, says nothing new, and ``key`` that two different rows of one key contradict
    each other. A list of postcodes is too long to be looked through for that; ``derive/home`` and ``hold_homes`` do it for those that are used.
    """

    table: str
    columns: tuple[str, ...]
    whole_numbers: frozenset[str] = frozenset()
    total: str | None = None
    once: bool = False
    key: str | None = None


#: File name without .csv -> the table it becomes. Columns are text unless they are whole numbers.
FILES: Mapping[str, _File] = {
    "providers": _File("provider", ("OrgIDProvider", "Name"), once=True, key="OrgIDProvider"),
    "gp_practices": _File("gp_practice", ("GMPReg", "SubICB"), once=True),
    "postcodes": _File("postcode", ("Postcode", "LSOA2011", "LADistrictAuth", "SubICB")),
    "geography": _File("geography", ("SubICB", "SubICBName", "SubICB_ONS", "ICB", "ICBName", "Region", "RegionName"), once=True, key="SubICB"),
    "commissioner_code_changes": _File("commissioner_code_change", ("OldSubICB", "NewSubICB"), once=True),
    "lsoa_imd2019": _File("lsoa_imd", ("LSOA2011", "IMDDecile2019"), once=True, key="LSOA2011"),
    "population_subicb": _File("population_subicb", ("SubICB_ONS", "Gender", "Age", "Population"), frozenset({"Age", "Population"})),
    "population_lsoa": _File("population_lsoa", ("LSOA2011", "Population"), frozenset({"Population"}), total="Population"),
    "minimum_wage": _File("minimum_wage", ("valid_from", "lowest_age", "pence_per_hour"), frozenset({"lowest_age", "pence_per_hour"})),
    "census2021_ethnicity": _File("census2021_ethnicity", ("EthnicGroupCode", "Observation"), frozenset({"Observation"}), total="Observation"),
}


#: The index of 2025 in place of that of 2019, with the small areas of its own year. The SQL keeps the names of the published measure.
_IMD_2025 = "lsoa_imd2025"
_INSTEAD: Mapping[str, Mapping[str, str]] = {
    "lsoa_imd2019": {"LSOA2011": "LSOA2021", "IMDDecile2019": "IMDDecile2025"},
    "postcodes": {"LSOA2011": "LSOA2021"},
}


def index_of_deprivation(folder: Path) -> str | None:
    """Which English index of deprivation a reference folder holds: "IoD2019" (the published measures' own), "IoD2025", or None.

    Raises InputError when it holds both, since a release goes by one.
    """
    held = [name for name in ("lsoa_imd2019", _IMD_2025) if (folder / f"{name}.csv").is_file()]
    if len(held) > 1:
        raise InputError(f"{folder} holds lsoa_imd2019.csv and {_IMD_2025}.csv, and a release goes by one; move the other away")
    return f"IoD{held[0][-4:]}" if held else None


def versions(folder: Path) -> dict[str, Any]:
    """What a release says of its reference data: the index of deprivation, and each import (edition, validity, SHA-256 of the download, rows).

    Files that were put there by hand have no import. Raises InputError when ``imported.json`` cannot be read.
    """
    record = folder / "imported.json"
    imports: dict[str, Any] = {}
    if record.is_file():
        try:
            imports = dict(json.loads(record.read_text(encoding="utf-8"))["imports"])
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"{record} cannot be read; move it away and import the downloads again") from None
    return {"index_of_deprivation": index_of_deprivation(folder), "imported": imports}


def held(folder: Path, *, left_out: Collection[str] = ()) -> dict[str, Path]:
    """The reference files of a folder by the names of FILES; those ``left_out`` count as absent.

    A postcodes.csv in the form of a code list (code, live_from, live_to) says nothing about places, so it counts as absent here. Where the
    folder holds lsoa_imd2025.csv it stands in for lsoa_imd2019.csv, with the small areas of 2021.
    Raises InputError when the folder or the first line of a file cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"The reference folder {folder} does not exist; give one, or build it with: ips reference import")
    of_2025 = index_of_deprivation(folder) == "IoD2025"
    paths = {name: folder / f"{_IMD_2025 if of_2025 and name == 'lsoa_imd2019' else name}.csv" for name in FILES if name not in left_out}
    return {name: path for name, path in paths.items() if path.is_file() and _columns(path) != _CODE_LIST}


def load(connection: Connection, folder: Path, *, left_out: Collection[str] = ()) -> None:
    """Create a table for every reference file; one that is not ``held`` gives an empty table.

    Raises InputError when the folder or a file cannot be read, or a column is missing.
    """
    paths = held(folder, left_out=left_out)
    instead = _INSTEAD if index_of_deprivation(folder) == "IoD2025" else {}
    for name, file in FILES.items():
        fields = ", ".join(f"{identifier(column)} {'BIGINT' if column in file.whole_numbers else 'VARCHAR'}" for column in file.columns)
        connection.execute(f"CREATE TABLE {identifier(file.table)} ({fields})")
        if name in paths:
            _insert(connection, paths[name], file, instead.get(name, {}))
            _hold_key(connection, paths[name], file)
    if instead and "population_lsoa" in paths:
        _same_areas(connection, folder)


def _hold_key(connection: Connection, path: Path, file: _File) -> None:
    if file.key is None:
        return
    key = identifier(file.key)
    query = f"SELECT {key} FROM {identifier(file.table)} WHERE {key} IS NOT NULL GROUP BY {key} HAVING count(*) > 1 ORDER BY {key} LIMIT 1"
    if twice := connection.execute(query).fetchone():
        raise InputError(f"{path} has {str(twice[0])[:20]} more than once, and not the same of it; keep the line that is right")


def hold_homes(connection: Connection, folder: Path) -> None:
    """Raise InputError when the list of postcodes puts a home of the submissions (``derive/home``) into two places.

    It is not said which: that is a patient's.
    """
    if connection.execute("SELECT Postcode FROM home GROUP BY Postcode HAVING count(*) > 1 LIMIT 1").fetchone():
        raise InputError(
            f"{folder / 'postcodes.csv'} has a postcode that is somebody's home more than once, in different places; keep the right line of each"
        )


def _same_areas(connection: Connection, folder: Path) -> None:
    """Refuse populations of the areas of 2011 beside an index of those of 2021: one area in eighteen would silently have no decile."""
    query = (
        "SELECT count(*) * 50 > (SELECT count(DISTINCT LSOA2011) FROM population_lsoa) FROM (SELECT DISTINCT LSOA2011 FROM population_lsoa)"
        " AS area WHERE LSOA2011 NOT IN (SELECT LSOA2011 FROM lsoa_imd)"
    )
    if (connection.execute(query).fetchone() or (False,))[0]:
        raise InputError(
            f"Many areas of {folder / 'population_lsoa.csv'} are not in {_IMD_2025}.csv; import estimates of the areas of 2021, or use that of 2019"
        )


_CODE_LIST = ("code", "live_from", "live_to")


def _columns(path: Path) -> tuple[str, ...]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            return tuple(next(csv.reader(handle), []))
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path} cannot be read; save it as CSV UTF-8") from None


def _insert(connection: Connection, path: Path, file: _File, instead: Mapping[str, str]) -> None:
    columns = _columns(path)
    wanted = [instead.get(column, column) for column in file.columns]
    if missing := [column for column in wanted if column not in columns]:
        why = (
            f"{_IMD_2025}.csv goes by the areas of 2021, so import a postcode directory that has them" if instead else f"it needs {', '.join(wanted)}"
        )
        raise InputError(f"{path} has no column {missing[0]}; {why}")
    schema = "{" + ", ".join(f"{text_literal(column)}: 'VARCHAR'" for column in columns) + "}"
    given_as = [
        f"CAST({identifier(given)} AS BIGINT)" if column in file.whole_numbers else identifier(given)
        for column, given in zip(file.columns, wanted, strict=True)
    ]
    values = ", ".join(f"sum({value})" if column == file.total else value for column, value in zip(file.columns, given_as, strict=True))
    select = "SELECT DISTINCT" if file.once else "SELECT"
    try:
        connection.execute(
            f"INSERT INTO {identifier(file.table)} {select} {values} FROM read_csv({text_literal(str(path.resolve()))}, columns = {schema},"
            f" header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"', nullstr = ''){' GROUP BY ALL' if file.total else ''}"
        )
    except MemoryExceeded:
        raise
    except DuckError:
        raise InputError(f"{path} cannot be read as CSV, or holds text where a whole number belongs; export it again") from None
