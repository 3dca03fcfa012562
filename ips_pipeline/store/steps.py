"""Run plain SQL files in order: one SELECT a file, the file name is the table it makes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path

from ips_pipeline.store.duck import Connection, identifier

_VARIABLE = re.compile(r"getvariable\('([a-z0-9_]+)'\)")

#: A value that SQL reads through getvariable().
Value = str | int | date


@cache
def root() -> Path:
    """The folder of the SQL files: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).resolve().parents[1]
    return next(folder for folder in (package / "sql", package.parent / "sql") if folder.is_dir())


def text(step: str) -> str:
    """The SQL of a step named ``folder/table``."""
    return (root() / f"{step}.sql").read_text(encoding="utf-8")


def variables(sql: str) -> frozenset[str]:
    """The names a statement reads through getvariable(); a name nobody set would silently be NULL."""
    return frozenset(_VARIABLE.findall(sql))


def declare(connection: Connection, values: Mapping[str, Value]) -> None:
    """Set the variables of the run."""
    for name, value in values.items():
        connection.execute(f"SET VARIABLE {identifier(name)} = ?", [value])


def run(
    connection: Connection,
    steps: Sequence[str],
    declared: Mapping[str, Value],
    *,
    views: Collection[str] = (),
    macros: Mapping[str, str] | None = None,
) -> None:
    """Make one table per step, in order; a view of those in ``views``, and a table macro of those in ``macros`` (step -> its parameter).

    Raises LookupError when a step reads a variable that was not declared.
    """
    for step in steps:
        sql = text(step)
        if missing := variables(sql) - declared.keys():
            raise LookupError(f"sql/{step}.sql reads undeclared variables: {', '.join(sorted(missing))}")
        name = identifier(step.rpartition("/")[2])
        if macros and step in macros:
            connection.execute(f"CREATE MACRO {name}({identifier(macros[step])}) AS TABLE (\n{sql})")
        else:
            connection.execute(f"CREATE {'VIEW' if step in views else 'TABLE'} {name} AS\n{sql}")
