"""Explain a rejection: the path from a row back to the faults that took it out, in row numbers and codes, without any value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ips_pipeline.errors import InputError, UsageError
from ips_pipeline.mhsds.standard import REJECTING, Edition, Rule, Standard, Table, load
from ips_pipeline.quality import findings
from ips_pipeline.quality.findings import Portal, RuleSet
from ips_pipeline.quality.rulebook import LEVEL_WORDS, sentence
from ips_pipeline.store.duck import Connection, identifier, session

#: Rows named on one step of the path; the rest are counted.
_SHOWN = 5


def explain_reject(
    submission: Path,
    reference: Path,
    table: str,
    row: int,
    portal: Portal,
    edition: Edition = "published",
    *,
    temporary: Path | None = None,
) -> list[str]:
    """The path that removed a row of a submission, as lines of text: table names, row numbers, codes and rules only.

    ``table`` is MHSnnn or the file name, ``row`` the 1-based data row. A row that fails for want of a valid parent is followed to
    the parent rows and to what removed them, up to the rows where it starts; the last line names those. A row that would be
    loaded gets its warnings. Raises UsageError for an unknown table or row, and InputError when the submission cannot be read.
    """
    standard = load()
    asked = _table(standard, table)
    if not submission.is_dir():
        raise InputError(f"The submission folder {submission} does not exist or is not a folder; check the path")
    readable = [submission, reference] if reference.is_dir() else [submission]
    with session(read=readable, temporary=temporary) as connection:
        lists = findings.load(connection, [submission], [portal], reference, standard)
        rules = findings.rule_set(standard, edition, lists)
        findings.judge(connection, rules, 1)
        rows = _one(connection, f"SELECT count(*) FROM {identifier(asked.name)}")
        if not 1 <= row <= rows:
            raise UsageError(f"{asked.name} has {rows:,} rows; there is no row {row}")
        return list(_Path(connection, rules).lines(asked, row))


@dataclass(frozen=True, slots=True)
class _Failure:
    rule: Rule
    #: When the rule ran: 0 for the rules that look at rows as submitted, then one by one.
    turn: int


class _Path:
    """One submission that has been judged; walks from a row to its parents."""

    def __init__(self, connection: Connection, rules: RuleSet) -> None:
        self._connection = connection
        self._rules = rules
        self._turns = {rule.code: turn for turn, rule in enumerate((*rules.continuity, *rules.referential), 1)}
        self._by_code = {rule.code: rule for rule in rules.standard.rules()}
        self._starts: dict[tuple[str, int], list[str]] = {}
        self._seen: set[tuple[str, int]] = set()

    def lines(self, table: Table, row: int) -> Iterator[str]:
        refused = self._connection.execute(
            "SELECT DISTINCT code FROM findings WHERE code IN (SELECT unnest($codes)) ORDER BY code",
            {"codes": [code for code, level in self._rules.levels.items() if level == "file"]},
        ).fetchall()
        if refused:
            yield f"The file is rejected ({', '.join(code for (code,) in refused)}): nothing of it is loaded."
        failures = self._failures(table, row, before=len(self._turns) + 1)
        if not failures:
            yield f"{table.name} row {row} is not rejected."
            for rule in self._codes(table, row):
                yield f"  {self._words(rule)}"
            return
        yield from self._step(table, row, failures, "")
        yield "Start with: " + "; ".join(f"{name} row {number} ({', '.join(codes)})" for (name, number), codes in self._starts.items())

    def _step(self, table: Table, row: int, failures: list[_Failure], indent: str) -> Iterator[str]:
        """A rejected row, its failures, and below each missing parent what happened to it."""
        if (table.name, row) in self._seen:
            yield f"{indent}{table.name} row {row} is rejected, as above."
            return
        self._seen.add((table.name, row))
        yield f"{indent}{table.name} row {row} is rejected:"
        for failure in failures:
            yield f"{indent}  {self._words(failure.rule)}"
            if failure.rule.kind == "parent_exists":
                yield from self._parents(table, row, failure, indent + "    ")
            else:
                self._start(table, row, failure.rule)
                if twins := self._twins(table, row, failure.rule):
                    yield f"{indent}    The same key: {table.name} {twins}."

    def _parents(self, table: Table, row: int, failure: _Failure, indent: str) -> Iterator[str]:
        key = identifier(failure.rule.arguments["key"])
        parent = self._rules.standard.table(failure.rule.arguments["parent"])
        held = self._connection.execute(
            f"SELECT parent.row FROM {identifier(parent.name)} AS parent JOIN {identifier(table.name)} AS child USING (submission)"
            f" WHERE child.row = $row AND parent.{key} = child.{key} ORDER BY parent.row",
            {"row": row},
        ).fetchall()
        if not held:
            self._start(table, row, failure.rule)
            yield f"{indent}No {parent.name} row with this key was submitted."
        for (number,) in held[:_SHOWN]:
            # Only what had removed the parent by then: what removed it later cannot be the cause.
            yield from self._step(parent, number, self._failures(parent, number, before=failure.turn), indent)
        if len(held) > _SHOWN:
            yield f"{indent}{len(held) - _SHOWN:,} more {parent.name} rows with this key are rejected."

    def _failures(self, table: Table, row: int, before: int) -> list[_Failure]:
        """What rejected the row in the turns before that one, in order of turn."""
        rejecting = [rule for rule in self._codes(table, row) if self._rules.levels[rule.code] in REJECTING]
        failures = [_Failure(rule, self._turns.get(rule.code, 0)) for rule in rejecting]
        return sorted((failure for failure in failures if failure.turn < before), key=lambda failure: failure.turn)

    def _codes(self, table: Table, row: int) -> list[Rule]:
        held = self._connection.execute(
            "SELECT code FROM findings WHERE table_name = $name AND row = $row ORDER BY code", {"name": table.name, "row": row}
        )
        return [self._by_code[code] for (code,) in held.fetchall()]

    def _twins(self, table: Table, row: int, rule: Rule) -> str:
        """The other rows that share the key of a uniqueness rule, by number."""
        if rule.kind not in ("unique", "unique_when_blank"):
            return ""
        name = identifier(table.name)
        same = " AND ".join(f"twin.{identifier(element)} IS NOT DISTINCT FROM own.{identifier(element)}" for element in rule.arguments["elements"])
        if rule.kind == "unique_when_blank":
            same += f" AND twin.{identifier(rule.arguments['blank'])} IS NULL"
        twins = [
            str(number)
            for (number,) in self._connection.execute(
                f"SELECT twin.row FROM {name} AS own JOIN {name} AS twin USING (submission) WHERE own.row = $row AND twin.row <> own.row AND {same}"
                " ORDER BY twin.row",
                {"row": row},
            ).fetchall()
        ]
        more = f" and {len(twins) - _SHOWN:,} more" if len(twins) > _SHOWN else ""
        return f"{'row' if len(twins) == 1 else 'rows'} {', '.join(twins[:_SHOWN])}{more}"

    def _start(self, table: Table, row: int, rule: Rule) -> None:
        codes = self._starts.setdefault((table.name, row), [])
        if rule.code not in codes:
            codes.append(rule.code)

    def _words(self, rule: Rule) -> str:
        return f"{rule.code} {LEVEL_WORDS[self._rules.levels[rule.code]]}: {sentence(rule)}"


def _table(standard: Standard, name: str) -> Table:
    for table in standard.tables.values():
        if name in (table.id, table.name):
            return table
    raise UsageError(f"{name[:40]!r} is not a table of MHSDS {standard.version}; name it like MHS101 or MHS101Referral")


def _one(connection: Connection, query: str) -> int:
    found = connection.execute(query).fetchone()
    return int(found[0]) if found else 0
