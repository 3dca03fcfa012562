"""Intervals, medians, comparisons and limits, beside the same formulas written out in plain Python; and what must hold of every measure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ips_pipeline.errors import IpsError
from ips_pipeline.measures import computation
from ips_pipeline.store import duck, steps

Z = 1.959963984540054
PERIOD = "DATE '2025-09-01' AS period_start, DATE '2026-08-31' AS period_end"


@pytest.fixture
def connection() -> Iterator[duck.Connection]:
    with duck.session() as opened:
        yield opened


def table(connection: duck.Connection, name: str, columns: str, rows: Sequence[tuple[object, ...]], more: str = "") -> None:
    """A table of the rows given, with columns as name TYPE; ``more`` are columns of one value."""
    connection.execute(f'CREATE OR REPLACE TABLE "{name}" ({columns})')
    if rows:
        connection.executemany(f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(rows[0]))})', [list(row) for row in rows])
    if more:
        connection.execute(f'CREATE OR REPLACE TABLE "{name}" AS SELECT *, {more} FROM "{name}"')


# -- statistic ---------------------------------------------------------------------------------------------------------------

COUNTED = (
    "measure_id VARCHAR, breakdown VARCHAR, level VARCHAR, numerator BIGINT, denominator BIGINT, median INTEGER, median_lower INTEGER,"
    " median_upper INTEGER"
)
RULES = [
    # measure, kind, per, fair, reference
    ("SHARE", "proportion", 1, True, None),
    ("RATE", "rate", 1000, True, None),
    ("COUNT", "count", 1, False, None),
    ("MEAN", "mean", 1, False, None),
    ("MEDIAN", "median", 1, False, None),
]
LEVELS = [("by_all", None, False), ("by_provider", None, True), ("by_gender", "Male", False)]


def statistic(connection: duck.Connection, rows: Sequence[tuple[object, ...]]) -> dict[tuple[str, str], dict[str, object]]:
    """What the SQL says of counts: by measure and level."""
    padded = [(*row, *[None] * (8 - len(row))) for row in rows]
    more = "NULL::VARCHAR AS level_name, 'unsuppressed' AS variant, NULL::DOUBLE AS value_as_published, 'exact' AS disclosure"
    table(connection, "counted", COUNTED, padded, f"{PERIOD}, {more}")
    connection.execute("CREATE OR REPLACE TABLE local_count AS SELECT * EXCLUDE (value_as_published), NULL::DOUBLE AS mean FROM counted WHERE false")
    table(connection, "measure", "measure_id VARCHAR, kind VARCHAR, per INTEGER, fair BOOLEAN, reference VARCHAR", RULES)
    table(connection, "breakdown", "breakdown VARCHAR, reference VARCHAR, places BOOLEAN", LEVELS)
    connection.execute("DROP TABLE IF EXISTS statistic")
    steps.run(connection, ["publish/statistic"], {})
    found = connection.execute("FROM statistic").to_arrow_table().to_pylist()
    return {(row["measure_id"], row["level"]): row for row in found}


def near(found: object, expected: float | None) -> bool:
    return found is None if expected is None else math.isclose(float(found), expected, abs_tol=2e-6, rel_tol=1e-6)  # type: ignore[arg-type]


def test_wilsons_interval(connection: duck.Connection) -> None:
    cases = [(part, whole) for whole in (1, 2, 5, 19, 20, 100, 5000) for part in {0, 1, whole // 3, whole // 2, whole - 1, whole}]
    found = statistic(connection, [("SHARE", "by_provider", f"{part}/{whole}", part, whole) for part, whole in cases])
    for part, whole in cases:
        row = found["SHARE", f"{part}/{whole}"]
        p = part / whole
        middle, half = p + Z * Z / (2 * whole), Z * math.sqrt(p * (1 - p) / whole + Z * Z / (4 * whole * whole))
        assert near(row["value"], p)
        assert near(row["lower"], max(0, middle - half) / (1 + Z * Z / whole))
        assert near(row["upper"], min(1, (middle + half) / (1 + Z * Z / whole)))


@pytest.mark.parametrize(
    ("events", "low", "high"),
    # The exact Poisson limits of the count, from published tables; Byar's approximation comes this close to them.
    [(0, 0.0, 3.689), (5, 1.623, 11.668), (10, 4.795, 18.390), (50, 37.11, 65.92), (100, 81.36, 121.63)],
)
def test_byars_interval_is_close_to_the_exact_one(connection: duck.Connection, events: int, low: float, high: float) -> None:
    row = statistic(connection, [("RATE", "by_all", "All", events, 2000)])["RATE", "All"]
    assert near(row["value"], events / 2)
    assert row["lower"] == pytest.approx(low / 2, abs=0.02)
    assert row["upper"] == pytest.approx(high / 2, abs=0.08)


def test_ratios_are_to_the_reference_level_and_not_where_nothing_happened(connection: duck.Connection) -> None:
    rows = [("SHARE", "by_gender", level, *counts) for level, counts in {"Male": (30, 100), "Female": (45, 100), "Unknown": (0, 7)}.items()]
    found = statistic(connection, rows)
    error = math.sqrt(1 / 45 - 1 / 100 + 1 / 30 - 1 / 100)
    row = found["SHARE", "Female"]
    assert near(row["ratio"], 1.5)
    assert near(row["ratio_lower"], 1.5 * math.exp(-Z * error))
    assert near(row["ratio_upper"], 1.5 * math.exp(Z * error))
    # The reference level beside itself is one, and there is nothing uncertain about that.
    assert [found["SHARE", "Male"][name] for name in ("ratio", "ratio_lower", "ratio_upper")] == [1.0, None, None]
    assert found["SHARE", "Unknown"]["ratio"] is None
    assert found["SHARE", "Unknown"]["reliability"] == "small numbers"


def test_the_ratio_of_rates_leaves_the_denominators_out_of_its_interval(connection: duck.Connection) -> None:
    row = statistic(connection, [("RATE", "by_gender", "Male", 40, 1000), ("RATE", "by_gender", "Female", 20, 1000)])["RATE", "Female"]
    assert near(row["ratio_upper"], 0.5 * math.exp(Z * math.sqrt(1 / 20 + 1 / 40)))


def test_funnel_limits_stand_around_the_whole_at_each_places_size(connection: duck.Connection) -> None:
    found = statistic(
        connection, [("SHARE", "by_all", "All", 200, 500), ("SHARE", "by_provider", "RXA", 50, 100), ("SHARE", "by_provider", "RXB", 0, 3)]
    )
    error = math.sqrt(0.4 * 0.6 / 100)
    row = found["SHARE", "RXA"]
    assert near(row["limit_lower_95"], 0.4 - Z * error) and near(row["limit_upper_95"], 0.4 + Z * error)
    assert near(row["limit_lower_998"], 0.4 - 3.090232306167813 * error) and near(row["limit_upper_998"], 0.4 + 3.090232306167813 * error)
    assert found["SHARE", "RXB"]["limit_lower_998"] == 0.0
    assert found["SHARE", "All"]["limit_lower_95"] is None
    assert row["ratio"] is None


def test_counts_means_and_medians(connection: duck.Connection) -> None:
    found = statistic(
        connection, [("COUNT", "by_all", "All", 19), ("MEAN", "by_all", "All", 70, 20), ("MEDIAN", "by_all", "All", 9, 12, 31, 13, None)]
    )
    assert (found["COUNT", "All"]["value"], found["COUNT", "All"]["reliability"]) == (19, "small numbers")
    assert (found["MEAN", "All"]["value"], found["MEAN", "All"]["reliability"]) == (3.5, None)
    assert [found["MEDIAN", "All"][name] for name in ("value", "lower", "upper")] == [31, 13, None]


# -- survival ----------------------------------------------------------------------------------------------------------------


def survival(connection: duck.Connection, times: Sequence[tuple[int, bool]], copies: int = 1) -> tuple[object, ...]:
    """Events, units, median and its limits of times to an event, each with whether it happened."""
    rows = [("waits", "t_days", f"unit {number}", "RXA", days, happened) for number, (days, happened) in enumerate(times)] * copies
    columns = "family VARCHAR, quantity VARCHAR, unit VARCHAR, by_provider VARCHAR, days INTEGER, happened BOOLEAN"
    table(connection, "times", columns, rows, PERIOD)
    connection.execute("DROP TABLE IF EXISTS survival")
    steps.run(connection, ["publish/survival"], {})
    query = "SELECT events, units, median, median_lower, median_upper FROM survival WHERE breakdown = ?"
    whole, provider = (connection.execute(query, [name]).fetchall() for name in ("by_all", "by_provider"))
    assert whole == provider
    return tuple(whole[0])


def kaplan_meier(times: Sequence[tuple[int, bool]]) -> tuple[int | None, int | None, int | None]:
    """The median and its limits, straight from the definitions."""
    curve, variance = 1.0, 0.0
    median = lower = upper = None
    for day in sorted({days for days, happened in times if happened}):
        waiting = sum(days >= day for days, _ in times)
        events = sum(days == day and happened for days, happened in times)
        curve *= 1 - events / waiting
        if median is None and curve <= 0.5 + 1e-9:
            median = day
        if curve <= 0 or waiting == events:
            break
        variance += events / (waiting * (waiting - events))
        spread = Z * math.sqrt(variance) / abs(math.log(curve))
        if lower is None and curve ** math.exp(spread) <= 0.5 + 1e-9:
            lower = day
        if upper is None and curve ** math.exp(-spread) <= 0.5 + 1e-9:
            upper = day
    return median, lower, upper


def test_a_known_median(connection: duck.Connection) -> None:
    """Leukaemia patients under maintenance (Embury 1977), as in the textbooks: median 31 weeks."""
    weeks = [(9, True), (13, True), (13, False), (18, True), (23, True), (28, False), (31, True), (34, True), (45, False), (48, True), (161, False)]
    assert survival(connection, weeks) == (7, 11, 31, 13, None)


@settings(max_examples=15, deadline=None)
@given(groups=st.lists(st.lists(st.tuples(st.integers(0, 60), st.booleans()), min_size=1, max_size=40), min_size=10, max_size=20))
def test_medians_with_open_cases(groups: list[list[tuple[int, bool]]]) -> None:
    with duck.session() as connection:
        rows = [("waits", f"t_{number}", str(unit), *time) for number, times in enumerate(groups) for unit, time in enumerate(times)]
        table(connection, "times", "family VARCHAR, quantity VARCHAR, unit VARCHAR, days INTEGER, happened BOOLEAN", rows, PERIOD)
        steps.run(connection, ["publish/survival"], {})
        found = {name: rest for name, *rest in connection.execute("SELECT quantity, median, median_lower, median_upper FROM survival").fetchall()}
    assert found == {f"t_{number}": list(kaplan_meier(times)) for number, times in enumerate(groups)}


def test_open_cases_count_and_a_median_may_not_be_reached(connection: duck.Connection) -> None:
    assert survival(connection, [(5, True), (40, False), (40, False)]) == (1, 3, None, 5, None)
    assert survival(connection, [(5, True), (5, True), (40, False)])[2] == 5
    assert survival(connection, [(5, False)]) == (0, 1, None, None, None)


def test_a_unit_that_is_named_twice_at_a_level_waits_once(connection: duck.Connection) -> None:
    assert survival(connection, [(5, True), (9, True), (9, False)], copies=2)[:2] == (2, 3)


# -- invariants --------------------------------------------------------------------------------------------------------------

GOOD: dict[str, tuple[str, list[tuple[object, ...]]]] = {
    "measure": (
        "measure_id VARCHAR, family VARCHAR, kind VARCHAR, numerator VARCHAR",
        [("SHARE", "f", "proportion", "n_part"), ("COUNT", "f", "count", "n_other")],
    ),
    "breakdown": (
        "breakdown VARCHAR, within VARCHAR, exclusive BOOLEAN",
        [("by_all", None, False), ("by_gender", "by_all", True), ("by_provider", "by_all", False)],
    ),
    "measure_breakdown": (
        "measure_id VARCHAR, breakdown VARCHAR, evaluated BOOLEAN",
        [(measure, breakdown, True) for measure in ("SHARE", "COUNT") for breakdown in ("by_all", "by_gender", "by_provider")],
    ),
    "counted": (
        "measure_id VARCHAR, breakdown VARCHAR, level VARCHAR, numerator BIGINT, denominator BIGINT",
        [
            ("SHARE", "by_all", "All", 6, 10),
            ("SHARE", "by_gender", "Male", 4, 5),
            ("SHARE", "by_gender", "Unknown", 2, 5),
            ("SHARE", "by_provider", "RXA", 6, 10),
            ("SHARE", "by_provider", "RXB", 1, 2),
            ("COUNT", "by_all", "All", 4, None),
            ("COUNT", "by_gender", "Male", 4, None),
            ("COUNT", "by_provider", "RXA", 4, None),
        ],
    ),
    "statistic": (
        "measure_id VARCHAR, breakdown VARCHAR, level VARCHAR, value DOUBLE, lower DOUBLE, upper DOUBLE",
        [("SHARE", "by_all", "All", 0.6, 0.31, 0.83)],
    ),
    "cell": ("cell BIGINT, quantity VARCHAR, amount BIGINT", [(0, "n_all", 10), (1, "n_part", 6), (2, "n_other", 4)]),
    "quantity_sum": (
        "family VARCHAR, number INTEGER, total VARCHAR, part VARCHAR, always BOOLEAN",
        [("f", 0, "n_all", "n_part", True), ("f", 0, "n_all", "n_other", True)],
    ),
    "measure_exempt": ("measure_id VARCHAR, invariant VARCHAR", []),
}
MORE = {
    "counted": f"{PERIOD}, NULL::INTEGER AS median, NULL::INTEGER AS median_lower, NULL::INTEGER AS median_upper, NULL::VARCHAR AS level_name",
    "statistic": f"{PERIOD}, 'unsuppressed' AS variant, NULL::VARCHAR AS level_name",
    "cell": f"'f' AS family, {PERIOD}, 'by_all' AS breakdown, 'All' AS level, NULL::VARCHAR AS level_name",
}


def broken(connection: duck.Connection, **changed: list[tuple[object, ...]]) -> list[tuple[str, str, str]]:
    """The invariants that do not hold when the rows of some tables are others."""
    for name, (columns, rows) in GOOD.items():
        table(connection, name, columns, changed.get(name, rows), MORE.get(name, ""))
    connection.execute("DROP TABLE IF EXISTS broken")
    steps.run(connection, ["publish/broken"], {})
    return connection.execute("FROM broken").fetchall()


def counted(*changed: tuple[object, ...]) -> list[tuple[object, ...]]:
    """The good counts with some rows replaced, or added, by measure, breakdown and level."""
    rows = {row[:3]: row for row in GOOD["counted"][1]}
    return list((rows | {row[:3]: row for row in changed}).values())


def test_what_is_right_breaks_nothing(connection: duck.Connection) -> None:
    assert broken(connection) == []
    computation.hold_invariants(connection)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (counted(("SHARE", "by_provider", "RXB", 3, 2)), [("numerator within denominator", "SHARE", "by_provider")]),
        (
            counted(("COUNT", "by_provider", "RXB", -1, None)),
            [("levels cover their total and none exceeds it", "COUNT", "by_provider"), ("nothing negative", "COUNT", "by_provider")],
        ),
        (counted(("COUNT", "by_gender", "Male", 3, None)), [("exclusive levels add up to their total", "COUNT", "by_gender")]),
        (counted(("SHARE", "by_gender", "Male", 4, 6)), [("exclusive levels add up to their total", "SHARE", "by_gender")]),
        (counted(("COUNT", "by_provider", "RXA", 3, None)), [("levels cover their total and none exceeds it", "COUNT", "by_provider")]),
        (counted(("COUNT", "by_provider", "RXA", 5, None)), [("levels cover their total and none exceeds it", "COUNT", "by_provider")]),
        (counted(("COUNT", "by_provider", "", 1, None)), [("unknown is a level of its own", "COUNT", "by_provider")]),
    ],
)
def test_a_wrong_count_is_found(connection: duck.Connection, changed: list[tuple[object, ...]], expected: list[tuple[str, str, str]]) -> None:
    assert broken(connection, counted=changed) == expected


def test_a_value_outside_its_interval_and_two_rows_of_one_key_are_found(connection: duck.Connection) -> None:
    outside = [("SHARE", "by_all", "All", 0.9, 0.31, 0.83)]
    assert broken(connection, statistic=outside) == [("interval contains the value", "SHARE", "by_all")]
    assert broken(connection, statistic=GOOD["statistic"][1] * 2) == [("one row per key", "SHARE", "by_all")]


def test_quantities_must_add_up_unless_one_lacks_reference_data(connection: duck.Connection) -> None:
    short: list[tuple[object, ...]] = [(0, "n_all", 10), (1, "n_part", 6)]
    assert broken(connection, cell=short) == [("quantities add up to their total", "COUNT", "by_all")]
    lacking = [row if row[:2] != ("COUNT", "by_all") else ("COUNT", "by_all", False) for row in GOOD["measure_breakdown"][1]]
    assert broken(connection, cell=short, measure_breakdown=lacking) == []


def test_a_published_fault_is_exempt_by_the_registry_and_any_other_fails_the_run(connection: duck.Connection) -> None:
    wrong = counted(("SHARE", "by_provider", "RXB", 3, 2))
    assert broken(connection, counted=wrong, measure_exempt=[("SHARE", "numerator within denominator")]) == []
    broken(connection, counted=wrong)
    with pytest.raises(IpsError, match=r"SHARE by by_provider does not keep an invariant \(numerator within denominator\)"):
        computation.hold_invariants(connection)
