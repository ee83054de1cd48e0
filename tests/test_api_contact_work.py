"""What programs do with contacts: as in the admin, in the histories as there, and refused as there."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from contacts import work
from contacts.models import (
    Contact,
    Conversation,
    CustomField,
    FollowUp,
    LeadChange,
    Membership,
    Note,
    PhoneNumber,
    Role,
    StatusChange,
    Tag,
    Workspace,
)
from tests.api import WHO, Answer, Api, as_role, somebody
from tests.test_admin import make_lead


@pytest.fixture
def lima(db: None) -> Workspace:
    workspace = Workspace.objects.create(name="Lima", slug="lima")
    PhoneNumber.objects.create(workspace=workspace, phone_number_id="111", display_phone_number="511")
    return workspace


@pytest.fixture
def rio(db: None) -> Workspace:
    return Workspace.objects.create(name="Rio", slug="rio")


@pytest.fixture
def api(lima: Workspace) -> Api:
    return Api(somebody("agent", lima))


@pytest.fixture
def lead(lima: Workspace) -> Contact:
    return make_lead(lima, "Ana", phone="51911110001")


def later(**ahead: float) -> str:
    return (timezone.now() + timedelta(**ahead or {"days": 1})).isoformat()


def test_a_status_moves_as_the_workflow_allows(api: Api, lead: Contact) -> None:
    answer = api.post(f"contacts/{lead.pk}/transition/", {"to": "qualified", "reason": "Asked for a price"})
    assert (answer.status, answer.body["lead_status"]) == (200, "qualified")
    assert answer.body["allowed_transitions"] == ["contacted", "archived"]
    (change,) = StatusChange.objects.all()
    assert (change.by, change.reason) == (api.user, "Asked for a price")


@pytest.mark.parametrize("to", ["converted", "new"])
def test_an_illegal_move_is_refused_and_names_the_legal_ones(api: Api, lead: Contact, to: str) -> None:
    answer = api.post(f"contacts/{lead.pk}/transition/", {"to": to})
    assert (answer.status, answer.problem) == (409, "transition-refused")
    assert answer.body["allowed"] == ["qualified", "archived"]
    assert not StatusChange.objects.exists()


def test_who_wrote_again_is_taken_up_again(api: Api, lead: Contact) -> None:
    assert api.post(f"contacts/{lead.pk}/reengage/").status == 409
    Contact.objects.update(lead_status="converted")
    assert api.post(f"contacts/{lead.pk}/reengage/").body["lead_status"] == "new"
    assert StatusChange.objects.count() == 2


def test_a_contact_is_given_to_somebody_and_to_nobody(api: Api, lead: Contact, lima: Workspace) -> None:
    mate = somebody("mate", lima)
    answer = api.post(f"contacts/{lead.pk}/assign/", {"owner": mate.pk, "reason": "Speaks Quechua"})
    assert (answer.status, answer.body["owner"]) == (200, mate.pk)
    assert api.post(f"contacts/{lead.pk}/assign/", {"owner": None}).body["owner"] is None
    assert list(LeadChange.objects.order_by("pk").values_list("kind", "after")) == [
        ("owner", mate.pk), ("owner", None)
    ]  # fmt: skip


def test_nobody_from_elsewhere_can_own_and_nothing_is_said_of_them(
    api: Api, lead: Contact, lima: Workspace, rio: Workspace
) -> None:
    viewer, foreigner = somebody("viewer", lima, Role.VIEWER), somebody("the.foreigner", rio)
    gone = somebody("gone", lima)
    gone.is_active = False
    gone.save()
    said = set()
    for owner in (viewer.pk, foreigner.pk, gone.pk, 999_999):
        answer = api.post(f"contacts/{lead.pk}/assign/", {"owner": owner})
        assert (answer.status, list(answer.fields)) == (422, ["owner"])
        said.add(answer.fields["owner"])
    assert len(said) == 1
    assert Contact.objects.get().owner is None


def test_who_gives_a_contact_away_is_still_answered(lima: Workspace, lead: Contact) -> None:
    narrow = as_role("narrow", lima)
    mate = somebody("mate", lima)
    assert narrow.post(f"contacts/{lead.pk}/assign/", {"owner": mate.pk}).body["owner"] == mate.pk
    assert narrow.get(f"contacts/{lead.pk}/").status == 404
    assert narrow.post(f"contacts/{lead.pk}/assign/", {"owner": None}).status == 404


def test_tags_come_and_go(api: Api, lead: Contact, lima: Workspace) -> None:
    Tag.objects.create(workspace=lima, name="VIP")
    assert api.post(f"contacts/{lead.pk}/tag/", {"tags": ["vip", "new here"]}).body["tags"] == [
        "VIP",
        "new here",
    ]
    assert api.post(f"contacts/{lead.pk}/untag/", {"tags": ["Vip", "nothing"]}).body["tags"] == ["new here"]


def test_a_contact_is_put_aside_and_taken_up(api: Api, lead: Contact) -> None:
    until = later(days=2)
    answer = api.post(f"contacts/{lead.pk}/snooze/", {"until": until})
    assert datetime.fromisoformat(answer.body["snoozed_until"]) == datetime.fromisoformat(until)
    assert api.post(f"contacts/{lead.pk}/wake/").body["snoozed_until"] is None
    assert api.post(f"contacts/{lead.pk}/wake/").status == 200


def test_a_hand_off_is_taken_care_of(api: Api, lead: Contact, lima: Workspace) -> None:
    Conversation.objects.create(
        workspace=lima, contact=lead, phone_number=lima.phone_numbers.get(), handoff_at=timezone.now()
    )
    assert api.get(f"contacts/{lead.pk}/").body["needs_human"] is True
    assert api.post(f"contacts/{lead.pk}/handoff-clear/", {}).body["needs_human"] is False


def test_a_note_is_written(api: Api, lead: Contact) -> None:
    answer = api.post(f"contacts/{lead.pk}/note/", {"text": " Wants blue\r\n"})
    assert answer.status == 201
    assert answer.headers["ETag"] == f'"{answer.body["version"]}"'
    assert (answer.body["contact"], answer.body["text"], answer.body["by"]) == (
        lead.pk,
        "Wants blue",
        api.user.pk,
    )
    assert answer.body["id"] == Note.objects.get().pk


def test_one_follow_up_is_planned_moved_and_done(api: Api, lead: Contact) -> None:
    first = api.post(f"contacts/{lead.pk}/follow-up/", {"due_at": later(), "remark": "Call"})
    second = api.post(f"contacts/{lead.pk}/follow-up/", {"due_at": later(days=2)})
    assert (first.status, second.status, first.body["id"]) == (201, 201, second.body["id"])
    assert api.get(f"contacts/{lead.pk}/").body["next_follow_up"]["id"] == first.body["id"]
    done = api.post(f"contacts/{lead.pk}/follow-up/done/")
    assert (done.status, done.body["next_follow_up"]) == (200, None)
    assert api.post(f"contacts/{lead.pk}/follow-up/done/").status == 409
    assert FollowUp.objects.get().done_by == api.user


WRONG: list[tuple[str, Any, list[str]]] = [
    ("transition", {}, ["to"]),
    ("transition", {"to": "sold"}, ["to"]),
    ("transition", {"to": ["qualified"]}, ["to"]),
    ("transition", {"to": "qualified", "reason": "x" * 256}, ["reason"]),
    ("transition", {"to": "qualified", "why": "x"}, ["why"]),
    ("assign", {}, ["owner"]),
    ("assign", {"owner": "me"}, ["owner"]),
    ("assign", {"owner": True}, ["owner"]),
    ("assign", {"owner": 1.5}, ["owner"]),
    ("assign", {"owner": 0}, ["owner"]),
    ("tag", {"tags": []}, ["tags"]),
    ("tag", {"tags": "vip"}, ["tags"]),
    ("tag", {"tags": ["  "]}, ["tags.0"]),
    ("tag", {"tags": ["ok", "a,b"]}, ["tags.1"]),
    ("tag", {"tags": ["x" * 51]}, ["tags.0"]),
    ("tag", {"tags": [str(n) for n in range(51)]}, ["tags"]),
    ("note", {"text": "  "}, ["text"]),
    ("note", {"text": 5}, ["text"]),
    ("note", {"text": "x" * 10_001}, ["text"]),
    ("follow-up", {"due_at": "tomorrow"}, ["due_at"]),
    ("follow-up", {"due_at": "2026-06-09"}, ["due_at"]),
    ("follow-up", {"due_at": "2001-01-01T00:00:00Z"}, ["due_at"]),
    ("follow-up", {"due_at": "2900-01-01T00:00:00Z"}, ["due_at"]),
    ("snooze", {"until": 5}, ["until"]),
    ("wake", {"now": True}, ["now"]),
    ("wake", [], [""]),
    ("merge", {"other": 999_999}, ["other"]),
]


@pytest.mark.parametrize(("what", "body", "fields"), WRONG)
def test_what_does_not_fit_is_named_and_changes_nothing(
    lima: Workspace, lead: Contact, what: str, body: Any, fields: list[str]
) -> None:
    before = Contact.objects.values().get(pk=lead.pk)
    answer = as_role("manager", lima).post(f"contacts/{lead.pk}/{what}/", body)
    assert (answer.status, answer.problem, list(answer.fields)) == (422, "invalid-fields", fields)
    assert Contact.objects.values().get(pk=lead.pk) == before
    assert not LeadChange.objects.exists()
    assert not Note.objects.exists()


def test_what_people_type_is_changed_in_one_go(api: Api, lead: Contact, lima: Workspace) -> None:
    CustomField.objects.create(workspace=lima, key="budget", label="Budget", kind="number")
    edit = {"name": "Ana Flores", "email": "ana@crm.test", "lead_score": 40, "metadata": {"budget": 1500.5}}
    answer = api.patch(f"contacts/{lead.pk}/", edit)
    assert answer.status == 200
    assert {name: answer.body[name] for name in edit} == edit
    assert LeadChange.objects.filter(by=api.user).count() == 4
    assert api.patch(f"contacts/{lead.pk}/", {"metadata": {"budget": None}}).body["metadata"] == {}
    assert api.patch(f"contacts/{lead.pk}/", {}).status == 200


@pytest.mark.parametrize(
    ("body", "field", "word"),
    [
        ({"lead_status": "qualified"}, "lead_status", "transition"),
        ({"owner": 5}, "owner", "assign"),
        ({"tags": []}, "tags", "untag"),
        ({"phone": "51911110002"}, "phone", "no such field"),
        ({"email": "nobody"}, "email", "valid"),
        ({"name": None}, "name", "null"),
        ({"lead_score": 10**9}, "lead_score", "1000000"),
        ({"lead_score": "5"}, "lead_score", "integer"),
        ({"metadata": {"colour": "red"}}, "metadata.colour", "no field"),
        ({"metadata": {"budget": "much"}}, "metadata.budget", "takes a number"),
        ({"metadata": {"budget": {"a": 1}}}, "metadata.budget", "takes a number"),
        ({"metadata": []}, "metadata", "dictionary"),
    ],
)
def test_of_an_edit_that_does_not_fit_nothing_is_done(
    api: Api, lead: Contact, lima: Workspace, body: dict[str, Any], field: str, word: str
) -> None:
    CustomField.objects.create(workspace=lima, key="budget", label="Budget", kind="number")
    answer = api.patch(f"contacts/{lead.pk}/", {"name": "Other"} | body)
    assert (answer.status, list(answer.fields)) == (422, [field])
    assert word in answer.fields[field]
    lead.refresh_from_db()
    assert (lead.name, lead.metadata) == ("Ana", {})


def test_a_contact_is_added_by_hand(api: Api, lima: Workspace) -> None:
    body = {
        "workspace": lima.pk,
        "phone": "+51 911 110 002",
        "name": "Bea",
        "tags": ["vip", "fair"],
        "lead_score": 3,
    }
    answer = api.post("contacts/", body)
    assert answer.status == 201
    assert (answer.body["phone"], answer.body["tags"], answer.body["lead_score"]) == (
        "51911110002",
        ["vip", "fair"],
        3,
    )
    assert api.get(f"contacts/{answer.body['id']}/").body["name"] == "Bea"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"phone": "51911110001"}, ["phone"]),
        ({"phone": "+51 911"}, ["phone"]),
        ({"phone": "call me"}, ["phone"]),
        ({"name": "  "}, [""]),
        ({}, [""]),
        ({"name": "Bea", "owner": 1}, ["owner"]),
        ({"name": "Bea", "email": "x"}, ["email"]),
        ({"name": "Bea", "workspace": 999_999}, ["workspace"]),
        ({"name": "Bea", "workspace": None}, ["workspace"]),
    ],
)
def test_who_cannot_be_added_is_not(
    api: Api, lima: Workspace, lead: Contact, body: dict[str, Any], fields: list[str]
) -> None:
    answer = api.post("contacts/", {"workspace": lima.pk} | body)
    assert (answer.status, list(answer.fields)) == (422, fields)
    assert Contact.objects.count() == 1


def test_an_edit_of_what_somebody_else_has_edited_since_is_stale(api: Api, lead: Contact) -> None:
    read = api.get(f"contacts/{lead.pk}/")
    tag = read.headers["ETag"]
    assert api.patch(f"contacts/{lead.pk}/", {"name": "Ana B"}, if_match=tag).status == 200
    for answer in (
        api.patch(f"contacts/{lead.pk}/", {"name": "Ana C"}, if_match=tag),
        api.post(f"contacts/{lead.pk}/tag/", {"tags": ["vip"]}, if_match=tag),
        api.post(f"contacts/{lead.pk}/note/", {"text": "Late"}, if_match=f'"other", {tag}'),
    ):
        assert (answer.status, answer.problem) == (412, "stale")
        assert answer.body["version"] != read.body["version"]
    lead.refresh_from_db()
    assert (lead.name, lead.tags) == ("Ana B", [])
    assert api.patch(f"contacts/{lead.pk}/", {"name": "Ana D"}, if_match="*").status == 200


def test_a_new_message_makes_no_edit_stale(api: Api, lead: Contact) -> None:
    tag = api.get(f"contacts/{lead.pk}/").headers["ETag"]
    now = timezone.now()
    Contact.objects.update(last_activity_at=now, last_inbound_at=now, kapso_name="Anita", read_at=now)
    assert api.patch(f"contacts/{lead.pk}/", {"email": "ana@crm.test"}, if_match=f"W/{tag}").status == 200


@pytest.mark.parametrize("tag", ["nonsense", "0", "", " ", '"', '"a" "b"', '"a",', '"a"b"'])
def test_what_is_no_tag_matches_nothing(api: Api, lead: Contact, tag: str) -> None:
    answer = api.patch(f"contacts/{lead.pk}/", {"name": "Ana B"}, if_match=tag)
    assert (answer.status, answer.problem, list(answer.fields)) == (400, "invalid-header", ["If-Match"])
    assert Contact.objects.get().name == "Ana"


def test_a_tag_is_found_among_others_with_commas_in_them(api: Api, lead: Contact) -> None:
    tag = api.get(f"contacts/{lead.pk}/").headers["ETag"]
    assert api.patch(f"contacts/{lead.pk}/", {"name": "Ana B"}, if_match='"a,b"').status == 412
    assert api.patch(f"contacts/{lead.pk}/", {"name": "Ana B"}, if_match=f'"a,b" , W/{tag}').status == 200


MAY = {
    "owner": (200, 200), "manager": (200, 200), "agent": (200, 403), "narrow": (404, 404), "viewer": (403, 403),
    "stranger": (404, 404), "superuser": (200, 200),
}  # fmt: skip
BODIES: dict[str, Any] = {
    "transition": {"to": "qualified"},
    "assign": {"owner": None},
    "tag": {"tags": ["vip"]},
    "untag": {"tags": ["vip"]},
    "wake": {},
    "handoff-clear": {},
}


@pytest.mark.parametrize("who", WHO)
def test_each_does_what_their_role_allows(who: str, lima: Workspace, rio: Workspace) -> None:
    """With a contact that is somebody else's."""
    api, other = as_role(who, lima), somebody("colleague", lima)
    works, manages = MAY[who]
    theirs = make_lead(lima, "Theirs", phone="51911110002", owner=other)
    second = make_lead(lima, "Second", phone="51911110003", owner=other)
    path = f"contacts/{theirs.pk}"
    until = {"until": later()}
    answers: dict[str, Answer] = {"edit": api.patch(f"{path}/", {"lead_score": 1})}
    for what in ("transition", "tag", "untag", "wake", "handoff-clear"):
        answers[what] = api.post(f"{path}/{what}/", BODIES[what])
    answers["snooze"] = api.post(f"{path}/snooze/", until)
    assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(answers, works)
    made = {200: 201}.get(works, works)
    assert api.post(f"{path}/note/", {"text": "Hello"}).status == made
    assert api.post(f"{path}/follow-up/", {"due_at": later()}).status == made
    assert api.post(f"{path}/merge/", {"other": second.pk}).status == manages
    foreign = make_lead(rio, "Foreign", phone="51911110002")
    if who != "superuser":
        for what, body in (BODIES | {"snooze": until, "merge": {"other": theirs.pk}}).items():
            assert api.post(f"contacts/{foreign.pk}/{what}/", body).status == 404
        assert api.patch(f"contacts/{foreign.pk}/", {"name": "Mine"}).status == 404
        (answer,) = [api.post("contacts/", {"workspace": rio.pk, "name": "Mine"})]
        assert (answer.status, list(answer.fields)) == (422, ["workspace"])
    assert not LeadChange.objects.filter(contact=foreign).exists()


def test_two_are_merged_and_taken_apart_again(lima: Workspace, lead: Contact) -> None:
    api = as_role("manager", lima)
    other = make_lead(lima, "Ana B", phone="51911110002")
    Note.objects.create(workspace=lima, contact=other, text="Of the other", by=api.user)
    merged = api.post(f"contacts/{other.pk}/merge/", {"other": lead.pk})
    assert (merged.status, merged.body["survivor"], merged.body["merged"]) == (200, lead.pk, other.pk)
    assert api.get(f"contacts/{other.pk}/").status == 410
    assert api.post(f"contacts/{other.pk}/tag/", {"tags": ["x"]}).status == 410
    assert [note["contact"] for note in api.get("notes/", contact=lead.pk).results] == [lead.pk]
    apart = api.post(f"merges/{merged.body['id']}/undo/")
    assert (apart.status, apart.body["id"]) == (200, other.pk)
    again = api.post(f"merges/{merged.body['id']}/undo/")
    assert (again.status, again.problem) == (409, "merge-refused")
    assert as_role("agent", lima).post(f"merges/{merged.body['id']}/undo/").status == 403
    assert as_role("stranger", lima).post(f"merges/{merged.body['id']}/undo/").status == 404


def test_nobody_merges_across_workspaces(lima: Workspace, rio: Workspace, lead: Contact) -> None:
    api = as_role("manager", lima)
    other = make_lead(rio, "Ana", phone="51911110001")
    assert list(api.post(f"contacts/{lead.pk}/merge/", {"other": other.pk}).fields) == ["other"]
    Membership.objects.create(workspace=rio, user=api.user, role=Role.MANAGER)
    assert api.post(f"contacts/{lead.pk}/merge/", {"other": other.pk}).status in (409, 422)
    assert api.post(f"contacts/{lead.pk}/merge/", {"other": lead.pk}).status in (409, 422)
    assert Contact.objects.living().count() == 2


def test_a_change_takes_as_many_queries_whatever_surrounds_it(
    api: Api, lead: Contact, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for n in range(20):
        work.add_note(lead, f"Note {n}", by=api.user)
    with django_assert_max_num_queries(12):
        api.post(f"contacts/{lead.pk}/tag/", {"tags": ["vip", "fair", "blue"]})


def test_a_kept_answer_is_none_for_who_may_not_see_it_any_more(api: Api, lead: Contact) -> None:
    """The phone in it is no more theirs than that on the contact's own address."""
    asked: dict[str, Any] = {
        "path": f"contacts/{lead.pk}/tag/",
        "body": {"tags": ["vip"]},
        "Idempotency_Key": "k-1",
    }
    first = api.post(**asked)
    assert api.post(**asked).headers["Idempotency-Replayed"] == "true"
    Membership.objects.filter(user=api.user).delete()
    again = api.post(**asked)
    assert first.status == 200
    assert (again.status, again.problem) == (422, "idempotency-key-reused")
    assert str(lead.phone) not in str(again.body)
