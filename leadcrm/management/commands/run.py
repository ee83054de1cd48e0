"""leadcrm for trying out: everything it needs is made, a demo is played, and Ctrl-C leaves nothing running."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand
from django.db import OperationalError, connection, connections

from leadcrm import webserver
from leadcrm.advice import unreachable
from leadcrm.embedded import server as embedded
from leadcrm.local import kept_secret
from leadcrm.management.commands.work import WORKER

ADMIN = "admin"
ANSWER_SECONDS = 60
STOP_SECONDS = 15


class Command(BaseCommand):
    help = "Try leadcrm out on 127.0.0.1:PORT: database, admin login and demo included. Ctrl-C ends it all."

    def handle(self, *_: Any, **__: Any) -> None:
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, signal.default_int_handler)  # all end as Ctrl-C does
        try:
            self._run()
        except KeyboardInterrupt:
            self.stdout.write("\nleadcrm has stopped; its data are kept.")
        finally:
            _ignore_terminations()
            connections.close_all()
            embedded.leave(settings.LOCAL_DIR)

    def _run(self) -> None:
        _check_port_is_free()
        self.stdout.write("Preparing the database ...")
        try:
            connection.ensure_connection()
        except OperationalError as error:
            raise CommandError(unreachable(error)) from error
        call_command("migrate", interactive=False, verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        password = _admin_password()
        with _running(webserver.command("--log-level", "warning")) as process, _running(WORKER):
            _wait_until_it_answers(process)
            self._play_the_demo()
            self.stdout.write(_welcome(password))
            self.stdout.flush()
            status = process.wait()
        raise CommandError(_ended(f"The web server ended by itself (status {status})."))

    def _play_the_demo(self) -> None:
        from contacts.models import Workspace

        if not Workspace.objects.exists():
            self.stdout.write("Playing the demo ...")
            call_command("demo", url=_url())


def _url() -> str:
    return f"http://127.0.0.1:{settings.PORT}"


def _check_port_is_free() -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", settings.PORT))
        except OSError as error:
            other = settings.PORT + 1 if 1024 <= settings.PORT < 65535 else 8001
            text = f"Port {settings.PORT} cannot be used ({error.strerror}). Choose another: PORT={other} make run"
            raise CommandError(text) from error


def _admin_password() -> str:
    """The password of the admin login, made with it; what to say instead if somebody has changed it."""
    users = get_user_model().objects
    login = settings.LOCAL_DIR / "login"
    admin = users.filter(username=ADMIN).first()
    if admin is None:
        password = kept_secret(login, length=12)
        users.create_superuser(ADMIN, password=password)
        return password
    if login.exists() and admin.check_password(login.read_text()):
        return login.read_text()
    return "(the one you have set; a new one: .venv/bin/python manage.py changepassword admin)"


@contextlib.contextmanager
def _running(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """The web server, or the worker, in a process group of its own, none of which is left afterwards."""
    # Over plain HTTP, also where DATABASE_URL makes this look like production: this is loopback.
    env = {"HTTPS": "off"} | os.environ
    with _log().open("a") as log:
        process = subprocess.Popen(  # noqa: S603
            command,
            cwd=settings.BASE_DIR,
            env=env,
            start_new_session=True,  # Ctrl-C comes to us alone, and we pass it on once
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        _ignore_terminations()
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _end_with_parent() -> None:
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _ignore_terminations() -> None:
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)


def _wait_until_it_answers(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        client = http.client.HTTPConnection("127.0.0.1", settings.PORT, timeout=ANSWER_SECONDS)
        with contextlib.closing(client), contextlib.suppress(OSError, http.client.HTTPException):
            client.request("GET", "/admin/login/")
            client.getresponse()
            return
        time.sleep(0.1)
    raise CommandError(_ended("The web server did not start."))


def _log() -> Path:
    return Path(settings.LOCAL_DIR / "server.log")


def _ended(summary: str) -> str:
    last = _log().read_text(errors="replace").splitlines()[-12:]
    return "\n  ".join([f"{summary} The end of {_log()}:", *last])


def _welcome(password: str) -> str:
    secret = next(iter(settings.KAPSO_WEBHOOK_SECRETS), "(KAPSO_WEBHOOK_SECRET is not set)")
    port = "" if settings.PORT == 8000 else f"PORT={settings.PORT} "
    return f"""
leadcrm is running. Ctrl-C stops it; `make run` goes on where it was.

  Admin           {_url()}/admin/
  Login           {ADMIN}
  Password        {password}

  Webhook URL     {_url()}/webhooks/kapso/
  Webhook secret  {secret}

  Log             {_log()}

  A signed sample, from another terminal; its sender is then the first lead of the list:

    {port}.venv/bin/python manage.py send_sample
"""
