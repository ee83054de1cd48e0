"""An open page of a lead learns of new messages."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from contacts.models import Contact, Membership, Message
from tests.conftest import Cast, make_cast
from tests.test_admin import AT, make_lead, make_user, page_of, say

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def ana(cast: Cast) -> User:
    user = make_user("ana")
    Membership.objects.create(workspace=cast.workspaces["lima"], user=user, role="manager")
    return user


@pytest.fixture
def desk(ana: User) -> Client:
    client = Client()
    client.force_login(ana)
    return client


@pytest.fixture
def lead(cast: Cast) -> Contact:
    lead = make_lead(cast.workspaces["lima"], "Maria", phone="51987654321")
    say(lead, "first", kapso_message_id="w-1")
    return lead


def live(lead: Contact) -> str:
    return reverse("admin:contacts_contact_talk", args=[lead.pk])


def seen_by(client: Client, lead: Contact) -> str:
    found = re.search(r'data-seen="(\w+)"', client.get(page_of(lead)).content.decode())
    assert found
    return found[1]


def ask(client: Client, lead: Contact, seen: str) -> Answer:
    return client.get(live(lead), headers={"X-Seen": seen})


def test_no_news_takes_two_statements(desk: Client, lead: Contact) -> None:
    for index in range(60):
        say(lead, f"more {index}", sent_at=AT + timedelta(minutes=index))
    seen = seen_by(desk, lead)
    with CaptureQueriesContext(connection) as captured:
        answer = ask(desk, lead, seen)
    assert (answer.status_code, answer.content) == (204, b"")
    assert len(captured) <= 2
    assert "no-store" in answer.headers["Cache-Control"]


def test_a_new_message_is_brought_and_read(desk: Client, lead: Contact) -> None:
    seen = seen_by(desk, lead)
    later = AT + timedelta(hours=1)
    say(lead, "second", sent_at=later)
    Contact.objects.filter(pk=lead.pk).update(last_inbound_at=later, last_activity_at=later)
    answer = ask(desk, lead, seen)
    assert answer.status_code == 200
    assert b"first" in answer.content
    assert b"second" in answer.content
    assert Contact.objects.get(pk=lead.pk).read_at == later
    assert ask(desk, lead, answer.headers["X-Seen"]).status_code == 204


def test_a_tick_is_news(desk: Client, lead: Contact) -> None:
    ours = say(lead, "ours", direction="outbound", status="sent", sent_at=AT + timedelta(hours=1))
    seen = seen_by(desk, lead)
    Message.objects.filter(pk=ours.pk).update(status="read")
    assert b"done_all" in ask(desk, lead, seen).content


def test_a_viewer_sees_news_and_reads_nothing_for_the_team(cast: Cast, lead: Contact) -> None:
    viewer = make_user("vera")
    Membership.objects.create(workspace=cast.workspaces["lima"], user=viewer, role="viewer")
    client = Client()
    client.force_login(viewer)
    Contact.objects.filter(pk=lead.pk).update(last_inbound_at=AT)
    assert ask(client, lead, "old").status_code == 200
    assert Contact.objects.get(pk=lead.pk).read_at is None


def test_a_lead_without_messages_has_no_news_either(desk: Client, cast: Cast) -> None:
    silent = make_lead(cast.workspaces["lima"], "Silent", phone="51911111111")
    seen = seen_by(desk, silent)
    with CaptureQueriesContext(connection) as captured:
        assert ask(desk, silent, seen).status_code == 204
    assert len(captured) <= 2


@pytest.mark.parametrize("seen", ["", "old"])
def test_whether_others_leads_have_messages_is_not_told(cast: Cast, seen: str) -> None:
    silent = make_lead(cast.workspaces["lima"], "Silent", phone="51911111111")
    stranger = make_user("sam")
    Membership.objects.create(workspace=cast.workspaces["saopaulo"], user=stranger, role="owner")
    client = Client()
    client.force_login(stranger)
    assert ask(client, silent, seen).status_code == 404


def test_a_lead_that_went_to_a_colleague_is_not_found_any_more(cast: Cast, ana: User, lead: Contact) -> None:
    lima = cast.workspaces["lima"]
    lima.agents_see_all = False
    lima.save()
    agent = make_user("abel")
    Membership.objects.create(workspace=lima, user=agent, role="agent")
    client = Client()
    client.force_login(agent)
    seen = seen_by(client, lead)
    Contact.objects.filter(pk=lead.pk).update(owner=ana)
    assert ask(client, lead, seen).status_code == 404


def test_a_lead_that_was_merged_is_not_found_any_more(desk: Client, cast: Cast, lead: Contact) -> None:
    seen = seen_by(desk, lead)
    survivor = make_lead(cast.workspaces["lima"], "Survivor", phone="51922222222")
    Contact.objects.filter(pk=lead.pk).update(merged_into=survivor, phone=None)
    assert ask(desk, lead, seen).status_code == 404


def test_a_stranger_finds_nothing(cast: Cast, lead: Contact) -> None:
    stranger = make_user("sam")
    Membership.objects.create(workspace=cast.workspaces["saopaulo"], user=stranger, role="owner")
    client = Client()
    client.force_login(stranger)
    assert ask(client, lead, "old").status_code == 404
    assert client.get(live(lead)).status_code == 404


def test_whoever_is_logged_out_is_sent_to_log_in(lead: Contact) -> None:
    assert ask(Client(), lead, "old").status_code == 302
