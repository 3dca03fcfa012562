"""The rules in words: one page per official code, per check beyond the portal and per rule of local IPS records.

And what the project does about every official one.

The wording is our own, composed from a rule's kind, level and elements. Examples come from the kinds and from the rows below;
tests execute every one.
"""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any, Literal

from ips_pipeline.errors import UsageError
from ips_pipeline.mhsds import standard as mhsds
from ips_pipeline.mhsds.standard import LOCAL, REJECTING, Edition, Level, Rule, Standard, Table, load
from ips_pipeline.quality import checks
from ips_pipeline.quality.checks import Check, LocalCheck
from ips_pipeline.quality.findings import FILE_KINDS, INERT_KINDS, rule_set
from ips_pipeline.quality.kinds import KINDS, Judged

Status = Literal["evaluated", "derived", "not evaluated", "not applicable"]

LEVEL_WORDS: Mapping[Level, str] = {
    "file": "File rejected",
    "group": "Group rejected",
    "record": "Record rejected",
    "severity1": "Severity 1 warning",
    "warning": "Warning",
}

_LEVEL_EFFECTS: Mapping[Level, str] = {
    "file": "nothing of the file is loaded",
    "group": "the row is not loaded, nor are the rows that depend on it",
    "record": "the row is not loaded, nor are the rows that depend on it",
    "severity1": "the row is loaded and flagged as a serious data quality fault",
    "warning": "the row is loaded and flagged",
}

#: The same for local IPS records, which no portal judges.
_LOCAL_EFFECTS: Mapping[bool, str] = {
    True: "the row does not count, nor do the rows that depend on it",
    False: "the row counts and is flagged",
}

_EDITIONS: Mapping[Edition, str] = {"published": "published rules (January 2024)", "etos": "ETOS 6.0 (March 2024)"}

#: The look-up lists of a reference folder, all at hand.
_LISTS = ("organisations", "schools", "postcodes")

#: How many measures the page of a rule names.
_READERS_SHOWN = 8

#: Kinds that follow from other findings; the portal's own stage for them is not public.
_DERIVED = frozenset({"period_mismatch", "header_invalid", "nothing_left"})

_FILE_SENTENCES: Mapping[str, str] = {
    "structure": "The tables, columns and types of the Access file must be those of the template.",
    "table_empty": "{table} must have at least one row that is not blank.",
    "period_mismatch": "The file must be for the reporting period chosen at upload.",
    "header_invalid": "The header must be valid, and there must be only one.",
    "nothing_left": "At least one row of {table} must be left after validation.",
    "message_only": "The portal has a message for this code but no rule that gives it.",
}

_FIXES: Mapping[str, str] = {
    "not_blank": "Record {elements} in the system the rows come from. "
    "If it is recorded there, check that the extract maps it and that the join finds it.",
    "length": "Look for padding, a line break or a value of another field in {elements}; send the code or identifier alone. "
    "Do not cut an identifier to make it fit: shorten it at source, the same way in every table.",
    "digits": "Send {elements} as digits only: no sign, decimals, spaces or unit. Check that a number is not formatted on the way out.",
    "decimal": "Send {elements} as a plain number with a point and exactly the decimals asked for; "
    "leave out currency signs and thousands separators.",
    "in_list": "Map the local value of {elements} to a national code. "
    "With a blank before or after it, or in another case, it is not the national code.",
    "date": "Send {elements} as yyyy-mm-dd without a time of day. A placeholder date before 1890 stands for nothing: send it empty.",
    "time": "Send {elements} as hh:mm:ss, or empty where the time is not known; do not send midnight for an unknown time.",
    "timestamp": "Send {elements} as yyyy-mm-ddThh:mm:ss, with the offset where one is asked for, and without fractions of a second.",
    "not_after": "Compare {element} with {other} in the source system and correct the one that was mistyped.",
    "not_before": "Compare {element} with {other} in the source system and correct the one that was mistyped.",
    "not_after ReportingPeriodEndDate": "Correct {element} if it was mistyped. If it is right it belongs to a later month: "
    "leave the row, or the date that has not come yet, for that month's file.",
    "not_before ReportingPeriodStartDate": "Correct {element} if it was mistyped. If it is right it belongs to an earlier month: "
    "leave the row out of this file, and send that month again if it was missed there.",
    "not_after_upload": "Check the clock and the time zone of the system that writes the file; build the file again before sending it.",
    "age_range": "Correct {elements} in the patient record; look for a wrong century.",
    "equals_portal": "Choose the same provider and period in the portal as in the header, or build the file again with the right header.",
    "equals_header": "Use the provider's own code for {elements}, as it stands in the header; "
    "for an identifier that another organisation issued, expect the flag.",
    "condition": "Fill in or clear {elements} together in the source system, so that one does not stand without the other.",
    "nhs_number": "Trace the person and correct the number. Until then send it empty with the status that says so: "
    "one number that fails its check rejects everybody's rows.",
    "postcode_format": "Correct the postcode in the patient or site record: outward code, one blank, inward code, nothing around them.",
    "postcode_known": "Check the postcode against the current national list, and send the list for the right month to the reference folder.",
    "snomed_concept": "Send the bare SNOMED CT identifier as text: no term, bars, line break or rounding by a spreadsheet.",
    "snomed_expression": "Send the concept alone, or concept:attribute=value without blanks, braces, terms or a second qualifier.",
    "clinical_code": "Check that the code belongs to the scheme the row names; send ICD-10 or the bare SNOMED CT identifier.",
    "assessment_tool": "Map the assessment to the SNOMED CT identifier that the data set gives for that score.",
    "assessment_score": "Check the score against the range of the tool, and that it was entered under the right question.",
    "organisation": "Look the code up in the Organisation Data Service: it must be live on the first day of the reporting period. "
    "Replace closed codes by their successor; use a default code only where the standard allows one.",
    "school": "Look the establishment up in the national list of schools: it must be open on the first day of the reporting period.",
    "unique": "Look for the same record sent twice, by a join that multiplies rows or by a merge of records; keep one row per {elements}.",
    "unique_when_blank": "Date the older rows, so that only the current one for the same {elements} is left open.",
    "single_row": "Write exactly one header row.",
    "gp_continuity": "Send the registration that followed the one that ended, from the same day or the day after; "
    "if the person is with no practice, use the default code that says so.",
    "parent_exists": "Send the {parent} row with the same {elements}, or correct the identifier if it differs by case or blanks. "
    "If that row was sent and rejected, mend it first: this row then comes back by itself.",
    "reject_all": "Leave {table} out of the file.",
    "structure": "Start from the template file of the right version and do not change its tables or columns.",
    "table_empty": "Check that the extract of {table} ran and that its filter does not leave out everything.",
    "period_mismatch": "Choose the period of the file in the portal, or build the file again for the period wanted.",
    "header_invalid": "See the findings on the header and correct them; write exactly one header row.",
    "nothing_left": "See the rejected rows of {table} and of what they depend on; one cause usually stands behind all of them.",
    "message_only": "Nothing to do.",
}
#: How to mend local IPS records, which people keep in a workbook or a system of their own.
_LOCAL_FIXES: Mapping[str, str] = {
    "not_blank": "Fill in {elements}. If the sheet has it, check that the heading of its column is one that is understood; "
    "the element's own name always is.",
    "length": "Shorten {elements}; look for a line break, or for a note that belongs in another column.",
    "in_list": "Write {elements} as one of these, by the code or its meaning: {codes}.",
    "calendar_date": "Write {elements} as a whole date, such as 05/01/2026 or 2026-01-05. "
    "Look for a day that does not exist, a note beside the date, and a year of birth with two digits.",
    "number": "Write {elements} as a plain number within these bounds: no words, no unit, no sign.",
    "monday": "Give the Monday on which the week begins.",
    "nhs_number": "Compare the number with the patient record and correct it. Until then leave it empty and give LocalPatientID.",
    "postcode_format": "Write the postcode with one blank between its two parts.",
    "known_referral": "Compare {elements} with the referral in the patient system and correct it; leave it empty where no referral is returned. "
    "Without it, access by the records and by the MHSDS cannot be compared for this episode.",
    "condition": "Fill in or clear {elements} together, so that one does not stand without the other.",
    "condition blank": "Fill in {elements}, or at least one of them.",
    "unique": "Look for a row that was pasted twice, or a number that was given twice; keep one row per {elements}.",
    "parent_exists": "Add the row of {parent} with the same {elements}, or correct it where it was mistyped. "
    "If that row is there and does not count, mend it first: this row then counts by itself.",
    "related_row": "Add the row of {parent} with the same {elements}, or correct them where they were mistyped.",
    "conflicts_with_related": "Compare {elements} with the row of {parent} and correct the one that is wrong.",
    "within_related": "Compare {elements} with the dates in {parent}: correct the one that is wrong, or add the time that is missing there.",
}
_NOTHING_TO_FIX = "Nothing to do: nothing can fail this rule."


#: What the header says in examples that compare with it.
_EXAMPLE_DAYS: Mapping[str, date] = {
    "MHS000.ReportingPeriodStartDate": date(2025, 9, 1),
    "MHS000.ReportingPeriodEndDate": date(2025, 9, 30),
    "MHS000.DateTimeDatSetCreate": date(2025, 10, 13),
}


@dataclass(frozen=True, slots=True)
class Example:
    """A row (element -> value, None for blank; ``MHS000.X`` is the header's) that passes or fails the rule."""

    row: Mapping[str, str | None]
    passes: bool


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is done about one official code. ``note`` gives the reason or the condition; levels are empty where an edition lacks the code."""

    code: str
    table: str
    element: str
    kind: str
    published: str
    etos: str
    status: Status
    note: str


def page(code: str, local: Sequence[LocalCheck] = ()) -> str:
    """The page of one rule or check as plain text, without a trailing line break.

    ``local`` are the trust's own checks. UsageError for a code that neither the standards nor the checks have.
    """
    wanted = code.strip().upper()
    held: list[Check | LocalCheck] = [*checks.registry().checks, *local]
    for check in held:
        if check.code == wanted:
            return _check_page(load(), check)
    rule = _rule(code)
    standard = _standard(rule)
    table = standard.table(rule.table)
    lines = [f"{rule.code}  {sentence(rule)}", "", *_facts(standard, rule, table), "", "How to fix it at source", *_wrapped(_fix(rule, table))]
    if endangered := endangers(standard, rule):
        lines += ["", "What it endangers", *(part for line in endangered for part in _wrapped(line))]
    for title, passes in (("Good values", True), ("Bad values", False)):
        if shown := [example for example in examples(standard, rule) if example.passes is passes]:
            lines += ["", title, *(f"  {_written(example.row)}" for example in shown)]
    return "\n".join(lines)


def described(code: str, local: Sequence[LocalCheck] = ()) -> dict[str, Any]:
    """What ``page`` says of a rule or check, as values for a program; UsageError as there.

    Keys: code, table, element (None where there is none), sentence, levels by edition, fix, endangers; of a rule also kind, status and note.
    """
    words = checks.catalogue(local).get(code.strip().upper())
    if words is not None:
        about: dict[str, Any] = {"code": code.strip().upper(), "table": words.table, "element": words.element or None, "sentence": words.title}
        return about | {"levels": {"check": words.level}, "why": words.why, "fix": words.mend, "endangers": list(words.endangers)}
    rule = _rule(code)
    standard = _standard(rule)
    table, covered = standard.table(rule.table), _covered(standard, rule)
    about = {"code": rule.code, "table": table.name, "element": rule.element, "sentence": sentence(rule)}
    levels = {"local": rule.levels["published"]} if standard.version == LOCAL else dict(rule.levels)
    about |= {"levels": levels, "fix": _fix(rule, table), "endangers": endangers(standard, rule)}
    return about | {"kind": rule.kind, "status": covered.status, "note": covered.note}


def catalogue() -> list[tuple[str, str, str, str, str]]:
    """Every official code: code, table, element (or empty), level in the published rules (or the ETOS level in brackets), sentence."""
    standard = load()
    rows = []
    for rule in sorted(standard.rules(), key=lambda rule: rule.code):
        level = _level(rule, "published") or (f"({_level(rule, 'etos')})" if _level(rule, "etos") else "")
        rows.append((rule.code, standard.table(rule.table).name, rule.element or "", level, sentence(rule)))
    return rows


def checks_catalogue(local: Sequence[LocalCheck] = ()) -> list[tuple[str, str, str, str, str]]:
    """The checks beyond the portal, in the form of ``catalogue``; the level is "check", or the trust's own word for it."""
    return [(code, words.table, words.element, words.level, words.title) for code, words in checks.catalogue(local).items()]


def records_catalogue() -> list[tuple[str, str, str, str, str]]:
    """The rules of local IPS records, in the form of ``catalogue``."""
    standard = load(LOCAL)
    return [(rule.code, standard.table(rule.table).name, rule.element or "", _level(rule, "published"), sentence(rule)) for rule in standard.rules()]


def coverage() -> list[Coverage]:
    """Every official code, in order of code, with what is done about it.

    ``evaluated``: decided row by row, or for the file, as the portal does. ``derived``: follows from other findings by our
    reading, as the portal's own stage is not public. ``not evaluated``: it cannot be decided, and the note says what is
    missing. ``not applicable``: no rule stands behind the code.
    """
    standard = load()
    return [_covered(standard, rule) for rule in sorted(standard.rules(), key=lambda rule: rule.code)]


def sentence(rule: Rule) -> str:
    """The rule in plain words, without any value of a row."""
    if unheld := _unheld(rule):
        return f"{unheld[0].upper()}{unheld[1:]}."
    if rule.kind in _FILE_SENTENCES:
        return _FILE_SENTENCES[rule.kind].format(table=load().table(rule.table).name)
    standard = _standard(rule)
    return KINDS[rule.kind].sentence(rule) if standard.version != LOCAL else _local_sentence(standard, rule)


def advice(rule: Rule) -> str:
    """How to mend it at source; empty where nothing stands behind the code."""
    return "" if rule.kind in INERT_KINDS else _fix(rule, _standard(rule).table(rule.table))


def judged_elements(rule: Rule, table: Table) -> tuple[str, ...]:
    """The elements of the row that decide the rule, in order; ``MHS000.X`` for one of the header. Elements of other tables are left out."""
    arguments = rule.arguments
    named: list[str] = [rule.element] if rule.element else []
    named.extend(arguments.get("elements", ()))
    for name in ("bad_when", "keys", "when", "before"):
        named.extend(arguments.get(name, ()))
    # A rule about a span compares a date with it; the key only says whose span.
    single = ("date",) if "date" in arguments else ("key", "blank", "scheme", "tool", "other")
    named.extend(str(arguments[name]) for name in single if name in arguments)
    if rule.kind == "gp_continuity":
        named.extend(("LocalPatientID", "GMPReg", "EndDateGMPRegistration"))
    own = (name.removeprefix(f"{table.id}.") for name in named)
    return tuple(dict.fromkeys(name for name in own if name in table.elements or name.startswith("MHS000.")))


def endangers(standard: Standard, rule: Rule) -> list[str]:
    """What the measures of IPS lose by a row that fails: through its elements, and through the rows lost with it where it is rejected."""
    if _cannot(rule) or rule.kind in INERT_KINDS:
        return []
    uses = _uses(standard.version)
    table = standard.table(rule.table)
    judged = judged_elements(rule, table)
    lines = [f"{element}: {uses[table.name][element]}" for element in judged if element in uses.get(table.name, {})]
    if readers := list(dict.fromkeys(measure for element in judged for measure in _readers(standard.version).get((table.name, element), ()))):
        more = " and others" if len(readers) > _READERS_SHOWN else ""
        lines.append(f"Measures that read it: {', '.join(readers[:_READERS_SHOWN])}{more}.")
    levels = set(rule.levels.values())
    if "file" in levels:
        lines.append("Every measure of the month: nothing of the file is loaded.")
    elif levels & REJECTING and any(other.kind == "header_invalid" and other.table == table.id for other in standard.file_rules):
        lines.append("Every measure of the month: a rejected header rejects the file.")
    elif levels & REJECTING:
        lost = [name for name in _lost_with(standard, table.id) if name in uses or standard.version == LOCAL]
        if lost:
            lines.append(f"A rejected row takes with it what the measures read from {', '.join(lost)}.")
    return lines


def examples(standard: Standard, rule: Rule) -> list[Example]:
    """Rows that pass and fail the rule, only with the elements that matter; none where other rows or look-up lists decide."""
    if rule.kind in FILE_KINDS | INERT_KINDS or _cannot(rule):
        return []
    held = KINDS[rule.kind].examples(rule, Judged(standard, standard.table(rule.table)))
    found = [Example({_own(rule): value}, True) for value in held.good] + [Example({_own(rule): value}, False) for value in held.bad]
    return found or list(_rows(rule))


def _rows(rule: Rule) -> Iterator[Example]:
    """Examples that need more than one element."""
    arguments = rule.arguments
    if rule.kind in ("not_after", "not_before"):
        other = str(arguments["other"])
        limit = _EXAMPLE_DAYS.get(other, date(2025, 9, 10))
        forward = timedelta(days=1 if rule.kind == "not_after" else -1)
        edge = limit + forward * int(arguments.get("days", 0))
        for good in (edge, limit - forward):
            yield Example({_own(rule): good.isoformat(), other: limit.isoformat()}, True)
        yield Example({_own(rule): None, other: limit.isoformat()}, True)
        yield Example({_own(rule): (edge + forward).isoformat(), other: None}, True)
        yield Example({_own(rule): (edge + forward).isoformat(), other: limit.isoformat()}, False)
    elif rule.kind == "condition":
        yield from _conditions(arguments["bad_when"])
    elif rule.kind == "clinical_code":
        for scheme, value, passes in (
            (arguments["icd10"][0], "F20.0", True),
            (arguments["icd10"][0], "F20", False),
            (arguments["snomed"][0], "772822000", True),
            (arguments["snomed"][0], "772822001", False),
            (arguments["snomed"][0], "F20.0", False),
        ):
            yield Example({_own(rule): value, arguments["scheme"]: scheme}, passes)
    elif rule.kind == "equals_header":
        yield Example({_own(rule): "RXX", arguments["other"]: "RXX"}, True)
        yield Example({_own(rule): "RXY", arguments["other"]: "RXX"}, False)
    elif rule.kind == "age_range":
        for born, passes in (("1980-05-17", True), ("2027-01-31", False), ("1880-01-01", False)):
            yield Example({_own(rule): born, "MHS000.ReportingPeriodEndDate": "2025-09-30"}, passes)


def _conditions(bad_when: Mapping[str, str | Sequence[str] | Mapping[str, Sequence[str]]]) -> Iterator[Example]:
    """The row in which every state holds fails; where any one of them does not, it passes."""
    bad: dict[str, str | None] = {}
    good: dict[str, str | None] = {}
    for element, state in bad_when.items():
        if isinstance(state, str):
            bad[element], good[element] = (None, "X1") if state == "missing" else ("X1", None)
        elif isinstance(state, Mapping):
            bad[element], good[element] = "~", state["not_in"][0]
        else:
            bad[element], good[element] = next((code for code in state if code != "missing"), None), "X1"
    for element in bad:
        yield Example({**bad, element: good[element]}, True)
    yield Example(bad, False)


def _check_page(standard: Standard, check: Check | LocalCheck) -> str:
    words = checks.catalogue([check] if isinstance(check, LocalCheck) else [])[check.code]
    table = standard.table(words.table)
    lines = [f"{check.code}  {words.title}", "", f"Table: {table.name} ({table.title})"]
    if words.element:
        field = table.field(words.element)
        lines.append(f"Element: {field.element} ({field.name}), {field.uid}")
    if isinstance(check, LocalCheck):
        lines += [f"Level: {words.level} (the trust's own; nothing is rejected)", f"Kind: {check.rule.kind.replace('_', ' ')}", f"From: {check.file}"]
        shown = examples(standard, check.rule)
        good, bad = ([_written(item.row) for item in shown if item.passes is passes] for passes in (True, False))
        lines.insert(3, f"Rule: {sentence(check.rule)}")
    else:
        lines.append("Level: check beyond the portal (nothing is rejected)")
        if check.at_least:
            lines.append(f"Needs: {check.at_least} of the {check.months} months before, at least" if check.months > 1 else "Needs: the month before")
        lines += [f"Needs: {name}.csv in the reference folder" for name in check.needs]
        good, bad = ([_edits_written(edits) for edits in held] for held in (check.good, check.bad))
    for title, text in (("Why it matters", words.why), ("How to fix it at source", words.mend), ("What it endangers", ", ".join(words.endangers))):
        if text:
            lines += ["", title, *_wrapped(text)]
    for title, held in (("Good, beside a clean month", good), ("Bad", bad)):
        if held:
            lines += ["", title, *(f"  {line}" for line in held)]
    return "\n".join(lines)


def _edits_written(edits: Mapping[str, Any]) -> str:
    """One line for an example of the registry of checks: what differs from the clean month."""
    parts = []
    for table, edit in edits.items():
        if table == "earlier":
            parts.append(f"in the months before: {_edits_written(edit)}")
        elif isinstance(edit, int):
            parts.append(f"{table} with {edit} rows")
        elif isinstance(edit, list):
            rows = " and ".join(_written(row) if row else "the clean row" for row in edit)
            parts.append(f"{table} with {rows}" if rows else f"{table} without a row")
        else:
            parts.append(f"{table} {_written(edit)}")
    return "; ".join(parts) or "as it is"


def _facts(standard: Standard, rule: Rule, table: Table) -> list[str]:
    facts = [("Table", f"{table.name} ({table.title})")]
    if rule.element:
        field = table.field(rule.element)
        facts.append(("Element", f"{field.element} ({field.name}), {field.uid}"))
    if standard.version == LOCAL:
        level = rule.levels["published"]
        facts.append(("Severity", f"{LEVEL_WORDS[level]}: {_LOCAL_EFFECTS[level in REJECTING]}"))
    for edition, words in _EDITIONS.items() if standard.version != LOCAL else ():
        held = rule.levels.get(edition)
        facts.append((f"Severity, {words}", f"{LEVEL_WORDS[held]}: {_LEVEL_EFFECTS[held]}" if held else "not in this edition"))
    facts.append(("Kind", rule.kind.replace("_", " ")))
    covered = _covered(standard, rule)
    facts.append(("Status", covered.status + (f": {covered.note}" if covered.note else "")))
    return [f"{name}: {value}" for name, value in facts]


def _fix(rule: Rule, table: Table) -> str:
    if _unheld(rule):
        return _NOTHING_TO_FIX
    standard = _standard(rule)
    elements = [name.removeprefix("MHS000.") for name in judged_elements(rule, table)]
    joined = " and ".join([", ".join(elements[:-1]), elements[-1]] if len(elements) > 1 else elements)
    parent = standard.table(rule.arguments["parent"]).name if "parent" in rule.arguments else ""
    other = str(rule.arguments.get("other", "")).removeprefix("MHS000.")
    advice, codes = _FIXES.get(f"{rule.kind} {other}") or _FIXES.get(rule.kind, ""), ""
    if standard.version == LOCAL:
        all_blank = set(map(str, rule.arguments.get("bad_when", {}).values())) == {"missing"}
        advice = _LOCAL_FIXES.get(f"{rule.kind} blank" if all_blank else rule.kind) or advice
        held = standard.codes(rule.arguments["list"]) if rule.kind == "in_list" else {}
        codes = "; ".join(f"{code} ({meaning})" for code, meaning in held.items())
    return advice.format(element=rule.element or "", elements=joined, other=other, table=table.name, parent=parent, codes=codes)


def _local_sentence(standard: Standard, rule: Rule) -> str:
    """The sentence of a kind, where it speaks of the portal or of national codes in the words of local records; tables by their names."""
    if rule.kind == "in_list":
        return f"{rule.element} must be one of {', '.join(standard.codes(rule.arguments['list']))}."
    if rule.kind == "nhs_number":
        return f"{rule.element} must be ten digits with a right check digit, and not a palindrome."
    if rule.kind == "unique":
        return f"No two rows may share the same {' + '.join(rule.arguments['elements'])}; of those that do, none counts."
    text = KINDS[rule.kind].sentence(rule)
    for table in standard.tables.values():
        text = text.replace(table.id, table.name)
    return text


def _covered(standard: Standard, rule: Rule) -> Coverage:
    status, note = _status(rule)
    only = [edition for edition in _EDITIONS if rule.levels.get(edition)]
    if len(only) == 1:
        note = f"{note}; only in the edition {_EDITIONS[only[0]]}" if note else f"only in the edition {_EDITIONS[only[0]]}"
    table = standard.table(rule.table)
    return Coverage(rule.code, table.name, rule.element or "", rule.kind, _level(rule, "published"), _level(rule, "etos"), status, note)


def _status(rule: Rule) -> tuple[Status, str]:
    if rule.kind in INERT_KINDS:
        return "not applicable", _skipped()[rule.code]
    if reason := _cannot(rule):
        return "not evaluated", reason
    if rule.kind in _DERIVED:
        return "derived", "from other findings, as we read it; the portal's own stage is not public"
    if rule.kind == "time":
        return "evaluated", "never fails: the portal's rule lets every text through"
    needed = None if rule.kind in FILE_KINDS else KINDS[rule.kind].needs_list
    if _standard(rule).version == LOCAL:
        # Rules that warn about a table that was not given would warn about every row.
        parent = rule.arguments.get("parent") if rule.levels["published"] not in REJECTING else None
        given = "submissions of the provider" if needed else load(LOCAL).table(parent).name if parent else ""
        return "evaluated", f"where {given} are given" if needed else f"where {given} is given" if given else ""
    return "evaluated", f"where {needed}.csv is in the reference folder" if needed in _LISTS else ""


def _cannot(rule: Rule) -> str:
    """Why nothing can decide the rule, whatever the reference folder holds; empty when it can be decided."""
    if rule.kind == "structure":
        return "text and Parquet files have no column types, and the template's schema is not public"
    if rule.kind in INERT_KINDS:
        return ""
    return _unheld(rule) or _skipped().get(rule.code, "")


def _unheld(rule: Rule) -> str:
    """ETOS has rules about elements that the intermediate database does not hold."""
    if rule.kind in ("length", "in_list") and rule.element is None:
        return "the element that ETOS names is not in this table of the intermediate database"
    return ""


@cache
def _skipped() -> Mapping[str, str]:
    """Code -> why no edition can evaluate it although every look-up list is at hand."""
    standard = load()
    sets = [rule_set(standard, edition, _LISTS).not_evaluated for edition in _EDITIONS]
    return {code: reason for held in sets for code, reason in held.items()}


@cache
def _uses(version: str) -> Mapping[str, Mapping[str, str]]:
    """Table -> element -> what the measures use it for; empty for local records, whose elements say it themselves."""
    uses: dict[str, dict[str, str]] = {}
    if version == LOCAL:
        return uses
    with (mhsds.folder(version) / "ips_elements.csv").open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            uses.setdefault(row["table"], {})[row["element"]] = row["used_for"]
    return uses


@cache
def _readers(version: str) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """Table and element -> the measures that read it, as found by following their SQL (make generated)."""
    path = mhsds.folder(version) / "measure_fields.csv"
    with path.open(encoding="utf-8", newline="") as handle:
        return {(row["table"], row["element"]): tuple(row["measures"].split()) for row in csv.DictReader(handle)}


def _lost_with(standard: Standard, table: str) -> list[str]:
    """File names of the table and of all whose rows can fall with its rows, in the order of the standard."""
    below: dict[str, set[str]] = {}
    for rule in standard.rules():
        if rule.kind == "parent_exists" and set(rule.levels.values()) & REJECTING:
            below.setdefault(rule.arguments["parent"], set()).add(rule.table)
    reached, ahead = {table}, [table]
    while ahead:
        for child in below.get(ahead.pop(), set()) - reached:
            reached.add(child)
            ahead.append(child)
    return [held.name for held in standard.tables.values() if held.id in reached]


def _rule(code: str) -> Rule:
    for rule in (*load().rules(), *load(LOCAL).rules()):
        if rule.code.upper() == code.strip().upper():
            return rule
    raise UsageError(f"{code[:20]!r} is not a code of MHSDS {load().version}; list the codes with: ips rules list")


def _standard(rule: Rule) -> Standard:
    """The standard that has the rule's table: the national one, or that of local IPS records."""
    return next(standard for standard in (load(LOCAL), load()) if rule.table in standard.tables)


def _level(rule: Rule, edition: Edition) -> str:
    return rule.levels.get(edition) or ""


def _own(rule: Rule) -> str:
    return rule.element or rule.table


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 110, initial_indent="  ", subsequent_indent="  ")


def _written(row: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name.removeprefix('MHS000.')} {'blank' if value is None else _quoted(value)}" for name, value in row.items())


def _quoted(value: str) -> str:
    """The value in double quotes, with what cannot be seen spelled out."""
    shown = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    return f'"{shown}"'
