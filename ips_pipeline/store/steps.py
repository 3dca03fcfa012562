"""Run plain SQL files: one SELECT a file, the file name is the table it makes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from datetime import date
from functools import cache
from pathlib import Path

from ips_pipeline.store.duck import Connection, MemoryExceeded, identifier, text_literal

_VARIABLE = re.compile(r"getvariable\('([a-z0-9_]+)'\)")
_WORD = re.compile(r"\w+")
_AT_ONCE = 2

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
    """Make one table per step; a view of those in ``views``, and a table macro of those in ``macros`` (step -> its parameter).

    A step comes after those before it whose names stand in its SQL, and beside the others. ``declared`` are the variables, as the
    connection has them. Raises LookupError when a step reads a variable that was not declared.
    """
    statements: dict[str, str] = {}
    needs: dict[str, set[str]] = {}
    for place, step in enumerate(steps):
        sql = text(step)
        if missing := variables(sql) - declared.keys():
            raise LookupError(f"sql/{step}.sql reads undeclared variables: {', '.join(sorted(missing))}")
        words = set(_WORD.findall(sql))
        needs[step] = {before for before in steps[:place] if _table(before) in words}
        name = identifier(_table(step))
        if macros and step in macros:
            statements[step] = f"CREATE MACRO {name}({identifier(macros[step])}) AS TABLE (\n{sql})"
        else:
            statements[step] = f"CREATE {'VIEW' if step in views else 'TABLE'} {name} AS\n{sql}"
    if len(statements) == 1:
        connection.execute(*statements.values())
    else:
        _side_by_side(connection, statements, needs, declared)


def _table(step: str) -> str:
    return step.rpartition("/")[2]


def _like(connection: Connection, declared: Mapping[str, Value]) -> Connection:
    """A cursor of the same database with the same search path and variables; temporary tables and views are the connection's own."""
    cursor = connection.cursor()
    ((path,),) = connection.execute("SELECT current_setting('search_path')").fetchall()
    cursor.execute(f"SET search_path = {text_literal(path)}")
    declare(cursor, declared)
    return cursor


def _side_by_side(connection: Connection, statements: Mapping[str, str], needs: Mapping[str, set[str]], declared: Mapping[str, Value]) -> None:
    """Run each statement once those it needs are done: where one is planned, begun or ended by a single thread, another uses the processors."""
    at_once = _AT_ONCE
    waiting = list(statements)
    done: set[str] = set()
    running: dict[Future[Connection], tuple[str, Connection]] = {}
    with ExitStack() as open_cursors, ThreadPoolExecutor(_AT_ONCE) as threads:
        idle = [open_cursors.enter_context(_like(connection, declared)) for _ in range(_AT_ONCE)]
        try:
            while waiting or running:
                for step in [step for step in waiting if needs[step] <= done][: at_once - len(running)]:
                    waiting.remove(step)
                    cursor = idle.pop()
                    running[threads.submit(cursor.execute, statements[step])] = step, cursor
                for ended in wait(running, return_when=FIRST_COMPLETED).done:
                    step, cursor = running.pop(ended)
                    idle.append(cursor)
                    try:
                        ended.result()
                        done.add(step)
                    except MemoryExceeded:
                        # What does not fit into memory beside another may do so alone.
                        if at_once == 1:
                            raise
                        at_once = 1
                        waiting.insert(0, step)
        except BaseException:
            # An interrupt that comes before its statement has begun is lost, so it is said again until all have ended.
            left = set(running)
            while left:
                for other in left:
                    running[other][1].interrupt()
                left = wait(left, timeout=0.1).not_done
            raise
