"""How a trust's own tables and codes become the tables of the standard: one YAML file per provider, read and checked here.

::

    unmapped_codes: error                # or keep: a local code without a national one passes through as it is
    codes:
      sex: {M: "1", F: "2"}
      attendance: {file: attendance.csv}         # columns local, national; relative to the mapping file
    inputs:                              # what is fetched, once each
      referral: {query: "SELECT * FROM ref WHERE received <= :period_end"}     # SQL sources: query or table
      contact: {file: "{period}/contacts.csv"}                                  # file sources
      clients: {file: caseload.xlsx, sheet: Clients, heading_row: 3}            # a sheet of a workbook
      jobs: {file: service.accdb, table: tblJob, missing: ["-", "n/k"]}         # a table of an Access database
    tables:
      MHS101Referral:
        from: referral
        where: deleted IS DISTINCT FROM 'Y'
        columns:
          ServiceRequestID: ref_no                                  # a column
          SourceOfReferralMH: {column: src, codes: referral_source} # a column through a code map
          ReferralRequestReceivedDate: {column: recd, format: "%d/%m/%Y"}
          OrgIDComm: {value: 11M}                                   # the same for every row
          CareProfTeamLocalID: {expression: "'T-' || team_no"}      # SQL over the input's columns, as text
      MHS000Header:                      # without "from": one row
        columns:
          OrgIDProvider: {parameter: provider}

Queries of SQL sources may bind :period_start and :period_end, the first and last day of the month, :day_before and :day_after, the days around
it, as ``held_at < :day_after`` needs where a column has times, and :provider. Where an input says how it changes, only what has changed is fetched
from the second time on, see ``sources.increments``::

      contact:
        query: SELECT * FROM contact WHERE updated_at >= :changed_since
        incremental: {key: contact_no, changed: updated_at, look_back_days: 35, keys: SELECT contact_no FROM contact}

 ``where`` and ``expression`` are DuckDB SQL over
the fetched text; they may read the other inputs by name, and ``getvariable('period_start')``, ``'period_end'`` (yyyy-mm-dd),
``'provider'`` and ``'submitter'``. They are written by the site, as its settings are; data never become SQL. ``missing`` lists what a
system writes where nothing was recorded; with it, values that are only blanks count as missing too.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from ips_pipeline.errors import UsageError
from ips_pipeline.mhsds import standard
from ips_pipeline.settings import near
from ips_pipeline.store.duck import Connection, identifier, text_literal

#: What ``parameter`` may name: facts of the run. ``as_of`` is when the extract was taken (yyyy-mm-ddThh:mm:ss, UTC).
Parameter = Literal["provider", "submitter", "period_start", "period_end", "as_of"]

#: Parameters that a query of a SQL source may bind.
BINDABLE = ("period_start", "period_end", "day_before", "day_after", "provider", "changed_since")

#: Without a row in these tables every submission is rejected as a file (MHSREJ002 to MHSREJ005).
REQUIRED_TABLES = ("MHS000", "MHS001", "MHS002", "MHS101")

_BOUND = r"(?<![:\w]):([a-z_]+)"
_Text = Annotated[str, StringConstraints(min_length=1, strict=True)]
_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", strict=True)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, populate_by_name=True)


#: Files that hold several tables, so an input says which.
WORKBOOKS, ACCESS = (".xlsx", ".xlsm"), (".accdb", ".mdb")


class Incremental(_Model):
    """How an input changes, so that only what has changed is fetched; see ``sources.increments``.

    ``key`` is the column, or columns, that name a row, ``changed`` the one that says when it was last changed. ``keys`` is a query of the keys
    that are there, read whole, by which rows that were deleted are noticed.
    """

    key: Annotated[tuple[_Text, ...], Field(min_length=1), BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]
    changed: _Text
    look_back_days: int = Field(default=35, ge=1, le=3650)
    full_every_days: int = Field(default=28, ge=1, le=366)
    keys: _Text | None = None


class Input(_Model):
    """One thing to fetch: the rows of a query or table of a database, of the files whose path fits a pattern, of a sheet or Access table."""

    query: _Text | None = None
    table: _Text | None = None
    file: _Text | None = None
    sheet: _Text | None = None
    heading_row: int = Field(default=1, ge=1, le=100)
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] = ","
    encoding: Literal["utf8", "cp1252", "latin-1"] = "utf8"
    #: What stands for a value that is missing, beside the empty one; blanks around it do not matter.
    missing: tuple[Annotated[str, StringConstraints(strict=True)], ...] = ()
    incremental: Incremental | None = None

    @model_validator(mode="after")
    def _changes(self) -> Self:
        bound = set(re.findall(_BOUND, self.query or ""))
        if self.incremental is None:
            if "changed_since" in bound:
                raise ValueError("a query binds :changed_since only where the input says how it changes; add incremental with its key and changed")
            return self
        if "changed_since" not in bound:
            raise ValueError("incremental needs a query that binds :changed_since, such as WHERE updated_at >= :changed_since")
        if bound & {"period_start", "period_end", "day_before", "day_after"}:
            raise ValueError("an incremental query serves every month: choose the rows of a month under where, by getvariable('period_start')")
        if set(re.findall(_BOUND, self.incremental.keys or "")) - {"provider"}:
            raise ValueError("the query keys gives the keys of all rows; it may bind :provider only")
        return self

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kind = Path(self.file or "").suffix.lower()
        if kind in ACCESS and self.query is None:
            if self.table is None:
                raise ValueError("an Access file needs the table to read, such as table: tblClient")
        elif sum(kind is not None for kind in (self.query, self.table, self.file)) != 1:
            raise ValueError("an input is given by exactly one of query, table or file")
        if kind not in WORKBOOKS and (self.sheet is not None or self.heading_row != 1):
            raise ValueError("sheet and heading_row belong to a file that is a workbook (.xlsx)")
        if self.file is not None and (Path(self.file).is_absolute() or ".." in Path(self.file).parts):
            raise ValueError("a file is given relative to the folder of the source, and inside it")
        if self.query is not None:
            if not re.match(r"\s*(--[^\n]*\n\s*)*(select|with)\b", self.query, re.IGNORECASE):
                raise ValueError("a query must be one SELECT; sources are only ever read")
            for name in re.findall(_BOUND, self.query):
                if name not in BINDABLE:
                    raise ValueError(
                        f"a query binds :{name}, which is not known{near(name, BINDABLE)}; it may bind :period_start, :period_end, :day_before,"
                        " :day_after, :provider"
                    )
        return self


class CodeMap(_Model):
    """Local code -> national code, written here or in a CSV file with the columns local and national."""

    name: str = ""
    values: Mapping[_Text, _Text] = {}
    file: Path | None = None
    unmapped: Literal["error", "keep"] | None = None


class Column(_Model):
    """Where one element comes from: exactly one of a column, an expression, a constant or a parameter of the run."""

    column: _Text | None = None
    expression: _Text | None = None
    value: _Text | None = None
    parameter: Parameter | None = None
    codes: _Text | None = None
    format: _Text | tuple[_Text, ...] | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if sum(origin is not None for origin in (self.column, self.expression, self.value, self.parameter)) != 1:
            raise ValueError("an element is given by exactly one of column, expression, value or parameter")
        if self.codes is not None and self.column is None and self.expression is None:
            raise ValueError("codes belong to a column or an expression")
        if self.format is not None and self.codes is not None:
            raise ValueError("an element has either codes or a format")
        return self


def _column(value: Any) -> Any:
    """A bare name stands for a column."""
    return {"column": value} if isinstance(value, str) else value


class TableMap(_Model):
    """One table of the standard: its input, which rows of it, and its elements."""

    source: _Name | None = Field(default=None, alias="from")
    where: _Text | None = None
    columns: Mapping[str, Annotated[Column, BeforeValidator(_column)]] = Field(min_length=1)


class LocalMapping(_Model):
    """The whole mapping of a provider. ``tables`` is keyed by the id of the table (MHS101)."""

    file: Path
    codes: Mapping[str, CodeMap] = {}
    inputs: Mapping[_Name, Input] = {}
    tables: Mapping[str, TableMap]
    unmapped_codes: Literal["error", "keep"] = "error"

    def content(self) -> dict[str, Any]:
        """Everything that decides the result and nothing else, such as the place of the file or how changes are fetched; for its hash."""
        inputs, codes = {name: {"incremental"} for name in self.inputs}, {name: {"file"} for name in self.codes}
        return self.model_dump(mode="json", exclude={"file": True, "codes": codes, "inputs": inputs})


@dataclass(frozen=True, slots=True)
class TableCoverage:
    """How much of one table is mapped: its elements by where they come from, and those that are not."""

    table: str
    mapped: tuple[str, ...]
    constant: tuple[str, ...]
    missing: tuple[str, ...]
    missing_mandatory: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the standard a mapping covers. ``odd_codes`` are national codes it gives that the standard does not list."""

    tables: tuple[TableCoverage, ...]
    missing_tables: tuple[str, ...]
    missing_required: tuple[str, ...]
    odd_codes: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Unmapped:
    """Local codes of an element that have no national one: how many, in how many of all rows with a code, and the most frequent with their rows.

    They are named only where most rows of the column do have a national code: otherwise the column is probably not one of codes, and its
    values may be a patient's.
    """

    codes: int
    rows: int
    total: int
    shown: tuple[tuple[str, int], ...]


#: Local codes that are named; the rest are counted.
_CODES_SHOWN = 5


def load(path: Path) -> LocalMapping:
    """Read and check a mapping. Raises UsageError, one line, for anything the standard or the mapping itself does not know."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - a safe loader, the quick one where there is one
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"The mapping {path} cannot be read; check the path in SITE.toml") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark is not None else ""
        raise UsageError(f"The mapping {path} is not valid YAML{line}; correct it") from None
    if not isinstance(data, dict):
        raise UsageError(f"The mapping {path} is empty; it needs inputs and tables")
    data = {**data, "file": path}
    data["codes"] = {str(name): _code_map(path, str(name), item) for name, item in (data.get("codes") or {}).items()}
    data["tables"] = dict(_tables(path, data.get("tables")))
    try:
        mapping = LocalMapping.model_validate(data)
    except ValidationError as error:
        raise UsageError(f"The mapping {path}: {_first_error(error)}") from None
    for identifier_, table in mapping.tables.items():
        _check_references(mapping, standard.load().table(identifier_).name, table)
    return mapping


def check(mapping: LocalMapping) -> Coverage:
    """What the mapping covers and what it lacks, table by table. Looks at the mapping alone, not at any data."""
    known = standard.load()
    tables = []
    odd: list[tuple[str, str, str]] = []
    for identifier_, table in sorted(mapping.tables.items()):
        about = known.table(identifier_)
        constant = tuple(name for name in about.elements if name in table.columns and _is_constant(table.columns[name]))
        missing = tuple(name for name in about.elements if name not in table.columns)
        tables.append(
            TableCoverage(
                table=about.name,
                mapped=tuple(name for name in about.elements if name in table.columns and name not in constant),
                constant=constant,
                missing=missing,
                missing_mandatory=tuple(name for name in missing if about.field(name).mandation == "M"),
            )
        )
        for name, column in table.columns.items():
            given = set(mapping.codes[column.codes].values.values()) if column.codes else {column.value} - {None}
            if meanings := national_codes(about.field(name)):
                odd += [(about.name, name, str(code)) for code in sorted(map(str, given)) if code not in meanings]
    missing_tables = tuple(about.name for identifier_, about in known.tables.items() if identifier_ not in mapping.tables)
    required = tuple(known.table(identifier_).name for identifier_ in REQUIRED_TABLES if identifier_ not in mapping.tables)
    return Coverage(tuple(tables), missing_tables, required, tuple(odd))


def national_codes(field: standard.Field) -> Mapping[str, str]:
    """Code -> meaning of an element's list; nothing where it has none, or one that is not public."""
    return standard.load().codes(field.codes) if field.codes is not None and field.codes != "unpublished" else {}


def select(mapping: LocalMapping, table: str, *, blank: frozenset[Parameter] = frozenset()) -> str:
    """The SELECT that gives a table of the standard: its elements in order, as text, empty as NULL, in a total order of rows.

    The inputs must exist as relations named like them, and the parameters as variables. Parameters in ``blank`` come out NULL.
    Rows are ordered by all their elements, so equal content gives equal bytes whatever order the source answered in.
    """
    about, mapped = standard.load().table(table), mapping.tables[table]
    elements = ",\n  ".join(
        f"{element_sql(mapping, about.field(name), mapped.columns[name], blank) if name in mapped.columns else 'CAST(NULL AS VARCHAR)'}"
        f" AS {identifier(name)}"
        for name in about.elements
    )
    return f"SELECT\n  {elements}\n{rows_sql(mapped)}\nORDER BY ALL"


def input_sql(item: Input, path: Path) -> str:
    """The rows of a fetched input, with what it lists as missing taken out."""
    rows = f"FROM read_parquet({text_literal(str(path))})"
    if not item.missing:
        return rows
    nothing = ", ".join(text_literal(text) for text in sorted({"", *(text.strip() for text in item.missing)}))
    return f"SELECT CASE WHEN trim(COLUMNS(*)) IN ({nothing}) THEN NULL ELSE COLUMNS(*) END {rows}"


def rows_sql(table: TableMap) -> str:
    """The FROM and WHERE of a table; one row when it has no input."""
    source = f"FROM {identifier(table.source)}" if table.source else "FROM (VALUES (1)) AS one_row (one)"
    return f"{source}\nWHERE ({table.where})" if table.where else source


def origin_sql(column: Column) -> str:
    """A column's value before codes and formats: text, with empty as NULL."""
    if column.value is not None:
        return text_literal(column.value)
    if column.parameter is not None:
        return f"getvariable({text_literal(column.parameter)})"
    inner = f"({column.expression})" if column.expression is not None else identifier(column.column or "")
    return f"nullif(CAST({inner} AS VARCHAR), '')"


def element_sql(mapping: LocalMapping, field: standard.Field, column: Column, blank: frozenset[Parameter] = frozenset()) -> str:
    """The SQL expression of one element.

    A value that does not fit its format stays as it is, so that the rules of the standard find it; a midnight that a database
    added to a date is taken off again.
    """
    if column.parameter in blank:
        return "CAST(NULL AS VARCHAR)"
    origin = origin_sql(column)
    if column.codes is not None:
        return f"coalesce({code_lookup(mapping.codes[column.codes], origin)}, {origin})"
    if column.format is not None:
        formats = [column.format] if isinstance(column.format, str) else list(column.format)
        listed = "[" + ", ".join(text_literal(item) for item in formats) + "]"
        shape = {"date": "%Y-%m-%d", "time": "%H:%M:%S"}.get(field.type, "%Y-%m-%dT%H:%M:%S")
        return f"coalesce(strftime(try_strptime({origin}, {listed}), '{shape}'), {origin})"
    if field.type == "date":
        return f"regexp_replace({origin}, '[T ]00:00:00([.]0+)?$', '')"
    return origin


def code_lookup(codes: CodeMap, value: str) -> str:
    """The national code of a local one, NULL when there is none."""
    pairs = ", ".join(f"{text_literal(local)}: {text_literal(national)}" for local, national in sorted(codes.values.items()))
    return f"MAP {{{pairs}}}[{value}]"


def unmapped_codes(connection: Connection, mapping: LocalMapping, table: TableMap, column: Column) -> Unmapped:
    """The local codes of a column with codes that have no national one, among the rows of its table. The inputs must exist as relations."""
    counted = (
        f"WITH local AS (SELECT {origin_sql(column)} AS code {rows_sql(table)}),"
        f" counted AS (SELECT code, count(*) AS rows, {code_lookup(mapping.codes[column.codes or ''], 'code')} IS NOT NULL AS known"
        " FROM local WHERE code IS NOT NULL GROUP BY code)"
    )
    codes, rows, total = connection.execute(
        f"{counted} SELECT count(*) FILTER (NOT known), coalesce(sum(rows) FILTER (NOT known), 0), coalesce(sum(rows), 0) FROM counted"
    ).fetchall()[0]
    shown: tuple[tuple[str, int], ...] = ()
    if codes and 2 * rows <= total:
        most = connection.execute(
            f"{counted} SELECT code, rows FROM counted WHERE NOT known ORDER BY rows DESC, code LIMIT {_CODES_SHOWN}"
        ).fetchall()
        shown = tuple((str(code), int(count)) for code, count in most)
    return Unmapped(int(codes), int(rows), int(total), shown)


def _is_constant(column: Column) -> bool:
    return column.value is not None or column.parameter is not None


def _tables(path: Path, tables: Any) -> Iterator[tuple[str, Any]]:
    """The tables under their ids, each name and element checked against the standard."""
    if not isinstance(tables, dict) or not tables:
        raise UsageError(f"The mapping {path} has no tables; map at least MHS000Header, MHS001MPI, MHS002GP and MHS101Referral")
    known = standard.load()
    names = {table.name: table for table in known.tables.values()}
    for name, content in tables.items():
        about = names.get(str(name)) or known.tables.get(str(name))
        if about is None:
            raise UsageError(f"The mapping {path} names the table {name}, which the standard does not have{near(str(name), names)}; correct it")
        columns = content.get("columns") if isinstance(content, dict) else None
        for element in columns if isinstance(columns, dict) else ():
            if element not in about.elements:
                raise UsageError(
                    f"The mapping {path}, table {about.name}: the standard has no element {element}{near(str(element), about.elements)}; correct it"
                )
        yield about.id, content


def _code_map(path: Path, name: str, item: Any) -> Any:
    """A code map with the rows of its file read in; a plain mapping of codes stands for itself."""
    if not isinstance(item, dict):
        raise UsageError(f"The mapping {path}: codes.{name} must map local codes to national ones, or name a file")
    if not {"file", "values"} & set(item):
        item = {"values": item}
    if "file" not in item:
        return {"name": name, **item}
    place = path.parent / str(item["file"])
    try:
        with place.open(encoding="utf-8-sig", newline="") as handle:
            rows = list(csv.DictReader(handle))
        values = {row["local"]: row["national"] for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error):
        raise UsageError(f"The mapping {path}: codes.{name} names the file {place}, which cannot be read; create it or correct the path") from None
    except KeyError:
        raise UsageError(f"The mapping {path}: the code file {place} needs the columns local and national") from None
    if len(values) != len(rows):
        raise UsageError(f"The mapping {path}: the code file {place} gives a local code twice; keep one line of each")
    return {"name": name, **item, "file": place, "values": values}


def _check_references(mapping: LocalMapping, name: str, table: TableMap) -> None:
    where = f"The mapping {mapping.file}, table {name}"
    if table.source is not None and table.source not in mapping.inputs:
        raise UsageError(f"{where}: from names {table.source}, which is not among the inputs{near(table.source, mapping.inputs)}; add it")
    for element, column in table.columns.items():
        if column.codes is not None and column.codes not in mapping.codes:
            raise UsageError(
                f"{where}, element {element}: there is no code map {column.codes}{near(column.codes, mapping.codes)}; add it under codes"
            )
        if table.source is None and column.column is not None:
            raise UsageError(f"{where}, element {element}: a table without an input (from) has no columns; use value, parameter or expression")


def _first_error(error: ValidationError) -> str:
    """One sentence about the first thing wrong, with the way to it in the file."""
    rank = {"extra_forbidden": 0, "value_error": 1}
    first = min(error.errors(include_url=False, include_input=False, include_context=False), key=lambda item: rank.get(item["type"], 2))
    place = ".".join(str(part) for part in first["loc"] if part not in ("[key]", "constrained-str"))
    match first["type"]:
        case "extra_forbidden":
            return f"unknown key {place}; correct or remove it"
        case "missing":
            return f"{place} is missing; add it"
        case "value_error":
            return f"{place}: {str(first['msg']).removeprefix('Value error, ')}"
        case "string_type" | "model_type":
            return f"{place} must be text; put it in quotes (an unquoted 01 or No is not text in YAML)"
        case _:
            message = str(first["msg"])
            return f"{place}: {message[0].lower()}{message[1:]}"
