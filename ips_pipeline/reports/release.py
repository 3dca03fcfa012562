"""The static site of a release: what may be shown of every measure, for the whole and for each provider, in plain words, charts and tables.

``index.html`` and a page per provider are summaries that print on two pages; a page per theme compares providers and groups; one page says what
every measure means. What stands where is in ``site.yaml``. Every value comes from the release's own ``measures.parquet``, which holds what
disclosure control lets through and nothing else.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ips_pipeline import __version__
from ips_pipeline.errors import InputError
from ips_pipeline.mhsds import standard
from ips_pipeline.reports import layout, pages
from ips_pipeline.reports.blocks import Section, grid
from ips_pipeline.reports.figures import Figure, opened, read
from ips_pipeline.reports.layout import Site, Subject
from ips_pipeline.store.stages import storage_error

PAGE = "index.html"
_DEFINITIONS, _ABOUT = "definitions.html", "about.html"
_FOLDER = "providers"
_UNKNOWN = "UNKNOWN"


def write_release_site(
    release: Path,
    *,
    identity: str | None = None,
    submissions: int | None = None,
    not_evaluated: Sequence[Mapping[str, Any]] = (),
    definitions: Sequence[Mapping[str, Any]] = (),
    notice: str | None = None,
    temporary: Path | None = None,
) -> Path:
    """Write the pages of a release into its folder, from its ``measures.parquet``; gives the path of the first, ``index.html``.

    ``not_evaluated`` says what lacks reference data and ``definitions`` what the measures mean, both as the measures say it. The pages hold
    released values only and depend on nothing but these inputs and the other files in the folder, which they lead to, so the same release gives
    the same bytes. Raises InputError when the folder has no released measures or they cannot be read, and RetryableError when a page cannot
    be written.
    """
    with opened(release, temporary) as connection:
        figures = read(connection)
        known = connection.execute("SELECT DISTINCT measure_id, measure_name, family, definition_version FROM released ORDER BY ALL").fetchall()
        absent = connection.execute(
            "SELECT DISTINCT family, measure_id, breakdown FROM released WHERE disclosure = 'not evaluated' ORDER BY ALL"
        ).fetchall()
    headline = figures.one("MHS116", "England", "England")
    if headline is None or headline.mark == "unknown":
        raise InputError(f"{release / 'measures.parquet'} is not that of a release; run the month again")
    plan = layout.load()
    titles = {measure: title for measure, title, _, _ in known}
    site = Site(
        plan,
        figures,
        headline,
        _links(figures.providers()),
        titles,
        {item["family"]: item["family_title"] for item in definitions},
        {(item["id"], breakdown): level for item in definitions for breakdown, level in item["references"].items()},
    )
    common = {
        "start": headline.start,
        "end": headline.end,
        "status": headline.status,
        "local": headline.variant != "published",
        "identity": identity,
        "notice": notice,
        "whole": site.whole,
        "pages": [(page["file"], page["name"]) for page in plan["pages"]],
        "root": "",
        "code": "",
    }
    downloads = _downloads(release, [page["file"] for page in plan["pages"]])
    whole = Subject(None, site.whole)
    first = _summary(site, whole)
    pages.write_page(
        release / PAGE,
        "summary.html",
        {
            **common,
            **first,
            "here": PAGE,
            "title": f"IPS in the 12 months to {pages.day(headline.end)}",
            "sections": [*first["sections"], *_listed(site)],
        },
    )
    for page in plan["pages"]:
        if page["file"] in plan:
            sections = layout.sections(site, whole, page["file"])
            pages.write_page(release / page["file"], "theme.html", {**common, "here": page["file"], "title": page["title"], "sections": sections})
    _write_providers(site, release, common)
    more: dict[str, dict[str, Any]] = {
        _DEFINITIONS: {"families": _families(definitions)},
        _ABOUT: {
            "downloads": downloads,
            "lacking": _lacking(absent, not_evaluated, titles, site.families),
            "versions": _versions(known),
            "standard": standard.load().version,
            "software": __version__,
            "submissions": submissions,
            "providers": len(site.links),
        },
    }
    for page in plan["pages"]:
        if page["file"] in more:
            pages.write_page(release / page["file"], page["file"], {**common, **more[page["file"]], "here": page["file"], "title": page["title"]})
    return release / PAGE


def released_values(release: Path, breakdown: str, measure_id: str) -> list[tuple[str, str, str]]:
    """Level, its name and the value as text of a measure in a release, in the order of the levels; an asterisk is a hidden value.

    Raises InputError when the folder has no released measures.
    """
    with opened(release, None) as connection:
        found: list[tuple[str, str, str]] = connection.execute(
            "SELECT level, coalesce(level_name, level), coalesce(published, 'nothing sent') FROM released"
            " WHERE breakdown = ? AND measure_id = ? AND disclosure <> 'not evaluated' ORDER BY level",
            [breakdown, measure_id],
        ).fetchall()
        return found


def _links(providers: Sequence[str]) -> dict[str, str]:
    """The page of each provider, named by its code; a code that is no file name gets a number instead."""
    return {
        code: f"{_FOLDER}/{code if re.fullmatch('[A-Za-z0-9]{1,20}', code) else f'provider-{number}'}.html"
        for number, code in enumerate(providers, start=1)
        if code != _UNKNOWN
    }


def _summary(site: Site, subject: Subject) -> dict[str, Any]:
    """What a summary of the whole or of a provider says at its head, and its sections on two sheets."""
    figures, at = site.figures, (subject.breakdown, subject.level)
    published = ("England", "England") if subject.code is None else at
    rate = figures.one("MHS116a", *published) if subject.code is None else None

    def tile(wanted: Sequence[Mapping[str, str]]) -> tuple[Figure | None, str]:
        held = [(figures.one(item["measure"], *(published if item["measure"] == "MHS116" else at)), item["text"]) for item in wanted]
        return next(((figure, text) for figure, text in held if figure is not None and figure.mark == "shown"), held[-1])

    tiles = [tile(wanted) for wanted in site.plan["tiles"]]
    return {
        "subject": subject,
        "code": subject.code or "",
        "published": figures.one("MHS116", *published),
        "rate": rate if rate is not None and rate.mark == "shown" else None,
        "figure": lambda measure: figures.one(measure, *at),
        "tiles": [(figure, text) for figure, text in tiles if figure is not None],
        "standing": layout.standing(site, subject)[:1],
        "providers": sum(figure.mark != "silent" for figure in figures.levels("MHS116", "Provider").values()),
        "sections": layout.sections(site, subject, "summary"),
    }


def _listed(site: Site) -> list[Section]:
    """All providers with their key figures, each leading to its page."""
    columns = site.plan["columns"]
    rows = [(site.figures.name(code), tuple(site.figures.one(measure, "Provider", code) for measure in columns)) for code in site.links]
    links = {site.figures.name(code): link for code, link in site.links.items()}
    about = f"numbers; 12 months to {pages.day(site.headline.end)}"
    table = grid("provider-table", "Every provider, with a page of its own", ("Provider", *columns.values()), rows, about=about, links=links)
    return [Section("providers", "Providers", table, "Each name leads to the provider’s own summary, beside that of all.")] if table else []


def _write_providers(site: Site, release: Path, common: Mapping[str, Any]) -> None:
    """A page per provider: its summary beside the whole, and all its figures."""
    if not site.links:
        return
    try:
        (release / _FOLDER).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise storage_error(error, release / _FOLDER) from None
    for code, link in site.links.items():
        subject = Subject(code, site.figures.name(code))
        held = _summary(site, subject)
        held["sections"] = [*held["sections"], *layout.sections(site, subject, "provider")]
        pages.write_page(release / link, "summary.html", {**common, **held, "here": link, "root": "../", "title": subject.name})


def _families(definitions: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, list[Mapping[str, Any]]]]:
    """Families in the order of the registry: id, title, and the definitions of its measures, told whether each is a proxy or a proposal."""
    held: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for item in definitions:
        proxy = any(caveat.startswith("An experimental proxy") for caveat in item["caveats"])
        said = {**item, "proxy": proxy, "proposed": item["source"].startswith("Proposed by this project")}
        held.setdefault((item["family"], item["family_title"]), []).append(said)
    return [(family, title, items) for (family, title), items in held.items()]


def _versions(known: Sequence[tuple[str, str, str, str | None]]) -> dict[str, list[str]]:
    """The versions of the published definitions that are in the release."""
    return {
        "MHS116 and MHS116a": sorted({version for _, _, family, version in known if family == "mhs116" and version}),
        "IPS dashboard": sorted({version for _, _, family, version in known if family == "dashboard" and version}),
    }


def _lacking(
    found: Sequence[tuple[str, str, str]], reasons: Sequence[Mapping[str, Any]], titles: Mapping[str, str], families: Mapping[str, str]
) -> list[tuple[str, list[tuple[str, str]]]]:
    """What was not evaluated: per set of absent files the measures, those with the same breakdowns together, and their breakdowns."""
    needs = {(item["measure"], item["breakdown"]): ", ".join(item["needs"]) for item in reasons}
    alike: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for family, measure, breakdown in found:
        name = measure if family == "mhs116" else titles[measure]
        alike[needs.get((measure, breakdown), "Reference data"), family, breakdown].append(name)
    breakdowns: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (files, family, breakdown), measures in alike.items():
        what = " and ".join(measures) if len(measures) <= 2 else f"{families.get(family, family)}: {len(measures)} measures"
        breakdowns[files, what].append(breakdown)
    lacking: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for (files, what), names in sorted(breakdowns.items()):
        lacking[files].append((what, " · ".join(names)))
    return list(lacking.items())


#: What the files of a release are, those that people ask for first.
_FILES = {
    "measures.csv": "Every measure in one long table for spreadsheets, with numerator, denominator, interval and disclosure state",
    "measures.parquet": "The same for software, with types",
    "publication/": "MHS116 and MHS116a in the layout of NHS England’s monthly publication",
    "README.txt": "What the files are and how to read them",
    "LICENCE.txt": "What may be done with them, and how disclosure was controlled",
    "dictionary/columns.csv": "What every column means",
    "dictionary/values.csv": "What the values of columns with fixed values mean",
    "dictionary/measures.csv": "What every measure means",
    "datapackage.json": "Every table and column described for software that reads Data Packages",
}


def _downloads(release: Path, ours: Sequence[str]) -> list[dict[str, Any]]:
    """The files of the folder besides the pages and the manifest: those with a description in its order, then the others by name."""
    found = {item.relative_to(release).as_posix(): item for item in release.rglob("*") if item.is_file() and not item.name.startswith(".")}
    held = {
        name: next((key for key in _FILES if name == key or (key.endswith("/") and name.startswith(key))), "")
        for name in sorted(found)
        if name not in (*ours, "manifest.json") and not (name.startswith(f"{_FOLDER}/") and name.endswith(".html"))
    }
    order = [*_FILES, ""]
    return [
        {"name": name, "link": quote(name), "size": found[name].stat().st_size, "about": _FILES.get(key, "Part of this release")}
        for name, key in sorted(held.items(), key=lambda item: (order.index(item[1]), item[0]))
    ]
