"""SQL Server through Microsoft's own driver, mssql-python, which brings its ODBC libraries with it.

SQLAlchemy 2.0 knows SQL Server's language but not this driver; 2.1 does, by the same name (``mssql+mssqlpython``), and this module
goes when the pipeline moves to it. Only what reading needs is here.
"""

from __future__ import annotations

import importlib
import re
from types import ModuleType
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects.mssql.base import MSDialect

#: What the driver says when the connection is gone: states 08003, 08007 and 08S01, and a connection that was closed here.
_GONE = re.compile(r"communication link failure|connection not open|connection failure during|closed connection", re.IGNORECASE)


class SqlServerDialect(MSDialect):
    """The dialect of SQL Server over mssql-python."""

    driver = "mssqlpython"
    supports_statement_cache = True
    supports_native_decimal = True
    supports_native_uuid = True

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        """The driver, without its pool: a session must not outlive what it was opened for."""
        module = importlib.import_module("mssql_python")
        module.pooling(enabled=False)
        return module

    def create_connect_args(self, url: sa.URL) -> tuple[list[str], dict[str, Any]]:
        """The URL as the driver's connection string; what stands after ? are keywords of that string."""
        parts = {"Server": f"{url.host or 'localhost'}{f',{url.port}' if url.port else ''}"}
        parts |= {"Database": url.database} if url.database else {}
        parts |= {"UID": url.username} if url.username else {}
        parts |= {"PWD": str(url.password)} if url.password is not None else {}
        parts |= {key: str(value) for key, value in url.query.items()}
        return [";".join(f"{key}={_quoted(value)}" for key, value in parts.items())], {}

    def connect(self, *arguments: Any, **keywords: Any) -> Any:
        """Connect; ArgumentError when the driver does not know a keyword, which it tells by an exception of its own."""
        try:
            return super().connect(*arguments, **keywords)
        except self.loaded_dbapi.ConnectionStringParseError:
            raise exc.ArgumentError("a keyword of the connection string is not known") from None

    def is_disconnect(self, e: Exception, connection: Any, cursor: Any) -> bool:
        """Whether an error of the driver means that the connection is gone."""
        return bool(_GONE.search(str(e)))

    def _get_server_version_info(self, connection: sa.Connection) -> tuple[int, ...]:
        version = str(connection.exec_driver_sql("SELECT CAST(SERVERPROPERTY('ProductVersion') AS VARCHAR(32))").scalar())
        return tuple(int(part) for part in version.split(".") if part.isdigit())


def _quoted(value: str) -> str:
    """A value of a connection string: braces around it, so that nothing within it ends it."""
    return "{" + value.replace("}", "}}") + "}" if re.search(r"[;{}=\s]", value) else value
