"""The checks beyond the portal: every example of every check is executed, and what they find is named by table, row and month."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ips_pipeline.mhsds.standard import load, month_id, month_of
from ips_pipeline.quality import checks
from ips_pipeline.quality.findings import Portal, period_days
from ips_pipeline.quality.local_checks import LocalCheck
from ips_pipeline.quality.validate import validate

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


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool, int], Path]:
    """All examples, judged in one go as a batch is."""
    outs = check(tmp_path_factory.mktemp("examples"), [example(edits, max(CHECKS[code].at_least, 1)) for code, _, _, edits in EXAMPLES])
    return {(code, passes, number): out for (code, passes, number, _), out in zip(EXAMPLES, outs, strict=True)}


@pytest.mark.parametrize(
    ("code", "passes", "number"), [item[:3] for item in EXAMPLES], ids=[f"{c}-{'good' if p else 'bad'}-{n}" for c, p, n, _ in EXAMPLES]
)
def test_every_example(code: str, passes: bool, number: int, outcomes: dict[tuple[str, bool, int], Path]) -> None:
    out = outcomes[code, passes, number]
    assert code not in state(out)["not_evaluated"]
    fired = {line[0] for line in found(out)}
    assert (code in fired) is not passes, sorted(fired)
