"""The embedded server: shared, killed, restarted, and kept to its owner."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import URL, text

from app.errors import DatabaseError, DatabaseUnavailable
from app.store import embedded
from app.store.account import ACCOUNT, choose_account
from app.store.database import MIGRATIONS, make_engine, transaction
from app.store.embedded import EmbeddedServer

STARTER = """
import sys
from pathlib import Path
from app.store.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]), options={"fsync": "off"})
url = server.start()
print(server.running().pid, url.query["host"], flush=True)
sys.stdin.read()
"""


ORDINARY = """
import os, sys
from pathlib import Path
from app.store.database import make_engine, transaction
from app.store.embedded import EmbeddedServer, program
from sqlalchemy import text
engine = make_engine("postgresql://")  # loads the driver while its files can be read
engine.dispose()
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
if not os.access(program("postgres"), os.X_OK):
    print("closed")
    sys.exit()
server = EmbeddedServer(Path(sys.argv[1]), options={"fsync": "off"})
try:
    with transaction(make_engine(server.start(), server)) as session:
        print(session.scalar(text("SELECT 42")), server.data.stat().st_uid)
finally:
    server.stop()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """A server started by two processes at once, both killed the hard way."""
    home = Path(tempfile.mkdtemp(prefix="pickture-embedded-"))
    server = EmbeddedServer(home, options={"fsync": "off"})
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", STARTER, str(home)],
            cwd=MIGRATIONS.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        said = []
        for starter in starters:
            assert starter.stdout is not None
            said.append(starter.stdout.readline().split())
        assert len(said[0]) == 2
        assert said[0] == said[1], "both attach to one server"
        for starter in starters:
            starter.kill()
            starter.wait()
        running = server.running()
        assert running is not None
        assert str(running.pid) == said[0][0], "the server outlives whoever started it"
        yield server
    finally:
        for starter in starters:
            starter.kill()
            starter.communicate()
        server.stop()
        shutil.rmtree(home)


def _ask(url: URL, statement: str) -> object:
    engine = make_engine(url)
    try:
        with engine.begin() as connection:
            result = connection.execute(text(statement))
            return result.scalar() if result.returns_rows else None
    finally:
        engine.dispose()


def test_attaching_to_a_running_server_changes_nothing(server: EmbeddedServer) -> None:
    before = server.running()
    url = server.start()
    assert server.running() == before
    assert _ask(url, "SELECT current_database() || ' ' || current_setting('listen_addresses')") == "pickture "


def test_text_sorts_by_code_point_and_folds_case_beyond_ascii(server: EmbeddedServer) -> None:
    url = server.start()
    assert _ask(url, "SELECT string_agg(t, '' ORDER BY t) FROM unnest('{b,가,a,Z,é}'::text[]) t") == "Zabé가"
    assert _ask(url, "SELECT lower('ÉÄ')") == "éä"


def test_a_killed_postmaster_comes_back_with_the_next_connection_and_its_data(server: EmbeddedServer) -> None:
    engine = make_engine(server.start(), server)
    with transaction(engine) as session:
        session.execute(text("CREATE TABLE kept AS SELECT 42 AS answer"))
    killed = server.running()
    assert killed is not None
    os.kill(killed.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(killed.pid)] if psutil.pid_exists(killed.pid) else [], timeout=10)
    with transaction(engine) as session:
        assert session.scalar(text("SELECT answer FROM kept")) == 42
    revived = server.running()
    assert revived is not None
    assert revived.pid != killed.pid
    engine.dispose()


def test_a_server_that_ended_by_itself_comes_back_with_the_next_connection(server: EmbeddedServer) -> None:
    """As after a recovery on a full disk: it shuts down in good order and leaves no ``postmaster.pid``."""
    engine = make_engine(server.start(), server)
    ended = server.running()
    assert ended is not None
    process = psutil.Process(ended.pid)
    process.send_signal(signal.SIGINT)
    psutil.wait_procs([process], timeout=20)
    assert not (server.data / "postmaster.pid").exists()
    with transaction(engine) as session:
        assert session.scalar(text("SELECT 1")) == 1
    engine.dispose()


def test_a_server_that_died_and_was_then_stopped_stays_stopped(server: EmbeddedServer) -> None:
    server.start()
    killed = server.running()
    assert killed is not None
    process = psutil.Process(killed.pid)
    process.kill()
    psutil.wait_procs([process], timeout=20)
    assert not server.stop()
    assert server.revive() is None
    server.start()


def test_a_system_that_refuses_a_start_makes_the_database_unavailable(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.start()
    killed = server.running()
    assert killed is not None
    process = psutil.Process(killed.pid)
    process.kill()
    psutil.wait_procs([process], timeout=20)

    def refuse() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(DatabaseUnavailable, match="No space left"):
        patched.setattr(server, "start", refuse)
        server.revive()
    server.start()


def test_a_stale_pid_file_with_the_number_of_a_living_stranger_does_not_block(server: EmbeddedServer) -> None:
    server.start()
    pid_file = server.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    owner = server.data.stat()
    assert server.stop()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    os.chown(pid_file, owner.st_uid, owner.st_gid)
    socket_lock = Path(lines[4]) / f".s.PGSQL.{embedded.PORT}.lock"
    socket_lock.write_text(f"{os.getpid()}\n")
    os.chown(socket_lock, owner.st_uid, owner.st_gid)
    assert server.running() is None
    assert _ask(server.start(), "SELECT 1") == 1


def test_a_server_whose_socket_was_cleaned_away_is_started_again(server: EmbeddedServer) -> None:
    before = server.running()
    assert before is not None
    (before.socket_folder / f".s.PGSQL.{embedded.PORT}").unlink()
    server.start()
    after = server.running()
    assert after is not None
    assert after.reachable
    assert after.pid != before.pid


def test_a_home_deleted_under_its_server_can_be_used_again_at_once(server: EmbeddedServer) -> None:
    before = server.running()
    assert before is not None
    shutil.rmtree(server.folder)
    try:
        server.start()
        after = server.running()
        assert after is not None
        assert after.pid != before.pid
        assert not psutil.pid_exists(before.pid), "or it would take the new socket with it when it notices"
    finally:
        server.start()


def test_a_server_stopped_on_purpose_stays_stopped(server: EmbeddedServer) -> None:
    engine = make_engine(server.start(), server)
    assert server.stop()
    assert not server.stop()
    assert server.revive() is None
    with pytest.raises(DatabaseUnavailable), transaction(engine):
        pass
    assert server.running() is None
    engine.dispose()
    server.start()


def test_a_large_log_is_set_aside_at_the_next_start(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.start()
    server.stop()
    monkeypatch.setattr(embedded, "LOG_LIMIT_BYTES", 10)
    server.start()
    assert server.log.with_suffix(".log.1").stat().st_size > 10
    assert server.log.stat().st_size < 2000


def test_a_start_that_fails_says_why_with_the_log(server: EmbeddedServer) -> None:
    server.stop()
    broken = EmbeddedServer(server.folder.parent, options={"shared_buffers": "nonsense"}, timeout_s=20)
    with pytest.raises(DatabaseUnavailable, match="shared_buffers"):
        broken.start()
    server.start()


def test_nobody_else_gets_near_the_data_or_the_socket(server: EmbeddedServer) -> None:
    running = server.running() or pytest.fail("not running")
    for folder in (server.folder, server.data, running.socket_folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    socket = running.socket_folder / f".s.PGSQL.{embedded.PORT}"
    assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    assert not server.folder.parent.stat().st_mode & stat.S_IRWXO, "the state folder stays closed to others"


def test_a_folder_of_another_user_is_refused_with_advice(server: EmbeddedServer) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user for a moment")
    before = stat.S_IMODE(server.folder.parent.stat().st_mode)
    server.folder.parent.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(DatabaseError, match="PICKTURE_HOME"):
            choose_account(server.folder)
    finally:
        os.seteuid(0)
        server.folder.parent.chmod(before)


def test_closing_the_state_folder_again_does_not_lock_the_server_out(server: EmbeddedServer) -> None:
    server.start()
    server.folder.parent.chmod(0o700)
    assert server.stop()
    server.folder.parent.chmod(0o700)
    assert _ask(server.start(), "SELECT 1") == 1


def test_root_runs_it_as_an_account_without_rights(server: EmbeddedServer) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root hands the server to another account")
    running = server.running() or pytest.fail("not running")
    assert psutil.Process(running.pid).username() == ACCOUNT


def test_an_ordinary_user_runs_it_as_themselves() -> None:
    if os.geteuid() != 0:
        pytest.skip("the other tests have just shown it")
    home = Path(tempfile.mkdtemp(prefix="pickture-ordinary-"))
    os.chown(home, 65534, 65534)
    try:
        done = subprocess.run(
            [sys.executable, "-c", ORDINARY, str(home)],
            cwd=MIGRATIONS.parent, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.stdout == "closed\n":
            pytest.skip("the virtual environment lies in a folder that ordinary users cannot enter")
        assert done.stdout == "42 65534\n", done.stderr
    finally:
        shutil.rmtree(home)


def test_a_home_too_deep_for_a_socket_path_gets_a_private_socket_folder() -> None:
    home = Path(tempfile.mkdtemp(prefix="pickture-deep-")) / ("d" * 60) / ("e" * 60)
    server = EmbeddedServer(home, options={"fsync": "off"})
    try:
        url = server.start()
        folder = Path(str(url.query["host"]))
        assert not folder.is_relative_to(home)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert _ask(url, "SELECT 1") == 1
        assert server.start() == url
    finally:
        server.stop()
        shutil.rmtree(home.parents[1])
    shutil.rmtree(folder)
