"""Sessions with real PostgreSQL and MariaDB servers: what is read, that nothing can be written, one snapshot, encryption."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from benchmarks.servers import other_authority
from ips_pipeline import doctor
from ips_pipeline.errors import InputError, IpsError, UsageError
from ips_pipeline.settings import Site
from ips_pipeline.sources import raw, sql
from ips_pipeline.sources.extract import extract
from ips_pipeline.sources.mapping import Input

BIND = {"period_start": date(2026, 8, 1), "period_end": date(2026, 8, 31), "provider": "RXX"}


def fetch(site: Site, **queries: str) -> Mapping[str, raw.Fetched]:
    folder = site.file.parent / "fetched"
    folder.mkdir(exist_ok=True)
    inputs = {key: Input.model_construct(query=query, table=None, file=None) for key, query in queries.items()}
    return sql.fetch(site, "epr", inputs, bind=BIND, folder=folder)


def rows(fetched: raw.Fetched) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(fetched.path).to_pylist()
    return found


def test_a_month_is_extracted_from_a_real_server_and_again_without_change(trust: Any) -> None:
    first = extract(trust.site(), "RXX", "2026-08")
    assert first.manifest["facts"]["tables"] == {"MHS000Header": 1, "MHS001MPI": 50, "MHS002GP": 50, "MHS101Referral": 50, "MHS201CareContact": 6000}
    (contact,) = pq.read_table(first.path / "MHS201CareContact.parquet").slice(0, 1).to_pylist()
    assert (contact["CareContDate"], contact["CareContTime"]) == ("2026-08-10", "09:30:00")
    assert not extract(trust.site(), "RXX", "2026-08").changed


VALUES = {
    "postgresql": """
        SELECT * FROM (VALUES
            (1, 2::bigint, 12.50::numeric(9, 2), 1e20::float8, true, DATE '0021-01-02', TIMESTAMP '1899-12-31 23:59:59.999999', TIME '09:05:07.5',
             'Zoë'::text, 'x  '::char(3), '\\x00ff'::bytea, NULL::text, 'infinity'::text),
            (NULL, -3, -0.10, 2.5, false, DATE '9999-12-31', TIMESTAMP '2026-03-29 01:30:00', TIME '00:00', '', NULL, NULL, NULL, '')
        ) AS v (a, b, c, d, e, f, g, h, i, j, k, l, m) ORDER BY b DESC
    """,
    "mariadb": """
        SELECT CAST(1 AS SIGNED) AS a, CAST(2 AS SIGNED) AS b, CAST(12.5 AS DECIMAL(9, 2)) AS c, CAST(1e20 AS DOUBLE) AS d, 'true' AS e,
            CAST('0021-01-02' AS DATE) AS f, CAST('1899-12-31 23:59:59.999999' AS DATETIME(6)) AS g, CAST('09:05:07.5' AS TIME(6)) AS h,
            'Zoë' AS i, 'x  ' AS j, X'00ff' AS k, NULL AS l, 'infinity' AS m
        UNION ALL
        SELECT NULL, -3, -0.10, 2.5, 'false', DATE '9999-12-31', TIMESTAMP '2026-03-29 01:30:00', TIME '00:00:00', '', NULL, NULL, NULL, ''
        ORDER BY b DESC
    """,
}


def test_values_of_every_type_become_the_same_text_from_either_server(trust: Any) -> None:
    first, second = rows(fetch(trust.site(), value=VALUES[trust.server.kind])["value"])
    expected = ["1", "2", "12.50", "100000000000000000000", "true", "0021-01-02", "1899-12-31T23:59:59", "09:05:07", "Zoë", "x  ", "00ff"]
    assert list(first.values()) == [*expected, None, "infinity"]
    expected = [None, "-3", "-0.10", "2.5", "false", "9999-12-31", "2026-03-29T01:30:00", "00:00:00", "", None, None, None, ""]
    assert list(second.values()) == expected


WRITES = {
    "postgresql": [
        "DELETE FROM epr.person",
        "WITH gone AS (DELETE FROM epr.person RETURNING *) SELECT * FROM gone",
        "SELECT epr.forget()",
        "SELECT set_config('transaction_read_only', 'off', true), epr.forget()",
        "SELECT 1; COMMIT; DELETE FROM epr.person",
    ],
    "mariadb": ["DELETE FROM epr.person", "SELECT epr.forget()", "SELECT 1; COMMIT; DELETE FROM epr.person", "CREATE TABLE epr.mine (n INT)"],
}
FORGET = {
    "postgresql": "CREATE FUNCTION epr.forget() RETURNS int LANGUAGE sql AS 'DELETE FROM epr.person RETURNING 1'; GRANT EXECUTE ON FUNCTION"
    " epr.forget() TO owner",
    "mariadb": "CREATE FUNCTION epr.forget() RETURNS INT MODIFIES SQL DATA BEGIN DELETE FROM epr.person; RETURN 1; END",
}


def test_the_server_refuses_to_write_for_an_account_that_could(trust: Any) -> None:
    kind = trust.server.kind
    delimited = f"DELIMITER $$\n{FORGET[kind]}$$\nDELIMITER ;\n" if kind == "mariadb" else FORGET[kind]
    trust.run(delimited)
    site = trust.site()
    for statement in WRITES[kind]:
        with pytest.raises(IpsError) as caught:
            fetch(site, person=statement)
        assert caught.value.exit_code == InputError.exit_code, statement
        assert trust.run("SELECT count(*) FROM epr.person") == "50", statement
    with pytest.raises(InputError, match="input person: a query of the mapping tries to write; sources are only ever read"):
        fetch(site, person="SELECT epr.forget()")
    # The same account does write where the session is its own.
    engine = sa.create_engine(sql._url(site, "epr", site.sources["epr"]))
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM epr.person WHERE person_no = 'P1'"))
    engine.dispose()
    assert trust.run("SELECT count(*) FROM epr.person") == "49"


def test_all_inputs_are_of_one_moment_whatever_others_write_meanwhile(trust: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the first input and the second, somebody else adds a person and a referral, takes away a contact, and commits."""
    written, original = [], raw.write

    def interrupted(path: Path, *arguments: Any) -> raw.Fetched:
        done = original(path, *arguments)
        if not written:
            trust.run("INSERT INTO epr.referral VALUES ('R99', 'P99', DATE '2026-07-01'); INSERT INTO epr.person VALUES ('P99', NULL, 'Late', NULL);")
            trust.run("DELETE FROM epr.contact WHERE contact_no < 100")
            written.append(path.name)
        return done

    monkeypatch.setattr(raw, "write", interrupted)
    before = extract(trust.site(), "RXX", "2026-08")
    assert written == ["contact.parquet"]
    assert before.manifest["facts"]["fetched"] == {"person": 50, "referral": 50, "contact": 6000}
    after = extract(trust.site(), "RXX", "2026-08")
    assert after.manifest["facts"]["fetched"] == {"person": 51, "referral": 51, "contact": 5900}


ENCRYPTED = {
    "postgresql": "SELECT CASE WHEN ssl THEN version ELSE 'none' END AS tls FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    "mariadb": "SELECT COALESCE(NULLIF(variable_value, ''), 'none') AS tls FROM information_schema.session_status"
    " WHERE variable_name = 'Ssl_version'",
}


class TestEncryption:
    """127.0.0.2 is not this machine as far as the settings go, and the proxy listens there."""

    def tls(self, trust: Any, **keys: Any) -> str:
        site = trust.site(host="127.0.0.2", port=trust.proxy().port, **keys)
        return str(rows(fetch(site, tls=ENCRYPTED[trust.server.kind])["tls"])[0]["tls"])

    def test_another_machine_is_reached_encrypted_without_being_asked(self, trust: Any) -> None:
        assert self.tls(trust).startswith("TLSv1.")

    def test_with_its_authority_the_server_is_verified(self, trust: Any) -> None:
        assert self.tls(trust, ca=trust.server.ca).startswith("TLSv1.")

    def test_verification_without_an_authority_is_by_those_of_the_system(self, trust: Any) -> None:
        with pytest.raises(InputError, match="the encrypted connection failed"):
            self.tls(trust, tls="verify")

    def test_what_the_url_says_does_not_weaken_an_authority_in_the_settings(self, trust: Any, tmp_path: Path) -> None:
        site = trust.site(host="127.0.0.2", port=trust.proxy().port, ca=other_authority(tmp_path))
        url = trust.home / "secrets/epr_url"
        plain = url.read_text()
        if trust.server.kind == "postgresql":
            url.write_text(f"{plain}?sslmode=require")
            with pytest.raises(InputError, match="the encrypted connection failed"):
                fetch(site, one="SELECT 1 AS one")
        else:
            url.write_text(f"{plain}?ssl_verify_cert=false&ssl_ca={trust.server.ca}")
            assert sql.encryption(site, "epr") == "encrypted"

    def test_off_has_to_be_written(self, trust: Any) -> None:
        assert self.tls(trust, tls="off") == "none"
        site = trust.site(host="127.0.0.2", port=1)
        weak = "?sslmode=prefer" if trust.server.kind == "postgresql" else "?ssl_disabled=true"
        (trust.home / "secrets/epr_url").write_text((trust.home / "secrets/epr_url").read_text() + weak)
        with pytest.raises(UsageError, match=r'lets the connection go unencrypted; take that out of it, or write tls = "off" in \[sources.epr\]'):
            fetch(site, tls="SELECT 1 AS one")

    def test_a_server_that_another_authority_vouches_for_is_refused(self, trust: Any, tmp_path: Path) -> None:
        with pytest.raises(InputError) as caught:
            self.tls(trust, ca=other_authority(tmp_path))
        assert str(caught.value) == (
            "Source epr: the encrypted connection failed: the server offers none, or its certificate is not one that ca vouches for;"
            " see tls and ca in SITE.toml"
        )

    def test_a_certificate_of_another_name_is_refused(self, trust: Any) -> None:
        """The name of this machine leads to the server, but its certificate does not have it."""
        site = trust.site(host="127.0.0.3", port=trust.proxy(host="127.0.0.3").port, ca=trust.server.ca)
        with pytest.raises(InputError, match="the encrypted connection failed"):
            fetch(site, one="SELECT 1 AS one")

    def test_a_ca_that_is_not_there(self, trust: Any, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"ca names the file .*nothing.pem, which does not exist"):
            self.tls(trust, ca=tmp_path / "nothing.pem")

    def test_doctor_says_how_a_source_is_reached(self, trust: Any) -> None:
        port = trust.proxy().port
        for keys, state, words in (
            ({}, "ok", "encrypted; with ca the server would be verified too"),
            ({"ca": trust.server.ca}, "ok", "encrypted, and the server verified"),
            ({"tls": "off"}, "warning", "not encrypted"),
        ):
            site = trust.site(host="127.0.0.2", port=port, **keys)
            told = {check.name: check for check in doctor.examine(site.file)}
            assert (told["encryption epr"].state, told["source epr"].state) == (state, "ok")
            assert words in told["encryption epr"].found


def test_a_server_without_tls_is_refused_where_encryption_is_asked_for(trust: Any) -> None:
    trust.server.stop()
    trust.server.tls = False
    trust.server.start()
    try:
        assert rows(fetch(trust.site(), one="SELECT 1 AS one")["one"]) == [{"one": "1"}]
        with pytest.raises(InputError, match="the encrypted connection failed"):
            fetch(trust.site(tls="require"), one="SELECT 1 AS one")
    finally:
        trust.server.stop()
        trust.server.tls = True
        trust.server.start()


def test_a_number_of_the_servers_own_is_bound_and_read_whatever_its_size(trust: Any) -> None:
    query = "SELECT COUNT(*) AS n, MAX(held_on) AS last, 12345678901234567890.125 AS big, :provider AS who FROM reporting.contact"
    query += " WHERE held_on <= :period_end"
    assert rows(fetch(trust.site(), contact=query)["contact"]) == [
        {"n": "6000", "last": "2026-08-10", "big": "12345678901234567890.125", "who": "RXX"}
    ]


def test_dates_that_python_does_not_know_come_as_they_are_written(trust: Any) -> None:
    if trust.server.kind == "postgresql":
        query = "SELECT DATE 'infinity' AS a, DATE '0044-03-15 BC' AS b, TIMESTAMP 'infinity' AS c, TIMESTAMP WITH TIME ZONE '-infinity' AS d"
        assert rows(fetch(trust.site(), odd=query)["odd"]) == [{"a": "infinity", "b": "0044-03-15 BC", "c": "infinity", "d": "-infinity"}]
    else:
        trust.run("SET sql_mode = ''; CREATE TABLE odd (a DATE, b DATETIME, c TIME); INSERT INTO odd VALUES (0, 0, '-25:01:02')")
        assert rows(fetch(trust.site(), odd="SELECT * FROM odd")["odd"]) == [{"a": "0000-00-00", "b": "0000-00-00T00:00:00", "c": "-25:01:02"}]


HABITS = {
    "postgresql": """
        CREATE TABLE epr.habit (padded CHAR(4), flag BOOLEAN, name VARCHAR(20), amount NUMERIC(9, 3), moment TIMESTAMP WITH TIME ZONE, raw BYTEA);
        INSERT INTO epr.habit VALUES ('A', true, 'Zoë 🙂', 1.5, '2026-08-01 00:20:00+01', '\\x00ff'), ('', false, 'STRASSE', -0.25, NULL, NULL);
        ALTER TABLE epr.habit OWNER TO owner; ALTER DATABASE trust SET timezone = 'America/New_York';
    """,
    "mariadb": """
        SET NAMES utf8mb4; SET time_zone = '+01:00';
        CREATE TABLE epr.habit (padded CHAR(4), flag BOOLEAN, name VARCHAR(20) CHARACTER SET utf8mb4, amount DECIMAL(9, 3), moment TIMESTAMP NULL,
            raw VARBINARY(4), old VARCHAR(20) CHARACTER SET latin1);
        INSERT INTO epr.habit VALUES ('A', TRUE, 'Zoë 🙂', 1.5, '2026-08-01 00:20:00', X'00ff', 'Zoë'), ('', FALSE, 'STRASSE', -0.25, NULL, NULL, '');
    """,
}


def test_habits_of_servers_that_a_mapping_has_to_know(trust: Any) -> None:
    """CHAR is filled up by the one and not by the other, truth is a word or a number, and a moment is in the zone of the session or says its own."""
    trust.run(HABITS[trust.server.kind])
    first, second = rows(fetch(trust.site(), habit="SELECT * FROM epr.habit ORDER BY amount DESC")["habit"])
    assert (first["name"], first["amount"], first["raw"]) == ("Zoë 🙂", "1.500", "00ff")
    assert (second["name"], second["amount"], second["moment"], second["raw"]) == ("STRASSE", "-0.250", None, None)
    if trust.server.kind == "postgresql":
        assert (first["padded"], first["flag"], first["moment"]) == ("A   ", "true", "2026-07-31T19:20:00-04:00")
        assert (second["padded"], second["flag"]) == ("    ", "false")
    else:
        assert (first["padded"], first["flag"], first["old"]) == ("A", "1", "Zoë")
        assert (second["padded"], second["flag"], second["old"]) == ("", "0", "")
        assert first["moment"] == trust.run("SELECT DATE_FORMAT(moment, '%Y-%m-%dT%H:%i:%s') FROM epr.habit WHERE flag")
    # Letters in small and in capitals are one to MariaDB's comparisons unless the query says otherwise, and never to those of a mapping.
    found = rows(fetch(trust.site(), habit="SELECT name FROM epr.habit WHERE name = 'strasse'")["habit"])
    assert found == ([] if trust.server.kind == "postgresql" else [{"name": "STRASSE"}])
