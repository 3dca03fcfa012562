"""Load the reference folder into tables the SQL joins to."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ips_pipeline.errors import InputError
from ips_pipeline.store.duck import Connection, DuckError, identifier, text_literal
from ips_pipeline.store.groups import STANDARD, load_groups

__all__ = ["FILES", "STANDARD", "load", "load_groups"]


@dataclass(frozen=True, slots=True)
class _File:
    """``total`` is a column to add up over the others: only the sums of the large population files are kept."""

    table: str
    columns: tuple[str, ...]
    whole_numbers: frozenset[str] = frozenset()
    total: str | None = None


#: File name without .csv -> the table it becomes. Columns are text unless they are whole numbers.
FILES: Mapping[str, _File] = {
    "providers": _File("provider", ("OrgIDProvider", "Name")),
    "gp_practices": _File("gp_practice", ("GMPReg", "SubICB")),
    "postcodes": _File("postcode", ("Postcode", "LSOA2011", "LADistrictAuth", "SubICB")),
    "geography": _File("geography", ("SubICB", "SubICBName", "SubICB_ONS", "ICB", "ICBName", "Region", "RegionName")),
    "commissioner_code_changes": _File("commissioner_code_change", ("OldSubICB", "NewSubICB")),
    "lsoa_imd2019": _File("lsoa_imd", ("LSOA2011", "IMDDecile2019")),
    "population_subicb": _File("population_subicb", ("SubICB_ONS", "Gender", "Age", "Population"), frozenset({"Age", "Population"})),
    "population_lsoa": _File("population_lsoa", ("LSOA2011", "Population"), frozenset({"Population"}), total="Population"),
    "minimum_wage": _File("minimum_wage", ("valid_from", "lowest_age", "pence_per_hour"), frozenset({"lowest_age", "pence_per_hour"})),
    "census2021_ethnicity": _File("census2021_ethnicity", ("EthnicGroupCode", "Observation"), frozenset({"Observation"}), total="Observation"),
}


def load(connection: Connection, folder: Path) -> frozenset[str]:
    """Create a table for every reference file; an absent file gives an empty table. Returns the names of the files held.

    A postcodes.csv in the form of a code list (code, live_from, live_to) says nothing about places, so it counts as absent here.
    Raises InputError when the folder or a file cannot be read, or a column is missing.
    """
    if not folder.is_dir():
        raise InputError(f"The reference folder {folder} does not exist; give one, or build it with: ips reference import")
    held = set()
    for name, file in FILES.items():
        path = folder / f"{name}.csv"
        fields = ", ".join(f"{identifier(column)} {'BIGINT' if column in file.whole_numbers else 'VARCHAR'}" for column in file.columns)
        connection.execute(f"CREATE TABLE {identifier(file.table)} ({fields})")
        if path.is_file() and (columns := _columns(path)) != _CODE_LIST:
            _insert(connection, path, file, columns)
            held.add(name)
    return frozenset(held)


_CODE_LIST = ("code", "live_from", "live_to")


def _columns(path: Path) -> tuple[str, ...]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            return tuple(next(csv.reader(handle), []))
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path} cannot be read; save it as CSV UTF-8") from None


def _insert(connection: Connection, path: Path, file: _File, columns: tuple[str, ...]) -> None:
    if missing := [column for column in file.columns if column not in columns]:
        raise InputError(f"{path} has no column {missing[0]}; it needs {', '.join(file.columns)}")
    schema = "{" + ", ".join(f"{text_literal(column)}: 'VARCHAR'" for column in columns) + "}"
    held = [f"CAST(nullif({identifier(column)}, '') AS {'BIGINT' if column in file.whole_numbers else 'VARCHAR'})" for column in file.columns]
    values = ", ".join(f"sum({value})" if column == file.total else value for column, value in zip(file.columns, held, strict=True))
    try:
        connection.execute(
            f"INSERT INTO {identifier(file.table)} SELECT {values} FROM read_csv({text_literal(str(path.resolve()))}, columns = {schema},"
            f" header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"'){' GROUP BY ALL' if file.total else ''}"
        )
    except DuckError:
        raise InputError(f"{path} cannot be read as CSV, or holds text where a whole number belongs; export it again") from None
