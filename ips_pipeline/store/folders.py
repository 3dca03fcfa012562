"""Read submission folders (one CSV or Parquet file per MHSDS table) into DuckDB, everything as text, as submitted."""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ips_pipeline.errors import InputError
from ips_pipeline.mhsds.standard import Table
from ips_pipeline.store.duck import Connection, DuckError, identifier, safe_error, text_literal

#: Column of our own stage files that keeps the row number a record had in the file the provider sent.
ROW_COLUMN = "_row"

_PERIOD = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class _File:
    submission: int
    path: Path
    columns: tuple[str, ...]


def discover(root: Path, *, first: str | None = None, last: str | None = None) -> list[Path]:
    """The submission folders ``root/<OrgIDProvider>/<yyyy-mm>``, in order of month then provider.

    ``first`` and ``last`` bound the months, both included. Raises InputError when root cannot be read or holds no such folder.
    """
    if not root.is_dir():
        raise InputError(f"The submissions folder {root} does not exist; give a folder laid out as <provider>/<yyyy-mm>/")
    found = [
        folder
        for provider in root.iterdir()
        if provider.is_dir()
        for folder in provider.iterdir()
        if folder.is_dir() and _PERIOD.fullmatch(folder.name) and (first is None or folder.name >= first) and (last is None or folder.name <= last)
    ]
    if not found:
        raise InputError(f"{root} holds no submission folder <provider>/<yyyy-mm>; check the path and the period")
    return sorted(found, key=lambda folder: (folder.name, folder.parent.name))


def load(
    connection: Connection,
    folders: Sequence[Path],
    tables: Sequence[Table],
    *,
    elements: Mapping[str, Sequence[str]] | None = None,
    suffix: str = "",
) -> None:
    """Create one relation per table, named by the standard (``MHS001MPI``), over all the folders.

    Columns: ``submission`` (1-based position of the folder in ``folders``), ``row`` (1-based data row of the submitted file),
    then the table's elements as VARCHAR with empty as NULL; ``elements`` (table name -> element names) narrows them, and
    ``suffix`` is added to the names of the relations. A table
    or column that is absent reads as empty. Parquet files are read where they lie (a view); CSV files are loaded once.
    Raises InputError for a file that cannot be read or a column the standard does not have.
    """
    places = [folder.resolve() for folder in folders]
    for table in tables:
        wanted = tuple((elements or {}).get(table.name, table.elements))
        files = [found for number, folder in enumerate(places, 1) if (found := _open(number, folder, table))]
        parts = [_parquet(group, wanted) for group in _groups(files, ".parquet")]
        if texts := _groups(files, ".csv"):
            parts.append(_csv(connection, texts, f"{table.name}{suffix}", wanted))
        if not parts:
            empty = "".join(f", CAST(NULL AS VARCHAR) AS {identifier(name)}" for name in wanted)
            parts = [f"SELECT CAST(NULL AS INTEGER) AS submission, CAST(NULL AS BIGINT) AS row{empty} WHERE false"]
        connection.execute(f"CREATE VIEW {identifier(table.name + suffix)} AS " + "\nUNION ALL\n".join(parts))


def _open(number: int, folder: Path, table: Table) -> _File | None:
    """The table's file in the folder with its column names, or None when the folder has none."""
    text, parquet = folder / f"{table.name}.csv", folder / f"{table.name}.parquet"
    if text.exists() and parquet.exists():
        raise InputError(f"{folder} holds {table.name} twice, as CSV and as Parquet; keep one of them")
    path = parquet if parquet.exists() else text
    try:
        if not path.exists():
            return None
        if not path.is_file() or (path.is_symlink() and path.resolve().parent != folder):
            raise InputError(f"{path} is not a plain file of its folder; replace it by the file itself")
        columns = _parquet_columns(path) if path is parquet else _csv_columns(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions") from None
    if not columns:
        return None
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise InputError(f"{path} has the column {repeated[0]} more than once; keep one of them")
    for name in columns:
        if name not in table.elements and name != ROW_COLUMN:
            near = difflib.get_close_matches(name.lower(), [element.lower() for element in table.elements], n=1)
            hint = next((f"; did you mean {element}?" for element in table.elements if near and element.lower() == near[0]), "")
            shown = name if name.isascii() and name.isprintable() and len(name) <= 40 else "with an unreadable name"
            raise InputError(f"{path} has a column {shown} that {table.name} does not have{hint or '; remove it'}")
    return _File(number, path, columns)


def _csv_columns(path: Path) -> tuple[str, ...]:
    with path.open("rb") as handle:
        head = handle.readline(1_000_000)
    if not head.strip():
        return ()
    if b"\0" in head or head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path} is not UTF-8 text; save it again as CSV UTF-8")
    try:
        text = head.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; save it again as CSV UTF-8") from None
    return tuple(next(csv.reader(io.StringIO(text)), []))


def _parquet_columns(path: Path) -> tuple[str, ...]:
    try:
        return tuple(pq.read_schema(path).names)
    except pa.ArrowException:
        raise InputError(f"{path} is not a Parquet file, or is cut short; write it again") from None


def _groups(files: Sequence[_File], suffix: str) -> list[list[_File]]:
    """Files of one format with the same columns, so that one statement reads each group."""
    groups: dict[tuple[str, ...], list[_File]] = defaultdict(list)
    for file in files:
        if file.path.suffix == suffix:
            groups[file.columns].append(file)
    return list(groups.values())


def _paths(group: Sequence[_File]) -> str:
    return "[" + ", ".join(text_literal(str(file.path)) for file in group) + "]"


def _submission(group: Sequence[_File]) -> str:
    """SQL for the submission a row came from, by the position of its file in the group."""
    return f"[{', '.join(str(file.submission) for file in group)}][CAST(file_index AS BIGINT) + 1]"


def _columns(group: Sequence[_File], wanted: Sequence[str]) -> str:
    held = set(group[0].columns)
    return "".join(
        f", nullif(CAST({identifier(name)} AS VARCHAR), '') AS {identifier(name)}"
        if name in held
        else f", CAST(NULL AS VARCHAR) AS {identifier(name)}"
        for name in wanted
    )


def _parquet(group: Sequence[_File], wanted: Sequence[str]) -> str:
    row = identifier(ROW_COLUMN) if ROW_COLUMN in group[0].columns else "file_row_number + 1"
    return (
        f"SELECT CAST({_submission(group)} AS INTEGER) AS submission, CAST({row} AS BIGINT) AS row{_columns(group, wanted)}"
        f" FROM read_parquet({_paths(group)})"
    )


def _csv(connection: Connection, groups: Sequence[Sequence[_File]], name: str, wanted: Sequence[str]) -> str:
    """Load the CSV files of a table and give the SELECT that numbers their rows file by file."""
    loaded = identifier(f"{name} as loaded")
    fields = ", ".join(f"{identifier(name)} VARCHAR" for name in wanted)
    connection.execute(f"CREATE TABLE {loaded} (submission INTEGER, position BIGINT{', ' + fields if fields else ''})")
    for group in groups:
        schema = "{" + ", ".join(f"{text_literal(name)}: 'VARCHAR'" for name in group[0].columns) + "}"
        try:
            connection.execute(
                f"INSERT INTO {loaded} SELECT {_submission(group)}, row_number() OVER (){_columns(group, wanted)}"
                f" FROM read_csv({_paths(group)}, columns = {schema}, header = true, auto_detect = false,"
                " delim = ',', quote = '\"', escape = '\"', strict_mode = true, max_line_size = 16777216)"
            )
        except DuckError as error:
            if unreadable := _first_unreadable(connection, group, schema):
                raise unreadable from None
            raise safe_error(error) from None
    return (
        f"SELECT submission, position - first_position + 1 AS row{''.join(', ' + identifier(name) for name in wanted)}"
        f" FROM {loaded} JOIN (SELECT submission, min(position) AS first_position FROM {loaded} GROUP BY submission) USING (submission)"
    )


def _first_unreadable(connection: Connection, group: Sequence[_File], schema: str) -> InputError | None:
    """Name the file of the group that cannot be parsed; the parser's own message quotes the line, so it is not shown."""
    for file in group:
        try:
            connection.execute(
                f"SELECT count(*) FROM read_csv({_paths([file])}, columns = {schema}, header = true, auto_detect = false,"
                " delim = ',', quote = '\"', escape = '\"', strict_mode = true, max_line_size = 16777216)"
            ).fetchone()
        except DuckError:
            return InputError(f"{file.path} cannot be read as CSV: a line has too many or too few values, or a quote is not closed; export it again")
    return None
