"""What `manage.py` says when it is not started as it should be: one line, no traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from leadcrm import advice, checks
from leadcrm.local import kept_secret

CHECKOUT = Path(__file__).resolve().parent.parent
NOWHERE = "postgresql://somebody:hush-hush@127.0.0.1:1/leadcrm"
KEY = "a-key-of-fifty-characters-at-least-as-Django-wants-it-0123456789"


def manage(local: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=CHECKOUT,
        env=kept | {"LOCAL_DIR": str(local / "local")} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def refusal(local: Path, *arguments: str, **environment: str) -> str:
    """What it says on standard error: a single line, with a failure."""
    ended = manage(local, *arguments, **environment)
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    return ended.stderr


def test_run_names_another_port_when_its_own_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert f"PORT={port + 1} make run" in refusal(tmp_path, "run", PORT=str(port))
    assert not (tmp_path / "local" / "postgres").exists()


def test_serve_asks_for_a_database(tmp_path: Path) -> None:
    assert "Set DATABASE_URL" in refusal(tmp_path, "serve")


def test_serve_says_that_the_database_cannot_be_reached(tmp_path: Path) -> None:
    said = refusal(tmp_path, "serve", DATABASE_URL=NOWHERE, SECRET_KEY=KEY)
    assert "the database cannot be reached" in said
    assert "hush-hush" not in said


@pytest.mark.parametrize("command", ["check", "run", "serve"])
def test_production_asks_for_a_secret_key(tmp_path: Path, command: str) -> None:
    assert "Set SECRET_KEY" in refusal(tmp_path, command, DATABASE_URL=NOWHERE)


@pytest.mark.parametrize("name", ["DEBUG", "HTTPS", "PORT"])
def test_an_invalid_value_is_named(tmp_path: Path, name: str) -> None:
    assert f'Environment variable "{name}" invalid' in refusal(tmp_path, "check", **{name: "perhaps"})


def test_a_port_out_of_range_is_refused(tmp_path: Path) -> None:
    assert "PORT is 99999" in manage(tmp_path, "check", PORT="99999").stderr


def test_the_deploy_check_refuses_short_encryption_keys(tmp_path: Path) -> None:
    environment = {"DATABASE_URL": NOWHERE, "SECRET_KEY": KEY, "ENCRYPTION_KEYS": f"{KEY},short"}
    ended = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING", **environment)
    assert ended.returncode == 1
    assert "key 2 is shorter" in ended.stderr


def test_the_deploy_check_lets_a_good_environment_pass(tmp_path: Path) -> None:
    environment = {"DATABASE_URL": NOWHERE, "SECRET_KEY": KEY}
    ended = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING", **environment)
    assert ended.returncode == 0, ended.stderr
    assert "ALLOWED_HOSTS names this machine only" in ended.stderr


def test_a_full_disk_is_named() -> None:
    said = advice.advice_on(OSError(28, "No space left on device", "/somewhere"))
    assert said == "The disk is full (/somewhere): make room and try again."


def test_a_bug_keeps_its_traceback() -> None:
    assert advice.advice_on(ValueError("a bug")) is None


def test_a_kept_secret_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "secret"
    assert kept_secret(path) == kept_secret(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["secret"]


def test_without_any_secret_no_webhook_can_be_trusted(db: None, settings: object) -> None:
    settings.KAPSO_WEBHOOK_SECRETS = []  # type: ignore[attr-defined]
    assert checks.without_any_secret().startswith("Set KAPSO_WEBHOOK_SECRET")
    settings.KAPSO_WEBHOOK_SECRETS = ["one"]  # type: ignore[attr-defined]
    assert checks.without_any_secret() == ""
