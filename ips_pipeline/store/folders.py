"""Read submission folders (one CSV or Parquet file per MHSDS table) into DuckDB, everything as text, as submitted."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ips_pipeline.errors import InputError, RetryableError
from ips_pipeline.mhsds.standard import Table
from ips_pipeline.store.duck import Connection, DuckError, identifier, safe_error, text_literal

#: Column of our own stage files that keeps the row number a record had in the file the provider sent.
ROW_COLUMN = "_row"

_PERIOD = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


#: A column that is worth naming to a person; anything else may be a value in the wrong place.
_NAME = re.compile(r" ?[A-Za-z][A-Za-z0-9_]{0,39} ?")
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
#: Unknown columns from which on the file is not of this table at all.
_MANY = 20
_TABLES_AT_ONCE = 2
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class _File:
    """``moments`` and ``fractions`` are the columns of a Parquet file with a type of time, and of floating-point numbers."""

    submission: int
    path: Path
    columns: tuple[str, ...]
    moments: frozenset[str] = frozenset()
    fractions: frozenset[str] = frozenset()


@contextmanager
def steady(submissions: Sequence[Path]) -> Iterator[None]:
    """Hold that the files of submission folders stay as they are, and can be read, within the block.

    Raises RetryableError that names the first file that grew, was replaced, added or removed; it comes before any other error,
    which the change is likely to have caused. Where DuckDB fails, InputError names the Parquet file that is damaged inside.
    """
    before = _state(submissions)
    try:
        yield
    except DuckError:
        if damaged := _first_damaged(submissions):
            raise damaged from None
        raise
    finally:
        _compare(before, _state(submissions))


def _state(submissions: Iterable[Path]) -> dict[Path, tuple[int, int, int]]:
    state = {}
    for folder in submissions:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.endswith((".csv", ".parquet")):
                        held = entry.stat(follow_symlinks=False)
                        state[folder / entry.name] = (held.st_ino, held.st_size, held.st_mtime_ns)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InputError(f"{folder} cannot be read ({error.strerror}); check its permissions") from None
    return state


def _compare(before: Mapping[Path, tuple[int, int, int]], after: Mapping[Path, tuple[int, int, int]]) -> None:
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            raise RetryableError(f"{path} changed while it was read; wait until it is written completely, then run again")


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
    # Most files are read by one thread alone, so two are read at a time.
    with ThreadPoolExecutor(_TABLES_AT_ONCE) as pool:
        relations = [
            pool.submit(_relation, connection.cursor(), places, table, tuple((elements or {}).get(table.name, table.elements)), table.name + suffix)
            for table in tables
        ]
        for table, relation in zip(tables, relations, strict=True):
            connection.execute(f"CREATE VIEW {identifier(table.name + suffix)} AS {relation.result()}")


def _relation(connection: Connection, places: Sequence[Path], table: Table, wanted: Sequence[str], name: str) -> str:
    """The SELECT of one table over all the folders; its CSV files are loaded."""
    there = {number: path for number, folder in enumerate(places, 1) if (path := _find(folder, table))}
    texts = [file for number, path in there.items() if path.suffix == ".csv" if (file := _csv_file(number, path))]
    tables = _parquet_files(connection, {number: path for number, path in there.items() if path.suffix == ".parquet"})
    files = sorted([*texts, *tables], key=lambda file: file.submission)
    # Most files have the same columns, so each different header is looked at once.
    for file in sorted({file.columns: file for file in reversed(files)}.values(), key=lambda file: file.submission):
        _check_columns(file, table)
    parts = [_parquet(group, wanted) for group in _groups(files, ".parquet")]
    if loaded := _groups(files, ".csv"):
        parts.append(_csv(connection, loaded, name, wanted))
    if not parts:
        empty = "".join(f", CAST(NULL AS VARCHAR) AS {identifier(column)}" for column in wanted)
        parts = [f"SELECT CAST(NULL AS INTEGER) AS submission, CAST(NULL AS BIGINT) AS row{empty} WHERE false"]
    return "\nUNION ALL\n".join(parts)


def _find(folder: Path, table: Table) -> Path | None:
    """The table's file in the folder, or None when the folder has none."""
    text, parquet = folder / f"{table.name}.csv", folder / f"{table.name}.parquet"
    try:
        # A link to nothing is no absent table: what it stood for would be lost without a word.
        there = [path for path in (text, parquet) if _is_there(path)]
        if not there:
            return None
        if len(there) > 1:
            raise InputError(f"{folder} holds {table.name} twice, as CSV and as Parquet; keep one of them")
        (path,) = there
        if not path.is_file() or (path.is_symlink() and path.resolve().parent != folder):
            raise InputError(f"{path} is not a plain file of its folder; replace it by the file itself")
    except OSError as error:
        raise InputError(f"{path if there else folder} cannot be read ({error.strerror}); check its permissions") from None
    return path


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _check_columns(file: _File, table: Table) -> None:
    """Raise InputError for columns that are not the table's, or are there twice. A name is shown only if the line is a header."""
    elements = {element.lower(): element for element in table.elements}
    unknown = [name for name in file.columns if name not in table.elements and name != ROW_COLUMN]
    if unknown and file.path.suffix == ".csv" and not any(name.strip().lower() in elements for name in file.columns):
        separator = next((word for sign, word in _SEPARATORS.items() if len(file.columns) == 1 and sign in file.columns[0]), None)
        if separator:
            raise InputError(f"{file.path} is separated by {separator}, not by commas; save it again as CSV with commas")
        raise InputError(f"{file.path} has no header line that names elements of {table.name}; add it as the first line")
    if len(unknown) > _MANY:
        raise InputError(f"{file.path} has {len(unknown):,} more columns than {table.name} has elements for; export that table again")
    for name in unknown:
        near = difflib.get_close_matches(name.strip().lower(), list(elements), n=1)
        shown = name.strip() if _NAME.fullmatch(name) else "with an unreadable name"
        hint = f"; did you mean {elements[near[0]]}?" if near else "; remove it"
        raise InputError(f"{file.path} has a column {shown} that {table.name} does not have{hint}")
    if len(set(file.columns)) < len(file.columns):
        repeated = min(name for name in file.columns if file.columns.count(name) > 1)
        raise InputError(f"{file.path} has the column {repeated} more than once; keep one of them")


def _csv_file(number: int, path: Path) -> _File | None:
    """A CSV file with its column names, or None when it is empty."""
    try:
        columns = _csv_columns(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions") from None
    return _File(number, path, columns) if columns else None


def _csv_columns(path: Path) -> tuple[str, ...]:
    with path.open("rb") as handle:
        head = handle.readline(_CHUNK)
        # A NUL is no character of any value: the file is binary, in UTF-16, or damaged by a disk that was full.
        null = b"\0" in head
        while not null and (chunk := handle.read(_CHUNK)):
            null = b"\0" in chunk
    if null or head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path} holds NUL bytes, so it is not UTF-8 text or is damaged; save it again as CSV UTF-8")
    if not head.strip():
        return ()
    if b"\r" in head.rstrip(b"\r\n"):
        raise InputError(f"{path} has lines that end with a carriage return alone; save it again as CSV UTF-8")
    try:
        text = head.decode("utf-8-sig").rstrip("\r\n")
        return tuple(next(csv.reader(io.StringIO(text)), []))
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; save it again as CSV UTF-8") from None
    except csv.Error:
        raise InputError(f"{path} has a first line that cannot be read as column names; export it again") from None


def _parquet_files(connection: Connection, paths: Mapping[int, Path]) -> list[_File]:
    """Parquet files with the names and types of their columns, by position of the folder; a file without columns is left out."""
    if not paths:
        return []
    try:
        described = connection.execute(
            "SELECT file_name, name, duckdb_type, num_children FROM parquet_schema(?) WHERE column_id > 0 ORDER BY file_name, column_id",
            [[str(path) for path in paths.values()]],
        ).fetchall()
    except DuckError:
        if len(paths) > 1:
            return [file for number, path in paths.items() for file in _parquet_files(connection, {number: path})]
        (path,) = paths.values()
        return _without_columns(path)
    columns: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, column, kind, children in described:
        if children or kind.endswith("]"):
            raise InputError(f"{name} has nested values in its column {len(columns[name]) + 1}; write each value as text")
        columns[name].append((column, kind))
    return [
        _File(
            number,
            path,
            tuple(column for column, _ in held),
            frozenset(column for column, kind in held if kind.startswith("TIMESTAMP") and kind != "TIMESTAMP WITH TIME ZONE"),
            frozenset(column for column, kind in held if kind in {"FLOAT", "DOUBLE"}),
        )
        for number, path in paths.items()
        if (held := columns[str(path)])
    ]


def _without_columns(path: Path) -> list[_File]:
    """Nothing, where DuckDB refuses a Parquet file because it has no columns; raises InputError where it is none or cannot be read."""
    import pyarrow as pa  # noqa: PLC0415 - it takes as long to load as everything else here, and only what is damaged needs it
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        if not pq.read_schema(path).names:
            return []
    except pa.ArrowException:
        pass
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions") from None
    raise InputError(f"{path} is not a Parquet file, or is cut short; write it again")


def _first_damaged(submissions: Sequence[Path]) -> InputError | None:
    """Name the first Parquet file whose values cannot be read, though its end is sound; None where all can."""
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.parquet as pq  # noqa: PLC0415

    for folder in submissions:
        for path in sorted(folder.glob("*.parquet")):
            try:
                for _ in pq.ParquetFile(path).iter_batches():
                    pass
            except (OSError, pa.ArrowException):
                return InputError(f"{path} is damaged: its values cannot be read; write it again")
    return None


def _groups(files: Sequence[_File], suffix: str) -> list[list[_File]]:
    """Files of one format with the same columns and types, so that one statement reads each group."""
    groups: dict[tuple[object, ...], list[_File]] = defaultdict(list)
    for file in files:
        if file.path.suffix == suffix:
            groups[file.columns, file.moments, file.fractions].append(file)
    return list(groups.values())


def _paths(group: Sequence[_File]) -> str:
    return "[" + ", ".join(text_literal(str(file.path)) for file in group) + "]"


def _submission(group: Sequence[_File]) -> str:
    """SQL for the submission a row came from, by the position of its file in the group."""
    return f"[{', '.join(str(file.submission) for file in group)}][CAST(file_index AS BIGINT) + 1]"


def _columns(group: Sequence[_File], wanted: Sequence[str]) -> str:
    held = set(group[0].columns)
    return "".join(
        f", nullif({_text(group[0], name)}, '') AS {identifier(name)}" if name in held else f", CAST(NULL AS VARCHAR) AS {identifier(name)}"
        for name in wanted
    )


def _text(file: _File, name: str) -> str:
    """SQL for a value as the text it stands for: times with a T, and whole numbers without a decimal point, however they were stored."""
    column = identifier(name)
    if name in file.moments:
        return f"strftime({column}, '%Y-%m-%dT%H:%M:%S')"
    if name in file.fractions:
        whole = f"{column} = trunc({column}) AND abs({column}) < 1e15"
        return f"CASE WHEN {whole} THEN CAST(CAST({column} AS BIGINT) AS VARCHAR) ELSE CAST({column} AS VARCHAR) END"
    return f"CAST({column} AS VARCHAR)"


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
    # Rows are inserted in the order of the files, so rowid numbers them; a window over them would be read by one thread alone.
    connection.execute(f"CREATE TABLE {loaded} (submission INTEGER{', ' + fields if fields else ''})")
    for group in groups:
        schema = "{" + ", ".join(f"{text_literal(name)}: 'VARCHAR'" for name in group[0].columns) + "}"
        try:
            connection.execute(
                f"INSERT INTO {loaded} SELECT {_submission(group)}{_columns(group, wanted)}"
                f" FROM read_csv({_paths(group)}, columns = {schema}, header = true, auto_detect = false,"
                " delim = ',', quote = '\"', escape = '\"', strict_mode = true, max_line_size = 16777216)"
            )
        except DuckError as error:
            if unreadable := _first_unreadable(connection, group, schema):
                raise unreadable from None
            raise safe_error(error) from None
    return (
        f"SELECT submission, {loaded}.rowid - first_row + 1 AS row{''.join(', ' + identifier(name) for name in wanted)}"
        f" FROM {loaded} JOIN (SELECT submission, min(rowid) AS first_row FROM {loaded} GROUP BY submission) USING (submission)"
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
            if not is_utf8(file.path):
                return InputError(f"{file.path} is not UTF-8 text; save it again as CSV UTF-8")
            return InputError(f"{file.path} cannot be read as CSV: a line has too many or too few values, or a quote is not closed; export it again")
    return None


def is_utf8(path: Path) -> bool:
    """Whether a file is UTF-8 text throughout; not so either when it cannot be read."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as handle:
            while chunk := handle.read(_CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
    except (OSError, UnicodeDecodeError):
        return False
    return True
