"""`manage.py demo` and `send_sample`: what they tell goes through the real endpoint of a running server."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from contacts.lead_views import VIEWS
from contacts.models import Contact, LeadStatus, Membership, Message, PhoneNumber, StatusChange, Workspace
from kapso_sync.demo import stories
from kapso_sync.demo.payloads import Number, story
from kapso_sync.demo.plot import plot
from kapso_sync.demo.posting import Endpoint
from kapso_sync.management.commands import demo
from kapso_sync.models import WebhookDelivery
from tests.conftest import Cast

NUMBER = Number(phone_number_id="100000000000042", phone="12025550142")
NOW = datetime(2026, 6, 9, 12, tzinfo=UTC)

# CONTRACT.md section 9.3.
TYPES = {
    "text", "image", "video", "audio", "document", "sticker", "location", "contacts", "interactive", "button",
    "order", "template", "reaction", "edit", "revoke", "system", "unsupported", "media_placeholder",
    "request_welcome",
}  # fmt: skip
INTERACTIVE = {"button_reply", "list_reply", "nfm_reply", "button", "list", "cta_url", "flow"}


def run(command: str, url: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command(command, "--url", url, *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def first_row() -> Contact:
    return Contact.objects.living().order_by(*VIEWS["all"].order)[0]


def state() -> list[list[Any]]:
    return [
        list(model.objects.order_by("pk").values()) for model in (Workspace, WebhookDelivery, StatusChange)
    ]


@pytest.fixture
def stranger(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that answers every webhook with the parameter."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(request.param)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_it_works(transactional_db: None, live_server: Any) -> None:
    admin = User.objects.create_superuser("admin")

    assert run("demo", live_server.url) == "Demo Store is ready: 40 leads and 600 messages.\n"
    everything_arrived()
    every_kind_of_message_is_there()
    the_team_has_worked_on_it(admin)

    before = state()
    assert run("demo", live_server.url) == "There are data here already: nothing done.\n"
    assert state() == before

    said = run("send_sample", live_server.url, "--name", "Nadia Rahal", "--text", "Is it still there?")
    assert (
        said == f"Nadia Rahal has written: now the first row at {live_server.url}/admin/contacts/contact/\n"
    )
    assert first_row().name == "Nadia Rahal"
    assert first_row().messages.get().content == "Is it still there?"


def everything_arrived() -> None:
    assert (Contact.objects.living().count(), Message.objects.count()) == (40, 600)
    assert set(WebhookDelivery.objects.values_list("status", flat=True)) <= {"processed", "ignored"}
    assert not Message.objects.filter(contact=None).exists()
    assert not Contact.objects.filter(name="").exists()
    assert not Contact.objects.filter(last_activity_at__gt=timezone.now()).exists()
    assert Contact.objects.filter(phone=None).exclude(username="").count() == 4
    assert Contact.objects.exclude(source="whatsapp").count() == 5


def every_kind_of_message_is_there() -> None:
    assert values("message_type") == TYPES
    assert values("payload__type", message_type="interactive") == INTERACTIVE
    assert values("status") == {"received", "sent", "delivered", "read", "failed"}
    assert values("origin") == {"cloud_api", "business_app", "history_sync"}
    assert values("error_code", status="failed") == {131026, 131047, 131049}


def values(field: str, **only: str) -> set[Any]:
    return set(Message.objects.filter(**only).values_list(field, flat=True))


def the_team_has_worked_on_it(admin: User) -> None:
    team = Membership.objects.filter(workspace__slug="demo").values_list("user__username", "role")
    assert set(team) == {
        ("admin", "owner"), ("carla", "manager"), ("diego", "agent"), ("luisa", "agent"), ("tomas", "viewer"),
    }  # fmt: skip
    assert not any(user.has_usable_password() for user in User.objects.exclude(pk=admin.pk))
    assert set(Contact.objects.values_list("lead_status", flat=True)) == set(LeadStatus.values)
    assert Contact.objects.filter(tags__contains=["batik"], lead_score__gt=0).exclude(owner=None).exists()
    owners = set(Contact.objects.exclude(owner=None).values_list("owner__username", flat=True))
    assert {"admin", "diego", "luisa"} <= owners
    assert not StatusChange.objects.filter(at__gt=timezone.now() - timedelta(minutes=2)).exists()


def test_a_sample_is_from_somebody_new_each_time(cast: Cast, live_server: Any) -> None:
    before = Contact.objects.count()
    for _ in range(3):
        said = run("send_sample", live_server.url)
        assert said.startswith(f"{first_row().name} has written")
    assert Contact.objects.count() == before + 3


def test_a_sample_is_signed_with_the_number_s_own_secret(cast: Cast, live_server: Any, settings: Any) -> None:
    settings.KAPSO_WEBHOOK_SECRETS = []
    run("send_sample", live_server.url)
    assert WebhookDelivery.objects.get().served_numbers == [
        PhoneNumber.objects.order_by("pk")[0].phone_number_id
    ]


def test_a_sample_needs_a_number(db: None) -> None:
    with pytest.raises(CommandError, match=r"^There is no active WhatsApp number yet"):
        call_command("send_sample")


def test_a_sample_needs_a_secret(cast: Cast, settings: Any) -> None:
    settings.KAPSO_WEBHOOK_SECRETS = []
    PhoneNumber.objects.update(webhook_secret="")
    with pytest.raises(CommandError, match="set KAPSO_WEBHOOK_SECRET"):
        call_command("send_sample")


@pytest.mark.parametrize("command", ["demo", "send_sample"])
def test_it_says_what_to_start_when_nothing_answers(command: str, transactional_db: None) -> None:
    if command == "send_sample":
        workspace = Workspace.objects.create(name="Shop", slug="shop")
        PhoneNumber.objects.create(workspace=workspace, phone_number_id=NUMBER.phone_number_id)
    with pytest.raises(
        CommandError, match=r"^Nothing answers at http://127.0.0.1:9. Start leadcrm first: make run$"
    ):
        run(command, "http://127.0.0.1:9")


@pytest.mark.parametrize("url", ["localhost:8000", "file:///etc/passwd", "ftp://127.0.0.1", "http://"])
def test_it_refuses_what_is_no_address(url: str, transactional_db: None) -> None:
    with pytest.raises(CommandError, match="is no address of a server"):
        run("demo", url)
    assert not Workspace.objects.exists()


@pytest.mark.parametrize(
    ("stranger", "said"),
    [
        (b"<h1>Welcome</h1>", "is not leadcrm: its answer makes no sense"),
        (b"[]", "is not leadcrm: its answer makes no sense"),
        (b'{"status": "unroutable"}', "works with another database"),
        (b'{"status": "failed"}', "took a webhook but it failed: the admin shows why"),
    ],
    indirect=["stranger"],
)
def test_where_nothing_arrives_nothing_is_left_behind(
    transactional_db: None, stranger: str, said: str
) -> None:
    with pytest.raises(CommandError, match=said):
        run("demo", stranger)
    assert not Workspace.objects.exists()


def test_it_makes_a_secret_where_there_is_none(
    transactional_db: None, settings: Any, monkeypatch: Any
) -> None:
    settings.KAPSO_WEBHOOK_SECRETS = []
    made = []
    monkeypatch.setattr(Endpoint, "post", lambda endpoint, _: made.append(endpoint.secret))
    monkeypatch.setattr(demo, "_work_on", lambda *_: None)
    run("demo", "http://127.0.0.1:9")
    assert set(made) == {PhoneNumber.objects.get().webhook_secret}
    assert len(made[0]) == 32


def test_it_passes_on_why_a_webhook_is_refused(cast: Cast, live_server: Any, settings: Any) -> None:
    PhoneNumber.objects.update(webhook_secret="")
    with pytest.raises(CommandError, match=r"did not take a webhook: it answered 404"):
        run("send_sample", f"{live_server.url}/elsewhere")


def test_the_story_is_the_same_each_time() -> None:
    imports, chapters = story(stories.leads(), NUMBER, NOW)
    assert (imports, chapters) == story(stories.leads(), NUMBER, NOW)


def test_it_names_a_line_that_makes_no_sense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "en.txt").write_text("@ Ann | 12025550100 | ends 1h\n<no blank after the arrow\n")
    monkeypatch.setattr(stories, "STORIES", tmp_path)
    with pytest.raises(ValueError, match="not a line of a story: <no blank"):
        stories.leads()


def test_the_story_fits_into_a_quarter_of_a_minute() -> None:
    imports, chapters = story(stories.leads(), NUMBER, NOW)
    assert len(imports) + sum(map(len, chapters)) < 500


def test_the_story_is_of_the_last_25_days() -> None:
    times = [told.at for lead in stories.leads() for told in plot(lead, NOW)]
    assert NOW - timedelta(days=25) < min(times) < NOW - timedelta(days=20)
    assert NOW - timedelta(minutes=3) < max(times) < NOW


def test_nothing_happens_in_the_future() -> None:
    _, chapters = story(stories.leads(), NUMBER, NOW)
    assert max(webhook.at for chapter in chapters for webhook in chapter) < NOW


@pytest.mark.parametrize("lead", stories.leads(), ids=lambda lead: lead.name)
def test_nobody_writes_freely_after_24_hours(lead: stories.Lead) -> None:
    """WhatsApp would refuse it (CONTRACT.md 12.3), as it does what failed in the story."""
    written_at = NOW
    for told in plot(lead, NOW):
        if not told.line.is_outbound:
            written_at = told.at if told.line.kind not in ("reaction", "system") else written_at
        elif told.line.kind not in ("template", "failed"):
            assert told.at - written_at < timedelta(hours=24), told.line.text
