"""The start page: what there is to do today for whoever looks, and for managers how it goes."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from contacts.models import Contact, FollowUp, LeadStatus, Membership, Workspace
from kapso_sync.models import WebhookDelivery
from tests.reporting import Shop, browser_of

START = "/admin/"
HOUR, MINUTE, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)


@pytest.fixture
def shop(db: None) -> Shop:
    return Shop.open()


@pytest.fixture
def ana(shop: Shop) -> User:
    """An agent."""
    return shop.member("ana", "agent")


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def start(user: User, address: str = START) -> Any:
    response = browser_of(user).get(address)
    assert response.status_code == 200, response
    return response


def todo(user: User, key: str) -> Any:
    return next(one for one in start(user).context["todos"] if one.key == key)


def names(user: User, key: str) -> list[str]:
    return [row.name for row in todo(user, key).rows]


def listed(user: User, url: str) -> int:
    """How many there are where a link leads to: on the list of leads, or on a page of ours."""
    page = start(user, url)
    if "cl" in page.context:
        return int(page.context["cl"].result_count)
    return str(page.content.decode()).count('class="start-name"')


def plan(shop: Shop, lead: Contact, due: datetime, remark: str = "", **fields: Any) -> FollowUp:
    return FollowUp.objects.create(
        workspace=shop.workspace, contact=lead, due_at=due, remark=remark, **fields
    )


# Today


def test_who_waits_is_listed_own_leads_first_then_the_longest_wait(
    shop: Shop, ana: User, now: datetime
) -> None:
    others = shop.member("bea", "agent")
    for name, owner, hours in (
        ("Theirs", others, 9), ("Nobody's", None, 8), ("Mine, new", ana, 1), ("Mine, old", ana, 3),
    ):  # fmt: skip
        shop.wrote(shop.lead(name, owner=owner), now - hours * HOUR)
    answered = shop.lead("Answered", owner=ana)
    shop.wrote(answered, now - HOUR)
    shop.answered(answered, now - HOUR)
    assert names(ana, "awaiting") == ["Mine, old", "Mine, new", "Nobody's", "Theirs"]
    assert [row.when for row in todo(ana, "awaiting").rows] == ["3 h", "1 h", "8 h", "9 h"]


def test_a_failed_answer_still_waits(shop: Shop, ana: User, now: datetime) -> None:
    lead = shop.lead("Waits")
    shop.wrote(lead, now - HOUR)
    shop.answered(lead, now - MINUTE, status="failed")
    assert names(ana, "awaiting") == ["Waits"]


def test_follow_ups_are_due_until_the_day_ends_and_late_ones_say_so(
    shop: Shop, ana: User, now: datetime
) -> None:
    tonight = timezone.localtime(now).replace(hour=23, minute=59, second=59)
    plan(shop, shop.lead("Late"), now - 3 * HOUR, "Call  about\nthe price")
    plan(shop, shop.lead("Tonight"), tonight)
    plan(shop, shop.lead("Tomorrow"), tonight + timedelta(seconds=2))
    plan(shop, shop.lead("Done"), now - HOUR, done_at=now)
    late, later = todo(ana, "follow-ups").rows
    assert (late.name, late.when, late.remark, late.is_late) == (
        "Late", "3 h overdue", "Call about the price", True,
    )  # fmt: skip
    assert (later.name, later.is_late) == ("Tonight", False)


def test_a_follow_up_of_a_merged_lead_is_the_survivors_and_told_once(
    shop: Shop, ana: User, now: datetime
) -> None:
    survivor, merged = shop.lead("Survivor", owner=ana), shop.lead("Merged")
    plan(shop, merged, now - HOUR)
    plan(shop, survivor, now - MINUTE)
    Contact.objects.filter(pk=merged.pk).update(merged_into=survivor)
    assert names(ana, "follow-ups") == ["Survivor"]
    assert todo(ana, "follow-ups").count == "1"


def test_windows_that_close_say_how_long_they_are_open(shop: Shop, ana: User, now: datetime) -> None:
    for name, ago in (("Soon", 23 * HOUR), ("Later", 21 * HOUR), ("Closed", 24 * HOUR)):
        shop.wrote(shop.lead(name), now - ago - 30 * MINUTE)
    (row,) = todo(ana, "closing").rows
    assert row.name == "Soon"
    assert re.fullmatch(r"(29|30) min left", row.when)


def test_who_needs_a_human_is_listed_with_the_newest_reason_until_it_is_cleared(
    shop: Shop, ana: User, now: datetime
) -> None:
    lead = shop.lead("Handed over")
    shop.thread(lead, handoff_at=now - 10 * MINUTE, handoff_reason="Asked for\n a person")
    (row,) = todo(ana, "needs-human").rows
    assert (row.name, row.when, row.remark) == ("Handed over", "10 min", "Asked for a person")
    Contact.objects.filter(pk=lead.pk).update(handoff_cleared_at=now)
    assert names(ana, "needs-human") == []


def test_who_was_put_aside_asks_for_nothing(shop: Shop, ana: User, now: datetime) -> None:
    lead = shop.lead("Aside")
    shop.wrote(lead, now - 2 * HOUR)
    plan(shop, lead, now - HOUR)
    Contact.objects.filter(pk=lead.pk).update(snoozed_at=now - MINUTE, snoozed_until=now + DAY)
    assert names(ana, "awaiting") == names(ana, "follow-ups") == []


def crowd(shop: Shop, now: datetime, ana: User) -> None:
    """Seven of each, of Ana, of nobody and of somebody else."""
    other = shop.member("other", "agent")
    for index in range(7):
        lead = shop.lead(owner=(ana, None, other)[index % 3])
        shop.wrote(lead, now - 23 * HOUR - index * MINUTE)
        plan(shop, lead, now - index * HOUR - MINUTE)
        shop.thread(lead, handoff_at=now - index * HOUR)


@pytest.mark.parametrize("sees_all", [True, False])
@pytest.mark.parametrize("key", ["awaiting", "follow-ups", "closing", "needs-human"])
def test_a_link_leads_to_as_many_as_its_list_counts(
    shop: Shop, ana: User, now: datetime, key: str, sees_all: bool
) -> None:
    Workspace.objects.update(agents_see_all=sees_all)
    crowd(shop, now, ana)
    found = todo(ana, key)
    assert (found.count, len(found.shown)) == ("7" if sees_all else "5", 5)
    assert listed(ana, found.url) == int(found.count)


def test_more_than_a_hundred_are_not_counted(shop: Shop, ana: User, now: datetime) -> None:
    at = now - HOUR
    rows = [
        Contact(workspace=shop.workspace, name=f"Lead {index}", last_inbound_at=at) for index in range(101)
    ]
    Contact.objects.bulk_create(rows)
    FollowUp.objects.bulk_create(
        FollowUp(workspace=shop.workspace, contact=lead, due_at=now - MINUTE)
        for lead in Contact.objects.all()
    )
    assert todo(ana, "awaiting").count == todo(ana, "follow-ups").count == "100+"
    assert "These are the first 100" in start(ana, "/admin/today/follow-ups/").content.decode()


def test_nobody_sees_what_is_not_theirs(shop: Shop, ana: User, now: datetime) -> None:
    elsewhere = Shop.open("Lima")
    crowd(elsewhere, now, ana)
    assert all(not one.rows for one in start(ana).context["todos"])
    assert 'class="start-name"' not in start(ana, "/admin/today/follow-ups/").content.decode()
    assert elsewhere.workspace.name not in start(ana).content.decode().replace("America/Lima", "")


def test_an_agent_of_a_workspace_that_keeps_leads_apart_sees_own_and_nobodys(
    shop: Shop, ana: User, now: datetime
) -> None:
    Workspace.objects.update(agents_see_all=False)
    crowd(shop, now, ana)
    for key in ("awaiting", "follow-ups", "closing", "needs-human"):
        owners = {row.lead.owner_id for row in todo(ana, key).rows}
        assert owners == {ana.pk, None}, key


def test_a_page_that_does_not_exist_is_not_found(shop: Shop, ana: User) -> None:
    assert browser_of(ana).get("/admin/today/nothing/").status_code == 404


@pytest.mark.parametrize(
    "url", ["/admin/today/follow-ups/", "/admin/reports/", "/admin/reports/behind/?of=in"]
)
def test_strangers_are_sent_to_log_in(shop: Shop, client: Client, url: str) -> None:
    assert client.get(url).status_code == 302
    client.force_login(User.objects.create_user("eve"))
    assert client.get(url).status_code == 302


def test_hostile_text_is_inert(shop: Shop, ana: User, now: datetime) -> None:
    hostile = "<script>alert(1)</script>‮" + "x" * 200
    lead = shop.lead(hostile)
    shop.wrote(lead, now - HOUR)
    plan(shop, lead, now - HOUR, hostile)
    shop.thread(lead, handoff_at=now, handoff_reason=hostile)
    Contact.objects.filter(pk=lead.pk).update(source=hostile)
    boss = User.objects.create_superuser("boss")
    for url in (START, "/admin/reports/", "/admin/reports/behind/?of=new", "/admin/today/needs-human/"):
        assert "<script>alert" not in start(boss, url).content.decode()


# Nothing yet


def test_a_new_workspace_says_that_there_is_nothing_to_do(shop: Shop, ana: User) -> None:
    page = start(ana).content.decode()
    assert "Nobody is waiting for an answer. Well done!" in page
    assert "No follow-up is due today." in page
    assert "No 24-hour window closes within two hours." in page
    assert "No automation has asked for anybody." in page
    assert "None yet" in page


def test_a_manager_of_a_new_workspace_sees_what_will_be_there(shop: Shop) -> None:
    page = start(shop.member("bo")).content.decode()
    assert "No messages in these days." in page
    assert "Nothing yet" in page
    assert "All is well" not in page


def test_an_installation_without_a_workspace_begins_with_one(db: None) -> None:
    boss = User.objects.create_superuser("boss")
    page = start(boss).content.decode()
    assert "Create a workspace" in page
    assert 'class="start-todos"' not in page
    assert browser_of(boss).get("/admin/reports/").status_code == 403


# For managers


def test_only_managers_and_owners_are_told_how_it_goes(shop: Shop) -> None:
    for role, told in (("owner", True), ("manager", True), ("agent", False), ("viewer", False)):
        user = shop.member(role, role)
        page = start(user)
        assert bool(page.context["team"]) is bool(page.context["health"]) is told
        assert ('href="/admin/reports/"' in page.content.decode()) is told
        for url in ("/admin/reports/", "/admin/reports/behind/?of=in"):
            assert browser_of(user).get(url).status_code == (200 if told else 403)


def test_a_manager_of_one_workspace_is_not_told_of_another(shop: Shop) -> None:
    bo, elsewhere = shop.member("bo"), Shop.open("Lima")
    Membership.objects.create(workspace=elsewhere.workspace, user=bo, role="agent")
    for asked in (elsewhere.workspace.pk, "x", "9" * 30, -1):
        for url in (START, "/admin/reports/", "/admin/reports/behind/"):
            address = f"{url}?workspace={asked}&of=in"
            assert browser_of(bo).get(address).status_code == 404, address
    assert [heard.picture.number for heard in start(bo).context["health"].shown] == [shop.number]


def test_a_manager_of_several_chooses(shop: Shop) -> None:
    bo, elsewhere = shop.member("bo"), Shop.open("Lima")
    Membership.objects.create(workspace=elsewhere.workspace, user=bo, role="owner")
    assert start(bo).context["team"]["report"].workspace == elsewhere.workspace
    chosen = start(bo, f"/admin/reports/?workspace={shop.workspace.pk}&days=30").context["team"]["report"]
    assert (chosen.workspace, chosen.days) == (shop.workspace, 30)
    assert start(bo, "/admin/reports/?days=9999").context["team"]["report"].days == 7


def test_a_choice_has_no_more_than_a_hundred_options(shop: Shop) -> None:
    Workspace.objects.bulk_create(Workspace(name=f"W{i:03}", slug=f"w{i}") for i in range(120))
    last = Workspace.objects.get(slug="w119")
    page = start(
        User.objects.create_superuser("boss"), f"/admin/reports/?workspace={last.pk}"
    ).content.decode()
    assert page.count('<option value="') <= 102  # with the two periods
    assert f'<option value="{last.pk}" selected>' in page


@pytest.fixture
def busy(shop: Shop, now: datetime) -> Shop:
    """Some of everything, within the last days."""
    ana = shop.member("ana", "agent", first_name="Ana")
    for index in range(6):
        lead = shop.lead(
            owner=(ana, None)[index % 2],
            source=("whatsapp", "Summer (ad 1)")[index % 2],
            lead_status=LeadStatus.values[index % 3],
        )
        shop.wrote(lead, now - (index + 1) * 9 * HOUR)
        if index % 3:
            shop.answered(lead, now - (index + 1) * 9 * HOUR + 20 * MINUTE)
        if index % 2:
            plan(shop, lead, now - HOUR)
    return shop


def behind(user: User, url: str) -> int:
    """How many rows are behind a figure."""
    return int(start(user, url).context["page"].paginator.count)


def test_every_figure_leads_to_as_many_rows(busy: Shop) -> None:
    bo = busy.member("bo")
    context = start(bo, "/admin/reports/").context
    team = context["team"]
    counted = [(figure.value, figure.note, figure.url) for figure in team["figures"]]
    counted += [(cell.value, cell.note, cell.url) for day in team["days"] for cell in day.cells]
    counted += [(str(part.count), "", part.url) for part in team["waiting"]]
    counted += [
        (cell.value, cell.note, cell.url)
        for person in context["people"]
        for cell in person.cells
        if "/reports/behind/" in cell.url
    ]
    seen = 0
    for value, note, url in counted:
        number = int(re.search(r"\d+", note or value).group())  # type: ignore[union-attr]
        assert behind(bo, url) == number, url
        seen += number
    assert seen > 30


@pytest.mark.parametrize("several", [False, True])
def test_figures_of_leads_lead_to_the_list_filtered_by_them(busy: Shop, several: bool) -> None:
    bo = busy.member("bo")
    if several:
        other = Shop.open("Lima")
        Membership.objects.create(workspace=other.workspace, user=bo, role="manager")
        other.wrote(other.lead(), timezone.now())
    context = start(bo, f"/admin/reports/?workspace={busy.workspace.pk}").context
    team = context["team"]
    told = [(part.url, part.count) for part in (*team["statuses"], *team["sources"])]
    told += [(person.cells[1].url, int(person.cells[1].value)) for person in context["people"]]
    told += [(team["waiting_url"], team["waiting_total"])]
    assert sum(count for _url, count in told) > 12
    assert {url: listed(bo, url) for url, _count in told} == dict(told)


def test_people_are_named_with_what_is_theirs(busy: Shop) -> None:
    bo = busy.member("bo", first_name="Bo")
    people = start(bo, "/admin/reports/").context["people"]
    told = {person.name: [cell.value for cell in person.cells] for person in people}
    assert told == {
        "Ana": ["3", "1", "0", told["Ana"][3]],
        "Bo": ["0", "0", "0", "–"],
        "Nobody": ["3", "1", "3", told["Nobody"][3]],
    }


def test_answers_are_listed_the_slowest_first_with_their_time(shop: Shop, now: datetime) -> None:
    Workspace.objects.update(business_hours=[None] * 7)
    for name, minutes in (("Quick", 5), ("Slow", 95)):
        lead = shop.lead(name)
        shop.wrote(lead, now - 5 * HOUR)
        shop.answered(lead, now - 5 * HOUR + minutes * MINUTE)
    page = start(shop.member("bo"), "/admin/reports/behind/?of=replies").content.decode()
    assert page.index("Slow") < page.index("1 h 35 min") < page.index("Quick") < page.index(">5 min<")


@pytest.mark.parametrize(
    "query", ["", "of=nothing", "of=in&day=2020-01-01", "of=in&day=x", "of=waiting&age=9", "of=open&owner=x"]
)
def test_what_nobody_asks_is_not_found(shop: Shop, query: str) -> None:
    assert browser_of(shop.member("bo")).get(f"/admin/reports/behind/?{query}").status_code == 404


def test_rows_behind_a_figure_come_in_pages(shop: Shop, now: datetime) -> None:
    lead = shop.lead()
    for index in range(60):
        shop.wrote(lead, now - index * timedelta(seconds=1))
    bo = shop.member("bo")
    first, second = (
        start(bo, f"/admin/reports/behind/?of=in&page={page}").content.decode() for page in (1, 2)
    )
    assert (first.count("<tr>"), second.count("<tr>")) == (51, 11)
    assert 'rel="next" href="?of=in&amp;page=2"' in first


# Whether everything arrives


def arrived(shop: Shop, at: datetime, status: str = "processed") -> WebhookDelivery:
    return WebhookDelivery.objects.create(
        received_at=at, phone_number_id=shop.number.phone_number_id, workspace=shop.workspace,
        status=status, body=b"{}", body_sha256=f"{at.timestamp()}{status}",
    )  # fmt: skip


def health_of(user: User) -> Any:
    return start(user).context["health"]


def test_all_is_well_only_when_it_is(shop: Shop, now: datetime) -> None:
    bo = shop.member("bo")
    assert str(health_of(bo).label) == "Nothing yet"
    arrived(shop, now - MINUTE)
    assert str(health_of(bo).label) == "All is well"
    failed = arrived(shop, now - HOUR, "failed")
    assert str(health_of(bo).label) == "Needs a look"
    assert "All is well" not in re.sub(r"<td.*?</td>", "", start(bo).content.decode(), flags=re.DOTALL)
    WebhookDelivery.objects.filter(pk=failed.pk).update(next_retry_at=now + HOUR)
    assert health_of(bo).oldest_under_way == now - HOUR
    assert str(health_of(bo).label) == "Needs a look"


def test_each_number_says_when_it_was_heard_and_what_became_of_it(shop: Shop, now: datetime) -> None:
    for status, at in (("processed", now - MINUTE), ("processed", now - HOUR), ("ignored", now - 25 * HOUR)):
        arrived(shop, at, status)
    bo = shop.member("bo")
    (heard,) = health_of(bo).shown
    assert heard.picture.last_at == now - MINUTE
    (outcome,) = heard.outcomes
    assert (outcome.count, outcome.label) == (2, "processed")
    assert start(bo, outcome.url).content.decode().count('class="field-received') == 2


# What it costs


def statements(user: User, url: str = START) -> int:
    client = browser_of(user)
    client.get(url)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


def test_the_start_page_takes_a_fixed_number_of_statements(busy: Shop, now: datetime) -> None:
    arrived(busy, now - HOUR)  # from then on there are no first steps to show
    users = (User.objects.get(username="ana"), busy.member("bo"), User.objects.create_superuser("boss"))
    few = [statements(user) for user in users]
    crowd(busy, now, users[0])
    for index in range(12):
        number = type(busy.number).objects.create(workspace=busy.workspace, phone_number_id=f"77{index}")
        Shop(busy.workspace, number).wrote(busy.lead(), now - HOUR)
        arrived(Shop(busy.workspace, number), now - MINUTE)
    assert [statements(user) for user in users] == few
    agent, manager, superuser = few
    # Three of them look for retries when the answer has been sent already; one is the bell's.
    assert agent <= 12
    assert manager <= 21
    assert superuser <= 26


def test_reports_take_a_fixed_number_of_statements(busy: Shop, now: datetime) -> None:
    bo = busy.member("bo")
    urls = ["/admin/reports/?days=30"]
    urls += [
        f"/admin/reports/behind/?of={what}"
        for what in ("in", "new", "replies", "open", "overdue", "waiting&age=24h")
    ]
    few = [statements(bo, url) for url in urls]
    crowd(busy, now, bo)
    assert [statements(bo, url) for url in urls] == few
    assert few[0] <= 12
    assert max(few[1:]) <= 8


def test_much_to_count_is_counted_once_in_some_minutes_and_says_when(
    busy: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.clear()
    manager = busy.member("boss", "manager")
    few = start(manager)
    assert few.context["team"]["counted_at"] is None
    monkeypatch.setattr("contacts.kept_figures.MUCH", 0)
    shown = start(manager).context["team"]["figures"][0].value
    busy.wrote(busy.lead(), timezone.now())
    page = start(manager)
    assert page.context["team"]["figures"][0].value == shown
    assert "Counted at" in page.content.decode()
    cache.clear()
    assert start(manager).context["team"]["figures"][0].value == str(int(shown) + 1)
