"""Read the registry of measures (sql/measures.yaml and sql/measures/<family>.yaml): definitions as data, used by the SQL as tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import yaml

from ips_pipeline.measures.reference import FILES
from ips_pipeline.store import steps
from ips_pipeline.store.duck import Connection, create_table, identifier

#: What a count that may have a target is of, and over what time: twelve months or the financial year to date.
Basis = Literal["people rolling", "referrals rolling", "people ytd", "referrals ytd"]

#: A difference or a ratio is between the arms of a trial; the other kinds are of one level each.
Kind = Literal["count", "rate", "proportion", "mean", "median", "difference", "ratio"]


@dataclass(frozen=True, slots=True)
class Breakdown:
    """One way of dividing a measure. ``needs`` are the reference files without which it cannot be evaluated.

    ``within`` is the breakdown whose levels its levels make up. ``exclusive`` says that everything counted has one level of it, so
    that the levels add up to that breakdown. ``places`` are compared with the whole by funnel limits; the levels of others are compared
    with ``reference``, or with the largest where that is None. ``levels`` is the class of bands or code groups that its levels are, from
    which it is known which of them make up a level of another breakdown. ``restricted`` keeps it out of every release, since it names staff.
    """

    id: str
    name: str
    national: bool
    needs: frozenset[str]
    within: str | None
    exclusive: bool
    places: bool
    restricted: bool
    reference: str | None
    levels: str | None


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure. ``needs`` are the reference files it needs everywhere, ``breakdowns`` those it also needs by a breakdown.

    ``numerator`` and ``denominator`` are columns of the family's evidence; of a median, ``numerator`` is a quantity of its times and
    ``denominator`` is None. ``fair`` asks for comparisons: ratios to ``reference`` (or the breakdown's), and funnel limits across places.
    ``exempt`` names the invariants that a measure published with a fault does not keep, and ``corrects`` the published measure that this one
    puts right. ``basis`` says what a count that may have a target is of: people or referrals, rolling (twelve months) or ytd (financial year).
    """

    id: str
    family: str
    version: str
    kind: Kind
    per: int
    title: str
    definition: str
    numerator: str
    denominator: str | None
    unit: str
    needs: frozenset[str]
    breakdowns: Mapping[str, frozenset[str]]
    source: str
    caveats: tuple[str, ...]
    fair: bool
    reference: str | None
    exempt: frozenset[str]
    corrects: str | None
    basis: Basis | None


@dataclass(frozen=True, slots=True)
class Sum:
    """Quantities of a family that make up another one at every level: ``always``, or but for rows that fall into none of them."""

    family: str
    total: str
    parts: tuple[str, ...]
    always: bool


@dataclass(frozen=True, slots=True)
class Twin:
    """One quantity that two families publish: ``breakdowns`` of the first and what they are called in the second.

    Where the second has it month by month, the months within the period of the first add up to it.
    """

    families: tuple[str, str]
    quantities: tuple[str, str]
    breakdowns: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Balance:
    """A rolling count and what moves it: with those who entered in the month and those who left it tells last month's count."""

    family: str
    now: str
    entered: str
    left: str


@dataclass(frozen=True, slots=True)
class Registry:
    """The families with their titles, and all breakdowns, measures, sums, twins and balances, in the order they are written."""

    families: Mapping[str, str]
    breakdowns: Mapping[str, Breakdown]
    measures: tuple[Measure, ...]
    sums: tuple[Sum, ...]
    twins: tuple[Twin, ...]
    balances: tuple[Balance, ...]

    def absent(self, measure: Measure, breakdown: str, held: Collection[str]) -> frozenset[str]:
        """The reference files that are missing for a measure by a breakdown; empty when it can be evaluated."""
        return (self.breakdowns[breakdown].needs | measure.needs | measure.breakdowns[breakdown]) - frozenset(held)


@cache
def load() -> Registry:
    """The registry that ships with the SQL."""
    data = _read("measures.yaml")
    breakdowns = {key: _breakdown(key, item) for key, item in data["breakdowns"].items()}
    held = {family: _read(f"measures/{family}.yaml") for family in data["families"]}
    measures = [_measure(item) for family in held.values() for item in family["measures"]]
    sums = [
        Sum(family, item["total"], tuple(item["parts"]), item["always"]) for family, described in held.items() for item in described.get("sums", ())
    ]
    twins = [Twin(tuple(item["families"]), tuple(item["quantities"]), item["breakdowns"]) for item in data["twins"]]
    balances = [Balance(family, **item) for family, described in held.items() for item in described.get("balances", ())]
    return Registry(data["families"], breakdowns, tuple(measures), tuple(sums), tuple(twins), tuple(balances))


def definitions() -> list[dict[str, Any]]:
    """What each measure means, for those who read a release: definition, numerator, denominator, unit, source, version, family, breakdowns.

    ``references`` is the level that the others of a breakdown are compared with, by the name of the breakdown, where the registry names one.
    """
    keys = ("id", "family", "version", "kind", "per", "title", "definition", "numerator", "denominator", "unit", "source", "caveats", "corrects")
    known = load()
    return [
        {key: getattr(item, key) for key in keys}
        | {"family_title": known.families[item.family], "breakdowns": [known.breakdowns[name].name for name in item.breakdowns]}
        | {"references": _references(item, known.breakdowns)}
        for item in known.measures
    ]


def _references(measure: Measure, breakdowns: Mapping[str, Breakdown]) -> dict[str, str]:
    if not measure.fair:
        return {}
    named = {breakdowns[key].name: measure.reference or breakdowns[key].reference for key in measure.breakdowns}
    return {name: level for name, level in named.items() if level is not None}


def _read(name: str) -> Mapping[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    held: Mapping[str, Any] = yaml.load((steps.root() / name).read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - a safe loader, the fast one where there is one
    return held


def _breakdown(key: str, item: Mapping[str, Any]) -> Breakdown:
    return Breakdown(
        id=key,
        name=item["name"],
        national=item["national"],
        needs=frozenset(item["needs"]),
        within=item.get("within"),
        exclusive=item.get("exclusive", False),
        places=item.get("places", False),
        restricted=item.get("restricted", False),
        reference=item.get("reference"),
        levels=item.get("levels"),
    )


def _measure(item: Mapping[str, Any]) -> Measure:
    return Measure(
        id=item["id"],
        family=item["family"],
        version=item["version"],
        kind=item["kind"],
        per=item.get("per", 1),
        title=item["title"],
        definition=item["definition"],
        numerator=item["numerator"],
        denominator=item["denominator"],
        unit=item["unit"],
        needs=frozenset(item.get("needs", ())),
        breakdowns=_breakdowns(item["breakdowns"]),
        source=item["source"],
        caveats=tuple(item["caveats"]),
        fair=item.get("fair", False),
        reference=item.get("reference"),
        exempt=frozenset(item.get("exempt", ())),
        corrects=item.get("corrects"),
        basis=item.get("basis"),
    )


def _breakdowns(listed: Mapping[str, Sequence[str]] | Sequence[str]) -> Mapping[str, frozenset[str]]:
    """Breakdowns as a list, or with the reference files that each of them needs besides its own."""
    if isinstance(listed, Mapping):
        return {key: frozenset(needs) for key, needs in listed.items()}
    return dict.fromkeys(listed, frozenset())


def as_tables(connection: Connection, held: Collection[str]) -> None:
    """Create ``breakdown``, ``measure`` and ``measure_breakdown`` (with what can be evaluated from the reference files held).

    Also ``quantity_sum``, ``quantity_twin`` and ``quantity_balance`` (what makes up what), and ``measure_exempt`` (which invariants a
    faulty measure breaks).
    """
    registry = load()
    _create(
        connection,
        "breakdown",
        "breakdown, name, within, reference, levels, CAST(exclusive AS BOOLEAN) AS exclusive, CAST(places AS BOOLEAN) AS places,"
        " CAST(restricted AS BOOLEAN) AS restricted",
        [
            {
                "breakdown": item.id,
                "name": item.name,
                "within": item.within,
                "reference": item.reference,
                "levels": item.levels,
                "exclusive": str(item.exclusive),
                "places": str(item.places),
                "restricted": str(item.restricted),
            }
            for item in registry.breakdowns.values()
        ],
    )
    _create(
        connection,
        "measure",
        "measure_id, family, version, kind, CAST(per AS INTEGER) AS per, title, unit, numerator, denominator, reference, basis,"
        " CAST(fair AS BOOLEAN) AS fair, CAST(from_returns AS BOOLEAN) AS from_returns",
        [
            {
                "measure_id": item.id,
                "family": item.family,
                "version": item.version,
                "kind": item.kind,
                "per": str(item.per),
                "title": item.title,
                "unit": item.unit,
                "numerator": item.numerator,
                "denominator": item.denominator,
                "fair": str(item.fair),
                # What also needs something besides reference files says nothing about a provider whose return holds nobody.
                "from_returns": str(item.needs <= FILES.keys()),
                "reference": item.reference,
                "basis": item.basis,
            }
            for item in registry.measures
        ],
    )
    _create(
        connection,
        "measure_breakdown",
        "measure_id, breakdown, CAST(national AS BOOLEAN) AS national, CAST(evaluated AS BOOLEAN) AS evaluated",
        [
            {
                "measure_id": item.id,
                "breakdown": breakdown,
                "national": str(registry.breakdowns[breakdown].national),
                "evaluated": str(not registry.absent(item, breakdown, held)),
            }
            for item in registry.measures
            for breakdown in item.breakdowns
        ],
    )
    _create(
        connection,
        "quantity_sum",
        "family, CAST(number AS INTEGER) AS number, total, part, CAST(always AS BOOLEAN) AS always",
        [
            {"family": item.family, "number": str(number), "total": item.total, "part": part, "always": str(item.always)}
            for number, item in enumerate(registry.sums)
            for part in item.parts
        ],
    )
    _create(
        connection,
        "quantity_twin",
        "family, quantity, breakdown, twin_family, twin_quantity, twin_breakdown",
        [
            {
                "family": item.families[0],
                "quantity": item.quantities[0],
                "breakdown": breakdown,
                "twin_family": item.families[1],
                "twin_quantity": item.quantities[1],
                "twin_breakdown": other,
            }
            for item in registry.twins
            for breakdown, other in item.breakdowns.items()
        ],
    )
    _create(
        connection,
        "quantity_balance",
        'family, CAST(number AS INTEGER) AS number, now, entered, "left"',
        [
            {"family": item.family, "number": str(number), "now": item.now, "entered": item.entered, "left": item.left}
            for number, item in enumerate(registry.balances)
        ],
    )
    _create(
        connection,
        "measure_exempt",
        "measure_id, invariant",
        [{"measure_id": item.id, "invariant": invariant} for item in registry.measures for invariant in sorted(item.exempt)],
    )


def _create(connection: Connection, name: str, columns: str, rows: Sequence[Mapping[str, str | None]]) -> None:
    create_table(connection, f"{name} as text", {column: [row[column] for row in rows] for column in rows[0]})
    connection.execute(f"CREATE TABLE {identifier(name)} AS SELECT {columns} FROM {identifier(f'{name} as text')}")
