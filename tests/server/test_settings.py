"""Settings come from the environment; a wrong one is named with its variable and its flag."""

from pathlib import Path

import pytest

from polyglyph.contract.errors import StartupError
from polyglyph.server.commands import as_environment
from polyglyph.server.settings import read_settings


def test_defaults(settings: pytest.MonkeyPatch, tmp_path: Path):
    for name in ("POLYGLYPH_DATA_DIR", "POLYGLYPH_ADMIN_KEY"):
        settings.delenv(name)
    settings.setenv("XDG_STATE_HOME", str(tmp_path))
    read = read_settings()
    assert read.data_dir == tmp_path / "polyglyph"
    assert read.admin_key is None
    assert (read.steering_default, read.inline_edits, read.stats, read.disable) == ("off", True, True, False)
    assert read.max_body_bytes == 8 * 1024 * 1024
    assert (read.store_url, read.flush_seconds, read.stats_bucket_seconds) == (None, 1.0, 3600)
    assert read.stats_max_groups == 4096


def test_an_empty_variable_counts_as_absent(settings: pytest.MonkeyPatch):
    settings.setenv("POLYGLYPH_ADMIN_KEY", "")
    settings.setenv("POLYGLYPH_STATS", "")
    assert read_settings().admin_key is None
    assert read_settings().stats is True


@pytest.mark.parametrize(
    ("variable", "flag", "value"),
    [
        ("POLYGLYPH_MAX_BODY_BYTES", "--max-body-bytes", "8MiB"),
        ("POLYGLYPH_MAX_BODY_BYTES", "--max-body-bytes", "0"),
        ("POLYGLYPH_STATS", "--stats", "false"),
        ("POLYGLYPH_FLUSH_SECONDS", "--flush-seconds", "0"),
        ("POLYGLYPH_FLUSH_SECONDS", "--flush-seconds", "nan"),
        ("POLYGLYPH_STATS_BUCKET_SECONDS", "--stats-bucket-seconds", "1.5"),
        ("POLYGLYPH_STATS_MAX_GROUPS", "--stats-max-groups", "-1"),
        ("POLYGLYPH_INLINE_EDITS", "--inline-edits", "no"),
        ("POLYGLYPH_STEERING_DEFAULT", "--steering-default", "two words"),
    ],
)
def test_a_wrong_setting_is_named_with_its_variable_and_flag(
    settings: pytest.MonkeyPatch, variable: str, flag: str, value: str
):
    settings.setenv(variable, value)
    with pytest.raises(StartupError) as error:
        read_settings()
    for part in (variable, flag, repr(value)):
        assert part in str(error.value)


@pytest.mark.parametrize("key", ["two words", "ключ", "a\n"])
def test_a_key_that_fits_no_header_is_refused_and_not_shown(settings: pytest.MonkeyPatch, key: str):
    settings.setenv("POLYGLYPH_ADMIN_KEY", key)
    with pytest.raises(StartupError) as error:
        read_settings()
    assert "POLYGLYPH_ADMIN_KEY" in str(error.value)
    assert key not in str(error.value)


def test_keys_do_not_show_in_settings():
    assert "admin-secret" not in repr(read_settings())


def test_the_password_of_the_store_does_not_show_in_settings(settings: pytest.MonkeyPatch):
    settings.setenv("POLYGLYPH_STORE_URL", "postgresql+psycopg://me:hush@host/db")
    assert "hush" not in repr(read_settings())


def test_flags_become_variables():
    given = {"stats": False, "inline_edits": True, "policy": Path("p.json"), "max_body_bytes": 5000, "admin_key": None}
    assert as_environment(given) == {
        "POLYGLYPH_STATS": "0",
        "POLYGLYPH_INLINE_EDITS": "1",
        "POLYGLYPH_POLICY": "p.json",
        "POLYGLYPH_MAX_BODY_BYTES": "5000",
    }
