"""Raw extracts: whatever a source holds, written as text to Parquet in batches, so that memory stays bounded."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


@dataclass(frozen=True, slots=True)
class Fetched:
    """One raw extract: its Parquet file (every column text), its columns, and how many rows it has.

    ``kinds`` says of each column of a database, in the driver's own words, what it is there: two extracts of equal kinds write equal values alike.
    """

    path: Path
    columns: tuple[str, ...]
    rows: int
    kinds: tuple[str, ...] = ()


def as_text(value: Any) -> str | None:  # noqa: PLR0911 - one line per type
    """A value of any source as the text the standard's checks will see; None stays None.

    Dates and timestamps are ISO (a timestamp to the second, with T and its offset when it has one), times hh:mm:ss, numbers
    without exponent and whole numbers without a decimal point, truth values true and false, bytes hexadecimal.
    """
    match value:
        case None | str():
            return value
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat(timespec="seconds")
        case date():
            return value.isoformat()
        case time():
            return value.isoformat(timespec="seconds")
        case timedelta():
            seconds = int(value.total_seconds())
            return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        case Decimal():
            return format(value, "f")
        case float():
            return str(int(value)) if value.is_integer() else repr(value)
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case _:
            return str(value)


#: Types whose values Arrow writes as ``as_text`` does.
_PLAIN: dict[type | None, pa.DataType] = {int: pa.int64(), bool: pa.bool_(), date: pa.date32()}


def write(path: Path, columns: Sequence[str], batches: Iterable[Sequence[Sequence[Any] | pa.Array]]) -> Fetched:
    """Write batches (each a sequence of columns) to one Parquet file, every value as text. At most one batch is held at a time."""
    schema = pa.schema([(name, pa.string()) for name in columns])
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            arrays = [_texts(values) for values in batch]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            rows += len(arrays[0]) if arrays else 0
    path.chmod(0o600)
    return Fetched(path, tuple(columns), rows)


def _texts(values: Sequence[Any] | pa.Array) -> pa.Array:  # noqa: PLR0911 - one line per type
    if isinstance(values, pa.Array):
        if pa.types.is_string(values.type):
            return values
        if pa.types.is_timestamp(values.type):
            values = values.cast(pa.timestamp("us", values.type.tz), safe=False)
        values = values.to_pylist()
    # Columns of one type, as databases give them, go through Arrow whole; what is mixed or rare, value by value.
    kinds = set(map(type, values)) - {type(None)}
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind is str:
        return pa.array(values, pa.string())
    if kind in _PLAIN:
        with contextlib.suppress(OverflowError):
            return pa.array(values, _PLAIN[kind]).cast(pa.string())
    if kind is datetime and all(value is None or value.tzinfo is None for value in values):
        whole = pc.floor_temporal(pa.array(values, pa.timestamp("us")), unit="second").cast(pa.timestamp("s"))
        return pc.binary_replace_slice(whole.cast(pa.string()), 10, 11, "T")
    if kind is time and all(value is None or value.tzinfo is None for value in values):
        return pc.utf8_slice_codeunits(pa.array(values, pa.time64("us")).cast(pa.string()), 0, 8)
    if kind is Decimal:
        return pa.array([None if value is None else format(value, "f") for value in values], pa.string())
    return pa.array([as_text(value) for value in values], pa.string())
