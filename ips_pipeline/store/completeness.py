"""How completely the fields that matter for IPS are filled (VODIM): what ``sql/quality/vodim.sql`` needs on a connection.

The fields, and the codes that stand for not known or for other, are data of the standard (completeness_fields.csv and
completeness_codes.csv); how a field is written follows from its own rules.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from ips_pipeline.mhsds import formats
from ips_pipeline.mhsds.standard import Field, Standard
from ips_pipeline.store.duck import Connection, create_table, identifier, text_literal
from ips_pipeline.store.groups import STANDARD

STEP = "quality/vodim"

#: Rule kinds of a field that say how its value is written; the first that it has decides.
_FORMATS = {"nhs_number": "nhs number", "postcode_format": "postcode", "snomed_expression": "snomed expression", "date": "date"}


class Wanted(NamedTuple):
    """A field of interest. ``counted`` is ``all`` (every row), ``filled`` (where it is filled) or ``with`` another element of its row."""

    table: str
    element: str
    counted: str
    with_element: str
    with_group: str
    why: str


@cache
def wanted() -> Sequence[Wanted]:
    """The fields of interest, in the order in which they are shown."""
    with (STANDARD / "completeness_fields.csv").open(encoding="utf-8", newline="") as handle:
        return tuple(Wanted(row["table"], *(row[name] for name in Wanted._fields[1:])) for row in csv.DictReader(handle))


def elements() -> dict[str, tuple[str, ...]]:
    """Table name -> the elements that ``prepare`` reads."""
    held: dict[str, dict[str, None]] = {}
    for field in wanted():
        held.setdefault(field.table, {}).update(dict.fromkeys(filter(None, (field.element, field.with_element))))
    return {table: tuple(names) for table, names in held.items()}


def prepare(connection: Connection, standard: Standard, *, macros: bool = True, only: str | None = None) -> None:
    """Make what the SQL reads: ``field_value``, ``completeness_field``, ``completeness_code``, ``completeness_with``.

    The connection holds the tables of the submissions (``submission`` and the elements). ``field_value`` is a view with one row
    per submission, field and value: submission, position of the field, value, with_value (the value of the element it is counted with), rows.
    ``macros`` is False where the format functions are there already. ``only`` names a table (table_name, submission, row) of the rows to look at.
    """
    if macros:
        for macro in formats.MACROS:
            connection.execute(macro)
    fields = [(one, standard.table(one.table).field(one.element)) for one in wanted()]
    bounds = [_bounds(field) for _, field in fields]
    create_table(
        connection,
        "completeness as written",
        {
            "position": [str(place) for place in range(1, len(fields) + 1)],
            "table_name": [one.table for one, _ in fields],
            "element": [one.element for one, _ in fields],
            "format": [_format(field) for _, field in fields],
            "list": [field.codes or one.element for one, field in fields],
            "min_length": [low for low, _ in bounds],
            "max_length": [high for _, high in bounds],
            "scope": [one.counted for one, _ in fields],
            "with_group": [one.with_group or None for one, _ in fields],
        },
    )
    connection.execute(
        "CREATE VIEW completeness_field AS SELECT * REPLACE (CAST(position AS INTEGER) AS position,"
        ' CAST(min_length AS BIGINT) AS min_length, CAST(max_length AS BIGINT) AS max_length) FROM "completeness as written"'
    )
    codes = list(_codes(standard, [field for _, field in fields]))
    create_table(connection, "completeness_code", {name: [code[place] for code in codes] for place, name in enumerate(("list", "code", "class"))})
    companions = list(_companions())
    names = ("table_name", "element", "code")
    create_table(connection, "completeness_with", {name: [item[place] for item in companions] for place, name in enumerate(names)})
    connection.execute("CREATE VIEW field_value AS " + " UNION ALL ".join(_values(table, only) for table in elements()))


def _values(table: str, only: str | None) -> str:
    """SQL for the values of a table's fields and how often each comes in a submission."""
    wanted_rows = (
        f" SEMI JOIN {identifier(only)} AS wanted ON wanted.table_name = {text_literal(table)}"
        " AND wanted.submission = source.submission AND wanted.row = source.row"
        if only
        else ""
    )
    pairs = ", ".join(
        f"{{position: CAST({place} AS SMALLINT), value: {identifier(one.element)},"
        f" with_value: {identifier(one.with_element) if one.with_element else 'CAST(NULL AS VARCHAR)'}}}"
        for place, one in enumerate(wanted(), 1)
        if one.table == table
    )
    # Most values come again and again. Fields go by number, since a long name in each key would cost more than the value.
    return (
        "SELECT submission, held.position, held.value, held.with_value, count(*) AS rows"
        f" FROM (SELECT submission, unnest([{pairs}]) AS held FROM {identifier(table)} AS source{wanted_rows}) GROUP BY ALL"
    )


def _format(field: Field) -> str:
    if field.codes:
        return "code"
    kinds = {rule.kind for rule in field.rules}
    return next((name for kind, name in _FORMATS.items() if kind in kinds), "text")


def _bounds(field: Field) -> tuple[str | None, str | None]:
    """The shortest and longest value by the field's length rule; without one it has no bounds."""
    for rule in field.rules:
        if rule.kind == "length":
            return str(rule.arguments["min"]), str(rule.arguments["max"])
    return None, None


def _codes(standard: Standard, fields: Sequence[Field]) -> Iterator[tuple[str, str, str]]:
    """List, code and class: every code of the lists in use, and what stands for not known or other in fields without a list."""
    with (STANDARD / "completeness_codes.csv").open(encoding="utf-8", newline="") as handle:
        special = {(row["list"], row["code"]): row["class"] for row in csv.DictReader(handle)}
    for name in dict.fromkeys([*(field.codes for field in fields if field.codes), "SnomedAttribute"]):
        for code in standard.codes(name):
            yield name, code, special.pop((name, code), "valid")
    for (name, code), kind in special.items():
        yield name, code, kind


def _companions() -> Iterator[tuple[str, str, str]]:
    """Table, element and the codes of the other element with which the field is counted."""
    with (STANDARD / "groups.csv").open(encoding="utf-8", newline="") as handle:
        groups = [(row["group"], row["list"], row["code"]) for row in csv.DictReader(handle)]
    for one in wanted():
        for code in dict.fromkeys(code for group, name, code in groups if group == one.with_group and name == one.with_element):
            yield one.table, one.element, code
