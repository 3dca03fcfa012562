"""Great Expectations and our own predicates must count the same bad rows, for every kind of rule, on the values that part engines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ips_pipeline.mhsds.standard import Rule, Table, load
from ips_pipeline.quality import findings, gate, gx_duckdb
from ips_pipeline.quality.findings import FILE_KINDS, Portal
from ips_pipeline.quality.kinds import KINDS, Judged
from ips_pipeline.store.duck import Connection, identifier, session

STANDARD = load()

#: What is close to right: white space of several kinds, other digits and widths, other lengths, lines, dates and codes nearly so.
AWKWARD: tuple[str | None, ...] = (
    *(None, "", " ", "   ", "\t", "\u00a0", "\u2028", "\u0085", "\n", "\r\n"),
    *("01", "01\n", "01\r\n", "\n01", " 01", "01 ", "01\u00a0", "1", "001", "0", "00", "１", "０１", "٠١", "²"),
    *("1.0", "1.00", "-1.00", "1,00", "1e3", "A", "a", "Á", "A\u0301", "X", "x", "XX", "~", "%", "_", "'", '"'),
    *("\\", "{", "}", "{batch}", ":a", "$1", "NULL", "nan", "\x00", "\ud7ff", "💊"),
    *("2025-09-01", "2025-9-1", " 2025-09-01 ", "2025-09-01\n", "2025-09-31", "2025-02-29", "2024-02-29", "1889-12-31", "1890-01-01"),
    *("2025-09", "2025", "2025-09-01T00:00:00", "2025-09-01 00:00:00", "2025-09-01T10:00:00Z", "2025-09-01T10:00:00+01:00"),
    *("2025-09-01T24:00:00Z", "9999-12-31", "２０２５-09-01", "01/09/2025", "20250901", "infinity", "epoch"),
    *("9990000018", "9990000019", "9990000018\n", " 9990000018", "９９９００００018", "LS1 1AA", "ls1 1aa", "LS1\u00a01AA", "LS11AA"),
    *("LS1 1AA\n", "GIR 0AA", "772822000", "772822001", "772822000\r\n", "772822000:408730004=443390004"),
    *("RXZ", "rxz", "RXZ ", "RXZ\n", "R" * 40, "9" * 19, "x" * 5000),
)

_EXPECTATIONS = {item["meta"]["code"]: item for table in STANDARD.tables.values() for item in gate.suite(table, STANDARD)["expectations"]}
_RULES: dict[str, list[Rule]] = {}
for _rule in STANDARD.rules():
    if _rule.kind not in FILE_KINDS and _rule.code in _EXPECTATIONS:
        _RULES.setdefault(_rule.kind, []).append(_rule)


@dataclass
class Bench:
    """A connection with an empty submission judged on it, whose tables the tests fill by hand."""

    connection: Connection
    engine: gx_duckdb.Engine

    def put(self, table: Table, elements: Sequence[str], rows: Sequence[Sequence[str | None]]) -> None:
        """Make these the rows of the table; the other elements are blank."""
        self.connection.execute(f"DELETE FROM {identifier(table.name)}")
        names = ", ".join(identifier(name) for name in ("submission", "row", *elements))
        marks = ", ".join("(" + ", ".join("?" for _ in range(len(elements) + 2)) + ")" for _ in rows)
        values = [value for number, row in enumerate(rows, 1) for value in (1, number, *row)]
        self.connection.execute(f"INSERT INTO {identifier(table.name)} ({names}) VALUES {marks}", values)

    def both(self, rule: Rule) -> tuple[int, int]:
        """The bad rows by our predicate, and by Great Expectations."""
        table = STANDARD.table(rule.table)
        relation = identifier(table.name + " judged")
        predicate = KINDS[rule.kind].bad(rule, Judged(STANDARD, table))
        (ours,) = self.connection.execute(f"SELECT count(*) FROM {relation} AS judged WHERE {predicate}").fetchone() or (0,)
        self.engine.fill(f"SELECT * FROM {relation}")
        (theirs,) = self.engine.run([_EXPECTATIONS[rule.code]])
        return int(ours), theirs.unexpected


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder, reference = tmp_path_factory.mktemp("submission"), tmp_path_factory.mktemp("reference")
    (folder / "MHS000Header.csv").write_text(
        "OrgIDProvider,ReportingPeriodStartDate,ReportingPeriodEndDate\nRXZ,2025-09-01,2025-09-30\n", encoding="utf-8"
    )
    for name in ("organisations", "schools"):
        (reference / f"{name}.csv").write_text("code,live_from,live_to\nRXZ,,\nA,2025-09-02,\nX,,2025-08-31\n", encoding="utf-8")
    (reference / "postcodes.csv").write_text("code\nLS1 1AA\n", encoding="utf-8")
    with session(read=[folder, reference]) as connection:
        lists = findings.load(connection, [folder], [Portal(uploaded="2025-10-14T09:30:00")], reference, STANDARD)
        for table in STANDARD.tables.values():
            name = identifier(table.name)
            connection.execute(f"CREATE TABLE {identifier(table.name + ' held')} AS SELECT * FROM {name} WHERE false")
            connection.execute(f"DROP VIEW {name}")
            connection.execute(f"ALTER TABLE {identifier(table.name + ' held')} RENAME TO {name}")
        rules = findings.rule_set(STANDARD, "published", lists)
        findings.judge(connection, rules, 1)
        with gx_duckdb.opened(connection) as engine, gate.moments(connection, rules):
            yield Bench(connection, engine)


def _tables(rule: Rule) -> dict[str, list[str]]:
    """The tables a rule reads and, of each, the elements it looks at."""
    predicate = KINDS[rule.kind].bad(rule, Judged(STANDARD, STANDARD.table(rule.table)))
    named = set(re.findall(r'"([^"]+)"', predicate))
    tables = {rule.table, *(name[:6] for name in named if name[:6] in STANDARD.tables and name.startswith(STANDARD.tables[name[:6]].name))}
    return {table: [element for element in STANDARD.table(table).elements if element in named] for table in sorted(tables)}


@pytest.mark.parametrize("kind", sorted(_RULES))
@settings(max_examples=8, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_both_count_the_same_bad_rows(bench: Bench, kind: str, data: st.DataObject) -> None:
    rule = data.draw(st.sampled_from(_RULES[kind]))
    examples = KINDS[kind].examples(rule, Judged(STANDARD, STANDARD.table(rule.table)))
    every = [*AWKWARD, *examples.good, *examples.bad]
    # A handful of values drawn first, so that keys and dates meet; then every awkward value beside them.
    pool = data.draw(st.lists(st.sampled_from(every) | st.text(max_size=6), min_size=2, max_size=4))
    for table, elements in _tables(rule).items():
        row = st.tuples(*(st.sampled_from(pool) for _ in elements))
        sweep = [
            tuple(value if element == (rule.element or elements[0]) else pool[(number + place) % len(pool)] for place, element in enumerate(elements))
            for number, value in enumerate(every)
        ]
        bench.put(STANDARD.table(table), elements, [*data.draw(st.lists(row, min_size=1, max_size=5)), *sweep])
    ours, theirs = bench.both(rule)
    assert ours == theirs, rule.code


@pytest.mark.parametrize("kind", sorted(_RULES))
def test_examples_pass_and_fail_as_they_say(bench: Bench, kind: str) -> None:
    rules = [rule for rule in _RULES[kind] if rule.element]
    for rule in rules[:: max(1, len(rules) // 3)]:
        table = STANDARD.table(rule.table)
        examples = KINDS[kind].examples(rule, Judged(STANDARD, table))
        for values, wanted in ((examples.good, 0), (examples.bad, len(examples.bad))):
            if not values:
                continue
            bench.put(table, [rule.element or ""], [(value,) for value in values])
            assert bench.both(rule) == (wanted, wanted), rule.code
