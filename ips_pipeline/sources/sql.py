"""Read a trust's database through SQLAlchemy: by reference, read-only, one snapshot, streamed in batches.

Nothing a driver says is shown, since drivers quote values, statements and passwords; what happened is told in our own words.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import sqlalchemy as sa
from sqlalchemy import exc

from ips_pipeline.errors import InputError, IpsError, RetryableError, UsageError
from ips_pipeline.settings import Reference, Site, SqlSource
from ips_pipeline.sources import backends, raw
from ips_pipeline.sources.mapping import BINDABLE, Input

#: Connection types of Airflow whose SQLAlchemy name differs.
_AIRFLOW_TYPES = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "mssql": "mssql+mssqlpython",
    "oracle": "oracle+oracledb",
}

#: Drivers by backend where a URL names none, so that those of the extras are used.
_DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql", "mariadb": "pymysql", "mssql": "mssqlpython", "oracle": "oracledb"}

#: SQLSTATE classes that may pass by themselves: connection, lock and deadlock, out of resources, shut-down, system error.
_PASSING = ("08", "40", "53", "55", "57", "58")

#: Faults that drivers tell in words or by SQLSTATE; the words are looked at and never shown. The first that fits is told. Those of the
#: first table are looked for while a session is opened, those of the second in a query, since a query's own words may be anything.
_Told = tuple[re.Pattern[str], tuple[str, ...], type[IpsError], str]
_OPENING_FAULTS: tuple[_Told, ...] = (
    (
        re.compile(r"failed to load the driver", re.IGNORECASE),
        (),
        UsageError,
        "the driver of SQL Server lacks a library of the system; install libltdl7 and libgssapi-krb5-2 (Debian), or libtool-ltdl and krb5-libs",
    ),
    (
        re.compile(
            r"certificate|\[ssl|ssl error|ssl provider|support ssl|ssl is required|ssl connection error|secure_transport|dpy-6006", re.IGNORECASE
        ),
        (),
        InputError,
        "the encrypted connection failed: the server offers none, or its certificate is not one that ca vouches for; see tls and ca in SITE.toml",
    ),
    (
        re.compile(r"denied for user .* to database|permission denied for database|ora-01045|is not able to access the database", re.IGNORECASE),
        (),
        InputError,
        "the login may not open that database; give it the right, or name the database of the views in the url that SITE.toml refers to",
    ),
    (
        re.compile(r"authentication failed|access denied|login failed|no password supplied|no pg_hba|invalid authorization|ora-01017", re.IGNORECASE),
        ("28",),
        InputError,
        "the database refused the login; check the user and password that SITE.toml refers to",
    ),
    (
        re.compile(
            r"database .* does not exist|unknown database|cannot open database|invalid catalog|ora-12505|ora-12514|dpy-600[13]", re.IGNORECASE
        ),
        ("3D",),
        InputError,
        "the server has no database of that name; check the url that SITE.toml refers to",
    ),
    (
        re.compile(r"too many (connections|clients)|max_user_connections|connection slots|ora-02391|ora-00018", re.IGNORECASE),
        ("53300",),
        RetryableError,
        "the database takes no more connections at present; run again when others have gone",
    ),
    (
        re.compile(r"translate host|name or service|nodename nor|getaddrinfo|failed to resolve|name resolution|0x2af9|ora-12545", re.IGNORECASE),
        (),
        RetryableError,
        "the name of the database's host is not known here; check the url and the network's name server, then run again",
    ),
)
_QUERY_FAULTS: tuple[_Told, ...] = (
    (
        re.compile(r"attempt to write a readonly database|read-?only transaction|read only transaction|ora-01456", re.IGNORECASE),
        ("25006",),
        InputError,
        "a query of the mapping tries to write; sources are only ever read",
    ),
    (
        re.compile(r"snapshot isolation is not allowed", re.IGNORECASE),
        (),
        InputError,
        "the database allows no snapshot; its administrator has to run ALTER DATABASE … SET ALLOW_SNAPSHOT_ISOLATION ON",
    ),
    (
        re.compile(r"statement timeout|max_statement_time|maximum statement execution time|query timeout|dpy-4024", re.IGNORECASE),
        (),
        RetryableError,
        "a query took longer than statement_seconds allows; run again at a quieter hour, make the query cheaper, or raise it in SITE.toml",
    ),
    (
        re.compile(r"database( table)? is locked|deadlock|lock (wait |request )?time ?out|ora-00060|ora-00054", re.IGNORECASE),
        ("40P01", "55P03"),
        RetryableError,
        "the database is locked by another process; run again when it has finished",
    ),
    (
        re.compile(r"(?!)"),
        ("42883", "42804"),
        InputError,
        "the query compares, or gives to a function, what is of another kind, such as text where a date is meant, or uses a function that this"
        " database does not have; write CAST(… AS DATE) or AS TIMESTAMP around the column",
    ),
    (
        re.compile(r"conversion failed|ora-018[3-6]\d", re.IGNORECASE),
        ("22007", "22008", "22P02"),
        InputError,
        "a value of the source is not of the kind that the query takes it for, such as text that is no date; correct it there, or choose the rows"
        " in the mapping's where, which comes after the extract",
    ),
)

#: A login that may not read something, as MariaDB and MySQL, SQL Server and Oracle tell it; PostgreSQL has a SQLSTATE for it.
_NOT_ALLOWED = re.compile(r"command denied|permission was denied|permission denied|ora-01031|ora-41900", re.IGNORECASE)

#: A lost connection, as drivers tell it that have no SQLSTATE.
_LOST = re.compile(
    r"lost connection|gone away|connection (was )?(lost|reset|closed)|server closed the connection|dpy-4011|dpy-1001|ora-031", re.IGNORECASE
)


def fetch(
    site: Site,
    name: str,
    inputs: Mapping[str, Input],
    *,
    bind: Mapping[str, Any],
    folder: Path,
    since: Mapping[str, datetime] | None = None,
    at_most: int | None = None,
) -> dict[str, raw.Fetched]:
    """Fetch every input from the database into ``folder``, all in one read-only transaction.

    ``name`` is the source's name in SITE.toml; ``bind`` holds the values of BINDABLE (the days around the period follow from it), ``since`` by
    input that of :changed_since; of a table no more rows are fetched than ``at_most``.
    Raises RetryableError when the database does not answer or drops out, InputError when it refuses the login or a query,
    UsageError for a bad URL or a missing driver.
    """
    source = _database(site, name)
    engine = _engine(site, name, source)
    around = {"day_before": ("period_start", -1), "day_after": ("period_end", 1)}
    bind = {**{key: bind[end] + timedelta(days=days) for key, (end, days) in around.items() if end in bind}, **bind}
    try:
        with _connection(engine, name) as connection:
            fetched = {}
            for key, item in sorted(inputs.items()):
                command = _bound(item, {**bind, "changed_since": (since or {}).get(key)})
                if at_most is not None and isinstance(command, sa.Select):
                    command = command.limit(at_most)
                fetched[key] = _fetch_one(connection, name, key, command, folder, source.batch_rows)
            return fetched
    finally:
        engine.dispose()


def _fetch_one(connection: sa.Connection, name: str, key: str, command: sa.Executable, folder: Path, batch_rows: int) -> raw.Fetched:
    result = None
    try:
        with _faults(name, key):
            result = connection.execute(command, execution_options={"stream_results": True, "max_row_buffer": batch_rows})
            return _write(result, f"Source {name}, input {key}", folder / f"{key}.parquet", batch_rows)
    except BaseException:
        backends.abandon(connection, result)
        raise


def driver(site: Site, name: str) -> str:
    """Dialect and driver of a source, such as postgresql+psycopg, once they could be imported; raises UsageError as ``fetch``."""
    url = _url(site, name, _database(site, name))
    try:
        url.get_dialect().import_dbapi()
    except (exc.NoSuchModuleError, ModuleNotFoundError):
        raise _no_driver(name, url) from None
    return url.drivername


def encryption(site: Site, name: str) -> backends.Encryption:
    """How the connection to a source is protected on its way, by its settings; raises as ``fetch``."""
    source = _database(site, name)
    return backends.encryption(name, source, _url(site, name, source))


def clock(site: Site, name: str) -> Input | None:
    """What to fetch beside the inputs of a source to see whether its sessions still have the zone they had; raises as ``fetch``."""
    query = backends.clock(_url(site, name, _database(site, name)))
    return None if query is None else Input(query=query)


def probe(site: Site, name: str) -> None:
    """Open the database read-only as ``fetch`` does, ask it for a constant and leave; raises as ``fetch``."""
    engine = _engine(site, name, _database(site, name))
    try:
        with _connection(engine, name) as connection, _faults(name, None):
            connection.execute(sa.select(1)).scalar_one()
    finally:
        engine.dispose()


def tables(site: Site, name: str) -> list[str]:
    """The tables and views that the login of a source sees in its own schema; raises as ``fetch``."""
    engine = _engine(site, name, _database(site, name))
    try:
        with _connection(engine, name) as connection, _faults(name, None):
            seen = sa.inspect(connection)
            return sorted([*seen.get_table_names(), *seen.get_view_names()])
    finally:
        engine.dispose()


def _database(site: Site, name: str) -> SqlSource:
    source = site.sources[name]
    if not isinstance(source, SqlSource):
        raise UsageError(f"Source {name} of {site.file} is not a database")
    return source


def statement(item: Input) -> sa.Executable:
    """What is run for an input: its query with the parameters it binds, or everything of its table (with or without its schema)."""
    if item.query is not None:
        return sa.text(item.query.strip().rstrip(";"))
    schema, _, table = (item.table or "").rpartition(".")
    return sa.select(sa.text("*")).select_from(sa.table(table, schema=schema or None))


def _bound(item: Input, bind: Mapping[str, Any]) -> sa.Executable:
    """The statement with the parameters it binds, typed, so that each driver sends a date as a date."""
    command = statement(item)
    if isinstance(command, sa.TextClause):
        command = command.bindparams(**{parameter: bind[parameter] for parameter in BINDABLE if parameter in command.compile().params})
    return command


def _write(result: sa.CursorResult[Any], where: str, path: Path, batch_rows: int) -> raw.Fetched:
    columns = list(result.keys())
    if len({column.lower() for column in columns}) < len(columns):
        raise InputError(f"{where}: the query gives two columns of the same name; give each its own with AS")
    # Name and sizes are left out: the first is among the columns, and drivers fill in the others as they go.
    kinds = tuple(f"{column[1]} {column[5]}" for column in result.cursor.description)
    return replace(raw.write(path, columns, (list(zip(*rows, strict=True)) for rows in result.partitions(batch_rows))), kinds=kinds)


def _engine(site: Site, name: str, source: SqlSource) -> sa.Engine:
    url = _url(site, name, source)
    try:
        if url.get_backend_name() == "sqlite":
            url = _read_only_sqlite(site, name, url)
        return backends.engine(name, source, url)
    except (exc.NoSuchModuleError, ModuleNotFoundError):
        raise _no_driver(name, url) from None
    except (exc.ArgumentError, exc.InvalidRequestError):
        raise UsageError(f"Source {name}: the URL is not complete; write it as dialect+driver://user@host/database") from None


def _no_driver(name: str, url: sa.URL) -> UsageError:
    return UsageError(f"Source {name}: there is no driver for {url.drivername} here; install the extra that brings it")


def _read_only_sqlite(site: Site, name: str, url: sa.URL) -> sa.URL:
    """The URL that opens the file read-only; a relative path is relative to SITE.toml."""
    path = site.file.parent / (url.database or "")
    if not path.is_file():
        raise InputError(f"Source {name}: there is no database file {path}; correct the url in {site.file}")
    return sa.URL.create(url.drivername, database=f"file:{path}", query={**url.query, "mode": "ro", "uri": "true"})


def _url(site: Site, name: str, source: SqlSource) -> sa.URL:
    """The URL with its password, from wherever the settings refer to."""
    written = source.url if isinstance(source.url, str) else site.secret(source.url).get_secret_value()
    try:
        from_airflow = isinstance(source.url, Reference) and source.url.airflow is not None
        url = _from_airflow(written) if from_airflow else sa.make_url(written)
    except (exc.ArgumentError, ValueError, KeyError, AttributeError, TypeError):
        raise UsageError(f"Source {name}: the URL cannot be read; write it as dialect+driver://user@host/database") from None
    if "+" not in url.drivername and url.drivername in _DRIVERS:
        url = url.set(drivername=f"{url.drivername}+{_DRIVERS[url.drivername]}")
    return url if source.password is None else url.set(password=site.secret(source.password).get_secret_value())


def _from_airflow(connection: str) -> sa.URL:
    """The URL of an Airflow connection, written as its URI or its JSON."""
    if connection.startswith("{"):
        held = json.loads(connection)
        kind, options = str(held["conn_type"]), held.get("extra") or {}
        options = json.loads(options) if isinstance(options, str) else options
        url = sa.URL.create(kind, held.get("login"), held.get("password"), held.get("host"), held.get("port"), held.get("schema"))
    else:
        # Airflow lets a URI start with any connection type; SQLAlchemy's parser takes only names of dialects.
        kind, _, rest = connection.partition("://")
        address, _, query = rest.partition("?")
        options = dict(parse_qsl(query))
        url = sa.make_url(f"placeholder://{address}")
    options = {str(key): str(value) for key, value in options.items() if not str(key).startswith("__")}
    return url.set(drivername=_AIRFLOW_TYPES.get(kind, kind.replace("-", "+")), query=options)


@contextlib.contextmanager
def _connection(engine: sa.Engine, name: str) -> Iterator[sa.Connection]:
    """An open transaction that ends in a rollback: nothing is ever to be kept."""
    with _faults(name, None):
        connection = engine.connect()
    try:
        with _faults(name, None):
            backends.begin(connection, name)
        yield connection
    finally:
        with contextlib.suppress(exc.SQLAlchemyError):
            connection.close()


@contextlib.contextmanager
def _faults(name: str, key: str | None) -> Iterator[None]:
    """Turn what the driver raises into an error that is safe to show; ``key`` is the input, None while connecting."""
    try:
        yield
    except ModuleNotFoundError:
        raise UsageError(f"Source {name}: the driver of this database is not installed; install the extra that brings it") from None
    except exc.DBAPIError as error:
        raise _safe(error.orig or error, name, key, lost=error.connection_invalidated) from None
    except (socket.gaierror, ssl.SSLError, ConnectionError, TimeoutError) as error:
        # Some drivers let the network's own errors through.
        raise _safe(error, name, key, lost=True) from None
    except ValueError:
        raise InputError(
            f"Source {name}{f', input {key}' if key else ''}: a value is not text in the database's encoding; correct it there"
        ) from None
    except exc.SQLAlchemyError as error:
        raise InputError(f"Source {name}: the database could not be read ({type(error).__name__}); check the url and the mapping") from None


def _safe(error: BaseException, name: str, key: str | None, *, lost: bool) -> IpsError:
    """What happened in our own words; ``lost`` where the connection is known to be gone."""
    text, state = str(error), str(getattr(error, "sqlstate", None) or "")
    for words, states, kind, advice in (*_OPENING_FAULTS, *_QUERY_FAULTS) if key is None else _QUERY_FAULTS:
        if words.search(text) or (states and state.startswith(states)):
            return kind(f"Source {name}{f', input {key}' if key else ''}: {advice}")
    if key is None:
        return RetryableError(f"Source {name}: the database does not answer; check that it is running and can be reached, then run again")
    if lost or state.startswith(_PASSING) or _LOST.search(text):
        return RetryableError(f"Source {name}, input {key}: the database ended the connection; run again")
    if state == "42501" or _NOT_ALLOWED.search(text):
        return InputError(f"Source {name}, input {key}: the login may not read a table of the query; ask for SELECT on it")
    return InputError(
        f"Source {name}, input {key}: the database does not accept the query ({type(error).__name__}); check its tables and columns in the mapping"
    )
