"""Draft a mapping from what a source calls its tables and columns and from the look of their values; no value leaves this module.

What is nearly sure is written out, what is only likely stands as a comment with its reason, and what is missing and mandatory is named. The
draft can be read by ``mapping.load`` as it is; somebody who knows the system finishes it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from ips_pipeline.errors import InputError, UsageError
from ips_pipeline.mhsds import standard
from ips_pipeline.settings import FilesSource, Site, SqlSource, near
from ips_pipeline.sources import files, raw
from ips_pipeline.sources.mapping import ACCESS, WORKBOOKS, Input, national_codes
from ips_pipeline.store.duck import Connection, create_table, identifier, session, text_literal

#: Rows of a table that are looked at.
SAMPLE_ROWS = 500

#: From which score on a guess is written out, and from which on it stands as a comment; 1 is the very name with the right look.
SURE, LIKELY = 0.85, 0.55

#: How well a local table must fit one of the standard to be written down for it.
_FITS = 1.2

#: How much of two names must be the same letters for them to be one name written differently.
_LETTERS = 0.8

#: The share of values that must look alike for the column to look so.
_MOST = 0.9

#: What a value can look like. Blanks around and inside are looked through where people type them.
_LOOKS = {
    "ten digits": "regexp_full_match(replace({0}, ' ', ''), '[0-9]{{10}}')",
    "a postcode": "regexp_full_match(upper(trim({0})), '[A-Z]{{1,2}}[0-9][A-Z0-9]? ?[0-9][A-Z]{{2}}')",
    "a moment in UTC": "regexp_full_match({0}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[T ][0-9:.]+(Z|[+]00:?00)')",
    "a time": "regexp_full_match({0}, '(1[89][0-9]{{2}}-[0-9]{{2}}-[0-9]{{2}}[T ])?[0-9]{{1,2}}:[0-9]{{2}}(:[0-9]{{2}})?')",
    "a whole number": "regexp_full_match({0}, '[0-9]{{1,9}}')",
    "one or two letters or digits": "regexp_full_match(trim({0}), '[A-Za-z0-9]{{1,2}}')",
}
_ISO = "%Y-%m-%d"
_DATE_FORMATS = (_ISO, "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y", "%d-%b-%Y", "%Y%m%d", "%d %B %Y", "%d %b %Y")
_MIDNIGHT = "[T ]00:00:00([.]0+)?$"


@dataclass(frozen=True, slots=True)
class Look:
    """How a column's sampled values look; ``formats`` are the date formats that read them, ``national`` the elements whose codes they are."""

    column: str
    empty: bool
    looks: frozenset[str]
    formats: tuple[str, ...]
    few: bool
    national: frozenset[str]


@dataclass(frozen=True, slots=True)
class Guess:
    """One element of a table: the column it seems to be, how sure that is (0 to 1), and why."""

    element: str
    column: str
    score: float
    why: str
    formats: tuple[str, ...] = ()
    ready: bool = True


@dataclass(frozen=True, slots=True)
class Draft:
    """A drafted mapping as text, with the guesses behind it by table of the standard."""

    text: str
    guesses: Mapping[str, tuple[Guess, ...]]


def draft(site: Site, source: str, wanted: Sequence[str] = ()) -> Draft:
    """Draft the mapping of a source, from all its tables or those ``wanted`` (file#sheet or file#table where a file holds several).

    Raises UsageError for a source or table that is not there, InputError and RetryableError when the source cannot be read.
    """
    if source not in site.sources:
        raise UsageError(f"{site.file} has no source {source}{near(source, site.sources)}; it has {', '.join(site.sources)}")
    about = site.sources[source]
    for zone in (site.restricted, site.temporary):
        zone.mkdir(parents=True, exist_ok=True, mode=0o700)
    with TemporaryDirectory(prefix="draft-", dir=site.temporary) as work:
        if isinstance(about, SqlSource):
            from ips_pipeline.sources import sql  # noqa: PLC0415 - SQLAlchemy takes half a second that only databases need

            inputs = {_key(name): Input(table=name) for name in wanted or sql.tables(site, source)}
            fetched = sql.fetch(site, source, inputs, bind={}, folder=Path(work), at_most=SAMPLE_ROWS)
        else:
            inputs = {_key(name): item for name, item in _items(about, wanted, Path(work))}
            fetched = files.fetch(source, about, inputs, fill={}, folder=Path(work))
        if not inputs:
            raise InputError(f"Source {source} has no tables to draft from; check what its login or folder can see")
        with session(read=[Path(work)], temporary=site.temporary, memory_limit=site.options.memory_limit) as connection:
            pairs = [(name, code) for name, codes in _lists().items() for code in codes]
            create_table(connection, "codes", {"list": [name for name, _ in pairs], "code": [code for _, code in pairs]})
            looks = {key: _looks(connection, item) for key, item in fetched.items()}
    return _drafted(source, inputs, looks)


def _key(name: str) -> str:
    """A name for an input: letters, digits and underscores."""
    key = re.sub(r"\W+", "_", Path(name.replace("#", "_")).name.removesuffix(".csv").removesuffix(".parquet"), flags=re.ASCII).strip("_").lower()
    return key if key[:1].isalpha() else f"t_{key}"


def _items(source: FilesSource, wanted: Sequence[str], work: Path) -> Iterator[tuple[str, Input]]:
    """The files of a folder, with each sheet and table of those that hold several."""
    files.probe("", source)
    kinds = (".csv", ".parquet", *WORKBOOKS, *ACCESS)
    given = list(wanted) or sorted(
        path.relative_to(source.folder).as_posix()
        for path in source.folder.rglob("*")
        if path.suffix.lower() in kinds and not path.name.startswith("~$")
    )
    for name in given:
        file, _, part = name.partition("#")
        kind = Path(file).suffix.lower()
        if kind in WORKBOOKS:
            for sheet, row in files.headings(source.folder / file):
                if part in ("", sheet):
                    yield f"{Path(file).stem} {sheet}", Input(file=file, sheet=sheet, heading_row=row)
        elif kind in ACCESS:
            from ips_pipeline.submission import access  # noqa: PLC0415 - only Access files need it

            if (held := access.runtime()) is None:
                raise InputError(f"{source.folder / file} cannot be read here; {access.INSTALL}")
            for table in [part] if part else access.describe(source.folder / file, held, work).tables:
                yield table, Input(file=file, table=table)
        else:
            yield file, Input(file=file)


def _looks(connection: Connection, item: raw.Fetched) -> list[Look]:
    """How each column looks in a sample. Only counts come back."""
    connection.execute(f"CREATE OR REPLACE TABLE sample AS SELECT * FROM read_parquet({text_literal(str(item.path))}) LIMIT {SAMPLE_ROWS}")
    return [_look(connection, column) for column in item.columns]


def _look(connection: Connection, column: str) -> Look:
    value = f"nullif(nullif(trim({identifier(column)}), ''), '-')"
    connection.execute(f"CREATE OR REPLACE TABLE held AS SELECT {value} AS v, count(*) AS rows FROM sample WHERE {value} IS NOT NULL GROUP BY ALL")
    tests = [test.format("v") for test in _LOOKS.values()]
    bare = f"regexp_replace(v, {text_literal(_MIDNIGHT)}, '')"
    tests += [f"try_strptime({bare}, {text_literal(form)}) IS NOT NULL" for form in _DATE_FORMATS]
    tests.append(" OR ".join(tests[len(_LOOKS) :]))
    counted = ", ".join(f"coalesce(sum(rows) FILTER ({test}), 0)" for test in tests)
    total, distinct, *found = connection.execute(f"SELECT coalesce(sum(rows), 0), count(*), {counted} FROM held").fetchall()[0]
    most = [bool(total) and count >= _MOST * total for count in found]
    forms = found[len(_LOOKS) : -1]
    formats = tuple(form for form, count in zip(_DATE_FORMATS, forms, strict=True) if most[-1] and count)
    looks = {name for name, is_so in zip(_LOOKS, most, strict=False) if is_so} | ({"a date"} if most[-1] else set())
    national = connection.execute(
        "SELECT list FROM held JOIN codes ON code = v GROUP BY list HAVING sum(rows) >= ? * (SELECT sum(rows) FROM held)", [_MOST]
    ).fetchall()
    return Look(column, not total, frozenset(looks), formats, 0 < distinct <= 40, frozenset(name for (name,) in national))


@cache
def _lists() -> Mapping[str, Mapping[str, str]]:
    """The public code lists of those tables by name."""
    fields = [field for table in _tables() for field in table.fields]
    return {str(field.codes): codes for field in fields if (codes := national_codes(field))}


def _tables() -> Sequence[standard.Table]:
    """The tables a return about IPS is made of."""
    return [standard.load().table(name) for name in _vocabulary()["tables"]]


@cache
def _vocabulary() -> Any:
    return yaml.safe_load((Path(__file__).parent / "mapping_words.yaml").read_text(encoding="utf-8"))


@cache
def _words(name: str) -> tuple[str, ...]:
    """A name in small words: at capitals, signs and digits; a plural s is left out."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return tuple(word.removesuffix("s") if len(word) > 3 else word for word in re.findall(r"[a-z]+|[0-9]+", apart.lower()))


@cache
def _alike(one: tuple[str, ...], other: tuple[str, ...]) -> float:
    """How alike two names are, 0 to 1: the same words, words in common, or nearly the same letters."""
    written, name = "".join(one), "".join(other)
    if written == name:
        return 1.0
    common = len(set(one) & set(other))
    shared = 0.85 * 2 * common / (len(set(one)) + len(set(other))) if common else 0.0
    # Comparing letters is slow, and names of very different lengths or letters are never that much alike.
    if 2 * min(len(written), len(name)) <= _LETTERS * (len(written) + len(name)) or len(set(written) ^ set(name)) > 4:
        return shared
    letters = difflib.SequenceMatcher(None, written, name).ratio()
    return max(shared, 0.85 * letters if letters > _LETTERS else 0.0)


def _guess(field: standard.Field, look: Look) -> Guess | None:
    """What speaks for a column being an element; None when nothing does."""
    words = _words(look.column)
    names = [_words(field.element), _words(field.name), *map(_words, _vocabulary()["elements"].get(field.element, ()))]
    score = max(_alike(words, name) for name in names)
    why = ["named so" if score == 1.0 else "a name like it"] if score >= LIKELY else []
    dated = "a date" in look.looks
    if field.element == "NHSNumber" and "ten digits" in look.looks and "a date" not in look.looks:
        score, why = max(score, 0.9), [*why, "ten digits"]
    elif field.element == "Postcode" and "a postcode" in look.looks:
        score, why = max(score, 0.9), [*why, "looks like a postcode"]
    elif look.empty:
        score, why = score * 0.9, [*why, "empty in the sample"]
    elif field.type == "date":
        score, why = (score, [*why, "dates"]) if dated else (score * 0.6, [*why, "but not dates"])
    elif field.type == "time":
        score, why = (score, [*why, "times"]) if "a time" in look.looks else (score * 0.6, [*why, "but not times"])
    elif dated and field.type == "text":
        score, why = score * 0.5, [*why, "but dates"]
    ready = True
    if field.codes and not look.empty:
        listed = field.codes in _lists()
        ready = field.codes in look.national
        why.append("national codes" if ready else "few different values, not the national codes" if look.few and listed else "not the national codes")
        score = score if ready or look.few else score * 0.7
    if "a moment in UTC" in look.looks:
        ready, why = False, [*why, "a moment in UTC: see examples/mappings/systmone-like"]
    if score < LIKELY:
        return None
    formats = () if field.type != "date" or set(look.formats) <= {_ISO} else look.formats
    return Guess(field.element, look.column, round(score, 2), ", ".join(why), formats, ready)


def _guesses(table: standard.Table, looks: Sequence[Look]) -> list[Guess]:
    """The best column for each element, each column once; the surest first, of equals the first in the table."""
    every = [(guess, number) for field in table.fields for number, look in enumerate(looks) if (guess := _guess(field, look))]
    taken: dict[str, Guess] = {}
    used: set[str] = set()
    for guess, _ in sorted(every, key=lambda item: (-item[0].score, not item[0].ready, item[1])):
        if guess.element not in taken and guess.column not in used:
            taken[guess.element] = guess
            used.add(guess.column)
    return [taken[element] for element in table.elements if element in taken]


def _fits(table: standard.Table, key: str, guesses: Sequence[Guess], columns: int) -> float:
    """How well a local table fits one of the standard: by its name, and by how much of it is understood."""
    words = _words(key)
    names = list(map(_words, _vocabulary()["tables"][table.id]))
    named = max(2 * len(set(name)) / (len(set(words)) + len(set(name))) if set(name) <= set(words) else 0.0 for name in names)
    if table.name.lower() in key.lower():
        named = 2.0
    mandatory = [field.element for field in table.fields if field.mandation == "M" and not field.element.startswith("OrgIDL")]
    found = {guess.element for guess in guesses}
    return 2 * named + sum(guess.score for guess in guesses) / max(4, columns) + sum(name in found for name in mandatory) / max(1, len(mandatory))


def _drafted(source: str, inputs: Mapping[str, Input], looks: Mapping[str, list[Look]]) -> Draft:
    """Give each local table the table of the standard that it fits best, and write it down."""
    guesses = {(table.id, key): _guesses(table, held) for table in _tables() for key, held in looks.items()}
    fits = {(table.id, key): _fits(table, key, guesses[table.id, key], len(looks[key])) for table in _tables() for key in looks}
    chosen: dict[str, str] = {}
    others: dict[str, list[str]] = {}
    best = {key: max((fits[table.id, key], table.id) for table in _tables())[1] for key in looks}
    for table in _tables():
        keys = sorted((key for key in looks if best[key] == table.id and fits[table.id, key] >= _FITS), key=lambda at: -fits[table.id, at])
        if keys:
            chosen[table.id], others[table.id] = keys[0], keys[1:]
    kept = {table: tuple(guesses[table, key]) for table, key in chosen.items()}
    return Draft("\n".join(_written(source, inputs, looks, chosen, others, kept)) + "\n", kept)


def _written(
    source: str,
    inputs: Mapping[str, Input],
    looks: Mapping[str, list[Look]],
    chosen: Mapping[str, str],
    others: Mapping[str, Sequence[str]],
    guesses: Mapping[str, Sequence[Guess]],
) -> Iterator[str]:
    yield f"# A draft of the mapping of the source {source}, from the names of its columns and the look of their values; it holds none of them."
    yield "# Lines without # are nearly sure; look at each. Lines with # are likely or missing: correct them and take the # away."
    yield "# Still to do by hand: which rows belong to a month, deleted and merged rows, local codes. See examples/mappings, and ips mapping check."
    yield "inputs:"
    for key, item in inputs.items():
        facts = {name: value for name, value in item.model_dump(exclude_defaults=True).items() if value is not None}
        used = key in chosen.values()
        yield f"  {'' if used else '# '}{key}: {{{', '.join(f'{name}: {_plain(value)}' for name, value in facts.items())}}}"
    yield "tables:"
    yield from (
        "  MHS000Header:",
        "    columns:",
        '      DatSetVer: {value: "6.0"}',
        "      OrgIDProvider: {parameter: provider}",
        "      OrgIDSubmit: {parameter: submitter}",
        "      # PrimSystemInUse: {value: …}  # mandatory: what the system is called, at most 20 characters",
        "      ReportingPeriodStartDate: {parameter: period_start}",
        "      ReportingPeriodEndDate: {parameter: period_end}",
        "      DateTimeDatSetCreate: {parameter: as_of}",
    )
    for table, key in chosen.items():
        yield from _table(standard.load().table(table), key, others[table], guesses[table], looks[key])
    for table in ("MHS001", "MHS002", "MHS101"):
        if table not in chosen:
            yield f"  # {standard.load().table(table).name}: nothing here looks like it, and without it every submission is rejected"


def _table(table: standard.Table, key: str, others: Sequence[str], guesses: Sequence[Guess], looks: Sequence[Look]) -> Iterator[str]:
    by_element = {guess.element: guess for guess in guesses}
    own = [field.element for field in table.fields if field.element.startswith("OrgIDLocalP") or field.element.startswith("OrgIDCareProf")]
    sure = [guess for guess in guesses if guess.score >= SURE and guess.ready]
    mark = "" if sure or own else "# "
    if others:
        yield f"  # Also like {table.name}: {', '.join(others)}; put them together with a query, or choose another."
    yield f"  {mark}{table.name}:"
    yield f"    {mark}from: {key}"
    yield f"    {mark}columns:"
    for field in table.fields:
        guess = by_element.get(field.element)
        if field.element in own:
            yield f"      {field.element}: {{parameter: provider}}  # the provider's own"
        elif guess is not None:
            column = _plain(guess.column)
            if guess.formats:
                column = f"{{column: {column}, format: [{', '.join(_plain(form) for form in guess.formats)}]}}"
            elif field.codes and not guess.ready:
                column = f"{{column: {column}, codes: {field.element.lower()}}}"
            told = f"{'sure' if guess in sure else 'likely'} ({guess.score:.2f}): {guess.why}"
            yield f"      {'' if guess in sure else '# '}{field.element}: {column}  # {told}"
        elif field.mandation == "M":
            yield f"      # {field.element}: …  # mandatory: nothing here looks like it"
    used = {guess.column for guess in guesses}
    if left := [look.column for look in looks if look.column not in used]:
        yield f"    # Not placed: {', '.join(map(_plain, left))}"


def _plain(value: object) -> str:
    """A name in YAML, in quotes where it would not be read as itself."""
    text = str(value)
    if isinstance(value, int) or (re.fullmatch(r"[A-Za-z][A-Za-z0-9_. -]*", text) and isinstance(yaml.safe_load(text), str) and text == text.strip()):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
