"""Bring in local IPS records: CSV or Parquet files, an Excel workbook as services keep it, or queries of a database.

Whatever they come from, they land as one Parquet file of text per table of ``mhsds/ips``, in its own words and codes, with the row each
record had in its sheet or file. Columns are found by what services call them (``mhsds/ips/words.yaml``); others are left alone and named.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pydantic import ValidationError

from ips_pipeline.errors import InputError, UsageError
from ips_pipeline.mhsds import standard
from ips_pipeline.mhsds.standard import LOCAL, Field, Table
from ips_pipeline.settings import FilesSource, Site, near
from ips_pipeline.sources import files, raw
from ips_pipeline.sources.mapping import Input
from ips_pipeline.store.duck import identifier, session, text_literal
from ips_pipeline.store.folders import ROW_COLUMN

#: A heading stands within this many rows of the top of a sheet, under a title or a logo.
_HEADING_WITHIN = 20
#: Cells of a row that must be headings for it to be the heading of a table.
_HEADINGS = 2

#: How dates are written as text, with a year of four digits or of two.
_DATES = ("%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y", "%d %b %Y", "%d %B %Y")
_SHORT_DATES = ("%d/%m/%y", "%d-%m-%y", "%d.%m.%y", "%d %b %y")


@dataclass(slots=True)
class Landed:
    """What came in: rows by table, the sheet or file each came from, and by sheet or file the headings that were not understood."""

    rows: dict[str, int] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    unread: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Found:
    """A table in a sheet or file: its text columns by element (lists, or Arrow arrays of text), and the row of each record."""

    table: Table
    where: str
    columns: Mapping[str, Any]
    rows: Sequence[int]


def find(root: Path) -> dict[str, Path]:
    """The records of each provider below a folder: ``<root>/<OrgIDProvider>/`` or ``<root>/<OrgIDProvider>.xlsx``, or the folder itself.

    A folder that holds the files of one service stands under the empty name: its rows name their provider. Raises InputError when
    there is nothing to read.
    """
    if root.is_file():
        return {"": root}
    if not root.is_dir():
        raise InputError(
            f"The folder of local IPS records {root} does not exist; give a folder with ips_episode.csv, or with a workbook per provider"
        )
    if any((root / f"{table.name}{kind}").is_file() for table in _tables() for kind in (".csv", ".parquet")):
        return {"": root}
    held = {path.stem if path.is_file() else path.name: path for path in sorted(root.iterdir()) if path.is_dir() or _is_workbook(path)}
    if not held:
        raise InputError(f"{root} holds no local IPS records; it needs ips_episode.csv, a workbook, or one of them per provider")
    return held


def land(source: Path, provider: str, out: Path, *, site: Site | None = None, bind: Mapping[str, Any] | None = None) -> Landed:
    """Read one provider's records into ``out``: one Parquet file of text per table that has rows, in the words of ``mhsds/ips``.

    ``source`` is a folder of files, a workbook (.xlsx), or a YAML file that names a source of the site and gives a query or file per
    table. ``provider`` fills in OrgIDProvider where a row does not say it. Raises InputError for what cannot be read or lacks a column
    that every record needs, and UsageError for a YAML file that is not right.
    """
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    landed = Landed()
    with TemporaryDirectory(prefix="records-", dir=out.parent) as work:
        if source.suffix.lower() in (".yaml", ".yml"):
            found = _from_queries(source, site, bind or {}, Path(work), landed)
        elif source.is_dir() and not (books := [path for path in sorted(source.iterdir()) if _is_workbook(path)]):
            found = _from_files(source, Path(work), landed)
        elif source.is_dir() and len(books) > 1:
            raise InputError(f"{source} holds {len(books)} workbooks; keep the one that is current")
        else:
            found = _from_workbook(books[0] if source.is_dir() else source, landed)
        _write(found, provider, out, landed)
    if "ips_episode" not in landed.rows:
        raise InputError(f"{source} holds no episodes (ips_episode or a caseload sheet), without which no record can count; add them")
    return landed


def _write(found: Sequence[_Found], provider: str, out: Path, landed: Landed) -> None:
    with session(write=[out]) as connection:
        for item in found:
            if item.table.name in landed.rows:
                raise InputError(f"{item.where} holds {item.table.name} a second time; keep one of them")
            _check_required(item, provider)
            arrays = {name: values if isinstance(values, pa.ChunkedArray) else pa.array(values, pa.string()) for name, values in item.columns.items()}
            arrow = pa.table({ROW_COLUMN: pa.array(item.rows, pa.int64()), **arrays})
            connection.register("given", arrow)
            path = out / f"{item.table.name}.parquet"
            connection.execute(
                f"COPY (SELECT {', '.join(_value(about, item, provider) for about in item.table.fields)}, {identifier(ROW_COLUMN)} FROM given"
                f" ORDER BY {identifier(ROW_COLUMN)}) TO {text_literal(str(path.resolve()))} (FORMAT parquet, COMPRESSION zstd)"
            )
            connection.unregister("given")
            path.chmod(0o600)
            landed.rows[item.table.name] = len(item.rows)
            landed.places[item.table.name] = Path(item.where).name


def _value(about: Field, item: _Found, provider: str) -> str:
    """SQL that writes an element as the standard does: dates yyyy-mm-dd, codes for words, numbers without signs of money."""
    name = identifier(about.element)
    if about.element not in item.columns:
        given = text_literal(provider) if about.element == "OrgIDProvider" and provider else "CAST(NULL AS VARCHAR)"
        return f"{given} AS {name}"
    text = f"nullif(trim({name}), '')"
    if about.type == "date":
        # A year of two digits says nothing of the century somebody was born in.
        short = "" if about.element == "PersonBirthDate" else f" WHEN regexp_matches({text}, '[^0-9][0-9]{{2}}$') THEN {_parsed(text, _SHORT_DATES)}"
        tried = f"CASE WHEN regexp_matches({text}, '[^0-9][0-9]{{4}}$') THEN {_parsed(text, _DATES)}{short} END"
        text = f"coalesce(strftime({tried}, '%Y-%m-%d'), regexp_replace({text}, '[T ]00:00:00$', ''))"
    elif about.type in ("decimal", "integer"):
        text = f"regexp_replace(regexp_replace({text}, '[£,\\s]|(?i)(hours|hrs|wte)$', '', 'g'), '[.]0+$', '')"
    elif about.element == "NHSNumber":
        text = f"regexp_replace({text}, '[\\s-]', '', 'g')"
    elif about.codes:
        words = _words(about.codes)
        listed = ", ".join(f"{text_literal(word)}: {text_literal(code)}" for word, code in sorted(words.items()))
        text = f"coalesce(MAP {{{listed}}}[lower({text})], {text})"
    if about.element == "OrgIDProvider" and provider:
        text = f"coalesce({text}, {text_literal(provider)})"
    return f"{text} AS {name}"


def _parsed(text: str, shapes: Sequence[str]) -> str:
    return f"try_strptime({text}, [{', '.join(text_literal(shape) for shape in shapes)}])"


def _check_required(item: _Found, provider: str) -> None:
    for about in item.table.fields:
        if about.mandation == "M" and about.element not in item.columns and not (about.element == "OrgIDProvider" and provider):
            called = next(iter(_headings(item.table).get(about.element, [])), about.element)
            raise InputError(f"{item.where} has no column for {about.name} ({about.element}); add one headed {called}")


def _from_files(folder: Path, work: Path, landed: Landed) -> list[_Found]:
    inputs = {table.name: Input(file=path.name) for table in _tables() for path in sorted(folder.glob(f"{table.name}.*")) if path.suffix in _KINDS}
    if not inputs:
        raise InputError(f"{folder} holds no local IPS records; it needs ips_episode.csv, or a workbook (.xlsx)")
    fetched = files.fetch("ips_records", FilesSource(kind="files", folder=folder), inputs, fill={}, folder=work)
    return [_from_fetched(name, item, str(folder / str(inputs[name].file)), landed) for name, item in fetched.items()]


def _from_queries(source: Path, site: Site | None, bind: Mapping[str, Any], work: Path, landed: Landed) -> list[_Found]:
    """Read a YAML file ``source: <name in SITE.toml>`` with ``inputs: {<table>: {query: …} or {file: …}}``."""
    if site is None:
        raise UsageError(f"{source} names a source of a site; name it in SITE.toml as ips_records, or give a folder or a workbook")
    try:
        content = yaml.safe_load(source.read_text(encoding="utf-8"))
        name, inputs = content["source"], {key: Input.model_validate(item) for key, item in content["inputs"].items()}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValidationError):
        raise UsageError(f"{source} is not right; it needs a source of SITE.toml and, under inputs, a query or a file per table") from None
    names = {table.name: table for table in _tables()}
    for key in inputs:
        if key not in names:
            raise UsageError(f"{source}: there is no table {key} of local IPS records{near(str(key), names)}; correct it")
    if name not in site.sources:
        raise UsageError(f"{source} names the source {name}, which SITE.toml does not have{near(str(name), site.sources)}; correct it")
    about = site.sources[name]
    if isinstance(about, FilesSource):
        fetched = files.fetch(name, about, inputs, fill={key: str(value) for key, value in bind.items()}, folder=work)
    else:
        from ips_pipeline.sources import sql  # noqa: PLC0415 - SQLAlchemy takes half a second that only databases need

        fetched = sql.fetch(site, name, inputs, bind=bind, folder=work)
    return [_from_fetched(key, item, f"{source}, input {key}", landed) for key, item in fetched.items()]


_KINDS = (".csv", ".parquet")


def _from_fetched(name: str, item: raw.Fetched, where: str, landed: Landed) -> _Found:
    """The table of a raw extract, which is numbered from 1 in the order it came."""
    table = standard.load(LOCAL).table(name)
    elements = _elements(table, item.columns, where, landed)
    arrow = pq.read_table(item.path)
    columns = {element: arrow.column(position) for position, element in elements.items()}
    return _Found(table, where, columns, range(1, item.rows + 1))


def _from_workbook(path: Path, landed: Landed) -> list[_Found]:
    """The tables of a workbook: each sheet that is called like a table, or a caseload sheet that also tells the first job."""
    found: list[_Found] = []
    for title, rows in _sheets(path):
        table = next((table for table in _tables() if _plain(title) in (_plain(table.name), *standard.local_words()["sheets"][table.name])), None)
        if table is None:
            landed.unread[f"sheet {title}"] = []
            continue
        where = f"{path}, sheet {title}"
        heading = _heading_row(table, rows)
        if heading is None:
            raise InputError(f"{where} has no row of headings in its first {_HEADING_WITHIN} rows; head its columns with their names")
        headings = [str(cell or "") for cell in rows[heading]]
        elements = _elements(table, headings, where, landed)
        kept = [
            (number, row)
            for number, row in enumerate(rows[heading + 1 :], heading + 2)
            # A blank row, or one with nothing but a note in one cell, is no record.
            if sum(1 for position in elements if position < len(row) and row[position] not in (None, "")) > 1
        ]
        found.append(
            _Found(table, where, {name: [_cell(row, at) for _, row in kept] for at, name in elements.items()}, [number for number, _ in kept])
        )
        if table.name == "ips_episode":
            found += _first_jobs(where, headings, kept, elements)
    if not found:
        sheets = ", ".join(sheets[0] for sheets in standard.local_words()["sheets"].values())
        raise InputError(f"{path} has no sheet that is called like a table of local IPS records; call its sheets, for instance, {sheets}")
    return _one_each(found)


#: What a table from the job columns of a caseload sheet adds to its place.
_FIRST_JOBS = " (first jobs)"


def _one_each(found: Sequence[_Found]) -> list[_Found]:
    """A sheet of jobs tells more than the first job on the caseload sheet, so it stands alone where there is one."""
    sheets = {item.table.name for item in found if not item.where.endswith(_FIRST_JOBS)}
    return [item for item in found if not (item.where.endswith(_FIRST_JOBS) and item.table.name in sheets)]


def _first_jobs(where: str, headings: Sequence[str], kept: Sequence[tuple[int, Sequence[Any]]], elements: Mapping[int, str]) -> list[_Found]:
    """The first jobs that a caseload sheet tells beside its clients, as job 1 of each."""
    called = {_plain(word): element for element, words in standard.local_words()["caseload_job"].items() for word in words}
    places = {called[_plain(text)]: position for position, text in enumerate(headings) if _plain(text) in called}
    key = next((position for position, element in elements.items() if element == "episode_id"), None)
    if "start_date" not in places or key is None:
        return []
    working = [(number, row) for number, row in kept if _cell(row, places["start_date"])]
    columns: dict[str, Sequence[str | None]] = {"episode_id": [_cell(row, key) for _, row in working], "job_no": ["1"] * len(working)}
    columns |= {element: [_cell(row, position) for _, row in working] for element, position in places.items()}
    return [_Found(standard.load(LOCAL).table("ips_job"), where + _FIRST_JOBS, columns, [number for number, _ in working])]


def _sheets(path: Path) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Title and rows of every visible sheet; a value is what the sheet shows, not the formula behind it."""
    import openpyxl  # noqa: PLC0415 - half a second that only workbooks need
    from openpyxl.utils.exceptions import InvalidFileException  # noqa: PLC0415

    advice = "save it again as an Excel workbook (.xlsx) without a password"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            try:
                for sheet in book.worksheets:
                    if sheet.sheet_state == "visible":
                        yield sheet.title, list(sheet.iter_rows(values_only=True))
            finally:
                book.close()
    except FileNotFoundError:
        raise InputError(f"There is no workbook {path}; check the path") from None
    except (OSError, zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, TypeError, EOFError, SyntaxError):
        raise InputError(f"{path} cannot be read as a workbook; {advice}") from None


def _heading_row(table: Table, rows: Sequence[Sequence[Any]]) -> int | None:
    """The first row near the top that holds the most headings of the table, and at least two."""
    known = {word for words in _headings(table).values() for word in words}
    scores = [sum(1 for cell in row if isinstance(cell, str) and _plain(cell) in known) for row in rows[:_HEADING_WITHIN]]
    best = max(scores, default=0)
    return scores.index(best) if best >= _HEADINGS else None


def _elements(table: Table, headings: Sequence[str], where: str, landed: Landed) -> dict[int, str]:
    """Position of a column -> element; remembers the headings that were not understood. InputError when two mean the same."""
    called = {word: element for element, words in reversed(list(_headings(table).items())) for word in words}
    jobs = {_plain(word) for words in standard.local_words()["caseload_job"].values() for word in words} if table.name == "ips_episode" else set()
    found: dict[int, str] = {}
    for position, heading in enumerate(headings):
        plain = _plain(heading)
        element = called.get(plain)
        if element in found.values():
            raise InputError(f"{where} has two columns for {table.field(str(element)).name} ({element}); keep one of them")
        if element is not None:
            found[position] = element
        elif plain and plain not in jobs:
            landed.unread.setdefault(where, []).append(heading.strip()[:40])
    return found


def _cell(row: Sequence[Any], position: int) -> str | None:
    value = row[position] if position < len(row) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    elif isinstance(value, float):
        # What the sheet shows: 16.1 and not 16.099999999999998.
        value = round(value, 6)
    return raw.as_text(value)


def _is_workbook(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() == ".xlsx" and not path.name.startswith("~$")


def _tables() -> Sequence[Table]:
    return tuple(standard.load(LOCAL).tables.values())


def _headings(table: Table) -> Mapping[str, Sequence[str]]:
    """Element -> what its column may be called, in plain words; its own name comes last."""
    words = standard.local_words()["headings"][table.name]
    return {element: [*map(_plain, words.get(element, ())), _plain(element)] for element in table.elements}


@cache
def _words(codes: str) -> Mapping[str, str]:
    """What people write for a code, in small letters -> the code; its meaning and the code itself too."""
    rows = standard.load(LOCAL).code_rows(codes)
    return {word: row["code"] for row in rows for word in (row["code"].lower(), row["meaning"].lower(), *(row.get("words") or "").split("|")) if word}


def _plain(heading: str) -> str:
    """A heading as it is compared: small letters and digits, anything else one blank."""
    return re.sub(r"[^a-z0-9]+", " ", heading.lower()).strip()
