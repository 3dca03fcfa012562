"""Which elements of the standard each measure reads, found by following its SQL step by step down to the submitted tables.

DuckDB parses the files; here columns are traced through joins, filters, groups, windows and unions. A column depends on what it is
computed from and on whatever decides which rows there are. A left join to a table whose whole key it names decides no rows, so its
columns matter only to what reads them; the key of a step is the one its header states.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from ips_pipeline.measures import reference, registry
from ips_pipeline.measures.registry import Measure
from ips_pipeline.mhsds import standard
from ips_pipeline.store import duck, steps

#: A table and a column of it; for a submitted table, an element.
Source = tuple[str, str]
Sources = frozenset[Source]

_NONE: Sources = frozenset()
_HEADER_KEYS = re.compile(r"^-- Grain: .+ Keys: (.+)\.$", re.MULTILINE)
_RECORDED = " as recorded"

#: Where the level of a breakdown stands, for the families that are counted by SQL of their own: (step, column).
_LEVELS: Mapping[str, tuple[str, str]] = {
    "age_band": ("mhs116", "age_band"),
    "gender": ("mhs116", "gender"),
    "upper_ethnicity": ("mhs116", "upper_ethnicity"),
    "imd_decile": ("mhs116", "imd_decile"),
    "provider": ("mhs116", "OrgIDProv"),
    "sub_icb": ("mhs116_sub_icb", "sub_icb"),
    "dashboard_provider": ("dashboard_row", "OrgIDProv"),
}


@dataclass(frozen=True, slots=True)
class Relation:
    """What each column of a table depends on (None for a column that is always NULL), what decides its rows, and its key."""

    columns: Mapping[str, Sources | None]
    rows: Sources = _NONE
    key: frozenset[str] | None = None
    #: What a column depends on that is not named.
    other: Sources = _NONE
    #: Of a union: what each column's values depend on without the rows of its branches.
    values: Mapping[str, Sources] | None = None

    def plain(self, column: str) -> Sources:
        """What the column's values depend on, whichever rows there are."""
        return self.values.get(column, _NONE) if self.values is not None else self.of(column)

    def of(self, column: str) -> Sources:
        """What the column's values depend on."""
        return (self.columns[column] or _NONE) if column in self.columns else self.other

    def everything(self, column: str) -> Sources:
        """The values of the column and the rows it has; a branch of a union in which it is NULL says nothing about it."""
        return self.of(column) if self.values is not None else self.of(column) | self.rows


@dataclass(slots=True)
class _Scope:
    relations: dict[str, Relation] = field(default_factory=dict)
    outer: _Scope | None = None
    #: Columns computed so far, which later ones may name.
    made: dict[str, Sources | None] = field(default_factory=dict)

    def find(self, names: Sequence[str]) -> Sources:
        """What a column reference depends on; nothing when it is the parameter of a lambda."""
        if len(names) > 1 and (relation := self.relations.get(names[0])):
            return relation.of(names[1])
        holding = [relation for relation in self.relations.values() if names[0] in relation.columns]
        if holding:
            return _union(relation.of(names[0]) for relation in holding)
        if relation := self.relations.get(names[0]):
            return _union(relation.of(column) for column in relation.columns)
        if names[0] in self.made:
            return self.made[names[0]] or _NONE
        if self.outer is not None:
            return self.outer.find(names)
        return _union(relation.other for relation in self.relations.values())


def fields(measure: Measure) -> Sources:
    """The elements and reference columns that decide the numbers of a measure over everybody."""
    if measure.family == "mhs116":
        return _known(_step("mhs116").everything("counted"))
    if measure.family == "dashboard":
        return _known(_union(_step("dashboard_row").everything(name) for name in (measure.numerator, measure.denominator) if name))
    if measure.numerator.startswith("t_"):
        return _known(_union(_step(f"{measure.family}_time").everything(name) for name in ("days", "happened")))
    return _known(_union(_step(measure.family).everything(name) for name in (measure.numerator, measure.denominator) if name))


def fields_of_breakdown(measure: Measure, breakdown: str) -> Sources:
    """What the levels of a breakdown read beside the measure's own fields."""
    if breakdown.startswith("by_"):
        step, column = (f"{measure.family}_time" if measure.numerator.startswith("t_") else measure.family), breakdown
    elif breakdown in _LEVELS:
        step, column = _LEVELS[breakdown]
    else:
        step, column = "dashboard_row", breakdown.removeprefix("dashboard_")
    return _known(_step(step).plain(column)) - fields(measure)


def elements(sources: Sources) -> list[Source]:
    """The elements of the standard among sources, in the order of the standard."""
    return [source for source in _in_order() if source in sources]


def reference_columns(sources: Sources) -> list[Source]:
    """The columns of reference files among sources, as (file name, column)."""
    return [(f"{name}.csv", column) for name, file in reference.FILES.items() for column in file.columns if (file.table, column) in sources]


def measures_by_element() -> dict[Source, list[str]]:
    """Every element that a measure reads, with the ids of those measures, by breakdowns as well."""
    found: dict[Source, list[str]] = {}
    for measure in registry.load().measures:
        every = fields(measure) | _union(fields_of_breakdown(measure, breakdown) for breakdown in measure.breakdowns)
        for source in elements(every):
            found.setdefault(source, []).append(measure.id)
    return found


def _standards() -> tuple[standard.Standard, ...]:
    return standard.load(), standard.load(standard.LOCAL)


@cache
def _in_order() -> tuple[Source, ...]:
    return tuple((table.name, element) for edition in _standards() for table in edition.tables.values() for element in table.elements)


@cache
def _told() -> Sources:
    """What a page names: elements and columns of reference files."""
    return frozenset(_in_order()) | {(file.table, column) for file in reference.FILES.values() for column in file.columns}


def _known(sources: Sources) -> Sources:
    return sources & _told()


def _union(parts: Iterator[Sources] | Sequence[Sources]) -> Sources:
    return _NONE.union(*parts)


@cache
def _parsed() -> Mapping[str, tuple[Mapping[str, Any], frozenset[str] | None]]:
    """Every step's syntax tree and the key its header states, by table name."""
    names = sorted(f"{folder}/{path.stem}" for folder in ("derive", "measures") for path in (steps.root() / folder).glob("*.sql"))
    found = {}
    with duck.session() as connection:
        for step in names:
            text = steps.text(step)
            row = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchone()
            tree: dict[str, Any] = json.loads(row[0]) if row else {"error": True}
            if tree["error"]:
                raise ValueError(f"sql/{step}.sql cannot be parsed")
            stated = _HEADER_KEYS.search(text)
            key = frozenset(re.findall(r"\w+", stated[1].partition(";")[0])) if stated and not stated[1].startswith("none") else None
            found[step.rpartition("/")[2]] = (tree["statements"][0]["node"], key)
    return found


@cache
def _step(name: str) -> Relation:
    tree, key = _parsed()[name]
    return replace(_node(tree, {}, None), key=key)


@cache
def _source(name: str) -> Relation:
    """A table that no step makes: submitted, recorded, reference or of the standard."""
    for edition in _standards():
        for table in edition.tables.values():
            if name.removesuffix(_RECORDED) == table.name:
                columns = (*table.elements, "submission", "row")
                return Relation({column: frozenset({(table.name, column)}) for column in columns}, other=frozenset({(table.name, "row")}))
    for file in reference.FILES.values():
        if file.table == name:
            return Relation({column: frozenset({(name, column)}) for column in file.columns}, key=frozenset())
    # Lists of the standard and the registry hold no data about anybody.
    return Relation({}, key=frozenset())


def _node(node: Mapping[str, Any], tables: Mapping[str, Relation], outer: _Scope | None) -> Relation:
    tables = dict(tables)
    for item in node.get("cte_map", {}).get("map", []):
        query = item["value"].get("query_node") or item["value"]["query"]["node"]
        tables[item["key"]] = _node(query, tables, outer)
    if node["type"] == "SET_OPERATION_NODE":
        children = node.get("children") or [node["left"], node["right"]]
        return _set_operation([_node(child, tables, outer) for child in children], by_name="BY_NAME" in node["setop_type"])
    return _select(node, tables, outer)


def _set_operation(branches: Sequence[Relation], *, by_name: bool) -> Relation:
    names = list(dict.fromkeys(name for branch in branches for name in branch.columns)) if by_name else list(branches[0].columns)
    columns: dict[str, Sources | None] = {}
    values: dict[str, Sources] = {}
    for position, name in enumerate(names):
        own = [(branch, name if by_name else list(branch.columns)[position]) for branch in branches]
        holding = [(branch, column) for branch, column in own if branch.columns.get(column) is not None]
        columns[name] = _union([branch.everything(column) for branch, column in holding]) if holding else None
        values[name] = _union([branch.plain(column) for branch, column in holding])
    return Relation(columns, _union([branch.rows for branch in branches]), values=values)


def _select(node: Mapping[str, Any], tables: Mapping[str, Relation], outer: _Scope | None) -> Relation:
    scope = _Scope(outer=outer)
    rows = _from(node["from_table"], tables, scope)
    for part in ("where_clause", "having"):
        rows |= _reads(node.get(part), tables, scope)
    for item in node["select_list"]:
        scope.made.update(_columns(item, tables, scope))
    rows |= _reads(node.get("group_expressions"), tables, scope) | _reads(node.get("qualify"), tables, scope)
    return Relation(dict(scope.made), rows, key=_grouped(node))


def _grouped(node: Mapping[str, Any]) -> frozenset[str] | None:
    """The key of a query that groups by plain columns, or keeps the first row of each partition."""
    parts = node.get("group_expressions") or (node.get("qualify") or {}).get("left", {}).get("partitions", [])
    if not parts or any(part.get("class") != "COLUMN_REF" for part in parts):
        return None
    return frozenset(part["column_names"][-1] for part in parts)


def _columns(item: Mapping[str, Any], tables: Mapping[str, Relation], scope: _Scope) -> dict[str, Sources | None]:
    """The columns that an item of a select list makes."""
    if star := _star_of(item):
        named = {name: value for relation in _starred(star, scope) for name, value in relation.columns.items()}
        excluded = {
            entry if isinstance(entry, str) else entry["path"][-1] if "path" in entry else entry["column"] for entry in star.get("exclude_list", [])
        }
        named = {name: value for name, value in named.items() if name not in excluded and _matches(star, name)}
        for entry in star.get("replace_list", []):
            key, value = (entry["key"], entry["value"]) if "key" in entry else next(iter(entry.items()))
            named[key] = _reads(value, tables, scope)
        beside = _reads({key: value for key, value in item.items() if value is not star}, tables, scope, skip=star)
        alias = item.get("alias") or ""
        return {
            (alias.replace("\\0", name) if "\\" in alias else name): (None if value is None and item is star else (value or _NONE) | beside)
            for name, value in named.items()
        }
    name = item.get("alias") or (item["column_names"][-1] if item["class"] == "COLUMN_REF" else item.get("function_name", item["type"]))
    if item["class"] == "COLUMN_REF":
        holding = [relation for relation in scope.relations.values() if item["column_names"][-1] in relation.columns]
        if len(holding) == 1 and holding[0].columns[item["column_names"][-1]] is None:
            return {name: None}
    return {name: None if _is_null(item) else _reads(item, tables, scope)}


def _is_null(item: Mapping[str, Any]) -> bool:
    if item["class"] == "CAST":
        return _is_null(item["child"])
    return item["class"] == "CONSTANT" and "NULL" in ((item.get("literal") or {}).get("kind"), (item.get("value") or {}).get("type", {}).get("id"))


def _star_of(item: Any) -> Mapping[str, Any] | None:
    """The star or COLUMNS() in an expression, which makes several columns of it."""
    if isinstance(item, dict):
        if item.get("class") == "STAR":
            return item
        if item.get("class") == "SUBQUERY":
            return None
        return next((found for value in item.values() if (found := _star_of(value))), None)
    if isinstance(item, list):
        return next((found for value in item if (found := _star_of(value))), None)
    return None


def _starred(star: Mapping[str, Any], scope: _Scope) -> list[Relation]:
    name = star.get("relation_name")
    return [scope.relations[name]] if name in scope.relations else list(scope.relations.values())


def _matches(star: Mapping[str, Any], name: str) -> bool:
    """Whether COLUMNS('pattern') takes a column; any other form is taken to take all."""
    pattern = ((star.get("expr") or {}).get("literal") or {}).get("text") or ((star.get("expr") or {}).get("value") or {}).get("value")
    return re.search(pattern, name) is not None if isinstance(pattern, str) else True


def _from(item: Mapping[str, Any] | None, tables: Mapping[str, Relation], scope: _Scope) -> Sources:
    """Put the relations of a FROM clause into the scope; gives what decides its rows."""
    if item is None or item["type"] == "EMPTY":
        return _NONE
    alias = item.get("alias") or ""
    if item["type"] == "BASE_TABLE":
        name = item["table_name"]
        scope.relations[alias or name] = relation = tables[name] if name in tables else _step(name) if name in _parsed() else _source(name)
        return relation.rows
    if item["type"] == "SUBQUERY":
        relation = _node(item["subquery"]["node"], tables, scope)
        scope.relations[alias or "subquery"] = relation
        return relation.rows
    if item["type"] == "JOIN":
        return _join(item, tables, scope)
    if item["type"] == "PIVOT":
        inner = _Scope(outer=scope.outer)
        rows = _from(item["source"], tables, inner)
        columns = {name: value for relation in inner.relations.values() for name, value in relation.columns.items()}
        values = _union([value or _NONE for value in columns.values()])
        made = [name for part in (item, *item.get("pivots", [])) for name in part.get("unpivot_names", [])]
        scope.relations[alias or "pivot"] = Relation({**columns, **dict.fromkeys(made, values)}, rows)
        return rows
    reads = _reads(item, tables, scope)
    scope.relations[alias or item["type"]] = Relation({}, reads, other=reads)
    return reads


def _join(item: Mapping[str, Any], tables: Mapping[str, Relation], scope: _Scope) -> Sources:
    left = _from(item["left"], tables, scope)
    before = set(scope.relations)
    right = _from(item["right"], tables, scope)
    added = [name for name in scope.relations if name not in before]
    condition = _reads(item.get("condition"), tables, scope)
    for column in item.get("using_columns", []):
        condition |= _union([relation.of(column) for relation in scope.relations.values()])
    if item["join_type"] != "LEFT":
        return left | right | condition
    alone = all(_is_keyed(scope.relations[name], name, item.get("condition")) for name in added)
    for name in added:
        relation = scope.relations[name]
        joined = {column: (value or _NONE) | relation.rows | condition for column, value in relation.columns.items()}
        scope.relations[name] = replace(relation, columns=joined, other=relation.other | condition)
    return left if alone else left | right | condition


def _is_keyed(relation: Relation, name: str, condition: Any) -> bool:
    """Whether the condition names the whole key of a relation, so that at most one row of it matches."""
    return relation.key is not None and relation.key <= frozenset(_bound(condition, name))


def _bound(condition: Any, name: str) -> Iterator[str]:
    if not isinstance(condition, dict):
        return
    if condition.get("type") == "CONJUNCTION_AND":
        for child in condition["children"]:
            yield from _bound(child, name)
    if condition.get("type") == "COMPARE_EQUAL":
        for side in (condition["left"], condition["right"]):
            if side.get("class") == "COLUMN_REF" and side["column_names"][0] == name:
                yield side["column_names"][-1]


def _reads(item: Any, tables: Mapping[str, Relation], scope: _Scope, skip: Any = None) -> Sources:
    """Every source that an expression reads, of its own scope and of those around it."""
    if item is skip and skip is not None:
        return _NONE
    if isinstance(item, list):
        return _union([_reads(value, tables, scope, skip) for value in item])
    if not isinstance(item, dict):
        return _NONE
    if item.get("class") == "COLUMN_REF":
        return scope.find(item["column_names"])
    found = _NONE
    if item.get("class") == "SUBQUERY" and isinstance(item.get("subquery"), dict):
        inner = _node(item["subquery"]["node"], tables, scope)
        found = inner.rows | _union([value or _NONE for value in inner.columns.values()])
    return found | _union([_reads(value, tables, scope, skip) for key, value in item.items() if key != "subquery"])
