"""How fast rows come out of a database into the landing's raw files, and in how much memory.

    python -m benchmarks.extraction --rows 10000000 --server postgresql mariadb

Starts a throw-away server, fills a table of care contacts with ten columns (numbers, text, codes, dates, times, blanks), and extracts it
as a run does, in a process of its own: wall time, rows a second, and the largest resident memory. Beside it stands the server's own client
writing the same rows to a file of text, with neither types nor Parquet: ``COPY … TO`` of psql, and the mariadb client.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from benchmarks.measures import pace
from benchmarks.servers import NoServerError, Server, server

PASSWORD = "benchmark"  # noqa: S105 - of a server that lives as long as the benchmark

#: One contact of number n.
_CONTACT = """
    SELECT n AS contact_no, CONCAT('R', n % 1200000) AS referral_no, CONCAT('P', n % 1000000) AS person_no,
        {day} AS held_on, {moment} AS recorded_at, TIME '09:30:00' AS held_at, CAST(15 + n % 60 AS {whole}) AS minutes,
        CASE n % 5 WHEN 0 THEN 'DNA' ELSE 'Attended' END AS outcome, CASE WHEN n % 3 = 0 THEN CONCAT('T', n % 400) END AS team,
        CAST(n % 1000 AS DECIMAL(9, 2)) AS cost
"""
_FILL = {
    "postgresql": "CREATE TABLE contact AS "
    + _CONTACT.format(day="DATE '2026-08-01' + n % 31", moment="TIMESTAMP '2026-08-01 09:00:00' + n % 86400 * INTERVAL '1 second'", whole="int")
    + " FROM generate_series(1, {rows}) AS numbers (n)",
    "mariadb": "CREATE TABLE contact AS "
    + _CONTACT.format(
        day="DATE '2026-08-01' + INTERVAL n % 31 DAY", moment="TIMESTAMP '2026-08-01 09:00:00' + INTERVAL n % 86400 SECOND", whole="SIGNED"
    )
    + " FROM (SELECT seq AS n FROM seq_1_to_{rows}) AS numbers",
}
_READER = {
    "postgresql": f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; GRANT SELECT ON contact TO reader",
    "mariadb": f"CREATE USER reader IDENTIFIED BY '{PASSWORD}'; GRANT SELECT ON epr.* TO reader",
}
_CLIENT = {"postgresql": "COPY contact TO STDOUT", "mariadb": "SELECT * FROM contact"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line a server and way. Returns 0, or 1 when a server is not installed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.extraction", description="Speed and memory of the extract from databases.")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--server", nargs="+", choices=["postgresql", "mariadb"], default=["postgresql", "mariadb"])
    parser.add_argument("--extract", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.extract is not None:
        print(json.dumps(_extract(given.extract)))
        return 0
    print(json.dumps(pace()))
    try:
        for kind in given.server:
            with server(kind) as running:
                _compare(running, given.rows)
    except NoServerError as lacking:
        print(lacking, file=sys.stderr)
        return 1
    return 0


def _compare(running: Server, rows: int) -> None:
    running.run(_FILL[running.kind].format(rows=rows))
    running.run(_READER[running.kind])
    with tempfile.TemporaryDirectory(prefix="ips-extraction-") as home:
        url = running.url("reader", PASSWORD)
        _site(Path(home), url)
        command = [sys.executable, "-m", "benchmarks.extraction", "--extract", home]
        began = time.monotonic()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        told = json.loads(done.stdout)
        _line(running.kind, "ips, to Parquet of text", rows, time.monotonic() - began, told["peak_mb"], told["bytes"])
        if told["rows"] != rows:
            raise RuntimeError(f"{told['rows']} of {rows} rows came")
        plain = Path(home) / "plain.txt"
        with plain.open("wb") as target:
            began = time.monotonic()
            client = subprocess.Popen(running.client(), stdin=subprocess.PIPE, stdout=target)
            if client.stdin is None:
                raise RuntimeError("the client takes no command")
            client.stdin.write(_CLIENT[running.kind].encode())
            client.stdin.close()
            _, status, used = os.wait4(client.pid, 0)
            client.returncode = os.waitstatus_to_exitcode(status)
        if client.returncode:
            raise RuntimeError("the server's own client failed")
        _line(running.kind, "its own client, to plain text", rows, time.monotonic() - began, used.ru_maxrss / 1024, plain.stat().st_size)


def _line(kind: str, way: str, rows: int, seconds: float, peak_mb: float, size: int) -> None:
    print(
        f"{kind:10}  {way:30}  {rows:>11,} rows  {seconds:7.1f} s  {rows / seconds:>9,.0f} rows/s  {peak_mb:6.0f} MB  {size / 1e6:7.0f} MB file",
        flush=True,
    )


def _site(home: Path, url: str) -> None:
    (home / "reference").mkdir()
    (home / "secrets").mkdir()
    (home / "secrets/url").write_text(url, encoding="utf-8")
    (home / "mapping.yaml").write_text("", encoding="utf-8")
    (home / "SITE.toml").write_text(
        'name = "A site"\ndata = "data"\nreference = "reference"\nsources.epr = { kind = "sql", url = { file = "url" } }\n'
        'providers = [{ code = "RXX", name = "A trust", source = "epr", mapping = "mapping.yaml" }]\n',
        encoding="utf-8",
    )


def _extract(home: Path) -> dict[str, float]:
    """Fetch the table; rows, bytes of the file, and the largest resident memory of this process."""
    import resource

    from ips_pipeline import settings
    from ips_pipeline.sources import sql
    from ips_pipeline.sources.mapping import Input

    bind = {"period_start": date(2026, 8, 1), "period_end": date(2026, 8, 31), "provider": "RXX"}
    (home / "fetched").mkdir()
    fetched = sql.fetch(settings.load(home / "SITE.toml"), "epr", {"contact": Input(table="contact")}, bind=bind, folder=home / "fetched")
    held = fetched["contact"]
    return {"rows": held.rows, "bytes": held.path.stat().st_size, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    sys.exit(main())
