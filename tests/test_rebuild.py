"""The CRM is derived: emptied and replayed from the stored deliveries, it is what live traffic made of it."""

from __future__ import annotations

from difflib import unified_diff
from pprint import pformat
from random import Random
from typing import Any

import pytest
from django.db import connection

from contacts.models import Contact, Message, PhoneNumber, Workspace
from kapso_sync.models import WebhookDelivery
from kapso_sync.replaying import BATCH_SIZE, replay_in_batches
from tests.conftest import Cast, make_people
from tests.kapso import Kapso
from tests.state import crm_state
from tests.test_corpus import CORPUS

CRM_TABLES = [
    "contacts_message",
    "contacts_messagereceipt",
    "contacts_automationevent",
    "contacts_kapsosession",
    "contacts_conversation",
    "contacts_profilefact",
    "contacts_identitylink",
    "contacts_identity",
    "contacts_statuschange",
    "contacts_leadchange",
    "contacts_note",
    "contacts_followup",
    "contacts_notification",
    "contacts_contactmerge",
    "contacts_mergedismissal",
    "contacts_importrow",
    "contacts_contact",
]


def empty_the_crm() -> None:
    """Workspaces, numbers and deliveries stay; CASCADE is left out, so that nothing else goes unnoticed."""
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(CRM_TABLES)}")


def people_of_the_cast() -> None:
    """The rows of fixtures.json that were typed in by hand, as `make_cast` makes them."""
    workspaces = {workspace.slug: workspace for workspace in Workspace.objects.all()}
    numbers = {number.workspace.slug: number for number in PhoneNumber.objects.select_related("workspace")}
    make_people(Cast(workspaces, numbers))


def difference(one: Any, other: Any) -> str:
    return "\n".join(
        unified_diff(pformat(one, width=200).split("\n"), pformat(other, width=200).split("\n"), n=6)
    )


def test_the_helper_makes_what_the_cast_has(cast: Cast) -> None:
    as_made = crm_state()
    empty_the_crm()
    assert Contact.objects.count() == Message.objects.count() == 0
    people_of_the_cast()
    assert crm_state() == as_made


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.prove)])
def test_replaying_all_into_empty_tables_ends_like_live(cast: Cast, kapso: Kapso, seed: int) -> None:
    for name in Random(seed).sample(CORPUS, len(CORPUS)):  # noqa: S311 - an order, not a secret
        answer = kapso.post_file(name)
        assert (answer.status, answer.delivery.status) in {
            (200, s) for s in ("processed", "ignored", "unroutable")
        }
    # Of seq-duplicate two files are one delivery.
    assert WebhookDelivery.objects.count() == len(CORPUS) - 1
    live = crm_state()
    assert len(live) > 15

    for size in (BATCH_SIZE, 7):
        empty_the_crm()
        people_of_the_cast()
        outcomes = replay_in_batches(WebhookDelivery.objects.all(), size=size)
        assert outcomes.keys() == {"processed", "ignored", "unroutable"}
        assert not difference(live, crm_state())
