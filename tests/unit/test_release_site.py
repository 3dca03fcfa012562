"""The site of a release: every number on it is one that was released, nothing hidden is, all of it holds together, and anybody can read it."""

from __future__ import annotations

import hashlib
import itertools
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ips_pipeline.errors import InputError
from ips_pipeline.measures import registry
from ips_pipeline.reports import plots
from ips_pipeline.reports.figures import opened, read
from ips_pipeline.reports.release import released_values, write_release_site

HOSTILE = "<script>alert('x')</script> & \"Sons\" NHS TRUST"
START, END = date(2025, 9, 1), date(2026, 8, 31)
NUMBERS = (
    "numerator", "denominator", "value", "lower", "upper", "ratio", "ratio_lower", "ratio_upper",
    "limit_lower_95", "limit_upper_95", "limit_lower_998", "limit_upper_998",
)  # fmt: skip
COLUMNS = {
    **dict.fromkeys(("family", "measure_id", "measure_name", "definition_version", "status", "breakdown", "level", "level_name"), pa.string()),
    **dict.fromkeys(("variant", "published", "disclosure", "reliability", "unit", "kind"), pa.string()),
    **dict.fromkeys(("period_start", "period_end"), pa.date32()),
    **dict.fromkeys(NUMBERS, pa.float64()),
    "numerator": pa.int64(),
    "denominator": pa.int64(),
}
PAGES = {
    "index.html", "access.html", "outcomes.html", "waits.html", "fairness.html", "quality.html", "counted.html", "definitions.html", "about.html",
}  # fmt: skip

Cells = Mapping[str, Any]


def cell(measure: str, breakdown: str, level: str | None, value: float | None = None, **more: Any) -> dict[str, Any]:
    """One row of measures.parquet, with what the registry says of the measure; without a value it is hidden."""
    known = next(item for item in registry.load().measures if item.id == measure)
    row = {
        "family": known.family, "measure_id": measure, "measure_name": known.title, "definition_version": known.version, "kind": known.kind,
        "unit": known.unit, "period_start": START, "period_end": END, "status": "Performance", "breakdown": breakdown, "level": level,
        "variant": "local", "value": value, "published": "*" if value is None else f"{value:g}",
        "disclosure": "suppressed" if value is None else "rounded" if value else "zero",
    }  # fmt: skip
    if known.kind == "count" and value is not None:
        row["numerator"] = int(value)
    return row | more


def silent(measure: str, level: str) -> dict[str, Any]:
    """The row of a provider that sent nothing."""
    return cell(measure, "Provider", level, published=None, disclosure="not submitted")


def share(measure: str, breakdown: str, level: str, part: int, of: int, **more: Any) -> dict[str, Any]:
    """A share with a made-up interval of ten points to either side."""
    value = part / of
    bounds = {"lower": round(max(value - 0.1, 0), 6), "upper": round(min(value + 0.1, 1), 6)}
    return cell(measure, breakdown, level, value, numerator=part, denominator=of, **(bounds | more))


def mhs116(variant: str, levels: Sequence[tuple[str, str, str, str | None, str | None, int | None]]) -> list[dict[str, Any]]:
    """MHS116 and its rate: breakdown, level, name, count and rate as released, population of the rate."""
    return [
        cell(measure, breakdown, level, None if text in ("*", None) else float(text), level_name=name, variant=variant, published=text,
             denominator=people if measure == "MHS116a" else None,
             disclosure="suppressed" if text == "*" else "not submitted" if text is None else "exact" if variant == "published" else "rounded")
        for breakdown, level, name, count, rate, people in levels
        for measure, text in (("MHS116", count), ("MHS116a", rate))
        if measure == "MHS116" or rate is not None
    ]  # fmt: skip


PUBLISHED = [
    ("England", "England", "England", "1234", "2.1937", 56_250_000),
    ("England; Age Band", "0 to 5", "0 to 5", "0", "0", 3_000_000),
    ("England; Age Band", "20 to 24", "20 to 24", "1200", "33.333", 3_600_000),
    ("England; Age Band", "UNKNOWN", "UNKNOWN", "34", "0.0", 0),
    ("England; Gender", "1", "Male", "600", "2.2", 27_000_000),
    ("England; Gender", "3", "Non-binary", "12", "0.0", 0),
    ("England; IMD Decile", "01 Most deprived", "01 Most deprived", "400", "7.1", 5_600_000),
    ("Provider", "RXA", HOSTILE, "1015", None, None),
    ("Provider", "RXB", "QUIET NHS TRUST", "*", None, None),
    ("Provider", "RXC", "EMPTY NHS TRUST", "0", None, None),
    ("Provider", "RXD", "SILENT NHS TRUST", None, None, None),
    ("Sub ICB of GP Practice or Residence", "11M", "NHS NORTHSHIRE ICB - 11M", "220", "4.0", 5_500_000),
    ("Sub ICB of GP Practice or Residence", "UNKNOWN", "UNKNOWN", "*", "*", 0),
]


def full(variant: str = "published") -> list[dict[str, Any]]:
    """A release with something of every family, and each way in which a number can be absent."""
    rows = mhs116(variant, PUBLISHED)
    months = [date(2026, month, 28) for month in range(1, 9)]
    rows += [
        cell(measure, breakdown, level, None if hidden == number else 100.0 + 5 * number, numerator=None if hidden == number else 100 + 5 * number,
             period_start=end.replace(day=1), period_end=end)
        for measure in ("NewReferrals", "Caseload")
        for breakdown, level, hidden in (("England", "England", None), ("Provider", "RXA", 3))
        for number, end in enumerate(months)
    ]  # fmt: skip
    for breakdown, level in (("All", "All"), ("Provider", "RXA")):
        rows += [
            cell("ACC01", breakdown, level, 1235), cell("ACC02", breakdown, level, 1105), cell("EMP12", breakdown, level, 105),
            cell("EMP14", breakdown, level, 25.301205, numerator=105, denominator=415, lower=20.6934, upper=30.6289),
            cell("WAIT02", breakdown, level, 34, numerator=415, denominator=510, lower=31, upper=36),
            cell("WAIT09", breakdown, level, None, numerator=95, denominator=460, published=None, disclosure="rounded"),
            share("WAIT08", breakdown, level, 25, 65), share("EMP16", breakdown, level, 5, 15, reliability="small numbers"),
            cell("QUAL08", breakdown, level, 94, denominator=600), share("QUAL06", breakdown, level, 970, 1000),
            share("FAIR04", breakdown, level, 745, 1130, limit_lower_95=0.58, limit_upper_95=0.62, limit_lower_998=0.56, limit_upper_998=0.64),
            cell("ACC21", breakdown, level, 970), cell("IPS10", breakdown, level, 47.169811, numerator=125, denominator=265, lower=39.3, upper=56.2),
            cell("IPS57", breakdown, level, 120_000_000),
        ]  # fmt: skip
    rows += [silent(measure, "RXD") for measure in ("ACC02", "EMP14", "QUAL08", "FAIR04")]
    rows += [cell("EMP14", "Provider", "RXB", None, denominator=40), cell("FAIR04", "Provider", "RXB", None, denominator=30)]
    rows += [share("FAIR04", "Provider", "RXC", 60, 100, limit_lower_998=0.5, limit_upper_998=0.8, limit_lower_95=0.55, limit_upper_95=0.75)]
    rows += [
        share("FAIR01", "Ethnic group", "White or White British", 130, 185, ratio=1.0, ratio_lower=0.9, ratio_upper=1.1),
        share("FAIR01", "Ethnic group", "Mixed", 15, 25, ratio=0.853846, ratio_lower=0.6, ratio_upper=1.2),
        cell("FAIR01", "Ethnic group", "Unknown", None, denominator=10),
        cell("ACC21", "Access counts it is in", "MHS116 only", 135), cell("ACC21", "Access counts it is in", "Local only"),
        cell("ACC21", "Provider; Access counts it is in", "RXA|MHS116 only", 135),
        cell("ACC22", "Reason", "consultation mechanism not direct", 20), cell("ACC22", "Reason", "not attended"),
        cell("TARG01", "England or all submissions", "England", 1.740157, numerator=1105, denominator=63500, lower=1.6, upper=1.8),
        cell("TARG11", "England or all submissions", "England", 1.779818, numerator=1105, denominator=62085, lower=1.7, upper=1.9),
        cell("TARG21", "England or all submissions", "England", 10485),
        cell("TARG01", "Provider", "RXA", 73.666667, numerator=1105, denominator=1500, lower=69.4, upper=78.1), cell("TARG21", "Provider", "RXA", 40),
        cell("TARG02", "Provider", "RXA", 61.75, numerator=1235, denominator=2000, lower=58.3, upper=65.3),
        cell("TARG12", "Provider", "RXA", 82.333333, numerator=1235, denominator=1500, lower=77.8, upper=87.1),
        cell("ACC22", "Provider; Reason", "RXA|not attended", 15), cell("ACC22", "Provider; Reason", "RXB|no contact recorded", 25),
        share("QUAL06", "Provider; Field", "RXA|MHS001.Postcode", 480, 500),
        share("QUAL06", "Field", "MHS001.Postcode", 990, 1000), share("QUAL01", "Field", "MHS001.Postcode", 985, 1000),
        share("TRIAL04", "Trial arm", "IPS", 30, 100), share("TRIAL04", "Trial arm", "Usual support", 20, 100),
        cell("MHS116a", "England; Upper Ethnicity", None, variant="unsuppressed", published=None, disclosure="not evaluated"),
    ]  # fmt: skip
    return rows


def release(folder: Path, rows: Iterable[Cells]) -> Path:
    """A release folder as the pipeline leaves it before its pages are written."""
    (folder / "publication").mkdir(parents=True)
    held = sorted((dict.fromkeys(COLUMNS) | row for row in rows), key=lambda row: (row["measure_id"], row["breakdown"], row["level"] or ""))
    pq.write_table(pa.Table.from_pylist(held, pa.schema(COLUMNS)), folder / "measures.parquet")
    (folder / "measures.csv").write_text("family,measure_id\n")
    (folder / "publication" / "MHSDS Data_AugPerf_2026_bbrb.csv").write_text("MEASURE_ID\n")
    return folder


REASONS = [{"measure": "MHS116a", "breakdown": "England; Upper Ethnicity", "needs": ["census2021_ethnicity.csv"]}]


def write(folder: Path) -> Path:
    """The site of a release folder; gives the folder."""
    first = write_release_site(
        folder, identity="0123456789abcdef", submissions=24, not_evaluated=REASONS, definitions=registry.definitions(), notice="Made-up data."
    )
    assert first == folder / "index.html"
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(release(tmp_path_factory.mktemp("site") / "release", full()))


@dataclass
class Seen:
    """A page as a parser sees it: tags, the released values in it with their text, cells of numbers without them, and its words."""

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    values: list[tuple[float, str]] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)
    text: str = ""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen = Seen()
        self._value: float | None = None
        self._number = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = {name: value or "" for name, value in attrs}
        self.seen.tags.append((tag, held))
        if tag == "data":
            self._value = float(held["value"])
            self.seen.values.append((self._value, ""))
        if tag in ("td", "th"):
            self._number = tag == "td" and "num" in held.get("class", "").split()
            self.seen.bare.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "data":
            self._value = None
        if tag in ("td", "th"):
            self._number = False

    def handle_data(self, data: str) -> None:
        self.seen.text += data
        if self._value is not None:
            self.seen.values[-1] = (self._value, self.seen.values[-1][1] + data)
        elif self._number:
            self.seen.bare[-1] += data


def look(page: Path) -> Seen:
    reader = _Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    return reader.seen


def words(page: Path) -> str:
    return " ".join(look(page).text.split())


def pages_of(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.html"))


def line(page: Path, label: str) -> str:
    """The words of the first row of a table that begins with a label."""
    rows = re.findall(r"<tr[^>]*><th scope=\"row\">.*?</tr>", page.read_text(encoding="utf-8"), re.DOTALL)
    texts = [" ".join(unescape(re.sub(r"<[^>]+>", " ", row)).split()) for row in rows]
    return next(text for text in texts if text.startswith(label))


# -- what is on it ------------------------------------------------------------------------------------------------------------


def test_every_number_on_every_page_is_one_that_was_released(site: Path) -> None:
    """As released, and written so that it reads as that number; a cell of numbers holds no digit besides."""
    held = pq.read_table(site / "measures.parquet").to_pydict()
    released = {float(value) for name in NUMBERS for value in held[name] if value is not None}
    for page in pages_of(site):
        seen = look(page)
        for value, text in seen.values:
            assert value in released, (page.name, value)
            plain = float(re.sub(r"[£,%]", "", text))
            scale = 0.01 if "£" in text else 100 if "%" in text else 1
            assert plain == pytest.approx(value * scale, abs=0.0501), (page.name, value, text)
        assert not [text for text in seen.bare if re.search(r"[1-9]", text)], page.name


def test_every_page_has_numbers_but_those_of_words(site: Path) -> None:
    with_numbers = {page.relative_to(site).as_posix() for page in pages_of(site) if look(page).values}
    assert {page.relative_to(site).as_posix() for page in pages_of(site)} - with_numbers == {"about.html", "definitions.html"}


def test_hidden_figures_are_marked_and_leave_nothing(tmp_path: Path) -> None:
    """Whatever else a row of the file holds, a hidden value, its interval and its limits are not shown."""
    leak = {"value": 0.777, "lower": 0.717, "upper": 0.757, "ratio": 0.737, "limit_lower_998": 0.727, "limit_upper_998": 0.747}
    measures = ("FAIR04", "EMP16", "QUAL06", "WAIT08")
    rows = mhs116("local", PUBLISHED) + [
        share(measure, breakdown, level, 777, 1000) | leak | {"disclosure": "suppressed", "published": "*"}
        for measure in measures
        for breakdown, level in (("All", "All"), ("Provider", "RXA"))
    ]
    text = "".join(page.read_text(encoding="utf-8") for page in pages_of(write(release(tmp_path / "release", rows))))
    assert not re.search(r"7[0-9]\.7%|0\.7[0-9]7", text)
    assert text.count("hidden</span>") >= len(measures)


def test_nought_hidden_and_not_sent_are_three_marks(site: Path) -> None:
    access = site / "access.html"
    assert [line(access, name).split(" ", 3)[3:] for name in ("QUIET NHS TRUST", "EMPTY NHS TRUST", "SILENT NHS TRUST")] == [
        ["* hidden"], ["0"], ["nothing sent"],
    ]  # fmt: skip
    for mark in ("Hidden: 1 to 4", "Nobody.", "The provider sent no data for the period"):
        assert mark in words(access)


def test_what_is_absent_says_why(site: Path) -> None:
    waits = site / "waits.html"
    assert line(waits, "Days from the referral to the first start of work").endswith("not reached")
    assert "[u]" in line(site / "outcomes.html", "Moved into work within 6 months")
    assert "no population" in line(site / "access.html", "Non-binary")


def test_values_stand_with_their_intervals(site: Path) -> None:
    assert line(site / "outcomes.html", "Moves into work per 100") == "Moves into work per 100 referrals seen out of work 25.3 20.7 to 30.6"
    assert line(site / "fairness.html", "Mixed") == "Mixed 0.85 0.60 to 1.20 60.0% 50.0% to 70.0%"
    assert line(site / "waits.html", "Days from the referral to the first contact").endswith("34 31 to 36")


def test_a_provider_stands_beside_the_whole(site: Path) -> None:
    page = site / "providers" / "RXA.html"
    assert line(page, "Moves into work per 100").endswith("25.3 20.7 to 30.6 25.3 20.7 to 30.6")
    assert "Access is above the limits" in words(page)
    assert "sent nothing in the twelve months" in words(site / "providers" / "RXD.html")


def test_targets_tell_the_count_the_line_and_what_is_needed(site: Path) -> None:
    assert line(site / "index.html", "The national target").split("months ")[1] == "1,105 62,085 63,500 1.8 1.7 to 1.9 1.7 1.6 to 1.8 10,485"

    provider = site / "providers" / "RXA.html"
    assert line(provider, f"{HOSTILE} people").split("months ")[1] == "1,105 no line 1,500 no line 73.7 69.4 to 78.1 40"
    assert "’s target, of people in twelve months, it stands at 73.7 per 100; to reach it takes about 40 new accesses" in words(provider)


def test_a_month_that_is_hidden_breaks_the_line(site: Path) -> None:
    text = (site / "providers" / "RXA.html").read_text(encoding="utf-8")
    assert len(re.findall(r'<text class="gap"[^>]*>\*</text>', text)) == 2
    assert line(site / "providers" / "RXA.html", "April 2026") == "April 2026 * hidden"


def test_who_nearly_was_in_the_number_is_counted_with_the_reason(site: Path) -> None:
    assert line(site / "counted.html", "Consultation mechanism not direct").endswith("20")
    assert line(site / "counted.html", "Not attended").endswith("* hidden")
    assert line(site / "providers" / "RXA.html", "Not attended").endswith("15")
    assert "No contact recorded" not in words(site / "providers" / "RXA.html")


def test_each_definition_says_what_is_counted_over_what(site: Path) -> None:
    text = words(site / "definitions.html")
    for measure in registry.load().measures:
        assert measure.title in text and measure.definition.split(" ")[0] in text
        assert f"{measure.source}; version {measure.version}" in " ".join(text.split())
    html = (site / "definitions.html").read_text(encoding="utf-8")
    for measure in registry.load().measures:
        proxy = any("An experimental proxy" in caveat for caveat in measure.caveats)
        title = html.split(f'<h3 id="t-{measure.id}">')[1].split("</h3>")[0]
        assert (">proxy<" in title) == proxy


def test_the_page_of_downloads_says_what_the_release_is(site: Path) -> None:
    text = words(site / "about.html")
    for expected in (
        "1 September 2025 to 31 August 2026",
        "Performance",
        "0123456789abcdef",
        "24 accepted monthly submissions",
        "2024-07",
        "Made-up data.",
    ):
        assert expected in text
    assert "census2021_ethnicity.csv" in text and "England; Upper Ethnicity" in text


# -- how it holds together ------------------------------------------------------------------------------------------------------


def test_every_link_leads_somewhere(site: Path) -> None:
    """To a page of the site and a place on it, or to a file of the release."""
    found = {page.relative_to(site).as_posix(): look(page) for page in pages_of(site)}
    assert found.keys() > PAGES and {f"providers/{code}.html" for code in ("RXA", "RXB", "RXC", "RXD")} < found.keys()
    places = {name: {held["id"] for _, held in seen.tags if "id" in held} for name, seen in found.items()}
    for name, seen in found.items():
        for tag, held in seen.tags:
            if tag != "a":
                continue
            target, _, place = urljoin(name, held["href"]).partition("#")
            assert (site / unquote(target or name)).is_file(), (name, held["href"])
            assert not place or place in places[target or name], (name, held["href"])
    links = {unquote(held["href"]) for tag, held in found["about.html"].tags if tag == "a"}
    assert {"measures.csv", "measures.parquet", "publication/MHSDS Data_AugPerf_2026_bbrb.csv"} < links


def test_each_page_leads_to_every_other(site: Path) -> None:
    for page in pages_of(site):
        root = "../" if page.parent.name == "providers" else ""
        assert {f"{root}{name}" for name in PAGES} <= {held["href"] for tag, held in look(page).tags if tag == "a"}


def test_the_same_release_gives_the_same_bytes(tmp_path: Path) -> None:
    def taken(folder: Path) -> dict[str, str]:
        return {page.relative_to(folder).as_posix(): hashlib.sha256(page.read_bytes()).hexdigest() for page in pages_of(folder)}

    first = taken(write(release(tmp_path / "a" / "release", full())))
    assert taken(write(release(tmp_path / "b" / "release", full()))) == first
    assert taken(write(tmp_path / "b" / "release")) == first, "writing the pages again counts the first ones among the files"


@pytest.mark.parametrize("variant", ["local", "published"])
def test_a_release_of_one_number_still_gives_every_page(tmp_path: Path, variant: str) -> None:
    """Families that are not there leave their sections out or say so, and no number is made up."""
    folder = write(
        release(tmp_path / "release", mhs116(variant, [("England", "England", "England", "*" if variant == "local" else "0", None, None)]))
    )
    assert {page.relative_to(folder).as_posix() for page in pages_of(folder)} == PAGES
    text = words(folder / "index.html")
    assert ("Too few referrals accessed IPS" in text) == (variant == "local")
    assert "No target of this organisation" in text and "No local IPS records of this kind are in the release." in text
    assert "Arms of the trial" not in words(folder / "outcomes.html")
    assert "sends hospital stays" in words(folder / "outcomes.html")


def test_names_are_escaped_and_odd_codes_are_no_paths(tmp_path: Path) -> None:
    codes = ["../RXZ", "A B", "<b>", "CON", "Ünit"]
    rows = [*full(), *mhs116("published", [("Provider", code, f"{HOSTILE} {code}", "15", None, None) for code in codes])]
    folder = write(release(tmp_path / "release", rows))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["release"]
    names = {page.stem for page in (folder / "providers").iterdir()}
    assert len(names) == 4 + len(codes) and all(re.fullmatch("[A-Za-z0-9-]+", name) for name in names)
    for page in pages_of(folder):
        assert "<script" not in page.read_text(encoding="utf-8").lower()
        assert "<b>" not in "".join(re.findall(r"<(?:h1|title|th)[^>]*>(.*?)<", page.read_text(encoding="utf-8")))
    assert HOSTILE in look(folder / "providers" / "RXA.html").text


def test_a_local_release_says_that_its_numbers_are_rounded(tmp_path: Path) -> None:
    folder = write(release(tmp_path / "release", full("local")))
    text = words(folder / "index.html")
    assert "About 1,234 referrals" in text and "All numbers are to the nearest 5" in text and "are exact" not in text
    assert "All providers" in text


def test_exact_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not that of a release"):
        write(release(tmp_path / "release", full("unsuppressed")))


def test_a_folder_without_measures_is_refused(tmp_path: Path) -> None:
    folder = release(tmp_path / "release", full())
    (folder / "measures.parquet").unlink()
    for refused in (write, lambda path: released_values(path, "Provider", "MHS116")):
        with pytest.raises(InputError, match=r"run"):
            refused(folder)


def test_released_values_are_those_of_the_file(site: Path) -> None:
    assert released_values(site, "Provider", "MHS116")[1:] == [
        ("RXB", "QUIET NHS TRUST", "*"), ("RXC", "EMPTY NHS TRUST", "0"), ("RXD", "SILENT NHS TRUST", "nothing sent"),
    ]  # fmt: skip


# -- how it reads -------------------------------------------------------------------------------------------------------------


def test_no_page_loads_or_runs_anything(site: Path) -> None:
    for page in pages_of(site):
        text, seen = page.read_text(encoding="utf-8"), look(page)
        assert not re.search(r"https?://|url\(|@import|javascript:", text), page.name
        assert not {"script", "iframe", "object", "embed", "img", "video", "form"} & {tag for tag, _ in seen.tags}
        assert not [name for _, held in seen.tags for name in held if name.startswith("on") or name == "src"]
        assert "default-src 'none'" in text
        assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert not list(site.rglob(".*"))


def test_every_page_can_be_read_without_seeing_it(site: Path) -> None:
    for page in pages_of(site):
        seen = look(page)
        identifiers = [held["id"] for _, held in seen.tags if "id" in held]
        assert len(identifiers) == len(set(identifiers)), page.name
        assert ("html", {"lang": "en-GB"}) in seen.tags
        for tag, held in seen.tags:
            assert set(held.get("aria-labelledby", "").split()) <= set(identifiers)
            if held.get("class") == "scroll":
                assert held["tabindex"] == "0" and held["role"] == "region"
            if tag == "th":
                assert held["scope"] in ("row", "col")
        charts = [held for tag, held in seen.tags if tag == "svg" and "aria-hidden" not in held and "role" not in held]
        assert all("x" in held for held in charts), "a chart that is not named, nor hidden because its row says the same"
        tables = [place for place, (tag, _) in enumerate(seen.tags) if tag == "table"]
        assert all("aria-labelledby" in seen.tags[place][1] or seen.tags[place + 1][0] == "caption" for place in tables)
        levels = [int(tag[1]) for tag, _ in seen.tags if re.fullmatch(r"h[1-6]", tag)]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


# -- where the marks of the charts stand ------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1e7).map(lambda value: round(value, 6)), max_size=8), st.booleans())
def test_an_axis_holds_its_values_in_their_order(values: list[float], per_cent: bool) -> None:
    scale = plots.linear(values, per_cent=per_cent)
    places = [scale.at(value) for value in sorted(values)]
    assert places == sorted(places) and all(0 <= place <= 100 for place in places)
    assert scale.high >= max(values, default=0) * 0.99999


@given(st.lists(st.floats(0.01, 50), min_size=1, max_size=8))
def test_an_axis_of_ratios_has_one_in_its_middle(values: list[float]) -> None:
    scale = plots.logarithmic(values)
    assert scale.at(1.0) == pytest.approx(50)
    assert scale.at(0.5) + scale.at(2.0) == pytest.approx(100, abs=0.02)


def test_months_without_a_number_are_gaps() -> None:
    chart = plots.months(["a", "b", "c", "d"], [1.0, None, 3.0, 4.0], ["–", "*", "–", "–"])
    assert len(chart.segments) == 1 and len(chart.points) == 3 and [mark for _, mark in chart.gaps] == ["*"]
    assert chart.last is not None and chart.last[2] == "4"


@pytest.mark.parametrize(("part", "height"), [(0, 100.0), (1, 0.0)])
def test_a_funnel_of_places_that_all_have_none_or_all_is_drawn(tmp_path: Path, part: int, height: float) -> None:
    """As in the first months of a service."""
    rows = [share("FAIR04", "All", "All", 300 * part, 300)]
    rows += [share("FAIR04", "Provider", f"P{size}", size * part, size) for size in (100, 200)]
    with opened(release(tmp_path / "release", rows), None) as connection:
        figures = read(connection)
    one = figures.one("FAIR04")
    assert one is not None
    chart = plots.funnel(one, list(figures.levels("FAIR04", "Provider").values()))
    assert chart is not None and chart.whole == height
    assert [place.down for place in chart.places] == [height, height]


def test_the_limits_of_a_funnel_are_the_released_ones(tmp_path: Path) -> None:
    """The drawn curves pass through what the release gives for each place."""
    whole = 0.6
    sizes = (80, 200, 400)
    rows = [share("FAIR04", "All", "All", 600, 1000)]
    for place, size in enumerate(sizes):
        reach = {"95": 1.959964, "998": 3.090232}
        limits = {
            f"limit_{side}_{name}": round(whole + sign * errors * (whole * (1 - whole) / size) ** 0.5, 6)
            for name, errors in reach.items()
            for side, sign in (("lower", -1), ("upper", 1))
        }
        rows.append(share("FAIR04", "Provider", f"P{place}", size * (9 if place == 0 else 6) // 10, size, **limits))
    with opened(release(tmp_path / "release", rows), None) as connection:
        figures = read(connection)
    levels = list(figures.levels("FAIR04", "Provider").values())
    one = figures.one("FAIR04")
    assert one is not None
    chart = plots.funnel(one, levels)
    assert chart is not None and [place.outside for place in chart.places] == [True, False, False]
    low, high = chart.down[0], chart.down[-1]
    bottom, top = float(low[1].rstrip("%")) / 100, float(high[1].rstrip("%")) / 100
    for figure, place in zip(levels, chart.places, strict=True):
        for path, name in ((chart.inner[0], "limit_lower_95"), (chart.outer[1], "limit_upper_998")):
            spots = [tuple(map(float, spot.split())) for spot in path.removeprefix("M").split(" L")]
            before, after = next(pair for pair in itertools.pairwise(spots) if pair[0][0] <= 10 * place.across <= pair[1][0])
            part = (10 * place.across - before[0]) / (after[0] - before[0])
            drawn = top - (before[1] + part * (after[1] - before[1])) / 1000 * (top - bottom)
            assert drawn == pytest.approx(getattr(figure, name), abs=0.003)
