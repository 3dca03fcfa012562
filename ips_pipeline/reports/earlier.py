"""What a submission is compared with: the last upload of its month, and the months before it."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ips_pipeline.errors import InputError
from ips_pipeline.mhsds.standard import Standard
from ips_pipeline.reports import records
from ips_pipeline.store.duck import Connection, text_literal
from ips_pipeline.store.stages import storage_error

#: What a check leaves beside its report so that the next one can be compared with it.
OUTCOME, REJECTED = "outcome.json", "rejected_records.parquet"
#: Everything of an earlier check that a comparison reads.
KEPT = (OUTCOME, REJECTED, "findings.csv")

_PERIOD = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_SCHEMA = pa.schema([("table", pa.string()), ("row", pa.int64()), ("record", pa.string())])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check came to: counts, and whose and which month (yyyy-mm) it was, where that is known."""

    provider: str | None
    period: str | None
    edition: str
    file_rejected: bool
    rows_submitted: int
    rows_rejected: int
    findings: int


def outcome(folder: Path) -> Outcome | None:
    """What the check that wrote into the folder came to; None where it is not told, or not in a form that can be read."""
    try:
        held = json.loads((folder / OUTCOME).read_text(encoding="utf-8"))
        found = Outcome(**{name: held[name] for name in Outcome.__slots__})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    counts = (found.rows_submitted, found.rows_rejected, found.findings)
    sound = all(isinstance(count, int) for count in counts) and (found.period is None or _PERIOD.fullmatch(str(found.period)))
    return found if sound else None


def write_outcome(folder: Path, found: Outcome) -> None:
    """Leave the counts of a check for later ones. Raises RetryableError when it cannot be written."""
    path = folder / OUTCOME
    try:
        path.write_text(json.dumps(asdict(found), indent=1, sort_keys=True) + "\n", encoding="utf-8")
        path.chmod(0o600)
    except OSError as error:
        raise storage_error(error, path) from None


def write_rejected(connection: Connection, standard: Standard, tables: Sequence[str], outs: Sequence[Path]) -> None:
    """Leave the keys of the rejected rows, by which they are known again when their row numbers have moved.

    Makes ``rejected_record`` (submission, table_name, row, record). A folder without rejected rows gets no file.
    """
    connection.execute("CREATE TABLE rejected_record (submission INTEGER, table_name VARCHAR, row BIGINT, record VARCHAR)")
    for name in tables:
        connection.execute(
            f"INSERT INTO rejected_record SELECT submission, table_name, row, record FROM rejected"
            f" JOIN ({records.known_again(standard.table(name))}) AS known USING (submission, row) WHERE table_name = {text_literal(name)}"
        )
    held = connection.sql("SELECT * FROM rejected_record ORDER BY submission, table_name, row").to_arrow_table()
    counts = dict(connection.execute("SELECT submission, count(*) FROM rejected_record GROUP BY ALL").fetchall())
    start = 0
    for number, out in enumerate(outs, 1):
        path = out / REJECTED
        try:
            path.unlink(missing_ok=True)
            if rows := counts.get(number, 0):
                own = held.slice(start, rows).select([1, 2, 3]).rename_columns(_SCHEMA.names).cast(_SCHEMA)
                pq.write_table(own, path, compression="zstd")
                path.chmod(0o600)
                start += rows
        except OSError as error:
            raise storage_error(error, path) from None


def rejected_tables(previous: Mapping[int, Path], standard: Standard) -> set[str]:
    """The tables that had rejected rows last time."""
    found: set[str] = set()
    for folder in previous.values():
        if (path := folder / REJECTED).is_file():
            try:
                found.update(pq.read_table(path, columns=["table"]).column(0).unique().to_pylist())
            except (OSError, pa.ArrowException, KeyError):
                raise _damaged(path) from None
    return {name for name in found if name in {table.name for table in standard.tables.values()}}


@dataclass(frozen=True, slots=True)
class Change:
    """Rows per code at the last upload, and what became of the rows rejected then."""

    before: Mapping[str, int]
    #: Rows rejected last time: loaded now, rejected again, no longer in the submission. And rows rejected now that were not.
    freed: int
    again: int
    gone: int
    newly: int
    #: Whether the last check left the keys of its rejected rows.
    rows_known: bool


def changes(connection: Connection, standard: Standard, previous: Mapping[int, Path], tables: Sequence[str]) -> dict[int, Change]:
    """Per submission that has an earlier check of its month: rows per code then, and what became of the rejected rows.

    Needs ``rejected_record`` and the elements that ``records.identity`` names of the ``tables`` with rows rejected last time.
    """
    if not previous:
        return {}
    numbers = list(previous)
    before: dict[int, dict[str, int]] = {number: {} for number in numbers}
    paths = [previous[number] / "findings.csv" for number in numbers]
    listed = "[" + ", ".join(text_literal(str(path.resolve())) for path in paths) + "]"
    for place, code, rows in connection.execute(
        f"SELECT file_index, code, count(*) FROM read_csv({listed}, columns = {{'table': 'VARCHAR', 'row': 'BIGINT', 'code': 'VARCHAR',"
        " 'level': 'VARCHAR'}, header = true, auto_detect = false) GROUP BY ALL"
    ).fetchall():
        before[numbers[int(place)]][code] = rows
    connection.execute("CREATE TABLE rejected_before (submission INTEGER, table_name VARCHAR, record VARCHAR)")
    for number in numbers:
        if (path := previous[number] / REJECTED).is_file():
            connection.execute(
                f'INSERT INTO rejected_before SELECT ?, "table", record FROM read_parquet({text_literal(str(path.resolve()))})', [number]
            )
    connection.execute("CREATE TABLE there_now (submission INTEGER, table_name VARCHAR, record VARCHAR)")
    for name in tables:
        connection.execute(
            f"INSERT INTO there_now SELECT before.submission, before.table_name, before.record FROM rejected_before AS before"
            f" JOIN ({records.known_again(standard.table(name))}) AS known USING (submission, record) WHERE before.table_name = {text_literal(name)}"
        )
    became: dict[int, dict[str, Any]] = defaultdict(dict)
    for number, state, rows in connection.execute(
        """SELECT submission, CASE WHEN now.record IS NOT NULL THEN 'again' WHEN there.record IS NOT NULL THEN 'freed' ELSE 'gone' END, count(*)
        FROM rejected_before AS before
        LEFT JOIN rejected_record AS now USING (submission, table_name, record)
        LEFT JOIN there_now AS there USING (submission, table_name, record)
        GROUP BY ALL
        UNION ALL
        SELECT submission, 'newly', count(*) FROM rejected_record ANTI JOIN rejected_before USING (submission, table_name, record) GROUP BY ALL"""
    ).fetchall():
        became[number][state] = rows
    return {
        number: Change(
            before[number],
            **{state: became[number].get(state, 0) for state in ("freed", "again", "gone", "newly")},
            rows_known=(previous[number] / OUTCOME).is_file(),
        )
        for number in numbers
    }


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} cannot be read; remove the folder of the earlier check, or leave it out of the comparison")
