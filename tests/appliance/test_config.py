"""Settings: what is right is taken as it is meant, and what is wrong is one line that can be acted on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from appliance import cli, config
from appliance.embedded import site
from appliance.embedded.address import resolve
from appliance.embedded.layout import Layout
from appliance.errors import ConfigurationError
from appliance.settings_rules import TABLES

RIGHT: dict[str, Any] = {
    "data": "/srv/fupan",
    "staff_url": "https://hr.example:8000",
    "intake_url": "http://127.0.0.1:8001",
    "database": {"host": "/run/postgresql"},
}
SETTINGS = [(table, key) for table, rules in TABLES.items() for key in rules]
# Whatever TOML can say: no such thing is ever more than one line.
TOML_VALUES = st.recursive(
    st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=200)
    | st.datetimes()
    | st.dates()
    | st.times(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


def with_value(table: str, key: str, value: object) -> dict[str, Any]:
    if not table:
        return RIGHT | {key: value}
    return RIGHT | {table: {**RIGHT.get(table, {}), key: value}}


def refusal(raw: dict[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        config.from_mapping(raw, "/srv/fupan/fupan.toml")
    said = str(caught.value)
    assert said.isprintable()
    assert len(said) < 600
    assert "/srv/fupan/fupan.toml: " in said
    return said


def test_the_defaults_are_themselves_allowed() -> None:
    settings = config.from_mapping(RIGHT)
    for table, rules in TABLES.items():
        part = getattr(settings, table) if table else settings
        for key, rule in rules.items():
            value = getattr(part, key)
            assert rule.fits(str(value) if isinstance(value, Path) else value), (table, key)
    assert settings.trusted_proxies == 0


# What is said to be allowed, and for which settings it is said of which values.
WRONG: dict[str, dict[str, list[Any]]] = {
    '"zh" or "en"': {".language": ["de", 7]},
    '"embedded" or "installed"': {".profile": ["production"]},
    '"cn" or "eu"': {".deployment": ["us"]},
    "an absolute path": {".data": ["fupan", 5]},
    "a name of 1 to 80 characters": {".site": ["", "two\nlines"]},
    "one line of at most 200 characters": {".contact": ["Ms Lin\nhr@example.com"]},
    "an address as browsers write it": {
        ".staff_url": ["hr.example", "https://hr.example:99999"],
        ".intake_url": ["https://hr.example/room"],
        "vault.endpoint": ["store.example", "https://store.example/bucket"],
    },
    "a whole number from 0": {".disk_floor_bytes": ["1 GB", True]},
    "a whole number from 0 to 8": {".trusted_proxies": [-1]},
    "a whole number from 1 to 65535": {"smtp.port": ["25", 0]},
    "1 or 2": {"vault.suite": [0, 3, True, "2", 1.0]},
    'a time like "22:30"': {
        "vault.lock_at": ["24:00", "9:00", "now", 9],
        "vault.check_at": ["2:30"],
    },
    "a list of at most 32 absolute paths": {"vault.tamper_paths": ["/sys", [1], ["sys"], ["/x"] * 33]},
    "a whole number from 0 to 8760": {"vault.lock_after_hours": [-1, 1.5, "8"]},
    "true or false": {"smtp.starttls": ["yes"], "vault.recall": [1], "vault.plain_http": ["no"]},
    "an absolute path, or s3://bucket": {
        "vault.hot": ["vault", "s3://", "s3://AB/x", "s3://abc//x", "s3://abc/../x", "https://store/abc"],
        "vault.cold": [7, "s3://ab", "s3://abc/X"],
    },
    "a whole number from 0 to 36500": {"vault.cold_after_days": [-1, 2.5, "30"]},
    'a name like "us-east-1"': {"vault.region": ["", "US EAST"]},
    "a bare address": {"smtp.sender": ["HR"]},
    "a number of seconds": {"timing.pull": [float("nan")], "timing.session_idle": [float("inf")]},
    "a number of seconds from 0.05": {"timing.pull": [0]},
    "a host name": {"database.host": [["a"]]},
    "a name of small letters": {"database.name": ["x; drop"]},
    "no such setting": {".colour": ["red"]},
    "no such setting; there are host, port": {"smtp.hots": ["mail"]},
}


@pytest.mark.parametrize(
    ("setting", "value", "allowed"),
    [
        (setting, value, allowed)
        for allowed, settings in WRONG.items()
        for setting, values in settings.items()
        for value in values
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(setting: str, value: object, allowed: str) -> None:
    said = refusal(with_value(*setting.split("."), value))
    assert f" {setting.removeprefix('.')} = " in said
    assert allowed in said


STORE = {"endpoint": "https://store.example:9000"}


@pytest.mark.parametrize(
    ("vault", "wrong", "why"),
    [
        ({"hot": "s3://interviews"}, "vault.hot", "say with vault.endpoint"),
        ({"cold": "s3://interviews/cold"}, "vault.cold", "say with vault.endpoint"),
        ({"cold": "/srv/fupan/vault"}, "vault.cold", "apart from the hot tier, /srv/fupan/vault"),
        ({"cold": "/srv/fupan/vault/old/"}, "vault.cold", "apart"),
        ({"cold": "/"}, "vault.cold", "a folder of the site's own, or holds one"),
        ({"cold": "/srv/fupan/keys"}, "vault.cold", "a folder of the site's own"),
        ({"hot": "/srv/fupan/secrets/x"}, "vault.hot", "a folder of the site's own"),
        ({"hot": "/mnt/a", "cold": "/mnt/a/b"}, "vault.cold", "apart from the hot tier, /mnt/a"),
        (STORE | {"hot": "s3://abc/x", "cold": "s3://abc/x/y"}, "vault.cold", "apart"),
        (STORE | {"hot": "s3://abc", "cold": "s3://abc/y"}, "vault.cold", "apart"),
        ({"cold_after_days": 30}, "vault.cold_after_days", "say with vault.cold where to"),
        ({"recall": True}, "vault.recall", "say with vault.cold where to"),
        ({"endpoint": "http://store.example:9000"}, "vault.endpoint", "vault.plain_http = true"),
    ],
)
def test_places_of_sealed_files_that_contradict_are_told(vault: dict[str, Any], wrong: str, why: str) -> None:
    said = refusal(RIGHT | {"vault": vault})
    assert f" {wrong} = " in said
    assert why in said


@pytest.mark.parametrize(
    "vault",
    [
        {"cold": "/mnt/archive", "cold_after_days": 90, "recall": True},
        {"cold": "/srv/fupan/archive"},
        {"hot": "/srv/fupan/vault2", "cold": "/srv/fupan/vault"},
        STORE | {"hot": "s3://abc/hot", "cold": "s3://abc/hotter"},
        STORE | {"hot": "s3://abc", "cold": "/mnt/archive"},
        {"hot": "s3://abc", "endpoint": "http://127.0.0.1:8333"},
        {"hot": "s3://abc", "endpoint": "http://store.example", "plain_http": True},
    ],
)
def test_places_of_sealed_files_that_fit_are_taken(vault: dict[str, Any]) -> None:
    settings = config.from_mapping(RIGHT | {"vault": vault})
    assert {key: getattr(settings.vault, key) for key in vault} == vault


@pytest.mark.parametrize("key", ["data", "staff_url", "intake_url", "database"])
def test_a_missing_one_is_named(key: str) -> None:
    assert f"{key} is missing" in refusal({name: value for name, value in RIGHT.items() if name != key})
    assert "database.host is missing" in refusal(RIGHT | {"database": {}})


def test_a_table_that_is_none_is_told(tmp_path: Path) -> None:
    assert "write [smtp] on a line of its own" in refusal(RIGHT | {"smtp": "mail.example"})


@given(setting=st.sampled_from(SETTINGS), value=TOML_VALUES)
def test_no_value_of_any_type_gets_past_its_rule_or_out_of_one_line(
    setting: tuple[str, str], value: object
) -> None:
    table, key = setting
    raw = with_value(table, key, value)
    try:
        settings = config.from_mapping(raw)
    except ConfigurationError:
        refusal(raw)
        return
    kept = getattr(getattr(settings, table) if table else settings, key)
    as_kept = tuple(value) if isinstance(value, list) else value
    assert kept == (Path(value) if isinstance(kept, Path) and isinstance(value, str) else as_kept)
    assert isinstance(kept, str | bool | int | float | Path | tuple)


@given(key=st.text(max_size=40), value=TOML_VALUES)
def test_no_unknown_key_gets_past(key: str, value: object) -> None:
    if key not in TABLES and key not in TABLES[""]:
        assert "no such setting" in refusal(RIGHT | {key: value})


@pytest.mark.parametrize(
    "text", [b"data = ", b"\xff\xfe", b"a = " + b"[" * 5000, b'data = "x"\ndata = "y"'], ids=range(4)
)
def test_a_file_that_is_no_toml_is_one_line_of_the_command(
    text: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run" / "fupan.toml"
    path.parent.mkdir()
    path.write_bytes(text)
    monkeypatch.delenv("FUPAN_CONFIG", raising=False)
    done = CliRunner().invoke(cli.main, ["--data", str(tmp_path), "models", "status"], prog_name="fupan")
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert str(path) in done.stderr
    assert "Traceback" not in done.output


def test_the_administrators_file_is_the_one_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUPAN_CONFIG", "")
    layout = Layout(tmp_path)
    layout.run.mkdir()
    layout.site_settings.write_text("[timing]\npull = 'fast'\n")
    with pytest.raises(ConfigurationError, match=f"{layout.site_settings}: timing.pull = 'fast'"):
        site.write_settings(layout, resolve("localhost", 9000), "/run/pg", 5432)
    layout.site_settings.write_text('site = "复盘 😀"\n[timing]\npull = 1\n', encoding="utf-8")
    settings = site.write_settings(layout, resolve("localhost", 9000), "/run/pg", 5432)
    assert config.load(layout.settings) == settings
    assert (settings.site, settings.timing.pull) == ("复盘 😀", 1.0)


def test_every_setting_is_documented() -> None:
    page = (Path(config.__file__).parents[1] / "docs" / "settings.md").read_text(encoding="utf-8")
    for table, key in SETTINGS:
        assert f"`{table}.{key}`" in page or f"`{key}`" in page, (table, key)
