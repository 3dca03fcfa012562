"""The checks beyond the portal: every example of every check is executed, and what they find is named by table, row and month."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ips_pipeline.measures import registry as measures
from ips_pipeline.mhsds.standard import Rule, load, month_id, month_of
from ips_pipeline.quality import checks, rulebook
from ips_pipeline.quality.checks import LocalCheck
from ips_pipeline.quality.findings import Portal, period_days
from ips_pipeline.quality.validate import validate
from ips_pipeline.store import steps

REGISTRY = checks.registry()
CHECKS = {check.code: check for check in REGISTRY.checks}
MONTH = "2026-08"

Row = Mapping[str, str | None]
Tables = Mapping[str, Sequence[Row]]

#: What the earlier months of an example do not have unless it says so: contacts happen once.
ONCE = ("MHS201CareContact", "MHS202CareActivity")

REFERENCE = {
    "postcodes": "Postcode,LSOA2011,LADistrictAuth,SubICB\nLS1 1AA,E01000001,E08000035,11M\nCF10 1AA,W01000001,W06000015,7A4\n",
    "gp_practices": "GMPReg,SubICB\nA81001,11M\nA81999,99Z\n",
    "geography": "SubICB,SubICBName,SubICB_ONS,ICB,ICBName,Region,RegionName\n11M,Somewhere,E38000001,QA1,Some ICB,Y01,Some region\n",
}


def before(months: int) -> str:
    """The month so many before the example's."""
    return "{:04d}-{:02d}".format(*month_of(month_id(int(MONTH[:4]), int(MONTH[5:])) - months))


def edited(edits: Mapping[str, Any], period: str) -> Tables:
    """The example month after its edits, as the registry describes them."""
    tables: dict[str, Sequence[Row]] = dict(REGISTRY.example)
    if period != MONTH:
        tables.update(dict.fromkeys(ONCE, ()))
    start, end = period_days(period)
    tables["MHS000Header"] = [{**tables["MHS000Header"][0], "ReportingPeriodStartDate": start, "ReportingPeriodEndDate": end}]
    for name, edit in edits.items():
        clean: Row = REGISTRY.example[name][0] if name in REGISTRY.example else {}
        if isinstance(edit, int):
            keys = [field.element for field in load().table(name).fields if field.key]
            tables[name] = [{**clean, **dict.fromkeys(keys, f"X{number}")} for number in range(edit)]
        elif isinstance(edit, list):
            tables[name] = [{**clean, **row} for row in edit]
        else:
            tables[name] = [{**clean, **edit}]
    return tables


def written(folder: Path, tables: Tables) -> Path:
    folder.mkdir(parents=True)
    for name, rows in tables.items():
        columns = list(dict.fromkeys(column for row in rows for column in row)) or list(load().table(name).elements)
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return folder


@cache
def reference(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in REFERENCE.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


def check(
    home: Path, months: Sequence[tuple[Tables, Mapping[str, Tables] | None]], local: Sequence[LocalCheck] = (), given: Path | None = None
) -> list[Path]:
    """Validate several example months, each of a provider of its own with its earlier months; gives the output folders."""
    folders, outs, history = [], [], {}
    for number, (tables, earlier) in enumerate(months, 1):
        provider = f"R{number:03d}"
        folders.append(written(home / "sent" / provider / MONTH, tables))
        outs.append(home / "out" / provider)
        for period, content in (earlier or {}).items():
            history[provider, period] = written(home / "sent" / provider / period, content)
    portals = [Portal(provider=out.name, uploaded="2026-09-12T09:00:00") for out in outs]
    known = history if any(earlier is not None for _, earlier in months) else None
    validate(folders, given or reference(home / "reference"), outs, portals, history=known, local=local)
    return outs


def found(out: Path) -> list[tuple[str, str, int, str]]:
    with (out / "checks.csv").open(encoding="utf-8", newline="") as handle:
        return [(line["code"], line["table"], int(line["row"]), line["month"]) for line in csv.DictReader(handle)]


def state(out: Path) -> dict[str, dict[str, Any]]:
    content: dict[str, dict[str, Any]] = json.loads((out / "checks.json").read_text(encoding="utf-8"))
    return content


def example(edits: Mapping[str, Any], months: int) -> tuple[Tables, Mapping[str, Tables]]:
    """An example's month, and so many months before it."""
    earlier = edits.get("earlier", {})
    own = {name: edit for name, edit in edits.items() if name != "earlier"}
    return edited(own, MONTH), {before(number): edited(earlier, before(number)) for number in range(1, months + 1)}


EXAMPLES = [
    (item.code, passes, number, edits)
    for item in REGISTRY.checks
    for passes, held in ((True, item.good), (False, item.bad))
    for number, edits in enumerate(held, 1)
]


#: Every value of this month is a planted one, but the codes that make it IPS.
PLANTED: Tables = {
    "MHS001MPI": [{"LocalPatientID": "CANARY1", "NHSNumber": "9999900003", "Postcode": "CN1 1RY"}] * 2,
    "MHS002GP": [{"LocalPatientID": "CANARY1", "GMPReg": "CAN001"}],
    "MHS004EmpStatus": [{"LocalPatientID": "CANARY1", "EmployStatus": "CN"}],
    "MHS101Referral": [{"ServiceRequestID": "CANARYREF", "LocalPatientID": "CANARY1", "CareProfTeamLocalID": "T1"}],
    "MHS201CareContact": [{"CareContactID": "CANARYCON", "ServiceRequestID": "CANARYREF", "ConsMechanismMH": "CN", "AttendStatus": "5"}],
    "MHS202CareActivity": [{"CareContactID": "CANARYCON", "Procedure": "772822000|CANARY term|"}],
}

#: The month and the months before it, of the tests below that need their own.
STORIES: Mapping[str, tuple[Tables, Mapping[str, Tables]]] = {
    "clean year": example({}, 12),
    "team unknown, referral vanished": (
        edited({"MHS101Referral": {"CareProfTeamLocalID": "T9"}}, MONTH),
        {
            "2026-07": edited(
                {"MHS101Referral": [{}, {"ServiceRequestID": "R2"}], "MHS001MPI": [{}, {"LocalPatientID": "P7", "NHSNumber": None}]}, "2026-07"
            )
        },
    ),
    "gaps": (edited({}, MONTH), {before(number): edited({}, before(number)) for number in (2, 3, 13)}),
    "same number": (
        edited({}, MONTH),
        {"2026-07": edited({"MHS001MPI": {"LocalPatientID": "P9", "NHSNumber": None}, "MHS101Referral": {"LocalPatientID": "P9"}}, "2026-07")},
    ),
    "no header": ({**edited({}, MONTH), "MHS000Header": []}, {}),
    "planted": ({**edited({}, MONTH), **PLANTED}, {"2026-07": {**edited({}, "2026-07"), **PLANTED}}),
}


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """All examples and stories, judged in one go as a batch is: first the examples, then the stories, in their order."""
    months = [example(edits, max(CHECKS[code].at_least, 1)) for code, _, _, edits in EXAMPLES]
    return check(tmp_path_factory.mktemp("examples"), [*months, *STORIES.values()])


@pytest.fixture(scope="module")
def stories(batch: list[Path]) -> dict[str, Path]:
    return dict(zip(STORIES, batch[len(EXAMPLES) :], strict=True))


@pytest.mark.parametrize("number", range(len(EXAMPLES)), ids=[f"{c}-{'good' if p else 'bad'}-{n}" for c, p, n, _ in EXAMPLES])
def test_every_example(number: int, batch: list[Path]) -> None:
    code, passes, _, _ = EXAMPLES[number]
    assert code not in state(batch[number])["not_evaluated"]
    fired = {line[0] for line in found(batch[number])}
    assert (code in fired) is not passes, sorted(fired)


def test_a_clean_month_with_a_clean_year_behind_it_has_no_finding(stories: dict[str, Path]) -> None:
    out = stories["clean year"]
    assert found(out) == []
    assert state(out) == {"counts": dict.fromkeys(CHECKS, 0), "not_evaluated": {}}


def test_a_finding_names_the_row_and_the_month_of_the_file_that_holds_it(stories: dict[str, Path]) -> None:
    """The second referral of the month before has vanished, and the first has changed its team to one nobody describes."""
    out = stories["team unknown, referral vanished"]
    assert found(out) == [
        ("IPS-001", "MHS101Referral", 1, "2026-08"),
        ("IPS-006", "MHS101Referral", 1, "2026-08"),
        ("IPS-007", "MHS101Referral", 1, "2026-08"),
        ("IPS-035", "MHS101Referral", 2, "2026-07"),
    ]
    assert (out / "checks.csv").stat().st_mode & 0o777 == 0o600
    assert (out / "checks.json").stat().st_mode & 0o777 == 0o600


def test_without_history_or_reference_files_checks_are_not_evaluated_rather_than_passed(tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "postcodes.csv").write_text("code,live_from,live_to\nLS1 1AA,,\n")
    (out,) = check(tmp_path, [(edited({}, MONTH), None)], given=lists)
    compared = {item.code for item in REGISTRY.checks if item.at_least}
    held = state(out)
    assert held["not_evaluated"] == {
        **dict.fromkeys(compared, "no earlier months were given"),
        **dict.fromkeys(("IPS-040", "IPS-041"), "postcodes.csv with Postcode and LADistrictAuth is not in the reference folder"),
        "IPS-042": "gp_practices.csv with GMPReg and SubICB is not in the reference folder",
    }
    assert compared
    assert not held["not_evaluated"].keys() & held["counts"].keys()


def test_each_check_says_how_much_history_it_lacks(stories: dict[str, Path]) -> None:
    held = state(stories["gaps"])["not_evaluated"]
    assert held == {
        "IPS-035": "needs the month before, and none of this provider is at hand",
        "IPS-037": "needs 4 of the 12 months before, and only 2 of this provider is at hand",
        "IPS-038": "needs 4 of the 12 months before, and only 2 of this provider is at hand",
        "IPS-039": "needs 4 of the 12 months before, and only 2 of this provider is at hand",
    }


def test_the_history_of_one_provider_is_not_that_of_another(stories: dict[str, Path]) -> None:
    """In July R1 was P1 at one provider and P9 at the other: only the other has given its number to somebody else."""
    assert found(stories["clean year"]) == []
    assert "IPS-030" in {line[0] for line in found(stories["same number"])}


def test_a_file_that_does_not_say_its_month_is_not_checked(stories: dict[str, Path]) -> None:
    out = stories["no header"]
    assert found(out) == []
    assert state(out)["counts"] == {}
    assert set(state(out)["not_evaluated"].values()) == {"the header does not say whose file it is, or for which month"}


def test_the_official_verdict_is_the_same_with_and_without_findings_of_ours(tmp_path: Path) -> None:
    """A local check that every row fails, and history, leave every official file byte for byte as it was."""
    tables = edited({"MHS201CareContact": {"ConsMechanismMH": "98"}}, MONTH)
    every = LocalCheck(Rule("LOCAL-001", "MHS101", None, "single_row", {}, {}), Path("own.yaml"), "note", "One is enough.", "", "", ())
    twice = {**tables, "MHS101Referral": [*tables["MHS101Referral"], {**tables["MHS101Referral"][0], "ServiceRequestID": "R2"}]}
    (plain,) = check(tmp_path / "a", [(twice, None)])
    (full,) = check(tmp_path / "b", [(twice, {"2026-07": edited({}, "2026-07")})], [every])
    assert ("LOCAL-001", "MHS101Referral", 1, "2026-08") in found(full)
    official = sorted(path.name for path in plain.iterdir() if not path.name.startswith("checks."))
    assert {"findings.csv", "rejected_rows.csv", "validations.csv", "data_quality.csv", "diagnostics.csv", "aggregation.csv"} <= set(official)
    assert [(plain / name).read_bytes() for name in official] == [(full / name).read_bytes() for name in official]


def test_no_value_of_a_row_is_written(stories: dict[str, Path]) -> None:
    out = stories["planted"]
    assert len(found(out)) >= 6
    for name in ("checks.csv", "checks.json"):
        text = (out / name).read_text(encoding="utf-8")
        assert not [value for value in ("CANARY", "9999900003", "CN1 1RY", "CAN001", "CN") if value in text], name


def test_the_registry_is_whole() -> None:
    known = {measure.id for measure in measures.load().measures}
    files = {path.stem for path in (steps.root() / "checks").glob("*.sql")}
    assert [item.code for item in REGISTRY.checks] == [f"IPS-{number:03d}" for number in range(1, len(REGISTRY.checks) + 1)]
    assert files == {step.removeprefix("checks/") for step in (*checks.SHARED, *(item.step for item in REGISTRY.checks))}
    for item in REGISTRY.checks:
        assert set(item.endangers) <= known, item.code
        assert item.endangers and item.good and item.bad, item.code
        assert item.title.endswith(".") and item.why.endswith(".") and item.mend.endswith("."), item.code
        assert item.at_least <= item.months <= checks.HISTORY_MONTHS
        table = load().table(item.table)
        assert table.name == item.table
        assert not item.element or item.element in table.elements, item.code
    for name, elements in checks.ELEMENTS.items():
        assert set(elements) <= set(load().table(name).elements)


def test_no_check_repeats_another() -> None:
    """Two checks with one statement would tell a person the same thing twice."""
    bodies = [re.sub(r"--[^\n]*\n", "", steps.text(item.step)) for item in REGISTRY.checks]
    assert len(set(bodies)) == len(bodies)


def test_every_check_has_a_page() -> None:
    for item in REGISTRY.checks:
        page = rulebook.page(item.code.lower())
        assert page.startswith(f"{item.code}  {item.title}")
        for heading in ("Table: ", "Level: check beyond the portal", "Why it matters", "How to fix it at source", "What it endangers", "Good", "Bad"):
            assert heading in page, (item.code, heading)
    assert [row[0] for row in rulebook.checks_catalogue()] == list(CHECKS)
    assert not {line.code for line in rulebook.coverage()} & CHECKS.keys(), "the coverage is about official codes only"
