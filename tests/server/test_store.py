"""Opening the store: where it is, how its layout comes about, and when a server does not start."""

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import text

from polyglyph import __version__
from polyglyph.contract.errors import StartupError, StorageUnavailableError
from polyglyph.server.store.address import address_of
from polyglyph.server.store.connections import make_engine
from polyglyph.server.store.expert_set_rows import read_expert_sets
from polyglyph.server.store.revisions import read_revision
from polyglyph.server.store.tables import METADATA
from tests.server.sums import KEY, make_ledger, num_tokens, open_at, sums

ROOT = Path(__file__).parents[2]
NOBODY = 65534


def test_without_a_url_the_store_is_a_file_of_the_data_directory(tmp_path: Path):
    assert str(address_of(data_dir=tmp_path, store_url=None)) == str(tmp_path / "polyglyph.sqlite3")


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "postgresql", "postgres"])
def test_a_postgresql_url_is_taken_and_its_password_never_shown(tmp_path: Path, scheme: str):
    address = address_of(data_dir=tmp_path, store_url=SecretStr(f"{scheme}://me:hush@host:1/db"))
    assert address.url.drivername == "postgresql+psycopg"
    assert "hush" not in str(address)
    assert "me" in str(address)


@given(st.text(max_size=40))
def test_what_is_no_postgresql_url_is_refused_without_being_shown(written: str):
    with suppress(StartupError):
        address = address_of(data_dir=Path("x"), store_url=SecretStr(written))
        assert address.url.drivername == "postgresql+psycopg"


@pytest.mark.parametrize(
    "written", ["", "mysql://me:hush@host/db", "sqlite:///x", "hush", "postgresql://me:hush@host:port/db"]
)
def test_a_wrong_url_stops_the_start_with_the_flag(tmp_path: Path, written: str):
    with pytest.raises(StartupError, match="--store-url") as error:
        address_of(data_dir=tmp_path, store_url=SecretStr(written))
    assert "hush" not in str(error.value)


def test_the_migrations_make_the_tables_that_the_code_expects(tmp_path: Path, url: SecretStr | None):
    open_at(tmp_path, url).close()
    engine = make_engine(address_of(data_dir=tmp_path, store_url=url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_a_store_without_expert_sets_is_brought_up_to_date_and_keeps_what_it_holds(
    tmp_path: Path, url: SecretStr | None
):
    store = open_at(tmp_path, url)
    ledger = make_ledger(store)
    ledger.add([sums(3)])
    ledger.flush()
    with store.write() as connection:
        connection.execute(text("DROP TABLE expert_sets"))
        connection.execute(text("DELETE FROM revisions WHERE subject = 'expert_sets'"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    store.close()
    again = open_at(tmp_path, url)
    with again.read() as connection:
        assert read_expert_sets(connection) == {}
        assert read_revision(connection, "expert_sets") == 0
    assert num_tokens(make_ledger(again)) == 3
    again.close()


def test_servers_that_start_together_on_an_empty_store_all_start(tmp_path: Path, url: SecretStr | None):
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(lambda _: open_at(tmp_path, url, busy_timeout_s=30), range(8)))
    for store in stores:
        ledger = make_ledger(store)
        ledger.add([sums(1)])
        ledger.flush()
    assert num_tokens(ledger) == 8
    for store in stores:
        store.close()


def test_processes_that_start_together_on_an_empty_store_all_start(tmp_path: Path):
    code = "import sys; from pathlib import Path; from tests.server.sums import open_at\n"
    code += "open_at(Path(sys.argv[1]), busy_timeout_s=30)"
    started = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT) for _ in range(4)]
    assert [process.wait(timeout=60) for process in started] == [0] * 4


def test_a_store_of_a_newer_polyglyph_is_refused_with_both_versions(tmp_path: Path, url: SecretStr | None):
    store = open_at(tmp_path, url)
    with store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text("UPDATE origin SET polyglyph = '77.1.0'"))
    with pytest.raises(StartupError) as error:
        open_at(tmp_path, url)
    for part in ("77.1.0", "9999", __version__, "--data-dir" if url is None else "--store-url"):
        assert part in str(error.value)


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(connection: object) -> None:
        raise OSError("power cut")

    monkeypatch.setattr("polyglyph.server.store.migrating._sign", fail)
    with pytest.raises(StartupError, match="power cut"):
        open_at(tmp_path)
    monkeypatch.undo()
    with sqlite3.connect(tmp_path / "polyglyph.sqlite3") as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    open_at(tmp_path)


@pytest.mark.parametrize("content", [b"not a database at all" * 300, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_store_stops_the_start_and_is_not_touched(tmp_path: Path, content: bytes):
    file = tmp_path / "polyglyph.sqlite3"
    file.write_bytes(content)
    with pytest.raises(StartupError, match=re.escape(str(file))) as error:
        open_at(tmp_path)
    assert "docs/store.md" in str(error.value)
    assert file.read_bytes() == content


def test_a_store_whose_pages_are_damaged_stops_the_start(tmp_path: Path):
    open_at(tmp_path).close()
    file = tmp_path / "polyglyph.sqlite3"
    content = bytearray(file.read_bytes())
    content[100:] = b"\xa5" * (len(content) - 100)
    file.write_bytes(content)
    with pytest.raises(StartupError, match="malformed"):
        open_at(tmp_path)


def test_a_database_that_another_program_holds_stops_the_start(tmp_path: Path):
    open_at(tmp_path).close()
    holder = sqlite3.connect(tmp_path / "polyglyph.sqlite3", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StartupError, match="locked"):
        open_at(tmp_path)
    holder.close()


@contextmanager
def unprivileged(folder: Path) -> Iterator[None]:
    """Be nobody for a while, because an administrator may write anywhere."""
    if os.geteuid() != 0:
        yield
        return
    for path in (folder, *folder.parents):
        if path.stat().st_uid == 0 and not path.stat().st_mode & 0o005:
            path.chmod(path.stat().st_mode | 0o055)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("has_store", [False, True])
def test_a_folder_that_cannot_be_written_stops_the_start(tmp_path: Path, *, has_store: bool):
    folder = tmp_path / "data"
    folder.mkdir()
    if has_store:
        open_at(folder).close()
        (folder / "polyglyph.sqlite3").chmod(0o444)
    folder.chmod(0o555)
    with unprivileged(folder), pytest.raises(StartupError, match="--data-dir"):
        open_at(folder)
    folder.chmod(0o755)


def test_a_database_that_cannot_be_reached_stops_the_start_without_its_password(tmp_path: Path):
    url = SecretStr(f"postgresql+psycopg://me:hush@/db?host={tmp_path}")
    with pytest.raises(StartupError, match="--store-url") as error:
        open_at(tmp_path, url)
    assert "hush" not in str(error.value)


def test_without_the_driver_the_start_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StartupError, match=r"polyglyph\[postgres\]"):
        open_at(tmp_path, SecretStr("postgresql+psycopg://me@host/db"))


def test_a_file_that_was_moved_away_is_noticed_and_welcome_when_it_is_back(tmp_path: Path):
    ledger = make_ledger(open_at(tmp_path))
    ledger.add([sums(1)])
    ledger.flush()
    (tmp_path / "away").mkdir()
    for file in list(tmp_path.glob("polyglyph.sqlite3*")):
        file.rename(tmp_path / "away" / file.name)
    ledger.add([sums(2)])
    with pytest.raises(StorageUnavailableError):
        ledger.flush()
    for file in list((tmp_path / "away").iterdir()):
        file.rename(tmp_path / file.name)
    ledger.flush()
    assert num_tokens(ledger) == 3


def test_another_store_in_the_place_of_the_servers_is_not_written_to(tmp_path: Path):
    ledger = make_ledger(open_at(tmp_path / "data"))
    ledger.add([sums(1)])
    ledger.flush()
    (tmp_path / "data").rename(tmp_path / "away")
    other = make_ledger(open_at(tmp_path / "data"))
    ledger.add([sums(2)])
    with pytest.raises(Exception, match="another store"):
        ledger.flush()
    assert num_tokens(other) == 0
    assert ledger.facts().unflushed_groups == 1


def test_a_backup_put_in_place_gets_what_this_run_counted_in_the_open_bucket(tmp_path: Path):
    ledger = make_ledger(open_at(tmp_path))
    ledger.add([sums(1)])
    ledger.flush()
    backup = sqlite3.connect(tmp_path / "backup")
    with sqlite3.connect(tmp_path / "polyglyph.sqlite3") as live:
        live.backup(backup)
    backup.close()
    ledger.add([sums(2, KEY._replace(tag="later"))])
    ledger.flush()
    for file in list(tmp_path.glob("polyglyph.sqlite3*")):
        file.unlink()
    ledger.add([sums(4)])
    with pytest.raises(StorageUnavailableError):
        ledger.flush()
    (tmp_path / "backup").rename(tmp_path / "polyglyph.sqlite3")
    ledger.flush()
    assert num_tokens(ledger) == 7
