"""SITE.toml: what is read, where it looks, and one clear line for whatever is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from ips_pipeline import settings
from ips_pipeline.errors import UsageError

GOOD = """\
name = "A network"
data = "data"
reference = "reference"

[sources.epr]
kind = "sql"
url = { env = "EPR_URL" }
password = { file = "epr_password" }

[sources.exports]
kind = "files"
folder = "../exports"

[[providers]]
code = "RXX"
name = "A trust"
source = "epr"
mapping = "rxx.yaml"

[[providers]]
code = "K9X9K"
name = "A charity"
source = "exports"
mapping = "rxx.yaml"
submitter = "RXX"
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what SITE.toml refers to, and an environment without settings of its own."""
    for name in ("IPS_DATA", "IPS_SECRETS", "EPR_URL"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "site"
    (home / "reference").mkdir(parents=True)
    (home / "rxx.yaml").write_text("tables: {}\n")
    return home


def load(home: Path, text: str = GOOD) -> settings.Site:
    (home / "SITE.toml").write_text(text, encoding="utf-8")
    return settings.load(home / "SITE.toml")


def test_a_site_is_read_with_every_path_absolute(home: Path) -> None:
    site = load(home)
    assert (site.name, site.status, site.options.edition) == ("A network", "Performance", "published")
    assert site.data == home / "data"
    assert site.reference == home / "reference"
    assert site.provider("RXX").mapping == home / "rxx.yaml"
    source = site.source_of("K9X9K")
    assert isinstance(source, settings.FilesSource)
    assert source.folder == home.parent / "exports"
    assert (site.provider("RXX").submitter, site.provider("K9X9K").submitter) == ("RXX", "RXX")


def test_the_data_root_has_one_shelf_per_kind_provider_and_month(home: Path) -> None:
    site = load(home)
    data = home / "data"
    assert site.landing("RXX", "2026-08") == data / "restricted/landing/RXX/2026-08"
    assert site.findings("RXX", "2026-08") == data / "restricted/findings/RXX/2026-08"
    assert site.accepted("RXX", "2026-08") == data / "restricted/accepted/RXX/2026-08"
    assert site.evidence("2026-08") == data / "restricted/evidence/2026-08"
    assert site.releases("2026-08") == data / "releases/2026-08"
    assert site.staging.is_relative_to(site.temporary)
    assert site.temporary.is_relative_to(site.restricted)


def test_the_environment_stands_over_the_data_root(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPS_DATA", str(home / "elsewhere"))
    assert load(home).data == home / "elsewhere"


@pytest.mark.parametrize("period", ["2026-13", "2026-8", "2026", "../2026-08", "2026-08\n", "202608", ""])
def test_a_period_that_is_no_month_never_becomes_a_path(home: Path, period: str) -> None:
    with pytest.raises(UsageError, match="yyyy-mm"):
        load(home).landing("RXX", period)


def test_an_unknown_provider_is_told_with_those_there_are(home: Path) -> None:
    with pytest.raises(UsageError, match=r"SITE\.toml has no provider RXY; it has RXX, K9X9K$"):
        load(home).provider("RXY")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('data = "data"', 'dta = "data"', "unknown key dta in the top level (did you mean data?)"),
        ('data = "data"\n', "", "the key data is missing in the top level"),
        ('name = "A network"', "name = A network", "is not valid TOML at line 1"),
        ('name = "A network"', 'name = ""', "name in the top level is not right"),
        ('name = "A network"', 'file = "x"\nname = "A network"', "unknown key file in the top level"),
        ('kind = "sql"', 'kind = "sqlite"', '[sources.epr] needs kind = "sql" or kind = "files"'),
        ('url = { env = "EPR_URL" }', 'ulr = { env = "EPR_URL" }', "unknown key ulr in [sources.epr] (did you mean url?)"),
        ('url = { env = "EPR_URL" }', 'url = { enw = "EPR_URL" }', "unknown key enw in [sources.epr] (did you mean env?)"),
        ('url = { env = "EPR_URL" }', 'url = { env = "A", file = "B" }', "exactly one of env, file or airflow"),
        ('url = { env = "EPR_URL" }', 'url = "postgresql://reader:hunter2@db/epr"', "url holds a password"),
        ('folder = "../exports"', 'foldr = "../exports"', "unknown key foldr in [sources.exports] (did you mean folder?)"),
        ('source = "epr"', 'source = "epp"', "provider RXX names the source epp, which [sources] does not have (did you mean epr?)"),
        ('code = "K9X9K"', 'code = "RXX"', "provider RXX is listed twice"),
        ('code = "K9X9K"', 'code = "../x"', "code in [[providers]] number 2 is not right"),
        ('submitter = "RXX"', 'sender = "RXX"', "unknown key sender in [[providers]] number 2"),
        ('mapping = "rxx.yaml"', 'mapping = "none.yaml"', "names the mapping"),
        ('reference = "reference"', 'reference = "none"', "which does not exist"),
        ("[sources.epr]", '[options]\nedition = "draft"\n[sources.epr]', "edition in [options] is not right"),
        ("[sources.epr]", '[options]\neditoin = "published"\n[sources.epr]', "unknown key editoin in [options] (did you mean edition?)"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_that_names_the_file(home: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(UsageError) as caught:
        load(home, GOOD.replace(old, new, 1))
    text = str(caught.value)
    assert message in text
    assert str(home / "SITE.toml") in text
    assert "\n" not in text
    assert "hunter2" not in text
    assert caught.value.exit_code == 2


def test_a_settings_file_that_is_not_there_or_not_text(home: Path) -> None:
    with pytest.raises(UsageError, match="There is no settings file"):
        settings.load(home / "OTHER.toml")
    (home / "SITE.toml").write_bytes(b'name = "caf\xe9"')
    with pytest.raises(UsageError, match="cannot be read"):
        settings.load(home / "SITE.toml")
    with pytest.raises(UsageError, match="cannot be read"):
        settings.load(home)


def test_a_syntax_error_does_not_repeat_the_line(home: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(home, 'password = "hunter2\n')
    assert "hunter2" not in str(caught.value)


class TestSecrets:
    """By reference only: an environment variable, a file of the secrets directory, an Airflow connection."""

    def test_from_the_environment(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        site = load(home)
        with pytest.raises(UsageError, match="environment variable EPR_URL, which is not set"):
            site.secret(settings.Reference(env="EPR_URL"))
        monkeypatch.setenv("EPR_URL", " sqlite:///x ")
        assert site.secret(settings.Reference(env="EPR_URL")).get_secret_value() == "sqlite:///x"

    def test_from_the_secrets_directory(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        reference = settings.Reference(file="epr_password")
        with pytest.raises(UsageError, match=r"secrets/epr_password cannot be read"):
            load(home).secret(reference)
        (home / "secrets").mkdir()
        (home / "secrets/epr_password").write_text("\n")
        with pytest.raises(UsageError, match="is empty"):
            load(home).secret(reference)
        (home / "secrets/epr_password").write_text("hunter2\n")
        assert load(home).secret(reference).get_secret_value() == "hunter2"
        elsewhere = home / "run"
        elsewhere.mkdir()
        (elsewhere / "epr_password").write_text("other")
        monkeypatch.setenv("IPS_SECRETS", str(elsewhere))
        assert load(home).secret(reference).get_secret_value() == "other"

    def test_a_file_outside_the_secrets_directory_is_refused(self, home: Path) -> None:
        with pytest.raises(UsageError, match="outside the secrets directory"):
            load(home).secret(settings.Reference(file="../SITE.toml"))

    def test_from_an_airflow_connection(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_EPR", "postgres://u:p@h/d")
        assert load(home).secret(settings.Reference(airflow="epr")).get_secret_value() == "postgres://u:p@h/d"

    def test_from_the_airflow_that_runs_the_task(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_EPR", "postgres://elsewhere/d")
        site = settings.load(load(home).file, connections={"epr": '{"conn_type": "postgres", "host": "h"}'}.get)
        assert site.secret(settings.Reference(airflow="epr")).get_secret_value() == '{"conn_type": "postgres", "host": "h"}'
        with pytest.raises(UsageError, match="refers to the connection other, which Airflow does not have; add it"):
            site.secret(settings.Reference(airflow="other"))

    def test_a_secret_does_not_show_in_a_repr(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EPR_URL", "hunter2")
        site = load(home)
        assert "hunter2" not in repr(site.secret(settings.Reference(env="EPR_URL"))) + repr(site)
