"""What comes back after a return was sent: the portal's summary reports, the post-deadline extract, and the monthly publication.

The files come from outside, so nothing in them is believed before it is checked: sizes, names, structure. Reading streams, and gives
Parquet of plain text in the restricted zone; what the values mean is for ``reconcile``.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import IO
from xml.parsers import expat

import pyarrow as pa
import pyarrow.parquet as pq

from ips_pipeline.errors import InputError
from ips_pipeline.mhsds import standard
from ips_pipeline.store.folders import is_utf8

#: The columns of the portal's reports, in order; ten pairs of an element's name and its value.
REPORT_COLUMNS = (
    "REPORT_TYPE",
    "DESCRIPTION",
    "CODE",
    "NUMERATOR",
    "DENOMINATOR",
    *(f"{word}{number}" for number in range(1, 11) for word in ("DATA_ITEM", "DATA_VALUE")),
)
#: What a report is called, by a word in the name of its file.
REPORTS: Mapping[str, re.Pattern[str]] = {
    "validations": re.compile(r"validation", re.IGNORECASE),
    "data_quality": re.compile(r"data[ _-]?quality|\bdq\b", re.IGNORECASE),
    "diagnostics": re.compile(r"diagnostic", re.IGNORECASE),
    "aggregation": re.compile(r"aggregat", re.IGNORECASE),
}

#: A zip of four text reports: more than this is not one. Text of reports shrinks about tenfold; a thousandfold is a bomb.
_MOST_MEMBERS, _MOST_BYTES, _MOST_RATIO = 50, 4 * 1024**3, 250
_CHUNK = 1 << 20
#: Rows that are in memory at a time.
_BATCH = 20_000
#: An extract nests a record in a table in a patient in a file; a value is at most a free text.
_DEEPEST, _LONGEST, _MOST_FIELDS = 20, 1_000_000, 1_000

_TABLE = re.compile(r"MHS[0-9]{3}")


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file held: rows per report, table or measure, and names in it that are not known and were left."""

    kind: str
    rows: Mapping[str, int]
    unknown: tuple[str, ...] = ()


def read_reports(source: Path, out: Path) -> Imported:
    """Read the portal's summary reports, a zip of CSV files, into ``out/<report>.parquet``: the portal's columns, all text, and ``line``.

    Raises InputError, one line, for a file that is no zip or a damaged one; for members that would be written outside, are links,
    encrypted, nested, too many or too large; for a report given twice, one with other columns, and a zip without any.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            _refuse_members(source, members)
            rows: dict[str, int] = {}
            left = _MOST_BYTES
            for member in members:
                report = next((name for name, pattern in REPORTS.items() if pattern.search(Path(member.filename).name)), None)
                if report is None:
                    raise InputError(f"{source} holds {_shown(member.filename)}, which is none of the portal's reports ({', '.join(REPORTS)})")
                if report in rows:
                    raise InputError(f"{source} holds the {report} report twice; give the zip as the portal made it")
                with archive.open(member) as content:
                    counted = _Counted(content, source, left, member.compress_size)
                    rows[report] = _write_report(io.TextIOWrapper(io.BufferedReader(counted), encoding="utf-8-sig", newline=""), source, report, out)
                    left -= counted.taken
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, RuntimeError):
        raise InputError(f"{source} is not a whole zip file; download it again from the portal's submission history") from None
    except OSError as error:
        raise InputError(f"{source} cannot be read ({type(error).__name__}); check the path and your permissions") from None
    if not rows:
        raise InputError(f"{source} holds no report; download the summary reports again")
    return Imported("reports", rows)


def read_extract(source: Path, out: Path) -> Imported:
    """Read a post-deadline extract (XML) into ``out/<table>.parquet``: the elements of the table as published for the extract, all text.

    How elements nest is not published in full, so this is our reading: an element named for a table (MHS101…) is a record of it, and
    the named elements directly in it are its values, wherever records lie in each other. Namespaces and prefixes are ignored. Raises
    InputError, one line with the line number, for anything but plain well-formed XML: document types and entities, truncation, depth.
    """
    reader = _Extract(source, out)
    try:
        with source.open("rb") as handle:
            reader.read(handle)
    except OSError as error:
        raise InputError(f"{source} cannot be read ({type(error).__name__}); check the path and your permissions") from None
    return Imported("extract", dict(sorted(reader.rows.items())), tuple(sorted(reader.unknown)))


def read_publication(source: Path, out: Path) -> Imported:
    """Read MHS116 and MHS116a of a monthly publication CSV into ``out/publication.parquet``; everything else in it is left.

    Columns: period_end (DATE), status, breakdown, level, measure_id, value (as published: ``*``, or a number as text). The file may hold
    many other measures and more columns, its dates may be written 2026-08-31 or 31/08/2026, and its encoding may be that of Excel.
    Raises InputError for a file without the columns, without the two measures, or with a date that is none.
    """
    rows: list[tuple[object, ...]] = []
    counts: dict[str, int] = {}
    line = 0
    try:
        with source.open(encoding="utf-8-sig" if is_utf8(source) else "cp1252", newline="") as handle:
            reader = csv.DictReader(handle)
            if missing := [name for name in _PUBLISHED if name not in (reader.fieldnames or ())]:
                raise InputError(f"{source} has no column {missing[0]}; give the CSV of the MHSDS monthly statistics")
            for row in reader:
                line = reader.line_num
                if row["MEASURE_ID"] in _MEASURES and row["MEASURE_NAME"].startswith(_MEASURES[row["MEASURE_ID"]]):
                    counts[row["MEASURE_ID"]] = counts.get(row["MEASURE_ID"], 0) + 1
                    values = (row[name].strip() for name in ("STATUS", "BREAKDOWN", "PRIMARY_LEVEL", "MEASURE_ID", "MEASURE_VALUE"))
                    rows.append((_published_day(row["REPORTING_PERIOD_END"], source, line), *values))
    except (csv.Error, AttributeError):
        raise InputError(f"{source} is cut off or damaged at line {line}; download the publication again") from None
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{source} cannot be read as a CSV; download the publication again") from None
    if not rows:
        raise InputError(f"{source} holds neither MHS116 nor MHS116a; give the file of the MHSDS monthly statistics that has them")
    names = ("period_end", "status", "breakdown", "level", "measure_id", "value")
    table = pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))
    pq.write_table(table, out / "publication.parquet", compression="zstd")
    (out / "publication.parquet").chmod(0o600)
    return Imported("publication", counts)


_PUBLISHED = ("REPORTING_PERIOD_END", "STATUS", "BREAKDOWN", "PRIMARY_LEVEL", "MEASURE_ID", "MEASURE_NAME", "MEASURE_VALUE")
#: The measures and how their names begin: other products have used the identifier MHS116 in their notes.
_MEASURES = {
    "MHS116": "Number of referrals that accessed Individual Placement Support",
    "MHS116a": "Rate of referrals that accessed Individual Placement Support",
}


def _published_day(text: str, source: Path, line: int) -> date:
    for form in ("%Y-%m-%d", "%d/%m/%Y"):
        with contextlib.suppress(ValueError):
            return datetime.strptime(text.strip(), form).date()
    raise InputError(f"{source} line {line}: REPORTING_PERIOD_END is not a date; give the CSV as it was published")


@cache
def extract_elements() -> Mapping[str, tuple[str, ...]]:
    """The elements of each table in the post-deadline extract, in order (NHS England, extract definitions for MHSDS v6)."""
    path = Path(standard.__file__).parent / "v6" / "post_deadline_extract.csv"
    held: dict[str, list[str]] = {}
    with path.open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            held.setdefault(row["table"], []).append(row["element"])
    return {table: tuple(elements) for table, elements in held.items()}


def _refuse_members(source: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    if len(members) > _MOST_MEMBERS:
        raise InputError(f"{source} holds {len(members):,} files; the portal's reports are four")
    for member in members:
        name = member.filename
        if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or re.match(r"[A-Za-z]:", name):
            raise InputError(f"{source} holds a file that would lie outside the folder it is read into; it was not made by the portal")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise InputError(f"{source} holds a link instead of a file; it was not made by the portal")
        if member.flag_bits & 0x1:
            raise InputError(f"{source} is encrypted; save it without a password")
        if not name.lower().endswith(".csv"):
            raise InputError(f"{source} holds {_shown(name)}, which is not a CSV file; give the zip as the portal made it")
        if member.file_size > _MOST_BYTES or (member.file_size > _CHUNK and member.file_size > _MOST_RATIO * max(member.compress_size, 1)):
            raise InputError(f"{source} would unpack to far more than reports are; it was not read")


class _Counted(io.RawIOBase):
    """The bytes of a member, counted as they come: what a zip says about its own sizes is not to be trusted."""

    def __init__(self, content: IO[bytes], source: Path, most: int, compressed: int) -> None:
        self.content, self.source, self.most, self.compressed, self.taken = content, source, most, compressed, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        chunk = self.content.read(len(buffer))
        self.taken += len(chunk)
        if self.taken > self.most or (self.taken > _CHUNK and self.taken > _MOST_RATIO * max(self.compressed, 1)):
            raise InputError(f"{self.source} unpacks to far more than reports are; reading stopped and nothing was kept")
        buffer[: len(chunk)] = chunk
        return len(chunk)


def _write_report(text: io.TextIOWrapper, source: Path, report: str, out: Path) -> int:
    schema = pa.schema([pa.field("line", pa.int64()), *(pa.field(name, pa.string()) for name in REPORT_COLUMNS)])
    path, count = out / f"{report}.parquet", 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for lines in _batches(_report_lines(text, source, report)):
            columns = list(zip(*lines, strict=True))
            arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
            count += len(lines)
    path.chmod(0o600)
    return count


def _report_lines(text: io.TextIOWrapper, source: Path, report: str) -> Iterator[tuple[object, ...]]:
    """The lines of a report with their number, blanks as None; a header that names other columns, or a line that is too short or long, stops."""
    csv.field_size_limit(_LONGEST)
    reader = csv.reader(text, strict=True)
    try:
        header = tuple(name.strip().upper() for name in next(reader, ()))
        if header != REPORT_COLUMNS:
            raise InputError(f"The {report} report in {source} does not have the portal's columns ({', '.join(REPORT_COLUMNS[:5])}, DATA_ITEM1 …)")
        for number, cells in enumerate(reader, 1):
            if len(cells) != len(REPORT_COLUMNS):
                raise InputError(f"The {report} report in {source} is cut off or damaged at line {number + 1}; download it again")
            yield (number, *(cell or None for cell in cells))
    except (csv.Error, UnicodeDecodeError):
        raise InputError(f"The {report} report in {source} is not CSV in UTF-8; download it again") from None


def _batches(lines: Iterator[tuple[object, ...]]) -> Iterator[list[tuple[object, ...]]]:
    held: list[tuple[object, ...]] = []
    for line in lines:
        held.append(line)
        if len(held) == _BATCH:
            yield held
            held = []
    if held:
        yield held


@dataclass(slots=True)
class _Open:
    """An element that is open: its name, its text, the values found in it, and whether it holds elements."""

    name: str
    text: list[str] = field(default_factory=list)
    length: int = 0
    values: dict[str, str] = field(default_factory=dict)
    parent_of_any: bool = False


class _Extract:
    """Reads the XML of an extract as it streams and writes each table's records in batches."""

    def __init__(self, source: Path, out: Path) -> None:
        self.source, self.out = source, out
        self.rows: dict[str, int] = {}
        self.unknown: set[str] = set()
        self._open: list[_Open] = []
        self._held: dict[str, list[dict[str, str]]] = {}
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._tables = {table[:6]: table for table in extract_elements()}
        self._elements = {table: frozenset(elements) for table, elements in extract_elements().items()}
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters

    def read(self, handle: IO[bytes]) -> None:
        try:
            while chunk := handle.read(_CHUNK):
                self._parser.Parse(chunk, False)
            self._parser.Parse(b"", True)
            for table in list(self._held):
                self._flush(table)
        except expat.ExpatError as error:
            raise InputError(f"{self.source} is not well-formed XML at line {error.lineno}; it may be cut off: download the extract again") from None
        finally:
            for writer in self._writers.values():
                writer.close()
        if not self.rows:
            raise InputError(f"{self.source} holds no record of an MHSDS table; give the post-deadline extract as the portal made it")

    def _refuse_doctype(self, *_: object) -> None:
        raise InputError(f"{self.source} declares a document type, which an extract never does; it was not read")

    def _start(self, name: str, _: Mapping[str, str]) -> None:
        if len(self._open) >= _DEEPEST:
            raise InputError(f"{self.source} nests deeper than an extract does at line {self._parser.CurrentLineNumber}; it was not read")
        if self._open:
            self._open[-1].parent_of_any = True
        self._open.append(_Open(name.rpartition(":")[2]))

    def _characters(self, text: str) -> None:
        if self._open:
            top = self._open[-1]
            top.length += len(text)
            if top.length > _LONGEST:
                raise InputError(
                    f"{self.source} holds a value longer than any element allows at line {self._parser.CurrentLineNumber}; it was not read"
                )
            top.text.append(text)

    def _end(self, _: str) -> None:
        done = self._open.pop()
        table = self._tables.get(done.name[:6]) if _TABLE.match(done.name) else None
        if table is not None and (done.parent_of_any or done.name == table):
            self._record(table, done.values)
        elif not done.parent_of_any and self._open:
            parent = self._open[-1]
            if len(parent.values) >= _MOST_FIELDS:
                raise InputError(f"{self.source} has a record with too many elements at line {self._parser.CurrentLineNumber}; it was not read")
            parent.values[done.name] = "".join(done.text).strip()

    def _record(self, table: str, values: Mapping[str, str]) -> None:
        known = self._elements[table]
        self.unknown.update(f"{table}.{name}" for name in values.keys() - known if len(self.unknown) < _MOST_FIELDS)
        held = self._held.setdefault(table, [])
        held.append({name: value for name, value in values.items() if name in known})
        self.rows[table] = self.rows.get(table, 0) + 1
        if len(held) == _BATCH:
            self._flush(table)

    def _flush(self, table: str) -> None:
        held = self._held.pop(table)
        schema = pa.schema([pa.field(element, pa.string()) for element in extract_elements()[table]])
        if table not in self._writers:
            path = self.out / f"{table}.parquet"
            self._writers[table] = pq.ParquetWriter(path, schema, compression="zstd")
            path.chmod(0o600)
        columns = [pa.array([record.get(name) or None for record in held], pa.string()) for name in schema.names]
        self._writers[table].write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


def _shown(name: str) -> str:
    """A file's name from outside, fit for one line."""
    return re.sub(r"[^A-Za-z0-9 ._-]", "?", Path(name).name)[:80]
