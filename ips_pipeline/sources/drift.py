"""Whether what a provider sends has another shape or volume than in its earlier months, and what becomes of the month then.

What is compared with: the landing of the same month before this one, else of the nearest month before (columns and their shapes), and the
months before, as many as ``landings`` under ``[drift]`` says (codes, empty values, rows). The rules:

* column added, removed, renamed (the same place or a near name, and the same shape), retyped (99 in 100 values had a shape, such as
  yyyy-mm-dd, and now fewer than half have it; at least 20 values on either side, the first 20,000 rows looked at);
* new code: not seen in the months before, and either not on the list of the standard or in one row of twenty, and 20 rows, at least;
* empty values: the share of an element differs from the median of at least three earlier months by more than 20 points and more than
  three robust standard deviations (1.4826 × the median absolute deviation), in at least 50 rows;
* volume: the rows of a table differ from the median of at least three earlier months by more than half of it, by more than three robust standard
  deviations, and by at least 20 rows;
* lost: an element that the standard requires had values and has none, in at least 5 rows (in fewer it may be chance, and the rows themselves are
  rejected). That stops the month whatever the mode.
"""

from __future__ import annotations

import csv
import difflib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from ips_pipeline.errors import InputError, UsageError
from ips_pipeline.mhsds import standard
from ips_pipeline.settings import DriftMode, Site, near
from ips_pipeline.sources import raw
from ips_pipeline.sources.mapping import LocalMapping
from ips_pipeline.store import ledger, stages
from ips_pipeline.store.duck import Connection, identifier, text_literal

PROFILE, FINDINGS = "profile.json", "findings.csv"
HEADING = ("scope", "entity", "item", "change", "was", "now", "mode")

#: The one change that stops a month whatever the mode.
LOST = "required element lost"

_SHAPES: Mapping[str, str] = {
    "number": r"[+-]?[0-9]+([.][0-9]+)?",
    "yyyy-mm-dd": r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
    "dd/mm/yyyy": r"[0-9]{1,2}[/.-][0-9]{1,2}[/.-][0-9]{4}",
    "date and time": r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}.*",
}
_SHAPE_ROWS, _SHAPE_VALUES = 20_000, 20
_HAD_SHAPE, _HAS_SHAPE = 0.99, 0.5
_CODES_KEPT, _CODE_SHARE, _CODE_ROWS = 500, 0.05, 20
_MONTHS, _DEVIATIONS, _ROBUST = 3, 3, 1.4826
_EMPTY_POINTS, _EMPTY_ROWS, _LOST_ROWS = 0.2, 50, 5
_VOLUME_SHARE, _VOLUME_ROWS = 0.5, 20
_NEAR_NAME = 0.6
_STRICT: Sequence[DriftMode] = ("evolve", "quarantine", "freeze")

Profile = Mapping[str, Any]


class Drifted(InputError):
    """A month was not put in force because its source has changed; ``kept`` are the findings, ``landing`` what was set aside, if anything."""

    def __init__(self, message: str, kept: stages.Stage, landing: str | None) -> None:
        super().__init__(message)
        self.kept = kept
        self.landing = landing


@dataclass(frozen=True, slots=True)
class Finding:
    """One change: of an input or a table, of which column or element. ``was`` and ``now`` are names, shapes, codes, shares or counts."""

    scope: str
    entity: str
    item: str
    change: str
    was: str
    now: str
    mode: DriftMode

    @property
    def key(self) -> str:
        """What names the change where a person takes it; no value but names of the schema."""
        return f"{self.entity}/{self.item}/{self.change}"


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found about a landing, with the profile that later ones are compared with."""

    profile: Profile
    findings: tuple[Finding, ...]
    inputs: Mapping[str, Any]

    @property
    def mode(self) -> DriftMode:
        """The strictest mode among the findings."""
        return max((item.mode for item in self.findings), key=_STRICT.index, default="evolve")

    @property
    def lost(self) -> tuple[Finding, ...]:
        """What stops the month whatever the mode."""
        return tuple(item for item in self.findings if item.change == LOST)


def inputs_profile(connection: Connection, fetched: Mapping[str, raw.Fetched]) -> dict[str, Any]:
    """Rows of every input, and of each column its place, how many values it has and their shapes; the inputs must exist as relations."""
    found: dict[str, Any] = {}
    for name, item in sorted(fetched.items()):
        filled = ", ".join(f"count(nullif({identifier(column)}, ''))" for column in item.columns)
        counts = connection.execute(f"SELECT {filled} FROM {identifier(name)}").fetchall()[0]
        shapes = ", ".join(
            f"count(*) FILTER (regexp_full_match({identifier(column)}, {text_literal(pattern)}))"
            for column in item.columns
            for pattern in _SHAPES.values()
        )
        looked = ", ".join(f"count(nullif({identifier(column)}, ''))" for column in item.columns)
        row = connection.execute(f"SELECT {looked}, {shapes} FROM (FROM {identifier(name)} LIMIT {_SHAPE_ROWS})").fetchall()[0]
        sampled, shaped = row[: len(item.columns)], iter(row[len(item.columns) :])
        found[name] = {
            "rows": item.rows,
            "columns": [
                {"name": column, "filled": count, "looked": seen, "shapes": {shape: next(shaped) for shape in _SHAPES}}
                for column, count, seen in zip(item.columns, counts, sampled, strict=True)
            ],
        }
    return found


def tables_profile(connection: Connection, mapping: LocalMapping, folder: Path) -> dict[str, Any]:
    """Rows of every mapped table, how many values each of its mapped elements has, and the codes of those that have a list."""
    known, found = standard.load(), {}
    for key, mapped in sorted(mapping.tables.items()):
        about = known.table(key)
        elements = [name for name in about.elements if name in mapped.columns]
        source = f"read_parquet({text_literal(str(folder / f'{about.name}.parquet'))})"
        rows, *filled = connection.execute(
            f"SELECT count(*), {', '.join(f'count({identifier(name)})' for name in elements)} FROM {source}"
        ).fetchall()[0]
        coded = [name for name in elements if (listed := about.field(name).codes) is not None and known.codes(listed)]
        codes = {
            name: dict(
                connection.execute(
                    f"SELECT {identifier(name)} AS code, count(*) AS rows FROM {source} WHERE code IS NOT NULL"
                    f" GROUP BY code ORDER BY rows DESC, code LIMIT {_CODES_KEPT}"
                ).fetchall()
            )
            for name in coded
        }
        found[about.name] = {"rows": rows, "filled": dict(zip(elements, filled, strict=True)), "codes": codes}
    return found


def lost_columns(site: Site, provider: str, period: str, fetched: Mapping[str, raw.Fetched]) -> dict[str, list[str]]:
    """The columns that each input had in the landing it is compared with and has no longer."""
    before = _profile(_nearest(site, provider, period))
    lost = {}
    for name, item in fetched.items():
        held = {column.lower() for column in item.columns}
        lost[name] = [column["name"] for column in before["inputs"].get(name, {"columns": []})["columns"] if column["name"].lower() not in held]
    return lost


def examine(site: Site, provider: str, period: str, mapping: LocalMapping, profile: Profile) -> Examined:
    """Compare a profile with the provider's own history; what a person took for this month before is left out."""
    modes = _modes(site, mapping)
    nearest = _nearest(site, provider, period)
    earlier = _earlier(site, provider, period)
    history = [_profile(stage) for stage in earlier]
    found = [*_schema(_profile(nearest), profile, modes)] if nearest else []
    found += _tables(_profile(nearest), history, profile, modes) if nearest else []
    taken = _taken(site, provider, period)
    inputs = {
        "compared_with": nearest.identity if nearest else None,
        "months": {stage.path.parent.name: stage.identity for stage in earlier},
        "profile": stages.identity_of(profile),
        "settings": site.drift.model_dump(mode="json"),
        "taken": sorted(taken),
    }
    kept = sorted(
        (item for item in found if item.change == LOST or item.key not in taken),
        key=lambda item: (item.scope, item.entity, item.item, item.change, item.now),
    )
    return Examined(profile, tuple(kept), inputs)


def keep(site: Site, provider: str, period: str, examined: Examined, landing: str, *, in_force: bool) -> stages.Stage:
    """Put profile and findings on their shelf; in force only when the landing is, since later months are compared with what is in force."""
    inputs = {**examined.inputs, "provider": provider, "period": period, "landing": landing}

    def build(folder: Path) -> Mapping[str, Any]:
        (folder / PROFILE).write_text(json.dumps(examined.profile, indent=1, sort_keys=True), encoding="utf-8")
        with (folder / FINDINGS).open("w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(HEADING)
            writer.writerows([getattr(item, name) for name in HEADING] for item in examined.findings)
        return {
            "findings": len(examined.findings),
            "changes": dict(sorted(Counter(item.change for item in examined.findings).items())),
            "keys": sorted({item.key for item in examined.findings}),
            "mode": examined.mode,
            "stopped": bool(examined.lost),
        }

    identity = stages.identity_of(inputs)
    return stages.write(site.drift_shelf(provider, period), build, staging=site.staging, identity=identity, inputs=inputs, in_force=in_force)


def findings(stage: stages.Stage) -> list[Finding]:
    """The findings of a kept examination."""
    with (stage.path / FINDINGS).open(encoding="utf-8", newline="") as handle:
        return [Finding(**row) for row in csv.DictReader(handle)]  # type: ignore[arg-type]


def words(changes: Mapping[str, int]) -> str:
    """Counts by change in words: column added 1, volume 2."""
    return ", ".join(f"{change} {count}" for change, count in changes.items())


def refused(examined: Examined, kept: stages.Stage, provider: str, period: str, landing: str | None) -> Drifted:
    """The error that tells why a month was not taken, and what to do."""
    where = kept.path / FINDINGS
    if examined.lost:
        named = ", ".join(f"{item.entity}.{item.item} ({item.now} rows, {item.was} before)" for item in examined.lost)
        return Drifted(
            f"{provider} {period}: the standard requires {named}, and no value of it came any more; nothing was taken: mend the source or the mapping"
            " and run again",
            kept,
            None,
        )
    told = words(kept.manifest["facts"]["changes"])
    done = "the landing was set aside" if landing else "nothing was taken"
    return Drifted(
        f"{provider} {period}: the source has changed ({told}) and [drift] says {examined.mode}, so {done}; look at {where}, then mend the source or"
        f" the mapping, or take it with: ips drift accept",
        kept,
        landing,
    )


def _modes(site: Site, mapping: LocalMapping) -> dict[str, DriftMode]:
    """The mode of each input and table: its own, for an input the strictest of those of the tables made of it; else the site's."""
    known, named = {table.name for table in standard.load().tables.values()}, site.drift.entities
    for name in named:
        if name.startswith("MHS") and name not in known:
            raise UsageError(
                f"{site.file}: [drift.entities] names {name}, which the standard does not have{near(name, tuple(sorted(known)))}; correct it"
            )
    fed = {standard.load().table(key).name: mapped.source for key, mapped in mapping.tables.items()}
    found = {table: named.get(table, named.get(source or "", site.drift.mode)) for table, source in fed.items()}
    for name in mapping.inputs:
        own = [named[item] for item in (name, *(table for table, source in fed.items() if source == name)) if item in named]
        found[name] = max(own, key=_STRICT.index, default=site.drift.mode)
    return found


def _schema(before: Profile, now: Profile, modes: Mapping[str, DriftMode]) -> Iterator[Finding]:
    """Columns of inputs that came, went, were renamed or hold values of another shape."""
    for name, item in now["inputs"].items():
        if name not in before["inputs"]:
            continue
        was, has = before["inputs"][name]["columns"], item["columns"]
        held = [{column["name"].lower(): (place, column) for place, column in enumerate(columns)} for columns in (was, has)]
        removed = [held[0][key] for key in held[0] if key not in held[1]]
        added = {key: held[1][key] for key in held[1] if key not in held[0]}
        for place, column in removed:
            renamed = _renamed(place, column, added)
            if renamed is None:
                yield Finding("input", name, column["name"], "column removed", column["name"], "", modes[name])
            else:
                yield Finding("input", name, column["name"], "column renamed", column["name"], added.pop(renamed)[1]["name"], modes[name])
        for _, column in added.values():
            yield Finding("input", name, column["name"], "column added", "", column["name"], modes[name])
        for key in held[0].keys() & held[1].keys():
            old, new = held[0][key][1], held[1][key][1]
            shape = _shape(old)
            if shape and new["looked"] >= _SHAPE_VALUES and new["shapes"][shape] < _HAS_SHAPE * new["looked"]:
                yield Finding("input", name, new["name"], "column retyped", shape, _shape(new) or "text", modes[name])


def _shape(column: Mapping[str, Any]) -> str | None:
    """The shape that nearly all values of a column have; None for text, and where there are too few to tell."""
    if column["looked"] < _SHAPE_VALUES:
        return None
    return next((shape for shape in _SHAPES if column["shapes"].get(shape, 0) >= _HAD_SHAPE * column["looked"]), None)


def _renamed(place: int, column: Mapping[str, Any], added: Mapping[str, tuple[int, Mapping[str, Any]]]) -> str | None:
    """Which of the columns that came is the one that went: of the same shape, and at its place or with a near name."""
    alike = {key: other for key, (_, other) in added.items() if _shape(other) == _shape(column)}
    close = difflib.get_close_matches(column["name"].lower(), alike, n=1, cutoff=_NEAR_NAME)
    return close[0] if close else next((key for key in alike if added[key][0] == place), None)


def _tables(before: Profile, history: Sequence[Profile], now: Profile, modes: Mapping[str, DriftMode]) -> Iterator[Finding]:
    """Required elements that were lost, new codes, empty values and volumes."""
    known = standard.load()
    for name, item in now["tables"].items():
        about, mode = known.table(name), modes[name]
        was = before["tables"].get(name)
        rows, months = item["rows"], [profile["tables"][name] for profile in history if name in profile["tables"]]
        for element, filled in item["filled"].items():
            if was and rows >= _LOST_ROWS and not filled and about.field(element).mandation == "M" and was["filled"].get(element):
                yield Finding("table", name, element, LOST, f"{was['filled'][element]} of {was['rows']}", f"0 of {rows}", mode)
                continue
            rates = [1 - month["filled"][element] / month["rows"] for month in months if month["rows"] >= _EMPTY_ROWS and element in month["filled"]]
            if rows >= _EMPTY_ROWS and _far(1 - filled / rows, rates, _EMPTY_POINTS):
                yield Finding("table", name, element, "empty values", f"{median(rates):.0%}", f"{1 - filled / rows:.0%}", mode)
        for element, codes in item["codes"].items():
            seen = {code for profile in (before, *history) for code in profile["tables"].get(name, {"codes": {}})["codes"].get(element, {})}
            listed = known.codes(about.field(element).codes or "")
            for code, count in codes.items() if seen else ():
                if code not in seen and (code not in listed or count >= max(_CODE_ROWS, _CODE_SHARE * rows)):
                    yield Finding("table", name, element, "new code", "", code, mode)
        volumes = [month["rows"] for month in months]
        if _far(rows, volumes, max(_VOLUME_ROWS, _VOLUME_SHARE * median(volumes)) if volumes else 0):
            yield Finding("table", name, "", "volume", f"{median(volumes):.0f}", str(rows), mode)


def _far(value: float, earlier: Sequence[float], least: float) -> bool:
    """Whether a value is further from the median of earlier ones than ``least`` and than three robust standard deviations."""
    if len(earlier) < _MONTHS:
        return False
    middle = median(earlier)
    return abs(value - middle) > max(least, _DEVIATIONS * _ROBUST * median(abs(other - middle) for other in earlier))


def _nearest(site: Site, provider: str, period: str) -> stages.Stage | None:
    """The examination in force of the same month, else of the nearest month before."""
    own = stages.current(site.drift_shelf(provider, period))
    earlier = _earlier(site, provider, period)
    return own or (earlier[0] if earlier else None)


def _earlier(site: Site, provider: str, period: str) -> list[stages.Stage]:
    """The examinations in force of the months before, the latest first, as many as the site compares with."""
    home = site.drift_shelf(provider, period).parent
    shelves = sorted((path for path in home.iterdir() if path.name < period), reverse=True) if home.is_dir() else []
    held = (stage for shelf in shelves if (stage := stages.current(shelf)) is not None)
    return [stage for _, stage in zip(range(site.drift.landings), held, strict=False)]


def _profile(stage: stages.Stage | None) -> Profile:
    if stage is None:
        return {"inputs": {}, "tables": {}}
    held: Profile = json.loads((stage.path / PROFILE).read_text(encoding="utf-8"))
    return held


def _taken(site: Site, provider: str, period: str) -> set[str]:
    """The changes that a person took for this month, by the ledger."""
    return {key for entry in ledger.about(site.ledger, provider, period) if entry.kind == "taken" for key in entry.facts["keys"]}
