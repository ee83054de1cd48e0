"""The page of one lead: the thread, and what stands beside it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from contacts import failures, merging
from contacts.lead_history import history
from contacts.models import (
    Contact,
    Conversation,
    CustomField,
    FollowUp,
    Identity,
    LeadChange,
    Membership,
    Message,
    Note,
    PhoneNumber,
    Workspace,
)
from contacts.surroundings import MOST_THREADS
from contacts.timeline import timeline
from tests.conftest import Cast, make_cast
from tests.kapso import body_of, load, sign
from tests.test_admin import AT, html, make_lead, make_user, page_of, queries, react, say
from tests.test_corpus import CORPUS, OWN_SECRET, posted_before


@pytest.fixture
def cast(db: None) -> Cast:
    """As everywhere, in a transaction that is rolled back."""
    return make_cast()


def post_file(name: str) -> None:
    """A file of the corpus, and those that come before it in its family, as Kapso posts them."""
    for each in (*posted_before(name), name):
        case = load(each)
        raw, headers = body_of(case), {key: value for key, value in case["headers"].items() if value}
        headers["X-Webhook-Signature"] = sign(raw, OWN_SECRET.get(each, "project-secret"))
        answer = Client().post("/webhooks/kapso/", raw, content_type="application/json", headers=headers)
        assert answer.status_code == 200, answer


@pytest.fixture
def ana(cast: Cast) -> User:
    """A manager in Lima."""
    user = make_user("ana")
    Membership.objects.create(workspace=cast.workspaces["lima"], user=user, role="manager")
    return user


@pytest.fixture
def desk(ana: User, client: Client) -> Client:
    client.force_login(ana)
    return client


@pytest.fixture
def boss(cast: Cast, client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss"))
    return client


@pytest.fixture
def lead(cast: Cast) -> Contact:
    return make_lead(cast.workspaces["lima"], "Maria", phone="51987111222")


def role_of(user: User, role: str) -> None:
    Membership.objects.filter(user=user).update(role=role)


def plain(page: str) -> str:
    """The words of a page, as people read them."""
    without_icons = re.sub(r'<span class="material-symbols-outlined[^>]*>[^<]*</span>', "", page)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", without_icons)).split())


def bubble(page: str, message: Message) -> str:
    found = re.search(rf'<li id="m{message.pk}".*?</li>\s*(?=<li|</ol)', page, re.DOTALL)
    assert found
    return plain(found[0])


# The thread


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("message-received-text", "Hola"),
        ("message-received-audio-voice-transcript", "Written down by a machine: necesito dos cajas"),
        ("message-received-audio-voice-transcript", "voice.ogg Voice message · OGG · 38.0 KB"),
        ("message-received-image-caption", "peca.jpg Photo · JPG · 212.0 KB Segue a foto da peça"),
        ("message-received-document", "PDF"),
        ("message-received-video", "Video"),
        ("message-received-sticker", "Sticker"),
        ("message-received-location", "Mercado Surquillo 1 Av. Paseo de la República, Surquillo, Lima"),
        ("message-received-contacts", "Ing. Tomás Vega +51 987 650 177, Vega SAC"),
        ("message-received-order", "PAO-01 2 × 49.9 BRL BOLO-7 1 × 49.90 BRL"),
        ("message-received-order", "Pode embrulhar para presente?"),
        ("message-received-button", "A button was tapped Sí, me interesa"),
        ("message-received-interactive-button-reply", "Chosen from what was offered"),
        ("message-received-interactive-list-reply", "Lebar dada 54 cm Ukuran L"),
        (
            "message-received-interactive-flow-reply",
            "Form: registro_lead Answers to a form acepta Yes nombre Dana presupuesto 1500",
        ),
        ("message-received-referral-ctwa", "Zapatillas -30% Came from an ad"),
        ("message-received-referred-product", "About the product"),
        ("message-received-unsupported", "A message that cannot be shown here"),
        ("message-received-unknown-type", "Event: Open house"),
        ("message-received-system-user-changed-number", "changed from"),
        ("message-sent-interactive", "¿Confirmamos tu cita? With buttons Sí No"),
        ("message-sent-interactive", "by API"),
        ("message-sent-template", "confirmacao_pedido Template pt_BR Filled in Camila, #4417"),
        ("message-sent-business-app", "from the phone"),
        ("message-received-history-sync", "imported"),
        ("message-failed-131047", "Send a template."),
        ("message-failed-131026-first-event", "Sending again does not help."),
        ("seq-edit-02-edit", "edited"),
        ("seq-edit-03-revoke", "Message deleted"),
    ],
)
def test_a_message_is_readable(boss: Client, name: str, words: str) -> None:
    post_file(name)
    row = Message.objects.latest("id")
    lead = row.contact or Contact.objects.latest("id")
    assert words in plain(html(boss, page_of(lead)))


def test_every_message_of_the_corpus_is_shown(boss: Client) -> None:
    for name in CORPUS:
        post_file(name)
    shown: set[int] = set()
    for lead in Contact.objects.living():
        page = html(boss, page_of(lead))
        assert "media_data" not in page
        assert "active_storage" not in page
        shown |= {int(pk) for pk in re.findall(r'<li id="m(\d+)"', page)}
    acting = ("reaction", "revoke", "edit")
    rows = Message.objects.exclude(contact=None).exclude(message_type__in=acting)
    assert set(rows.values_list("pk", flat=True)) <= shown


@pytest.mark.parametrize("code", [131047, 131026, 131049, 131053, 131062])
def test_a_failure_says_why_and_what_to_do(desk: Client, lead: Contact, code: int) -> None:
    failed = say(lead, direction="outbound", status="failed", error_code=code, error_message="<i>theirs</i>")
    text = bubble(html(desk, page_of(lead)), failed)
    reason, advice = failures.REASONS[code]
    assert f"Not delivered: {reason} {advice} Error {code}: <i>theirs</i>" in text


@pytest.mark.parametrize(
    ("code", "told", "reason"),
    [(424242, "Something odd", "Something odd"), (None, "", "WhatsApp gave no reason"), (None, "x", "x")],
)
def test_an_unknown_failure_says_what_is_known(
    desk: Client, lead: Contact, code: int | None, told: str, reason: str
) -> None:
    failed = say(lead, direction="outbound", status="failed", error_code=code, error_message=told)
    text = bubble(html(desk, page_of(lead)), failed)
    assert f"Not delivered: {reason} {failures.TRY_AGAIN}" in text


def test_what_arrived_in_spite_of_a_fault_says_both(desk: Client, lead: Contact) -> None:
    row = say(lead, direction="outbound", status="delivered", error_code=131026, failed_at=AT)
    text = bubble(html(desk, page_of(lead)), row)
    assert "It arrived, though a fault was reported" in text
    assert "Not delivered:" not in text


def test_each_failure_has_a_reason_and_an_advice() -> None:
    for code in failures.REASONS:
        known = failures.explain(code, "theirs")
        assert str(known.reason).strip()
        assert str(known.advice).strip()


@pytest.mark.parametrize(
    "payload",
    [
        {}, [], "x", {"contacts": 3}, {"contacts": [None, {"name": []}]}, {"product_items": [{"quantity": []}]},
        {"latitude": "nan", "longitude": True}, {"components": [{"type": 3, "parameters": "x"}]},
        {"type": "nfm_reply", "response": {"a": {"b": [True, None]}}}, {"type": "list", "action": {"sections": 1}},
        {"media": {"byte_size": "٣x", "content_type": 5}}, {"context": 5}, {"unsupported": []},
    ],
)  # fmt: skip
def test_any_payload_can_be_shown(desk: Client, lead: Contact, payload: Any) -> None:
    kinds = (
        "text", "image", "audio", "document", "location", "contacts", "order", "interactive", "button", "template",
        "unsupported", "media_placeholder", "event_invite", "system",
    )  # fmt: skip
    for kind in kinds:
        say(lead, "content", message_type=kind, payload=payload, referral=payload or None)
    assert html(desk, page_of(lead)).count("<li id=") == len(kinds)


def test_a_quote_leads_to_what_it_quotes(desk: Client, lead: Contact) -> None:
    quoted = say(lead, "the question", kapso_message_id="wamid.Q")
    for index in range(60):
        say(lead, str(index), sent_at=AT + timedelta(minutes=index))
    say(lead, "yes", reply_to_kapso_id="wamid.Q", sent_at=AT + timedelta(days=1))
    page = html(desk, page_of(lead))
    address = re.search(rf'class="quote" href="([^"#]+)#m{quoted.pk}"', page)
    assert address
    assert f'id="m{quoted.pk}"' not in page
    assert f'id="m{quoted.pk}"' in html(desk, address[1])


def test_older_messages_come_as_a_piece(desk: Client, lead: Contact) -> None:
    for index in range(60):
        say(lead, f"message {index:02}", sent_at=AT + timedelta(minutes=index))
    page = html(desk, page_of(lead))
    address = re.search(r'data-older="([^"]+)"', page)
    assert address
    piece = html(desk, address[1])
    assert re.findall(r"message (\d\d)", piece) == [f"{index:02}" for index in range(10)]
    assert "<html" not in piece
    assert "data-older" not in piece


def test_the_newest_messages_of_many_are_read_from_the_index(lead: Contact) -> None:
    thread = say(lead).conversation
    assert thread
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO contacts_message (workspace_id, phone_number_id, conversation_id, contact_id,"
            " kapso_message_id, direction, content, sent_at) SELECT %s, %s, %s, %s, 'many.' || n, 'inbound',"
            " 'message ' || n, timestamptz '2026-01-01' + n * interval '1 minute' FROM generate_series(1, 20000) n",
            [lead.workspace_id, thread.phone_number_id, thread.pk, lead.pk],
        )
        cursor.execute("ANALYZE contacts_message")
    with CaptureQueriesContext(connection) as captured:
        assert len(timeline(lead).entries) == 50
    (query,) = captured
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + query["sql"])
        (plan,) = cursor.fetchone()
    nodes = list(walk(plan[0]["Plan"]))
    assert {"message_timeline", "message_once", "message_target"} <= {
        node.get("Index Name") for node in nodes
    }
    assert not [
        node for node in nodes if node["Node Type"] == "Seq Scan" and "message" in node["Relation Name"]
    ]
    assert max(node["Actual Rows"] for node in nodes) <= 51


def walk(node: dict[str, Any]) -> Any:
    yield node
    for inner in node.get("Plans", ()):
        yield from walk(inner)


def test_the_page_takes_at_most_twelve_statements(desk: Client, lead: Contact) -> None:
    say(lead, kapso_message_id="wamid.T", reply_to_kapso_id="wamid.T")
    few = queries(desk, page_of(lead))
    thread = Conversation.objects.get(contact=lead)
    Message.objects.bulk_create(
        Message(
            workspace=lead.workspace, contact=lead, conversation=thread, phone_number=thread.phone_number, sent_at=AT,
            kapso_message_id=f"wamid.more.{n}", reply_to_kapso_id="wamid.T", direction="inbound",
            message_type=("text", "edit", "image")[n % 3],
        )
        for n in range(300)
    )  # fmt: skip
    react(lead, "👍", AT)
    for index in range(30):
        Note.objects.create(workspace=lead.workspace, contact=lead, text=str(index), by=User.objects.get())
        LeadChange.objects.create(
            workspace=lead.workspace, contact=lead, kind="owner", after=User.objects.get().pk
        )
        Identity.objects.create(
            workspace=lead.workspace, kind="phone", value=f"5198700{index:04}", contact=lead
        )
        CustomField.objects.create(workspace=lead.workspace, key=f"k{index}", label=f"L{index}")
    assert queries(desk, page_of(lead)) == few
    # With everything that does not happen each time: something unread, and somebody who looks alike.
    make_lead(lead.workspace, "Twin", email="same@x.pe")
    Contact.objects.filter(pk=lead.pk).update(email="same@x.pe", last_inbound_at=AT, read_at=None)
    with CaptureQueriesContext(connection) as captured:
        html(desk, page_of(lead))
    assert len(captured) <= 12


# Reading, and who may do what


@pytest.mark.parametrize(
    ("name", "shown"),
    [("maria <b>of</b> Lima", "maria &lt;b&gt;of&lt;/b&gt; Lima"), ("مريم", "مريم"), ("", "+51 987 654 321")],
)
def test_the_heading_is_the_leads_name(desk: Client, lead: Contact, name: str, shown: str) -> None:
    Contact.objects.filter(pk=lead.pk).update(name=name, kapso_name=name, phone="51987654321")
    heading = re.search(r"<h1.*?</h1>", html(desk, page_of(lead)), re.DOTALL)
    assert heading
    assert re.findall(r"<bdi[^>]*>(.*?)</bdi>", heading[0]) == [shown]
    assert "Leads" not in heading[0]


def test_opening_a_lead_reads_it(desk: Client, lead: Contact) -> None:
    Contact.objects.filter(pk=lead.pk).update(last_inbound_at=AT, last_activity_at=AT)
    html(desk, page_of(lead))
    lead.refresh_from_db()
    assert (lead.read_at, lead.last_activity_at) == (AT, AT)


def test_older_messages_and_lookers_read_nothing(desk: Client, ana: User, lead: Contact) -> None:
    Contact.objects.filter(pk=lead.pk).update(last_inbound_at=AT)
    html(desk, f"{page_of(lead)}?before=1-1")
    role_of(ana, "viewer")
    html(desk, page_of(lead))
    lead.refresh_from_db()
    assert lead.read_at is None


def test_what_came_since_it_was_read_stands_below_a_line(desk: Client, lead: Contact) -> None:
    say(lead, "old")
    fresh = say(lead, "fresh", sent_at=AT + timedelta(hours=1))
    Contact.objects.filter(pk=lead.pk).update(last_inbound_at=fresh.sent_at, read_at=AT)
    assert re.search(rf'class="talk-new">New</li>\s*<li id="m{fresh.pk}"', html(desk, page_of(lead)))
    assert "talk-new" not in html(desk, page_of(lead))


def test_a_viewer_sees_no_forms(desk: Client, ana: User, lead: Contact) -> None:
    say(lead)
    Note.objects.create(workspace=lead.workspace, contact=lead, text="a note", by=ana)
    role_of(ana, "viewer")
    page = html(desk, page_of(lead))
    assert "/do/" not in page
    assert "a note" in page
    assert "Privacy" not in plain(page)


def test_an_agent_works_and_neither_merges_nor_erases(desk: Client, ana: User, lead: Contact) -> None:
    say(lead)
    role_of(ana, "agent")
    page = html(desk, page_of(lead))
    for what in ("status", "assign", "tag", "note", "follow-up", "snooze", "field"):
        assert f'action="/admin/contacts/contact/{lead.pk}/do/{what}/"' in page, what
    for hidden in ("/erase/", "/export/", "/merge/", "/why/"):
        assert hidden not in page, hidden


@pytest.mark.parametrize(
    "page", ["change/", "messages/", "members/", "history/", "why/?clock=last_activity_at"]
)
def test_a_lead_of_others_is_not_there(desk: Client, cast: Cast, page: str) -> None:
    foreign = make_lead(cast.workspaces["jakarta"], last_activity_at=AT)
    assert desk.get(f"/admin/contacts/contact/{foreign.pk}/{page}").status_code == 404


def test_an_agent_who_sees_their_own_only_finds_no_other(desk: Client, ana: User, lead: Contact) -> None:
    role_of(ana, "agent")
    Workspace.objects.filter(pk=lead.workspace_id).update(agents_see_all=False)
    Contact.objects.filter(pk=lead.pk).update(owner=User.objects.create_user("rival"))
    assert desk.get(page_of(lead)).status_code == 404
    Contact.objects.filter(pk=lead.pk).update(owner=ana)
    assert html(desk, page_of(lead))


# The panels


def test_a_form_brings_what_its_page_showed(desk: Client, ana: User, lead: Contact) -> None:
    due = timezone.now() + timedelta(days=1)
    FollowUp.objects.create(workspace=lead.workspace, contact=lead, due_at=due, remark="call", by=ana)
    CustomField.objects.create(workspace=lead.workspace, key="vip", label="VIP", kind="yes_no")
    Contact.objects.filter(pk=lead.pk).update(owner=ana, metadata={"vip": True})
    page = html(desk, page_of(lead))
    for what, seen in (("status", "new"), ("assign", str(ana.pk)), ("follow-up-done", due.isoformat())):
        assert seen in seen_by(page, what), what
    assert {"Maria", "", "0", "yes"} <= set(seen_by(page, "field"))


def seen_by(page: str, what: str) -> list[str]:
    forms = re.findall(rf'<form[^>]*/do/{what}/".*?</form>', page, re.DOTALL)
    return [unescape(seen) for form in forms for seen in re.findall(r'name="seen" value="([^"]*)"', form)]


def test_fields_of_the_workspace_are_details(desk: Client, lead: Contact) -> None:
    told = {
        "size": ("text", "<b>L</b>"), "boxes": ("number", 3), "since": ("date", "2026-06-09"),
        "colour": ("choice", "red"), "vip": ("yes_no", False), "odd": ("text", {"a": 1}),
    }  # fmt: skip
    for key, (kind, _) in told.items():
        CustomField.objects.create(
            workspace=lead.workspace, key=key, label=key.title(), kind=kind, choices=["red", "blue"]
        )
    Contact.objects.filter(pk=lead.pk).update(metadata={key: value for key, (_, value) in told.items()})
    page = html(desk, page_of(lead))
    shown = dict(re.findall(r'class="field-label">([^<]+)</span> <bdi class="field-value">(.*?)</bdi>', page))
    assert shown["Size"] == "&lt;b&gt;L&lt;/b&gt;"
    assert (shown["Boxes"], shown["Since"], shown["Colour"], shown["Vip"]) == ("3", "9 Jun 2026", "red", "No")
    assert shown["Odd"] == "–"
    assert 'type="date"' in page
    assert '<option value="red" selected>' in page


def test_the_owner_is_chosen_among_those_who_work_here(desk: Client, cast: Cast, lead: Contact) -> None:
    here, viewer, gone = (make_user(name, cast.workspaces["lima"]) for name in ("here", "looker", "gone"))
    role_of(viewer, "viewer")
    User.objects.filter(pk=gone.pk).update(is_active=False)
    make_user("elsewhere", cast.workspaces["jakarta"])
    options = owners(html(desk, page_of(lead)))
    assert list(options.values()) == ["ana", "here", "Nobody"]
    Contact.objects.filter(pk=lead.pk).update(owner=gone)
    assert str(gone.pk) in owners(html(desk, page_of(lead)))
    assert str(here.pk) in options


def owners(page: str) -> dict[str, str]:
    select = re.search(r'<select id="owner".*?</select>', page, re.DOTALL)
    return dict(re.findall(r'<option value="(\d*)"[^>]*>([^<]+)<', select[0] if select else page))


def test_among_many_members_the_owner_is_found_by_name(desk: Client, lead: Contact) -> None:
    people = User.objects.bulk_create(
        User(username=f"member{n:03}", first_name="Many", last_name=f"Of {n}", is_staff=True)
        for n in range(120)
    )
    Membership.objects.bulk_create(Membership(workspace=lead.workspace, user=user) for user in people)
    page = html(desk, page_of(lead))
    assert list(owners(page).values()) == ["Nobody"]
    assert "Find a member" in page
    assert list(owners(html(desk, f"{page_of(lead)}?member=member007")).values()) == ["Many Of 7", "Nobody"]
    piece = html(desk, reverse("admin:contacts_contact_members", args=[lead.pk]) + "?member=many")
    assert len(owners(piece)) <= 101


def test_own_notes_can_be_edited_others_read(desk: Client, cast: Cast, ana: User, lead: Contact) -> None:
    mine = Note.objects.create(workspace=lead.workspace, contact=lead, text="<b>mine</b>", by=ana)
    theirs = Note.objects.create(
        workspace=lead.workspace, contact=lead, text="theirs", by=make_user("bob", cast.workspaces["lima"])
    )
    page = html(desk, page_of(lead))
    assert "&lt;b&gt;mine" in page
    assert f'name="note" value="{mine.pk}"' in page
    assert f'name="note" value="{theirs.pk}"' not in page


def test_a_handoff_in_an_old_thread_asks_for_a_human_too(desk: Client, lead: Contact) -> None:
    for index in range(MOST_THREADS + 2):
        number = PhoneNumber.objects.create(workspace=lead.workspace, phone_number_id=f"n{index}")
        Conversation.objects.create(
            workspace=lead.workspace,
            contact=lead,
            phone_number=number,
            last_message_at=AT - timedelta(days=index),
        )
    Conversation.objects.filter(phone_number=number).update(handoff_at=AT, handoff_reason="forgotten")
    page = html(desk, page_of(lead))
    assert "Needs a human : forgotten" in plain(page)
    assert seen_forms(page, "handoff-clear") == 1


def test_a_handoff_asks_for_a_human_until_it_is_taken_care_of(desk: Client, lead: Contact) -> None:
    say(lead)
    Conversation.objects.update(handoff_at=AT, handoff_reason="wants <b>a person</b>")
    page = html(desk, page_of(lead))
    assert "Needs a human" in page
    assert "wants &lt;b&gt;a person" in page
    assert seen_forms(page, "handoff-clear") == 1
    Contact.objects.filter(pk=lead.pk).update(handoff_cleared_at=AT)
    assert "Needs a human" not in html(desk, page_of(lead))
    Conversation.objects.update(handoff_at=AT + timedelta(seconds=1))
    assert "Needs a human" in html(desk, page_of(lead))


def seen_forms(page: str, what: str) -> int:
    return page.count(f'/do/{what}/"')


def test_who_wrote_after_the_team_was_done_is_one_click_from_being_new(desk: Client, lead: Contact) -> None:
    lead.change_status("archived", by=None)
    Contact.objects.filter(pk=lead.pk).update(last_inbound_at=timezone.now() - timedelta(days=1))
    assert seen_forms(html(desk, page_of(lead)), "reengage") == 0
    Contact.objects.filter(pk=lead.pk).update(last_inbound_at=timezone.now() + timedelta(seconds=1))
    assert seen_forms(html(desk, page_of(lead)), "reengage") == 1


@pytest.mark.parametrize(
    ("until", "wrote", "is_aside"), [(1, None, True), (1, -2, True), (1, -0.5, False), (-0.1, None, False)]
)
def test_a_lead_is_aside_until_the_date_or_until_they_write(
    desk: Client, lead: Contact, until: float, wrote: float | None, is_aside: bool
) -> None:
    now = timezone.now()
    Contact.objects.filter(pk=lead.pk).update(
        snoozed_at=now - timedelta(days=1),
        snoozed_until=now + timedelta(days=until),
        last_inbound_at=now + timedelta(days=wrote) if wrote else None,
    )
    assert seen_forms(html(desk, page_of(lead)), "wake") == int(is_aside)


def test_the_phone_is_written_in_one_way(desk: Client, lead: Contact) -> None:
    Contact.objects.filter(pk=lead.pk).update(name="")
    Identity.objects.update_or_create(
        workspace=lead.workspace, kind="phone", value=lead.phone, defaults={"contact": lead}
    )
    say(lead)
    page = html(desk, page_of(lead))
    assert "51987111222" not in page.replace("https://wa.me/51987111222", "")
    assert page.count("+51 987 111 222") >= 4


def test_one_button_opens_the_chat(desk: Client, lead: Contact) -> None:
    page = html(desk, page_of(lead))
    assert 'href="https://wa.me/51987111222"' in page
    assert "Answering from this page comes later" in page
    Contact.objects.filter(pk=lead.pk).update(phone=None)
    page = html(desk, page_of(lead))
    assert "wa.me" not in page
    assert "https://app.kapso.ai/" in page


def test_ads_and_identities_of_the_person_are_shown(desk: Client) -> None:
    post_file("message-received-referral-ctwa")
    lead = Contact.objects.exclude(first_touch=None).get()
    text = plain(html(desk, page_of(lead)))
    assert "120233410077550912" in text
    assert text.count("Zapatillas -30%") == 2  # on the message, and beside it once
    assert "first seen" in text


# The history


def test_everything_that_people_did_is_one_list_the_newest_first(
    desk: Client, cast: Cast, ana: User, lead: Contact
) -> None:
    bob = make_user("bob", cast.workspaces["lima"], first_name="Bob", last_name="Ross")
    here: dict[str, Any] = {"workspace": lead.workspace, "contact": lead, "by": ana}
    CustomField.objects.create(workspace=lead.workspace, key="size", label="Size")
    lead.change_status("qualified", by=ana, reason="asked for a price")
    rows: list[tuple[str, dict[str, Any]]] = [
        ("owner", {"after": bob.pk}), ("tags", {"before": ["a", "b"], "after": ["b", "c"]}),
        ("name", {"before": "M", "after": "Maria"}), ("field", {"field": "size", "after": "L"}),
        ("follow_up", {"after": {"due_at": AT.isoformat(), "remark": "call"}}),
        ("follow_up", {"before": {"due_at": AT.isoformat(), "remark": "call"}}),
        ("snooze", {"after": AT.isoformat()}), ("snooze", {"before": AT.isoformat()}),
        ("handoff", {"after": AT.isoformat()}), ("note", {"before": AT.isoformat()}),
    ]  # fmt: skip
    for kind, values in rows:
        LeadChange.objects.create(kind=kind, **here, **values)
    Note.objects.create(text="called them", **here)
    other = make_lead(cast.workspaces["lima"], "Twin")
    other.change_status("archived", by=bob)
    merging.merge(lead, other, by=bob)
    lead = Contact.objects.living().get(pk=lead.pk)
    text = plain(html(desk, page_of(lead))).partition("History ")[2]
    told = [
        "Merged with Twin Bob Ross", "New → Archived Bob Ross", "Note: called them ana", "Deleted a note of 10 Jun 2026",
        "Took care of what the automation asked for", "Taken up again", "Put aside until 10 Jun 2026, 12:00",
        "Follow-up done", "Follow-up planned for 10 Jun 2026, 12:00: call", "Size: L", "Name: M → Maria",
        "Tags: + c, − a", "Assigned to Bob Ross", "New → Qualified asked for a price ana",
    ]  # fmt: skip
    places = [text.index(words) for words in told]
    assert places == sorted(places)


def test_a_history_ends(lead: Contact, ana: User) -> None:
    Note.objects.bulk_create(
        Note(workspace=lead.workspace, contact=lead, text=str(n), by=ana) for n in range(130)
    )
    assert len(history(lead)) == 100


def test_djangos_own_history_leads_to_ours(desk: Client, lead: Contact) -> None:
    response = desk.get(f"/admin/contacts/contact/{lead.pk}/history/")
    assert response.headers["Location"] == f"{page_of(lead)}#history"


def test_hostile_text_is_inert_everywhere(desk: Client, ana: User, lead: Contact) -> None:
    evil = "<script>window.pwned=1</script>\u202e" + "x" * 200
    CustomField.objects.create(workspace=lead.workspace, key="k", label=evil[:100])
    Note.objects.create(workspace=lead.workspace, contact=lead, text=evil, by=ana)
    LeadChange.objects.create(workspace=lead.workspace, contact=lead, kind="name", before=evil, after=evil)
    FollowUp.objects.create(workspace=lead.workspace, contact=lead, due_at=AT, remark=evil)
    touch = {"headline": evil, "body": evil, "source_url": "javascript:alert(1)"}
    Contact.objects.filter(pk=lead.pk).update(
        name=evil[:255], kapso_name=evil[1:200], username=evil[2:200], tags=[evil[:50]], source=evil[:200],
        metadata={"k": evil}, first_touch=touch,
    )  # fmt: skip
    say(lead, evil, message_type="document", payload={"filename": evil}, referral=touch)
    Conversation.objects.update(handoff_at=AT, handoff_reason=evil)
    page = html(desk, page_of(lead))
    assert "<script>window" not in page
    assert 'href="javascript' not in page


def test_a_day_is_that_of_the_user(desk: Client, lead: Contact) -> None:
    say(lead, sent_at=datetime(2026, 6, 10, 3, 30, tzinfo=UTC))
    assert "Wed, 10 Jun 2026" in html(desk, page_of(lead))
