"""Every edit of the clean submission gives exactly the codes per row, and the rejected rows, that NHS England's published rules give.

All cases are judged on the full file. Row numbers of the cases are those of the clean file; ``rows`` follows them through the edits.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ips_pipeline.mhsds.standard import load
from ips_pipeline.quality.findings import Portal
from ips_pipeline.quality.validate import validate

CASES = Path(__file__).parent / "validation"
BATCH = 100

#: Here the published rules were run on some patients only, and what the edit breaks reaches all of them: every row is compared with
#: the header, and one member of staff serves several patients.
RUN_ON_SOME_PATIENTS = frozenset(
    {
        "CASC.header-wrong-month",
        "MHS00018.p",
        "MHS00019.p",
        "MHS00029.p",
        "MHS00029.v",
        "MHS00030.p",
        "MHS90113.k",
    }
)

Row = tuple[str, int]


@cache
def cases() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    edits, expected = (_lines(CASES / f"{name}.jsonl.gz") for name in ("mutations", "expected"))
    outcomes = {outcome["case"]: outcome for outcome in expected}
    return [(case, outcomes[case["case"]]) for case in edits]


def _lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        return [json.loads(line) for line in handle]


@cache
def clean(table: str) -> tuple[list[str], list[list[str]]]:
    with (CASES / "clean" / f"{table}.csv").open(encoding="utf-8", newline="") as handle:
        header, *rows = csv.reader(handle)
    return header, rows


def edited(table: str, edits: list[dict[str, str]]) -> list[tuple[str, list[str]]]:
    """The rows of the table after the edits, each with its id: the row number in the clean file, or the name of a copy."""
    header, submitted = clean(table)
    rows = [(str(number), list(row)) for number, row in enumerate(submitted, 1)]
    for edit in edits:
        if edit["op"] == "clear":
            rows = []
        elif edit["op"] == "del":
            rows = [row for row in rows if row[0] != edit["r"]]
        elif edit["op"] == "set":
            next(row for name, row in rows if name == edit["r"])[header.index(edit["f"])] = edit["v"]
        else:
            assert edit["op"] == "copy", edit["op"]
            copy = list(next(row for name, row in rows if name == edit["r"]))
            for element, value in dict(edit.get("set", {})).items():
                copy[header.index(element)] = value
            rows.append((edit["as"], copy))
    return rows


def build(folder: Path, case: dict[str, Any], originals: Path) -> dict[str, list[str]]:
    """Write the case's submission: edited tables anew, the others as links. Gives the row ids of the edited tables in order."""
    folder.mkdir(parents=True)
    by_table: dict[str, list[dict[str, str]]] = defaultdict(list)
    for edit in case["edits"]:
        by_table[edit["t"]].append(edit)
    for original in originals.iterdir():
        if original.stem not in by_table:
            os.link(original, folder / original.name)
    ids = {}
    for table, edits in by_table.items():
        rows = edited(table, edits)
        with (folder / f"{table}.csv").open("w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(clean(table)[0])
            writer.writerows(row for _, row in rows)
        ids[table] = [name for name, _ in rows]
    return ids


def outcome_of(out: Path) -> tuple[dict[Row, set[str]], set[Row]]:
    """Codes per row, and rejected rows, without what is said about the file itself."""
    fired: dict[Row, set[str]] = defaultdict(set)
    with (out / "findings.csv").open(encoding="utf-8", newline="") as handle:
        for line in csv.DictReader(handle):
            if line["row"] != "0":
                fired[line["table"], int(line["row"])].add(line["code"])
    with (out / "rejected_rows.csv").open(encoding="utf-8", newline="") as handle:
        return dict(fired), {(line["table"], int(line["row"])) for line in csv.DictReader(handle)}


def expected_of(outcome: dict[str, Any], ids: dict[str, list[str]]) -> tuple[dict[Row, set[str]], set[Row]]:
    def row(table: str, name: str) -> Row:
        return table, ids[table].index(name) + 1 if table in ids else int(name)

    fired = {row(table, name): set(codes) for table, name, codes in outcome["fired"]}
    return fired, {row(table, name) for table, names in outcome["rejected"].items() for name in names}


@pytest.mark.parametrize("start", range(0, len(cases()), BATCH))
def test_every_case(start: int, tmp_path: Path) -> None:
    originals = tmp_path / "clean"
    shutil.copytree(CASES / "clean", originals)
    about = json.loads((CASES / "metadata.json").read_text(encoding="utf-8"))
    portal = Portal(
        provider=about["ProviderId"],
        submitter=about["SenderId"],
        period_start=about["ReportingPeriodStart"],
        period_end=about["ReportingPeriodEnd"],
        uploaded=about["SubmittedTimestamp"],
    )
    chosen = cases()[start : start + BATCH]
    folders = [tmp_path / "in" / case["case"] for case, _ in chosen]
    outs = [tmp_path / "out" / case["case"] for case, _ in chosen]
    ids = [build(folder, case, originals) for folder, (case, _) in zip(folders, chosen, strict=True)]
    validate(folders, CASES / "reference", outs, [portal] * len(chosen))

    wrong = {}
    for (case, outcome), folder, out, names in zip(chosen, folders, outs, ids, strict=True):
        found, expected = outcome_of(out), expected_of(outcome, names)
        if case["case"] in RUN_ON_SOME_PATIENTS:
            found = for_the_patients_of(expected, found, folder)
        if found != expected:
            missing = {row: codes - found[0].get(row, set()) for row, codes in expected[0].items() if codes - found[0].get(row, set())}
            extra = {row: codes - expected[0].get(row, set()) for row, codes in found[0].items() if codes - expected[0].get(row, set())}
            wrong[case["case"]] = (missing, extra, found[1] ^ expected[1])
    assert wrong == {}


Outcome = tuple[dict[Row, set[str]], set[Row]]


def for_the_patients_of(expected: Outcome, found: Outcome, folder: Path) -> Outcome:
    """What was found, without the rows of patients of whom nothing was expected, where only codes appear that were expected of others."""
    owner = patients(folder)
    judged = {owner.get(row) for row in expected[0]}
    faults = {(table, code) for (table, _), codes in expected[0].items() for code in codes}
    left_out = {
        row
        for row, codes in found[0].items()
        if row not in expected[0] and owner.get(row) not in judged and {(row[0], code) for code in codes} <= faults
    }
    return {row: codes for row, codes in found[0].items() if row not in left_out}, found[1] - left_out


def patients(folder: Path) -> dict[Row, str]:
    """The patient behind every row that has one, through the keys by which the tables hang together."""
    owner: dict[Row, str] = {}
    by_key: dict[tuple[str, str], str] = {}
    for table in load().tables.values():
        path = folder / f"{table.name}.csv"
        if not path.is_file():
            continue
        # A team or a member of staff serves many patients; its key leads to none of them.
        links = [field for field in table.fields if field.parent and not field.parent.startswith(("MHS102", "MHS9"))]
        with path.open(encoding="utf-8", newline="") as handle:
            for number, row in enumerate(csv.DictReader(handle), 1):
                known = [row["LocalPatientID"]] if "LocalPatientID" in row else []
                known += [by_key[str(field.parent), row[field.element]] for field in links if (str(field.parent), row[field.element]) in by_key]
                if known and known[0]:
                    owner[table.name, number] = known[0]
                    by_key.update({(f"{table.id}.{field.element}", row[field.element]): known[0] for field in table.fields if field.key})
    return owner
