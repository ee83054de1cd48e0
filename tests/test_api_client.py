"""A client that a public generator makes of the schema works leads: openapi-python-client, against the running server."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from api import tokens
from contacts.models import Contact, Membership, Note
from tests.builders import RECEIVED, message
from tests.conftest import Cast
from tests.kapso import Kapso
from tests.test_admin import make_user

PACKAGE = "generated_client"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The generated package, to be imported by its name."""
    folder: Path = tmp_path_factory.mktemp("client")
    schema, config = folder / "schema.yaml", folder / "config.yaml"
    call_command("spectacular", file=str(schema))
    config.write_text("post_hooks: []\n")
    made = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--path", str(schema)),
            *(
                "--output-path",
                str(folder / PACKAGE),
                "--config",
                str(config),
                "--meta",
                "none",
                "--fail-on-warning",
            ),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield PACKAGE


def part(package: str, name: str) -> Any:
    return importlib.import_module(f"{package}.{name}")


def test_a_generated_client_lists_filters_and_changes_leads(package: str, cast: Cast, kapso: Kapso) -> None:
    for person in range(3):
        kapso.post(message(f"w-{person}", person, phone=f"5198765432{person}", text="Hola"), event=RECEIVED)
    user = make_user("ana")
    Membership.objects.create(workspace=cast.workspaces["lima"], user=user, role="manager")
    token = tokens.issue(user, "generated", scope="write")[1]
    with part(package, "client").AuthenticatedClient(base_url=kapso.url, token=token) as client:
        contacts = {
            name: part(package, f"api.contacts.contacts_{name}")
            for name in ("list", "transition", "note", "update", "retrieve")
        }
        models = part(package, "models")
        page = contacts["list"].sync(client=client, search="51987654320")
        (found,) = page.results
        lead = Contact.objects.get(pk=found.id)
        assert (found.phone, found.lead_status) == ("51987654320", models.LeadStatus.NEW)

        moved = contacts["transition"].sync(
            found.id,
            client=client,
            body=models.Transition(to=models.LeadStatus.QUALIFIED),
            idempotency_key="k-1",
        )
        assert moved.lead_status == models.LeadStatus.QUALIFIED
        contacts["note"].sync(found.id, client=client, body=models.NoteText(text="By a program"))
        refused = contacts["transition"].sync(
            found.id, client=client, body=models.Transition(to=models.LeadStatus.CONVERTED)
        )
        assert (refused.status, refused.type_.rpartition(":")[2]) == (409, "transition-refused")

        qualified = contacts["list"].sync(client=client, status=models.ContactsListStatus.QUALIFIED)
        assert [row.id for row in qualified.results] == [lead.pk]
    lead.refresh_from_db()
    assert (lead.lead_status, Note.objects.get(contact=lead).text) == ("qualified", "By a program")
