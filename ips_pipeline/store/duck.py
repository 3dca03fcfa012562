"""One policy for every DuckDB connection: in memory, bounded, offline, and shut in to the folders it was given."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from ips_pipeline.errors import InputError, IpsError, RetryableError

Connection = duckdb.DuckDBPyConnection
DuckError = duckdb.Error
MemoryExceeded = duckdb.OutOfMemoryException

#: Memory for one connection unless the caller or IPS_MEMORY_LIMIT says otherwise; what does not fit spills to the temporary folder.
DEFAULT_MEMORY_LIMIT = "1GB"


@contextmanager
def session(
    *,
    read: Sequence[Path] = (),
    write: Sequence[Path] = (),
    temporary: Path | None = None,
    memory_limit: str | None = None,
) -> Iterator[Connection]:
    """Open an in-memory DuckDB that can see only the folders in ``read`` and ``write``.

    ``temporary`` is the folder it spills to (owner-only, removed afterwards); for patient data it lies in the restricted zone.
    No extension is ever downloaded and the configuration is locked. Raises RetryableError when memory or disk runs out, and
    InputError for anything else DuckDB refuses. DuckDB's own messages quote values, so they are kept for the operator in
    ``operator.log`` in the temporary folder, where there is one, and never leave this function otherwise.
    """
    if temporary is not None:
        temporary.mkdir(parents=True, exist_ok=True, mode=0o700)
    with TemporaryDirectory(prefix="duckdb-", dir=temporary, ignore_cleanup_errors=True) as spill:
        connection = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
        try:
            allowed = [str(path.resolve()) for path in (*read, *write)]
            connection.execute("SET memory_limit = ?", [memory_limit or os.environ.get("IPS_MEMORY_LIMIT", DEFAULT_MEMORY_LIMIT)])
            connection.execute("SET temp_directory = ?", [spill])
            # Of all cursors, not of this one alone.
            connection.execute("SET GLOBAL TimeZone = 'UTC'")
            # DuckDB 2.0 packs what it sorts by bounds that joins can get wrong, and then stops with a conversion error.
            connection.execute("SET disabled_optimizers = 'compressed_materialization'")
            # Nothing in memory needs a checkpoint; at half a million people it costs two seconds.
            connection.execute("SET checkpoint_threshold = '1TB'")
            connection.execute("SET allowed_directories = ?", [allowed])
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            yield connection
        except duckdb.Error as error:
            raise safe_error(error, _keep_for_operator(error, temporary)) from None
        finally:
            connection.close()


def create_table(connection: Connection, name: str, columns: Mapping[str, Sequence[str | None]]) -> None:
    """Create a table of text columns, all of one length, from values in memory, in their order and in one go.

    Row-by-row inserts of a few hundred rows take half a second, and so does Arrow, which loads pandas for its first list.
    """
    held = ", ".join(f"unnest(?::VARCHAR[]) AS {identifier(column)}" for column in columns)
    connection.execute(f"CREATE TABLE {identifier(name)} AS SELECT {held}", [list(values) for values in columns.values()])


def safe_error(error: duckdb.Error, log: Path | None = None) -> IpsError:
    """The error to show for one of DuckDB's: its class and never its text, which may hold a patient's value; ``log`` has the text."""
    kind = type(error).__name__
    if isinstance(error, duckdb.OutOfMemoryException):
        return RetryableError("The memory limit was reached; raise IPS_MEMORY_LIMIT or give the data directory more disk, then run again")
    if isinstance(error, duckdb.IOException):
        return RetryableError("A file could not be read or written; check free disk space and permissions, then run again")
    where = f"; {log} (restricted) has the statement that failed" if log else ""
    return InputError(f"The data could not be processed ({kind}); check the files that went in{where}")


def _keep_for_operator(error: duckdb.Error, temporary: Path | None) -> Path | None:
    """Add the whole error to the operator's log in the restricted zone; None where there is no such place, or it is full."""
    if temporary is None:
        return None
    log = temporary / "operator.log"
    try:
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as handle:
            handle.write("".join(traceback.format_exception(error)) + "\n")
    except OSError:
        return None
    return log


def text_literal(value: str) -> str:
    """A SQL string literal. For paths and codes of the standard in the few clauses that take no parameter, never for data."""
    return "'" + value.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A quoted SQL identifier; names come from the standard, never from data."""
    return '"' + name.replace('"', '""') + '"'
