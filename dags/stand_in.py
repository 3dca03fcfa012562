"""The made-up site of docker-compose.yml: one trust's record system is moved into the stand-in PostgreSQL, to be extracted from there.

    python -m dags.stand_in --out FOLDER --url postgresql+psycopg://epr@trust/epr --password-file FILE

Does nothing when FOLDER holds the site already.
"""

from __future__ import annotations

import argparse
import contextlib
import sqlite3
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ips_pipeline.errors import IpsError, RetryableError
from ips_pipeline.sources import madeup

#: The made-up trust whose record system is a SQLite file until it is moved.
TRUST = "MU1"
#: Left in the site when all of it is in place.
READY = ".ready"
#: What a column of the file becomes in the server: the first form that all its values have; text, where one is an impossible date.
FORMS: Sequence[tuple[str, sa.types.TypeEngine[Any]]] = (("%Y-%m-%d", sa.Date()), ("%H:%M:%S", sa.Time()))


def main(arguments: list[str] | None = None) -> int:
    """Make the site, move the database, point SITE.toml at it. Returns 0, or 20 when the server does not answer."""
    parser = argparse.ArgumentParser(prog="python -m dags.stand_in", description="Prepare the made-up site of docker-compose.yml.")
    parser.add_argument("--out", type=Path, required=True, help="where the site goes")
    parser.add_argument("--url", required=True, help="the stand-in database, without a password")
    parser.add_argument("--password-file", type=Path, required=True, help="the file with its password")
    given = parser.parse_args(arguments)
    try:
        if (given.out / READY).is_file():
            return 0
        site = madeup.write_site(given.out)
        url = sa.make_url(given.url).set(password=given.password_file.read_text(encoding="utf-8").strip())
        file = given.out / "trusts" / TRUST / "epr.sqlite"
        try:
            _move(file, url)
        except sa.exc.SQLAlchemyError:
            raise RetryableError(f"The stand-in database {url.host} cannot be filled; empty {given.out} and start again") from None
        settings = site.read_text(encoding="utf-8")
        # The stand-in has no certificate, and its network no other machine.
        by_server = f'url = "{given.url}"\npassword = {{ file = "{given.password_file.name}" }}\ntls = "off"'
        site.write_text(settings.replace(f'url = "sqlite:///trusts/{TRUST}/epr.sqlite"', by_server), encoding="utf-8")
        file.unlink()
        (given.out / READY).touch()
    except IpsError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _move(file: Path, url: sa.URL) -> None:
    """Copy every table of the SQLite file into the server, in one transaction, with dates and times as such."""
    engine = sa.create_engine(url, hide_parameters=True)
    with contextlib.closing(sqlite3.connect(file)) as source, engine.begin() as target:
        for (name,) in source.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall():
            rows = source.execute(f"SELECT * FROM {name}")
            columns = [column[0] for column in rows.description]
            values = rows.fetchall()
            table = sa.Table(name, sa.MetaData(), *(sa.Column(column, _type([row[at] for row in values])) for at, column in enumerate(columns)))
            table.drop(target, checkfirst=True)
            table.create(target)
            target.execute(
                sa.text(f"INSERT INTO {name} VALUES ({', '.join(f':{c}' for c in columns)})"), [dict(zip(columns, r, strict=True)) for r in values]
            )
    engine.dispose()


def _type(values: Sequence[Any]) -> sa.types.TypeEngine[Any]:
    present = [str(value) for value in values if value is not None]
    for form, kind in FORMS if present else ():
        with contextlib.suppress(ValueError):
            for value in present:
                datetime.strptime(value, form)
            return kind
    return sa.Text()


if __name__ == "__main__":
    sys.exit(main())
