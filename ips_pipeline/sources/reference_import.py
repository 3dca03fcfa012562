"""Import public reference downloads into a reference folder, as their publishers lay them out.

``reference_layouts.yaml`` says how each download is recognised and which of its columns become ours. All files of one call are read and
checked aside; only when every one of them is good do they take their places, and ``imported.json`` last. It says where each came from.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import yaml

from ips_pipeline.errors import InputError, UsageError
from ips_pipeline.store import duck, stages
from ips_pipeline.store.duck import Connection, DuckError, identifier, text_literal
from ips_pipeline.store.folders import is_utf8

#: Beside the files of a reference folder: where each that was imported came from.
IMPORTED = "imported.json"

_LARGEST = 8 << 30
_CHUNK = 1 << 20
#: Workbooks have titles and notes above their headings.
_HEADING_WITHIN = 10
_SOURCE = "source"
_BY_HAND = "by hand"
_YEAR = re.compile(r"(Mid-([0-9]{4}))\b.*")


@dataclass(frozen=True, slots=True)
class _File:
    """One of our files that a layout feeds, as ``reference_layouts.yaml`` explains."""

    name: str
    key: tuple[str, ...]
    columns: Mapping[str, Any]
    where: tuple[str, ...]
    shared: bool
    total: str | None
    not_with: str | None


@dataclass(frozen=True, slots=True)
class _Layout:
    """One published layout. ``columns`` are our names for its columns, with a position or patterns of the heading."""

    kind: str
    title: str
    source: str
    verified: str
    columns: Mapping[str, Any]
    files: tuple[_File, ...]
    names: tuple[str, ...] = ()
    width: int | None = None
    optional: frozenset[str] = frozenset()
    expect: Mapping[str, str] = field(default_factory=dict)
    keep: Mapping[str, str] = field(default_factory=dict)
    wide: Mapping[str, Any] | None = None
    valid_from: str | None = None
    note: str | None = None

    def places(self, heading: Sequence[str]) -> dict[str, int] | None:
        """Our name of a column -> its position from 0 in a file with this heading; None when it is no file of the layout."""
        if self.width is not None:
            return {name: position - 1 for name, position in self.columns.items()} if len(heading) == self.width else None
        found = {}
        for name, patterns in self.columns.items():
            at = next((position for position, said in enumerate(heading) if any(re.fullmatch(one, _plain(said)) for one in patterns)), None)
            if at is not None:
                found[name] = at
            elif name not in self.optional:
                return None
        return found if self.wide is None or self.spread(heading) else None

    def spread(self, heading: Sequence[str]) -> list[tuple[int, tuple[str, ...]]]:
        """Position and parts of each column that becomes rows."""
        pattern = self.wide["heading"] if self.wide else "$^"
        parts = [(position, re.fullmatch(pattern, said.strip())) for position, said in enumerate(heading)]
        return [(position, match.groups()) for position, match in parts if match]

    def needed(self) -> str:
        """What a file of this layout has, for a person."""
        if self.width is not None:
            return f"{self.width} columns and no header"
        named = [
            patterns[0].replace("\\", "").replace("[0-9]{2}", "yy").replace("[0-9]{4}", "yyyy").replace("?", "") for patterns in self.columns.values()
        ]
        return "the columns " + ", ".join(named) + (" and F0, M0, F1, …" if self.wide else "")


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one download: rows by file, and what a person should know. ``edition`` is what it was called or the option said."""

    kind: str
    title: str
    edition: str
    rows: Mapping[str, int]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """One file of a reference folder. ``state`` is "as imported", "changed since it was imported", "by hand", or "lost"."""

    file: str
    state: str
    sources: tuple[Mapping[str, Any], ...]


def layouts() -> list[tuple[str, str, str, str]]:
    """Every layout that can be imported: the name ``kind`` takes, its title, where the download is, and the day it was compared (yyyy-mm-dd)."""
    return [(layout.kind, layout.title, layout.source, layout.verified) for layout in _layouts().values()]


def load(
    downloads: Sequence[Path],
    into: Path,
    *,
    kind: str | None = None,
    edition: str | None = None,
    valid_from: date | None = None,
    valid_to: date | None = None,
    organisations: bool = False,
) -> list[Imported]:
    """Read downloads (CSV, a workbook, or a zip file with one of them) and put what they hold into the reference folder ``into``.

    ``kind`` is one of ``layouts`` where a file is not recognised; ``edition`` and the days it is valid are recorded, and of a workbook with a
    sheet per year ``edition`` chooses the sheet ("Mid-2022"); the latest is taken otherwise. ``organisations`` also feeds organisations.csv,
    which switches on rules that reject whatever is not in it. The folder is made where it does not exist. Raises UsageError for options that
    do not fit, and InputError when a file is no download of a known layout or cannot be written; nothing is changed then.
    """
    if kind is not None and kind not in _layouts():
        raise UsageError(f"There is no layout {kind}; use one of {', '.join(_layouts())}")
    if (kind or edition) and len(downloads) > 1:
        raise UsageError("--kind and --edition are of one file; import the files one by one")
    try:
        into.mkdir(parents=True, exist_ok=True)
        # Beside the folder: on the same disk, and in nobody's way while a release reads it.
        with tempfile.TemporaryDirectory(prefix=f".{into.name}-import-", dir=into.resolve().parent) as room:
            return _load(downloads, into, Path(room), kind, edition, (valid_from, valid_to), organisations)
    except OSError as error:
        raise InputError(f"{into} cannot be written ({error.strerror or 'no access'}); check its permissions and the disk") from None


def standing(folder: Path) -> list[Standing]:
    """What the CSV files of a reference folder are and where they came from. Raises InputError when it does not exist."""
    if not folder.is_dir():
        raise InputError(f"The reference folder {folder} does not exist; check the path")
    record = _record(folder)
    files = sorted({path.name for path in folder.glob("*.csv")} | set(record["files"]))
    return [
        Standing(
            name,
            _state(folder / name, record["files"].get(name)),
            tuple({"kind": kind, **entry} for kind, entry in record["imports"].items() if name in entry["files"]),
        )
        for name in files
    ]


def _state(path: Path, sealed: str | None) -> str:
    if not path.is_file():
        return "lost"
    if sealed is None:
        return _BY_HAND
    return "as imported" if stages.file_hash(path) == sealed else "changed since it was imported"


@dataclass(frozen=True, slots=True)
class _Download:
    """A download as a CSV file to read, its heading, where its rows begin, and its layout."""

    given: Path
    text: Path
    heading: tuple[str, ...]
    layout: _Layout
    edition: str
    valid_from: str | None

    @property
    def has_header(self) -> bool:
        return self.layout.width is None


def _load(
    downloads: Sequence[Path],
    into: Path,
    room: Path,
    kind: str | None,
    edition: str | None,
    valid: tuple[date | None, date | None],
    organisations: bool,
) -> list[Imported]:
    """Read everything into ``room``; move it into the folder when all is well."""
    record = _record(into)
    order = list(_layouts())
    read = [_opened(path, room / str(number), kind, edition) for number, path in enumerate(downloads)]
    # Postcodes look sub-ICBs up in the geography, so what they need comes first.
    read.sort(key=lambda download: order.index(download.layout.kind))
    if twice := [one.layout.kind for one, other in pairwise(read) if one.layout is other.layout]:
        raise UsageError(f"Two of the files are {_layouts()[twice[0]].title}; give one edition")
    ready = room / "ready"
    ready.mkdir()
    done = []
    for download in read:
        layout = download.layout
        rows, notes = {}, [layout.note] if layout.note else []
        if lacking := sorted(layout.optional - set(layout.places(download.heading) or ())):
            notes.append(f"This edition has no {' and no '.join(lacking)}; what needs it cannot use this file")
        for file in layout.files:
            if file.name == "organisations" and not organisations:
                continue
            rows[f"{file.name}.csv"] = _take(download, file, into, ready, notes)
        done.append(Imported(layout.kind, layout.title, download.edition, rows, tuple(notes)))
        record["imports"][layout.kind] = {
            "title": layout.title,
            "edition": download.edition,
            "valid_from": valid[0].isoformat() if valid[0] else download.valid_from,
            "valid_to": valid[1].isoformat() if valid[1] else None,
            "download": download.given.name,
            "sha256": stages.file_hash(download.given),
            "layout_verified": layout.verified,
            "files": rows,
        }
    for path in sorted(ready.iterdir()):
        record["files"][path.name] = stages.file_hash(path)
        path.replace(into / path.name)
    final = room / IMPORTED
    final.write_text(json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    final.replace(into / IMPORTED)
    return done


def _record(folder: Path) -> dict[str, Any]:
    """``imported.json`` of a folder, or an empty one."""
    path = folder / IMPORTED
    if not path.is_file():
        return {"imports": {}, "files": {}}
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return {"imports": dict(held["imports"]), "files": dict(held["files"])}
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path} cannot be read; move it away and import the downloads again") from None


@cache
def _layouts() -> dict[str, _Layout]:
    """All layouts, in the order in which they are imported."""
    written = yaml.safe_load(Path(__file__).with_name("reference_layouts.yaml").read_text(encoding="utf-8"))
    return {kind: _layout(kind, item) for kind, item in written.items()}


def _layout(kind: str, item: Mapping[str, Any]) -> _Layout:
    files = tuple(
        _File(
            name,
            tuple(about["key"]),
            about["columns"],
            tuple(about.get("where", (_from(about["columns"][about["key"][0]]),))),
            about.get("shared", False),
            about.get("total"),
            about.get("not_with"),
        )
        for name, about in item["files"].items()
    )
    return _Layout(
        kind,
        item["title"],
        item["source"],
        str(item["verified"]),
        item["columns"],
        files,
        tuple(item.get("names", ())),
        item.get("width"),
        frozenset(item.get("optional", ())),
        item.get("expect", {}),
        item.get("keep", {}),
        item.get("wide"),
        str(item["valid_from"]) if "valid_from" in item else None,
        item.get("note"),
    )


def _plain(heading: str) -> str:
    return " ".join(heading.split()).casefold()


def _opened(given: Path, room: Path, kind: str | None, edition: str | None) -> _Download:
    """A download as text whose layout is known. Raises InputError when it is none."""
    room.mkdir()
    if not given.is_file():
        raise InputError(f"There is no file {given}; check the path")
    path = _unpacked(given, room)
    _refuse_other_kinds(path, given)
    if zipfile.is_zipfile(path):
        return _workbook(given, path, room, kind, edition)
    text = _as_utf8(path, room)
    try:
        with text.open(encoding="utf-8-sig", newline="") as handle:
            heading = tuple(next(csv.reader(handle), ()))
    except csv.Error:
        raise InputError(f"{given} is no CSV file; download it again") from None
    layout = _recognised(given, path.stem, heading, kind)
    return _Download(given, text, heading, layout, edition or path.stem, layout.valid_from)


def _unpacked(given: Path, room: Path) -> Path:
    """The one table of a zip file; the file itself when it is none. Nothing of the archive chooses where it is written."""
    if not zipfile.is_zipfile(given):
        return given
    try:
        with zipfile.ZipFile(given) as archive:
            if "[Content_Types].xml" in archive.namelist():
                return given
            tables = [item for item in archive.infolist() if not item.is_dir() and item.filename.lower().endswith((".csv", ".xlsx"))]
            # A postcode directory comes with the names of its codes; the table itself is called as the archive.
            named = [item for item in tables if Path(item.filename).stem.casefold() == given.stem.casefold()]
            chosen = tables if len(tables) == 1 else named
            if len(chosen) != 1:
                raise InputError(f"{given} holds {len(tables)} tables, none of them called as the archive; unpack it and give the file")
            if chosen[0].file_size > _LARGEST or chosen[0].flag_bits & 1:
                raise InputError(f"{given} is encrypted or larger than any of these downloads; download it again")
            target = room / Path(chosen[0].filename).name
            with archive.open(chosen[0]) as packed, target.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, _CHUNK)
            return target
    except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error):
        raise InputError(f"{given} is a damaged zip file; download it again") from None


def _refuse_other_kinds(path: Path, given: Path) -> None:
    with path.open("rb") as handle:
        start = handle.read(4096).removeprefix(codecs.BOM_UTF8)
    if not start.strip():
        raise InputError(f"{given} is empty; download it again")
    if start.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise InputError(f"{given} is a web page, not the download; open its address in a browser and save the file it leads to")
    if start.startswith(b"\xd0\xcf\x11\xe0"):
        raise InputError(f"{given} is a workbook of the old kind (.xls) or locked; save it as .xlsx or CSV")
    if b"\0" in start and not zipfile.is_zipfile(path):
        raise InputError(f"{given} is neither CSV in UTF-8 nor a workbook; download it again")


def _as_utf8(path: Path, room: Path) -> Path:
    """The file itself when it is UTF-8; otherwise a copy, read as the Windows code page that older editions are in."""
    if is_utf8(path):
        return path
    copy = room / "as-utf8.csv"
    with path.open(encoding="cp1252", errors="replace", newline="") as older, copy.open("w", encoding="utf-8", newline="") as newer:
        shutil.copyfileobj(older, newer, _CHUNK)
    return copy


def _recognised(given: Path, stem: str, heading: Sequence[str], kind: str | None) -> _Layout:
    """The layout of a file. Raises InputError when there is none, or ``kind`` is not it."""
    if kind is not None:
        layout = _layouts()[kind]
        if layout.places(heading) is None:
            raise InputError(f"{given} is not laid out as {layout.title}; that has {layout.needed()}")
        return layout
    named = [layout for layout in _layouts().values() if layout.names and stem.casefold().startswith(layout.names)]
    fitting = [layout for layout in named or _layouts().values() if (bool(layout.names) == bool(named)) and layout.places(heading) is not None]
    if named and not fitting:
        raise InputError(f"{given} is not laid out as {named[0].title}; that has {named[0].needed()}")
    if len(fitting) != 1:
        raise InputError(f"{given} is no download that is known by its header; say what it is with --kind ({', '.join(_layouts())})")
    return fitting[0]


def _workbook(given: Path, path: Path, room: Path, kind: str | None, edition: str | None) -> _Download:
    """The sheet of a workbook that has a known layout, as CSV: of several years the one ``edition`` names, or the latest."""
    import openpyxl  # noqa: PLC0415 - half a second that only workbooks need

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError, SyntaxError):
        raise InputError(f"{given} cannot be read as a workbook; download it again") from None
    try:
        layouts = [layout for layout in _layouts().values() if not layout.names and kind in (None, layout.kind)]
        fitting = []
        for sheet in book.worksheets:
            for number, row in enumerate(islice(sheet.iter_rows(values_only=True), _HEADING_WITHIN), start=1):
                heading = tuple(_cell(cell) for cell in row)
                fitting += [(sheet, number, heading, layout) for layout in layouts if layout.places(heading) is not None]
        if edition and (asked := [found for found in fitting if found[0].title.casefold().startswith(edition.casefold())]):
            fitting = asked
        elif edition and len({found[0].title for found in fitting if _YEAR.fullmatch(found[0].title)}) > 1:
            raise UsageError(f"{given} has no sheet of the edition {edition}; its sheets are {', '.join(found[0].title for found in fitting)}")
        if not fitting:
            raise InputError(f"No sheet of {given} has a layout that is known; use one of {', '.join(_layouts())}")
        sheet, number, heading, layout = max(fitting, key=lambda found: found[0].title)
        text = room / "sheet.csv"
        with text.open("w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(heading)
            writer.writerows(_cells(sheet.iter_rows(min_row=number + 1, values_only=True), len(heading)))
    finally:
        book.close()
    year = _YEAR.fullmatch(sheet.title)
    # An estimate is of the middle of its year, the 30th of June.
    valid_from = f"{year[2]}-06-30" if year and layout.wide else layout.valid_from
    return _Download(given, text, heading, layout, edition or (year[1] if year else path.stem), valid_from)


def _cells(rows: Iterator[tuple[Any, ...]], width: int) -> Iterator[list[str]]:
    """The rows of a sheet as text, without empty ones."""
    for row in rows:
        cells = [_cell(cell) for cell in row[:width]]
        if any(cells):
            yield cells + [""] * (width - len(cells))


def _cell(value: object) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _take(download: _Download, file: _File, into: Path, ready: Path, notes: list[str]) -> int:
    """Write one of our files from a download; gives how many rows the download has in it."""
    beside = f"{file.not_with}.csv"
    if (into / beside).is_file() or (ready / beside).is_file():
        raise UsageError(f"{into} holds {beside}, and a release goes by one index of deprivation; move that file away first")
    target = ready / f"{file.name}.csv"
    earlier = target if target.is_file() else into / target.name
    with duck.session(read=[download.text.parent, into, ready], write=[ready]) as connection:
        _read(connection, download)
        geography = next((path for path in (ready / "geography.csv", into / "geography.csv") if path.is_file()), None)
        _make(connection, download, file, geography, notes)
        rows = _count(connection, "SELECT count(*) FROM made")
        if file.shared:
            _with_others(connection, download, file, earlier)
        order = ", ".join(identifier(column) for column in file.key if column in _made(connection))
        pending = ready / f"{file.name}.tmp"
        connection.execute(f"COPY (SELECT * FROM made ORDER BY {order}) TO {text_literal(str(pending.resolve()))} (FORMAT csv, HEADER)")
    pending.replace(target)
    return rows


def _made(connection: Connection) -> list[str]:
    return [name for name, *_ in connection.execute("DESCRIBE made").fetchall()]


def _read(connection: Connection, download: _Download) -> None:
    """``given``: the columns of the download that we know, as text, trimmed, and only the rows that are kept."""
    layout, heading = download.layout, download.heading
    places = layout.places(heading) or {}
    columns = "{" + ", ".join(f"'c{position}': 'VARCHAR'" for position in range(len(heading))) + "}"
    taken = [f"nullif(trim(c{position}), '') AS {identifier(name)}" for name, position in places.items()]
    if layout.wide is not None:
        spread = layout.spread(heading)
        for number, name in enumerate(layout.wide["names"]):
            taken.append(f"unnest([{', '.join(text_literal(parts[number]) for _, parts in spread)}]) AS {identifier(name)}")
        taken.append(f"unnest([{', '.join(f'c{position}' for position, _ in spread)}]) AS {identifier(layout.wide['value'])}")
    kept = " AND ".join(f"regexp_full_match({identifier(name)}, {text_literal(pattern)})" for name, pattern in layout.keep.items())
    try:
        connection.execute(
            f"CREATE TABLE given AS SELECT * FROM (SELECT {', '.join(taken)} FROM read_csv({text_literal(str(download.text.resolve()))},"
            f" columns = {columns}, header = {'true' if download.has_header else 'false'}, auto_detect = false, delim = ',', quote = '\"',"
            f" escape = '\"'))" + (f" WHERE {kept}" if kept else "")
        )
    except DuckError:
        raise InputError(f"{download.given} cannot be read as CSV: a row has more or fewer columns than the first; download it again") from None
    if not _count(connection, "SELECT count(*) FROM given"):
        raise InputError(f"{download.given} holds no row of {layout.title}; check that the download is whole and of England")
    for name, pattern in layout.expect.items():
        like = f"count(*) FILTER (regexp_full_match({identifier(name)}, {text_literal(pattern)}))"
        if not _count(connection, f"SELECT CAST({like} * 2 > count({identifier(name)}) AS INTEGER) FROM given"):
            raise InputError(f"{download.given} is not {layout.title}: most of its values of {name} look otherwise; check which file it is")


def _make(connection: Connection, download: _Download, file: _File, geography: Path | None, notes: list[str]) -> None:
    """``made``: our file from ``given``, its key unique and its whole numbers all there."""
    held = {name for name, *_ in connection.execute("DESCRIBE given").fetchall()}
    columns = {name: rule for name, rule in file.columns.items() if _from(rule) in held}
    whole = [name for name, rule in columns.items() if isinstance(rule, dict) and "whole" in rule]
    key = ", ".join(identifier(column) for column in file.key if column in columns)
    sub_icb = next((identifier(_from(rule)) for rule in columns.values() if isinstance(rule, dict) and "sub_icb" in rule), None)
    join = ""
    if sub_icb:
        _load_places(connection, download, geography)
        join = f" LEFT JOIN place ON place.SubICB_ONS = given.{sub_icb}"
    # A row that does not hold what the file is for says nothing: a practice without a commissioner, for one.
    wanted = " AND ".join(f"given.{identifier(name)} IS NOT NULL" for name in file.where)
    values = ", ".join(f"{_value(rule)} AS {identifier(name)}" for name, rule in columns.items())
    rows = f"SELECT DISTINCT {values} FROM given{join} WHERE {wanted}"
    if file.total:
        total = identifier(file.total)
        rows = f"SELECT * EXCLUDE ({total}), sum({total})::BIGINT AS {total} FROM (SELECT {values} FROM given{join} WHERE {wanted}) GROUP BY ALL"
    connection.execute(f"CREATE TABLE made AS {rows}")
    if whole:
        blank = " OR ".join(f"{identifier(name)} IS NULL" for name in whole)
        if lacking := _count(connection, f"SELECT count(*) FROM made WHERE {blank}"):
            raise InputError(f"{download.given} holds {lacking:,} rows without a whole number where one belongs; download it again")
    if twice := _count(connection, f"SELECT count(*) FROM (SELECT {key} FROM made GROUP BY ALL HAVING count(*) > 1)"):
        raise InputError(f"{download.given} says two things of {twice:,} values of {', '.join(file.key)}; download it again")
    if sub_icb and (unknown := _count(connection, f"SELECT count(*) FROM given{join} WHERE place.SubICB IS NULL AND given.{sub_icb} LIKE 'E38%'")):
        notes.append(f"{unknown:,} postcodes are in a sub-ICB that geography.csv does not have, so it is of another edition; they have none")


def _load_places(connection: Connection, download: _Download, geography: Path | None) -> None:
    """``place``: the ODS code of each sub-ICB by its ONS code."""
    if geography is None:
        raise InputError(f"{download.given} needs geography.csv for the sub-ICBs; import the ONS lookup of sub-ICBs first, or together with it")
    _load_ours(connection, "place_as_written", geography, ("SubICB_ONS", "SubICB"))
    connection.execute("CREATE TABLE place AS SELECT SubICB_ONS, any_value(SubICB) AS SubICB FROM place_as_written GROUP BY SubICB_ONS")


def _load_ours(connection: Connection, table: str, path: Path, needed: Sequence[str]) -> list[str]:
    """A file of the reference folder as a table of text; gives its columns. Raises InputError when it lacks one that is needed."""
    try:
        connection.execute(
            f"CREATE TABLE {table} AS SELECT * FROM read_csv({text_literal(str(path.resolve()))}, header = true, all_varchar = true, delim = ',',"
            " quote = '\"', escape = '\"')"
        )
    except DuckError:
        raise InputError(f"{path} cannot be read as CSV; save it again as CSV UTF-8") from None
    held = [name for name, *_ in connection.execute(f"DESCRIBE {table}").fetchall()]
    if missing := [column for column in needed if column not in held]:
        raise InputError(f"{path} has no column {missing[0]}; it needs {', '.join(needed)}")
    return held


def _count(connection: Connection, query: str) -> int:
    return int((connection.execute(query).fetchone() or (0,))[0])


def _from(rule: str | Mapping[str, str]) -> str:
    """The column of ``given`` that one of ours is made from."""
    return rule if isinstance(rule, str) else next(iter(rule.values()))


def _value(rule: str | Mapping[str, str]) -> str:
    """The SQL of one of our columns."""
    if isinstance(rule, str):
        return f"given.{identifier(rule)}"
    ((how, name),) = rule.items()
    column = f"given.{identifier(name)}"
    month = f"try_strptime({column}, '%Y%m')"
    return {
        "day": f"CAST(try_strptime({column}, '%Y%m%d') AS DATE)",
        "first_day": f"CAST({month} AS DATE)",
        "last_day": f"last_day({month})",
        "whole": f"TRY_CAST(TRY_CAST(replace({column}, ',', '') AS DECIMAL(18, 3)) AS BIGINT)",
        "sub_icb": "place.SubICB",
    }[how]


def _with_others(connection: Connection, download: _Download, file: _File, earlier: Path) -> None:
    """Add to ``made`` what a shared file already had from elsewhere; the new import has the last word on its own codes."""
    kind = text_literal(download.layout.kind)
    connection.execute(f"ALTER TABLE made ADD COLUMN {_SOURCE} VARCHAR DEFAULT {kind}")
    if not earlier.is_file():
        return
    held = _load_ours(connection, "earlier", earlier, list(file.columns))
    origin = f"coalesce(nullif({_SOURCE}, ''), '{_BY_HAND}')" if _SOURCE in held else f"'{_BY_HAND}'"
    (key,) = file.key
    connection.execute(
        f"INSERT INTO made SELECT {', '.join(identifier(column) for column in file.columns)}, {origin} FROM earlier"
        f" WHERE {origin} <> {kind} AND {identifier(key)} NOT IN (SELECT {identifier(key)} FROM made)"
    )
