"""Contacts over the API: what is shown, and who sees which."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from api import cursors
from contacts import merging, work
from contacts.models import Change, ChangesKept, Contact, Conversation, FollowUp, PhoneNumber, Workspace
from tests.api import WHO, Api, as_role, somebody
from tests.test_admin import make_lead, say

AT = datetime(2026, 6, 9, 10, tzinfo=UTC)


@pytest.fixture
def lima(db: None) -> Workspace:
    workspace = Workspace.objects.create(name="Lima", slug="lima")
    PhoneNumber.objects.create(workspace=workspace, phone_number_id="111", display_phone_number="511")
    return workspace


@pytest.fixture
def rio(db: None) -> Workspace:
    workspace = Workspace.objects.create(name="Rio", slug="rio")
    PhoneNumber.objects.create(workspace=workspace, phone_number_id="222", display_phone_number="552")
    return workspace


@pytest.fixture
def agent(lima: Workspace) -> Api:
    return Api(somebody("agent", lima))


def test_a_contact_has_what_the_admin_shows(agent: Api, lima: Workspace) -> None:
    wrote = timezone.now() - timedelta(hours=1)
    lead = make_lead(
        lima, "Ana", phone="51911110001", email="ana@crm.test", owner=agent.user, tags=["vip"],
        last_activity_at=wrote, last_inbound_at=wrote, metadata={"city": "Lima"},
    )  # fmt: skip
    planned = work.plan_follow_up(lead, timezone.now() + timedelta(days=1), "Call", by=agent.user)
    answer = agent.get(f"contacts/{lead.pk}/")
    assert answer.status == 200
    shown = answer.body
    assert answer.headers["ETag"] == f'"{shown["version"]}"'
    assert (shown["id"], shown["workspace"], shown["owner"]) == (lead.pk, lima.pk, agent.user.pk)
    assert (shown["name"], shown["phone"], shown["email"]) == ("Ana", "51911110001", "ana@crm.test")
    assert (shown["tags"], shown["metadata"]) == (["vip"], {"city": "Lima"})
    assert (shown["lead_status"], shown["allowed_transitions"]) == ("new", ["qualified", "archived"])
    assert (shown["awaiting_reply"], shown["needs_follow_up"], shown["needs_human"]) == (True, True, False)
    assert shown["window_open"] is True
    assert datetime.fromisoformat(shown["window_closes_at"]) == wrote + timedelta(hours=24)
    assert shown["next_follow_up"] == {
        "id": planned.pk, "due_at": planned.due_at.isoformat().replace("+00:00", "Z"), "remark": "Call"
    }  # fmt: skip


def test_the_list_begins_with_who_was_active_last(agent: Api, lima: Workspace) -> None:
    never, old, new = (
        make_lead(lima, name, last_activity_at=at)
        for name, at in (("never", None), ("old", AT), ("new", AT + timedelta(hours=1)))
    )
    assert agent.get("contacts/").ids == [new.pk, old.pk, never.pk]
    assert agent.get("contacts/", ordering="id").ids == [never.pk, old.pk, new.pk]
    assert agent.get("contacts/").body["next"] is None


def test_of_the_fields_only_those_that_are_asked_for(agent: Api, lima: Workspace) -> None:
    make_lead(lima, "Ana")
    (row,) = agent.get("contacts/", fields="name,next_follow_up").results
    assert sorted(row) == ["id", "name", "next_follow_up"]
    answer = agent.get("contacts/", fields="name,secret")
    assert (answer.status, list(answer.fields)) == (400, ["fields"])
    assert "secret" in answer.fields["fields"]


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"colour": "red"}, "colour"),
        ({"status": "sold"}, "status"),
        ({"owner": "somebody"}, "owner"),
        ({"number": "1e3"}, "number"),
        ({"number": "99999999999999999999"}, "number"),
        ({"number": "²"}, "number"),
        ({"awaiting_reply": "yes"}, "awaiting_reply"),
        ({"view": "nonsense"}, "view"),
        ({"created_after": "yesterday"}, "created_after"),
        ({"created_after": "2026-06-09T10:00:00"}, "created_after"),
        ({"created_after": "2026-02-30T10:00:00Z"}, "created_after"),
        ({"search": ""}, "search"),
        ({"search": "a\0b"}, "search"),
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"limit": "٣"}, "limit"),
        ({"ordering": "name"}, "ordering"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "WzFd"}, "cursor"),
        ({"cursor": "A" * 600}, "cursor"),
        ({"fields": ""}, "fields"),
    ],
)
def test_what_cannot_be_asked_for_is_named(agent: Api, parameters: dict[str, str], field: str) -> None:
    answer = agent.get("contacts/", **parameters)
    assert (answer.status, list(answer.fields)) == (400, [field])


def test_a_parameter_that_comes_twice_is_refused(agent: Api) -> None:
    answer = agent.get("contacts/?status=new&status=archived")
    assert (answer.status, list(answer.fields)) == (400, ["status"])


def test_of_a_merged_contact_the_survivor_is_named(agent: Api, lima: Workspace) -> None:
    older, younger = (
        make_lead(lima, "Ana", phone="51911110001"),
        make_lead(lima, "Ana B", phone="51911110002"),
    )
    merging.merge(older, younger, by=None)
    answer = agent.get(f"contacts/{younger.pk}/")
    assert (answer.status, answer.problem, answer.body["merged_into"]) == (410, "merged-away", older.pk)
    assert agent.get("contacts/").ids == [older.pk]
    stranger = Api(somebody("stranger"))
    assert stranger.get(f"contacts/{younger.pk}/").status == 404


def test_an_agent_who_sees_some_is_not_told_of_others_survivors(lima: Workspace) -> None:
    Workspace.objects.filter(pk=lima.pk).update(agents_see_all=False)
    narrow, other = Api(somebody("narrow", lima)), somebody("other", lima)
    older = make_lead(lima, "Ana", phone="51911110001", owner=other)
    younger = make_lead(lima, "Ana B", phone="51911110002", owner=other)
    merging.merge(older, younger, by=None)
    assert narrow.get(f"contacts/{younger.pk}/").status == 404


SEES = {
    "owner": "mine theirs nobodys", "manager": "mine theirs nobodys", "agent": "mine theirs nobodys",
    "narrow": "mine nobodys", "viewer": "mine theirs nobodys", "stranger": "", "superuser": "foreign mine theirs nobodys",
}  # fmt: skip


@pytest.mark.parametrize("who", WHO)
def test_each_sees_what_the_admin_shows_them(who: str, lima: Workspace, rio: Workspace) -> None:
    api, other = as_role(who, lima), somebody("colleague", lima)
    leads = {
        "foreign": make_lead(rio, "Foreign", phone="51911110001", owner=api.user, tags=["vip"]),
        "mine": make_lead(lima, "Mine", phone="51911110002", owner=api.user, tags=["vip"]),
        "theirs": make_lead(lima, "Theirs", phone="51911110003", owner=other, tags=["vip"]),
        "nobodys": make_lead(lima, "Nobody's", phone="51911110004", tags=["vip"]),
    }
    for lead in leads.values():
        say(lead, "the same words")
    seen = sorted(leads[name].pk for name in SEES[who].split())
    for parameters in (
        {},
        {"ordering": "id"},
        {"tag": "vip"},
        {"search": "5191111"},
        {"search": "same words"},
    ):
        assert sorted(api.get("contacts/", **parameters).ids) == seen, parameters
    for lead in leads.values():
        assert api.get(f"contacts/{lead.pk}/").status == (200 if lead.pk in seen else 404)
    assert sorted(row["contact"] for row in api.get("messages/").results) == seen
    assert sorted(row["contact"] for row in api.get("conversations/").results) == seen
    number = leads["foreign"].workspace.phone_numbers.get()
    foreign = {leads["foreign"].pk} & set(seen)
    assert set(api.get("contacts/", number=number.pk).ids) == foreign
    assert set(api.get("contacts/", workspace=rio.pk).ids) == foreign
    assert {row["contact"] for row in api.get("messages/", contact=leads["foreign"].pk).results} == foreign


NOW = timezone.now()


def narrowed(lima: Workspace, me: User) -> None:
    """One lead for each value of each filter, named as what it is."""
    make_lead(lima, "plain", last_contact_at=NOW)
    make_lead(lima, "mine", owner=me, last_contact_at=NOW)
    make_lead(lima, "qualified", lead_status="qualified", last_contact_at=NOW)
    make_lead(lima, "ad", source="ad", last_contact_at=NOW)
    make_lead(lima, "waits", last_inbound_at=NOW, last_contact_at=NOW - timedelta(hours=1), read_at=NOW)
    make_lead(lima, "neglected", last_contact_at=NOW - timedelta(days=9))
    make_lead(lima, "old", created_at=NOW - timedelta(days=90), last_contact_at=NOW)


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({"status": "qualified"}, "qualified"),
        ({"owner": "me"}, "mine"),
        ({"view": "mine"}, "mine"),
        ({"source": "ad"}, "ad"),
        ({"awaiting_reply": "true"}, "waits"),
        ({"view": "awaiting"}, "waits"),
        ({"window_open": "true"}, "waits"),
        ({"needs_follow_up": "true"}, "neglected"),
        ({"last_contact_before": (NOW - timedelta(days=2)).isoformat()}, "neglected"),
        ({"created_before": (NOW - timedelta(days=30)).isoformat()}, "old"),
        # Beyond all that can be, as RFC 3339 writes it:
        ({"created_before": "0001-01-01T00:00:00+23:59"}, ""),
        ({"created_after": "9999-12-31T23:59:59-12:00"}, ""),
        ({"search": "neglec"}, "neglected"),
        (
            {"awaiting_reply": "false", "owner": "nobody", "status": "new", "source": "whatsapp"},
            "neglected old plain",
        ),
        ({"unread": "true"}, ""),
        ({"snoozed": "true"}, ""),
        ({"needs_human": "true"}, ""),
        ({"follow_up_due": "true"}, ""),
        ({"owner": "999999999999999999"}, ""),
        ({"number": "9223372036854775807"}, ""),
    ],
)
def test_a_list_is_narrowed_as_in_the_admin(
    agent: Api, lima: Workspace, parameters: dict[str, str], names: str
) -> None:
    narrowed(lima, agent.user)
    found = agent.get("contacts/", **parameters)
    assert " ".join(sorted(row["name"] for row in found.results)) == names


@pytest.mark.parametrize("name", ["awaiting_reply", "needs_follow_up", "window_open"])
def test_a_row_says_of_itself_what_the_filter_finds(agent: Api, lima: Workspace, name: str) -> None:
    narrowed(lima, agent.user)
    every = {row["id"]: row[name] for row in agent.get("contacts/").results}
    assert set(every.values()) == {True, False}
    for value in (True, False):
        found = agent.get("contacts/", **{name: str(value).lower()}).ids
        assert set(found) == {pk for pk, said in every.items() if said is value}


def test_what_is_nobodys_business_is_not_shown(agent: Api, lima: Workspace) -> None:
    lead = make_lead(lima, "Ana")
    shown = agent.get(f"contacts/{lead.pk}/").body
    assert not {"merged_into", "typed_at", "chosen_name", "made_by_sync"} & set(shown)


def test_a_hand_off_and_a_put_aside_lead_show(agent: Api, lima: Workspace) -> None:
    lead = make_lead(lima, "Ana")
    Conversation.objects.create(
        workspace=lima,
        contact=lead,
        phone_number=lima.phone_numbers.get(),
        handoff_at=AT,
        handoff_reason="Lost",
    )
    work.snooze(lead, timezone.now() + timedelta(days=1), by=agent.user)
    shown = agent.get(f"contacts/{lead.pk}/").body
    assert shown["needs_human"] is True
    assert shown["snoozed_until"] is not None
    assert agent.get("contacts/", snoozed="true", needs_human="true").ids == [lead.pk]
    Contact.objects.update(snoozed_until=AT)
    assert agent.get(f"contacts/{lead.pk}/").body["snoozed_until"] is None


def test_updated_since_finds_what_changed(agent: Api, lima: Workspace) -> None:
    same, edited = make_lead(lima, "same"), make_lead(lima, "edited")
    Change.objects.update(at=NOW - timedelta(hours=3), xid=1)
    ChangesKept.objects.update(xid=1, since=NOW - timedelta(hours=2))
    work.set_field(edited, "name", "Edited", by=agent.user)
    made = make_lead(lima, "made")
    since = (NOW - timedelta(hours=1)).isoformat()
    assert sorted(agent.get("contacts/", updated_since=since).ids) == [edited.pk, made.pk]
    assert same.pk in agent.get("contacts/").ids


def test_updated_since_longer_than_the_log_goes_back_is_refused(agent: Api, lima: Workspace) -> None:
    ChangesKept.objects.update(since=NOW - timedelta(hours=2))
    answer = agent.get("contacts/", updated_since=(NOW - timedelta(hours=3)).isoformat())
    assert (answer.status, list(answer.fields)) == (400, ["updated_since"])
    assert "list all" in answer.fields["updated_since"]


@pytest.mark.parametrize("parameters", [{}, {"ordering": "id"}, {"view": "awaiting"}, {"search": "Ana"}])
def test_a_page_takes_as_many_queries_whatever_is_in_it(
    agent: Api, lima: Workspace, parameters: dict[str, Any], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    def fill(count: int) -> None:
        for n in range(count):
            lead = make_lead(lima, f"Ana {n}", owner=agent.user, last_inbound_at=NOW, last_activity_at=NOW)
            say(lead)
            work.plan_follow_up(lead, timezone.now() + timedelta(days=1), by=None)

    # The token, the rights, the page; by activity also where the log of changes is.
    # A search first asks who is called so, was known by it, and wrote it.
    expected = 3 if parameters.get("ordering") == "id" else 5 if "search" in parameters else 4
    for count, shown in ((1, 1), (49, 50)):
        fill(count)
        with django_assert_num_queries(expected):
            assert len(agent.get("contacts/", **parameters).results) == shown


def test_a_page_reads_no_more_than_its_rows_however_many_threads_there_are(
    agent: Api, lima: Workspace
) -> None:
    leads = Contact.objects.bulk_create(
        Contact(workspace=lima, name=f"{n}", last_activity_at=NOW - timedelta(minutes=n)) for n in range(2000)
    )
    number = lima.phone_numbers.get()
    Conversation.objects.bulk_create(
        Conversation(workspace=lima, contact=lead, phone_number=number) for lead in leads
    )
    FollowUp.objects.bulk_create(FollowUp(workspace=lima, contact=lead, due_at=NOW) for lead in leads)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE contacts_contact, contacts_conversation, contacts_followup")
        with CaptureQueriesContext(connection) as asked:
            agent.get("contacts/", limit=10)
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + asked.captured_queries[-1]["sql"])
        (plan,) = cursor.fetchone()[0]
    read = [
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes(plan["Plan"])
        if "Relation Name" in node
    ]
    assert max(read) <= 11


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def test_who_is_not_seen_is_not_named_to_whoever_adds_their_phone(lima: Workspace) -> None:
    api = as_role("narrow", lima)
    hidden = make_lead(lima, "Secret Name", phone="51911110001", owner=somebody("other", lima))
    assert api.get(f"contacts/{hidden.pk}/").status == 404
    answer = api.post("contacts/", {"workspace": lima.pk, "phone": "+51 911 110 001"})
    assert (answer.status, list(answer.fields)) == (422, ["phone"])
    assert "Secret" not in str(answer.body)
    named = as_role("manager", lima).post("contacts/", {"workspace": lima.pk, "phone": "+51 911 110 001"})
    assert "Secret Name" in named.fields["phone"]


def test_a_cursor_without_a_time_is_none(agent: Api, lima: Workspace) -> None:
    lead = make_lead(lima, "Ana")
    cursor = cursors.write("-sent_at", None, 5)
    answer = agent.get("messages/", contact=lead.pk, ordering="-sent_at", cursor=cursor)
    assert (answer.status, list(answer.fields)) == (400, ["cursor"])
