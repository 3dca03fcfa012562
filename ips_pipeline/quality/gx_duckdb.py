"""Great Expectations on a DuckDB connection that is already open. The only module that knows what Great Expectations lacks for it.

Great Expectations has no DuckDB dialect. This module supplies what is missing by replacing private names of one exact release, so
it refuses any other. Six changes: results are fetched on the connection that made them; regular expressions are DuckDB's own;
columns are listed from DuckDB's catalogue; no offending row or value is ever fetched, only counted; the count is kept in the
smallest result format; and what an expectation is made of is derived once, not ninety times.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

# Release 1.24.1 sends nothing of its own accord; this keeps it so whatever the environment says.
os.environ["GX_ANALYTICS_ENABLED"] = "False"

import duckdb_engine
import great_expectations as gx
import sqlalchemy as sa
from great_expectations.core import id_dict
from great_expectations.core.result_format import ResultFormat
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.execution_engine import sqlalchemy_execution_engine
from great_expectations.expectations import expectation as gx_expectation
from great_expectations.expectations.core.unexpected_rows_expectation import UnexpectedRowsExpectation
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.expectations.metrics.column_map_metrics import column_values_match_regex
from great_expectations.expectations.metrics.table_metrics import table_column_types

from ips_pipeline.errors import IpsError
from ips_pipeline.store.duck import Connection, DuckError, identifier

#: The release whose private names this module replaces.
VERSION = "1.24.1"

#: The table an engine fills for each run.
_TABLE = "gate_batch"

_NEXT = "run `make test` to see whether the installation is sound"
_ROWS = "unexpected_rows_query.row_count"
_PERSISTED = sqlalchemy_execution_engine._PERSISTED_CONNECTION_DIALECTS
_TO_JSON: Any = vars(id_dict)["convert_to_json_serializable"]
_CONFIGURATION = gx_expectation.Expectation.__dict__["configuration"].fget
_TO_EXPECTATION = ExpectationConfiguration.to_domain_obj


@dataclass(frozen=True, slots=True)
class Outcome:
    """One expectation after its run: its ``meta``, and how many rows it did not expect (1 for an expectation about the whole batch)."""

    meta: Mapping[str, Any]
    unexpected: int


class Engine:
    """Runs expectations over the rows of a query on one connection. Made by ``opened``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.fill("SELECT NULL AS nothing")
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        # The engine closes what it is given; cursors of its own leave the caller's connection open.
        options: dict[str, Any] = {"kwargs": {"creator": lambda: _Cursor(connection.cursor())}}
        source = context.data_sources.add_sql("duckdb", connection_string="duckdb:///:memory:", **options)
        # One table, filled anew for every run: a change of the context's assets costs more than a run.
        self._batches = source.add_table_asset(_TABLE, table_name=_TABLE).add_batch_definition_whole_table("all")

    def fill(self, query: str) -> None:
        """Take the rows of a query for the next run."""
        self._connection.execute(f"CREATE OR REPLACE TABLE {_TABLE} AS {query}")

    def rows(self, column: str) -> dict[int, int]:
        """How many of the rows taken last there are for each value of a column of whole numbers."""
        counted = self._connection.execute(f"SELECT {identifier(column)}, count(*) FROM {_TABLE} GROUP BY ALL").fetchall()
        return {int(value): int(rows) for value, rows in counted}

    def run(self, expectations: Sequence[Mapping[str, Any]]) -> list[Outcome]:
        """Run expectations (type, kwargs, severity, meta with ``code``) over the rows taken last; outcomes in no fixed order.

        Raises IpsError, naming codes only, when one of them could not be evaluated.
        """
        suite = gx.ExpectationSuite(name=_TABLE, expectations=[dict(item) for item in expectations])
        results = self._batches.get_batch().validate(suite, result_format=ResultFormat.BOOLEAN_ONLY).results
        failed = sorted({_meta(result)["code"] for result in results if _raised(result)})
        if failed or len(results) != len(expectations):
            # What Great Expectations says of the cause may quote values.
            raise IpsError(f"The gate could not evaluate {', '.join(failed) or 'a suite'}; {_NEXT}")
        return [Outcome(_meta(result), _count(result)) for result in results]

    def close(self) -> None:
        """Drop the table of the runs."""
        self._connection.execute(f"DROP TABLE {_TABLE}")


class _Cursor(duckdb_engine.ConnectionWrapper):
    """A connection without transactions: one kept open would go on seeing the tables as they were at its beginning."""

    def begin(self) -> None:
        pass

    def commit(self) -> None:
        pass

    def rollback(self) -> None:
        pass


@contextmanager
def opened(connection: Connection) -> Iterator[Engine]:
    """Great Expectations on the connection, silent, with the replacements in force only inside the block."""
    logger = logging.getLogger("great_expectations")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), _replaced():
            warnings.simplefilter("ignore")
            try:
                with closing(Engine(connection)) as engine:
                    yield engine
            except (IpsError, DuckError):
                raise
            except Exception as error:  # noqa: BLE001
                # Messages of Great Expectations and SQLAlchemy quote statements and values.
                raise IpsError(f"The gate stopped ({type(error).__name__}); {_NEXT}") from None
    finally:
        logger.setLevel(level)


def _meta(result: Any) -> Mapping[str, Any]:
    meta: Mapping[str, Any] = result.expectation_config.meta
    return meta


def _raised(result: Any) -> bool:
    info = result.exception_info
    return bool(info) and info.get("raised_exception", True)


def _count(result: Any) -> int:
    return 0 if result.success else int((result.meta or {}).get("unexpected_count", 1))


def check_release() -> None:
    """Refuse a release this module was not written for, and one that lost a name it replaces."""
    if gx.__version__ != VERSION:
        raise IpsError(f"The gate needs great-expectations {VERSION} and found {gx.__version__}; install the locked requirements again")
    missing = [f"{owner.__name__}.{name}" for owner, name, _ in _replacements() if not hasattr(owner, name)]
    if missing:
        raise IpsError(f"great-expectations {VERSION} lacks {', '.join(missing)}; install the locked requirements again")


@contextmanager
def _replaced() -> Iterator[None]:
    """The replacements in force, and the originals again afterwards."""
    originals = [(owner, name, owner.__dict__[name]) for owner, name, _ in _replacements()]
    for owner, name, value in _replacements():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in originals:
            setattr(owner, name, value)


def _replacements() -> list[tuple[Any, str, Any]]:
    return [
        (sqlalchemy_execution_engine, "_PERSISTED_CONNECTION_DIALECTS", (*_PERSISTED, _Dialect("duckdb"))),
        (column_values_match_regex, "get_dialect_regex_expression", _regex),
        (table_column_types, "get_sqlalchemy_column_metadata", _columns),
        (UnexpectedRowsExpectation, "metric_dependencies", (_ROWS,)),
        (UnexpectedRowsExpectation, "_validate", _validate_rows),
        (gx_expectation, "_format_map_output", _map_output),
        (id_dict, "convert_to_json_serializable", _plain),
        (gx_expectation.Expectation, "configuration", property(_once(_CONFIGURATION))),
        (ExpectationConfiguration, "to_domain_obj", _once(_TO_EXPECTATION)),
    ]


class _Dialect(str):
    """A dialect name with the ``value`` that Great Expectations reads from its own enumeration."""

    @property
    def value(self) -> str:
        return str(self)


def _regex(column: Any, regex: str, dialect: Any, positive: bool = True) -> Any:
    found = sa.func.regexp_matches(column, sa.literal(regex))
    return found if positive else sa.not_(found)


def _columns(execution_engine: Any, table_selectable: Any, schema_name: str | None = None) -> list[dict[str, Any]]:
    """The columns of a relation; reflection through PostgreSQL's catalogue takes a quarter of a second for each."""
    listed = sa.text("SELECT column_name FROM duckdb_columns() WHERE table_name = :name ORDER BY column_index")
    rows = execution_engine.execute_query(listed.bindparams(name=str(table_selectable))).fetchall()
    return [{"name": name, "type": sa.String()} for (name,) in rows]


def _validate_rows(self: Any, metrics: Mapping[str, Any], runtime_configuration: Any = None, execution_engine: Any = None) -> dict[str, Any]:
    count = metrics[_ROWS]
    return {"success": count == 0, "meta": {"unexpected_count": count}}


# The smallest result format empties ``result`` and leaves ``meta``.
def _map_output(result_format: Any, success: bool, unexpected_count: int | None = None, **others: Any) -> dict[str, Any]:
    return {"success": success, "meta": {"unexpected_count": unexpected_count or 0}}


def _plain(data: dict[str, Any]) -> Any:
    """Most identities of a metric are plain text, which needs no conversion."""
    return data if all(value is None or type(value) in (str, bool, int) for value in data.values()) else _TO_JSON(data)


def _once(compute: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Compute once for each object, which is kept so that its identity stays its own, until the replacements end."""
    known: dict[int, tuple[Any, Any]] = {}

    def cached(self: Any) -> Any:
        if id(self) not in known:
            known[id(self)] = (self, compute(self))
        return known[id(self)][1]

    return cached


check_release()
