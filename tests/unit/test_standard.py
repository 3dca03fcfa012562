"""The standard as data: complete, consistent with itself, and typed."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from ips_pipeline.mhsds import render, standard
from ips_pipeline.quality.findings import FILE_KINDS, INERT_KINDS
from ips_pipeline.quality.kinds import KINDS, link
from ips_pipeline.store import duck

DOCS = Path(__file__).resolve().parents[2] / "docs"

V6 = standard.load()


def test_it_holds_every_table_field_and_code_of_version_6() -> None:
    assert len(V6.tables) == 61
    assert sum(len(table.fields) for table in V6.tables.values()) == 438
    codes = Counter(rule.code for rule in V6.rules())
    assert len(codes) == 1157
    assert not [code for code, times in codes.items() if times > 1]


def test_every_rule_has_a_kind_that_someone_decides() -> None:
    for rule in V6.rules():
        assert rule.kind in KINDS or rule.kind in FILE_KINDS or rule.kind in INERT_KINDS, rule.code
        assert set(rule.levels) <= {"published", "etos"}


def test_code_lists_named_by_rules_exist_and_have_no_duplicates() -> None:
    for rule in V6.rules():
        if rule.kind == "in_list" and rule.arguments["list"] != "unpublished":
            rows = V6.code_rows(rule.arguments["list"])
            assert rows, rule.code
            assert len({row["code"] for row in rows}) == len(rows), rule.code


def test_other_elements_named_by_rules_exist() -> None:
    for rule in V6.rules():
        named = [*rule.arguments.get("elements", ()), *rule.arguments.get("bad_when", {})]
        for argument in ("other", "key", "scheme", "tool", "blank"):
            if argument in rule.arguments:
                named.append(rule.arguments[argument])
        for name in named:
            table, _, element = name.rpartition(".")
            V6.table(table or rule.table).field(element)


def test_every_comparison_with_another_table_has_a_link_to_it() -> None:
    for rule in V6.rules():
        other = str(rule.arguments.get("other", ""))
        table = other.rpartition(".")[0]
        if rule.kind in ("not_after", "not_before") and table not in ("", "MHS000", rule.table):
            V6.table(table).field(link(V6, V6.table(rule.table), table))


def test_referential_rules_are_all_in_the_order_once() -> None:
    order = V6.referential_order
    assert len(order) == len(set(order))
    assert set(order) == {rule.code for rule in V6.rules() if rule.kind == "parent_exists"}


def test_parents_exist() -> None:
    for table in V6.tables.values():
        for field in table.fields:
            if field.parent:
                parent, _, element = field.parent.partition(".")
                V6.table(parent).field(element)


@pytest.mark.parametrize(
    ("year", "month", "identifier"), [(1900, 4, 1), (2024, 4, 1489), (2025, 9, 1506), (2026, 9, 1518), (2026, 1, 1510), (2026, 12, 1521)]
)
def test_month_ids_count_from_april_1900_and_back(year: int, month: int, identifier: int) -> None:
    assert standard.month_id(year, month) == identifier
    assert standard.month_of(identifier) == (year, month)


@pytest.mark.parametrize(("day", "label"), [(date(2026, 3, 31), "2025/26"), (date(2026, 4, 1), "2026/27"), (date(1999, 12, 1), "1999/00")])
def test_financial_years_start_in_april(day: date, label: str) -> None:
    assert standard.financial_year(day) == label


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(ValueError, match=r"7\.0"):
        standard.load("7.0")


def test_what_is_generated_from_the_standard_is_as_committed() -> None:
    assert (DOCS / "mhsds-v6.sql").read_text(encoding="utf-8") == render.ddl(V6), "make generated"
    assert (DOCS / "mhsds-v6-fields.md").read_text(encoding="utf-8") == render.documentation(V6), "make generated"
    assert (DOCS / "local-ips-records.md").read_text(encoding="utf-8") == render.local_documentation(), "make generated"


def test_the_table_definitions_make_the_tables_of_the_standard() -> None:
    with duck.session() as connection:
        connection.execute(render.ddl(V6))
        made = connection.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal ORDER BY table_name, column_index"
        ).fetchall()
    assert made == [(table.name, element) for table in sorted(V6.tables.values(), key=lambda table: table.name) for element in table.elements]
