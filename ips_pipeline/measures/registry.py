"""Read the registry of measures (sql/measures.yaml): definitions as data, used by the SQL as tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import yaml

from ips_pipeline.measures import steps
from ips_pipeline.store.duck import Connection, create_table, identifier

Kind = Literal["count", "rate", "proportion"]


@dataclass(frozen=True, slots=True)
class Breakdown:
    """One way of dividing a measure. ``needs`` are the reference files without which it cannot be evaluated."""

    id: str
    name: str
    national: bool
    needs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure. ``needs`` are the reference files it needs everywhere, ``breakdowns`` those it also needs by a breakdown."""

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


@dataclass(frozen=True, slots=True)
class Registry:
    """All breakdowns and measures, in the order they are written."""

    breakdowns: Mapping[str, Breakdown]
    measures: tuple[Measure, ...]

    def absent(self, measure: Measure, breakdown: str, held: Collection[str]) -> frozenset[str]:
        """The reference files that are missing for a measure by a breakdown; empty when it can be evaluated."""
        return (self.breakdowns[breakdown].needs | measure.needs | measure.breakdowns[breakdown]) - frozenset(held)


@cache
def load() -> Registry:
    """The registry that ships with the SQL."""
    data: Mapping[str, Any] = yaml.safe_load((steps.root() / "measures.yaml").read_text(encoding="utf-8"))
    breakdowns = {key: Breakdown(key, item["name"], item["national"], frozenset(item["needs"])) for key, item in data["breakdowns"].items()}
    return Registry(breakdowns, tuple(_measure(item) for item in data["measures"]))


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
        breakdowns={key: frozenset(needs) for key, needs in item["breakdowns"].items()},
        source=item["source"],
        caveats=tuple(item["caveats"]),
    )


def as_tables(connection: Connection, held: Collection[str]) -> None:
    """Create ``breakdown``, ``measure`` and ``measure_breakdown`` (with what can be evaluated from the reference files held)."""
    registry = load()
    _create(
        connection,
        "breakdown",
        "breakdown, name, CAST(national AS BOOLEAN) AS national",
        [{"breakdown": item.id, "name": item.name, "national": str(item.national)} for item in registry.breakdowns.values()],
    )
    _create(
        connection,
        "measure",
        "measure_id, family, version, kind, CAST(per AS INTEGER) AS per, title, numerator, denominator",
        [
            {
                "measure_id": item.id,
                "family": item.family,
                "version": item.version,
                "kind": item.kind,
                "per": str(item.per),
                "title": item.title,
                "numerator": item.numerator,
                "denominator": item.denominator,
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


def _create(connection: Connection, name: str, columns: str, rows: Sequence[Mapping[str, str | None]]) -> None:
    create_table(connection, f"{name} as text", {column: [row[column] for row in rows] for column in rows[0]})
    connection.execute(f"CREATE TABLE {identifier(name)} AS SELECT {columns} FROM {identifier(f'{name} as text')}")
