"""The mutator itself: the faults it makes are single, different and runnable, and a known fault is noticed by a known case."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from benchmarks import mutation
from ips_pipeline.store import duck, steps

SQL = """
SELECT DISTINCT person, min(day) AS first
FROM contact
LEFT JOIN place ON place.person = contact.person
WHERE attended AND day >= 3 AND NOT refused
"""


@pytest.fixture(scope="module")
def connection() -> Iterator[duck.Connection]:
    with duck.session() as connection:
        yield connection


def test_each_sort_of_fault_is_made_once(connection: duck.Connection) -> None:
    changes = [mutant.change for mutant in mutation.mutants(connection, SQL)]
    assert sorted(changes) == [
        "3 becomes 2",
        "3 becomes 4",
        "DISTINCT is dropped",
        "LEFT JOIN becomes INNER",
        "NOT is dropped",
        "comparison COMPARE_EQUAL becomes COMPARE_NOTEQUAL",
        "comparison COMPARE_GREATERTHANOREQUALTO becomes COMPARE_GREATERTHAN",
        "logic CONJUNCTION_AND becomes CONJUNCTION_OR",
        "min becomes max",
        "part 1 of CONJUNCTION_AND is dropped",
        "part 2 of CONJUNCTION_AND is dropped",
        "part 3 of CONJUNCTION_AND is dropped",
        "where_clause is dropped",
    ]


def test_mutants_differ_from_the_original_and_from_each_other(connection: duck.Connection) -> None:
    for step in ("measures/mhs116_contact", "derive/ips_procedure", "measures/dashboard_activity"):
        texts = [mutant.sql for mutant in mutation.mutants(connection, steps.text(step))]
        assert len(texts) > 10
        assert len(set(texts)) == len(texts)


def test_a_mutant_runs_with_its_fault(connection: duck.Connection) -> None:
    connection.execute("CREATE TABLE number AS SELECT unnest([1, 2, 3]) AS n")
    by_change = {mutant.change: mutant.sql for mutant in mutation.mutants(connection, "SELECT max(n) FROM number WHERE n < 3")}
    results = {change: connection.execute(sql).fetchall()[0][0] for change, sql in by_change.items()}
    assert results == {
        "comparison COMPARE_LESSTHAN becomes COMPARE_LESSTHANOREQUALTO": 3,
        "max becomes min": 1,
        "where_clause is dropped": 3,
        "3 becomes 4": 3,
        "3 becomes 2": 1,
    }


def test_work_wears_patience_out_and_waiting_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutation, "PATIENCE", 0.2)
    interrupted = threading.Event()
    with mutation.patience(interrupted.set):
        time.sleep(0.5)
    assert not interrupted.is_set()
    with mutation.patience(interrupted.set):
        until = time.monotonic() + 60
        while not interrupted.is_set() and time.monotonic() < until:
            sum(range(1000))
    assert interrupted.is_set()


def test_the_golden_cases_notice_a_fault_and_pass_without_one() -> None:
    """One file with few mutants, end to end: whether an IPS team is looked for in the right column."""
    family = mutation.families()["published"]
    said: list[str] = []
    killed, total = mutation.score(mutation.Family(["derive/ips_team"], family.steps, family.fails), said.append)
    assert total >= killed > 0
    assert said[0].startswith("derive/ips_team ")


def test_what_is_made_again_is_what_a_fault_changes_and_what_reads_of_it(connection: duck.Connection) -> None:
    made = {"seen": "SELECT 1 AS n", "twice": "SELECT 2 * n AS n FROM seen", "sign": "SELECT sign(n) AS s FROM twice", "told": "SELECT s FROM sign"}
    memory = mutation.Memory(connection)
    for name, sql in made.items():
        memory.execute(f"CREATE {'VIEW' if name == 'twice' else 'TABLE'} {name} AS\n{sql}")

    def again(fault: str) -> tuple[set[str], int]:
        with memory.again():
            for name, sql in {**made, "seen": fault}.items():
                memory.execute(f"CREATE {'VIEW' if name == 'twice' else 'TABLE'} {name} AS\n{sql}")
            return memory.changed, memory.execute("FROM told").fetchall()[0][0]

    assert again("SELECT 1 AS n") == (set(), 1)
    assert again("SELECT 3 AS n") == ({"seen", "twice"}, 1)
    assert again("SELECT -1 AS n") == ({"seen", "twice", "sign", "told"}, -1)
    with pytest.raises(duck.DuckError):
        again("SELECT lost AS n FROM told")
    assert memory.execute("SELECT n, s FROM twice, told").fetchall() == [(2, 1)]


def test_golden_tests_run_again_over_what_they_made_notice_a_fault_and_pass_without_one() -> None:
    """Not every fault: which of several windows counts is told by another test."""
    said: list[str] = []
    family = mutation.Tested(["measures/ips_threshold"], ["test_ips_grow_golden.py::test_thirteen_weeks_of_seven_hours_within_sixteen"])
    killed, total = mutation.score_by_tests(family, said.append, every=4)
    assert total > killed > 1
    assert said[0].startswith("measures/ips_threshold ")
