"""What hangs on contacts and workspaces: conversations, messages, notes, follow-ups, and what a team arranges."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from api.models import Scope
from contacts import merging, work
from contacts.models import (
    Contact,
    CustomField,
    FollowUp,
    LeadChange,
    Membership,
    Note,
    PhoneNumber,
    Role,
    Tag,
    Workspace,
)
from kapso_sync.models import WebhookDelivery
from tests.api import WHO, Api, as_role, somebody
from tests.test_admin import make_lead, say

AT = datetime(2026, 6, 9, 10, tzinfo=UTC)


def workspace(name: str, number: str) -> Workspace:
    made = Workspace.objects.create(name=name, slug=name.lower())
    PhoneNumber.objects.create(
        workspace=made, phone_number_id=number, display_phone_number=number, webhook_secret="very secret"
    )
    return made


@pytest.fixture
def lima(db: None) -> Workspace:
    return workspace("Lima", "111")


@pytest.fixture
def rio(db: None) -> Workspace:
    return workspace("Rio", "222")


@pytest.fixture
def api(lima: Workspace) -> Api:
    return Api(somebody("agent", lima))


@pytest.fixture
def lead(lima: Workspace) -> Contact:
    return make_lead(lima, "Ana", phone="51911110001")


def test_messages_are_narrowed(api: Api, lead: Contact) -> None:
    first = say(lead, "Hola", sent_at=AT)
    second = say(
        lead, "Hi", sent_at=AT + timedelta(hours=1), direction="outbound", status="read", message_type="image"
    )
    for parameters, ids in (
        ({}, [first.pk, second.pk]),
        ({"contact": lead.pk, "ordering": "-sent_at"}, [second.pk, first.pk]),
        ({"conversation": first.conversation_id}, [first.pk, second.pk]),
        ({"number": first.phone_number_id, "direction": "inbound"}, [first.pk]),
        ({"type": "image"}, [second.pk]),
        ({"status": "read"}, [second.pk]),
        ({"sent_after": (AT + timedelta(minutes=1)).isoformat()}, [second.pk]),
        ({"sent_before": (AT + timedelta(minutes=1)).isoformat()}, [first.pk]),
        ({"contact": lead.pk + 1}, []),
    ):
        assert api.get("messages/", **parameters).ids == ids, parameters


def test_messages_newest_first_are_those_of_somebody(api: Api, lead: Contact) -> None:
    for n in range(7):
        say(lead, str(n), sent_at=AT + timedelta(minutes=n // 2))
    pages = api.pages("messages/", contact=lead.pk, ordering="-sent_at", limit=3)
    assert [row["content"] for page in pages for row in page.results] == list("6543210")
    answer = api.get("messages/", ordering="-sent_at")
    assert (answer.status, list(answer.fields)) == (400, ["ordering"])


def test_a_long_text_is_read_only_where_it_is_asked_for(
    api: Api, lead: Contact, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    say(lead, "x" * 100_000)
    with django_assert_num_queries(3) as asked:
        assert api.get("messages/", fields="status").results[0].keys() == {"id", "status"}
    assert '"content"' not in asked.captured_queries[-1]["sql"]


def test_notes_are_changed_and_deleted_by_who_wrote_them(api: Api, lead: Contact, lima: Workspace) -> None:
    mine = api.post(f"contacts/{lead.pk}/note/", {"text": "Wants blue"}).body
    path = f"notes/{mine['id']}/"
    other = Api(somebody("other", lima, Role.OWNER))
    assert other.patch(path, {"text": "Wants red"}).status == 403
    assert other.delete(path).status == 403
    tag = api.get(path).headers["ETag"]
    changed = api.patch(path, {"text": "Wants green"}, if_match=tag)
    assert (changed.status, changed.body["text"]) == (200, "Wants green")
    assert api.patch(path, {"text": "Wants grey"}, if_match=tag).status == 412
    assert api.delete(path, if_match=tag).status == 412
    assert list(api.patch(path, {"text": ""}).fields) == ["text"]
    assert api.patch(path, {}).body["text"] == "Wants green"
    assert api.delete(path).status == 204
    assert api.get(path).status == 404
    assert LeadChange.objects.get().kind == "note"


def test_follow_ups_move_and_are_narrowed(api: Api, lead: Contact, lima: Workspace) -> None:
    due = timezone.now() + timedelta(days=1)
    planned = work.plan_follow_up(lead, due, "Call", by=api.user)
    path = f"follow-ups/{planned.pk}/"
    tag = api.get(path).headers["ETag"]
    moved = api.patch(path, {"due_at": (due + timedelta(days=1)).isoformat()}, if_match=tag)
    assert (moved.status, moved.body["id"], moved.body["remark"]) == (200, planned.pk, "Call")
    assert api.patch(path, {"remark": "Write"}, if_match=tag).status == 412
    assert list(api.patch(path, {"due_at": "2001-01-01T00:00:00Z"}).fields) == ["due_at"]
    assert api.get("follow-ups/", done="false", contact=lead.pk).ids == [planned.pk]
    assert api.get("follow-ups/", due_before=due.isoformat()).ids == []
    work.finish_follow_up(lead, by=api.user)
    assert api.get("follow-ups/", done="true").ids == [planned.pk]
    assert api.patch(path, {"remark": "Write"}).status == 409


def test_what_was_merged_is_listed_with_the_survivor(api: Api, lead: Contact, lima: Workspace) -> None:
    other = make_lead(lima, "Ana B", phone="51911110002")
    work.add_note(other, "Of the other", by=api.user)
    work.plan_follow_up(other, timezone.now() + timedelta(days=1), by=api.user)
    work.move(other, "qualified", by=api.user)
    merging.merge(lead, other, by=None)
    for path in ("notes/", "follow-ups/", "status-changes/"):
        assert [row["contact"] for row in api.get(path, contact=lead.pk).results] == [lead.pk], path
    assert api.get(f"contacts/{lead.pk}/").body["next_follow_up"] is not None


def test_who_sees_some_sees_what_hangs_on_these(lima: Workspace, lead: Contact) -> None:
    narrow, other = as_role("narrow", lima), somebody("other", lima)
    merged = make_lead(lima, "Ana B", phone="51911110002", owner=narrow.user)
    Contact.objects.filter(pk=lead.pk).update(owner=other)
    work.add_note(lead, "Not theirs", by=other)
    work.add_note(merged, "Theirs, as long as it is", by=narrow.user)
    assert len(narrow.get("notes/").results) == 1
    merging.merge(lead, merged, by=None)
    Contact.objects.filter(pk=lead.pk).update(owner=other)
    assert narrow.get("notes/").results == []
    Contact.objects.filter(pk=lead.pk).update(owner=narrow.user)
    assert len(narrow.get("notes/").results) == 2


def everything(place: Workspace) -> dict[str, int]:
    """A row of each kind in it: its address and its id."""
    lead = make_lead(place, "Ana", phone="51911110001")
    message = say(lead)
    by = somebody(f"of {place.slug}", place)
    change = work.move(lead, "qualified", by=by)
    planned = work.plan_follow_up(lead, timezone.now() + timedelta(days=1), by=by)
    delivery = WebhookDelivery.objects.create(
        workspace=place,
        phone_number_id=message.phone_number.phone_number_id,
        body=b"{}",
        body_sha256=place.slug,
    )
    return {
        "contacts": lead.pk,
        "conversations": message.conversation_id or 0,
        "messages": message.pk,
        "notes": work.add_note(lead, "Hello", by=by).pk,
        "follow-ups": planned.pk,
        "status-changes": change.pk,
        "workspaces": place.pk,
        "numbers": message.phone_number_id,
        "members": Membership.objects.get(user=by).pk,
        "tags": Tag.objects.create(workspace=place, name="vip").pk,
        "custom-fields": CustomField.objects.create(workspace=place, key="city", label="City").pk,
        "deliveries": delivery.pk,
    }


NOT_ONE_BY_ONE = ("members", "tags")


@pytest.mark.parametrize("who", WHO)
def test_nobody_sees_anything_of_another_workspace(who: str, lima: Workspace, rio: Workspace) -> None:
    mine, foreign = everything(lima), everything(rio)
    api = as_role(who, lima)
    sees_deliveries = who in ("owner", "manager", "superuser")
    for kind, pk in mine.items():
        answer = api.get(f"{kind}/")
        if kind == "deliveries" and not sees_deliveries:
            assert answer.status == 403
            assert api.get(f"{kind}/{pk}/").status == 403
            continue
        sees = who != "stranger"
        assert (pk in answer.ids) is sees, kind
        assert (foreign[kind] in answer.ids) is (who == "superuser"), kind
        if kind not in NOT_ONE_BY_ONE:
            assert api.get(f"{kind}/{pk}/").status == (200 if sees else 404), kind
            assert api.get(f"{kind}/{foreign[kind]}/").status == (200 if who == "superuser" else 404), kind
        if kind != "workspaces":
            rows = api.get(f"{kind}/", workspace=rio.pk).ids
            assert rows == [] or who == "superuser", kind


def test_nothing_says_a_secret(lima: Workspace) -> None:
    api = as_role("owner", lima)
    everything(lima)
    for kind in ("numbers", "workspaces", "deliveries", "me"):
        assert "very secret" not in str(api.get(f"{kind}/").body)
    assert "very secret" not in str(api.get(f"numbers/{lima.phone_numbers.get().pk}/").body)


def test_who_am_i(lima: Workspace) -> None:
    api = Api(somebody("agent", lima), scope=Scope.READ)
    me = api.get("me/").body
    assert (me["id"], me["username"], me["is_superuser"]) == (api.user.pk, "agent", False)
    assert me["token"]["scopes"] == ["read"]
    assert me["workspaces"] == [{"id": lima.pk, "name": "Lima", "role": "agent"}]
    assert api.get("workspaces/").results[0]["role"] == "agent"


@pytest.mark.parametrize("who", WHO)
def test_owners_arrange_tags(who: str, lima: Workspace, rio: Workspace, lead: Contact) -> None:
    api, may = as_role(who, lima), who in ("owner", "superuser")
    work.add_tags(lead, ["Old"], by=None)
    old, foreign = (Tag.objects.create(workspace=place, name="Old") for place in (lima, rio))
    made = api.post("tags/", {"workspace": lima.pk, "name": " New  one "})
    assert made.status == (201 if may else 422 if who == "stranger" else 403)
    if may:
        assert made.body["name"] == "New one"
        assert api.post("tags/", {"workspace": lima.pk, "name": "new one"}).status == 409
    if who != "superuser":
        assert list(api.post("tags/", {"workspace": rio.pk, "name": "x"}).fields) == ["workspace"]
        assert api.delete(f"tags/{foreign.pk}/").status == 404
    assert api.delete(f"tags/{old.pk}/").status == (204 if may else 404 if who == "stranger" else 403)
    lead.refresh_from_db()
    assert lead.tags == ([] if may else ["Old"])


def test_members_are_those_who_may_own(api: Api, lima: Workspace) -> None:
    somebody("viewer", lima, Role.VIEWER)
    boss = somebody("boss", lima, Role.MANAGER)
    assert [(row["user"], row["name"], row["role"]) for row in api.get("members/").results] == [
        (api.user.pk, "agent", "agent"), (boss.pk, "boss", "manager")
    ]  # fmt: skip
    assert [row["user"] for row in api.get("members/", role="manager").results] == [boss.pk]


def test_deliveries_are_narrowed_and_shown_whole(lima: Workspace) -> None:
    api = as_role("manager", lima)
    rows = [
        WebhookDelivery.objects.create(
            workspace=lima, received_at=AT + timedelta(minutes=n), phone_number_id="111", event=event, status=status,
            body=body, body_sha256=str(n), error="Traceback: no",
        )
        for n, (event, status, body) in enumerate(
            [("a", "processed", b'{"x": "\xc3\xb1"}'), ("b", "failed", b"\xff\x00"), ("b", "ignored", b"")]
        )
    ]  # fmt: skip
    newest_first = [row.pk for row in reversed(rows)]
    assert [pk for page in api.pages("deliveries/", limit=1) for pk in page.ids] == newest_first
    assert not {"body", "error", "headers"} & set(api.get("deliveries/").results[0])
    for parameters, found in (
        ({"status": "failed"}, [1]),
        ({"event": "b"}, [2, 1]),
        ({"phone_number_id": "222"}, []),
        ({"received_after": rows[1].received_at.isoformat()}, [2, 1]),
        ({"received_before": rows[1].received_at.isoformat()}, [0]),
    ):
        assert api.get("deliveries/", **parameters).ids == [rows[n].pk for n in found], parameters
    whole = [api.get(f"deliveries/{row.pk}/").body for row in rows]
    assert [(row["body_encoding"], row["body"]) for row in whole] == [
        ("utf-8", '{"x": "ñ"}'), ("base64", "/wA="), ("utf-8", "")
    ]  # fmt: skip
    assert whole[0]["error"] == "Traceback: no"


def test_a_token_that_only_reads_changes_nothing(lima: Workspace, lead: Contact) -> None:
    api = Api(somebody("reader", lima, Role.OWNER), scope=Scope.READ)
    note = Note.objects.create(workspace=lima, contact=lead, text="Hello", by=api.user)
    for answer in (
        api.post(f"contacts/{lead.pk}/tag/", {"tags": ["vip"]}),
        api.patch(f"contacts/{lead.pk}/", {"name": "x"}),
        api.post("contacts/", {"workspace": lima.pk, "name": "x"}),
        api.delete(f"notes/{note.pk}/"),
        api.post("tags/", {"workspace": lima.pk, "name": "x"}),
    ):
        assert (answer.status, answer.problem) == (403, "insufficient-scope")
    assert api.get(f"contacts/{lead.pk}/").body["name"] == "Ana"


LISTS = {
    "conversations": 3, "messages": 3, "notes": 3, "follow-ups": 3, "status-changes": 3, "workspaces": 3, "numbers": 3,
    "members": 3, "tags": 3, "custom-fields": 3, "deliveries": 3,
}  # fmt: skip


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_takes_as_many_queries_whatever_is_in_it(
    kind: str, lima: Workspace, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """The token, the rights, the page."""
    api = as_role("manager", lima)
    everything(lima)
    for more in (0, 50):
        fill(lima, api.user, more)
        with django_assert_num_queries(LISTS[kind]):
            rows = api.get(f"{kind}/").results
        assert len(rows) >= (1 if not more or kind in ("workspaces", "numbers") else 50)


@pytest.mark.parametrize("kind", [*LISTS, "contacts"])
def test_one_of_them_takes_three(
    kind: str, lima: Workspace, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    api, known = as_role("manager", lima), everything(lima)
    if kind in NOT_ONE_BY_ONE:
        assert api.get(f"{kind}/{known[kind]}/").status in (404, 405)
        return
    with django_assert_num_queries(3):
        assert api.get(f"{kind}/{known[kind]}/").status == 200


def fill(place: Workspace, by: User, count: int) -> None:
    for n in range(count):
        lead = make_lead(place, f"Lead {n}", phone=f"5191122{n:04}")
        say(lead)
        work.add_note(lead, "Hello", by=by)
        work.move(lead, "qualified", by=by)
        FollowUp.objects.create(workspace=place, contact=lead, due_at=timezone.now(), by=by)
        Tag.objects.create(workspace=place, name=f"tag {n}")
        CustomField.objects.create(workspace=place, key=f"f{n}", label=f"F {n}")
        WebhookDelivery.objects.create(workspace=place, body=b"{}", body_sha256=f"{n}")
        member: Any = User(username=f"m{n}")
        member.save()
        Membership.objects.create(workspace=place, user=member)
