"""`manage.py verify_crm` and `rebuild_crm`: they see what is wrong, put it right, and keep what people made."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from contacts.models import Contact, Conversation, Identity, Message
from tests.builders import Desk, moment
from tests.conftest import Cast
from tests.kapso import Kapso
from tests.state import crm_state
from tests.test_corpus import CORPUS
from tests.test_demo import run as run_demo


def run(command: str, *arguments: str) -> str:
    out = io.StringIO()
    try:
        call_command(command, *arguments, stdout=out, stderr=out)
    except CommandError as error:
        out.write(f"FAILED {error}\n")
    return out.getvalue()


@pytest.fixture
def desk(transactional_db: None) -> Desk:
    return Desk.open()


def test_nothing_differs_where_nothing_is_wrong(cast: Cast, kapso: Kapso) -> None:
    for name in CORPUS:
        kapso.post_file(name)
    said = run("verify_crm")
    assert "Lima: no difference.\n" in said, said
    assert "Saopaulo: no difference.\n" in said, said


def edit_as_people_do(user: User) -> dict[int, tuple[Any, ...]]:
    """Names, status, owner, tags, e-mail and score of some leads; returns what is to be kept of every lead."""
    some = list(Contact.objects.living().order_by("pk")[:5])
    for index, lead in enumerate(some):
        Contact.objects.filter(pk=lead.pk).update(
            name=f"Typed {index}", email=f"{index}@example.com", owner=user, tags=["vip"], lead_score=index
        )
        if lead.lead_status == "new":
            lead.change_status("qualified", by=user)
    return typed()


def typed() -> dict[int, tuple[Any, ...]]:
    names = ("name", "email", "owner_id", "tags", "lead_score", "lead_status", "merged_into_id", "created_at")
    return {row[0]: row[1:] for row in Contact.objects.order_by("pk").values_list("pk", *names)}


def ids() -> list[set[int]]:
    return [set(model.objects.values_list("pk", flat=True)) for model in (Contact, Message, Conversation)]


def test_the_demo_is_rebuilt_and_edits_are_kept(transactional_db: None, live_server: Any) -> None:
    user = User.objects.create_superuser("admin")
    run_demo("demo", live_server.url)
    kept = edit_as_people_do(user)
    assert run("verify_crm") == "Demo Store: no difference.\n"
    state = crm_state()
    before = ids()

    leads = list(Contact.objects.living().order_by("pk"))
    wrong_clock, robbed, robber, rewritten, haunted, nameless = leads[5:11]
    Contact.objects.filter(pk=wrong_clock.pk).update(last_activity_at=moment(0), last_inbound_at=None)
    lost = robbed.messages.in_order()[0]
    lost_id = lost.pk
    lost.delete()
    stolen = robbed.messages.in_order()[1]
    thread = robber.conversations.get()
    Message.objects.filter(pk=stolen.pk).update(contact=robber, conversation=thread)
    Message.objects.filter(pk=rewritten.messages.filter(message_type="text")[0].pk).update(
        content="Never said"
    )
    Identity.objects.create(workspace=haunted.workspace, kind="phone", value="4915100000000", contact=haunted)
    Contact.objects.filter(pk=nameless.pk).update(kapso_name="Somebody else")

    said = run("verify_crm")
    assert f"(lead {wrong_clock.pk}):\n" in said
    assert "last activity 2026-06-09 10:13:20 UTC becomes" in said
    assert "last message from the customer (empty) becomes" in said
    assert f"(lead {robbed.pk}):\n  1 message more" in said
    assert f"belongs to {robbed.shown_name} (lead {robbed.pk})" in said
    assert 'content "Never said" becomes' in said
    assert "no stored delivery tells +49 1510 0000000" in said
    assert 'WhatsApp name "Somebody else" becomes' in said
    assert "FAILED 6 leads differ: manage.py rebuild_crm repairs it." in said

    assert "FAILED" not in run("rebuild_crm")
    assert run("verify_crm") == "Demo Store: no difference.\n"
    assert crm_state() == state
    assert typed() == kept
    after = ids()
    assert after[0] == before[0]
    assert after[2] == before[2]
    assert before[1] - after[1] == {lost_id}
