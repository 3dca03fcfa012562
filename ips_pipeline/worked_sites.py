"""Worked sites: examples/<name>, each a question, a site with its settings and targets, made-up data, and the figures that answer it.

``example.yaml`` says the question, the months to measure, what is otherwise than in the made-up trusts' variety.yaml, and which figures
its README.md shows. They run through the same stages as a real site.
"""

from __future__ import annotations

import calendar
import shutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from ips_pipeline import flows, settings
from ips_pipeline.errors import InputError, UsageError
from ips_pipeline.settings import Site, near
from ips_pipeline.sources import madeup

_BEGIN, _END = "<!-- figures: written by the run -->", "<!-- end of figures -->"
#: Providers of an example validated in one go; they are small.
_TOGETHER = 10
_HEADINGS = ("Measure", "To the end of", "Level", "Exact", "As released")


@dataclass(frozen=True, slots=True)
class Worked:
    """An example: its name, folder and question, the months it measures, and its scenario and figures as in example.yaml."""

    name: str
    folder: Path
    question: str
    periods: tuple[str, ...]
    seed: int
    data: Mapping[str, Any]
    figures: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to: the site, the lines of its figures (``_HEADINGS``), its release by month, and the months rejected as a file."""

    site: Site
    lines: list[tuple[str, ...]]
    releases: Mapping[str, str]
    rejected: list[dict[str, str]] = field(default_factory=list)


def root() -> Path:
    """The folder of the examples: beside the package in a checkout, inside it when installed. Raises InputError when there is none."""
    package = Path(__file__).resolve().parent
    for folder in (package / "examples", package.parent / "examples"):
        if folder.is_dir():
            return folder
    raise InputError("The folder examples is missing beside the package; install the package again")


def names() -> list[str]:
    """The names of the examples."""
    return sorted(path.parent.name for path in root().glob("*/example.yaml"))


def load(name: str) -> Worked:
    """An example by its name. Raises UsageError when there is none of that name."""
    if name not in names():
        raise UsageError(f"There is no example {name}{near(name, tuple(names()))}; see ips examples list")
    folder = root() / name
    content = yaml.safe_load((folder / "example.yaml").read_text(encoding="utf-8"))
    called = {provider["code"]: provider["name"] for provider in tomllib.loads((folder / "SITE.toml").read_text(encoding="utf-8"))["providers"]}
    content["data"]["trusts"] = [{**trust, "name": called[trust["code"]]} for trust in content["data"]["trusts"]]
    return Worked(name, folder, content["question"], tuple(content["periods"]), content["seed"], content["data"], content["figures"])


def make(worked: Worked, folder: Path) -> Site:
    """The example's site with its made-up systems and records in ``folder``, unless it is there. Raises UsageError for a folder in use."""
    file = folder / "SITE.toml"
    if not file.is_file():
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = madeup.write_site(folder, worked.seed, worked.data, worked.folder / "SITE.toml")
        shutil.copyfile(worked.folder / "targets.csv", folder / "reference" / "targets.csv")
    return settings.load(file)


def run(worked: Worked, folder: Path, progress: flows.Progress = lambda line: None) -> Outcome:
    """Extract, validate and measure the example's months in ``folder``; what it gives is the same each time."""
    progress(f"{worked.name}  making up people and systems")
    site = make(worked, folder)
    since, rejected, releases = worked.data["first_month"], [], {}
    for period in worked.periods:
        summary = flows.run(site, period, since=since, together=_TOGETHER, progress=progress)
        rejected += summary.rejected
        releases[period] = summary.release["release"]
        since = _following(period)
    return Outcome(site, list(_lines(worked, site)), releases, rejected)


def table(lines: Sequence[tuple[str, ...]]) -> str:
    """The figures as a table of Markdown."""
    rows = [_HEADINGS, tuple("---" for _ in _HEADINGS), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def shown(worked: Worked) -> str:
    """The table of figures that the example's README.md shows. Raises InputError when it has no place for it."""
    return _split(worked)[1].strip()


def rewrite(worked: Worked, lines: Sequence[tuple[str, ...]]) -> None:
    """Put the figures of a run into the example's README.md."""
    before, _, after = _split(worked)
    (worked.folder / "README.md").write_text(f"{before}{_BEGIN}\n\n{table(lines)}\n\n{_END}{after}", encoding="utf-8")


def _split(worked: Worked) -> tuple[str, str, str]:
    text = (worked.folder / "README.md").read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    held, end, after = rest.partition(_END)
    if not begin or not end:
        raise InputError(f"{worked.folder / 'README.md'} has no place for figures; write {_BEGIN} and {_END}")
    return before, held, after


def _lines(worked: Worked, site: Site) -> Iterator[tuple[str, ...]]:
    """A line per figure, level and month: the exact value of the restricted zone beside what the release shows."""
    held = {period: _values(site, period) for period in worked.periods}
    for figure in worked.figures:
        for period in worked.periods if figure.get("periods") == "all" else worked.periods[-1:]:
            exact, released = held[period]
            found = [key for key in exact if key[:2] == (figure["measure"], figure["breakdown"])]
            for key in found if "levels" not in figure else [key for key in found if key[2] in figure["levels"]]:
                row = exact[key]
                title = f"{row['measure_name']} ({row['measure_id']})"
                level = row["level_name"] or row["level"] or figure["breakdown"]
                yield title, period, level, _text(row), released.get(key, "not released")


def _values(site: Site, period: str) -> tuple[dict[tuple[str, str, str], dict[str, Any]], dict[tuple[str, str, str], str]]:
    """By measure, breakdown and level, over the longest time that ends with the period: the exact row, and the released text."""
    year, month = map(int, period.split("-"))
    last = date(year, month, calendar.monthrange(year, month)[1])
    held = flows.evidence_in_force(site, period).parent / "exact" / "measures.parquet"
    sides = []
    for path in (held, flows.release(site, period).path / "measures.parquet"):
        values = pq.read_table(path)
        longest: dict[tuple[str, str, str], dict[str, Any]] = {}
        for row in values.filter(pc.equal(values["period_end"], pa.scalar(last))).to_pylist():
            key = (row["measure_id"], row["breakdown"], row["level"] or "")
            wanted = (path != held or row["variant"] == "unsuppressed") and row["disclosure"] != "not evaluated"
            if wanted and (key not in longest or row["period_start"] < longest[key]["period_start"]):
                longest[key] = row
        sides.append(longest)
    return sides[0], {key: _released(row) for key, row in sides[1].items()}


def _released(row: Mapping[str, Any]) -> str:
    return "*" if row["disclosure"] == "suppressed" else _text(row)


def _text(row: Mapping[str, Any]) -> str:
    """A value as a person reads it: per cent, pounds, a whole count; with its interval where it has one, and what it is of."""
    value, kind = row["value"], row["kind"]
    if value is None:
        return "none"
    if kind in ("proportion", "difference"):
        scale, unit, digits = 100.0, "%" if kind == "proportion" else " points", 1
    elif "pence" in row["unit"]:
        return f"£{value / 100:,.0f}"
    else:
        scale, unit, digits = 1.0, "", 0 if kind == "count" else 2 if kind == "ratio" else 1
    text = f"{value * scale:,.{digits}f}{unit}"
    if row["lower"] is not None and row["upper"] is not None and kind != "count":
        text += f" ({row['lower'] * scale:,.{digits}f} to {row['upper'] * scale:,.{digits}f})"
    if kind == "proportion" and row["numerator"] is not None and row["denominator"] is not None:
        text += f", {row['numerator']:,.0f} of {row['denominator']:,.0f}"
    return text


def _following(period: str) -> str:
    year, month = map(int, period.split("-"))
    return f"{year + month // 12}-{month % 12 + 1:02d}"
