"""The first steps of an installation, against a server that is posted to over real HTTP."""

from __future__ import annotations

import html as escapes
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from contacts.models import Membership, PhoneNumber, Role, Workspace
from kapso_sync.models import AnswerCount, WebhookDelivery
from kapso_sync.tallies import Tallies
from tests.builders import LIMA, SAOPAULO, Desk, message
from tests.kapso import Kapso

WELCOME = "/admin/welcome/"
RECEIVED = "whatsapp.message.received"


@pytest.fixture(autouse=True)
def counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that other tests counted and did not write."""
    fresh = Tallies()
    for module in ("kapso_sync.counting", "kapso_sync.tallies", "leadcrm.onboarding"):
        monkeypatch.setattr(f"{module}.tallies", fresh)


@pytest.fixture
def boss(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


@pytest.fixture
def live_boss(transactional_db: None, live_server: Any) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def text_of(client: Client, url: str, **posted: Any) -> str:
    response = client.post(url, posted) if posted else client.get(url)
    assert response.status_code == 200, response
    return escapes.unescape(response.content.decode())


def make_number(secret: str = "") -> PhoneNumber:
    workspace = Workspace.objects.create(name="Lima", slug="lima")
    return PhoneNumber.objects.create(
        workspace=workspace,
        phone_number_id=LIMA,
        display_phone_number="+51 1 555 0142",
        webhook_secret=secret,
    )


def step_of(number: PhoneNumber, step: str) -> str:
    return f"{WELCOME}{number.pk}/{step}/"


def done(page: str) -> list[bool]:
    return [
        "is-done" in attributes
        for attributes in re.findall(r'<li class="([^"]*)"', page.split('<ol class="steps"')[1])
    ][:4]


# From step to step


def test_it_goes_on_where_it_was_left(boss: Client) -> None:
    assert boss.get(WELCOME)["Location"] == f"{WELCOME}workspace/"
    workspace = Workspace.objects.create(name="Lima", slug="lima")
    assert boss.get(WELCOME)["Location"] == f"{WELCOME}number/"
    number = PhoneNumber.objects.create(workspace=workspace, phone_number_id=LIMA)
    assert boss.get(WELCOME)["Location"] == step_of(number, "webhook")
    number.webhook_secret = "a secret"
    number.save(update_fields=["webhook_secret"])
    assert boss.get(WELCOME)["Location"] == step_of(number, "waiting")
    Desk(numbers={LIMA: number}).told(message("a"))
    assert "All set up" in text_of(boss, WELCOME)


def test_the_start_page_has_a_checklist_until_it_is_done(boss: Client) -> None:
    assert done(text_of(boss, "/admin/")) == [False] * 4
    number = make_number()
    assert done(text_of(boss, "/admin/")) == [True, True, False, False]
    Desk(numbers={LIMA: number}).told(message("a"))
    assert 'id="first-steps"' not in text_of(boss, "/admin/")


def test_the_checklist_costs_one_statement_when_it_is_done(boss: Client) -> None:
    Desk.open().told(message("a"))
    with CaptureQueriesContext(connection) as captured:
        boss.get("/admin/")
    looked = [
        query["sql"] for query in captured if 'FROM "contacts_phonenumber" WHERE EXISTS' in query["sql"]
    ]
    assert len(looked) == 1


def test_who_creates_the_workspace_owns_it(boss: Client) -> None:
    response = boss.post(f"{WELCOME}workspace/", {"name": "Tienda Lima", "time_zone": "America/Lima"})
    assert response["Location"] == f"{WELCOME}number/"
    (member,) = Membership.objects.select_related("workspace")
    assert (member.user.username, member.role) == ("boss", Role.OWNER)
    workspace = member.workspace
    assert (workspace.name, workspace.slug, workspace.time_zone) == (
        "Tienda Lima",
        "tienda-lima",
        "America/Lima",
    )


def test_two_teams_of_one_name_are_two_workspaces(boss: Client) -> None:
    for _ in range(3):
        boss.post(f"{WELCOME}workspace/", {"name": "¡Ñandú!", "time_zone": "UTC"})
    boss.post(f"{WELCOME}workspace/", {"name": "日本", "time_zone": "UTC"})
    slugs = set(Workspace.objects.values_list("slug", flat=True))
    assert slugs == {"nandu", "nandu-2", "nandu-3", "workspace"}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"name": "", "time_zone": "UTC"}, "This field is required."),
        ({"name": "x" * 300, "time_zone": "UTC"}, "at most 255 characters"),
        ({"name": "Lima", "time_zone": "Lima"}, "There is no such time zone."),
    ],
)
def test_a_workspace_that_makes_no_sense_is_refused(boss: Client, typed: Any, said: str) -> None:
    assert said in text_of(boss, f"{WELCOME}workspace/", **typed)
    assert not Workspace.objects.exists()


def test_a_number_needs_a_workspace_first(boss: Client) -> None:
    assert boss.get(f"{WELCOME}number/")["Location"] == f"{WELCOME}workspace/"


def test_a_number_is_added(boss: Client) -> None:
    workspace = Workspace.objects.create(name="Lima", slug="lima")
    page = text_of(boss, f"{WELCOME}number/")
    assert f'<input type="hidden" name="workspace" value="{workspace.pk}"' in page
    typed = {"workspace": workspace.pk, "phone_number_id": LIMA, "display_phone_number": "+51 1 555 0142"}
    response = boss.post(f"{WELCOME}number/", typed)
    number = PhoneNumber.objects.get()
    assert response["Location"] == step_of(number, "webhook")
    assert (number.workspace, number.phone_number_id, number.own_phone) == (workspace, LIMA, "5115550142")


@pytest.mark.parametrize(
    ("number_id", "said"),
    [("+51 1 555", "Digits only"), ("", "This field is required"), (LIMA, "registered here already")],
)
def test_a_number_that_makes_no_sense_is_refused(boss: Client, number_id: str, said: str) -> None:
    number = make_number()
    page = text_of(boss, f"{WELCOME}number/", workspace=number.workspace_id, phone_number_id=number_id)
    assert (said in page, PhoneNumber.objects.count()) == (True, 1)


def test_what_came_before_the_number_was_there_is_brought_in(boss: Client) -> None:
    desk = Desk()
    assert desk.post(message("a")).json["status"] == "unroutable"
    workspace = Workspace.objects.create(name="Lima", slug="lima")
    boss.post(f"{WELCOME}number/", {"workspace": workspace.pk, "phone_number_id": LIMA})
    assert WebhookDelivery.objects.get().status == "processed"
    assert "a signed event arrived" in text_of(boss, step_of(PhoneNumber.objects.get(), "waiting"))


# The secret


def shown_secret(page: str) -> str:
    found = re.search(r'id="webhook-secret" value="([^"]+)"', page)
    return found[1] if found else ""


def seen(page: str) -> str:
    found = re.search(r'name="seen"(?: value="([^"]*)")?', page)
    assert found
    return found[1] or ""


def test_a_secret_that_is_made_here_is_shown_once(boss: Client) -> None:
    number = make_number()
    url = step_of(number, "webhook")
    before = text_of(boss, url)
    assert (shown_secret(before), "http://testserver/webhooks/kapso/" in before) == ("", True)
    secret = shown_secret(text_of(boss, url, generate="1", seen=""))
    number.refresh_from_db()
    assert (number.webhook_secret, len(secret)) == (secret, 43)
    for page in (url, WELCOME, "/admin/", step_of(number, "waiting")):
        assert secret not in boss.get(page, follow=True).content.decode()


def test_the_answer_with_the_secret_is_kept_by_nobody(boss: Client) -> None:
    response = boss.post(step_of(make_number(), "webhook"), {"generate": "1", "seen": ""})
    assert "no-store" in response["Cache-Control"]


def test_the_secret_is_encrypted_at_rest(boss: Client) -> None:
    number = make_number()
    secret = shown_secret(text_of(boss, step_of(number, "webhook"), generate="1", seen=""))
    with connection.cursor() as cursor:
        cursor.execute("SELECT webhook_secret FROM contacts_phonenumber")
        assert secret not in cursor.fetchone()[0]


def test_a_page_that_is_sent_twice_makes_one_secret(boss: Client) -> None:
    number = make_number()
    url = step_of(number, "webhook")
    secret = shown_secret(text_of(boss, url, generate="1", seen=""))
    again = text_of(boss, url, generate="1", seen="")
    number.refresh_from_db()
    assert (shown_secret(again), number.webhook_secret) == ("", secret)
    assert "Meanwhile another secret was stored." in again


def test_a_new_secret_leaves_the_former_one_for_a_while(boss: Client) -> None:
    number = make_number("the first")
    url = step_of(number, "webhook")
    for _ in range(2):
        secret = shown_secret(text_of(boss, url, generate="1", seen=seen(text_of(boss, url))))
    number.refresh_from_db()
    assert number.secrets[0] == secret
    assert len(number.secrets) == 2
    assert "the first" not in number.secrets


def test_kapsos_own_secret_is_stored_and_not_shown(boss: Client) -> None:
    number = make_number()
    url = step_of(number, "webhook")
    response = boss.post(url, {"secret": " from-kapso ", "seen": ""})
    number.refresh_from_db()
    assert (response["Location"], number.webhook_secret) == (step_of(number, "waiting"), "from-kapso")
    page = text_of(boss, url)
    assert ("A secret key is stored" in page, "from-kapso" in page) == (True, False)


@pytest.mark.parametrize("typed", ["https://crm.example.com/x", "two words", "a,b", "x" * 256])
def test_what_is_no_secret_is_refused_and_not_shown(boss: Client, typed: str) -> None:
    number = make_number()
    page = text_of(boss, step_of(number, "webhook"), secret=typed, seen="")
    number.refresh_from_db()
    assert ("That is " in page, typed in page, number.webhook_secret) == (True, False, "")


def test_a_secret_that_nobody_can_read_is_replaced(boss: Client) -> None:
    number = make_number()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE contacts_phonenumber SET webhook_secret = 'not encrypted by us'")
    url = step_of(number, "webhook")
    boss.post(url, {"secret": "fresh", "seen": seen(text_of(boss, url))})
    number.refresh_from_db()
    assert number.webhook_secret == "fresh"


# Waiting, with real requests


def poll(client: Client, number: PhoneNumber) -> str:
    return text_of(client, step_of(number, "waiting") + "heard/")


def test_a_signed_event_turns_the_page_green(live_boss: Client, live_server: Any) -> None:
    number = make_number()
    secret = shown_secret(text_of(live_boss, step_of(number, "webhook"), generate="1", seen=""))
    waits = poll(live_boss, number)
    assert ("Waiting for the first signed event" in waits, 'hx-trigger="every 2s"' in waits) == (True, True)
    assert Kapso(live_server.url, secret=secret).post(message("a"), event=RECEIVED).status == 200
    green = poll(live_boss, number)
    assert ("listening is-heard" in green, "hx-get" in green) == (True, False)
    assert live_boss.get(step_of(number, "waiting") + "heard/")["HX-Refresh"] == "true"
    assert live_boss.get(WELCOME).status_code == 200


def test_a_wrongly_signed_one_is_told_of_and_not_stored(live_boss: Client, live_server: Any) -> None:
    number = make_number("the right one")
    kapso = Kapso(live_server.url, secret="the wrong one")
    assert kapso.post(message("a", text="private words"), event=RECEIVED).status == 401
    page = poll(live_boss, number)
    assert "One request for this number was refused, just now" in page
    assert "compare the secret key" in page
    assert "is-heard" not in page
    kapso.post(message("a"), event=RECEIVED)
    assert "2 requests for this number were refused" in poll(live_boss, number)
    assert not WebhookDelivery.objects.exists()
    assert [count.http_status for count in AnswerCount.objects.all()] == [401]
    kapso.secret = "the right one"
    kapso.post(message("a"), event=RECEIVED)
    assert "refused" not in poll(live_boss, number)


def test_one_without_a_signature_is_told_apart(live_boss: Client, live_server: Any) -> None:
    number = make_number("the right one")
    Kapso(live_server.url).post(message("a"), event=RECEIVED, signature="")
    page = poll(live_boss, number)
    assert "Today one request came without a signature" in page
    assert ("kind Kapso, not Meta" in page, "compare the secret key" in page) == (True, False)


def test_a_mistyped_number_is_told_of(live_boss: Client, live_server: Any) -> None:
    number = make_number("the right one")
    other = message("a", number=SAOPAULO)
    Kapso(live_server.url, secret="the right one").post(other, event=RECEIVED)
    page = poll(live_boss, number)
    assert "Today one request was refused that names no number of this installation." in page
    assert "Compare the phone number ID" in page
    Kapso(live_server.url, secret="project-secret").post(other, event=RECEIVED)
    assert f"signed events for the phone number ID {SAOPAULO}, which is not registered" in poll(
        live_boss, number
    )


def test_an_event_of_another_number_does_not_count(live_boss: Client, live_server: Any) -> None:
    number = make_number()
    PhoneNumber.objects.create(workspace=number.workspace, phone_number_id=SAOPAULO)
    Kapso(live_server.url).post(message("a", number=SAOPAULO), event=RECEIVED)
    assert "is-heard" not in poll(live_boss, number)


def test_a_poll_is_small(boss: Client) -> None:
    number = make_number("a secret")
    poll(boss, number)
    with CaptureQueriesContext(connection) as captured:
        poll(boss, number)
    assert len(captured) <= 9


# Whose it is


@pytest.mark.parametrize("end", ["", "workspace/", "number/", "1/webhook/", "1/waiting/", "1/waiting/heard/"])
def test_only_superusers_take_the_first_steps(db: None, client: Client, end: str) -> None:
    assert client.get(f"{WELCOME}{end}")["Location"].startswith("/admin/login/")
    client.force_login(User.objects.create_user("ana", is_staff=True))
    assert client.get(f"{WELCOME}{end}").status_code == 403
    assert client.post(f"{WELCOME}{end}", {"name": "x"}).status_code == 403


def test_a_number_that_is_not_there_is_not_found(boss: Client) -> None:
    for step in ("webhook", "waiting", "waiting/heard"):
        assert boss.get(f"{WELCOME}999/{step}/").status_code == 404


def test_who_is_in_no_workspace_is_told_what_to_do(db: None, client: Client) -> None:
    client.force_login(User.objects.create_user("ana", is_staff=True))
    page = text_of(client, "/admin/")
    assert "You belong to no workspace yet" in page
    assert "your username is <b>ana</b>" in page


def test_hostile_names_are_inert(boss: Client) -> None:
    boss.post(f"{WELCOME}workspace/", {"name": "<script>alert(1)</script>", "time_zone": "UTC"})
    assert "<script>alert" not in boss.get(f"{WELCOME}workspace/").content.decode()
