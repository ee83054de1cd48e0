"""Notifications by e-mail: when, to whom, once, and with nothing in it that strangers could use."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from smtplib import SMTPDataError, SMTPServerDisconnected
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.locmem import EmailBackend
from django.db import connection
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone
from procrastinate.contrib.django import app

from contacts import digests, notifying, tasks
from contacts.models import Contact, FollowUp, Membership, Note, Notification, Preferences, Workspace
from kapso_sync.tasks import tell_of_silence_by_now
from leadcrm import settings as site

MORNING = datetime(2026, 6, 10, 13, 5, tzinfo=UTC)  # five past eight in Lima


class Failing(EmailBackend):
    """Fails as a mail server does, as long as it is told to."""

    error: Exception | None = None
    when_opened = False

    def open(self) -> bool:
        if Failing.error and Failing.when_opened:
            raise Failing.error
        return True

    def send_messages(self, messages: Any) -> int:
        if Failing.error:
            raise Failing.error
        return super().send_messages(messages)


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    with override_settings(CAN_MAIL=True, SITE_URL="https://crm.example.com"):
        yield


@pytest.fixture
def lima(db: None) -> Workspace:
    return Workspace.objects.create(name="Lima", slug="lima", time_zone="America/Lima")


@pytest.fixture
def ana(lima: Workspace) -> User:
    return member(lima, "ana")


def member(workspace: Workspace, name: str, digest: str = "at_once", **fields: Any) -> User:
    user = User.objects.create_user(name, f"{name}@example.com", is_staff=True)
    Membership.objects.create(workspace=workspace, user=user)
    Preferences.objects.create(user=user, digest=digest, **fields)
    return user


def tell(user: User, name: str = "Maria", at: datetime = MORNING) -> Contact:
    """A lead was assigned to the user, a moment before `at`."""
    workspace = user.workspaces.get()
    lead = Contact.objects.create(workspace=workspace, name=name, owner=user)
    notifying.lead_assigned(lead, by=None)
    Notification.objects.filter(contact=lead).update(at=at - timedelta(minutes=1))
    return lead


def only_mail() -> EmailMultiAlternatives:
    (sent,) = mail.outbox
    assert isinstance(sent, EmailMultiAlternatives)
    return sent


def html_of(sent: EmailMultiAlternatives) -> str:
    return str(sent.alternatives[0][0])


def test_it_works(ana: User, client: Client) -> None:
    lead = tell(ana)
    assert digests.send_due(MORNING) == 1
    sent = only_mail()
    assert (sent.to, sent.subject) == (["ana@example.com"], "1 thing to know in leadcrm")
    link = reverse("notification", args=[Notification.objects.get().pk])
    page = f"https://crm.example.com{link}"
    assert "\u2068Maria\u2069 is yours now: given to you in turn." in str(sent.body)
    assert page in str(sent.body)
    assert f'href="{page}"' in html_of(sent)
    assert Notification.objects.get().mailed_at == MORNING
    client.force_login(ana)
    assert client.get(link).headers["Location"] == reverse("admin:contacts_contact_change", args=[lead.pk])
    assert Notification.objects.get().read_at is not None


# When


def test_nothing_is_sent_twice(ana: User) -> None:
    tell(ana)
    assert [digests.send_due(MORNING + timedelta(minutes=n)) for n in range(3)] == [1, 0, 0]
    tell(ana, "Jose")
    assert digests.send_due(MORNING + timedelta(minutes=9)) == 1
    assert "Maria" not in str(mail.outbox[1].body)


@pytest.mark.parametrize(
    ("hour", "is_sent"), [(12, False), (13, True), (16, True), (17, False)], ids=["7", "8", "11", "noon"]
)
def test_once_a_day_is_in_the_morning_of_the_workspace(lima: Workspace, hour: int, is_sent: bool) -> None:
    now = MORNING.replace(hour=hour, minute=59)
    tell(member(lima, "ana", "daily"), at=now)
    assert digests.send_due(now) == is_sent


def test_or_of_the_persons_own_zone(lima: Workspace) -> None:
    now = datetime(2026, 6, 9, 23, 30, tzinfo=UTC)  # half past eight in Tokyo, the evening before in Lima
    tell(member(lima, "ana", "daily", time_zone="Asia/Tokyo"), at=now)
    assert digests.send_due(now) == 1


def test_what_comes_after_the_morning_waits_for_the_next(lima: Workspace) -> None:
    ana = member(lima, "ana", "daily")
    assert digests.send_due(MORNING) == 0
    tell(ana, at=MORNING + timedelta(minutes=30))
    assert digests.send_due(MORNING + timedelta(hours=1)) == 0
    assert digests.send_due(MORNING + timedelta(days=1)) == 1


def test_a_week_of_mornings_is_a_mail_a_day(lima: Workspace) -> None:
    ana = member(lima, "ana", "daily")
    for day in range(7):
        now = MORNING + timedelta(days=day)
        tell(ana, f"Lead {day}", at=now)
        for minutes in range(0, 24 * 60, 180):
            digests.send_due(now + timedelta(minutes=minutes))
    assert len(mail.outbox) == 7


@pytest.mark.parametrize(
    "why", ["off", "read", "old", "no address", "inactive", "no server", "no preferences"]
)
def test_who_is_not_to_be_mailed_is_not(ana: User, why: str) -> None:
    tell(ana, at=MORNING - timedelta(days=4) if why == "old" else MORNING)
    if why == "off":
        Preferences.objects.update(digest="off")
    if why == "no preferences":
        Preferences.objects.all().delete()
    if why == "read":
        Notification.objects.update(read_at=MORNING)
    User.objects.update(is_active=why != "inactive")
    if why == "no address":
        User.objects.update(email="")
    with override_settings(CAN_MAIL=why != "no server"):
        assert digests.send_due(MORNING) == 0
    assert (mail.outbox, Notification.objects.get().mailed_at) == ([], None)


def test_many_people_take_the_same_look(lima: Workspace, django_assert_num_queries: Any) -> None:
    for n in range(20):
        member(lima, f"user{n}", "daily")
    with django_assert_num_queries(1):
        digests.send_due(MORNING.replace(hour=3))


# What it says


def test_each_kind_is_told(ana: User, lima: Workspace) -> None:
    ben = User.objects.create_user("ben", first_name="Ben", last_name="Ortiz")
    lead = Contact.objects.create(workspace=lima, name="Maria", owner=ana)
    notifying.lead_assigned(lead, by=ben)
    notifying.mentioned(Note.objects.create(workspace=lima, contact=lead, text="@ana call her", by=ben))
    FollowUp.objects.create(workspace=lima, contact=lead, due_at=MORNING, remark="price list", by=ana)
    notifying.follow_ups_due(MORNING)
    Notification.objects.update(at=MORNING)
    digests.send_due(MORNING)
    body = str(only_mail().body).replace("\u2068", "").replace("\u2069", "")
    assert only_mail().subject == "3 things to know in leadcrm"
    assert "Ben Ortiz assigned Maria to you." in body
    assert "Ben Ortiz mentioned you in a note on Maria.\n@ana call her" in body.replace("@\u200b", "@")
    assert "Follow up on Maria, due 10 Jun, 08:05.\nprice list" in body


def test_what_is_past_is_no_news(ana: User, lima: Workspace) -> None:
    lead = tell(ana)
    Contact.objects.filter(pk=lead.pk).update(owner=None)
    ben = User.objects.create_user("ben")
    note = Note.objects.create(workspace=lima, contact=lead, text="@ana", by=ben)
    notifying.mentioned(note)
    note.delete()
    Notification.objects.update(at=MORNING)
    assert (digests.send_due(MORNING), mail.outbox) == (0, [])


def test_a_lead_that_the_person_does_not_see_any_more_is_not_named(ana: User, lima: Workspace) -> None:
    tell(ana, "Secret Maria")
    Membership.objects.filter(user=ana).delete()
    tell_again = Workspace.objects.create(name="Other", slug="other")
    Membership.objects.create(workspace=tell_again, user=ana)
    tell(ana, "Jose")
    digests.send_due(MORNING)
    assert "Jose" in str(only_mail().body)
    assert "Secret" not in str(only_mail().message())


def test_the_rest_of_very_many_is_counted(ana: User) -> None:
    for n in range(digests.MOST_TOLD + 10):
        tell(ana, f"Lead {n}")
    digests.send_due(MORNING)
    assert only_mail().subject == "60 things to know in leadcrm"
    assert "And 10 more." in str(only_mail().body)


def test_it_leads_to_where_it_is_turned_off(ana: User) -> None:
    tell(ana)
    digests.send_due(MORNING)
    assert "Fewer of these mails, or none: https://crm.example.com/admin/preferences/" in str(
        only_mail().body
    )


HOSTILE = [
    "<script>alert(1)</script>",
    "Maria\r\nBcc: everybody@example.com",
    "\u202eevil\u2066\u2069",
    "https://evil.example/login",
    "x" * 255,
]


@pytest.mark.parametrize("name", HOSTILE, ids=["html", "header", "turned", "link", "long"])
def test_a_hostile_name_is_inert(ana: User, name: str) -> None:
    tell(ana, name)
    digests.send_due(MORNING)
    sent = only_mail()
    message = sent.message()
    assert message.keys().count("Bcc") == 0
    assert (sent.to, sent.bcc, message["Subject"]) == (["ana@example.com"], [], "1 thing to know in leadcrm")
    body, html = str(sent.body), html_of(sent)
    assert "<script" not in html
    assert not set("\u202e\u2066\u2067") & set(body + html)
    assert body.count("\u2068") == body.count("\u2069") == 1
    assert "evil.example" not in body + html
    assert max(map(len, body.splitlines())) < 200


@pytest.mark.parametrize("address", ["ana@example.com\nBcc: all@example.com", "no address", "a@b@c"])
def test_an_address_that_is_none_gets_nothing_and_stops_nobody(
    ana: User, lima: Workspace, address: str
) -> None:
    tell(ana)
    User.objects.filter(pk=ana.pk).update(email=address)
    ben = member(lima, "ben")
    tell(ben)
    assert digests.send_due(MORNING) == 1
    assert only_mail().to == ["ben@example.com"]


# When it fails


@pytest.fixture
def failing(settings: Any) -> Iterator[type[Failing]]:
    settings.EMAIL_BACKEND = "tests.test_digests.Failing"
    yield Failing
    Failing.error, Failing.when_opened = None, False


@pytest.mark.parametrize(
    ("error", "when_opened"),
    [(SMTPDataError(451, b"later"), False), (ConnectionRefusedError(), True), (TimeoutError(), True)],
    ids=["refused", "down", "timeout"],
)
def test_a_mail_that_certainly_did_not_leave_is_tried_again(
    ana: User, failing: type[Failing], error: Exception, when_opened: bool
) -> None:
    tell(ana)
    failing.error, failing.when_opened = error, when_opened
    assert digests.send_due(MORNING) == 0
    assert Notification.objects.get().mailed_at is None
    failing.error = None
    assert digests.send_due(MORNING + timedelta(minutes=1)) == 0  # the pause is not over
    assert digests.send_due(MORNING + timedelta(minutes=2)) == 1
    assert Preferences.objects.get().mail_failures == 0


def test_the_pauses_grow(ana: User, failing: type[Failing]) -> None:
    tell(ana)
    failing.error = SMTPDataError(550, b"no")
    now, pauses = MORNING, []
    for _ in range(4):
        digests.send_due(now)
        until = Preferences.objects.get().mail_not_before
        assert until is not None
        pauses.append((until - now) // timedelta(minutes=1))
        now = until
    assert pauses == [2, 4, 8, 16]


def test_a_daily_mail_that_failed_is_tried_again_in_the_same_morning(
    lima: Workspace, failing: type[Failing]
) -> None:
    tell(member(lima, "ana", "daily"))
    failing.error = SMTPDataError(451, b"later")
    digests.send_due(MORNING)
    failing.error = None
    assert digests.send_due(MORNING + timedelta(minutes=5)) == 1


def test_a_mail_that_may_have_left_is_not_sent_again(ana: User, failing: type[Failing]) -> None:
    tell(ana)
    failing.error = SMTPServerDisconnected("in the middle")
    assert digests.send_due(MORNING) == 0
    failing.error = None
    assert digests.send_due(MORNING + timedelta(hours=1)) == 0
    assert Notification.objects.get().mailed_at == MORNING


@pytest.mark.django_db(transaction=True)
def test_five_workers_at_once_send_it_once() -> None:
    lima = Workspace.objects.create(name="Lima", slug="lima", time_zone="America/Lima")
    tell(member(lima, "ana"))
    tell(member(lima, "ben", "daily"))

    def send(_: int) -> int:
        try:
            return digests.send_due(MORNING)
        finally:
            connection.close()

    with ThreadPoolExecutor(5) as pool:
        assert sum(pool.map(send, range(10))) == 2
    assert sorted(sent.to[0] for sent in mail.outbox) == ["ana@example.com", "ben@example.com"]


def test_it_is_written_in_the_persons_language(ana: User) -> None:
    Preferences.objects.update(language="es")
    tell(ana)
    digests.send_due(MORNING)
    assert '<html lang="es">' in html_of(only_mail())


# Where links lead


@pytest.mark.parametrize(
    ("told", "hosts", "trying_out", "url"),
    [
        ("https://crm.example.com/", ["localhost"], True, "https://crm.example.com"),
        ("", [".example.com", "crm.example.com"], False, "https://crm.example.com"),
        ("", ["crm.example.com"], True, "http://127.0.0.1:8000"),
        ("", ["*"], False, "http://127.0.0.1:8000"),
    ],
)
def test_links_lead_to_the_site(
    monkeypatch: pytest.MonkeyPatch, told: str, hosts: list[str], trying_out: bool, url: str
) -> None:
    if told:
        monkeypatch.setenv("SITE_URL", told)
    monkeypatch.setattr(site, "ALLOWED_HOSTS", hosts)
    monkeypatch.setattr(site, "TRYING_OUT", trying_out)
    monkeypatch.setattr(site, "HTTPS", not trying_out)
    assert site.site_url() == url


# In the background


def test_a_worker_finds_what_is_to_be_done_again_and_again() -> None:
    names = {periodic.task.name for periodic in app.periodic_registry.periodic_tasks.values()}
    assert {
        "contacts.tasks.give_out_in_turn",
        "contacts.tasks.tell_people",
        "contacts.tasks.forget_old_notifications",
        "kapso_sync.tasks.tell_of_silence_by_now",
    } <= names


def test_a_turn_in_the_background_tells_of_follow_ups_first(ana: User, lima: Workspace) -> None:
    lead = Contact.objects.create(workspace=lima, name="Maria", owner=ana)
    FollowUp.objects.create(workspace=lima, contact=lead, due_at=timezone.now(), by=ana)
    tasks.tell_people(0)
    assert "Follow up on \u2068Maria\u2069" in str(only_mail().body)


def test_the_other_turns_come_to_an_end(ana: User) -> None:
    tasks.give_out_in_turn(0)
    tasks.forget_old_notifications(0)
    tell_of_silence_by_now(0)
    assert (mail.outbox, Notification.objects.count()) == ([], 0)
