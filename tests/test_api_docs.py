"""docs/api.md: what it says to type works, and its table of problems is the one that the code has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from api import problems, tokens
from contacts.models import Contact, Membership, Note
from tests.builders import RECEIVED, message
from tests.conftest import Cast
from tests.kapso import Kapso
from tests.test_admin import make_user

DOCUMENT = (Path(__file__).resolve().parent.parent / "docs" / "api.md").read_text()


def blocks(language: str) -> str:
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL))


@pytest.fixture
def place(cast: Cast, kapso: Kapso) -> dict[str, str]:
    """What the reader has at hand: where leadcrm runs, and a token. There are leads."""
    for person in range(3):
        told = message(f"w-{person}", person, phone=f"5198765432{person}")
        assert kapso.post(told, event=RECEIVED).status == 200
    user = make_user("ana")
    Membership.objects.create(workspace=cast.workspaces["lima"], user=user, role="manager")
    return os.environ | {"URL": kapso.url, "TOKEN": tokens.issue(user, "quick start", scope="write")[1]}


def run(command: list[str], place: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, env=place, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_commands_of_the_quick_start_work(place: dict[str, str], tmp_path: Path) -> None:
    said = run(["bash", "-euc", blocks("sh")], place, tmp_path)
    assert "id,workspace,phone" in said
    assert "qualified" in (tmp_path / "qualified.csv").read_text().splitlines()[1]
    (note,) = Note.objects.filter(text="From the order form")
    assert Contact.objects.get(pk=note.contact_id).lead_status == "qualified"


def test_the_python_of_the_quick_start_works(place: dict[str, str], tmp_path: Path) -> None:
    said = run([sys.executable, "-c", blocks("python")], place, tmp_path).splitlines()
    leads = Contact.objects.living().filter(workspace__slug="lima").count()
    assert said[0] == f"{leads} leads"
    assert said[1].startswith("412 urn:leadcrm:problem:stale ")
    assert f"'contact': {leads}" in said[2]


def test_the_table_of_problems_is_that_of_the_code() -> None:
    assert problems.as_table().strip() in DOCUMENT
