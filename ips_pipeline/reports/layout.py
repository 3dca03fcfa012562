"""What stands on each page of a release: the plan in ``site.yaml``, carried out with the figures that the release holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from ips_pipeline.reports import blocks, pages, plots
from ips_pipeline.reports.blocks import Block, Section, Target
from ips_pipeline.reports.figures import ALL, Figure, Figures

Plan = Mapping[str, Any]

_WHOLE_TARGETS = "England or all submissions"
#: The site's own target first, then that of the nation, with what they are called.
_WHOLE_LEVELS = (("All submissions", "The site’s own target"), ("England", "The national target"))
#: Breakdowns of MHS116 whose levels are places.
_PLACES = ("Provider", "Sub ICB of GP Practice or Residence")
_UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Site:
    """What all pages of a release share: the plan, the figures, the headline, the page of each provider, and what things are called.

    ``references`` is the group that others are compared with, by measure and breakdown.
    """

    plan: Plan
    figures: Figures
    headline: Figure
    links: Mapping[str, str]
    titles: Mapping[str, str]
    families: Mapping[str, str]
    references: Mapping[tuple[str, str], str]

    @property
    def whole(self) -> str:
        """What the whole is called: a national body’s whole is England, anybody else’s is what was sent."""
        return "England" if self.headline.variant == "published" else "All providers"

    def title(self, measure: str) -> str:
        """The title of a measure of the release."""
        return self.titles.get(measure, measure)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a page is of: the whole, or one provider beside it."""

    code: str | None
    name: str

    @property
    def breakdown(self) -> str:
        """The breakdown that its figures are by."""
        return ALL if self.code is None else "Provider"

    @property
    def level(self) -> str:
        """Its level of that breakdown."""
        return self.code or ALL


@cache
def load() -> Plan:
    """The plan of the site."""
    held: Plan = yaml.safe_load(files(__package__).joinpath("site.yaml").read_text(encoding="utf-8"))
    return held


def sections(site: Site, subject: Subject, part: str) -> list[Section]:
    """The sections of a part of the plan that have something to say of the whole or of a provider."""
    said = []
    for planned in site.plan[part]:
        if planned.get("of") == ("whole" if subject.code else "provider"):
            continue
        made = [(block.get("id", ""), _BLOCKS[block["kind"]](site, subject, block)) for block in planned["blocks"]]
        held = tuple(block for _, found in made for block in found)
        absent = planned.get("absent", {})
        notes = tuple(absent[name] for name, found in made if name in absent and not found)
        lead = planned.get("lead", "") if held else ""
        if "verdict" in planned:
            lead = _verdict(site, subject, planned["verdict"])
        more = planned.get("more")
        if held or notes:
            link = (more["file"], more["text"]) if more else None
            said.append(Section(planned["id"], planned["title"], held, lead, planned.get("sheet", 0), link, notes, planned.get("across", 2)))
    return said


def standing(site: Site, subject: Subject) -> list[Target]:
    """The targets of a provider, or of the whole: the site's own before that of the nation."""
    if subject.code is not None:
        return _target_rows(site, "Provider", subject.code, subject.name)
    return [row for level, label in _WHOLE_LEVELS for row in _target_rows(site, _WHOLE_TARGETS, level, label)]


def _target_rows(site: Site, breakdown: str, level: str, label: str) -> list[Target]:
    rows = []
    for planned in site.plan["targets"]:
        figure, line, needed = (site.figures.one(planned[key], breakdown, level) if key in planned else None for key in ("target", "line", "needed"))
        if figure is None or figure.mark == "unknown":
            continue
        line = None if line is None or line.mark == "unknown" else line
        numbers = (figure.numerator, figure.denominator, line.denominator if line else None)
        scale = plots.linear([number for number in numbers if number is not None])
        rows.append(Target(label, planned["of"], figure, line, needed, *(None if number is None else scale.at(number) for number in numbers)))
    return rows


def _verdict(site: Site, subject: Subject, wanted: Mapping[str, str]) -> str:
    """Where a provider stands among all: within the outer funnel limits or outside them."""
    said = []
    for measure, what in wanted.items():
        figure = site.figures.one(measure, subject.breakdown, subject.level)
        if figure is not None and figure.number is not None and figure.limit_lower_998 is not None:
            said.append(f"{what} {f'is {figure.outside}' if figure.outside else 'lies within'} the limits")
    if not said:
        return ""
    return f"{blocks.sentence(' and '.join(said))} that chance alone would leave 998 of 1,000 providers of this size within."


def _beside(site: Site, subject: Subject, measures: Sequence[str]) -> list[tuple[str, Figure | None, Figure | None]]:
    """Measures of the whole, or of a provider with the whole beside it."""
    figures = site.figures
    return [
        (site.title(measure), figures.one(measure, subject.breakdown, subject.level), figures.one(measure) if subject.code is not None else None)
        for measure in measures
    ]


# -- the kinds of blocks ------------------------------------------------------------------------------------------------------------


def _targets(site: Site, subject: Subject, planned: Plan) -> tuple[Block, ...]:
    rows = standing(site, subject) if "places" in planned else standing(site, subject)[:2]
    for breakdown in planned.get("places", ()):
        for code in site.figures.levels("TARG01", breakdown):
            rows += _target_rows(site, breakdown, code, site.figures.name(code))
    if not rows:
        return ()
    used = dict.fromkeys(figure.measure for row in rows for figure in (row.of_target, row.of_line, row.needed) if figure is not None)
    return (blocks.Targets(planned["id"], planned["title"], f"people or referrals; {blocks.period(rows[0].of_target)}", tuple(rows), tuple(used)),)


def _dots(site: Site, subject: Subject, planned: Plan) -> tuple[Block, ...]:
    rows = _beside(site, subject, planned["measures"])
    if planned.get("shown") and not any(figure is not None and figure.mark == "shown" for _, figure, _ in rows):
        return ()
    whole = site.whole if site.whole == "England" else site.whole.lower()
    title = planned["title"] if subject.code is None else f"{planned['title']}: {subject.code} beside {whole}"
    return blocks.dots(planned["id"], title, planned.get("head", "Measure"), rows, about=planned.get("about", ""))


def _by_provider(site: Site, subject: Subject, planned: Plan) -> tuple[Block, ...]:
    measure = planned["measure"]
    levels = site.figures.levels(measure, "Provider")
    rows = sorted((site.figures.name(code), code, figure) for code, figure in levels.items()) if levels else []
    held = [(site.whole, site.figures.one(measure), None), *((name, figure, None) for name, _, figure in rows)] if rows else []
    title, about = f"{planned['title']}, by provider", planned.get("about", "")
    return blocks.dots(f"{measure.lower()}-provider", title, "Provider", held, about=about, links=site.links)


def _by_group(site: Site, subject: Subject, planned: Plan) -> tuple[Block, ...]:
    return tuple(
        block
        for group in site.plan["groups"]
        for block in blocks.dots(
            f"{planned['measure'].lower()}-{group['id']}",
            f"{planned['title']}, by {group['called']}",
            "Group",
            [(blocks.sentence(level), figure, None) for level, figure in blocks.ordered(site.figures.levels(planned["measure"], group["breakdown"]))],
            about=planned.get("about", ""),
        )
    )


def _levels(site: Site, subject: Subject, planned: Plan) -> tuple[Block, ...]:
    if subject.code is None:
        levels = site.figures.levels(planned["measure"], planned["breakdown"])
    else:
        levels = blocks.own(site.figures.levels(planned["measure"], planned["own"]), subject.code)
    rows = [(blocks.sentence(level), figure, None) for level, figure in levels.items()]
    if not planned.get("in_order"):
        rows.sort(key=lambda row: -(row[1].number or 0.0))
    return blocks.dots(planned["id"], planned["title"], planned["head"], rows, wide=planned.get("wide", False))


def _ratios(site: Site, subject: Subject, planned: Plan) -> tuple[Block, ...]:
    made: list[Block] = []
    for group in site.plan["groups"]:
        if group["id"] not in planned.get("groups", (group["id"],)):
            continue
        levels = site.figures.levels(planned["measure"], group["breakdown"])
        reference = site.references.get((planned["measure"], group["breakdown"]), "the largest group")
        title = f"{planned['title']} by {group['called']}"
        made += blocks.ratios(f"{planned['id']}-{group['id']}", title, levels, reference, shares=planned.get("shares", False))
    return tuple(made)


def _spread(site: Site, subject: Subject, planned: Plan) -> tuple[Block, ...]:
    rows = sorted((site.figures.name(code), code) for code in site.figures.levels(planned["measure"], "Provider"))
    held = site.figures.levels(planned["measure"], "Provider")
    return blocks.spread(
        planned["id"], planned["title"], site.figures.one(planned["measure"]), [(name, held[code]) for name, code in rows], site.links
    )


def _trend(site: Site, subject: Subject, planned: Plan) -> tuple[Block, ...]:
    at = ("England", "England") if planned.get("dashboard") and subject.code is None else (subject.breakdown, subject.level)
    # Of England, a measure of the dashboard without a row in a month was nought there.
    nought = at == ("England", "England")
    return blocks.trend(site.figures, planned["id"], planned["title"], planned["measure"], *at, nought=nought)


def _counts(site: Site, subject: Subject, planned: Plan) -> tuple[Block, ...]:
    breakdown = planned["breakdown"]
    rates, levels = site.figures.levels("MHS116a", breakdown), site.figures.levels("MHS116", breakdown)
    # A group without a population is known by its rate, which means nothing.
    order = blocks.ordered({level: rates.get(level, figure) for level, figure in levels.items()})

    def name(level: str) -> str:
        if level == _UNKNOWN:
            return "Unknown"
        return site.figures.name(level) if breakdown in _PLACES else site.figures.label(breakdown, level)

    return blocks.counts(
        planned["id"],
        planned["title"],
        planned["head"],
        [(name(level), levels[level], rates.get(level)) for level, _ in order],
        by_rate=planned.get("by_rate", False),
        largest_first=planned.get("largest_first", False),
        links=site.links if breakdown == "Provider" else None,
    )


def _grid(site: Site, subject: Subject, planned: Plan) -> tuple[Block, ...]:
    at = (subject.breakdown, subject.level)
    wanted = planned["rows"] if "rows" in planned else {site.title(measure): [measure] for measure in planned["measures"]}
    rows = [(label, [site.figures.one(measure, *at) for measure in measures]) for label, measures in wanted.items()]
    return blocks.grid(planned["id"], planned["title"], planned["head"], rows, about=_to_the_end(site, planned["about"]))


def _by_level(site: Site, subject: Subject, planned: Plan) -> tuple[Block, ...]:
    figures, breakdown = site.figures, planned["breakdown"]
    codes = list(dict.fromkeys(code for measure in planned["measures"] for code in figures.levels(measure, breakdown)))
    names = {code: figures.name(code) if breakdown == "Provider" else code for code in codes}
    rows = [(names[code], [figures.one(measure, breakdown, code) for measure in planned["measures"]]) for code in sorted(codes)]
    links = {names[code]: site.links[code] for code in codes if code in site.links} if breakdown == "Provider" else {}
    about = _to_the_end(site, planned["about"])
    return blocks.grid(planned["id"], planned["title"], planned["head"], rows, about=about, links=links, folded=planned.get("folded", False))


def _corrected(site: Site, subject: Subject, planned: Plan) -> tuple[Block, ...]:
    figures = site.figures
    rows = [
        (site.title(measure), [figures.one(measure.removeprefix("DASH_"), "England", "England"), figures.one(measure)])
        for _, measure in figures.measures(("dashboard_corrected",))
    ]
    about = f"numbers and shares; {pages.month(site.headline.end)}"
    return blocks.grid(planned["id"], planned["title"], ("Measure", "As published", "Corrected"), rows, about=about, folded=True)


def _everything(site: Site, subject: Subject, planned: Plan) -> tuple[Block, ...]:
    """Every measure of some families in one folded table per family: of the whole or of a provider beside it."""
    held: dict[str, list[str]] = defaultdict(list)
    for family, measure in site.figures.measures(planned["families"], subject.breakdown):
        held[family].append(measure)
    head = ("Measure", site.whole) if subject.code is None else ("Measure", subject.code, site.whole)
    about = _to_the_end(site, "latest period of each, with 95% interval")

    def row(measure: str) -> tuple[str, list[Figure | None]]:
        own = site.figures.one(measure, subject.breakdown, subject.level)
        return f"{site.title(measure)} ({measure})", [own] if subject.code is None else [own, site.figures.one(measure)]

    return tuple(
        table
        for family, measures in held.items()
        for table in blocks.grid(
            f"all-{family}", site.families.get(family, family), head, [row(measure) for measure in measures], about=about, folded=True, intervals=True
        )
    )


def _to_the_end(site: Site, about: str) -> str:
    return f"{about}; to {pages.day(site.headline.end)}"


_BLOCKS = {
    "targets": _targets,
    "dots": _dots,
    "by_provider": _by_provider,
    "by_group": _by_group,
    "levels": _levels,
    "ratios": _ratios,
    "spread": _spread,
    "trend": _trend,
    "counts": _counts,
    "grid": _grid,
    "by_level": _by_level,
    "corrected": _corrected,
    "everything": _everything,
}
