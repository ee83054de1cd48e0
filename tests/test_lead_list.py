"""The list of leads in the admin: rows, tabs, filters, saved filters, search, and what an open list asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from contacts import lead_search, lead_views
from contacts.admin.lead_list import Found, FoundByCommonName
from contacts.models import (
    Contact,
    Conversation,
    FollowUp,
    Identity,
    Membership,
    PhoneNumber,
    SavedFilter,
    StatusChange,
    Tag,
    Workspace,
)
from tests.test_admin import say

LEADS = "/admin/contacts/contact/"
LIVE = f"{LEADS}live/"
pytestmark = pytest.mark.django_db


def ago(hours: float = 0, **more: float) -> datetime:
    return timezone.now() - timedelta(hours=hours, **more)


@pytest.fixture
def lima() -> Workspace:
    lima = Workspace.objects.create(name="Lima", slug="lima")
    PhoneNumber.objects.create(workspace=lima, phone_number_id="1", display_phone_number="+51 1 555 0142")
    return lima


@pytest.fixture
def quito() -> Workspace:
    """Nobody in these tests works there, unless they say so."""
    quito = Workspace.objects.create(name="Quito", slug="quito")
    PhoneNumber.objects.create(workspace=quito, phone_number_id="2")
    return quito


def join(name: str, workspace: Workspace, role: str = "manager") -> User:
    user, _ = User.objects.get_or_create(username=name, defaults={"is_staff": True})
    Membership.objects.create(user=user, workspace=workspace, role=role)
    return user


@pytest.fixture
def ana(lima: Workspace) -> User:
    return join("ana", lima)


@pytest.fixture
def desk(ana: User) -> Client:
    return browser_of(ana)


def browser_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def make(workspace: Workspace, name: str, **fields: Any) -> Contact:
    return Contact.objects.create(workspace=workspace, name=name, **fields)


def page(client: Client, **parameters: Any) -> str:
    response = client.get(LEADS, parameters)
    assert response.status_code == 200, response
    return response.content.decode()


def rows(html: str) -> list[str]:
    """The names in the list, from top to bottom."""
    return re.findall(r'class="field-lead"><a [^>]*><bdi>(.*?)</bdi>', html)


def row_of(html: str, lead: Contact) -> str:
    found = re.search(rf'<tr [^>]*id="lead-{lead.pk}".*?</tr>', html, re.DOTALL)
    assert found
    return found[0]


def tabs(html: str) -> dict[str, str]:
    """What each tab says that it has."""
    nav = html[html.index('id="lead-tabs"') : html.index("</nav>", html.index('id="lead-tabs"'))]
    found = re.findall(r'<a href="([^"]*)".*?<span class="lead-count"[^>]*>(.*?)</span>', nav)
    return dict(found)


def statements(client: Client, url: str, **headers: str) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url, headers=headers).status_code in (200, 204)
    return [query["sql"] for query in captured]


# Tabs


@pytest.fixture
def crafted(lima: Workspace, quito: Workspace, ana: User) -> None:
    """One lead for each edge of each tab, and a neighbour of each in another workspace."""
    ben = join("ben", lima)
    closed = {"lead_status": "archived", "last_contact_at": ago(9)}
    for place in (lima, quito):
        make(place, "waits long", last_inbound_at=ago(23), last_contact_at=ago(24), owner=ana)
        make(place, "waits", last_inbound_at=ago(3), last_contact_at=ago(4), owner=ben)
        tie = ago(3)
        make(place, "tie", last_inbound_at=tie, last_contact_at=tie, owner=ben)
        failed = make(place, "only failed", last_inbound_at=ago(5), owner=ben)
        say(failed, direction="outbound", status="failed", sent_at=ago(1))
        make(place, "quiet", last_contact_at=ago(73), owner=ben)
        make(place, "aside", last_inbound_at=ago(80), snoozed_at=ago(1), snoozed_until=ago(-5), owner=ben)
        make(place, "just closed window", last_inbound_at=ago(24), last_contact_at=ago(1), owner=ben)
        make(place, "nobody's", last_contact_at=ago(1))
        for name, hours in (("done", 8), ("back", 1)):
            lead = make(place, name, last_inbound_at=ago(hours), owner=ben, **closed)
            StatusChange.objects.create(
                workspace=place, contact=lead, from_status="new", to_status="archived", at=ago(5)
            )
        make(place, "merged", merged_into=Contact.objects.get(workspace=place, name="tie"), owner=ana)


@pytest.mark.parametrize(
    ("view", "names"),
    [
        ("awaiting", ["waits long", "only failed", "waits", "back"]),
        ("follow-up", ["only failed", "quiet"]),
        ("closing", ["waits long"]),
        ("never", ["aside", "only failed"]),
        ("mine", ["waits long"]),
        ("unassigned", ["nobody's"]),
        ("again", ["back"]),
    ],
)
@pytest.mark.usefixtures("crafted")
def test_each_tab_holds_exactly_its_leads_and_says_how_many(
    desk: Client, view: str, names: list[str]
) -> None:
    html = page(desk, view=view).replace("&#x27;", "'")
    found = rows(html)
    assert (found if view in ("awaiting", "closing") else sorted(found)) == names
    assert tabs(html)[f"?view={view}"] == str(len(names))


@pytest.mark.usefixtures("crafted")
def test_the_first_tab_has_all_and_nothing_of_others(desk: Client) -> None:
    html = page(desk)
    assert len(rows(html)) == 10
    assert tabs(html)["?"] == "10"


def test_who_reminds_us_keeps_their_place_in_the_queue(desk: Client, lima: Workspace) -> None:
    patient = make(lima, "patient", last_inbound_at=ago(2))
    say(patient, sent_at=ago(2))
    reminds = make(lima, "reminds", last_inbound_at=ago(1), last_contact_at=ago(5), unanswered_since=ago(3))
    for hours in (6, 3, 1):
        say(reminds, sent_at=ago(hours))
    html = page(desk, view="awaiting")
    assert rows(html) == ["reminds", "patient"]
    assert "customer, 3 h" in row_of(html, reminds)


def test_the_tabs_count_with_the_filters_and_keep_them(desk: Client, lima: Workspace, ana: User) -> None:
    make(lima, "mine, waits", owner=ana, last_inbound_at=ago(1), tags=["vip"])
    make(lima, "waits", last_inbound_at=ago(1))
    html = page(desk, owner="me", tag="vip")
    assert tabs(html)["?view=awaiting&amp;owner=me&amp;tag=vip"] == "1"


def test_counts_stop_at_a_thousand(desk: Client, lima: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lead_views, "MOST_COUNTED", 2)
    for index in range(4):
        make(lima, str(index))
    html = page(desk)
    assert tabs(html)["?"] == "2+"
    counting = next(sql for sql in statements(desk, LEADS) if sql.startswith("SELECT (SELECT count(*)"))
    assert counting.count("LIMIT 3") == len(lead_views.VIEWS)


def test_of_many_leads_found_the_newest_are_looked_at(
    desk: Client, lima: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Found, "MOST", 2)
    for hours in range(1, 5):
        make(lima, str(hours), tags=["vip"], last_activity_at=ago(hours), last_inbound_at=ago(hours))
    make(lima, "answered", tags=["vip"], last_activity_at=ago(0), last_contact_at=ago(0))
    html = page(desk, tag="vip")
    counted = tabs(html)
    assert (counted["?tag=vip"], counted["?view=awaiting&amp;tag=vip"]) == ("2+", "1+")
    assert "?view=again&amp;tag=vip" not in counted  # nobody of those: that says nothing of the others
    assert "Counted among the 2 leads with the newest activity" in html
    assert "More than 2 leads" in html
    assert rows(page(desk, tag="vip", view="awaiting")) == ["4", "3", "2"]


def test_what_is_found_is_looked_for_once(desk: Client, lima: Workspace) -> None:
    make(lima, "Somebody", tags=["vip"])
    asked = statements(desk, f"{LEADS}?tag=vip")
    assert len([sql for sql in asked if "'vip'" in sql]) == 1


@pytest.mark.parametrize("view", [*lead_views.VIEWS, "nonsense"])
def test_an_empty_tab_says_so(desk: Client, view: str) -> None:
    html = page(desk, view=view)
    known = lead_views.VIEWS.get(view, lead_views.VIEWS["all"])
    assert str(known.nothing).rstrip(".").replace("'", "&#x27;") in html
    assert '<table id="result_list"' not in html


def test_a_search_or_a_filter_without_results_offers_the_way_back(desk: Client, lima: Workspace) -> None:
    make(lima, "Somebody")
    found = page(desk, q="zzz", view="all")
    assert "Nobody matches “zzz”" in found
    assert 'href="?"' in found
    assert "No lead fits these filters" in page(desk, status="archived")


# Rows


def test_a_row_says_who_waits_and_what_is_left_of_the_window(desk: Client, lima: Workspace) -> None:
    waits = make(lima, "waits", last_inbound_at=ago(2), last_contact_at=ago(50))
    closing = make(lima, "closing", last_inbound_at=ago(23), last_contact_at=ago(22))
    closed = make(lima, "closed", last_inbound_at=ago(72.5), last_contact_at=ago(49))
    never = make(lima, "never wrote")
    html = page(desk)
    assert "customer, 2 h" in row_of(html, waits)
    assert re.search(r'class="lead-window".*21 h left', row_of(html, waits))
    assert "us, 22 h" in row_of(html, closing)
    assert re.search(r'class="lead-window is-closing".*59 min left', row_of(html, closing))
    assert "us, 2 days" in row_of(html, closed)
    assert "Window closed" in row_of(html, closed)
    assert "lead-window" not in row_of(html, never)


def test_unread_is_what_came_after_the_team_has_read(desk: Client, lima: Workspace) -> None:
    at = ago(1)
    newer = make(lima, "newer", last_inbound_at=at, read_at=at - timedelta(seconds=1))
    never_read = make(lima, "never read", last_inbound_at=at)
    read = make(lima, "read", last_inbound_at=at, read_at=at)
    silent = make(lima, "silent")
    html = page(desk)
    unread = {lead.name for lead in (newer, never_read, read, silent) if "is-unread" in row_of(html, lead)}
    assert unread == {"newer", "never read"}
    assert set(rows(page(desk, marked="unread"))) == unread


@pytest.mark.parametrize(
    ("status", "meaning"),
    [("sent", "Sent"), ("delivered", "Delivered"), ("read", "Read"), ("failed", "Not delivered")],
)
def test_our_message_shows_how_far_it_came(desk: Client, lima: Workspace, status: str, meaning: str) -> None:
    lead = make(lima, "Maria")
    say(lead, "An offer", direction="outbound", status=status)
    row = row_of(page(desk), lead)
    assert f'lead-tick {status}" role="img" aria-label="{meaning}"' in row
    assert "<bdi>An offer</bdi>" in row


def test_their_message_is_told_from_ours(desk: Client, lima: Workspace) -> None:
    lead = make(lima, "Maria")
    say(lead, "A question")
    assert 'aria-label="From the customer"' in row_of(page(desk), lead)


def test_the_name_is_whatever_is_known_and_the_rest_stands_below(desk: Client, lima: Workspace) -> None:
    handles = {"phone": "51987654321", "username": "mgomez"}
    named = make(lima, "Maria", kapso_name="mari", **handles)
    Contact.objects.filter(pk=named.pk).update(phone="51987654320")
    make(lima, "", kapso_name="mari", phone="51987654322")
    make(lima, "", **handles)
    make(lima, "", username="ben")
    html = page(desk)
    assert set(rows(html)) == {"Maria", "mari", "+51 987 654 321", "@ben"}
    assert re.findall("<bdi>(.*?)</bdi> ·", row_of(html, named)) == ["+51 987 654 320", "@mgomez"]


def test_what_somebody_must_do_is_marked(desk: Client, lima: Workspace, ana: User) -> None:
    lead = make(lima, "Maria", tags=["vip"], source="Shoes (ad)", owner=ana)
    Conversation.objects.create(
        workspace=lima,
        contact=lead,
        phone_number=PhoneNumber.objects.get(workspace=lima),
        handoff_at=ago(1),
        handoff_reason="Asked for a person",
    )
    FollowUp.objects.create(workspace=lima, contact=lead, due_at=ago(1), remark="Call her")
    row = row_of(page(desk), lead)
    for told in ("Needs a human", "Asked for a person", "Due", "Call her", ">vip<", "Shoes (ad)", "ana"):
        assert told in row
    Contact.objects.filter(pk=lead.pk).update(
        handoff_cleared_at=ago(0), snoozed_until=ago(-30), snoozed_at=ago(0)
    )
    FollowUp.objects.update(done_at=ago(0))
    row = row_of(page(desk), lead)
    assert "Needs a human" not in row
    assert "Due" not in row
    assert "Aside until" in row


def test_hostile_names_and_tags_are_inert(desk: Client, lima: Workspace) -> None:
    hostile = '"><script>window.pwned=1</script>'
    lead = make(lima, hostile, tags=[hostile], source=hostile, kapso_name="\u202e" + "x" * 250)
    say(lead, hostile)
    SavedFilter.objects.create(
        workspace=lima, by=join("eve", lima), name=hostile, query="tag=x", is_shared=True
    )
    for parameters in ({}, {"tag": hostile}, {"q": hostile}, {"source": hostile}, {"owner": hostile}):
        assert "<script>window.pwned" not in page(desk, **parameters)


# Cost


def test_the_list_takes_the_same_few_statements_for_one_lead_or_sixty(
    desk: Client, lima: Workspace, ana: User
) -> None:
    said = {"last_inbound_at": ago(1), "owner": ana}
    say(make(lima, "First lead", tags=["vip"], source="ad", **said))
    SavedFilter.objects.create(workspace=lima, by=ana, name="Mine", query="owner=me")
    desk.get(LEADS)
    few = statements(desk, LEADS)
    for index in range(60):
        say(make(lima, f"Lead {index}", tags=[f"tag {index}"], source=f"source {index}", **said))
        Tag.objects.create(workspace=lima, name=f"Tag {index}")
    for view in ("all", "awaiting", "follow-up", "never"):
        assert len(statements(desk, f"{LEADS}?view={view}")) == len(few)
    assert len(statements(desk, f"{LEADS}?owner=me&window=open&created=7")) == len(few)
    # A search asks who is called so, was known by it, and wrote it.
    assert len(statements(desk, f"{LEADS}?q=lead")) == len(few) + 1
    assert len(few) <= 12  # with what stands around every page: who asks, and what they are told


def test_nothing_counts_a_whole_table(desk: Client, lima: Workspace) -> None:
    make(lima, "Somebody")
    for query in ("", "?view=awaiting", "?q=some", "?owner=me"):
        for sql in statements(desk, LEADS + query):
            assert len(re.findall(r"count\(", sql, re.IGNORECASE)) <= len(re.findall(r"LIMIT \d+\)", sql)), (
                sql
            )


def test_no_select_has_more_than_a_hundred_options(desk: Client, lima: Workspace) -> None:
    for index in range(120):
        join(f"member {index}", lima)
        Tag.objects.create(workspace=lima, name=f"Tag {index}")
        make(lima, f"Lead {index}", source=f"Source {index}")
    html = page(desk, owner=User.objects.get(username="member 119").pk)
    selects = re.findall(r"<select.*?</select>", html, re.DOTALL)
    assert selects
    assert max(select.count("<option") for select in selects) <= 100


@pytest.fixture
def many(lima: Workspace, ana: User) -> Iterator[None]:
    """Enough leads that PostgreSQL has a reason to use an index."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO contacts_contact (workspace_id, name, last_activity_at, last_inbound_at, last_contact_at)"
            " SELECT %s, 'Lead ' || n, now() - n * interval '1 minute', now() - n * interval '1 minute',"
            " now() - n * interval '1 minute' + interval '1 second' FROM generate_series(1, 20000) AS n",
            [lima.pk],
        )
        cursor.execute("ANALYZE contacts_contact")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM contacts_contact")


def plan(sql: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN " + sql)
        return "\n".join(line for (line,) in cursor.fetchall())


@pytest.mark.usefixtures("many")
def test_the_list_reads_its_page_from_the_index(desk: Client) -> None:
    found = statements(desk, LEADS)
    (rows_of_page,) = [sql for sql in found if "waiting_since" in sql]
    (news,) = [sql for sql in found if "string_agg" in sql]
    for sql in (rows_of_page, news):
        assert "Index Scan using contact_activity" in plan(sql)
        assert "Seq Scan on contacts_contact" not in plan(sql)


@pytest.mark.usefixtures("many")
def test_tabs_with_few_leads_among_many_are_counted_by_an_index(desk: Client) -> None:
    (counting,) = [sql for sql in statements(desk, LEADS) if sql.startswith("SELECT (SELECT count(*)")]
    explained = plan(counting)
    for index in ("unanswered", "window", "never_contacted", "wrote_again"):
        assert re.search(rf"Index.* Scan (using|on) contact_{index}\b", explained), explained


# Who sees what


@pytest.fixture
def picky(lima: Workspace) -> Client:
    """An agent's browser in a workspace where agents see their own leads and those of nobody."""
    Workspace.objects.filter(pk=lima.pk).update(agents_see_all=False)
    agent, other = join("agent", lima, "agent"), join("other", lima, "agent")
    said = {"last_inbound_at": ago(1), "tags": ["vip"]}
    say(make(lima, "Own lead", owner=agent, source="own", **said), "secret word")
    say(make(lima, "Free lead", source="free", **said), "secret word")
    say(make(lima, "Foreign lead", owner=other, source="foreign", **said), "secret word")
    return browser_of(agent)


@pytest.mark.parametrize(
    "query", ["", "?q=lead", "?q=secret word", "?view=awaiting", "?tag=vip", "?window=open", "?owner="]
)
def test_an_agent_sees_own_and_free_leads_alone(picky: Client, query: str) -> None:
    html = picky.get(LEADS + query).content.decode()
    assert set(rows(html)) == {"Own lead", "Free lead"}
    assert set(tabs(html).values()) <= {"0", "1", "2"}


def test_an_agent_neither_filters_nor_reads_what_others_own(picky: Client) -> None:
    other = User.objects.get(username="other")
    assert rows(page(picky, owner=other.pk)) == []
    assert rows(page(picky, source="foreign")) == []
    assert "foreign" not in page(picky)
    live = picky.get(LIVE).content.decode()
    assert set(rows(live)) == {"Own lead", "Free lead"}


def test_nothing_of_another_workspace_is_found(desk: Client, lima: Workspace, quito: Workspace) -> None:
    lead = make(quito, "Foreigner", phone="593987654321", tags=["x"], source="s", username="foreign")
    say(lead, "secret word")
    number = PhoneNumber.objects.get(workspace=quito)
    for parameters in (
        {}, {"q": "foreigner"}, {"q": "593987654321"}, {"q": "@foreign"}, {"q": "secret word"}, {"tag": "x"},
        {"source": "s"}, {"number": number.pk}, {"workspace": quito.pk}, {"view": "never"},
    ):  # fmt: skip
        html = page(desk, **parameters)
        assert rows(html) == []
        assert "Quito" not in html


def test_who_works_nowhere_sees_nobody(lima: Workspace) -> None:
    make(lima, "Somebody")
    html = page(browser_of(User.objects.create_user("loner", is_staff=True)))
    assert rows(html) == []
    assert "You belong to no workspace yet" in html


# Filters


def test_filters(desk: Client, lima: Workspace, ana: User) -> None:
    second = PhoneNumber.objects.create(workspace=lima, phone_number_id="3", display_phone_number="+51 1 2")
    lead = make(
        lima, "Maria", tags=["vip"], source="Shoes (ad)", lead_status="qualified", owner=ana,
        last_inbound_at=ago(23), last_contact_at=ago(24 * 8), created_at=ago(24 * 3),
    )  # fmt: skip
    Conversation.objects.create(workspace=lima, contact=lead, phone_number=second)
    day = timezone.localtime(lead.created_at).date().isoformat()
    make(lima, "Other", lead_status="new", created_at=ago(24 * 400))
    make(lima, "Far", last_inbound_at=ago(100), last_contact_at=ago(1), created_at=ago(24 * 401))
    for parameters in (
        {"status": "qualified"}, {"owner": "me"}, {"owner": ana.pk}, {"tag": "vip"}, {"source": "Shoes (ad)"},
        {"number": second.pk}, {"window": "open"}, {"window": "closing"}, {"quiet": 7}, {"created": 4},
        {"created": day}, {"status": "qualified", "tag": "vip", "view": "mine"},
    ):  # fmt: skip
        assert rows(page(desk, **parameters)) == ["Maria"], parameters
    assert set(rows(page(desk, window="closed"))) == {"Other", "Far"}
    assert rows(page(desk, quiet=9)) == []
    assert rows(page(desk, created=2)) == []


@pytest.mark.parametrize(
    "parameters",
    [
        {"status": "x"}, {"owner": "x"}, {"owner": "99999"}, {"number": "x"}, {"number": "1" * 30}, {"window": "x"},
        {"quiet": "-1"}, {"quiet": "99999999"}, {"created": "2026-13-45"}, {"created": "1e9"}, {"marked": "x"},
        {"workspace": "٣"}, {"tag": "nobody has it"}, {"source": "\ud83d\ude00"},
    ],
)  # fmt: skip
def test_a_filter_that_nothing_fits_finds_nobody(desk: Client, lima: Workspace, parameters: Any) -> None:
    make(lima, "Somebody")
    html = page(
        desk,
        **{
            name: value.encode("utf-16", "surrogatepass").decode("utf-16")
            for name, value in parameters.items()
        },
    )
    assert rows(html) == []
    assert "No lead fits these filters" in html


def test_a_filtered_list_has_a_title_and_shows_what_is_on(desk: Client, lima: Workspace, ana: User) -> None:
    make(lima, "Somebody", owner=ana)
    for parameters, title in (
        ({}, "Leads"), ({"view": "mine"}, "My leads"), ({"owner": "me"}, "My leads"),
        ({"owner": "nobody"}, "Leads without an owner"), ({"status": "new"}, "Leads: Status New"),
        ({"q": "some"}, "Leads matching “some”"), ({"view": "awaiting"}, "Leads awaiting a reply"),
    ):  # fmt: skip
        assert re.search(rf"<title>\s*{title} \|", page(desk, **parameters)), title
    html = page(desk, owner="me", status="new", view="mine")
    assert re.findall(r'<li><a href="([^"]*)" title="Remove', html) == [
        "?view=mine&amp;owner=me",
        "?view=mine&amp;status=new",
    ]


def test_put_aside_and_due_leads_are_found(desk: Client, lima: Workspace) -> None:
    aside = {"snoozed_at": ago(2), "snoozed_until": ago(-2)}
    make(lima, "aside", **aside)
    make(lima, "wrote since", last_inbound_at=ago(1), **aside)
    make(lima, "back", snoozed_at=ago(2), snoozed_until=ago(1))
    due, later = make(lima, "due"), make(lima, "later")
    FollowUp.objects.create(workspace=lima, contact=due, due_at=ago(1))
    FollowUp.objects.create(workspace=lima, contact=later, due_at=ago(-1))
    assert rows(page(desk, marked="aside")) == ["aside"]
    assert rows(page(desk, marked="due")) == ["due"]


# Search


@pytest.mark.parametrize(
    "typed",
    [
        "maria", "GÓMEZ mar", "mari wa", "@mgomez", "@MGOM", "maria@shop.pe", "SHOP.PE", "+51 987-654-321",
        "(51) 987.654.321", "987 654 321", "0987654321", "4321", "US.42", "US.OLD", "ask about the\u00a0Delivery",
        "order 4711", "4711", "voice said this",
    ],
)  # fmt: skip
def test_a_lead_is_found_by(desk: Client, lima: Workspace, typed: str) -> None:
    lead = make(
        lima, "Maria Gómez", phone="51987654321", kapso_name="mari WA", username="mgomez",
        email="maria@shop.pe", business_scoped_user_id="US.42",
    )  # fmt: skip
    Identity.objects.create(workspace=lima, kind="user", value="US.OLD", contact=lead)
    say(lead, "I ask about the delivery of order 4711", sent_at=ago(3))
    say(lead, "[audio]", message_type="audio", transcript="My voice said this", sent_at=ago(2))
    say(make(lima, "Somebody else", phone="5511222333"), "Nothing of interest")
    assert rows(page(desk, q=typed)) == ["Maria Gómez"]


@pytest.mark.parametrize("typed", ["US.4", "%", "_", "zz", "@", "@nobody", "12", "x" * 5000, "'; --"])
def test_nobody_is_found_by(desk: Client, lima: Workspace, typed: str) -> None:
    say(make(lima, "Maria", business_scoped_user_id="US.42", phone="51987654321"), "Hola")
    assert rows(page(desk, q=typed)) == []


@pytest.mark.parametrize("typed", ["GOMEZ", "gómez", "jose gomez", "jo", "go jo", "@jgo", "+51", "jose 4321"])
def test_a_name_is_found_without_its_accents_and_a_short_fragment_where_a_word_begins(
    desk: Client, lima: Workspace, typed: str
) -> None:
    make(lima, "José Gómez", username="jgomez", phone="51987654321")
    make(lima, "Rojo Largo")
    assert rows(page(desk, q=typed)) == ["José Gómez"]


@pytest.mark.parametrize("typed", ["avión", "AVION", "el avi", "billete-avión"])
def test_messages_are_found_by_their_words_however_long_ago(
    desk: Client, lima: Workspace, typed: str
) -> None:
    lead = make(lima, "Maria")
    say(lead, "El billete de avión, por favor", sent_at=ago(9000))
    for hours in range(40):
        say(lead, "ok", sent_at=ago(hours))
    say(make(lima, "Somebody else"), "un gavión")
    assert rows(page(desk, q=typed)) == ["Maria"]


def test_what_is_common_is_found_in_the_newest(
    desk: Client, lima: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MOST_NAMED", "MOST_SAID"):
        monkeypatch.setattr(lead_search, name, 1)
    monkeypatch.setattr(lead_search, "LEADS_READ", 2)
    for hours, name in enumerate(["Ana", "Maria", "Mario"]):
        say(make(lima, name, last_activity_at=ago(hours)), "hola", sent_at=ago(hours))
    assert rows(page(desk, q="hola"))[:2] == ["Ana", "Maria"]
    assert rows(page(desk, q="mar")) == ["Maria", "Mario"]
    monkeypatch.setattr(FoundByCommonName, "MOST", 1)
    assert "More than 1 leads" in page(desk, q="mar")


def test_words_that_many_said_are_found_also_where_none_of_the_newest_said_them(
    desk: Client, lima: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lead_search, "MOST_SAID", 1)
    monkeypatch.setattr(lead_search, "LEADS_READ", 1)
    for hours, said in enumerate(["hola", "gracias", "gracias"]):
        say(make(lima, f"Maria {hours}", last_activity_at=ago(hours)), said, sent_at=ago(hours))
    assert rows(page(desk, q="gracias")) == ["Maria 1", "Maria 2"]


def test_a_search_within_a_tab_stays_in_it(desk: Client, lima: Workspace, ana: User) -> None:
    make(lima, "Maria mine", owner=ana)
    make(lima, "Maria free")
    html = page(desk, q="maria", view="mine")
    assert rows(html) == ["Maria mine"]
    assert '<input type="hidden" name="view" value="mine">' in html


# Saved filters


def save(client: Client, **typed: Any) -> str:
    response = client.post(f"{LEADS}filters/", typed, follow=True)
    return " ".join(str(message) for message in response.context["messages"])


def change(client: Client, saved: SavedFilter, what: str) -> Any:
    return client.post(f"{LEADS}filters/{saved.pk}/{what}/", {"query": "view=mine"}, follow=True)


def test_a_filter_is_saved_under_a_name_and_leads_back(desk: Client, lima: Workspace, ana: User) -> None:
    make(lima, "Maria", tags=["vip"], last_inbound_at=ago(1))
    told = save(desk, name="  VIP   waiting ", query="tag=vip&p=3&view=awaiting&x=1", workspace=lima.pk)
    assert "Saved as “VIP waiting”" in told
    saved = SavedFilter.objects.get()
    assert (saved.name, saved.query, saved.is_shared, saved.by) == (
        "VIP waiting",
        "view=awaiting&tag=vip",
        False,
        ana,
    )
    html = page(desk, view="awaiting", tag="vip")
    assert rows(html) == ["Maria"]
    assert re.search(r"<title>\s*VIP waiting \|", html)
    assert 'href="?view=awaiting&amp;tag=vip" aria-current="page"' in html


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"name": ""}, "Give the filter a name."),
        ({"query": "p=2"}, "this is the whole list"),
        ({"name": "x" * 61}, "60 characters"),
        ({"name": "TAKEN"}, "You have a filter called “TAKEN” already."),
        ({"workspace": "999999"}, "You do not work there."),
    ],
)
def test_what_cannot_be_saved_is_said(
    desk: Client, lima: Workspace, ana: User, typed: dict[str, str], told: str
) -> None:
    SavedFilter.objects.create(workspace=lima, by=ana, name="Taken", query="owner=me")
    assert told in save(desk, **{"name": "Mine", "query": "owner=me", "workspace": lima.pk} | typed)
    assert SavedFilter.objects.count() == 1


def test_a_shared_filter_is_seen_in_its_workspace_alone(
    desk: Client, lima: Workspace, quito: Workspace, ana: User
) -> None:
    save(desk, name="Ours", query="owner=me", workspace=lima.pk, shared="on")
    save(desk, name="My own", query="owner=nobody", workspace=lima.pk)
    mate, stranger = browser_of(join("mate", lima)), browser_of(join("stranger", quito))
    assert ("Ours" in page(mate), "My own" in page(mate)) == (True, False)
    assert "Ours" not in page(stranger)
    own = SavedFilter.objects.get(name="My own")
    change(desk, own, "share")
    assert "My own" in page(mate)
    change(desk, own, "unshare")
    assert "My own" not in page(mate)


def test_who_left_the_workspace_sees_its_filters_no_more(desk: Client, lima: Workspace, ana: User) -> None:
    save(desk, name="Ours", query="owner=me", workspace=lima.pk)
    Membership.objects.filter(user=ana).delete()
    assert "Ours" not in page(desk)
    assert change(desk, SavedFilter.objects.get(), "delete").status_code == 404
    assert SavedFilter.objects.exists()


def test_nobody_changes_the_filter_of_another(desk: Client, lima: Workspace, quito: Workspace) -> None:
    own = SavedFilter.objects.create(workspace=lima, by=join("mate", lima), name="Own", query="owner=me")
    shared = SavedFilter.objects.create(
        workspace=lima, by=own.by, name="Shared", query="owner=me", is_shared=True
    )
    for what in ("delete", "unshare", "share"):
        assert change(desk, own, what).status_code == 404
        assert "not yours" in change(desk, shared, what).content.decode()
    assert change(desk, shared, "nonsense").status_code == 200
    assert SavedFilter.objects.filter(is_shared=True).count() == 1
    assert change(browser_of(join("boss", lima, "owner")), shared, "delete").status_code == 200
    assert list(SavedFilter.objects.all()) == [own]


def test_a_viewer_keeps_filters_but_shares_none(lima: Workspace) -> None:
    viewer = browser_of(join("viewer", lima, "viewer"))
    save(viewer, name="Mine", query="owner=me", workspace=lima.pk, shared="on")
    saved = SavedFilter.objects.get()
    change(viewer, saved, "share")
    saved.refresh_from_db()
    assert not saved.is_shared


def test_a_filter_is_changed_by_post_alone(desk: Client, lima: Workspace, ana: User) -> None:
    saved = SavedFilter.objects.create(workspace=lima, by=ana, name="Mine", query="owner=me")
    assert desk.get(f"{LEADS}filters/{saved.pk}/delete/").status_code == 405
    assert SavedFilter.objects.exists()


# An open list asks for news


def cursor_in(html: str) -> str:
    found = re.search(r'data-cursor="(\w*)"', html)
    assert found
    return found[1]


def test_no_news_takes_two_statements(desk: Client, lima: Workspace) -> None:
    for index in range(60):
        say(make(lima, f"Lead {index}", last_activity_at=ago(index)))
    seen = cursor_in(page(desk))
    with CaptureQueriesContext(connection) as captured:
        answer = desk.get(LIVE, headers={"X-Seen": seen})
    assert (answer.status_code, answer.content) == (204, b"")
    assert len(captured) <= 2
    assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.parametrize("query", ["", "?view=awaiting", "?q=maria", "?owner=nobody&p=1"])
def test_news_brings_the_same_rows_as_the_page(desk: Client, lima: Workspace, query: str) -> None:
    lead = make(lima, "Maria", last_inbound_at=ago(1), last_activity_at=ago(1))
    seen = cursor_in(desk.get(LEADS + query).content.decode())
    Contact.objects.filter(pk=lead.pk).update(last_activity_at=ago(0), last_inbound_at=ago(0))
    answer = desk.get(LIVE + query, headers={"X-Seen": seen})
    whole = desk.get(LEADS + query).content.decode()
    assert answer.status_code == 200
    news = answer.content.decode()
    assert row_of(news, lead) == row_of(whole, lead)
    assert (rows(news), tabs(news)) == (["Maria"], tabs(whole))
    assert cursor_in(news) != seen
    assert desk.get(LIVE + query, headers={"X-Seen": cursor_in(news)}).status_code == 204


@pytest.mark.parametrize(
    "changes",
    [{"last_activity_at": None}, {"lead_status": "qualified"}, {"read_at": ago(0)}, {"tags": ["vip"]}],
)
def test_any_change_of_a_lead_in_sight_is_news(desk: Client, lima: Workspace, changes: Any) -> None:
    lead = make(lima, "Maria", last_activity_at=ago(1))
    seen = cursor_in(page(desk))
    Contact.objects.filter(pk=lead.pk).update(**changes)
    assert desk.get(LIVE, headers={"X-Seen": seen}).status_code == 200


def test_what_happens_elsewhere_is_no_news(desk: Client, lima: Workspace, quito: Workspace) -> None:
    make(lima, "Maria")
    seen = cursor_in(page(desk))
    make(quito, "Foreigner", last_activity_at=ago(0))
    assert desk.get(LIVE, headers={"X-Seen": seen}).status_code == 204


@pytest.mark.parametrize("what", ["nobody", "logged out", "changed password", "deactivated", "no staff"])
def test_who_may_not_see_the_list_hears_nothing(desk: Client, lima: Workspace, ana: User, what: str) -> None:
    make(lima, "Maria")
    seen = cursor_in(page(desk))
    if what == "nobody":
        desk = Client()
    elif what == "logged out":
        desk.post("/admin/logout/")
    elif what == "changed password":
        ana.set_password("another")
        ana.save()
    else:
        User.objects.update(**({"is_active": False} if what == "deactivated" else {"is_staff": False}))
    for headers in ({"X-Seen": seen}, {"X-Seen": ""}, {}):
        answer = desk.get(LIVE, headers=headers)
        assert answer.status_code == 302
        assert "/login/" in answer.headers["Location"]


def test_a_page_that_is_no_more_is_left_as_it_is(desk: Client, lima: Workspace) -> None:
    for index in range(51):
        make(lima, str(index))
    assert len(rows(page(desk, p=1))) == 50
    assert len(rows(page(desk, p=2))) == 1
    assert desk.get(f"{LIVE}?p=9").status_code == 204


def test_a_superuser_hears_of_every_workspace(lima: Workspace, quito: Workspace) -> None:
    boss = browser_of(User.objects.create_superuser("boss"))
    seen = cursor_in(page(boss))
    make(quito, "Foreigner")
    assert rows(boss.get(LIVE, headers={"X-Seen": seen}).content.decode()) == ["Foreigner"]


def test_the_way_back_from_a_lead_is_the_list_as_it_was(desk: Client, lima: Workspace, ana: User) -> None:
    make(lima, "Maria", owner=ana)
    back = urlencode({"_changelist_filters": "view=mine&status=new"}).replace("&", "&amp;")
    assert back in page(desk, view="mine", status="new")
