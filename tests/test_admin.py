from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from contacts.models import (
    Contact,
    Conversation,
    Identity,
    Membership,
    Message,
    PhoneNumber,
    Role,
    Workspace,
)
from kapso_sync.models import WebhookDelivery
from tests.conftest import Cast
from tests.kapso import Kapso

LEADS = "/admin/contacts/contact/"
DELIVERIES = "/admin/kapso_sync/webhookdelivery/"
NUMBERS = "/admin/contacts/phonenumber/"
AT = datetime(2026, 6, 10, 12, 0, tzinfo=UTC)


@pytest.fixture
def ana(cast: Cast) -> User:
    """She works in Lima, without any of Django's permissions."""
    return make_user("ana", cast.workspaces["lima"])


@pytest.fixture
def desk(ana: User, client: Client) -> Client:
    """Ana's browser."""
    client.force_login(ana)
    return client


@pytest.fixture
def boss(cast: Cast, client: Client) -> Client:
    """A superuser's browser."""
    client.force_login(User.objects.create_superuser("boss"))
    return client


def make_user(name: str, *workspaces: Workspace, **fields: Any) -> User:
    user = User.objects.create_user(name, is_staff=True, **fields)
    for workspace in workspaces:
        Membership.objects.create(workspace=workspace, user=user, role=Role.MANAGER)
    return user


def page_of(lead: Contact) -> str:
    return reverse("admin:contacts_contact_change", args=[lead.pk])


def html(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200, response
    return response.content.decode()


def say(lead: Contact, text: str = "Hola", **fields: Any) -> Message:
    thread, _ = Conversation.objects.get_or_create(
        workspace=lead.workspace, contact=lead, phone_number=lead.workspace.phone_numbers.get()
    )
    fields = {
        "sent_at": AT,
        "direction": "inbound",
        "kapso_message_id": f"wamid.{Message.objects.count()}",
    } | fields
    return Message.objects.create(
        workspace=lead.workspace,
        contact=lead,
        conversation=thread,
        phone_number=thread.phone_number,
        content=text,
        **fields,
    )


def make_lead(workspace: Workspace, name: str = "Maria", **fields: Any) -> Contact:
    return Contact.objects.create(workspace=workspace, name=name, **fields)


def shown(page: str) -> list[str]:
    """The names in the list, from top to bottom."""
    return re.findall(r'class="field-lead.*?<bdi>(.*?)</bdi>', page, re.DOTALL)


def post_of(page: Any, **typed: Any) -> dict[str, Any]:
    """What the browser would send back of a form, with some fields typed over."""
    form = page.context["adminform"].form
    sent = {}
    for field in form:
        value = field.value()
        plain = ",".join(value) if isinstance(value, list) else value
        sent[field.name] = sent[field.html_initial_name] = "" if plain is None else plain
    return sent | typed


def save(client: Client, url: str, **typed: Any) -> Any:
    return client.post(url, post_of(client.get(url), **typed), follow=True)


def told(response: Any) -> str:
    return " ".join(str(message) for message in response.context["messages"])


def queries(client: Client, url: str) -> int:
    client.get(url)
    with CaptureQueriesContext(connection) as captured:
        html(client, url)
    return len(captured)


# The list of leads


def test_a_message_puts_its_lead_on_top(desk: Client, kapso: Kapso) -> None:
    kapso.post_file("message-received-text")
    newest = Contact.objects.order_by("-last_activity_at").filter(last_activity_at__isnull=False)[0]
    assert shown(html(desk, LEADS))[0] == newest.shown_name


def test_leads_come_newest_activity_first(desk: Client, cast: Cast) -> None:
    for days, name in ((2, "Middle"), (1, "Newest"), (3, "Oldest")):
        make_lead(cast.workspaces["lima"], name, last_activity_at=datetime.now(UTC) - timedelta(days=days))
    names = [name for name in shown(html(desk, LEADS)) if name in ("Middle", "Newest", "Oldest")]
    assert names == ["Newest", "Middle", "Oldest"]


def test_leads_of_several_workspaces_are_one_list(boss: Client, cast: Cast) -> None:
    for index in range(120):
        workspace = list(cast.workspaces.values())[index % 2]
        make_lead(workspace, f"n{index:03}", last_activity_at=datetime.now(UTC) - timedelta(minutes=index))
    names = [name for page in (1, 2, 3) for name in shown(html(boss, f"{LEADS}?p={page}")) if name[:1] == "n"]
    assert names == [f"n{index:03}" for index in range(120)]


def test_merged_leads_are_not_listed(desk: Client, cast: Cast) -> None:
    survivor = make_lead(cast.workspaces["lima"], "Survivor")
    merged = make_lead(cast.workspaces["lima"], "Gone", merged_into=survivor)
    assert "Gone" not in html(desk, LEADS)
    assert desk.get(page_of(merged)).headers["Location"] == page_of(survivor)


def test_a_lead_without_phone_is_listed_and_found(desk: Client, cast: Cast) -> None:
    make_lead(cast.workspaces["lima"], "", business_scoped_user_id="PE.1A2b3", username="mariag")
    assert "@mariag" in shown(html(desk, LEADS))
    assert shown(html(desk, LEADS + "?q=PE.1A2b3")) == ["@mariag"]


def test_a_lead_without_name_is_shown_by_its_phone(desk: Client, cast: Cast) -> None:
    make_lead(cast.workspaces["lima"], "", phone="4915112345678")
    assert "+49 1511 2345678" in shown(html(desk, LEADS))


def test_the_list_shows_the_newest_message_and_whose_it_is(desk: Client, cast: Cast) -> None:
    lead = make_lead(cast.workspaces["lima"])
    say(lead, "an earlier one", sent_at=AT - timedelta(hours=1))
    say(lead, "the <b>newest</b>", direction="outbound", status="sent")
    say(lead, "Reacted", message_type="reaction", sent_at=AT + timedelta(hours=1))
    page = html(desk, LEADS)
    assert "You: </span><bdi>the &lt;b&gt;newest&lt;/b&gt;</bdi>" in page
    assert "an earlier one" not in page


@pytest.mark.parametrize(
    "term",
    [
        "maria",
        "GÓMEZ mar",
        "Mari+WA",
        "@mgomez",
        "maria@shop.pe",
        "+51 987-654-321",
        "987 654 321",
        "0987654321",
        "US.42",
    ],
)
def test_a_lead_is_found_by(desk: Client, cast: Cast, term: str) -> None:
    make_lead(
        cast.workspaces["lima"], "Maria Gómez", phone="51987654321", kapso_name="mari WA", username="mgomez",
        email="maria@shop.pe", business_scoped_user_id="US.42",
    )  # fmt: skip
    make_lead(cast.workspaces["lima"], "Somebody else", phone="5511222333")
    assert shown(desk.get(LEADS, {"q": term.replace("Mari+WA", "mari wa")}).content.decode()) == [
        "Maria Gómez"
    ]


def test_part_of_a_user_id_finds_nobody(desk: Client, cast: Cast) -> None:
    make_lead(cast.workspaces["lima"], business_scoped_user_id="US.42")
    assert shown(html(desk, LEADS + "?q=US.4")) == []


def test_leads_are_filtered_by_status_owner_and_tag(desk: Client, cast: Cast, ana: User) -> None:
    lima = cast.workspaces["lima"]
    make_lead(lima, "Mine", owner=ana, tags=["vip"], lead_status="qualified")
    make_lead(lima, "Free")
    for query in ("status=qualified", "owner=me", f"owner={ana.pk}", "tag=vip"):
        assert shown(html(desk, f"{LEADS}?{query}")) == ["Mine"], query
    assert "Mine" not in shown(html(desk, LEADS + "?owner=nobody"))


@pytest.mark.parametrize(
    "query",
    ["status=x", "owner=x", "owner=99999", "workspace=99999", "tag=%00", "q=%00", "p=999", "before=1"],
)
def test_a_nonsense_address_is_no_error(desk: Client, query: str) -> None:
    assert desk.get(f"{LEADS}?{query}").status_code in (200, 302)


def test_without_leads_the_list_says_what_to_do(boss: Client) -> None:
    Message.objects.all().delete()
    Conversation.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE contacts_contact CASCADE")
    assert "No leads yet" in html(boss, LEADS)


# The page of one lead


def test_messages_of_both_sides_stand_in_order(desk: Client, cast: Cast) -> None:
    lead = make_lead(cast.workspaces["lima"])
    for index, side in enumerate(("inbound", "outbound", "inbound")):
        say(lead, f"message {index}", direction=side, sent_at=AT + timedelta(minutes=index), status="read")
    page = html(desk, page_of(lead))
    assert page.index("message 0") < page.index("message 1") < page.index("message 2")
    assert page.count('class="bubble ours"') == 1
    assert 'aria-label="Read"' in page


def test_markup_in_a_message_stays_text(desk: Client, kapso: Kapso) -> None:
    kapso.post_file("message-received-text-html-injection")
    lead = Message.objects.latest("id").contact
    assert lead is not None
    for url in (LEADS, page_of(lead)):
        assert not re.search(
            r"<script>(?!\s*$)[^<]*(alert|pwn)|<img[^>]+onerror", html(desk, url), re.IGNORECASE
        )


def test_a_failed_message_says_why(desk: Client, cast: Cast) -> None:
    lead = make_lead(cast.workspaces["lima"])
    say(lead, direction="outbound", status="failed", error_message="More than 24 hours have passed.")
    page = html(desk, page_of(lead))
    assert "<b>Not delivered:</b> <bdi>More than 24 hours have passed.</bdi>" in page


def test_reactions_stand_on_their_message_the_newest_of_each_side(desk: Client, cast: Cast) -> None:
    lead = make_lead(cast.workspaces["lima"])
    target = say(lead, kapso_message_id="wamid.T")
    for minute, emoji in enumerate(("👎", "👍")):
        react(lead, emoji, AT + timedelta(minutes=minute))
    react(lead, "❤️", AT, direction="outbound")
    page = html(desk, page_of(lead))
    assert re.search(rf'id="m{target.pk}".*?aria-label="Reactions: 👍 ❤️">', page, re.DOTALL)
    assert page.count('class="bubble') == 1


def test_a_reaction_taken_back_is_gone(desk: Client, cast: Cast) -> None:
    lead = make_lead(cast.workspaces["lima"])
    say(lead, kapso_message_id="wamid.T")
    react(lead, "👍", AT)
    react(lead, "", AT + timedelta(minutes=1))
    assert 'aria-label="Reactions' not in html(desk, page_of(lead))


def react(lead: Contact, emoji: str, at: datetime, **fields: Any) -> None:
    payload = {"message_id": "wamid.T", "emoji": emoji}
    say(lead, message_type="reaction", target_kapso_id="wamid.T", payload=payload, sent_at=at, **fields)


def test_edits_and_deletions_are_marked(desk: Client, cast: Cast) -> None:
    lead = make_lead(cast.workspaces["lima"])
    say(lead, "after the edit", edited_at=AT, kapso_message_id="wamid.T")
    say(lead, "after the edit", message_type="edit", target_kapso_id="wamid.T")
    say(lead, "", revoked_at=AT)
    say(lead, "edit of something older", message_type="edit", target_kapso_id="wamid.unknown")
    page = html(desk, page_of(lead))
    assert page.count("after the edit") == 1
    assert page.count("<span>edited</span>") == 2
    assert "Message deleted" in page


def test_a_reply_quotes_what_it_replies_to(desk: Client, cast: Cast) -> None:
    lead = make_lead(cast.workspaces["lima"])
    say(lead, "the question", kapso_message_id="wamid.Q")
    say(lead, "yes", reply_to_kapso_id="wamid.Q")
    say(lead, "no", reply_to_kapso_id="wamid.never-seen")
    page = html(desk, page_of(lead))
    assert re.search(r'class="quote"[^>]*><b>The customer</b> the question<', page)
    assert "A message that is not here" in page


def test_media_are_named_and_their_addresses_kept_back(desk: Client, cast: Cast) -> None:
    lead = make_lead(cast.workspaces["lima"])
    media = {"message_type": "document", "media_url": "https://api.kapso.ai/media/secret"}
    say(lead, "offer.pdf", payload={"filename": "offer.pdf"}, **media)
    page = html(desk, page_of(lead))
    assert '<b dir="auto">offer.pdf</b>' in page
    assert "api.kapso.ai" not in page


def test_messages_from_the_phone_and_system_lines_are_told_apart(desk: Client, cast: Cast) -> None:
    lead = make_lead(cast.workspaces["lima"])
    say(lead, "typed there", direction="outbound", origin="business_app", status="sent")
    say(lead, "Ana changed her number", message_type="system")
    page = html(desk, page_of(lead))
    assert "from the phone" in page
    assert re.search(r'class="talk-line"[^>]*>\s*<bdi>Ana changed her number', page)


def test_older_messages_are_a_page_away(desk: Client, cast: Cast) -> None:
    lead = make_lead(cast.workspaces["lima"])
    for index in range(130):
        say(lead, f"message {index:03}", sent_at=AT + timedelta(seconds=index // 4))
    pages = [html(desk, page_of(lead))]
    while older := re.search(r'href="[^"]*(\?before=[^"]+)" data-older', pages[0]):
        pages.insert(0, html(desk, page_of(lead) + older[1]))
        assert len(pages) < 9
    seen = [number for page in pages for number in re.findall(r"message (\d{3})", page)]
    assert seen == [f"{index:03}" for index in range(130)]
    assert len(pages) == 3


@pytest.mark.parametrize(
    "before", ["", "x", "99999999999999999-1", "-99999999999999999-1", "1-99999999999999999999"]
)
def test_a_broken_link_to_older_messages_is_no_error(desk: Client, cast: Cast, before: str) -> None:
    assert "lead-talk" in html(desk, f"{page_of(make_lead(cast.workspaces['lima']))}?before={before}")


def test_the_page_takes_the_same_queries_however_much_was_said(desk: Client, cast: Cast) -> None:
    lead = make_lead(cast.workspaces["lima"])
    say(lead, kapso_message_id="wamid.T", reply_to_kapso_id="wamid.T")
    few = queries(desk, page_of(lead))
    for index in range(50):
        say(lead, str(index), reply_to_kapso_id="wamid.T", message_type=("text", "edit", "image")[index % 3])
        react(lead, "👍", AT + timedelta(minutes=index))
    assert queries(desk, page_of(lead)) == few
    assert few <= 11  # of twelve: the others are for who asks, and what they are told


def test_a_very_long_text_is_cut_and_shown_on_a_page_of_its_own(desk: Client, cast: Cast) -> None:
    lead = make_lead(cast.workspaces["lima"])
    message = say(lead, "a" * 9000 + "<b>end</b>")
    whole = reverse("admin:contacts_contact_message", args=[lead.pk, message.pk])
    assert whole in html(desk, page_of(lead))
    response = desk.get(whole)
    assert response.content.endswith(b"<b>end</b>")
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_only_allowed_moves_are_offered(desk: Client, cast: Cast) -> None:
    lead = make_lead(cast.workspaces["lima"])
    assert re.findall(r'name="to" value="(\w+)"', html(desk, page_of(lead))) == ["qualified", "archived"]


def test_the_page_itself_takes_nothing(desk: Client, cast: Cast) -> None:
    lead = make_lead(cast.workspaces["lima"], phone="51987111222")
    before = Contact.objects.filter(pk=lead.pk).values().get()
    assert desk.post(page_of(lead), {"name": "taken", "phone": "51000000000"}).status_code == 405
    assert Contact.objects.filter(pk=lead.pk).values().get() == before


def test_a_lead_cannot_be_deleted(boss: Client, cast: Cast) -> None:
    lead = make_lead(cast.workspaces["lima"])
    assert boss.post(f"{LEADS}{lead.pk}/delete/", {"post": "yes"}).status_code == 403
    boss.post(LEADS, {"action": "delete_selected", "_selected_action": [lead.pk], "post": "yes"})
    assert Contact.objects.filter(pk=lead.pk).exists()


# A lead by hand


@pytest.mark.parametrize(
    ("typed", "digits"),
    [
        ("+51 987 111 222", "51987111222"),
        ("0051 987111222", "51987111222"),
        ("51987111222", "51987111222"),
        ("", None),
    ],
)
def test_a_lead_can_be_added_by_hand(desk: Client, cast: Cast, typed: str, digits: str | None) -> None:
    response = save(desk, LEADS + "add/", name="By hand", phone=typed)
    lead = Contact.objects.get(name="By hand")
    assert (lead.phone, lead.workspace.slug) == (digits, "lima")
    assert response.redirect_chain[-1][0] == page_of(lead)


@pytest.mark.parametrize("typed", ["foo", "foo 51987111222", "123", "+999 1234567", "+51 1", "1" * 30])
def test_what_is_no_phone_is_refused_in_plain_words(desk: Client, typed: str) -> None:
    response = save(desk, LEADS + "add/", name="By hand", phone=typed)
    assert (
        "phone" in response.context["errors"].as_text() or response.context["adminform"].form.errors["phone"]
    )
    assert not Contact.objects.filter(name="By hand").exists()


def test_a_phone_that_a_lead_has_already_is_refused_with_its_name(desk: Client, cast: Cast) -> None:
    make_lead(cast.workspaces["lima"], "Rosa", phone="51987111222")
    response = save(desk, LEADS + "add/", phone="+51 987 111 222")
    assert "That is Rosa, who is a lead already." in response.content.decode()


def test_the_same_phone_in_another_workspace_is_no_obstacle(desk: Client, cast: Cast) -> None:
    make_lead(cast.workspaces["jakarta"], "Foreign", phone="51987111222")
    save(desk, LEADS + "add/", name="Here", phone="+51987111222")
    assert Contact.objects.get(name="Here").phone == "51987111222"


def test_a_lead_cannot_be_added_to_a_foreign_workspace(desk: Client, cast: Cast) -> None:
    save(desk, LEADS + "add/", name="Here", workspace=cast.workspaces["jakarta"].pk)
    assert not Contact.objects.filter(name="Here").exists()


def test_of_two_who_add_a_lead_at_once_the_second_is_told(
    desk: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = post_of(desk.get(LEADS + "add/"), name="Late", phone="+51987111222")
    check = Contact.full_clean

    def meanwhile(self: Contact, *args: Any, **kwargs: Any) -> None:
        check(self, *args, **kwargs)
        make_lead(cast.workspaces["lima"], "First", phone="51987111222")

    monkeypatch.setattr(Contact, "full_clean", meanwhile)
    response = desk.post(LEADS + "add/", sent, follow=True)
    assert "added just now by somebody else" in told(response)
    assert not Contact.objects.filter(name="Late").exists()


def test_a_phone_that_somebody_had_before_leads_to_them(desk: Client, cast: Cast) -> None:
    lead = make_lead(cast.workspaces["lima"], "Rosa", phone="51987111222")
    Identity.objects.create(workspace=lead.workspace, kind="phone", value="51987000000", contact=lead)
    response = save(desk, LEADS + "add/", phone="+51 987 000 000")
    assert "That is Rosa, who is a lead already." in response.content.decode()


def test_a_score_beyond_reason_is_refused(desk: Client) -> None:
    for typed in ("lots", "1.5", "99999999"):
        assert save(desk, LEADS + "add/", name="By hand", lead_score=typed).context["adminform"].form.errors
    assert not Contact.objects.filter(name="By hand").exists()


def test_a_lead_needs_a_phone_or_a_name(desk: Client) -> None:
    assert "Enter a phone or a name." in save(desk, LEADS + "add/").content.decode()


def test_a_long_list_says_more_than(desk: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contacts.admin.tenancy.CappedPaginator.MOST", 1)
    for name in ("One", "Two", "Three"):
        make_lead(cast.workspaces["lima"], name)
    assert "More than 1 leads" in html(desk, LEADS)


# Deliveries


def test_a_delivery_is_listed_and_readable(desk: Client, kapso: Kapso) -> None:
    delivery = kapso.post_file("message-received-text").delivery
    assert "message.received" in html(desk, DELIVERIES)
    page = html(desk, f"{DELIVERIES}{delivery.pk}/change/")
    assert "&quot;message&quot;: {" in page
    assert delivery.body_sha256 in page


@pytest.mark.parametrize(
    "name",
    ["malformed-deep-nesting-300", "malformed-json-truncated", "malformed-array-body", "message-received-text-lone-surrogate",
     "message-received-text-nul", "message-received-text-huge", "message-received-text-html-injection"],
)  # fmt: skip
def test_any_body_can_be_looked_at(boss: Client, kapso: Kapso, name: str) -> None:
    delivery = kapso.post_file(name).delivery
    assert "Body" in html(boss, f"{DELIVERIES}{delivery.pk}/change/")
    assert html(boss, DELIVERIES)


def test_the_list_of_deliveries_reads_no_bodies(desk: Client, kapso: Kapso) -> None:
    kapso.post_file("message-received-text")
    with CaptureQueriesContext(connection) as captured:
        html(desk, DELIVERIES)
    few = len(captured)
    assert not any('"body"' in query["sql"] for query in captured)
    kapso.post_file("message-received-image-caption")
    assert queries(desk, DELIVERIES) == few


@pytest.mark.parametrize(
    ("query", "found"),
    [("status=processed", 1), ("status=failed", 0), ("event=whatsapp.message.received", 1), ("event=contact.updated", 0),
     ("within=1", 1), ("within=x", 1), ("number=999", 1), ("status=x", 1), ("event=x", 1)],
)  # fmt: skip
def test_deliveries_are_filtered(desk: Client, kapso: Kapso, query: str, found: int) -> None:
    kapso.post_file("message-received-text")
    assert html(desk, f"{DELIVERIES}?{query}").count('class="field-received') == found


def test_a_delivery_is_replayed_from_its_page(desk: Client, kapso: Kapso) -> None:
    delivery = kapso.post_file("message-received-text").delivery
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE contacts_message CASCADE")
    response = desk.post(reverse("admin:kapso_sync_webhookdelivery_replay", args=[delivery.pk]), follow=True)
    assert "Replayed 1 delivery: 1 processed." in told(response)
    assert Message.objects.filter(direction="inbound").count() == 1


def test_replaying_needs_a_post(desk: Client, kapso: Kapso) -> None:
    delivery = kapso.post_file("message-received-text").delivery
    assert desk.get(reverse("admin:kapso_sync_webhookdelivery_replay", args=[delivery.pk])).status_code == 405


def test_chosen_deliveries_are_replayed_and_counted(boss: Client, kapso: Kapso) -> None:
    for name in ("message-received-text", "conversation-ended", "message-received-unknown-phone-number-id"):
        kapso.post_file(name)
    keys = list(WebhookDelivery.objects.values_list("pk", flat=True))
    response = boss.post(DELIVERIES, {"action": "replay", "_selected_action": keys}, follow=True)
    assert "Replayed 3 deliveries: 2 processed, 1 number not registered." in told(response)


def test_too_many_deliveries_at_once_are_refused_with_advice(
    boss: Client, kapso: Kapso, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kapso_sync.admin.deliveries.MOST_REPLAYED", 0)
    key = kapso.post_file("message-received-text").delivery.pk
    response = boss.post(DELIVERIES, {"action": "replay", "_selected_action": [key]}, follow=True)
    assert "replay_webhooks" in told(response)


def test_a_failed_delivery_shows_what_went_wrong(desk: Client, kapso: Kapso) -> None:
    delivery = kapso.post_file("message-received-text").delivery
    error = "Traceback (most recent call last):\n  File x\nValueError: <b>boom</b>\n"
    WebhookDelivery.objects.filter(pk=delivery.pk).update(status="failed", error=error)
    assert "ValueError: &lt;b&gt;boom" in html(desk, DELIVERIES)
    assert "<details" in html(desk, f"{DELIVERIES}{delivery.pk}/change/")


def test_deliveries_are_not_changed_by_hand(boss: Client, kapso: Kapso) -> None:
    delivery = kapso.post_file("message-received-text").delivery
    assert boss.get(DELIVERIES + "add/").status_code == 403
    assert boss.post(f"{DELIVERIES}{delivery.pk}/change/", {"status": "failed"}).status_code == 403
    assert boss.post(f"{DELIVERIES}{delivery.pk}/delete/", {"post": "yes"}).status_code == 403


def test_without_deliveries_the_list_says_so(boss: Client) -> None:
    assert "No deliveries yet" in html(boss, DELIVERIES)


# Numbers


def test_registering_a_number_brings_in_what_came_before(boss: Client, cast: Cast, kapso: Kapso) -> None:
    waiting = kapso.post_file("message-received-unknown-phone-number-id").delivery
    assert waiting.status == "unroutable"
    lima = cast.workspaces["lima"].pk
    response = save(boss, NUMBERS + "add/", workspace=lima, phone_number_id=waiting.phone_number_id)
    assert "Replayed 1 delivery: 1 processed." in told(response)
    assert Message.objects.filter(phone_number__phone_number_id=waiting.phone_number_id).exists()


@pytest.mark.parametrize("limit", ["MOST_AT_ONCE", "BATCH_BYTES"])
def test_what_is_much_is_brought_in_after_the_answer(
    boss: Client, cast: Cast, kapso: Kapso, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(f"kapso_sync.admin.numbers.{limit}", 1)
    monkeypatch.setattr("kapso_sync.admin.outcomes.replay_in_batches", None)
    for key in ("one", "another"):
        waiting = kapso.post_file("message-received-unknown-phone-number-id", key=key).delivery
    lima = cast.workspaces["lima"].pk
    response = save(boss, NUMBERS + "add/", workspace=lima, phone_number_id=waiting.phone_number_id)
    assert "2 webhooks waited for this number: they are being brought in." in told(response)
    assert set(WebhookDelivery.objects.values_list("status", flat=True)) == {"processed"}


def test_a_comma_too_many_among_the_tags_is_no_mistake(desk: Client, cast: Cast) -> None:
    save(desk, LEADS + "add/", name="Tagged", tags="pan, VIP , pan,,")
    assert Contact.objects.get(name="Tagged").tags == ["pan", "VIP"]


def test_the_number_itself_is_not_taken_for_its_id(boss: Client, cast: Cast) -> None:
    lima = cast.workspaces["lima"].pk
    page = save(boss, NUMBERS + "add/", workspace=lima, phone_number_id="+51 987 654 321").content.decode()
    assert "Digits only" in page
    assert not PhoneNumber.objects.filter(phone_number_id__contains="51 987").exists()


def test_activating_a_number_brings_in_what_came_meanwhile(boss: Client, cast: Cast, kapso: Kapso) -> None:
    number = cast.numbers["lima"]
    PhoneNumber.objects.filter(pk=number.pk).update(is_active=False)
    assert kapso.post_file("message-received-text").delivery.status == "ignored"
    response = save(boss, f"{NUMBERS}{number.pk}/change/", is_active="on")
    assert "Replayed 1 delivery: 1 processed." in told(response)
    assert Contact.objects.filter(phone="51987650110").exists()


def test_a_secret_goes_in_and_never_comes_out(boss: Client, cast: Cast) -> None:
    number = cast.numbers["lima"]
    url = f"{NUMBERS}{number.pk}/change/"
    assert "lima-secret" not in html(boss, url)
    save(boss, url, webhook_secret="")
    assert PhoneNumber.objects.get(pk=number.pk).webhook_secret == "lima-secret"
    response = save(boss, url, webhook_secret="a new one", display_phone_number="")
    assert PhoneNumber.objects.get(pk=number.pk).webhook_secret == "a new one"
    assert "a new one" not in response.content.decode()


def test_a_secret_that_cannot_be_read_is_said_and_does_no_harm(
    boss: Client, cast: Cast, settings: Any
) -> None:
    url = f"{NUMBERS}{cast.numbers['lima'].pk}/change/"
    settings.ENCRYPTION_KEYS = ["another"]
    assert "enter it again" in html(boss, url)
    save(boss, url, display_phone_number="+51 1 000")
    settings.ENCRYPTION_KEYS = []
    number = PhoneNumber.objects.get(pk=cast.numbers["lima"].pk)
    assert (number.webhook_secret, number.display_phone_number) == ("lima-secret", "+51 1 000")


def test_a_number_shows_the_address_for_kapso(boss: Client, cast: Cast) -> None:
    assert 'value="http://testserver/webhooks/kapso/"' in html(boss, NUMBERS + "add/")


def test_switching_a_number_on_replays_what_waits_for_it(boss: Client, cast: Cast) -> None:
    number = cast.numbers["lima"]
    PhoneNumber.objects.filter(pk=number.pk).update(is_active=False)
    save(boss, f"{NUMBERS}{number.pk}/change/", is_active="on")
    assert PhoneNumber.objects.get(pk=number.pk).is_active


# Users, workspaces, the first page


@pytest.mark.parametrize(
    "url",
    [NUMBERS, NUMBERS + "add/", "/admin/auth/user/", "/admin/auth/group/", "/admin/contacts/workspace/add/"],
)
def test_members_do_not_administer(desk: Client, url: str) -> None:
    assert desk.get(url).status_code == 403


def test_members_look_at_their_workspace(desk: Client, cast: Cast) -> None:
    page = html(desk, f"/admin/contacts/workspace/{cast.workspaces['lima'].pk}/change/")
    assert "ana" in page
    assert 'name="_save"' not in page


@pytest.mark.parametrize(
    "url",
    ["/admin/auth/user/", "/admin/auth/user/add/", "/admin/auth/group/", "/admin/auth/group/add/", NUMBERS],
)
def test_superusers_do(boss: Client, url: str) -> None:
    assert html(boss, url)


def test_a_user_is_added_and_put_to_work(boss: Client, cast: Cast) -> None:
    typed = {
        "username": "eve",
        "usable_password": "true",
        "password1": "Kj7!ahq2x",
        "password2": "Kj7!ahq2x",
        "is_staff": "on",
    }
    boss.post("/admin/auth/user/add/", typed)
    eve = User.objects.get(username="eve")
    assert eve.is_staff
    assert "Works in" in html(boss, f"/admin/auth/user/{eve.pk}/change/")


def test_the_first_page_leads_to_the_leads(desk: Client) -> None:
    assert f'href="{LEADS}"' in html(desk, "/admin/")


def test_the_first_page_points_at_what_went_wrong(boss: Client, kapso: Kapso) -> None:
    kapso.post_file("message-received-unknown-phone-number-id")
    page = html(boss, "/admin/")
    assert "is not registered here: 1 webhook waits." in page
    assert f'href="{DELIVERIES}?waits=number&amp;number=' in page


def test_a_member_of_nothing_is_told_so(cast: Cast, client: Client) -> None:
    client.force_login(make_user("new"))
    assert "You belong to no workspace yet" in html(client, "/admin/")
    assert "You belong to no workspace yet" in html(client, LEADS)


def test_who_is_not_staff_stays_outside(cast: Cast, client: Client) -> None:
    user = make_user("former", cast.workspaces["lima"])
    User.objects.filter(pk=user.pk).update(is_staff=False)
    client.force_login(user)
    assert client.get(LEADS).status_code == 302


def test_an_address_that_leads_nowhere_says_so_and_leads_back(desk: Client) -> None:
    response = desk.get("/admin/contacts/contact/999999/erase/")
    assert response.status_code == 404
    assert "There is nothing at this address" in response.text
    assert 'href="/admin/"' in response.text
