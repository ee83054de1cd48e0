"""The people of a workspace: roles, removal with reassignment, invitations."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.utils import timezone

from contacts.admin import reassigning
from contacts.inviting import VALID_FOR, digest
from contacts.models import Contact, Invitation, LeadChange, Membership, Role, Workspace
from tests.test_admin import make_lead
from tests.test_rights import at_desk, somebody

HOSTILE = "<script>alert(1)</script>‮" + "x" * 120
GOOD = "a good long password"


@pytest.fixture
def lima(db: None) -> Workspace:
    return Workspace.objects.create(name="Lima", slug="lima")


@pytest.fixture
def rio(db: None) -> Workspace:
    return Workspace.objects.create(name="Rio", slug="rio")


@pytest.fixture
def olga(lima: Workspace) -> Client:
    """She owns Lima."""
    return at_desk(somebody("olga", owner=lima))


def page(workspace: Workspace, *rest: object) -> str:
    return f"/admin/contacts/workspace/{workspace.pk}/" + "".join(f"{part}/" for part in rest)


def member(name: str) -> Membership:
    return Membership.objects.get(user__username=name)


def said(response: Any) -> str:
    return " ".join(map(str, response.context["messages"]))


def test_a_role_is_changed(lima: Workspace, olga: Client) -> None:
    ana = somebody("ana", agent=lima)
    done = olga.post(page(lima, "members", member("ana").pk), {"role": "manager"}, follow=True)
    assert "Saved: ana, Manager." in said(done)
    assert (member("ana").role, member("ana").takes_leads) == (Role.MANAGER, False)
    assert at_desk(ana).get("/admin/kapso_sync/webhookdelivery/").status_code == 200


def test_a_role_that_is_none_changes_nothing(lima: Workspace, olga: Client) -> None:
    somebody("ana", agent=lima)
    done = olga.post(page(lima, "members", member("ana").pk), {"role": "god"}, follow=True)
    assert "There is no such role." in said(done)
    assert member("ana").role == Role.AGENT


def test_the_last_owner_stays(lima: Workspace, olga: Client) -> None:
    asleep = somebody("asleep", owner=lima)
    User.objects.filter(pk=asleep.pk).update(is_active=False)  # nobody who could do anything
    mine = page(lima, "members", member("olga").pk)
    for done in (
        olga.post(mine, {"role": "agent"}, follow=True),
        olga.post(f"{mine}remove/", {"heir": "nobody"}, follow=True),
    ):
        assert "A workspace needs an owner" in said(done)
    assert member("olga").role == Role.OWNER


def test_of_two_owners_one_may_go_and_finds_the_way_home(lima: Workspace, olga: Client) -> None:
    somebody("otto", owner=lima)
    done = olga.post(page(lima, "members", member("olga").pk), {"role": "viewer", "takes_leads": "on"})
    assert (done.status_code, done["Location"]) == (302, "/admin/")
    assert member("olga").role == Role.VIEWER


def test_who_is_removed_leaves_their_leads_to_whom_the_owner_says(
    lima: Workspace, rio: Workspace, olga: Client
) -> None:
    ana, bea = somebody("ana", agent=lima), somebody("bea", agent=lima)
    Membership.objects.create(workspace=rio, user=ana)
    leads = [make_lead(lima, f"L{n}", owner=ana) for n in range(3)]
    elsewhere = make_lead(rio, "Elsewhere", owner=ana)
    remove = page(lima, "members", Membership.objects.get(user=ana, workspace=lima).pk, "remove")
    assert "They own 3 leads here." in olga.get(remove).content.decode()

    done = olga.post(remove, {"heir": bea.pk}, follow=True)
    assert "ana was removed; 3 leads changed hands." in said(done)
    assert set(Contact.objects.filter(owner=bea)) == set(leads)
    changes = LeadChange.objects.order_by("contact_id").values_list(
        "kind", "before", "after", "by__username", "reason"
    )
    assert list(changes) == [("owner", ana.pk, bea.pk, "olga", "ana left the workspace")] * 3
    elsewhere.refresh_from_db()
    assert elsewhere.owner == ana
    assert list(Membership.objects.filter(user=ana).values_list("workspace", flat=True)) == [rio.pk]
    assert at_desk(ana).get(f"/admin/contacts/contact/{leads[0].pk}/change/").status_code == 404


def test_who_owns_no_leads_is_removed_without_a_question(lima: Workspace, olga: Client) -> None:
    somebody("ana", agent=lima)
    remove = page(lima, "members", member("ana").pk, "remove")
    assert "Their leads become" not in olga.get(remove).content.decode()
    assert "ana was removed; 0 leads changed hands." in said(olga.post(remove, follow=True))


def test_leads_may_become_nobodys_and_clocks_stand_still(lima: Workspace, olga: Client) -> None:
    ana = somebody("ana", agent=lima)
    at = timezone.now() - timedelta(days=1)
    lead = make_lead(lima, owner=ana, last_activity_at=at, last_contact_at=at)
    olga.post(page(lima, "members", member("ana").pk, "remove"), {"heir": "nobody"})
    lead.refresh_from_db()
    assert (lead.owner, lead.last_activity_at, lead.last_contact_at) == (None, at, at)
    assert LeadChange.objects.get().after is None


def test_merged_rows_follow_without_a_history_of_their_own(lima: Workspace, olga: Client) -> None:
    ana = somebody("ana", agent=lima)
    lead = make_lead(lima, owner=ana)
    merged = make_lead(lima, owner=ana, merged_into=lead)
    olga.post(page(lima, "members", member("ana").pk, "remove"), {"heir": "nobody"})
    merged.refresh_from_db()
    assert merged.owner is None
    assert [change.contact_id for change in LeadChange.objects.all()] == [lead.pk]


@pytest.mark.parametrize("heir", ["", "999999", "viewer", "stranger", "ana", "x\x00", "nobody "])
def test_leads_go_to_nobody_who_may_not_work_them(heir: str, lima: Workspace, olga: Client) -> None:
    people = {
        "ana": somebody("ana", agent=lima),
        "viewer": somebody("viewer", viewer=lima),
        "stranger": somebody("s"),
    }
    make_lead(lima, owner=people["ana"])
    data = {"heir": people[heir].pk if heir in people else heir}
    answer = olga.post(page(lima, "members", member("ana").pk, "remove"), data)
    if heir == "nobody ":  # a space too much is no mistake
        assert answer.status_code == 302
    else:
        assert "errors" in answer.content.decode()
        assert Contact.objects.get().owner == people["ana"]


def test_the_removal_of_many_members_offers_no_long_select(
    lima: Workspace, olga: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reassigning, "MOST_OPTIONS", 2)
    ana, *others = (somebody(name, agent=lima) for name in ("ana", "bea", "cid", "dan"))
    lead = make_lead(lima, owner=ana)
    remove = page(lima, "members", member("ana").pk, "remove")
    text = olga.get(remove).content.decode()
    assert "<select" not in text.split('name="heir"')[0].rpartition("<form")[2]
    assert '<datalist id="heir-people">' in text
    assert olga.post(remove, {"heir": "bea"}).status_code == 302
    lead.refresh_from_db()
    assert lead.owner == others[0]


def test_a_member_of_another_workspace_is_not_found_here(
    lima: Workspace, rio: Workspace, olga: Client
) -> None:
    somebody("rita", agent=rio)
    for rest in ("", "remove/", "reset-link/"):
        address = page(lima, "members", member("rita").pk) + rest
        assert olga.post(address, {"role": "viewer", "heir": "nobody"}).status_code == 404
    assert member("rita").role == Role.AGENT


def test_hostile_names_are_inert(lima: Workspace, olga: Client) -> None:
    ana = somebody("ana", agent=lima)
    User.objects.filter(pk=ana.pk).update(first_name=HOSTILE)
    for address in (page(lima, "members"), page(lima, "members", member("ana").pk, "remove")):
        assert "<script>alert(1)" not in olga.get(address).content.decode()
    done = olga.post(page(lima, "members", member("ana").pk, "remove"), {"heir": "nobody"}, follow=True)
    assert "<script>alert(1)" not in done.content.decode()


def test_the_number_of_queries_does_not_grow_with_the_members(
    lima: Workspace, olga: Client, django_assert_max_num_queries: Any
) -> None:
    for n in range(12):
        somebody(f"m{n}", agent=lima)
    with django_assert_max_num_queries(9):  # the bell is one
        olga.get(page(lima, "members"))


# Invitations


def invited(client: Client, workspace: Workspace, email: str = "new@crm.test", role: str = "manager") -> str:
    """Invite, and take the link from the page."""
    answer = client.post(page(workspace, "invitations"), {"email": email, "role": role})
    assert answer["Cache-Control"].startswith("max-age=0")
    found = re.search(r'value="http://testserver(/join/[^"]+)"', answer.content.decode())
    assert found, answer.content.decode()
    return found[1]


def account(**changes: str) -> dict[str, str]:
    told = {
        "username": "new@crm.test",
        "first_name": "Nina",
        "last_name": "New",
        "password1": GOOD,
        "password2": GOOD,
    }
    return told | changes


def test_somebody_new_is_invited_makes_an_account_and_works(lima: Workspace, olga: Client) -> None:
    link = invited(olga, lima)
    stored = Invitation.objects.get()
    assert stored.token_digest == digest(link.split("/")[2])
    assert link.split("/")[2] not in str(Invitation.objects.values().get())
    assert "new@crm.test" in olga.get(page(lima, "members")).content.decode()

    nina = Client()
    assert "Join Lima" in nina.get(link).content.decode()
    done = nina.post(link, account(), follow=True)
    assert "Welcome to Lima." in said(done)
    user = User.objects.get(username="new@crm.test")
    assert (user.email, user.is_staff, user.is_superuser) == ("new@crm.test", True, False)
    assert member("new@crm.test").role == Role.MANAGER
    assert nina.get("/admin/contacts/contact/").status_code == 200
    stored.refresh_from_db()
    assert stored.accepted_by == user


def test_the_link_is_mailed_where_e_mail_is_configured(lima: Workspace, olga: Client, settings: Any) -> None:
    settings.CAN_MAIL = True
    settings.ALLOWED_HOSTS = ["*"]
    Workspace.objects.filter(pk=lima.pk).update(name="Lima\nBcc: x@y.z <b>")
    olga.defaults["HTTP_HOST"] = "evil.test"
    link = invited(olga, lima)
    (letter,) = mail.outbox
    assert letter.to == ["new@crm.test"]
    assert f"http://testserver{link}" in letter.body
    assert letter.subject == "Join Lima Bcc: x@y.z <b>"


def test_a_mail_server_that_is_away_costs_only_the_mail(lima: Workspace, olga: Client, settings: Any) -> None:
    settings.CAN_MAIL = True
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    answer = olga.post(page(lima, "invitations"), {"email": "new@crm.test", "role": "agent"})
    assert "No e-mail was sent. Pass on this link:" in answer.content.decode()


@pytest.mark.parametrize("why", ["unknown", "expired", "used", "revoked", "replaced"])
def test_a_link_that_is_not_good_any_more_lets_nobody_in(why: str, lima: Workspace, olga: Client) -> None:
    link = invited(olga, lima)
    known = Invitation.objects.get()
    if why == "unknown":
        link = "/join/" + "x" * 43 + "/"
    elif why == "expired":
        Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    elif why == "used":
        Client().post(link, account())
    elif why == "revoked":
        olga.post(page(lima, "invitations", known.pk, "revoke"))
    else:
        olga.post(page(lima, "invitations", known.pk, "again"))
    before = User.objects.count()
    for answer in (Client().get(link), Client().post(link, account(username="late")), olga.post(link)):
        assert answer.status_code == 410
        assert "not valid any more" in answer.content.decode()
    assert User.objects.count() == before


def test_an_invitation_is_good_for_seven_days(lima: Workspace, olga: Client) -> None:
    invited(olga, lima)
    left = Invitation.objects.get().expires_at - timezone.now()
    assert timedelta(0) <= VALID_FOR - left < timedelta(minutes=1)
    assert timedelta(days=7) == VALID_FOR


def test_sending_again_makes_a_new_link_and_starts_the_week_anew(lima: Workspace, olga: Client) -> None:
    old = invited(olga, lima)
    Invitation.objects.update(expires_at=timezone.now() - timedelta(days=1))
    assert "expired" in olga.get(page(lima, "members")).content.decode()
    answer = olga.post(page(lima, "invitations", Invitation.objects.get().pk, "again")).content.decode()
    new = re.findall(r"/join/[^\"]+", answer)[0]
    assert new != old
    assert Client().post(new, account()).status_code == 302
    assert Invitation.objects.count() == 1


def test_an_existing_user_logs_in_and_joins(lima: Workspace, rio: Workspace, olga: Client) -> None:
    User.objects.create_user("nina", "New@crm.test", GOOD, is_staff=True)
    link = invited(olga, lima)
    nina = Client()
    text = nina.get(link).content.decode()
    assert "There is an account for" in text
    assert f"/admin/login/?next=%2Fjoin%2F{link.split('/')[2]}%2F" in text
    assert nina.post(link, account()).status_code == 200  # no second account for the same address
    assert User.objects.filter(email__iexact="new@crm.test").count() == 1
    done = nina.post(f"/admin/login/?next={link}", {"username": "nina", "password": GOOD}, follow=True)
    assert "Join as nina" in done.content.decode()
    assert "You are logged in as" not in done.content.decode()
    nina.post(link)
    assert member("nina").workspace == lima


def test_whoever_is_logged_in_as_another_is_told_so_first(
    lima: Workspace, rio: Workspace, olga: Client
) -> None:
    otto = at_desk(somebody("otto", agent=rio))
    link = invited(olga, lima)
    text = otto.get(link).content.decode()
    assert re.search(
        r"was sent to <b><bdi>new@crm.test</bdi></b>. You are logged in as <b><bdi>otto</bdi>", text
    )
    assert not Membership.objects.filter(workspace=lima, user__username="otto").exists()
    otto.post(link)
    assert Membership.objects.get(workspace=lima, user__username="otto").role == Role.MANAGER


def test_a_member_who_opens_an_invitation_stays_what_they_are(lima: Workspace, olga: Client) -> None:
    link = invited(olga, lima, role="viewer")
    olga.post(link)
    assert member("olga").role == Role.OWNER


def test_whoever_works_here_already_is_not_invited(lima: Workspace, olga: Client) -> None:
    somebody("ana", agent=lima)
    done = olga.post(page(lima, "invitations"), {"email": "ANA@crm.test", "role": "owner"}, follow=True)
    assert "ana@crm.test works here already." in said(done)
    assert not Invitation.objects.exists()


def test_invitations_of_another_workspace_are_not_found(
    lima: Workspace, rio: Workspace, olga: Client
) -> None:
    invited(at_desk(somebody("rita", owner=rio)), rio)
    foreign = Invitation.objects.get()
    for what in ("again", "revoke"):
        assert olga.post(page(lima, "invitations", foreign.pk, what)).status_code == 404
        assert olga.post(page(rio, "invitations", foreign.pk, what)).status_code == 404
    assert Invitation.objects.get() == foreign


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"password1": "12345678", "password2": "12345678"}, "entirely numeric"),
        ({"password1": "nina new crm", "password2": "x"}, "match"),
        ({"password1": "new@crm.test", "password2": "new@crm.test"}, "too similar"),
        ({"username": "OLGA"}, "Somebody has this username already."),
        ({"username": ""}, "required"),
        ({"username": "no spaces"}, "valid username"),
    ],
)
def test_a_poor_account_is_not_made_and_the_link_stays_good(
    changes: dict[str, str], reason: str, lima: Workspace, olga: Client
) -> None:
    link = invited(olga, lima)
    answer = Client().post(link, account(**changes))
    assert reason in answer.content.decode()
    assert Membership.objects.count() == 1
    assert Client().post(link, account()).status_code == 302


@pytest.mark.parametrize("email", ["", "nobody", "a@b", "a@b.c\r\nBcc: x@y.z", "x" * 300 + "@crm.test"])
def test_an_address_that_is_none_is_refused(email: str, lima: Workspace, olga: Client) -> None:
    answer = olga.post(page(lima, "invitations"), {"email": email, "role": "agent"})
    assert answer.status_code == 200
    assert not Invitation.objects.exists()


# A link to a new password


def test_an_owner_makes_a_link_to_a_new_password(lima: Workspace, olga: Client) -> None:
    ana = somebody("ana", agent=lima)
    assert "Link to a new password" in olga.get(page(lima, "members")).content.decode()
    answer = olga.post(page(lima, "members", member("ana").pk, "reset-link")).content.decode()
    link = re.findall(r"http://testserver(/admin/new-password/[^\"]+)", answer)[0]
    her = Client()
    form = her.get(link, follow=True)
    done = her.post(form.redirect_chain[-1][0], {"new_password1": GOOD, "new_password2": GOOD}, follow=True)
    assert "You can log in with it now." in done.content.decode()
    ana.refresh_from_db()
    assert ana.check_password(GOOD)
    assert "not good any more" in Client().get(link, follow=True).content.decode()


def test_no_owner_gets_into_the_account_of_somebody_who_may_do_more(
    lima: Workspace, rio: Workspace, olga: Client
) -> None:
    boss = User.objects.create_superuser("boss")
    both = somebody("both", agent=lima, viewer=rio)
    Membership.objects.create(workspace=lima, user=boss)
    assert olga.get(page(lima, "members")).content.decode().count("Link to a new password") == 1  # her own
    for user in (boss, both):
        known = Membership.objects.get(workspace=lima, user=user)
        assert olga.post(page(lima, "members", known.pk, "reset-link")).status_code == 403
    known = Membership.objects.get(workspace=lima, user=both)
    assert at_desk(boss).post(page(lima, "members", known.pk, "reset-link")).status_code == 200


# Superusers


def test_whoever_makes_a_workspace_owns_it(db: None) -> None:
    boss = User.objects.create_superuser("boss")
    at_desk(boss).post("/admin/contacts/workspace/add/", {"name": "Cusco", "slug": "cusco"})
    made = Membership.objects.get()
    assert (made.workspace.slug, made.user, made.role) == ("cusco", boss, Role.OWNER)


def test_deactivating_somebody_asks_whose_their_leads_become(lima: Workspace, rio: Workspace) -> None:
    boss, ana, bea = (
        User.objects.create_superuser("boss"),
        somebody("ana", agent=lima, viewer=rio),
        somebody("bea", agent=lima),
    )
    here, there = make_lead(lima, owner=ana), make_lead(rio, owner=ana)
    client = at_desk(boss)
    change = f"/admin/auth/user/{ana.pk}/change/"
    sent = {"username": "ana", "is_staff": "on", "date_joined_0": "2026-01-01", "date_joined_1": "10:00"}
    sent |= {"membership_set-TOTAL_FORMS": "0", "membership_set-INITIAL_FORMS": "0"}
    done = client.post(change, sent, follow=True)
    assert done.redirect_chain[-1][0] == f"/admin/auth/user/{ana.pk}/leads/"
    assert "In Lima their leads become" in done.content.decode()
    half = client.post(f"/admin/auth/user/{ana.pk}/leads/", {f"heir_{lima.pk}": bea.pk})
    assert half.status_code == 200
    assert Contact.objects.filter(owner=ana).count() == 2  # all of it, or nothing
    answers = {f"heir_{lima.pk}": bea.pk, f"heir_{rio.pk}": "nobody"}
    done = client.post(f"/admin/auth/user/{ana.pk}/leads/", answers, follow=True)
    assert "2 leads changed hands." in said(done)
    here.refresh_from_db()
    there.refresh_from_db()
    assert (here.owner, there.owner) == (bea, None)
    assert set(LeadChange.objects.values_list("reason", flat=True)) == {"ana was deactivated"}
    assert at_desk(bea).get(f"/admin/auth/user/{ana.pk}/leads/").status_code == 403
