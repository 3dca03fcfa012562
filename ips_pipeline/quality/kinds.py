"""Rule kinds: each gives the predicate that is TRUE for a bad row, the Great Expectations expectation, a sentence and examples.

A predicate is read over the *judged* relation of a table (see ``findings.py``): its elements as text, exactly as submitted,
``submission`` and ``row``, and the context that every row of a submission shares, in columns that start with ``@``:
``@ReportingPeriodEndDate`` from the header as submitted, ``@portal_provider`` from the login. It never yields NULL.

How each kind decides follows NHS England's published v6 submission rules as they behave when executed: nothing is trimmed,
case counts, an empty cell is NULL, and most kinds pass on NULL.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ips_pipeline.mhsds.formats import POSTCODE
from ips_pipeline.mhsds.standard import Rule, Standard, Table
from ips_pipeline.store.duck import identifier, text_literal

_LINE_BREAKS = r"[\n\r\x{0085}\x{2028}\x{2029}]"


@dataclass(frozen=True, slots=True)
class Examples:
    """Values of a rule's own element, all else being right: every ``good`` one passes and every ``bad`` one fails."""

    good: tuple[str | None, ...] = ()
    bad: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """What a kind may look at: the standard, the rule's table, and whether the look-up lists were given."""

    standard: Standard
    table: Table

    def column(self, element: str) -> str:
        """SQL for an element of the judged row; ``MHS000.X`` is the header's, from the context."""
        if element.startswith("MHS000.") and self.table.id != "MHS000":
            return "judged." + identifier("@" + element.removeprefix("MHS000."))
        return "judged." + identifier(element.removeprefix(f"{self.table.id}."))


class Kind(ABC):
    """A way of deciding whether a row is bad. Subclasses say how; the rule's arguments say about what."""

    #: Reads other rows or look-up lists, so it is run as a statement of its own.
    reads_other_rows: ClassVar[bool] = False
    #: The look-up list of the reference folder it needs; without that list the rule is not evaluated.
    needs_list: ClassVar[str | None] = None

    @abstractmethod
    def bad(self, rule: Rule, judged: Judged) -> str:
        """The predicate that is TRUE for a bad row and never NULL."""

    @abstractmethod
    def sentence(self, rule: Rule) -> str:
        """The rule in plain words, without any value."""

    def expectation(self, rule: Rule, judged: Judged) -> dict[str, Any]:
        """The Great Expectations type and arguments that fail for exactly the same rows."""
        return unexpected_rows(self.bad(rule, judged))

    def examples(self, rule: Rule, judged: Judged) -> Examples:
        """Values of the element that pass and fail; empty where one value alone does not decide."""
        return Examples()

    def needs_header(self, rule: Rule) -> bool:
        """Whether the rule compares with the header, so that without one its table has no rows to judge."""
        return False


def unexpected_rows(predicate: str) -> dict[str, Any]:
    """The Great Expectations expectation that no row of the batch, read as ``judged``, makes the predicate TRUE.

    The predicate passes through ``str.format`` and SQLAlchemy's ``text``, so its braces are doubled and its colons escaped.
    """
    safe = re.sub(r"(?<![:\w\\]):(?=\w)", r"\:", predicate.replace("{", "{{").replace("}", "}}"))
    query = f"SELECT * FROM (SELECT * FROM {{batch}}) AS judged WHERE {safe}"
    return {"type": "unexpected_rows_expectation", "kwargs": {"unexpected_rows_query": query}}


def _name(rule: Rule) -> str:
    return rule.element or rule.table


def _sql_list(values: Sequence[str]) -> str:
    return "(" + ", ".join(text_literal(value) for value in values) + ")"


class NotBlank(Kind):
    def bad(self, rule: Rule, judged: Judged) -> str:
        column = judged.column(_name(rule))
        return f"({column} IS NULL OR ltrim({column}, ' ') = '')"

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} must be filled in."

    def examples(self, rule: Rule, judged: Judged) -> Examples:
        return Examples(good=("1",), bad=(None, " ", "   "))


class Length(Kind):
    def bad(self, rule: Rule, judged: Judged) -> str:
        column = judged.column(_name(rule))
        low, high = rule.arguments["min"], rule.arguments["max"]
        return f"coalesce(length({column}) NOT BETWEEN {low} AND {high} OR regexp_matches({column}, '{_LINE_BREAKS}'), false)"

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} must be {_span(rule)} characters long, on one line."

    def expectation(self, rule: Rule, judged: Judged) -> dict[str, Any]:
        low, high = rule.arguments["min"], rule.arguments["max"]
        pattern = rf"^[^\n\r\x{{0085}}\x{{2028}}\x{{2029}}]{{{low},{high}}}$"
        return {"type": "expect_column_values_to_match_regex", "kwargs": {"column": rule.element, "regex": pattern}}

    def examples(self, rule: Rule, judged: Judged) -> Examples:
        low, high = rule.arguments["min"], rule.arguments["max"]
        short = ("X" * (low - 1),) if low > 1 else ()
        return Examples(good=(None, "X" * max(low, 1), "é" * high), bad=("X" * (high + 1), "X" * (high - 1) + "\n" if high > 1 else "\n", *short))


class Digits(Kind):
    def bad(self, rule: Rule, judged: Judged) -> str:
        return f"coalesce(NOT regexp_full_match({judged.column(_name(rule))}, '{self._pattern(rule)}'), false)"

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} must be {_span(rule)} digits and nothing else."

    def expectation(self, rule: Rule, judged: Judged) -> dict[str, Any]:
        return {"type": "expect_column_values_to_match_regex", "kwargs": {"column": rule.element, "regex": f"^{self._pattern(rule)}$"}}

    def examples(self, rule: Rule, judged: Judged) -> Examples:
        low, high = rule.arguments["min"], rule.arguments["max"]
        return Examples(good=(None, "0" * max(low, 1), "9" * high), bad=("9" * (high + 1), "1 ", "1.0"[:high] if high > 2 else "x", "１"))

    @staticmethod
    def _pattern(rule: Rule) -> str:
        return f"[0-9]{{{rule.arguments['min']},{rule.arguments['max']}}}"


class Decimal(Kind):
    def bad(self, rule: Rule, judged: Judged) -> str:
        arguments = rule.arguments
        pattern = f"[0-9]{{{arguments['min']},{arguments['max']}}}[.][0-9]{{{arguments['places']}}}"
        return f"NOT coalesce(regexp_full_match({judged.column(_name(rule))}, '{pattern}'), false)"

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} must be a number with {_span(rule)} digits, a point and {rule.arguments['places']} decimals."

    def examples(self, rule: Rule, judged: Judged) -> Examples:
        return Examples(good=("1.00", "1234567.89"), bad=(None, "1", "1.0", "12345678.00", "-1.00", "1,00"))


class InList(Kind):
    def bad(self, rule: Rule, judged: Judged) -> str:
        return f"coalesce({judged.column(_name(rule))} NOT IN {_sql_list(self._codes(rule, judged))}, false)"

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} must be one of the national codes."

    def expectation(self, rule: Rule, judged: Judged) -> dict[str, Any]:
        return {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": rule.element, "value_set": self._codes(rule, judged)}}

    def examples(self, rule: Rule, judged: Judged) -> Examples:
        codes = self._codes(rule, judged)
        return Examples(good=(None, codes[0], codes[-1]), bad=(codes[0] + " ", "~"))

    @staticmethod
    def _codes(rule: Rule, judged: Judged) -> list[str]:
        return list(judged.standard.codes(rule.arguments["list"]))


class IsDate(Kind):
    def bad(self, rule: Rule, judged: Judged) -> str:
        column = judged.column(_name(rule))
        return f"({column} IS NOT NULL AND coalesce(lenient_date({column}) < DATE '1890-01-01', true))"

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} must be a real date (yyyy-mm-dd) from 1890 on, without a time of day."

    def examples(self, rule: Rule, judged: Judged) -> Examples:
        return Examples(
            good=(None, "2025-09-05", "2025-9-5", "2025-09-05T00:00:00", "2025-09-05 00:00:00", "2025-09", "2025", " 2025-09-05 ", "1890-01-01"),
            bad=("2025-02-30", "05/09/2025", "20250905", "2025-09-05T10:00:00", "2025-09-05Z", "soon", "1889-12-31"),
        )


class IsTime(Kind):
    """Times are typed in the Access file, so the published rule lets every text through."""

    def bad(self, rule: Rule, judged: Judged) -> str:
        return "false"

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} should be a time (hh:mm:ss); the portal's rule never fails."

    def examples(self, rule: Rule, judged: Judged) -> Examples:
        return Examples(good=(None, "09:30:00", "25:61:61"))


class IsTimestamp(Kind):
    def bad(self, rule: Rule, judged: Judged) -> str:
        column = judged.column(_name(rule))
        # The portal's pattern also takes a bar where the hour of the offset stands.
        zone = "(Z|[+]0[01|]:00|-00:00)" if rule.arguments["offset"] else "(Z|[+-][0-9]{2}:?[0-9]{2})?"
        between = "T" if rule.arguments["offset"] else "[T ]"
        pattern = f"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{between}([01][0-9]|2[0-3]):[0-9]{{2}}:[0-9]{{2}}{zone}"
        real = f"coalesce(written_time({column}) >= TIMESTAMP '1890-01-01', false)"
        return f"({column} IS NOT NULL AND NOT (regexp_full_match({column}, '{pattern}') AND {real}))"

    def sentence(self, rule: Rule) -> str:
        zone = " and the offset Z, +00:00 or +01:00" if rule.arguments["offset"] else ""
        return f"{_name(rule)} must be a real date and time (yyyy-mm-ddThh:mm:ss{zone}) from 1890 on."

    def examples(self, rule: Rule, judged: Judged) -> Examples:
        if not rule.arguments["offset"]:
            return Examples(good=(None, "2025-10-13T08:00:00", "2025-10-13 08:00:00"), bad=("2025-02-30T08:00:00", "1889-12-31T00:00:00", "soon"))
        return Examples(
            good=(None, "2025-09-10T10:15:00Z", "2025-09-10T10:15:00+00:00", "2025-09-10T10:15:00+01:00", "2025-09-10T10:15:00-00:00"),
            bad=("2025-09-10T10:15:00", "2025-09-10T10:15:00+02:00", "2025-09-10T10:15:00.5Z", "2025-02-30T10:15:00Z", "1889-12-31T10:15:00Z"),
        )


class Compare(Kind):
    """Base of the two date comparisons; both pass unless both sides are dates."""

    word: ClassVar[str]

    @staticmethod
    @abstractmethod
    def _breach(own: str, other: str, days: int) -> str:
        """SQL that is TRUE where the comparison is not kept, NULL where a side is no date."""

    def bad(self, rule: Rule, judged: Judged) -> str:
        own = f"written_date({judged.column(_name(rule))})"
        other: str = rule.arguments["other"]
        days = int(rule.arguments.get("days", 0))
        parent, _, element = other.rpartition(".")
        if parent in ("", "MHS000", judged.table.id):
            return f"coalesce({self._breach(own, f'written_date({judged.column(other)})', days)}, false)"
        key = link(judged.standard, judged.table, parent)
        theirs = f"written_date(parent.{identifier(element)})"
        return (
            f"EXISTS (SELECT 1 FROM {identifier(judged.standard.table(parent).name)} AS parent WHERE parent.submission = judged.submission"
            f" AND parent.{identifier(key)} = judged.{identifier(key)} AND coalesce({self._breach(own, theirs, days)}, false))"
        )

    def sentence(self, rule: Rule) -> str:
        days = " plus one day" if rule.arguments.get("days") else ""
        return f"{_name(rule)} must not be {self.word} {rule.arguments['other'].split('.')[-1]}{days}."

    def needs_header(self, rule: Rule) -> bool:
        return str(rule.arguments["other"]).startswith("MHS000.")


class NotAfter(Compare):
    word = "after"

    @staticmethod
    def _breach(own: str, other: str, days: int) -> str:
        return f"{own} > {other} + {days}" if days else f"{own} > {other}"


class NotBefore(Compare):
    word = "before"

    @staticmethod
    def _breach(own: str, other: str, days: int) -> str:
        return f"{own} < {other} - {days}" if days else f"{own} < {other}"


class NotAfterUpload(Kind):
    def bad(self, rule: Rule, judged: Judged) -> str:
        return f'coalesce(written_time({judged.column(_name(rule))}) > written_time(judged."@portal_uploaded"), false)'

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} must not be after the time of upload."


class AgeRange(Kind):
    def bad(self, rule: Rule, judged: Judged) -> str:
        born, last = (f"written_date({judged.column(name)})" for name in (_name(rule), "MHS000.ReportingPeriodEndDate"))
        # Complete years are 0 up to a year before birth too.
        age = f"CASE WHEN {born} > {last} THEN -1 ELSE date_sub('year', {born}, {last}) END"
        return f"coalesce({age} NOT BETWEEN {rule.arguments['min']} AND {rule.arguments['max']}, false)"

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} must make the person {_span(rule)} years old at the end of the reporting period."

    def needs_header(self, rule: Rule) -> bool:
        return True


class EqualsPortal(Kind):
    def bad(self, rule: Rule, judged: Judged) -> str:
        return f"{judged.column(_name(rule))} IS DISTINCT FROM judged.{identifier('@portal_' + rule.arguments['portal'])}"

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} must be what was chosen or known at upload ({rule.arguments['portal'].replace('_', ' ')})."


class EqualsHeader(Kind):
    def bad(self, rule: Rule, judged: Judged) -> str:
        return f"coalesce({judged.column(_name(rule))} <> {judged.column(rule.arguments['other'])}, false)"

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} should be the {rule.arguments['other'].split('.')[-1]} of the header."

    def needs_header(self, rule: Rule) -> bool:
        return True


class Condition(Kind):
    def bad(self, rule: Rule, judged: Judged) -> str:
        return " AND ".join(self.state(judged.column(element), state) for element, state in rule.arguments["bad_when"].items())

    def sentence(self, rule: Rule) -> str:
        parts = [f"{element} {self.words(state)}" for element, state in rule.arguments["bad_when"].items()]
        return f"It is not allowed that {' and '.join(parts)}."

    @staticmethod
    def state(column: str, state: str | Sequence[str] | Mapping[str, Sequence[str]]) -> str:
        """SQL that is TRUE where the column is in that state."""
        if state == "missing":
            return f"{column} IS NULL"
        if state == "given":
            return f"{column} IS NOT NULL"
        if isinstance(state, Mapping):
            return f"coalesce({column} NOT IN {_sql_list(state['not_in'])}, true)"
        codes = [code for code in state if code != "missing"]
        return f"coalesce({column} IN {_sql_list(codes)}, {'true' if 'missing' in state else 'false'})"

    @staticmethod
    def words(state: str | Sequence[str] | Mapping[str, Sequence[str]]) -> str:
        """The state in words, after the name of the element."""
        if isinstance(state, str):
            return "is blank" if state == "missing" else "is filled in"
        if isinstance(state, Mapping):
            return f"is not {' or '.join(state['not_in'])}"
        return "is " + " or ".join("blank" if code == "missing" else code for code in state)


class NhsNumber(Kind):
    def bad(self, rule: Rule, judged: Judged) -> str:
        column = judged.column(_name(rule))
        return f"({column} IS NOT NULL AND NOT is_nhs_number({column}))"

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} must be ten digits with a right check digit, and not a palindrome; one wrong number rejects the whole file."

    def examples(self, rule: Rule, judged: Judged) -> Examples:
        return Examples(good=(None, "9990000018"), bad=("9990000019", "999 000 0018", "4444444444", "99900000018", "ABCDEFGHIJ", "0000000000"))


class PostcodeFormat(Kind):
    _pattern = POSTCODE

    def bad(self, rule: Rule, judged: Judged) -> str:
        return f"coalesce(NOT regexp_full_match({judged.column(_name(rule))}, '{self._pattern}'), false)"

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} must be a postcode with a space between its two parts."

    def expectation(self, rule: Rule, judged: Judged) -> dict[str, Any]:
        return {"type": "expect_column_values_to_match_regex", "kwargs": {"column": rule.element, "regex": f"^{self._pattern}$"}}

    def examples(self, rule: Rule, judged: Judged) -> Examples:
        return Examples(good=(None, "LS1 1AA", "ls1 1aa", "LS1  1AA", "ZZ99 3VZ"), bad=("LS11AA", " LS1 1AA", "LS1 1AA ", "GIR 0AA", "LS1 1AA\n"))


class SnomedConcept(Kind):
    """A SNOMED CT concept identifier by its form; whether the concept exists is not looked up."""

    def bad(self, rule: Rule, judged: Judged) -> str:
        column = judged.column(_name(rule))
        return f"({column} IS NOT NULL AND NOT is_concept({column}))"

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} must be a SNOMED CT concept identifier (6 to 18 digits with a right check digit)."

    def examples(self, rule: Rule, judged: Judged) -> Examples:
        return Examples(
            good=(None, "1082621000000104", "772822000"),
            bad=("772822001", "12345", "772822000\r\n", "772822000|term|", "772822000:408730004=443390004"),
        )


class SnomedExpression(SnomedConcept):
    """A concept, or ``concept:attribute=value`` with an attribute of the list ``SnomedAttribute``."""

    def bad(self, rule: Rule, judged: Judged) -> str:
        column = judged.column(_name(rule))
        return f"({column} IS NOT NULL AND NOT is_expression({column}, {_sql_list(list(judged.standard.codes('SnomedAttribute')))}))"

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} must be a SNOMED CT concept, or concept:attribute=value with one of the two permitted attributes."

    def examples(self, rule: Rule, judged: Judged) -> Examples:
        first = next(iter(judged.standard.codes("SnomedAttribute")))
        return Examples(
            good=(None, "1082621000000104", "772822000", f"1082621000000104:{first}=443390004"),
            bad=("772822001", "12345", "772822000\r\n", "772822000|term|", "772822000:408731000=443390004", f"772822000 :{first}=443390004"),
        )


class ClinicalCode(Kind):
    """A finding or diagnosis in the scheme that the row names: ICD-10 by length, SNOMED CT by check digit; other schemes pass."""

    def bad(self, rule: Rule, judged: Judged) -> str:
        column, scheme = judged.column(_name(rule)), judged.column(rule.arguments["scheme"])
        return (
            f"({column} IS NOT NULL AND CASE WHEN {scheme} IN {_sql_list(rule.arguments['icd10'])}"
            f" THEN length({column}) NOT BETWEEN 4 AND 6 OR regexp_matches({column}, '{_LINE_BREAKS}')"
            f" WHEN {scheme} IN {_sql_list(rule.arguments['snomed'])} THEN NOT is_concept({column}) ELSE false END)"
        )

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} must be a code of the scheme in {rule.arguments['scheme']}: ICD-10 of 4 to 6 characters, or a SNOMED CT concept."


class AssessmentTool(Kind):
    needs_list = "assessment_tools"
    reads_other_rows = True

    def bad(self, rule: Rule, judged: Judged) -> str:
        column = judged.column(_name(rule))
        return f"({column} IS NOT NULL AND {column} NOT IN (SELECT code FROM assessment_tools))"

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} must be one of the assessment tools the data set takes."


class AssessmentScore(Kind):
    """A number within the tool's range, or one of its values; with a point exactly the tool's decimals; unknown tools pass."""

    needs_list = "assessment_tools"
    reads_other_rows = True

    def bad(self, rule: Rule, judged: Judged) -> str:
        column, tool = judged.column(_name(rule)), judged.column(rule.arguments["tool"])
        number = (
            f"regexp_full_match({column}, '(0|[1-9][0-9]*)([.][0-9]+)?')"
            f" AND TRY_CAST({column} AS DECIMAL(18, 6)) BETWEEN tool.lowest AND tool.highest"
            f" AND (NOT contains({column}, '.') OR length(split_part({column}, '.', 2)) = tool.decimals)"
        )
        right = f"CASE WHEN tool.lowest IS NULL THEN list_contains(string_split(tool.permitted, ' '), {column}) ELSE {number} END"
        return f"({column} IS NOT NULL AND EXISTS (SELECT 1 FROM assessment_tools AS tool WHERE tool.code = {tool} AND NOT coalesce({right}, false)))"

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} must be a score that the assessment tool can give."


class Organisation(Kind):
    """Live at the first day of the reporting period, or one of the rule's default codes; succession is ignored."""

    reads_other_rows = True
    needs_list = "organisations"

    def bad(self, rule: Rule, judged: Judged) -> str:
        column = judged.column(_name(rule))
        defaults = list(rule.arguments.get("defaults", ()))
        start = judged.column("ReportingPeriodStartDate" if judged.table.id == "MHS000" else "MHS000.ReportingPeriodStartDate")
        live = (
            f"EXISTS (SELECT 1 FROM {identifier(str(self.needs_list))} AS list WHERE list.code = {self._normal(column)}"
            f" AND list.live_from <= written_date({start}) AND list.live_to >= written_date({start}))"
        )
        exempt = f" AND {column} NOT IN {_sql_list(defaults)}" if defaults else ""
        return f"({column} IS NOT NULL{exempt} AND NOT {live})"

    @staticmethod
    def _normal(column: str) -> str:
        return column

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} should be an organisation that is live on the first day of the reporting period."

    def needs_header(self, rule: Rule) -> bool:
        return True


class School(Organisation):
    needs_list = "schools"

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} should be a school that is open on the first day of the reporting period."


class PostcodeKnown(Organisation):
    needs_list = "postcodes"

    @staticmethod
    def _normal(column: str) -> str:
        return f"upper(replace({column}, ' ', ''))"

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} should be a postcode in the national list on the first day of the reporting period."


class Unique(Kind):
    """All rows that share the key fail, none is kept; a blank anywhere in the key makes the row unique."""

    reads_other_rows = True

    def bad(self, rule: Rule, judged: Judged) -> str:
        keys = [identifier(element) for element in rule.arguments["elements"]]
        given = " AND ".join(f"{key} IS NOT NULL" for key in keys)
        same = " AND ".join(f"twin.{key} = judged.{key}" for key in keys)
        return (
            f"EXISTS (SELECT 1 FROM (SELECT submission, {', '.join(keys)} FROM {identifier(judged.table.name)} WHERE {given}"
            f" GROUP BY ALL HAVING count(*) > 1) AS twin WHERE twin.submission = judged.submission AND {same})"
        )

    def sentence(self, rule: Rule) -> str:
        return f"No two rows may share the same {' + '.join(rule.arguments['elements'])}; every row that does is rejected."

    def expectation(self, rule: Rule, judged: Judged) -> dict[str, Any]:
        # Several submissions may be judged together; a key is unique within its own.
        columns = ["submission", *rule.arguments["elements"]]
        return {"type": "expect_compound_columns_to_be_unique", "kwargs": {"column_list": columns, "ignore_row_if": "any_value_is_missing"}}


class UniqueWhenBlank(Kind):
    """Among rows whose ``blank`` element is empty, the key may occur once; here blank keys are equal to each other."""

    reads_other_rows = True

    def bad(self, rule: Rule, judged: Judged) -> str:
        keys, blank = [identifier(element) for element in rule.arguments["elements"]], identifier(rule.arguments["blank"])
        same = " AND ".join(f"twin.{key} IS NOT DISTINCT FROM judged.{key}" for key in keys)
        return (
            f"judged.{blank} IS NULL AND EXISTS (SELECT 1 FROM (SELECT submission, {', '.join(keys)} FROM {identifier(judged.table.name)}"
            f" WHERE {blank} IS NULL GROUP BY ALL HAVING count(*) > 1) AS twin WHERE twin.submission = judged.submission AND {same})"
        )

    def sentence(self, rule: Rule) -> str:
        return f"Only one row for the same {' + '.join(rule.arguments['elements'])} may have a blank {rule.arguments['blank']}."


class SingleRow(Kind):
    reads_other_rows = True

    def bad(self, rule: Rule, judged: Judged) -> str:
        table = identifier(judged.table.name)
        return f"(SELECT count(*) FROM {table} AS other WHERE other.submission = judged.submission) > 1"

    def sentence(self, rule: Rule) -> str:
        return "The submission must have exactly one header row."


class GpContinuity(Kind):
    """A registration that ended needs a next one, at another practice, from the same day or the day after.

    Run after the row rules: a next registration that is already rejected does not count.
    """

    reads_other_rows = True

    def bad(self, rule: Rule, judged: Judged) -> str:
        return (
            'leading_date(judged."EndDateGMPRegistration") IS NOT NULL AND NOT EXISTS (SELECT 1 FROM "MHS002GP valid" AS next'
            ' WHERE next.submission = judged.submission AND next."LocalPatientID" IS NOT DISTINCT FROM judged."LocalPatientID"'
            ' AND next."GMPReg" IS DISTINCT FROM judged."GMPReg" AND date_diff(\'day\', leading_date(judged."EndDateGMPRegistration"),'
            ' leading_date(next."StartDateGMPRegistration")) BETWEEN 0 AND 1)'
        )

    def sentence(self, rule: Rule) -> str:
        return "A GP registration that ended needs a following one at another practice, starting the same day or the next."


class ParentExists(Kind):
    """Run in the referential phase: the parent must still be valid at that moment. A blank key passes."""

    reads_other_rows = True

    def bad(self, rule: Rule, judged: Judged) -> str:
        key = identifier(rule.arguments["key"])
        parent = identifier(judged.standard.table(rule.arguments["parent"]).name + " valid")
        return (
            f"(judged.{key} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {parent} AS parent"
            f" WHERE parent.submission = judged.submission AND parent.{key} = judged.{key}))"
        )

    def sentence(self, rule: Rule) -> str:
        return f"There must be a valid {rule.arguments['parent']} row with the same {rule.arguments['key']}."


class RejectAll(Kind):
    def bad(self, rule: Rule, judged: Judged) -> str:
        return "true"

    def sentence(self, rule: Rule) -> str:
        return f"The portal rejects every row of {rule.table}: do not submit this table."


class CalendarDate(Kind):
    """A whole date, yyyy-mm-dd, as local records write it; the national date rule also takes a year alone."""

    def bad(self, rule: Rule, judged: Judged) -> str:
        column = judged.column(_name(rule))
        real = f"regexp_full_match({column}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}') AND TRY_CAST({column} AS DATE) >= DATE '1890-01-01'"
        return f"({column} IS NOT NULL AND NOT coalesce({real}, false))"

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} must be a real date."

    def examples(self, rule: Rule, judged: Judged) -> Examples:
        return Examples(good=(None, "2026-02-28"), bad=("2026-02-30", "2026", "soon", "1066-10-14", "2026-02-28T10:00:00"))


class Number(Kind):
    """A number without sign within ``lowest`` and ``highest``, with ``places`` decimals at most."""

    def bad(self, rule: Rule, judged: Judged) -> str:
        column, about = judged.column(_name(rule)), rule.arguments
        decimals = f"([.][0-9]{{1,{about['places']}}})?" if about["places"] else ""
        within = f"TRY_CAST({column} AS DECIMAL(18, 4)) BETWEEN {about['lowest']} AND {about['highest']}"
        return f"({column} IS NOT NULL AND NOT coalesce(regexp_full_match({column}, '[0-9]{{1,12}}{decimals}') AND {within}, false))"

    def sentence(self, rule: Rule) -> str:
        what = f"a number with at most {rule.arguments['places']} decimals" if rule.arguments["places"] else "a whole number"
        return f"{_name(rule)} must be {what} from {rule.arguments['lowest']} to {rule.arguments['highest']}."

    def examples(self, rule: Rule, judged: Judged) -> Examples:
        low, high = str(rule.arguments["lowest"]), str(rule.arguments["highest"])
        return Examples(good=(None, low, high), bad=("-1", "x", f"{high}9", "1,5", ""))


class Monday(Kind):
    def bad(self, rule: Rule, judged: Judged) -> str:
        return f"coalesce(isodow(TRY_CAST({judged.column(_name(rule))} AS DATE)) <> 1, false)"

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} must be a Monday."

    def examples(self, rule: Rule, judged: Judged) -> Examples:
        return Examples(good=(None, "2026-08-03"), bad=("2026-08-04", "2026-08-02"))


class KnownReferral(Kind):
    """The referral is one that the provider returned in the MHSDS."""

    reads_other_rows = True
    needs_list = "known_referral"

    def bad(self, rule: Rule, judged: Judged) -> str:
        column = judged.column(_name(rule))
        return (
            f"({column} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM known_referral AS known"
            f' WHERE known.provider = judged."OrgIDProvider" AND known."ServiceRequestID" = {column}))'
        )

    def sentence(self, rule: Rule) -> str:
        return f"{_name(rule)} should be a referral that the provider returns in the MHSDS."


class _Related(Kind):
    """Base of the kinds that look at rows of another table with the same key, as submitted."""

    reads_other_rows = True

    @staticmethod
    def _rows(rule: Rule, judged: Judged) -> str:
        keys = rule.arguments.get("keys") or [rule.arguments["key"]]
        same = " AND ".join(f"related.{identifier(key)} = judged.{identifier(key)}" for key in keys)
        name = identifier(judged.standard.table(rule.arguments["parent"]).name)
        return f"SELECT 1 FROM {name} AS related WHERE related.submission = judged.submission AND {same}"


class RelatedRow(_Related):
    """There is a row with the same keys, where all of them are given."""

    def bad(self, rule: Rule, judged: Judged) -> str:
        given = " AND ".join(f"judged.{identifier(key)} IS NOT NULL" for key in rule.arguments["keys"])
        return f"({given} AND NOT EXISTS ({self._rows(rule, judged)}))"

    def sentence(self, rule: Rule) -> str:
        return f"There must be a row of {rule.arguments['parent']} with the same {' + '.join(rule.arguments['keys'])}."


class ConflictsWithRelated(_Related):
    """A row ``when`` something holds must not belong to a ``related`` row of which something holds, or begin ``before`` a date of it."""

    def bad(self, rule: Rule, judged: Judged) -> str:
        about = rule.arguments
        own = [Condition.state(judged.column(element), state) for element, state in about["when"].items()]
        theirs = [Condition.state(f"related.{identifier(element)}", state) for element, state in about["related"].items()]
        before = [
            f"coalesce(TRY_CAST({judged.column(element)} AS DATE) < TRY_CAST(related.{identifier(other)} AS DATE), false)"
            for element, other in about.get("before", {}).items()
        ]
        return " AND ".join([*own, f"EXISTS ({' AND '.join([self._rows(rule, judged), *theirs, *before])})"])

    def sentence(self, rule: Rule) -> str:
        about = rule.arguments
        own = [f"{element} {Condition.words(state)}" for element, state in about["when"].items()]
        theirs = [f"{element} of the {about['key']} {Condition.words(state)}" for element, state in about["related"].items()]
        before = [f"{element} is before {other} of the {about['key']}" for element, other in about.get("before", {}).items()]
        return f"It is not allowed that {' and '.join([*own, *theirs, *before])}."


class WithinRelated(_Related):
    """A date lies within one of the spans of the rows with the same key; an open end is unbounded. Passes where there is no such row."""

    def bad(self, rule: Rule, judged: Judged) -> str:
        about = rule.arguments
        day = f"TRY_CAST({judged.column(about['date'])} AS DATE)"
        start, end = (f"TRY_CAST(related.{identifier(about[side])} AS DATE)" for side in ("start", "end"))
        rows = self._rows(rule, judged)
        return f"({day} IS NOT NULL AND EXISTS ({rows}) AND NOT EXISTS ({rows} AND {day} BETWEEN {start} AND coalesce({end}, DATE '9999-12-31')))"

    def sentence(self, rule: Rule) -> str:
        about = rule.arguments
        return f"{about['date']} should lie between {about['start']} and {about['end']} of the {about['key']}."


KINDS: Mapping[str, Kind] = {
    "not_blank": NotBlank(),
    "length": Length(),
    "digits": Digits(),
    "decimal": Decimal(),
    "in_list": InList(),
    "date": IsDate(),
    "time": IsTime(),
    "timestamp": IsTimestamp(),
    "not_after": NotAfter(),
    "not_before": NotBefore(),
    "not_after_upload": NotAfterUpload(),
    "age_range": AgeRange(),
    "equals_portal": EqualsPortal(),
    "equals_header": EqualsHeader(),
    "condition": Condition(),
    "nhs_number": NhsNumber(),
    "postcode_format": PostcodeFormat(),
    "postcode_known": PostcodeKnown(),
    "snomed_concept": SnomedConcept(),
    "snomed_expression": SnomedExpression(),
    "clinical_code": ClinicalCode(),
    "assessment_tool": AssessmentTool(),
    "assessment_score": AssessmentScore(),
    "organisation": Organisation(),
    "school": School(),
    "unique": Unique(),
    "unique_when_blank": UniqueWhenBlank(),
    "single_row": SingleRow(),
    "gp_continuity": GpContinuity(),
    "parent_exists": ParentExists(),
    "reject_all": RejectAll(),
    "calendar_date": CalendarDate(),
    "number": Number(),
    "monday": Monday(),
    "known_referral": KnownReferral(),
    "related_row": RelatedRow(),
    "conflicts_with_related": ConflictsWithRelated(),
    "within_related": WithinRelated(),
}


def link(standard: Standard, table: Table, parent: str) -> str:
    """The element by which a table points to its parent; KeyError when the standard declares none."""
    for field in table.fields:
        if field.parent and field.parent.split(".")[0] == parent:
            return field.element
    raise KeyError(f"{table.name} has no key of {parent}")


def _span(rule: Rule) -> str:
    low, high = rule.arguments["min"], rule.arguments["max"]
    return str(high) if low == high else f"up to {high}" if low == 0 else f"{low} to {high}"
