"""How a session of each kind of database is opened: encrypted, unable to write, in one snapshot, and with limits to what it waits for.

What each backend offers differs. PostgreSQL, MariaDB, MySQL and Oracle refuse to write in a read-only transaction. SQL Server has
no such transaction, so a login that may write is refused before anything is read, and every transaction ends in a rollback.
"""

from __future__ import annotations

import contextlib
import importlib
import ssl
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import registry

from ips_pipeline.errors import InputError, UsageError
from ips_pipeline.settings import SqlSource

#: Hosts whose connections do not leave the machine; so does a path, which is a socket, and no host at all.
_HERE = ("localhost", "127.0.0.1", "::1")

#: How each kind of database is told about encryption in its URL, in lower case, and the values with which it may go without.
_TLS_OPTIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "postgresql": {"sslmode": ("disable", "allow", "prefer"), "sslrootcert": ()},
    "mysql": {"ssl_disabled": ("true", "1", "yes"), "ssl_ca": (), "ssl_verify_cert": (), "ssl_verify_identity": ()},
    "mssql": {"encrypt": ("no", "optional", "false"), "trustservercertificate": (), "servercertificate": ()},
    "oracle": {"protocol": ("tcp",)},
}

#: A connection that says nothing for this long is asked whether it lives, then given up after three more questions; seconds.
_KEEP_ALIVE, _KEEP_ALIVE_AGAIN = 60, 20

# Later releases of SQLAlchemy bring a dialect of this name, so that URLs stay as they are.
registry.register("mssql.mssqlpython", "ips_pipeline.sources.sqlserver", "SqlServerDialect")

Encryption = Literal["this machine", "verified", "encrypted", "off"]


@dataclass(slots=True)
class _Opening:
    """What makes an engine, what is run in a new session, and ``within`` how many seconds it is given up where the driver does not do that itself."""

    url: sa.URL
    arguments: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    on_connect: Callable[[Any], None] | None = None
    within: int | None = None


def kind_of(url: sa.URL) -> str:
    """postgresql, mysql (MariaDB too), mssql, oracle, sqlite, or whatever else SQLAlchemy reaches."""
    name = url.get_backend_name()
    return "mysql" if name == "mariadb" else name


def encryption(name: str, source: SqlSource, url: sa.URL) -> Encryption:
    """How the connection to a source is protected on its way: by ``tls`` and ``ca`` of the settings, or by what the URL says itself.

    Raises UsageError when the URL lets a connection to another machine go unencrypted and the settings do not.
    """
    kind = kind_of(url)
    said = {key.lower(): str(value).lower() for key, value in url.query.items() if key.lower() in _TLS_OPTIONS.get(kind, {})}
    weak = any(value in _TLS_OPTIONS[kind][key] for key, value in said.items())
    host = str(url.query.get("host", url.host or ""))
    if source.tls == "off":
        return "off"
    if (kind == "sqlite" or not host or host in _HERE or host.startswith("/")) and source.tls is None and source.ca is None:
        return "this machine"
    if weak:
        raise UsageError(
            f'Source {name}: the URL lets the connection go unencrypted; take that out of it, or write tls = "off" in [sources.{name}] to allow it'
        )
    # pymysql takes either what the URL says of encryption or what it is given.
    checked = (source.tls == "verify" or (source.tls is None and source.ca is not None)) and not (kind == "mysql" and said)
    # SQL Server's and Oracle's drivers check the server unless they are told not to.
    by_itself = kind in ("mssql", "oracle") and said.get("trustservercertificate") not in ("yes", "true")
    by_url = said.get("sslmode") in ("verify-ca", "verify-full") or said.get("ssl_verify_cert") in ("true", "1", "yes")
    return "verified" if checked or by_itself or by_url else "encrypted"


def engine(name: str, source: SqlSource, url: sa.URL) -> sa.Engine:
    """An engine whose sessions read one snapshot and cannot write. Raises as SQLAlchemy does, and UsageError as ``encryption``."""
    protection = encryption(name, source, url)
    if source.ca is not None and not source.ca.is_file():
        raise UsageError(f"Source {name}: ca names the file {source.ca}, which does not exist; put the authority's certificates there")
    make = {"postgresql": _postgresql, "mysql": _mysql, "mssql": _mssql, "oracle": _oracle}.get(kind_of(url))
    opening = make(source, url, protection) if make else _Opening(url)
    made = sa.create_engine(opening.url, connect_args=opening.arguments, poolclass=sa.NullPool, hide_parameters=True, **opening.options)
    if (seconds := opening.within) is not None:
        event.listen(made, "do_connect", lambda dialect, _record, given, keys: _connected(seconds, lambda: dialect.connect(*given, **keys)))
    if opening.on_connect is not None:
        run = opening.on_connect
        event.listen(made, "connect", lambda connection, _record: run(connection))
    return made


def begin(connection: sa.Connection, name: str) -> None:
    """Start the transaction in which everything is read, where a statement has to; InputError when SQL Server's login may write."""
    match kind_of(connection.engine.url):
        case "mysql":
            connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        case "oracle":
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        case "mssql":
            may = "SELECT HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', p) FROM (VALUES ('INSERT'), ('UPDATE'), ('DELETE')) AS asked (p)"
            if any(allowed == 1 for (allowed,) in connection.exec_driver_sql(may).fetchall()):
                raise InputError(
                    f"Source {name}: the login may change the database, which SQL Server cannot refuse a session; use one that only reads"
                )


def _connected(seconds: int, connect: Callable[[], Any]) -> Any:
    """What ``connect`` gives or raises; TimeoutError when neither has happened after so many seconds.

    It runs in a thread that does not keep the process alive. A driver that waits for a server that says nothing cannot be called back and is left
    there; should it succeed after all, the session is closed.
    """
    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            made = connect()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised where it is waited for
            if outcome.set_running_or_notify_cancel():
                outcome.set_exception(error)
        else:
            if outcome.set_running_or_notify_cancel():
                outcome.set_result(made)
            else:
                made.close()

    threading.Thread(target=run, name="connect", daemon=True).start()
    try:
        return outcome.result(seconds)
    except TimeoutError:
        if outcome.cancel():
            raise TimeoutError from None
        return outcome.result()


def clock(url: sa.URL) -> str | None:
    """The query that tells in what zone a session gives moments that a column keeps without regard to zones; None where it has no say.

    PostgreSQL, MariaDB and MySQL are asked for a moment of winter and one of summer, since equal zones have several names.
    """
    winter, summer = 1_736_942_400, 1_752_580_800
    return {
        "postgresql": f"SELECT CAST(to_timestamp({winter}) AS text) AS winter, CAST(to_timestamp({summer}) AS text) AS summer",
        "mysql": f"SELECT FROM_UNIXTIME({winter}) AS winter, FROM_UNIXTIME({summer}) AS summer",
        "oracle": "SELECT SESSIONTIMEZONE AS zone FROM dual",
    }.get(kind_of(url))


def abandon(connection: sa.Connection, result: sa.CursorResult[Any] | None) -> None:
    """Give a session up in the middle of a result: the server rolls it back, and rows not yet read stay where they are.

    pymysql would read them to the end before it lets a cursor go, or complain that it cannot.
    """
    rows = getattr(getattr(getattr(result, "context", None), "cursor", None), "_result", None)
    if rows is not None:
        rows.unbuffered_active = False
    connection.invalidate()


def _postgresql(source: SqlSource, url: sa.URL, protection: Encryption) -> _Opening:
    limits = {"statement_timeout": source.statement_seconds * 1000, "lock_timeout": source.lock_seconds * 1000, "datestyle": "ISO"}
    given = str(url.query.get("options", ""))
    settings = " ".join(f"-c {key}={value}" for key, value in {"default_transaction_read_only": "on", **limits}.items())
    arguments: dict[str, Any] = {
        "connect_timeout": source.connect_seconds,
        "options": f"{given} {settings}".strip(),
        "keepalives_idle": _KEEP_ALIVE,
        "keepalives_interval": _KEEP_ALIVE_AGAIN,
        "keepalives_count": 3,
    }
    by_url = str(url.query.get("sslmode", ""))
    if protection != "this machine" and (not by_url or (protection == "verified" and not by_url.startswith("verify"))):
        arguments["sslmode"] = {"verified": "verify-full", "encrypted": "require", "off": "disable"}[protection]
        if protection == "verified" and "sslrootcert" not in url.query:
            arguments["sslrootcert"] = str(source.ca) if source.ca else "system"
    return _Opening(url, arguments, {"isolation_level": "REPEATABLE READ"}, _as_written if url.get_driver_name() == "psycopg" else None)


def _as_written(connection: Any) -> None:
    """Let dates and numbers come as the text that the server writes, which is what is kept; the server also knows dates that Python does not."""
    loader = importlib.import_module("psycopg.types.string").TextLoader
    for kind in ("date", "numeric"):
        connection.adapters.register_loader(kind, loader)
    driver = importlib.import_module("psycopg")
    for kind in ("timestamp", "timestamptz"):
        usual = connection.adapters.get_loader(connection.adapters.types[kind].oid, driver.pq.Format.TEXT)

        class Moment(driver.adapt.Loader):  # type: ignore[misc, name-defined]
            """The driver's own reader where it knows the moment, such as not infinity."""

            def __init__(self, oid: int, context: Any = None, usual: Any = usual) -> None:
                super().__init__(oid, context)
                self._read = usual(oid, context).load

            def load(self, data: Any) -> Any:
                try:
                    return self._read(data)
                except driver.DataError:
                    return bytes(data).decode()

        connection.adapters.register_loader(kind, Moment)


def _mysql(source: SqlSource, url: sa.URL, protection: Encryption) -> _Opening:
    # While a session is opened every answer is waited for no longer than for the connection itself.
    arguments: dict[str, Any] = {"connect_timeout": source.connect_seconds, "read_timeout": source.connect_seconds}
    if protection == "off":
        arguments["ssl_disabled"] = True
    elif protection != "this machine" and not any(key.lower().startswith("ssl") for key in url.query):
        arguments["ssl"] = _tls(source.ca, check=protection == "verified")

    if url.get_driver_name() == "pymysql":
        # Numbers, dates and times come as the text that the server writes, which is what is kept and takes half the time.
        converters = importlib.import_module("pymysql.converters")
        types = importlib.import_module("pymysql.constants.FIELD_TYPE")
        arguments["conv"] = {
            kind: convert for kind, convert in converters.conversions.items() if not isinstance(kind, int) or kind in (types.FLOAT, types.DOUBLE)
        } | {types.DATETIME: _moment, types.TIMESTAMP: _moment, types.TIME: _clock}

    def limit(connection: Any) -> None:
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute(f"SET SESSION lock_wait_timeout = {source.lock_seconds}, innodb_lock_wait_timeout = {source.lock_seconds}")
            cursor.execute("SELECT VERSION()")
            seconds, (version,) = source.statement_seconds, cursor.fetchone()
            by_mariadb = "mariadb" in version.lower()
            cursor.execute(f"SET SESSION max_statement_time = {seconds}" if by_mariadb else f"SET SESSION max_execution_time = {seconds * 1000}")
        # A query is stopped by the server; the driver waits a little longer, for a server that is gone.
        connection._read_timeout = source.statement_seconds + 30

    return _Opening(url, arguments, {}, limit)


def _tls(ca: Path | None, *, check: bool) -> ssl.SSLContext:
    """What pymysql encrypts with; where it checks, the certificate and the name of the server, by ``ca`` or else the system's authorities."""
    context = ssl.create_default_context(cafile=ca)
    # Certificates that MySQL and MariaDB make for themselves lack what newer Python asks for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not check:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _moment(written: str) -> str:
    """A date and time of MariaDB or MySQL, to the second, with T between them."""
    return f"{written[:10]}T{written[11:19]}"


def _clock(written: str) -> str:
    """A time or a span of time of MariaDB or MySQL, to the second."""
    return written.partition(".")[0]


def _mssql(source: SqlSource, url: sa.URL, protection: Encryption) -> _Opening:
    given = {key.lower() for key in url.query}
    wanted = {"ApplicationIntent": "ReadOnly", "Encrypt": "yes"}
    if protection == "off":
        wanted["Encrypt"] = "optional"
    if source.ca is not None:
        wanted["ServerCertificate"] = str(source.ca)
    query = {**url.query, **{key: value for key, value in wanted.items() if key.lower() not in given}}

    def limit(connection: Any) -> None:
        connection.timeout = source.statement_seconds
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute(f"SET LOCK_TIMEOUT {source.lock_seconds * 1000}")

    return _Opening(url.set(query=query), {"timeout": source.connect_seconds}, {"isolation_level": "SNAPSHOT"}, limit)


def _oracle(source: SqlSource, url: sa.URL, protection: Encryption) -> _Opening:
    query = {key: value for key, value in url.query.items() if key != "protocol"}
    arguments: dict[str, Any] = {"tcp_connect_timeout": source.connect_seconds}
    if protection not in ("this machine", "off") and url.host and (url.database or "service_name" in query):
        service = query.pop("service_name", None)
        place = f"(SERVICE_NAME={service})" if service else f"(SID={url.database})"
        address = f"(ADDRESS=(PROTOCOL=tcps)(HOST={url.host})(PORT={url.port or 2484}))"
        arguments["dsn"] = f"(DESCRIPTION={address}(CONNECT_DATA={place})(SECURITY=(SSL_SERVER_DN_MATCH=yes)))"
        if source.ca is not None:
            arguments["wallet_location"] = str(source.ca.parent)

    def limit(connection: Any) -> None:
        connection.call_timeout = source.statement_seconds * 1000

    # The driver limits the wait for the network alone; a server may accept a connection and then say nothing.
    return _Opening(url.set(query=query), arguments, {"arraysize": 1000}, limit, within=2 * source.connect_seconds)
