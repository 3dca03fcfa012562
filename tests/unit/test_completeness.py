"""Completeness of the fields that matter for IPS: which class each value falls into, and that the submission rules agree."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ips_pipeline.mhsds.standard import load
from ips_pipeline.quality.findings import Portal
from ips_pipeline.quality.kinds import KINDS, Judged
from ips_pipeline.quality.validate import validate
from ips_pipeline.store import completeness, folders, steps
from ips_pipeline.store.duck import identifier, session, text_literal

STANDARD = load()
CLEAN = Path(__file__).parents[1] / "conformance" / "validation" / "clean"
CLASSES = ("valid", "other", "defaulted", "invalid", "missing")


def counted(tmp_path: Path, table: str, header: str, *rows: str) -> dict[str, tuple[int, ...]]:
    """Element -> rows counted, then valid, other, default, invalid, missing, of a table with these lines."""
    folder = tmp_path / "2026-08"
    folder.mkdir(parents=True)
    (folder / f"{table}.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    wanted = completeness.elements()
    with session(read=[tmp_path]) as connection:
        folders.load(connection, [folder], [STANDARD.table(name) for name in wanted], elements=wanted)
        completeness.prepare(connection, STANDARD)
        steps.run(connection, [completeness.STEP], {})
        found = connection.execute("SELECT element, counted, valid, other, defaulted, invalid, missing FROM vodim").fetchall()
    return {element: tuple(counts) for element, *counts in found}


@pytest.mark.parametrize(
    ("table", "element", "values", "expected"),
    [
        # element, the values of four rows -> counted, valid, other, default, invalid, missing
        ("MHS201CareContact", "ConsMechanismMH", ("01", "98", "XX", ""), (4, 1, 1, 0, 1, 1)),
        ("MHS001MPI", "EthnicCategory", ("A", "S", "Z", "99"), (4, 1, 1, 2, 0, 0)),
        ("MHS001MPI", "NHSNumber", ("9990000018", "9990000019", "   ", ""), (4, 1, 0, 0, 1, 2)),
        ("MHS001MPI", "Postcode", ("LS1 1AA", "ZZ99 3VZ", "ZZ99 3WZ", "LS11AA"), (4, 1, 1, 1, 1, 0)),
        ("MHS001MPI", "PersonBirthDate", ("1990-02-28", "1990-02-30", "01/01/1990", ""), (4, 1, 0, 0, 2, 1)),
        ("MHS002GP", "GMPReg", ("A81001", "V81999", "V81997", "A1"), (4, 1, 1, 1, 1, 0)),
        ("MHS202CareActivity", "Procedure", ("1082621000000104", "772822001", "772822000|term|", ""), (4, 1, 0, 0, 2, 1)),
        # A date that is right to be blank counts where it is filled.
        ("MHS101Referral", "ServDischDate", ("2026-08-09", "soon", "", ""), (2, 1, 0, 0, 1, 0)),
    ],
)
def test_a_value_falls_into_one_class(tmp_path: Path, table: str, element: str, values: tuple[str, ...], expected: tuple[int, ...]) -> None:
    key = next(name for name in STANDARD.table(table).elements if name not in (element, ""))
    assert counted(tmp_path, table, f"{key},{element}", *(f"K,{value}" for value in values))[element] == expected


def test_what_belongs_to_a_job_is_counted_where_there_is_one(tmp_path: Path) -> None:
    found = counted(tmp_path, "MHS004EmpStatus", "LocalPatientID,EmployStatus,WeekHoursWorked", "P1,01,02", "P2,01,", "P3,02,", "P4,02,98", "P5,,01")
    assert found["WeekHoursWorked"] == (2, 1, 0, 0, 0, 1)
    assert found["EmployStatus"] == (5, 4, 0, 0, 0, 1)


def test_every_row_is_in_one_class(tmp_path: Path) -> None:
    out = tmp_path / "out"
    validate([CLEAN], tmp_path, [out], [Portal()])
    with (out / "completeness.csv").open(encoding="utf-8", newline="") as handle:
        lines = list(csv.DictReader(handle))
    assert [(line["table"], line["element"]) for line in lines] == [(field.table, field.element) for field in completeness.wanted()]
    for line in lines:
        assert sum(int(line[name]) for name in CLASSES) == int(line["counted"]) > 0, line["element"]
    assert (out / "completeness.csv").stat().st_mode & 0o777 == 0o600


def test_the_fields_and_codes_are_those_of_the_standard() -> None:
    for field in completeness.wanted():
        held = STANDARD.table(field.table).field(field.element)
        assert field.counted in ("all", "filled", "with") and field.why
        assert bool(field.with_element) == (field.counted == "with")
        if field.with_element:
            assert STANDARD.table(field.table).field(field.with_element)
        assert held.name
    with (completeness.STANDARD / "completeness_codes.csv").open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            names = {STANDARD.table(field.table).field(field.element).codes or field.element for field in completeness.wanted()}
            assert row["list"] in names and row["class"] in ("other", "default") and row["meaning"], row
            if row["list"] in {field.codes for table in STANDARD.tables.values() for field in table.fields}:
                assert row["code"] in STANDARD.codes(row["list"]), row


#: Kinds of rule that say how a value is written.
WRITTEN = {"length", "in_list", "date", "nhs_number", "postcode_format", "snomed_expression"}


@pytest.mark.parametrize("field", completeness.wanted(), ids=lambda field: f"{field.table[:6]}.{field.element}")
def test_invalid_is_what_the_submission_rules_call_so(tmp_path: Path, field: completeness.Wanted) -> None:
    """Over the good and bad examples of every rule of the field: a filled value is invalid exactly when a rule about its form fails it."""
    table = STANDARD.table(field.table)
    held = Judged(STANDARD, table)
    rules = [rule for rule in table.field(field.element).rules if rule.kind in WRITTEN]
    examples = [KINDS[rule.kind].examples(rule, held) for rule in rules]
    values = sorted({value for one in examples for value in (*one.good, *one.bad) if value and value.strip()} | {"01", "X", "V81999", "ZZ99 3VZ"})
    bad = " OR ".join(f"({KINDS[rule.kind].bad(rule, held)})" for rule in rules) or "false"
    with session() as connection:
        for name in completeness.elements():
            fields = ", ".join(f"{identifier(element)} VARCHAR" for element in STANDARD.table(name).elements)
            connection.execute(f"CREATE TABLE {identifier(name)} (submission INTEGER, row BIGINT, {fields})")
        companion = f", {identifier(field.with_element)}" if field.with_element else ""
        code = "01" if field.with_group else "2026-08-01"
        for number, value in enumerate(values, 1):
            more = [code] if companion else []
            marks = ", ?" * len(more)
            connection.execute(
                f"INSERT INTO {identifier(field.table)} (submission, row, {identifier(field.element)}{companion}) VALUES (?, 1, ?{marks})",
                [number, value, *more],
            )
        completeness.prepare(connection, STANDARD)
        steps.run(connection, [completeness.STEP], {})
        ours = {
            values[number - 1]
            for (number,) in connection.execute(
                f"SELECT submission FROM vodim WHERE element = {text_literal(field.element)} AND invalid = 1"
            ).fetchall()
        }
        theirs = {
            values[number - 1]
            for (number,) in connection.execute(f"SELECT submission FROM {identifier(field.table)} AS judged WHERE {bad}").fetchall()
        }
    assert ours == theirs
