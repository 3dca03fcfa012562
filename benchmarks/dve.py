"""The same rows and the same rules judged by NHS England's data-validation-engine and by ``ips validate``.

    python -m benchmarks.dve --people 5000

The engine (release 0.9.0) has requirements that conflict with ours, so it gets an environment of its own beside this file, made
once from ``dve-requirements.txt``. Compared are the rules that both can express, over the four largest tables of a made-up
submission: mandatory elements, length, digits and form, dates and their order, code lists, and the check digit of NHS numbers. The
engine is asked in its own way: a data contract for what concerns one value, and filters for the rest. Both must find the same
failures, row for row. ``ips validate`` judges all its other rules, the cascade and its reports in the same time.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measures import workspace
from benchmarks.validation import generate, run_once, write_reference
from ips_pipeline.mhsds.standard import Field, Rule, Standard, Table, load
from ips_pipeline.quality.findings import period_days
from ips_pipeline.quality.kinds import KINDS, Judged
from ips_pipeline.store import duck

HOME = Path(__file__).parent
ENVIRONMENT = HOME / ".dve"
PERIOD = "2026-08"
TABLES = ("MHS001MPI", "MHS101Referral", "MHS201CareContact", "MHS202CareActivity")

#: Kinds that the engine's data contract decides by the type of the field; of one field it reports one code for a bad value.
TYPES = ("nhs_number", "postcode_format", "date", "length")
#: Kinds that are filters.
FILTERS = ("digits", "in_list", "not_after", "not_before")


def environment() -> Path:
    """The Python of the engine's environment, made when it is not there; ends the program in one line when it cannot be made."""
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / ".installed").exists():
        if sys.version_info >= (3, 13):
            sys.exit("data-validation-engine 0.9.0 needs Python 3.10 to 3.12; run this benchmark with one of them")
        print("Setting up the environment of data-validation-engine, about a minute the first time", file=sys.stderr)
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        made = subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], capture_output=True, check=False)
        install = [
            str(python),
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--retries",
            "1",
            "--no-deps",
            "-r",
            str(HOME / "dve-requirements.txt"),
        ]
        if made.returncode or subprocess.run(install, capture_output=True, check=False).returncode:
            sys.exit("data-validation-engine could not be installed; connect to a Python package registry and run again")
        (ENVIRONMENT / ".installed").touch()
    return python


def shared_rules(standard: Standard, table: Table) -> Iterator[tuple[Field, Rule]]:
    """The rules of a table that both can express, in the published edition."""
    for field in table.fields:
        typed = next((rule for kind in TYPES for rule in field.rules if rule.kind == kind and "published" in rule.levels), None)
        for rule in field.rules:
            if "published" not in rule.levels or (rule.kind == "in_list" and rule.arguments["list"] == "unpublished"):
                continue
            own = "." not in (other := str(rule.arguments.get("other", ""))) or other.startswith("MHS000.ReportingPeriod")
            if rule is typed or rule.kind == "not_blank" or (rule.kind in FILTERS and own):
                yield field, rule


def schema(standard: Standard, table: Table) -> tuple[dict[str, Any], dict[str, Any]]:
    """The engine's configuration of a table, and its codes for what the data contract finds."""
    fields: dict[str, Any] = {field.element: "str" for field in table.fields}
    details: dict[str, dict[str, Any]] = {}
    mandatory, filters = [], []
    for field, rule in shared_rules(standard, table):
        said = {"error_code": rule.code, "error_message": rule.code}
        if rule.kind == "not_blank":
            mandatory.append(field.element)
            details.setdefault(field.element, {})["Blank"] = said
        elif rule.kind in TYPES:
            fields[field.element] = _type(rule)
            details.setdefault(field.element, {})["Bad value"] = said
        else:
            expression = _condition(standard, table, field, rule)
            filters.append({"entity": table.name, "name": rule.code, "expression": expression, "error_code": rule.code, "failure_message": rule.code})
    for field in table.fields:
        unknown = {"error_code": "none", "error_message": "none"}
        details.setdefault(field.element, {})
        details[field.element] = {"Blank": unknown, "Bad value": unknown, "Wrong format": unknown, **details[field.element]}
    reader = {".csv": {"reader": "DuckDBCSVReader", "kwargs": {"header": True, "delim": ","}}}
    dataset = {"fields": fields, "mandatory_fields": mandatory, "reporting_fields": [], "reader_config": reader}
    contract = {"error_details": "details.json", "datasets": {table.name: dataset}}
    return {"contract": contract, "transformations": {"rules": [], "filters": filters}}, details


def _type(rule: Rule) -> Any:
    """The engine's type that fails for the same values."""
    if rule.kind == "nhs_number":
        return "permissivenhsno"
    if rule.kind == "date":
        return {"callable": "conformatteddate", "constraints": {"date_format": "%Y-%m-%d"}}
    if rule.kind == "postcode_format":
        return {"callable": "constr", "constraints": {"regex": r"^[A-Za-z]{1,2}[0-9][A-Za-z0-9]?\s+[0-9][A-Za-z]{2}$"}}
    return {"callable": "constr", "constraints": {"min_length": rule.arguments["min"], "max_length": rule.arguments["max"]}}


def _condition(standard: Standard, table: Table, field: Field, rule: Rule) -> str:
    """What must hold, as SQL over the typed columns; TRUE where there is nothing to judge."""
    column = duck.identifier(field.element)
    if rule.kind in ("not_after", "not_before"):
        first, last = period_days(PERIOD)
        other = str(rule.arguments["other"])
        bound = {"MHS000.ReportingPeriodStartDate": f"DATE '{first}'", "MHS000.ReportingPeriodEndDate": f"DATE '{last}'"}.get(other)
        days, sign = int(rule.arguments.get("days", 0)), "+" if rule.kind == "not_after" else "-"
        return f"coalesce({column} {'<=' if sign == '+' else '>='} {bound or duck.identifier(other)} {sign} {days}, true)"
    return f"NOT {KINDS[rule.kind].bad(rule, Judged(standard, table)).replace('judged.', '')}"


def lay_out(submission: Path, root: Path) -> int:
    """Write what the engine needs for each table; gives the number of rules."""
    standard, count = load(), 0
    for name in TABLES:
        table = standard.table(name)
        config, details = schema(standard, table)
        count += sum(1 for _ in shared_rules(standard, table))
        (root / name / "submitted").mkdir(parents=True)
        (root / name / "dischema.json").write_text(json.dumps(config, indent=1))
        (root / name / "details.json").write_text(json.dumps(details, indent=1))
        source = submission / f"{name}.csv"
        shutil.copy(source, root / name / "submitted" / source.name)
        about = {"dataset_id": name, "file_name": name, "file_extension": "csv", "file_size": source.stat().st_size}
        about["datetime_received"] = "2026-09-05T09:00:00"
        (root / name / "submitted" / f"{name}.metadata.json").write_text(json.dumps(about))
    return count


def spoil_nhs_numbers(path: Path) -> None:
    """Give one NHS number in a thousand a wrong check digit: the made-up submission has none, since one rejects the file."""
    with path.open(encoding="utf-8", newline="") as handle:
        header, *rows = csv.reader(handle)
    place = header.index("NHSNumber")
    for row in rows[7::1000]:
        if row[place]:
            row[place] = row[place][:9] + str((int(row[place][9]) + 1) % 10)
    with path.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows([header, *rows])


Failure = tuple[str, int, str]


def ours(out: Path, codes: set[str]) -> set[Failure]:
    """The failures in ``findings.csv`` of the rules compared."""
    with (out / "findings.csv").open(encoding="utf-8", newline="") as handle:
        return {(line["table"], int(line["row"]), line["code"]) for line in csv.DictReader(handle) if line["code"] in codes}


def theirs(printed: Path) -> set[Failure]:
    """The failures the engine reported."""
    return {(table, row, code) for table, row, code in map(json.loads, printed.read_text(encoding="utf-8").splitlines())}


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare with NHS England's data-validation-engine")
    parser.add_argument("--people", type=int, default=5_000)
    parser.add_argument("--faults", type=int, default=3, help="rows in ten thousand that break a rule, for every rule")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it there")
    given = parser.parse_args()
    python = environment()
    standard = load()
    with workspace(given.keep) as root:
        submission, reference, out, printed = root / "submission", root / "reference", root / "ips", root / "failures.jsonl"
        generate(submission, given.people, faults=given.faults, seed=given.seed)
        spoil_nhs_numbers(submission / "MHS001MPI.csv")
        write_reference(reference)
        for path in submission.iterdir():
            if path.stem not in (*TABLES, "MHS000Header"):
                path.unlink()
        rules = lay_out(submission, root / "dve")
        codes = {rule.code for name in TABLES for _, rule in shared_rules(standard, standard.table(name))}
        rows = sum(len((submission / f"{name}.csv").read_bytes().splitlines()) - 1 for name in TABLES)
        command = [str(Path(sys.executable).with_name("ips")), "validate", str(submission), "--reference", str(reference), "--out", str(out)]
        # Registrations are left out of the comparison, so the file as a whole is rejected.
        own = run_once([*command, "--uploaded", "2026-09-05T09:00:00"], accept=(0, 13))
        # Isolated: beside the runner lies this file, which has the name of the engine's package.
        other = run_once([str(python), "-I", str(HOME / "dve_runner.py"), str(root / "dve")], output=printed)
        found, reported = ours(out, codes), theirs(printed)
    print(f"{rows:,} rows of {len(TABLES)} tables, {rules} rules that both express; load before each {own['load']} and {other['load']}\n")
    print("| engine | rules | failures of the shared rules | wall | processor | memory |\n|---|---|---|---|---|---|")
    every = sum("published" in rule.levels for rule in standard.rules())
    for name, judged, count, run in (
        ("`ips validate`, cascade and all reports", f"{every:,}", len(found), own),
        ("data-validation-engine 0.9.0", str(rules), len(reported), other),
    ):
        print(f"| {name} | {judged} | {count:,} | {run['wall_s']:.1f} s | {run['cpu_s']:.1f} s | {run['rss_mb']:,} MB |")
    if found != reported:
        for title, only in (("only ips", found - reported), ("only data-validation-engine", reported - found)):
            kinds: dict[str, int] = {}
            for _, _, code in only:
                kinds[code] = kinds.get(code, 0) + 1
            print(f"{title}: {len(only):,} {dict(sorted(kinds.items(), key=lambda item: -item[1])[:12])}")
        raise SystemExit("The two differ")
    print("\nThe failures are the same, row for row.")


if __name__ == "__main__":
    main()
