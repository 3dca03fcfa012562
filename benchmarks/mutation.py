"""The mutation score: small faults put into the SQL of the measures, one at a time, each of which a golden case should notice.

``make mutation`` runs it: every mutant of the two publications and of our own measures. A fault is a mutant; a mutant that fails a golden
case is killed, one that fails none survives and is listed. For our own measures the golden tests themselves are run, each time over what the
unchanged SQL made of their inputs: only what a fault changes, and what reads of that, is made again.
Mutants come from the parsed SQL, so each is a statement that DuckDB can run or refuses, and a refused one counts as killed.
Known survivors that cannot be told apart from the original by any input are listed with their reason in ``equivalent_mutants.yaml``.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import importlib.util
import json
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from ips_pipeline.measures import computation
from ips_pipeline.store import duck, folders, steps

HOME = Path(__file__).resolve().parents[1]
GOLDEN = HOME / "tests" / "golden"
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.yaml")
PERIOD = "2026-08"

#: Seconds of work after which a mutant counts as noticed: a lost join condition can make a run a thousand times as long.
PATIENCE = 30.0

_COMPARISONS = {
    "COMPARE_EQUAL": "COMPARE_NOTEQUAL",
    "COMPARE_NOTEQUAL": "COMPARE_EQUAL",
    "COMPARE_LESSTHAN": "COMPARE_LESSTHANOREQUALTO",
    "COMPARE_LESSTHANOREQUALTO": "COMPARE_LESSTHAN",
    "COMPARE_GREATERTHAN": "COMPARE_GREATERTHANOREQUALTO",
    "COMPARE_GREATERTHANOREQUALTO": "COMPARE_GREATERTHAN",
    "OPERATOR_IS_NULL": "OPERATOR_IS_NOT_NULL",
    "OPERATOR_IS_NOT_NULL": "OPERATOR_IS_NULL",
}
_LOGIC = {"CONJUNCTION_AND": "CONJUNCTION_OR", "CONJUNCTION_OR": "CONJUNCTION_AND"}
_JOINS = {"LEFT": "INNER", "INNER": "LEFT", "SEMI": "ANTI"}
_AGGREGATES = {"min": "max", "max": "min", "bool_or": "bool_and", "bool_and": "bool_or"}
_ORDERS = {"ASCENDING": "DESCENDING", "DESCENDING": "ASCENDING", "ORDER_DEFAULT": "DESCENDING"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault: its number within the file, what was done, the place in the SQL, and the SQL with it."""

    number: int
    change: str
    place: str
    sql: str


def mutants(connection: duck.Connection, sql: str) -> list[Mutant]:
    """Every fault of a statement, one a mutant, without those that leave the statement as it was."""
    tree = _parse(connection, sql)
    plain = _written(connection, tree)
    found: list[Mutant] = []
    seen = {plain}
    for change, mutated in _faults(tree):
        text = _written(connection, mutated)
        if text not in seen:
            seen.add(text)
            found.append(Mutant(len(found) + 1, change, _difference(plain, text), text))
    return found


def _parse(connection: duck.Connection, sql: str) -> Any:
    row = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    return json.loads(row[0]) if row else {}


def _written(connection: duck.Connection, tree: Any) -> str:
    row = connection.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(tree)]).fetchone()
    return str(row[0]) if row else ""


def _faults(tree: Any) -> Iterator[tuple[str, Any]]:
    """The tree with one fault each. A place in it is a path of keys."""
    for path, node in _walk(tree):
        for change, replacement in _faults_of(node):
            copied = copy.deepcopy(tree)
            holder = copied
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = replacement
            yield change, copied


def _walk(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(node, dict):
        if path:
            yield path, node
        for key, value in node.items():
            yield from _walk(value, (*path, key))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _walk(value, (*path, number))


def _faults_of(node: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:  # noqa: PLR0912 - one branch per sort of fault
    kind = node.get("type")
    for table, words in ((_COMPARISONS, "comparison"), (_LOGIC, "logic")):
        if kind in table:
            yield f"{words} {kind} becomes {table[kind]}", {**node, "type": table[kind]}
    if kind in _LOGIC:
        for number in range(len(node["children"])):
            left = [child for position, child in enumerate(node["children"]) if position != number]
            yield f"part {number + 1} of {kind} is dropped", left[0] if len(left) == 1 else {**node, "children": left}
    if kind == "OPERATOR_NOT":
        yield "NOT is dropped", node["children"][0]
    if node.get("join_type") in _JOINS and kind == "JOIN":
        yield f"{node['join_type']} JOIN becomes {_JOINS[node['join_type']]}", {**node, "join_type": _JOINS[node["join_type"]]}
    if kind == "SELECT_NODE":
        for part in ("where_clause", "having", "qualify"):
            if node.get(part):
                yield f"{part} is dropped", {**node, part: None}
        if any(modifier.get("type") == "DISTINCT_MODIFIER" for modifier in node.get("modifiers", [])):
            kept = [modifier for modifier in node["modifiers"] if modifier.get("type") != "DISTINCT_MODIFIER"]
            yield "DISTINCT is dropped", {**node, "modifiers": kept}
    if kind == "SET_OPERATION_NODE" and node.get("setop_type") == "UNION" and not node.get("setop_all"):
        yield "UNION becomes UNION ALL", {**node, "setop_all": True}
    if node.get("class") == "FUNCTION":
        name = node["function_name"]
        if name in _AGGREGATES:
            yield f"{name} becomes {_AGGREGATES[name]}", _renamed(node, _AGGREGATES[name])
        if node.get("distinct"):
            yield f"{name}(DISTINCT) counts all", {**node, "distinct": False}
    if node.get("class") == "CONSTANT" and isinstance(literal := node.get("literal"), dict) and literal.get("kind") == "INTEGER":
        for step in (1, -1):
            yield (
                f"{literal['text']} becomes {int(literal['text']) + step}",
                {**node, "literal": {**literal, "text": str(int(literal["text"]) + step)}},
            )
    if "null_order" in node and "expression" in node and kind in _ORDERS:
        yield f"order {kind} becomes {_ORDERS[kind]}", {**node, "type": _ORDERS[kind]}


def _renamed(node: Mapping[str, Any], name: str) -> dict[str, Any]:
    renamed = {**node, "function_name": name}
    if "qualified_name" in node:
        renamed["qualified_name"] = {**node["qualified_name"], "path": [name]}
    return renamed


@dataclass(frozen=True, slots=True)
class Family:
    """Files to put faults into, the steps that are run, and what a run must give.

    What it must give is told by the tables that it reads: each check names the first case that fails, or None.
    """

    files: Sequence[str]
    steps: Sequence[str]
    fails: Mapping[frozenset[str], Callable[[duck.Connection], str | None]]


#: Steps that neither publication reads.
_NOT_PUBLISHED = frozenset({"derive/patient_level", "measures/population", "measures/dashboard_contact", "measures/dashboard_evidence"})
#: Steps that say what is looked at more closely; a publication is the same however wide they look, and our own access measures are not.
_NEAR = ("derive/near_referral", "derive/near_contact")


def families() -> Mapping[str, Family]:
    """What can be scored: the two publications together, since each has cases for what they share."""
    made = (*computation.DERIVE, *computation.MHS116, *computation.DASHBOARD)
    read = [step for step in made if step not in _NOT_PUBLISHED]
    files = [step for step in read if step not in _NEAR]
    checks: dict[frozenset[str], Callable[[duck.Connection], str | None]] = {
        frozenset({"measures/mhs116_evidence", "measures/mhs116_count"}): _mhs116_fails,
        frozenset({"measures/dashboard_quantity", "measures/dashboard_row", "measures/dashboard_count"}): _dashboard_fails,
    }
    return {"published": Family(files, read, checks)}


def score(family: Family, out: Callable[[str], None], only: str | None = None) -> tuple[int, int]:
    """Kill what can be killed; gives the numbers of mutants killed and of mutants in all, without the equivalent ones."""
    told = _Told(out)
    with tempfile.TemporaryDirectory() as folder, _prepared(Path(folder)) as connection:
        for step in family.steps:
            connection.execute(f"CREATE TABLE {_table(step)} AS\n{steps.text(step)}")
        if failing := _failing(connection, family, family.steps):
            raise SystemExit(f"The SQL as it is fails case {failing}")
        for file in [item for item in family.files if only is None or only in item]:

            def noticed(mutant: Mutant, file: str = file) -> bool:
                return _run(connection, family, file, mutant.sql) is not None

            told.file(file, mutants(connection, steps.text(file)), noticed)
    return told.killed, told.total


class _Told:
    """Tries the faults of files, prints what became of them, and adds up; ``total`` is without the equivalent ones."""

    def __init__(self, out: Callable[[str], None]) -> None:
        self.killed = self.total = 0
        self._out = out
        self._known = yaml.safe_load(EQUIVALENT.read_text(encoding="utf-8")) if EQUIVALENT.is_file() else {}

    def file(self, file: str, made: Sequence[Mutant], noticed: Callable[[Mutant], bool], every: int = 1) -> None:
        """One file: every n-th of its faults, and whether a fault is noticed."""
        tried = {f"{mutant.change} {mutant.number}": mutant for mutant in made[::every]}
        known = {f"{item['change']} {item['number']}" for item in self._known.get(file, [])}
        survivors = {key: mutant for key, mutant in tried.items() if not noticed(mutant)}
        alive = [mutant for key, mutant in survivors.items() if key not in known]
        killed, equivalent = len(tried) - len(survivors), len(survivors) - len(alive)
        self.killed, self.total = self.killed + killed, self.total + len(tried) - equivalent
        self._out(f"{file:<36} {killed:>4} of {len(tried) - equivalent:>4} killed, {equivalent} equivalent")
        left = {f"{mutant.change} {mutant.number}" for mutant in made} - tried.keys()
        for key in sorted(known - survivors.keys() - left):
            self._out(f"          listed as equivalent, but killed or not there: {key}")
        for mutant in alive:
            self._out(f"    {mutant.number:>4}  {mutant.change}: {mutant.place}")


@contextmanager
def _prepared(root: Path) -> Iterator[duck.Connection]:
    """Load the world of the cases once; the faults change only what is made of it."""
    world = _golden("conftest").World()
    mhs116, dashboard = _golden("test_mhs116_golden"), _golden("test_dashboard_cases")
    for case in mhs116.CASES:
        for row in case.get("rows", [{}]):
            mhs116.add_row(world, case["case"], row)
    for case in dashboard.CASES:
        dashboard.add_case(world, case)
    world.write(root)
    declared = computation.variables(PERIOD, computation.STATUSES[0])
    with computation.opened(folders.discover(root / "submissions"), root / "reference", declared) as inputs:
        yield inputs.connection


def _run(connection: duck.Connection, family: Family, file: str, sql: str) -> str | None:
    """Make a step with a fault, and those that read of it, again; names what failed, or None."""
    connection.execute("BEGIN")
    try:
        with patience(connection.interrupt):
            again = _downstream(family.steps, file)
            for step in again:
                connection.execute(f"CREATE OR REPLACE TABLE {_table(step)} AS\n{sql if step == file else steps.text(step)}")
            return _failing(connection, family, again)
    except duck.DuckError:
        return "the statement is refused, or takes too long"
    finally:
        connection.execute("ROLLBACK")


@contextmanager
def patience(interrupt: Callable[[], None]) -> Iterator[None]:
    """Interrupt what has worked for PATIENCE seconds; time in which others had the machine does not count, so a busy one kills no mutant."""
    done, until = threading.Event(), time.process_time() + PATIENCE

    def watch() -> None:
        while not done.wait(0.1):
            if time.process_time() > until:
                interrupt()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _downstream(ordered: Sequence[str], file: str) -> list[str]:
    """The file and the steps after it that read of it, in their order."""
    found = [file]
    for step in ordered[ordered.index(file) + 1 :]:
        if any(re.search(rf"\b{re.escape(read.rpartition('/')[2])}\b", steps.text(step)) for read in found):
            found.append(step)
    return found


def _failing(connection: duck.Connection, family: Family, made: Sequence[str]) -> str | None:
    """The first case that fails among the checks that read one of the steps made."""
    return next((failing for read, fails in family.fails.items() if read & set(made) and (failing := fails(connection))), None)


def _table(step: str) -> str:
    return duck.identifier(step.rpartition("/")[2])


def _mhs116_fails(connection: duck.Connection) -> str | None:
    cases = _golden("test_mhs116_golden")
    found = {row["UniqServReqID"]: row for row in connection.sql("FROM mhs116_evidence").to_arrow_table().to_pylist()}
    if failing := next((case["case"] for case in cases.CASES if cases.differences(case, found)), None):
        return str(failing)
    elsewhere = {_golden("test_dashboard_cases").provider(case) for case in _golden("test_dashboard_cases").CASES}
    if sum(row["counted"] and row["OrgIDProv"] not in elsewhere for row in found.values()) != sum(case["expect"] != "no" for case in cases.CASES):
        return "how many there are"
    levels = {(row[0], row[1]): row[2] for row in connection.sql("FROM mhs116_count").fetchall()}
    if levels.get(("england", "England")) != sum(1 for row in found.values() if row["counted"]):
        return "England"
    for breakdown in ("age_band", "gender", "upper_ethnicity", "imd_decile", "provider"):
        if sum(value for (name, _), value in levels.items() if name == breakdown) != levels["england", "England"]:
            return breakdown
    sub_icbs = sum(len(row["sub_icbs"]) for row in found.values() if row["counted"])
    return None if sum(value for (name, _), value in levels.items() if name == "sub_icb") == sub_icbs else "sub_icb"


def _dashboard_fails(connection: duck.Connection) -> str | None:
    cases = _golden("test_dashboard_cases")
    found: dict[tuple[str, str], dict[str, int]] = {}
    rows = connection.sql(
        "SELECT strftime(ReportingPeriodEndDate, '%Y-%m'), level, quantity, sum(amount) FROM dashboard_quantity"
        " WHERE breakdown = 'dashboard_provider' AND amount <> 0 GROUP BY ALL"
    ).fetchall()
    for month, level, quantity, amount in rows:
        found.setdefault((month, level), {})[quantity] = int(amount)
    for case in cases.CASES:
        if found.get((case.get("at", cases.MONTH), cases.provider(case)), {}) != cases.expected(case):
            return str(case["case"])
    columns = ", ".join(cases.LEVELS)
    placed: dict[tuple[str, str], list[dict[str, Any]]] = {}
    told = connection.sql(f"SELECT strftime(ReportingPeriodEndDate, '%Y-%m') AS month, OrgIDProv, {columns} FROM dashboard_row").to_arrow_table()
    for row in told.to_pylist():
        placed.setdefault((row.pop("month"), row.pop("OrgIDProv")), []).append(row)
    for case in cases.CASES:
        of_case = placed.get((case.get("at", cases.MONTH), cases.provider(case)), [])
        if len(of_case) == 1 and of_case[0] != cases.levels(case):
            return str(case["case"])
    for breakdown, level, name in _LEVELS:
        counted = connection.sql(
            f"SELECT UniqMonthID, {level}, {name}, count(*) FROM dashboard_row GROUP BY ALL EXCEPT"
            f" SELECT UniqMonthID, level, level_name, AllReferrals FROM dashboard_count WHERE breakdown = 'dashboard_{breakdown}'"
        ).fetchall()
        if counted:
            return breakdown
    return None


#: Breakdown, level and level name of the dashboard, as columns of its rows.
_LEVELS = (
    ("england", "'England'", "'England'"),
    ("provider", "OrgIDProv", "provider_name"),
    ("team", "team", "provider_name"),
    *((name, name, f"{name}_name") for name in ("sub_icb", "icb", "region")),
    *((name, name, name) for name in ("source", "age", "ethnicity", "gender", "deprivation")),
)


_modules: dict[str, ModuleType] = {}


def _golden(name: str) -> ModuleType:
    """A module of the golden tests, which are no package."""
    if name not in _modules:
        spec = importlib.util.spec_from_file_location(f"golden_{name}", GOLDEN / f"{name}.py")
        if spec is None or spec.loader is None:
            raise SystemExit(f"tests/golden/{name}.py is not there")
        _modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(_modules[name])
    return _modules[name]


def _difference(plain: str, mutated: str) -> str:
    """The place where two statements part, with some words around it."""
    start = next((number for number, (left, right) in enumerate(zip(plain, mutated, strict=False)) if left != right), min(len(plain), len(mutated)))
    return f"…{' '.join(mutated[max(0, start - 50) : start + 60].split())}…"


def _say(line: str) -> None:
    """A line at once: a run takes minutes."""
    print(line, flush=True)


@dataclass(frozen=True, slots=True)
class Tested:
    """Files to put faults into, and the golden tests that should notice them."""

    files: Sequence[str]
    tests: Sequence[str]


def tested() -> Mapping[str, Tested]:
    """What else can be scored: our own measures, each group of files with the golden tests that are about it."""
    own = (*computation.FAMILIES, *computation.OUTCOMES, *computation.EPISODES, *computation.PLACEMENTS)

    def files(*starts: str) -> list[str]:
        return [step for step in own if step.removeprefix("measures/").startswith(starts)]

    grown = [*files("ips_", "trial"), *(step for step in computation.RECORDS if step != "derive/ips_episode_level")]
    access, targets, corrected = files("access_"), files("targets"), files("dashboard_corrected")
    taken = {*grown, *access, *targets, *corrected}
    return {
        "access": Tested([*_NEAR, *access], ["test_access_golden.py", "test_targets_golden.py"]),
        "targets": Tested(targets, ["test_targets_golden.py"]),
        "corrected": Tested(
            corrected,
            [
                "test_dashboard_cases.py::test_corrected_case",
                "test_dashboard_cases.py::test_corrected_teams",
                "test_dashboard_cases.py::test_the_corrected_dashboard_is_of_the_twelve_months",
                "test_dashboard_golden.py::test_published_and_corrected_side_by_side",
                "test_dashboard_golden.py::test_the_corrected_parts_add_up",
            ],
        ),
        "records": Tested([*grown, "measures/trial_comparison"], ["test_ips_grow_cases.py", "test_ips_grow_golden.py"]),
        "outcomes": Tested([step for step in own if step not in taken and step != "measures/access"], ["test_outcome_cases.py", "test_outcomes.py"]),
    }


def score_by_tests(family: Tested, out: Callable[[str], None], only: str | None = None, every: int = 1) -> tuple[int, int]:
    """Kill every n-th mutant of a file by golden tests; gives the numbers killed and tried, without the equivalent ones."""
    told = _Told(out)
    read, text = steps.text, cache(steps.text)

    def work(tests: _Tests, worlds: _Worlds) -> None:
        for worlds.learning in (True, False):
            if failing := worlds.run(tests.failing):
                raise SystemExit(f"The SQL as it is fails {failing}")
        for file in [item for item in family.files if only is None or only in item]:
            with duck.session() as connection:
                made = mutants(connection, text(file))

            def noticed(mutant: Mutant, file: str = file) -> bool:
                steps.text = lambda step: mutant.sql if step == file else text(step)
                return worlds.run(tests.failing) is not None

            told.file(file, made, noticed, every)
            steps.text = read

    with tempfile.TemporaryDirectory() as folder, _Worlds(Path(folder)) as worlds:
        plugin = _Tests(lambda tests: work(tests, worlds))
        given = ["-p", "no:terminal", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib", "--assert=plain", f"--basetemp={folder}"]
        code = pytest.main([*given, *(str(GOLDEN / name) for name in family.tests)], [plugin])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise SystemExit(f"The score of {' '.join(family.tests)} cannot be told")
    return told.killed, told.total


class _Tests:
    """A plugin that collects tests once and runs them as often as ``work`` asks, until one fails."""

    def __init__(self, work: Callable[[_Tests], None]) -> None:
        self._work = work
        self._failed = False
        self._items: list[pytest.Item] = []

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._items = list(session.items)
        self._work(self)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed |= report.failed

    def failing(self) -> str | None:
        """The first test that fails; it and its module come first the next time."""
        self._failed = False
        for item, after in zip(self._items, [*self._items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if self._failed:
                item.session._setupstate.teardown_exact(None)
                self._items.sort(key=lambda other: (other is not item, other.path != item.path))
                return item.nodeid
        return None


class _Worlds:
    """Stands for ``computation.opened`` in tests: what was loaded and made of the same inputs before is there again, and little is made anew."""

    def __init__(self, root: Path) -> None:
        self.learning = True
        self._root = root
        self._opened = computation.opened
        self._kept: dict[str, tuple[computation.Inputs, Any]] = {}
        self._stack = ExitStack()
        self._busy: duck.Connection | None = None

    def __enter__(self) -> _Worlds:
        computation.opened = self._given
        return self

    def __exit__(self, *_: object) -> None:
        computation.opened = self._opened
        self._stack.close()

    def run(self, tests: Callable[[], str | None]) -> str | None:
        """Run tests over what is kept; a statement that takes too long is interrupted, which fails the test. Leaves no files behind."""
        before = set(self._root.iterdir())
        try:
            with patience(self._interrupt):
                return tests()
        finally:
            for folder in set(self._root.iterdir()) - before if not self.learning else ():
                shutil.rmtree(folder)

    def _interrupt(self) -> None:
        if self._busy:
            self._busy.interrupt()

    @contextmanager
    def _given(self, submissions: Sequence[Path], reference: Path, declared: Mapping[str, steps.Value], **more: Any) -> Iterator[computation.Inputs]:
        places = [*submissions, reference, *more.get("records", ())]
        held = [(place.name, path.name, path.read_bytes()) for place in places for path in sorted(place.iterdir())]
        key = hashlib.sha256(repr(([folder.parent.name for folder in submissions], held, declared)).encode()).hexdigest()
        opened = self._opened(submissions, reference, declared, **{**more, "write": [self._root]})
        if self.learning:
            inputs = self._stack.enter_context(opened)
            memory: Any = Memory(inputs.connection)
            yield replace(inputs, connection=memory)
            if key not in self._kept or len(memory.made) > len(self._kept[key][1].made):
                self._kept[key] = inputs, memory
        elif key in self._kept:
            inputs, memory = self._kept[key]
            self._busy = inputs.connection
            with memory.again():
                yield replace(inputs, connection=memory)
        else:
            with opened as inputs:
                self._busy = inputs.connection
                yield inputs


class Memory:
    """A connection that remembers what was made on it, and makes again only what is now made otherwise or reads something that came out otherwise.

    It goes by the statements CREATE TABLE, VIEW and MACRO, whoever runs them. What is made again is undone together, so it has no cursors of its
    own: who asks for one is given the same connection, one statement at a time.
    """

    _CREATE = re.compile(r'\s*CREATE (TABLE|VIEW|MACRO) ("[^"]+"|\w+)')

    def __init__(self, connection: duck.Connection) -> None:
        self.connection = connection
        self.made: dict[str, str] = {}
        self._learning = True
        self.changed: set[str] = set()
        self._rows: dict[str, Any] = {}
        self._one_at_a_time = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def cursor(self) -> Memory:
        return self

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *_: object) -> None:
        """A cursor is closed; the connection goes on."""

    @contextmanager
    def again(self) -> Iterator[None]:
        """Everything made within the block is gone after it."""
        self._learning, self.changed = False, set()
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self.connection.execute("ROLLBACK")

    def register(self, name: str, rows: Any) -> None:
        self.changed.add(name)
        self.connection.register(name, rows)

    def execute(self, statement: str, parameters: object = None) -> duck.Connection:
        with self._one_at_a_time:
            return self._execute(statement, parameters)

    def _execute(self, statement: str, parameters: object) -> duck.Connection:
        create = self._CREATE.match(statement)
        if not create:
            return self.connection.execute(statement, parameters)
        kind, name = create[1], create[2].strip('"')
        text = f"{statement}{parameters or ''}"
        if self._learning:
            self.made[name] = text
            return self.connection.execute(statement, parameters)
        if text == self.made.get(name) and not self._reads_changed(statement):
            return self.connection
        if kind == "TABLE" and name in self.made and name not in self._rows:
            self._rows[name] = self._table(name)
        self.connection.execute(statement.replace("CREATE", "CREATE OR REPLACE", 1), parameters)
        if kind != "TABLE" or name not in self._rows or not self._table(name).equals(self._rows[name]):
            self.changed.add(name)
        return self.connection

    def _reads_changed(self, statement: str) -> bool:
        return bool(self.changed) and re.search(rf"\b({'|'.join(map(re.escape, self.changed))})\b", statement) is not None

    def _table(self, name: str) -> Any:
        return self.connection.sql(f"FROM {duck.identifier(name)}").to_arrow_table()


def main(arguments: Sequence[str]) -> int:
    """Print the score per file, and the survivors."""
    wanted, by_tests = families(), tested()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutation", description="Score the golden cases by small faults in the SQL")
    parser.add_argument("family", nargs="?", choices=[*wanted, *by_tests], help="the measures that belong together (default: all)")
    parser.add_argument("only", nargs="?", help="part of a file name")
    parser.add_argument("--every", type=int, default=1, help="try one mutant in so many of our own measures")
    given = parser.parse_args(arguments)
    killed = total = 0
    for name in [given.family] if given.family else [*wanted, *by_tests]:
        part = score(wanted[name], _say, given.only) if name in wanted else score_by_tests(by_tests[name], _say, given.only, given.every)
        _say(f"{name}: {part[0]:,} of {part[1]:,} mutants killed: {100 * part[0] / max(part[1], 1):.1f} %")
        killed, total = killed + part[0], total + part[1]
    _say(f"{killed:,} of {total:,} mutants killed: {100 * killed / max(total, 1):.1f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
