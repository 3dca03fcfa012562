"""Read a trust's own checks (LOCAL-nnn): YAML files that name a rule kind of the standard, its arguments and the trust's own words.

A folder holds any number of ``*.yaml`` files, each with a list ``checks``. Nothing in a file becomes SQL but through a kind,
and every argument is held to what the kind takes: numbers, elements of the table, code lists of the standard.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from ips_pipeline.errors import UsageError
from ips_pipeline.mhsds.standard import Rule, Table, load
from ips_pipeline.quality.checks import LocalCheck
from ips_pipeline.quality.findings import Portal
from ips_pipeline.quality.kinds import link
from ips_pipeline.settings import near

#: The words of a check; the other keys are its kind's arguments.
_WORDS = ("code", "table", "element", "kind", "level", "message", "why", "mend", "endangers")
_NEEDED = ("code", "table", "kind", "level", "message")

#: Kind -> its arguments; those in brackets may be left out. The kinds that belong to one official rule only are not offered.
ARGUMENTS: Mapping[str, str] = {
    "not_blank": "element",
    "length": "element min max",
    "digits": "element min max",
    "decimal": "element min max places",
    "in_list": "element list",
    "date": "element",
    "time": "element",
    "timestamp": "element offset",
    "not_after": "element other [days]",
    "not_before": "element other [days]",
    "not_after_upload": "element",
    "age_range": "element min max",
    "equals_portal": "element portal",
    "equals_header": "element other",
    "condition": "[element] bad_when",
    "nhs_number": "element",
    "postcode_format": "element",
    "postcode_known": "element",
    "snomed_concept": "element",
    "snomed_expression": "element",
    "clinical_code": "element scheme icd10 snomed",
    "assessment_tool": "element",
    "assessment_score": "element tool",
    "organisation": "element [defaults]",
    "school": "element",
    "unique": "[element] elements",
    "unique_when_blank": "[element] elements blank",
    "single_row": "",
    "parent_exists": "[element] parent key",
}


def home() -> Path:
    """The folder that is read when no other is named: ``expectations/local`` of the checkout, or of the installed package."""
    package = Path(__file__).resolve().parents[1]
    return next((folder for folder in (package / "expectations", package.parent / "expectations") if folder.is_dir()), package) / "local"


def read(folder: Path | None = None) -> tuple[LocalCheck, ...]:
    """The checks of every ``*.yaml`` file in the folder, in order of code; none where ``home()`` has none.

    Raises UsageError, one line that names the file and the key, for a check that is not right.
    """
    if folder is not None and not folder.is_dir():
        raise UsageError(f"The folder of local checks {folder} does not exist; create it or correct the path")
    found: dict[str, LocalCheck] = {}
    place = folder or home()
    for path in sorted(place.glob("*.yaml")) if place.is_dir() else ():
        for check in _file(path):
            if check.code in found:
                other = found[check.code].file
                where = "twice in it" if other == path else f"in {other} too"
                raise UsageError(f"{path}: the code {check.code} stands {where}; give each check its own number")
            found[check.code] = check
    return tuple(found[code] for code in sorted(found))


def _file(path: Path) -> list[LocalCheck]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - a safe loader either way
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"{path} cannot be read; check its permissions and that it is UTF-8 text") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise UsageError(f"{path} is not valid YAML{f' at line {mark.line + 1}' if mark else ''}; correct that line") from None
    if not isinstance(data, dict) or set(data) != {"checks"} or not isinstance(data["checks"], list):
        raise UsageError(f"{path} needs the one key checks with a list of checks; see the example beside expectations/local/README.md")
    return [_Reader(path, number, item).check() for number, item in enumerate(data["checks"], 1)]


class _Reader:
    """Reads one check and answers for its place in every message."""

    def __init__(self, path: Path, number: int, item: object) -> None:
        self._path, self._where, self._standard = path, f"check number {number}", load()
        if not isinstance(item, dict) or not all(isinstance(key, str) for key in item):
            raise self._wrong("must be keys and values")
        self._item: dict[str, Any] = item

    def check(self) -> LocalCheck:
        """The check; UsageError for the first thing that is not right."""
        item = self._item
        for key in _NEEDED:
            if not isinstance(item.get(key), str) or not item[key].strip():
                raise self._wrong(f"the key {key} is missing; add it as text")
        if not re.fullmatch(r"LOCAL-[0-9]{3}", item["code"]):
            raise self._wrong("the code must be LOCAL- and three digits, such as LOCAL-001")
        self._where = item["code"]
        table = self._table("table", item["table"])
        kind = item["kind"]
        if kind not in ARGUMENTS:
            raise self._wrong(f"unknown kind {kind[:40]}{near(kind, tuple(ARGUMENTS))}; the kinds are {', '.join(ARGUMENTS)}")
        arguments = self._arguments(kind, table)
        for key in ("why", "mend"):
            if not isinstance(item.get(key, ""), str):
                raise self._wrong(f"the key {key} must be text")
        endangers = item.get("endangers", [])
        if not isinstance(endangers, list) or not all(isinstance(name, str) for name in endangers):
            raise self._wrong("the key endangers must be a list of measures")
        rule = Rule(item["code"], table.id, item.get("element"), kind, arguments, {})
        return LocalCheck(
            rule, self._path, item["level"].strip(), item["message"].strip(), item.get("why", ""), item.get("mend", ""), tuple(endangers)
        )

    def _arguments(self, kind: str, table: Table) -> dict[str, Any]:
        named = ARGUMENTS[kind].split()
        allowed = [name.strip("[]") for name in named]
        for key in self._item:
            if key not in allowed and (key not in _WORDS or key == "element"):
                known = tuple(dict.fromkeys((*allowed, *_WORDS)))
                raise self._wrong(f"the kind {kind} takes no {key[:40]}{near(key, known)}; it takes {', '.join(allowed) or 'nothing'}")
        for key in named:
            if not key.startswith("[") and key not in self._item:
                raise self._wrong(f"the kind {kind} needs the key {key}; add it")
        readers: Mapping[str, Callable[[str, Any, Table], Any]] = {
            "element": self._element,
            "blank": self._element,
            "key": self._element,
            "scheme": self._element,
            "tool": self._element,
            "elements": self._elements,
            "min": self._number,
            "max": self._number,
            "places": self._number,
            "days": self._number,
            "offset": self._flag,
            "list": self._list,
            "portal": self._portal,
            "other": self._other,
            "bad_when": self._states,
            "icd10": self._codes,
            "snomed": self._codes,
            "defaults": self._codes,
            "parent": self._parent,
        }
        values = {key: readers[key](key, self._item[key], table) for key in allowed if key in self._item}
        if "min" in values and values["min"] > values["max"]:
            raise self._wrong("min is larger than max")
        if kind == "equals_header" and not values["other"].startswith("MHS000."):
            raise self._wrong("other must be an element of the header, such as MHS000.OrgIDProvider")
        if "parent" in values and values["key"] not in self._standard.table(values["parent"]).elements:
            raise self._wrong(f"key: {values['parent']} has no element {values['key']}")
        values.pop("element", None)
        return values

    def _wrong(self, what: str) -> UsageError:
        return UsageError(f"{self._path}: {self._where}: {what}")

    def _table(self, key: str, value: object) -> Table:
        names = tuple(name for table in self._standard.tables.values() for name in (table.id, table.name))
        if not isinstance(value, str) or value not in names:
            shown = str(value)[:40]
            raise self._wrong(f"{key}: the data set has no table {shown}{near(shown, names)}")
        return self._standard.table(value)

    def _element(self, key: str, value: object, table: Table) -> str:
        if not isinstance(value, str) or value not in table.elements:
            shown = str(value)[:40]
            raise self._wrong(f"{key}: {table.name} has no element {shown}{near(shown, table.elements)}")
        return value

    def _elements(self, key: str, value: object, table: Table) -> list[str]:
        if not isinstance(value, list) or not value:
            raise self._wrong(f"{key} must be a list of elements")
        return [self._element(key, name, table) for name in value]

    def _number(self, key: str, value: object, table: Table) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 1000:
            raise self._wrong(f"{key} must be a whole number from 0 to 1000")
        return value

    def _flag(self, key: str, value: object, table: Table) -> bool:
        if not isinstance(value, bool):
            raise self._wrong(f"{key} must be true or false")
        return value

    def _codes(self, key: str, value: object, table: Table) -> list[str]:
        if not isinstance(value, list) or not value or not all(isinstance(code, str) for code in value):
            raise self._wrong(f'{key} must be a list of codes, each in quotes, such as ["01", "02"]')
        return list(value)

    def _list(self, key: str, value: object, table: Table) -> str:
        lists = tuple(sorted({field.codes for other in self._standard.tables.values() for field in other.fields if field.codes}))
        if not isinstance(value, str) or value not in lists:
            shown = str(value)[:40]
            raise self._wrong(f"{key}: the standard has no code list {shown}{near(shown, lists)}")
        return value

    def _portal(self, key: str, value: object, table: Table) -> str:
        names = Portal.__slots__
        if not isinstance(value, str) or value not in names:
            raise self._wrong(f"{key} must be one of {', '.join(names)}")
        return value

    def _parent(self, key: str, value: object, table: Table) -> str:
        return self._table(key, value).id

    def _other(self, key: str, value: object, table: Table) -> str:
        """An element to compare with: of the row, of the header (MHS000.X), or of the table the row points to (MHSnnn.X)."""
        place, dot, name = str(value).rpartition(".")
        if not dot:
            return self._element(key, value, table)
        other = self._table(key, place)
        self._element(key, name, other)
        if other.id not in ("MHS000", table.id):
            self._linked(key, table, other)
        return f"{other.id}.{name}"

    def _linked(self, key: str, table: Table, other: Table) -> None:
        try:
            link(self._standard, table, other.id)
        except KeyError:
            raise self._wrong(f"{key}: {table.name} has no element that points to {other.name}") from None

    def _states(self, key: str, value: object, table: Table) -> dict[str, Any]:
        """Element -> missing, given, a list of codes, or {not_in: a list of codes}."""
        if not isinstance(value, dict) or not value:
            raise self._wrong(f"{key} must name elements and when they are bad, such as {{WeekHoursWorked: missing}}")
        states: dict[str, Any] = {}
        for element, state in value.items():
            name = self._element(key, element, table)
            if state in ("missing", "given"):
                states[name] = state
            elif isinstance(state, dict) and set(state) == {"not_in"}:
                states[name] = {"not_in": self._codes(f"{key}.{name}.not_in", state["not_in"], table)}
            elif isinstance(state, list):
                states[name] = self._codes(f"{key}.{name}", state, table)
            else:
                raise self._wrong(f"{key}.{name} must be missing, given, a list of codes, or not_in with a list of codes")
        return states
