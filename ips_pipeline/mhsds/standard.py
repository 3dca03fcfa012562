"""Read the data set standard: tables, elements, code lists and rules, each written once as data beside this module.

Sources of the facts: NHS England's published MHSDS v6 submission definitions and rules (January 2024) and the ETOS v6.0
rule list (March 2024). A rule's ``levels`` say how severe it is in each edition; an edition that lacks the rule has no entry.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

Edition = Literal["published", "etos"]
Level = Literal["file", "group", "record", "severity1", "warning"]

EDITIONS: tuple[Edition, ...] = ("published", "etos")

#: Levels that take a row out of the return; the others only flag it.
REJECTING: frozenset[Level] = frozenset({"file", "group", "record"})

#: The version that names the local IPS records, which have the shape of a standard and rules of our own.
LOCAL = "ips-1"

_NATIONAL = "6.0"
_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Rule:
    """One official rule code: a kind, its arguments, and its level in each edition that has it."""

    code: str
    table: str
    element: str | None
    kind: str
    arguments: Mapping[str, Any]
    levels: Mapping[Edition, Level]


@dataclass(frozen=True, slots=True)
class Field:
    """One element of a table, with its format and the rules that follow from it."""

    element: str
    uid: str
    name: str
    type: Literal["text", "date", "time", "timestamp", "integer", "decimal"]
    mandation: str
    min_length: int | None
    max_length: int | None
    key: bool
    parent: str | None
    codes: str | None
    extract: tuple[str, ...]
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the intermediate database; ``id`` is MHSnnn, ``name`` the name of its file."""

    id: str
    name: str
    title: str
    fields: tuple[Field, ...]
    rules: tuple[Rule, ...]

    @property
    def elements(self) -> tuple[str, ...]:
        """Element names in the order of the intermediate database."""
        return tuple(field.element for field in self.fields)

    def field(self, element: str) -> Field:
        """The field of that element; KeyError when the table has none."""
        for field in self.fields:
            if field.element == element:
                return field
        raise KeyError(f"{self.name} has no element {element}")


@dataclass(frozen=True, slots=True)
class Standard:
    """One version of the data set."""

    version: str
    first_month: int
    tables: Mapping[str, Table]
    file_rules: tuple[Rule, ...]
    referential_order: tuple[str, ...]

    def table(self, name: str) -> Table:
        """A table by its id (MHS001) or its file name (MHS001MPI); KeyError when unknown."""
        found = self.tables.get(name[:6]) or next((table for table in self.tables.values() if table.name == name), None)
        if found is None:
            raise KeyError(f"version {self.version} has no table {name}")
        return found

    def rules(self) -> Iterator[Rule]:
        """Every rule: of the file, of each field, of each table."""
        yield from self.file_rules
        for table in self.tables.values():
            for field in table.fields:
                yield from field.rules
            yield from table.rules

    def codes(self, name: str) -> Mapping[str, str]:
        """Code -> meaning of a code list. The meaning is empty where no public source gives one."""
        return {row["code"]: row["meaning"] for row in self.code_rows(name)}

    def code_rows(self, name: str) -> Sequence[Mapping[str, str]]:
        """The rows of a code list with every column it has beside code and meaning."""
        return _code_list(self.version, name)


def month_id(year: int, month: int) -> int:
    """UniqMonthID of a calendar month: April 1900 is 1, April 2024 is 1489 (MHSDS derivation)."""
    return (year - 1900) * 12 + month - 3


def month_of(identifier: int) -> tuple[int, int]:
    """The (year, month) of a UniqMonthID; the inverse of ``month_id``."""
    year, month = divmod(identifier + 2, 12)
    return 1900 + year, month + 1


def financial_year(day: date) -> str:
    """The financial year that holds the day, April start, written 2026/27."""
    start = day.year if day.month >= 4 else day.year - 1
    return f"{start}/{(start + 1) % 100:02d}"


class _Tables(Mapping[str, Table]):
    """The tables of a folder by id, which names the file. Each is read when it is first asked for: most work needs a few of them."""

    def __init__(self, folder: Path) -> None:
        self._held: dict[str, Table | Path] = {path.stem: path for path in sorted(folder.glob("*.yaml"))}

    def __getitem__(self, key: str) -> Table:
        held = self._held[key]
        if isinstance(held, Path):
            held = self._held[key] = _table(_yaml(held))
        return held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)


@cache
def load(version: str = _NATIONAL) -> Standard:
    """The standard of that version, or the local IPS records (``LOCAL``); ValueError when the project does not hold it."""
    data = folder(version)
    about = _yaml(data / "version.yaml")
    return Standard(
        version=str(about["version"]),
        first_month=int(about["first_month"]),
        tables=_Tables(data / "tables"),
        file_rules=tuple(_rule(item, item["table"], None) for item in _yaml(data / "file_rules.yaml")),
        referential_order=tuple(_yaml(data / "referential_order.yaml")),
    )


def folder(version: str = _NATIONAL) -> Path:
    """Where the data of that version, or of the local IPS records (``LOCAL``), lie; ValueError when the project does not hold it."""
    found = _FOLDER / ("ips" if version == LOCAL else f"v{version.partition('.')[0]}")
    if not found.is_dir():
        raise ValueError(f"MHSDS version {version} is not known to this release")
    return found


@cache
def local_words() -> Mapping[str, Any]:
    """What services call the tables (sheets) and columns (headings) of their own IPS records, and the job columns of a caseload sheet."""
    words: Mapping[str, Any] = _yaml(folder(LOCAL) / "words.yaml")
    return words


@cache
def _code_list(version: str, name: str) -> Sequence[Mapping[str, str]]:
    # Local records use national lists, such as that of ethnic categories, beside their own.
    path = next(path for known in (version, _NATIONAL) if (path := folder(known) / "codes" / f"{name}.csv").is_file() or known == _NATIONAL)
    with path.open(encoding="utf-8", newline="") as handle:
        return tuple(csv.DictReader(handle))


def _yaml(path: Path) -> Any:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - a safe loader either way


def _table(data: Mapping[str, Any]) -> Table:
    identifier = data["table"]
    return Table(
        id=identifier,
        name=data["name"],
        title=data["title"],
        fields=tuple(_field(item, identifier) for item in data["fields"]),
        rules=tuple(_rule(item, identifier, None) for item in data["rules"]),
    )


def _field(data: Mapping[str, Any], table: str) -> Field:
    rules: Sequence[Mapping[str, Any]] = data.get("rules", ())
    return Field(
        element=data["element"],
        uid=data["uid"],
        name=data["name"],
        type=data["type"],
        mandation=data["mandation"],
        min_length=data.get("min_length"),
        max_length=data.get("max_length"),
        key=bool(data.get("key", False)),
        parent=data.get("parent"),
        codes=data.get("codes"),
        extract=tuple(data["extract"]),
        rules=tuple(_rule(item, table, data["element"]) for item in rules),
    )


def _rule(data: Mapping[str, Any], table: str, element: str | None) -> Rule:
    level = data["level"]
    levels: Mapping[Edition, Level] = level if isinstance(level, dict) else {"published": level, "etos": level}
    return Rule(
        code=data["code"],
        table=table,
        element=element,
        kind=data["kind"],
        arguments={key: value for key, value in data.items() if key not in ("code", "kind", "level")},
        levels=levels,
    )
