"""How long validation takes, and how much memory, on made-up submissions of any size; with and without the gate.

    python -m benchmarks.validation --people 25000 50000 100000
    python -m benchmarks.validation --small 1000

A submission of n people has 1.2 n referrals, 6 n care contacts and as many activities, with employment, accommodation, teams,
staff and indirect activity beside them: 0.8 million rows at 50,000 people. Every element with a code list is filled from that list,
and every rule about a value is broken by a few rows in ten thousand, by a value chosen for its kind. ``ips validate`` runs as a
process of its own; its wall time, processor time and largest resident memory are reported, and the load and pace of the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measures import pace, workspace
from ips_pipeline.mhsds.standard import Field, Rule, Standard, Table, load
from ips_pipeline.quality.findings import period_days
from ips_pipeline.store import duck

PERIOD = "2026-08"
PROVIDER = "RXZ"

#: Rows per person of each table; ``n`` numbers them from 0.
ROWS = {
    "MHS001MPI": 1.0,
    "MHS002GP": 1.0,
    "MHS003AccommStatus": 0.2,
    "MHS004EmpStatus": 0.6,
    "MHS101Referral": 1.2,
    "MHS102OtherServiceType": 0.2,
    "MHS201CareContact": 6.0,
    "MHS202CareActivity": 6.0,
    "MHS204IndirectActivity": 0.6,
    "MHS901StaffDetails": 0.004,
    "MHS902ServiceTeamDetails": 0.001,
}

#: What stands in an element, as SQL over ``n``, ``people``, ``h`` (a number from 0 to 9,999 of the row) and the month. Elements of the
#: standard that are not here are filled from their code list, or by their type.
VALUES = {
    "LocalPatientID": "printf('P%08d', CAST(n % people AS BIGINT))",
    "NHSNumber": "number",
    "PersonBirthDate": "CAST(DATE '1945-01-01' + CAST(h * 2 AS INTEGER) AS VARCHAR)",
    "Postcode": "printf('LS%d %dAA', 1 + h % 29, h % 10)",
    "OrgIDEduEstab": "NULL",
    "GMPReg": "printf('A%05d', h % 6500)",
    "StartDateGMPRegistration": "CAST(DATE '2010-01-01' + CAST(h // 4 AS INTEGER) AS VARCHAR)",
    "EndDateGMPRegistration": "NULL",
    "ServiceRequestID": "printf('R%08d', CAST(n % (people * 6 // 5) AS BIGINT))",
    "CareContactID": "printf('C%08d', n)",
    "CareActID": "printf('A%08d', n)",
    "ReferralRequestReceivedDate": "CAST(DATE '2025-06-01' + CAST(h % 420 AS INTEGER) AS VARCHAR)",
    "CareProfTeamLocalID": "printf('T%04d', CAST(n % (1 + people // 1000) AS BIGINT))",
    "OtherCareProfTeamLocalID": "CASE WHEN h % 10 = 0 THEN printf('T%04d', CAST(n % (1 + people // 1000) AS BIGINT)) END",
    "MHS102OtherServiceType.OtherCareProfTeamLocalID": "printf('T%04d', CAST(n % (1 + people // 1000) AS BIGINT))",
    "CareProfLocalID": "printf('S%05d', CAST(n % (1 + people * 4 // 1000) AS BIGINT))",
    "OrgIDComm": "printf('%03dS', h % 106)",
    "OrgIDReferringOrg": "'RXY'",
    "SiteIDOfTreat": "'RXZ01'",
    "Procedure": "concepts[1 + h % len(concepts)]",
    "IndActProcedure": "concepts[1 + h % len(concepts)]",
    "Observation": "concepts[1 + h % len(concepts)]",
    "FindSchemeInUse": "CASE WHEN h % 4 = 0 THEN '01' END",
    "Finding": "CASE WHEN h % 4 = 0 THEN 'F321' END",
    "ClinContDurOfCareCont": "CAST(15 + h % 60 AS VARCHAR)",
    "ClinContactDurOfCareAct": "CAST(15 + h % 60 AS VARCHAR)",
    "DurationIndirectAct": "CAST(15 + h % 60 AS VARCHAR)",
    "OccCode": "'OC1'",
    "CareProfJobRoleCode": "'CA100'",
}

#: Elements that most rows leave blank, as in practice: one row in ten has them.
RARE = (
    "ServDisch",
    "ReferReject",
    "ReferClos",
    "CareContCancel",
    "PersDeath",
    "DischPlan",
    "ReasonPatient",
    "AccommodationTypeEnd",
    "EmployStatusEnd",
)

#: A value that breaks a kind of rule about one value.
FAULTS = {
    "not_blank": "NULL",
    "length": "repeat('X', {longer})",
    "digits": "'1x'",
    "in_list": "'~'",
    "date": "'2026-02-30'",
    "not_after": "'2027-01-01'",
    "not_before": "'1999-12-31'",
    "postcode_format": "'LS11AA'",
    "snomed_expression": "'772822001'",
    "clinical_code": "'F3'",
    "organisation": "'ZZZZZ'",
    "unique": "printf('{letter}%08d', n - 1)",
    "parent_exists": "'NOBODY'",
}


def generate(folder: Path, people: int, *, faults: int, seed: int) -> int:
    """Write one submission of that many people, each rule broken by ``faults`` rows in ten thousand; gives its rows."""
    standard = load()
    folder.mkdir(parents=True)
    first, last = period_days(PERIOD)
    header = {"OrgIDProvider": PROVIDER, "OrgIDSubmit": PROVIDER, "ReportingPeriodStartDate": first, "ReportingPeriodEndDate": last}
    header |= {"DatSetVer": "6.0", "PrimSystemInUse": "BENCH", "DateTimeDatSetCreate": "2026-09-05 08:00:00"}
    (folder / "MHS000Header.csv").write_text(",".join(header) + "\n" + ",".join(header.values()) + "\n", encoding="utf-8")
    written = 0
    with duck.session(write=[folder], memory_limit="2GB") as connection:
        _nhs_numbers(connection, people)
        concepts = ", ".join(duck.text_literal(code) for code in _concepts())
        for name, share in ROWS.items():
            rows = max(1, round(people * share))
            table = standard.table(name)
            columns = ", ".join(f"{_value(standard, table, field, faults)} AS {duck.identifier(field.element)}" for field in table.fields)
            query = f"SELECT {columns} FROM (SELECT n, CAST(hash(n, {seed}, '{name}') % 10000 AS BIGINT) AS h, {people} AS people,"
            query += f" [{concepts}] AS concepts FROM range({rows}) AS numbered(n)) LEFT JOIN nhs_numbers ON place = n ORDER BY n"
            path = (folder / f"{name}.csv").resolve()
            connection.execute(f"COPY ({query}) TO {duck.text_literal(str(path))} (FORMAT csv, HEADER)")
            written += rows
    return written


def _value(standard: Standard, table: Table, field: Field, faults: int) -> str:
    """SQL for an element: its right value, or in a few rows one that breaks a rule."""
    own = VALUES.get(f"{table.name}.{field.element}", VALUES.get(field.element)) or _by_type(standard, field)
    if field.element.startswith(RARE):
        own = f"CASE WHEN h % 10 = 7 THEN {own} END"
    rules = [*field.rules, *(rule for rule in table.rules if field.element in (rule.arguments.get("key"), *rule.arguments.get("elements", ())))]
    wrong = [value for rule in rules if (value := _wrong(rule, field, table))]
    cases = " ".join(f"WHEN {place} THEN {value}" for place, value in enumerate(wrong))
    # A number of the row and the element decides which fault it has, if any.
    drawn = f"hash(n, '{table.name}.{field.element}') % 10000"
    return f"CASE WHEN {drawn} < {faults * len(wrong)} THEN CASE {drawn} // {faults} {cases} END ELSE {own} END" if wrong and faults else own


def _wrong(rule: Rule, field: Field, table: Table) -> str | None:
    """SQL for a value that breaks the rule; None for rules about the file and kinds that one value does not decide."""
    level = rule.levels.get("published")
    if level in (None, "file") or rule.kind not in FAULTS or (rule.kind == "unique" and not field.key):
        return None
    # A wrong NHS number or a patient twice rejects the whole file, which would leave nothing to measure.
    if table.id == "MHS001" and (field.key or (field.element == "NHSNumber" and rule.kind != "not_blank")):
        return None
    letter = {"LocalPatientID": "P", "ServiceRequestID": "R", "CareContactID": "C"}.get(field.element, "A")
    return FAULTS[rule.kind].format(longer=int(rule.arguments.get("max", 0)) + 1, letter=letter)


def _by_type(standard: Standard, field: Field) -> str:
    lists = [rule.arguments["list"] for rule in field.rules if rule.kind == "in_list" and rule.arguments["list"] != "unpublished"]
    if lists:
        codes = list(standard.codes(lists[0]))
        listed = ", ".join(duck.text_literal(code) for code in codes[:40])
        return f"[{listed}][1 + h % {len(codes[:40])}]"
    if field.element.startswith("OrgID"):
        return duck.text_literal(PROVIDER)
    if field.type == "date":
        return f"printf('{PERIOD}-%02d', CAST(1 + h % 28 AS BIGINT))"
    if field.type == "time":
        return "printf('%02d:15:00', CAST(8 + h % 10 AS BIGINT))"
    return duck.text_literal("X" * max(field.min_length or 1, 1))


def _nhs_numbers(connection: duck.Connection, people: int) -> None:
    """``nhs_numbers`` (place from 0, number): as many right numbers of the 999 range as there are people, none twice."""
    weighed = " + ".join(f"{10 - place} * CAST(substr(stem, {place + 1}, 1) AS INTEGER)" for place in range(9))
    connection.execute(
        "CREATE TABLE nhs_numbers AS SELECT row_number() OVER (ORDER BY stem) - 1 AS place, stem || CAST(digit AS VARCHAR) AS number FROM ("
        f"SELECT stem, (11 - ({weighed}) % 11) % 11 AS digit FROM (SELECT printf('999%06d', i) AS stem FROM range(1000000) AS numbers(i)))"
        f" WHERE digit < 10 AND reverse(stem || CAST(digit AS VARCHAR)) <> stem || CAST(digit AS VARCHAR) ORDER BY stem LIMIT {people}"
    )


def _concepts(count: int = 300) -> Iterator[str]:
    """Numbers in the form of SNOMED CT concepts, made up, with the right check digit."""
    permutation = [list(range(10))]
    first = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]
    for _ in range(7):
        permutation.append([first[place] for place in permutation[-1]])
    for number in range(count):
        stem = f"{700000 + number * 977}00"
        check = 0
        for place, digit in enumerate(reversed(stem), 1):
            check = _dihedral(check, permutation[place % 8][int(digit)])
        inverse = check if check >= 5 else (5 - check) % 5
        yield f"{stem}{inverse}"


def _dihedral(one: int, other: int) -> int:
    """The product of two symmetries of a pentagon, 0 to 4 turns and 5 to 9 reflections."""
    turn = (one + other if one < 5 else one - other) % 5
    return turn if (one < 5) == (other < 5) else turn + 5


def write_reference(folder: Path) -> None:
    """The look-up lists at the size of the national ones."""
    folder.mkdir(parents=True)
    with duck.session(write=[folder]) as connection:
        for name, query in {
            "organisations": "SELECT printf('A%05d', n) AS code FROM range(90000) AS t(n) UNION ALL SELECT printf('%03dS', n) FROM range(106) AS t(n)"
            f" UNION ALL SELECT unnest(['{PROVIDER}', 'RXY', 'RXZ01'])",
            "schools": "SELECT printf('E%06d', n) AS code FROM range(50000) AS t(n)",
            "postcodes": "SELECT printf('LS%d %d%s', 1 + n // 4000 % 100, n % 10, chr(CAST(65 + n // 10 % 20 AS INTEGER))"
            " || chr(CAST(65 + n // 200 % 20 AS INTEGER))) AS code FROM range(1700000) AS t(n)",
        }.items():
            path = (folder / f"{name}.csv").resolve()
            dated = f"SELECT code, '2000-01-01' AS live_from, CAST(NULL AS VARCHAR) AS live_to FROM ({query})"
            connection.execute(f"COPY ({dated}) TO {duck.text_literal(str(path))} (FORMAT csv, HEADER)")


def run_once(command: list[str], *, accept: tuple[int, ...] = (0,), output: Path | None = None) -> dict[str, float]:
    """Run a command as a process; seconds of wall and processor time, largest resident memory in MB, and the load and pace before it.

    What it prints goes to ``output``, or nowhere. A process in between has the command for its only child, so that the figures are its own.
    """
    load_before, speed = os.getloadavg()[0], pace()
    script = "import resource, subprocess, sys; code = subprocess.run(sys.argv[2:], stdout=open(sys.argv[1], 'wb')).returncode;"
    script += " used = resource.getrusage(resource.RUSAGE_CHILDREN); print(code, used.ru_utime + used.ru_stime, used.ru_maxrss)"
    between = [sys.executable, "-c", script, str(output or os.devnull), *command]
    start = time.perf_counter()
    printed = subprocess.run(between, check=True, capture_output=True, text=True)
    wall = time.perf_counter() - start
    code, seconds, memory = printed.stdout.split()
    if int(code) not in accept:
        raise SystemExit(f"{Path(command[0]).name} ended with exit code {code}: {printed.stderr.strip()[-500:]}")
    return {
        "wall_s": round(wall, 2),
        "cpu_s": round(float(seconds), 2),
        "rss_mb": int(memory) // 1024,
        "load": round(load_before, 1),
        "pace_s": speed,
    }


def validate_once(submissions: list[Path], reference: Path, root: Path, *, gate: bool, worklist: bool) -> dict[str, float]:
    """``ips validate`` over the submissions, as a process of its own."""
    with TemporaryDirectory(dir=root) as out:
        command = [str(Path(sys.executable).with_name("ips")), "validate", *map(str, submissions), "--reference", str(reference), "--out", out]
        options = ["--uploaded", "2026-09-05T09:00:00", "--worklist" if worklist else "--no-worklist", *(["--gate"] if gate else [])]
        return run_once([*command, *options])


def main() -> None:
    parser = argparse.ArgumentParser(description="Time validation on made-up submissions")
    parser.add_argument("--people", type=int, nargs="*", default=[50_000], help="one submission of each of these sizes")
    parser.add_argument("--small", type=int, default=0, help="this many submissions of 20 people in one call, instead")
    parser.add_argument("--faults", type=int, default=3, help="rows in ten thousand that break a rule, for every rule")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-gate", action="store_true")
    parser.add_argument("--worklist", action="store_true", help="write the workbook too, whose time follows the number of findings")
    parser.add_argument("--keep", type=Path, help="generate into this folder, or use what is there")
    given = parser.parse_args()
    with workspace(given.keep) as root:
        reference = root / "reference"
        if not reference.exists():
            write_reference(reference)
        for title, submissions in _inputs(root, given):
            print(title, flush=True)
            best = {}
            for gate in (False,) if given.no_gate else (False, True):
                runs = [validate_once(submissions, reference, root, gate=gate, worklist=given.worklist) for _ in range(given.repeat)]
                for run in runs:
                    print("   ", "with the gate   " if gate else "without the gate", json.dumps(run), flush=True)
                best[gate] = min(run["cpu_s"] for run in runs)
            if True in best:
                print(f"    the gate is {100 * (best[True] - best[False]) / best[True]:.0f}% of the processor time", flush=True)


def _inputs(root: Path, given: argparse.Namespace) -> Iterator[tuple[str, list[Path]]]:
    """What to validate in one call each, made where it is not there yet."""
    if given.small:
        folder = root / "small"
        if not folder.exists():
            # Twenty different ones, in turn.
            for number in range(given.small):
                if number < 20:
                    generate(folder / f"S{number:05d}", 20, faults=given.faults * 10, seed=given.seed + number)
                else:
                    shutil.copytree(folder / f"S{number % 20:05d}", folder / f"S{number:05d}")
        yield f"{given.small:,} submissions of 20 people", sorted(folder.iterdir())
        return
    for people in given.people:
        folder = root / f"people-{people}"
        if not folder.exists():
            generate(folder, people, faults=given.faults, seed=given.seed)
        size = sum(path.stat().st_size for path in folder.iterdir())
        yield f"{people:,} people, {size / 1e6:,.0f} MB of CSV", [folder]


if __name__ == "__main__":
    main()
