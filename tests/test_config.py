from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as no_deadline
from hypothesis import strategies as st

from mlxoss.config import Config, ConfigFile, find_config_file, load_config, settings
from mlxoss.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def load(
    file: Path, flags: Mapping[str, object] | None = None, env: Mapping[str, str] | None = None
) -> Config:
    return load_config(flags or {}, env or {}, file)


def refused(
    file: Path, flags: Mapping[str, object] | None = None, env: Mapping[str, str] | None = None
) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(file, flags, env)
    return caught.value


def test_defaults(file: Path) -> None:
    assert load(file) == Config(
        model=None,
        host="localhost",
        port=8000,
        context_length=None,
        max_batch=8,
        max_queue=64,
        date=None,
        log_level="info",
        log_file=None,
        debug_raw_preview_chars=0,
        http_access_log=False,
    )


def test_later_sources_win(file: Path) -> None:
    file.write_text("port = 1\nmax_batch = 2\nmax_queue = 3\n")
    env = {"MLXOSS_PORT": "11", "MLXOSS_MAX_BATCH": "12"}
    config = load(file, {"port": "21", "max_batch": None}, env)
    assert (config.port, config.max_batch, config.max_queue) == (21, 12, 3)


def test_a_file_may_set_everything(file: Path) -> None:
    file.write_text(
        """
        model = "mlx-community/gpt-oss-20b-MXFP4-Q8"
        host = "::1"
        port = 0
        context_length = 4096
        max_batch = 64
        max_queue = 0
        date = 2026-01-31
        log_level = "DEBUG"
        log_file = "logs/mlxoss.log"
        debug_raw_preview_chars = 200
        http_access_log = true
        allow_host = ["llm.example", "10.0.0.1"]
        allow_origin = []
        """
    )
    assert load(file) == Config(
        model="mlx-community/gpt-oss-20b-MXFP4-Q8",
        host="::1",
        port=0,
        context_length=4096,
        max_batch=64,
        max_queue=0,
        date=datetime.date(2026, 1, 31),
        log_level="debug",
        log_file=file.parent / "logs" / "mlxoss.log",
        debug_raw_preview_chars=200,
        http_access_log=True,
        allow_host=("llm.example", "10.0.0.1"),
        allow_origin=(),
    )


GOOD_TEXTS = [
    ("port", "0", 0),
    ("port", "65535", 65535),
    ("max_batch", "64", 64),
    ("prefix_cache_bytes", "0", 0),
    ("prefix_cache_disk", "0", 0),
    ("idle_unload", "0", 0),
    ("loop_guard", "0", 0),
    ("date", "2024-02-29", datetime.date(2024, 2, 29)),
    ("log_level", "Warning", "warning"),
    ("http_access_log", "on", True),
    ("http_access_log", "FALSE", False),
    ("log_file", "x.log", Path("x.log")),
    ("log_file", "~/x.log", Path.home() / "x.log"),
    ("model", "org/name", "org/name"),
    ("allow_host", "LLM.example, [::1],llm.example", ("llm.example", "::1")),
    ("allow_host", "*", ("*",)),
    (
        "allow_origin",
        "https://App.example:443,http://[::1]:80",
        ("https://app.example", "http://[::1]"),
    ),
    ("allow_origin", "chrome-extension://abc", ("chrome-extension://abc",)),
]


@pytest.mark.parametrize(("name", "text", "value"), GOOD_TEXTS)
def test_texts_mean_the_same_as_flag_and_in_the_environment(
    file: Path, name: str, text: str, value: object
) -> None:
    variable = settings()[name].variable
    assert getattr(load(file, {name: text}), name) == value
    assert getattr(load(file, env={variable: text}), name) == value


BAD_TEXTS = [
    ("port", "-1", "an integer from 0 to 65535"),
    ("port", "65536", "an integer from 0 to 65535"),
    ("port", "8_000", "an integer from 0 to 65535"),
    ("port", " 80", "an integer from 0 to 65535"),
    ("port", "٣", "an integer from 0 to 65535"),
    ("port", "9" * 5000, "an integer from 0 to 65535"),
    ("port", "abc", "an integer from 0 to 65535"),
    ("context_length", "0", "an integer of at least 1"),
    ("max_batch", "0", "an integer from 1 to 64"),
    ("max_batch", "65", "an integer from 1 to 64"),
    ("max_queue", "-1", "an integer from 0 to"),
    ("prefix_cache_bytes", "1GB", "an integer of at least 0"),
    ("prefix_cache_disk", "-1", "an integer of at least 0"),
    ("idle_unload", "-1", "an integer from 0 to"),
    ("debug_raw_preview_chars", "1.5", "an integer of at least 0"),
    ("date", "2026-02-30", "a date in the form YYYY-MM-DD"),
    ("date", "20260203", "a date in the form YYYY-MM-DD"),
    ("date", "today", "a date in the form YYYY-MM-DD"),
    ("log_level", "loud", "one of debug, info, warning, error, critical"),
    ("http_access_log", "maybe", "true or false"),
    ("host", "  ", "a text that is not empty"),
    ("model", "a\nb", "a text that is not empty"),
    ("allow_host", "a,,b", "a host name"),
    ("allow_host", "localhost:8000", "a host name"),
    ("allow_host", "http://localhost", "a host name"),
    ("allow_origin", "app.example", "an origin"),
    ("allow_origin", "https://app.example/", "an origin"),
    ("allow_origin", "null", "an origin"),
    ("log_file", "~nobody-has-this-name/x", "a path"),
]


@pytest.mark.parametrize(("name", "text", "wanted"), BAD_TEXTS)
def test_a_bad_text_names_the_flag_or_the_variable(
    file: Path, name: str, text: str, wanted: str
) -> None:
    setting = settings()[name]
    error = refused(file, {name: text})
    assert str(error).startswith(f"{setting.flag} must be {wanted}")
    assert (error.key, error.source) == (setting.flag, "command line")
    error = refused(file, env={setting.variable: text})
    assert str(error).startswith(f"The environment variable {setting.variable} must be {wanted}")
    assert (error.key, error.source) == (setting.variable, "environment")


def test_an_empty_flag_is_refused(file: Path) -> None:
    assert refused(file, {"model": ""}).key == "--model"


def test_an_empty_variable_counts_as_not_set(file: Path) -> None:
    assert load(file, env={"MLXOSS_PORT": "", "MLXOSS_CONFIG": ""}).port == 8000


BAD_LINES = [
    ('port = "8000"', "port", "must be an integer from 0 to 65535, not '8000'"),
    ("port = true", "port", "must be an integer"),
    ("port = 80.0", "port", "must be an integer"),
    ("http_access_log = 1", "http_access_log", "must be true or false, not 1"),
    ('http_access_log = "true"', "http_access_log", "must be true or false"),
    ("model = 20", "model", "must be a text"),
    ('model = ""', "model", "must be a text"),
    ("log_file = false", "log_file", "must be a path"),
    ("date = 2026-01-31T10:00:00", "date", "must be a date"),
    ('allow_host = "localhost"', "allow_host", "must be a list"),
    ("allow_host = [1]", "allow_host", "must be a host name"),
    ("log_level = 10", "log_level", "must be one of"),
    ("[port]\nx = 1", "port", "must be an integer"),
]


@pytest.mark.parametrize(("line", "key", "words"), BAD_LINES)
def test_a_bad_line_names_the_key_and_the_file(file: Path, line: str, key: str, words: str) -> None:
    file.write_text(line)
    error = refused(file)
    assert str(error).startswith(f"{file}: {key} {words}")
    assert (error.key, error.source) == (key, str(file))


@pytest.mark.parametrize(
    ("key", "meant"),
    [("prot", "port"), ("context-length", "context_length"), ("max_queues", "max_queue")],
)
def test_an_unknown_key_is_refused_with_the_likely_one(file: Path, key: str, meant: str) -> None:
    file.write_text(f"{key} = 1")
    assert str(refused(file)) == f"{file}: unknown setting {key!r} (did you mean {meant!r}?)."


def test_an_unknown_key_like_no_other_gets_no_hint(file: Path) -> None:
    file.write_text("[zzz]\nport = 1")
    assert str(refused(file)) == f"{file}: unknown setting 'zzz'."


def test_an_unknown_variable_is_refused_with_the_likely_one(file: Path) -> None:
    error = refused(file, env={"MLXOSS_PROT": "1"})
    assert str(error) == (
        "The environment variable MLXOSS_PROT is unknown (did you mean 'MLXOSS_PORT'?)."
    )
    assert error.key == "MLXOSS_PROT"


def test_other_variables_are_none_of_its_business(file: Path) -> None:
    env = {"PORT": "x", "MLX_HOST": "y", "MLXOSS_HOME": "/h", "MLXOSS_CONFIG": "/c"}
    env |= {"MLXOSS_LAUNCHCTL": "/l", "MLXOSS_FAKE_LAUNCHD_DIR": "/d"}
    assert load(file, env=env) == Config()


@pytest.mark.parametrize("content", [b"port = ", b"port = 1\nport = 2", b"\xff\xfe"])
def test_a_file_that_is_no_toml_is_named(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    error = refused(file)
    assert str(error).startswith(f"{file} is not valid TOML: ")
    assert error.source == str(file)


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    error = refused(tmp_path)
    assert str(error) == f"The configuration file {tmp_path} cannot be read: Is a directory."


def test_only_a_file_that_was_asked_for_must_exist(file: Path) -> None:
    assert load_config({}, {}, ConfigFile(file)) == Config()
    with pytest.raises(ConfigError, match="does not exist"):
        load_config({}, {}, ConfigFile(file, asked_for=True))


def test_which_file_is_read() -> None:
    usual, flag = Path("/usual"), Path("/flag")
    env = {"MLXOSS_CONFIG": "/env"}
    assert find_config_file(flag, env, usual) == ConfigFile(flag, asked_for=True)
    assert find_config_file(None, env, usual) == ConfigFile(Path("/env"), asked_for=True)
    assert find_config_file(None, {}, usual) == ConfigFile(usual)


@no_deadline(deadline=None)
@given(st.sampled_from(sorted(settings())), st.text(max_size=30))
def test_any_text_is_used_or_refused_by_name(name: str, text: str) -> None:
    kind = settings()[name].kind
    try:
        value = getattr(load_config({name: text}, {}, Path("/nowhere/config.toml")), name)
    except ConfigError as error:
        key = error.key
    else:
        assert kind.check(value) == value
        return
    assert key == settings()[name].flag


@pytest.mark.parametrize(
    ("flags", "limit_bytes"),
    [
        ({}, 8 << 30),
        ({"prefix_cache_disk": "5000"}, 5000),
        ({"responses_store": "off"}, 0),
        ({"responses_store": "off", "prefix_cache_disk": "5000"}, 5000),
    ],
)
def test_what_prompts_may_take_on_the_disk(
    file: Path, flags: dict[str, str], limit_bytes: int
) -> None:
    assert load(file, flags).snapshots_limit_bytes == limit_bytes


def test_every_default_is_itself_a_valid_value() -> None:
    for setting in settings().values():
        if setting.default is not None:
            assert setting.kind.check(setting.default) == setting.default
