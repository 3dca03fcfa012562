"""Find every rule that every row of one or many submissions breaks, and what is rejected after the cascade.

The order is the portal's. First all row rules look at all rows as submitted, valid or not. Then the GP registrations are
checked for continuity. Then the referential rules run once, in their fixed order, each against the parents that are still
valid at that moment. All submissions of a call are judged together, set by set, so a thousand small ones cost little more
than one.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ips_pipeline.errors import InputError
from ips_pipeline.mhsds.formats import MACROS
from ips_pipeline.mhsds.standard import REJECTING, Edition, Level, Rule, Standard, Table
from ips_pipeline.quality.kinds import KINDS, Judged
from ips_pipeline.store import folders
from ips_pipeline.store.duck import Connection, create_table, identifier, text_literal

#: Kinds that belong to the file as a whole; ``_file_findings`` decides them.
FILE_KINDS = frozenset({"structure", "table_empty", "period_mismatch", "header_invalid", "nothing_left"})
#: Kinds that no engine can decide: the standard holds the code, the portal has no rule for it.
INERT_KINDS = frozenset({"message_only"})

_TABLES_AT_ONCE = 2
_REFERENCE_LISTS = {"organisations": ("code",), "schools": ("code",), "postcodes": ("code", "Postcode")}


@dataclass(frozen=True, slots=True)
class Portal:
    """What the portal knows beside the file: who logged in, who sends, the period chosen, and when it is uploaded.

    Dates are yyyy-mm-dd and the upload time yyyy-mm-ddThh:mm:ss. None stands for the header's own value, and for now.
    """

    provider: str | None = None
    submitter: str | None = None
    period_start: str | None = None
    period_end: str | None = None
    uploaded: str | None = None


def period_days(period: str) -> tuple[str, str]:
    """First and last day, yyyy-mm-dd, of a reporting month written yyyy-mm."""
    year, month = int(period[:4]), int(period[5:7])
    return f"{period}-01", f"{period}-{calendar.monthrange(year, month)[1]:02d}"


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of one edition, split by when they run, and those that cannot be evaluated with the reason."""

    standard: Standard
    edition: Edition
    by_row: Mapping[str, tuple[Rule, ...]]
    by_set: Mapping[str, tuple[Rule, ...]]
    continuity: tuple[Rule, ...]
    referential: tuple[Rule, ...]
    file: tuple[Rule, ...]
    levels: Mapping[str, Level]
    not_evaluated: Mapping[str, str]


def rule_set(standard: Standard, edition: Edition, lists: Iterable[str]) -> RuleSet:
    """The rules that an edition has, given which look-up lists (organisations, schools, postcodes) are at hand."""
    held = {*lists, "assessment_tools"}
    by_row: dict[str, list[Rule]] = {}
    by_set: dict[str, list[Rule]] = {}
    continuity: list[Rule] = []
    referential: dict[str, Rule] = {}
    file: list[Rule] = []
    skipped: dict[str, str] = {}
    for rule in standard.rules():
        if edition not in rule.levels:
            continue
        if rule.kind in FILE_KINDS:
            file.append(rule)
        elif rule.kind in INERT_KINDS:
            skipped[rule.code] = "the portal has a message but no rule for this code"
        elif rule.kind == "in_list" and rule.arguments["list"] == "unpublished":
            skipped[rule.code] = "the code list is not public"
        elif rule.kind in ("length", "in_list") and rule.element is None:
            skipped[rule.code] = "the element that ETOS names is not in this table of the intermediate database"
        elif (needed := KINDS[rule.kind].needs_list) and needed not in held:
            skipped[rule.code] = f"{needed}.csv is not in the reference folder"
        elif rule.kind == "gp_continuity":
            continuity.append(rule)
        elif rule.kind == "parent_exists":
            referential[rule.code] = rule
        else:
            kind = KINDS[rule.kind]
            alone = kind.reads_other_rows or (rule.kind in ("not_after", "not_before") and _other_table(rule))
            (by_set if alone else by_row).setdefault(rule.table, []).append(rule)
    return RuleSet(
        standard,
        edition,
        {table: tuple(rules) for table, rules in by_row.items()},
        {table: tuple(rules) for table, rules in by_set.items()},
        tuple(continuity),
        tuple(referential[code] for code in standard.referential_order if code in referential),
        tuple(file),
        {rule.code: rule.levels[edition] for rule in standard.rules() if edition in rule.levels},
        skipped,
    )


def _other_table(rule: Rule) -> bool:
    other = str(rule.arguments["other"])
    return "." in other and other.partition(".")[0] not in ("MHS000", rule.table)


def load(connection: Connection, submissions: Sequence[Path], portals: Sequence[Portal], reference: Path, standard: Standard) -> frozenset[str]:
    """Load submission folders, portal data and look-up lists; create the judged relations. Gives the lists that were found.

    Afterwards the connection has, for every table of the standard, ``<name>`` (as submitted) and ``<name> judged`` (with the
    context columns that rules read). Raises InputError for a file that cannot be read.
    """
    for macro in MACROS:
        connection.execute(macro)
    with ThreadPoolExecutor(1) as beside:
        lists = beside.submit(_load_lists, connection.cursor(), reference, standard)
        folders.load(connection, submissions, list(standard.tables.values()))
        found = lists.result()
    _load_context(connection, portals, standard)
    header = standard.table("MHS000")
    shared = ", ".join(f"context.{identifier('@' + name)}" for name in header.elements if name)
    portal = ", ".join(f"context.{identifier('@portal_' + name)}" for name in Portal.__slots__)
    for table in standard.tables.values():
        # A table none of whose rules reads the header keeps its rows when there is no header; the others have none to judge.
        join = "JOIN" if any(KINDS[rule.kind].needs_header(rule) for rule in _rules_of(table) if rule.kind in KINDS) else "LEFT JOIN"
        connection.execute(
            f"CREATE VIEW {identifier(table.name + ' judged')} AS SELECT base.*, {shared}, {portal}"
            f" FROM {identifier(table.name)} AS base {join} context USING (submission)"
        )
    return found


def judge(connection: Connection, rules: RuleSet, submissions: int) -> None:
    """Evaluate every rule; creates ``findings`` (submission, table_name, row, code), ``rejected``, ``submitted`` and ``<name> valid`` views.

    ``row`` is 0 for a finding about the file. ``<name> valid`` holds the rows that are left after the cascade.
    """
    standard = rules.standard
    connection.execute("CREATE TABLE findings (submission INTEGER, table_name VARCHAR, row BIGINT, code VARCHAR)")
    # Most submissions fill a dozen of the 61 tables; a statement over an empty one still costs its planning.
    filled = _count_submitted(connection, standard)
    # These rules read rows as submitted, so tables wait for nothing; planning and a month's smaller tables keep only one core busy.
    with ThreadPoolExecutor(_TABLES_AT_ONCE) as tables:
        judged = [tables.submit(_judge_table, connection.cursor(), rules, table) for table in standard.tables.values() if table.name in filled]
        for done in judged:
            done.result()
    _create_valid(connection, rules)
    for rule in (*rules.continuity, *rules.referential):
        table = standard.table(rule.table)
        if table.name not in filled:
            continue
        _find(connection, rule, table, standard, rejecting=rule.levels[rules.edition] in REJECTING)
    _file_findings(connection, rules, submissions)


def _judge_table(connection: Connection, rules: RuleSet, table: Table) -> None:
    """The row rules of one table, the simple ones in one pass, and then those that read other rows."""
    held = Judged(rules.standard, table)
    if simple := rules.by_row.get(table.id):
        codes = ", ".join(f"CASE WHEN {KINDS[rule.kind].bad(rule, held)} THEN {text_literal(rule.code)} END" for rule in simple)
        connection.execute(
            f"INSERT INTO findings SELECT submission, {text_literal(table.name)}, row, unnest(codes) FROM ("
            f"SELECT submission, row, list_filter([{codes}], lambda code: code IS NOT NULL) AS codes"
            f" FROM {identifier(table.name + ' judged')} AS judged)"
        )
    for rule in rules.by_set.get(table.id, ()):
        _find(connection, rule, table, rules.standard)


def _count_submitted(connection: Connection, standard: Standard) -> frozenset[str]:
    """``submitted`` (submission, table_name, rows); gives the names of the tables that have any row."""
    connection.execute(
        "CREATE TABLE submitted AS "
        + " UNION ALL ".join(
            f"SELECT submission, {text_literal(table.name)} AS table_name, count(*) AS rows FROM {identifier(table.name)} GROUP BY submission"
            for table in standard.tables.values()
        )
    )
    return frozenset(name for (name,) in connection.execute("SELECT DISTINCT table_name FROM submitted").fetchall())


def _rules_of(table: Table) -> Iterable[Rule]:
    for field in table.fields:
        yield from field.rules
    yield from table.rules


def _find(connection: Connection, rule: Rule, table: Table, standard: Standard, *, rejecting: bool = False) -> None:
    """Run one rule as a statement of its own; in the later phases its rows stop being valid at once."""
    predicate = KINDS[rule.kind].bad(rule, Judged(standard, table))
    connection.execute(
        f"INSERT INTO findings SELECT submission, {text_literal(table.name)}, row, {text_literal(rule.code)}"
        f" FROM {identifier(table.name + ' judged')} AS judged WHERE {predicate}"
    )
    if rejecting:
        connection.execute(f"INSERT INTO rejected SELECT table_name, submission, row FROM findings WHERE code = {text_literal(rule.code)}")


def _create_valid(connection: Connection, rules: RuleSet) -> None:
    """After the row rules: ``rejected`` (table_name, submission, row), and per table a view of the rows that are still valid."""
    rejecting = ", ".join(text_literal(rule.code) for rule in rules.standard.rules() if rule.levels.get(rules.edition) in REJECTING)
    connection.execute(f"CREATE TABLE rejected AS SELECT DISTINCT table_name, submission, row FROM findings WHERE code IN ({rejecting})")
    for table in rules.standard.tables.values():
        connection.execute(
            f"CREATE VIEW {identifier(table.name + ' valid')} AS SELECT * FROM {identifier(table.name + ' judged')} AS judged WHERE NOT EXISTS"
            f" (SELECT 1 FROM rejected AS gone WHERE gone.table_name = {text_literal(table.name)}"
            " AND gone.submission = judged.submission AND gone.row = judged.row)"
        )


def _file_findings(connection: Connection, rules: RuleSet, submissions: int) -> None:
    """Findings about the file itself, as row 0: an empty mandatory table, a bad header, another period, nothing left."""
    standard = rules.standard
    every = f"(SELECT unnest(range(1, {submissions + 1}))::INTEGER AS submission)"
    for rule in rules.file:
        table = standard.table(rule.table)
        name = identifier(table.name)
        if rule.kind == "table_empty":
            some = " OR ".join(f"{identifier(element)} IS NOT NULL" for element in table.elements)
            condition = f"submission NOT IN (SELECT submission FROM {name} WHERE {some})"
        elif rule.kind == "period_mismatch":
            because = ", ".join(text_literal(code) for code in rule.arguments["because"])
            condition = f"submission IN (SELECT submission FROM findings WHERE code IN ({because}))"
        elif rule.kind == "header_invalid":
            condition = f"submission IN (SELECT submission FROM rejected WHERE table_name = {text_literal(table.name)})"
        elif rule.kind == "nothing_left":
            condition = (
                f"submission IN (SELECT submission FROM {name}) AND submission NOT IN (SELECT submission FROM {identifier(table.name + ' valid')})"
            )
        else:
            # The structure of an Access file is compared when one is read; text files have no types to compare.
            continue
        connection.execute(
            f"INSERT INTO findings SELECT submission, {text_literal(table.name)}, 0, {text_literal(rule.code)} FROM {every} WHERE {condition}"
        )


def _load_context(connection: Connection, portals: Sequence[Portal], standard: Standard) -> None:
    """``context``: per submission its first header row as submitted and what the portal knows; none without a header row."""
    known: dict[str, list[str | None]] = {name: [getattr(portal, name) for portal in portals] for name in Portal.__slots__}
    create_table(connection, "portal as given", {"submission": [str(number) for number in range(1, len(portals) + 1)], **known})
    connection.execute('CREATE VIEW portal AS SELECT * REPLACE (CAST(submission AS INTEGER) AS submission) FROM "portal as given"')
    header = standard.table("MHS000")
    own = ", ".join(f"header.{identifier(name)} AS {identifier('@' + name)}" for name in header.elements)
    connection.execute(
        f"CREATE TABLE context AS SELECT submission, {own},"
        ' coalesce(portal.provider, header."OrgIDProvider") AS "@portal_provider",'
        ' coalesce(portal.submitter, portal.provider, header."OrgIDProvider") AS "@portal_submitter",'
        ' coalesce(portal.period_start, header."ReportingPeriodStartDate") AS "@portal_period_start",'
        ' coalesce(portal.period_end, header."ReportingPeriodEndDate") AS "@portal_period_end",'
        ' portal.uploaded AS "@portal_uploaded"'
        f" FROM {identifier(header.name)} AS header JOIN portal USING (submission)"
        " QUALIFY row_number() OVER (PARTITION BY submission ORDER BY header.row) = 1"
    )


def _load_lists(connection: Connection, reference: Path, standard: Standard) -> frozenset[str]:
    """Load the look-up lists of the reference folder that exist, with an open end where no date is given."""
    found = []
    for name, columns in _REFERENCE_LISTS.items():
        path = reference / f"{name}.csv"
        if not path.is_file():
            continue
        try:
            held = path.open(encoding="utf-8-sig").readline().strip().split(",")
        except (OSError, UnicodeDecodeError):
            raise InputError(f"{path} cannot be read; check its permissions and that it is CSV in UTF-8") from None
        code = next((column for column in columns if column in held), None)
        if code is None:
            raise InputError(f"{path} needs a column {' or '.join(columns)}")
        start = "TRY_CAST(live_from AS DATE)" if "live_from" in held else "NULL"
        end = "TRY_CAST(live_to AS DATE)" if "live_to" in held else "NULL"
        value = f"upper(replace({identifier(code)}, ' ', ''))" if name == "postcodes" else identifier(code)
        place = ", LADistrictAuth" if name == "postcodes" and "LADistrictAuth" in held else ""
        connection.execute(
            f"CREATE TABLE {name} AS SELECT {value} AS code, coalesce({start}, DATE '0001-01-01') AS live_from,"
            f" coalesce({end}, DATE '9999-12-31') AS live_to{place} FROM read_csv({text_literal(str(path.resolve()))}, header = true,"
            " all_varchar = true, delim = ',', quote = '\"', escape = '\"') WHERE code IS NOT NULL"
        )
        found.append(name)
    tools = standard.code_rows("CodedAssToolType")
    columns = ("code", "lowest", "highest", "decimals", "values")
    create_table(connection, "assessment_tools as written", {column: [row[column] or None for row in tools] for column in columns})
    connection.execute(
        "CREATE VIEW assessment_tools AS SELECT code, CAST(lowest AS DECIMAL(18, 6)) AS lowest, CAST(highest AS DECIMAL(18, 6)) AS highest,"
        ' CAST(decimals AS INTEGER) AS decimals, "values" AS permitted FROM "assessment_tools as written"'
    )
    return frozenset(found)
