"""Steps run beside one another as far as their names allow, and as one connection would see them."""

from __future__ import annotations

import threading
from typing import Any

import duckdb
import pytest

from ips_pipeline.store import duck, steps

#: What each step reads is made by others, in an order that no other order gives.
CHAIN = {
    "made/one": "SELECT getvariable('start') AS n, current_setting('TimeZone') AS zone",
    "made/two": "SELECT n + 1 AS n FROM one",
    "made/beside": "SELECT 100 AS n",
    "made/seen": "SELECT n * 2 AS n FROM two",
    "made/all_of_it": "SELECT one.n AS one, two.n AS two, beside.n AS beside, seen.n AS seen, zone FROM one, two, beside, seen",
}

#: Half a minute of work, unless it is interrupted.
LONG = "SELECT count(*) AS n FROM range(20000000000) AS a(i) WHERE hash(i) = 0"
TABLES = "SELECT table_name FROM information_schema.tables"


def _with(texts: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "text", texts.__getitem__)


def test_a_step_comes_after_those_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    _with(CHAIN, monkeypatch)
    with duck.session() as connection:
        steps.declare(connection, {"start": 5})
        connection.execute("CREATE SCHEMA apart")
        connection.execute("SET search_path = 'apart,main'")
        steps.run(connection, list(CHAIN), {"start": 5}, views=["made/seen"])
        assert connection.execute("FROM apart.all_of_it").fetchall() == [(5, 6, 100, 12, "UTC")]
        kinds = dict(connection.execute("SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'apart'").fetchall())
    assert kinds["seen"] == "VIEW"
    assert {kind for name, kind in kinds.items() if name != "seen"} == {"BASE TABLE"}


def test_a_step_that_fails_ends_the_run_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        "made/long": LONG,
        "made/wrong": "SELECT error('no such thing') AS n",
        "made/after": "SELECT n FROM wrong",
    }
    _with(texts, monkeypatch)
    connection = duckdb.connect()
    with pytest.raises(duckdb.Error, match="no such thing"):
        steps.run(connection, list(texts), {})
    # The long one was interrupted, and what reads of the wrong one was never begun.
    assert connection.execute(TABLES).fetchall() == []


class _Late:
    """A database whose long statement begins after everybody else's has failed."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, failed: threading.Event) -> None:
        self.connection, self.failed = connection, failed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def cursor(self) -> _Late:
        return _Late(self.connection.cursor(), self.failed)

    def __enter__(self) -> _Late:
        return self

    def __exit__(self, *error: object) -> None:
        self.connection.close()

    def interrupt(self) -> None:
        self.connection.interrupt()
        self.failed.set()

    def execute(self, statement: str, *parameters: Any) -> Any:
        if "range(" in statement:
            assert self.failed.wait(timeout=20)
        return self.connection.execute(statement, *parameters)


def test_a_statement_that_has_yet_to_begin_is_interrupted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        "made/long": LONG,
        "made/wrong": "SELECT error('no such thing') AS n",
    }
    _with(texts, monkeypatch)
    late = _Late(duckdb.connect(), threading.Event())
    with pytest.raises(duckdb.Error, match="no such thing"):
        steps.run(late, list(texts), {})  # type: ignore[arg-type]
    assert late.execute(TABLES).fetchall() == []


class _Narrow:
    """A database with room for one statement at a time: the first two meet, and the second of them finds no room."""

    def __init__(self, room: int) -> None:
        self.room, self.inside, self.refused = room, 0, 0
        self.made: list[str] = []
        self._lock, self._met = threading.Lock(), threading.Barrier(2)

    def cursor(self) -> _Narrow:
        return self

    def __enter__(self) -> _Narrow:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def interrupt(self) -> None:
        pass

    def fetchall(self) -> list[tuple[str]]:
        return [("",)]

    def execute(self, statement: str, *_: Any) -> _Narrow:
        if not statement.startswith("CREATE"):
            return self
        with self._lock:
            self.inside += 1
            full = self.inside > self.room
        if not self.refused and not self.made:
            self._met.wait(timeout=20)
        with self._lock:
            self.inside -= 1
            if full:
                self.refused += 1
                raise duckdb.OutOfMemoryException("no room")
            self.made.append(statement.split('"')[1])
        return self


def test_what_does_not_fit_beside_another_is_made_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    _with({f"made/{name}": "SELECT 1 AS n" for name in ("first", "second", "third")}, monkeypatch)
    narrow = _Narrow(room=1)
    steps.run(narrow, ["made/first", "made/second", "made/third"], {})  # type: ignore[arg-type]
    assert (sorted(narrow.made), narrow.refused) == (["first", "second", "third"], 1)


def test_what_does_not_fit_alone_either_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    _with({f"made/{name}": "SELECT 1 AS n" for name in ("first", "second")}, monkeypatch)
    with pytest.raises(duckdb.OutOfMemoryException):
        steps.run(_Narrow(room=0), ["made/first", "made/second"], {})  # type: ignore[arg-type]
