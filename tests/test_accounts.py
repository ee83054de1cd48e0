"""Coming in: throttled logins, forgotten passwords, and what each user prefers."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.conf import settings as site
from django.contrib.auth.models import User
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import Client
from django.utils import timezone

from contacts.models import Preferences
from leadcrm.mail_url import mail_settings
from leadcrm.throttling import client_address
from tests.test_members import GOOD, said
from tests.test_rights import at_desk, somebody

LOGIN = "/admin/login/"
FORGOTTEN = "/admin/forgotten-password/"


@pytest.fixture
def ana(db: None) -> User:
    return User.objects.create_user("ana", "ana@crm.test", GOOD, is_staff=True)


def try_login(typed: str = "wrong", name: str = "ana", client: Client | None = None, **headers: str) -> Any:
    return (client or Client()).post(LOGIN, {"username": name, "password": typed}, headers=headers)


# Throttling


def test_after_five_wrong_passwords_the_right_one_waits_too(ana: User) -> None:
    assert [try_login().status_code for _ in range(5)] == [200, 200, 200, 200, 429]
    answer = try_login(GOOD)
    assert answer.status_code == 429
    assert "Try again in 15 minutes." in answer.content.decode()
    assert 0 < int(answer["Retry-After"]) <= 15 * 60


def test_it_says_the_same_of_somebody_who_does_not_exist(ana: User) -> None:
    for name in ("ana", "nobody"):
        answers = [try_login(name=name) for _ in range(6)]
    assert answers[-1].status_code == 429
    assert "Try again in 15 minutes." in answers[-1].content.decode()


def test_the_wait_ends_and_trying_on_does_not_prolong_it(ana: User) -> None:
    for _ in range(6):
        try_login()
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=14, seconds=30))
    assert "Try again in 1 minute." in try_login().content.decode()
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=15, seconds=1))
    assert try_login(GOOD).status_code == 302


def test_a_login_in_between_begins_the_count_anew(ana: User) -> None:
    for _ in range(4):
        try_login()
    assert try_login(GOOD).status_code == 302
    assert [try_login().status_code for _ in range(4)] == [200] * 4


def test_nobody_locks_out_somebody_at_another_address(ana: User) -> None:
    for _ in range(6):
        try_login(x_forwarded_for="203.0.113.9")
    assert try_login(GOOD, x_forwarded_for="203.0.113.9").status_code == 429
    assert try_login(GOOD, x_forwarded_for="198.51.100.7").status_code == 302
    assert try_login("wrong", "bea", x_forwarded_for="203.0.113.9").status_code == 200


def test_an_address_that_the_client_made_up_is_not_believed(ana: User) -> None:
    """The proxy puts the address that it saw last; what stands before it, anybody may have written."""
    for n in range(6):
        try_login(x_forwarded_for=f"10.0.0.{n}, 203.0.113.9")
    assert try_login(GOOD, x_forwarded_for="10.9.9.9, 203.0.113.9").status_code == 429


def test_who_comes_without_the_proxy_is_who_they_are(rf: Any) -> None:
    assert (
        client_address(rf.get("/", REMOTE_ADDR="192.0.2.1", headers={"x-forwarded-for": "1.2.3.4"}))
        == "192.0.2.1"
    )
    assert (
        client_address(rf.get("/", REMOTE_ADDR="", headers={"x-forwarded-for": "2001:db8::1"}))
        == "2001:db8::1"
    )
    assert client_address(rf.get("/", REMOTE_ADDR="")) == "127.0.0.1"


def test_what_is_no_address_is_no_error(ana: User) -> None:
    assert try_login(x_forwarded_for="<script>, unknown").status_code == 200
    assert try_login(name="x" * 2000).status_code == 200


def test_counting_has_no_pages_of_its_own(ana: User) -> None:
    boss = at_desk(User.objects.create_superuser("boss"))
    assert boss.get("/admin/axes/").status_code == 404


# A forgotten password


def test_a_new_password_by_e_mail(ana: User, settings: Any) -> None:
    settings.CAN_MAIL = True
    for _ in range(6):
        try_login()
    assert FORGOTTEN in Client().get(LOGIN).content.decode()
    her = Client()
    settings.ALLOWED_HOSTS = ["*"]
    done = her.post(FORGOTTEN, {"email": "ANA@crm.test"}, follow=True, headers={"host": "evil.test"})
    assert "on its way" in done.content.decode()
    (letter,) = mail.outbox
    assert (letter.to, letter.subject) == (["ana@crm.test"], "Your new password for leadcrm")
    link = re.findall(r"http://testserver(/admin/new-password/\S+)", str(letter.body))[0]
    form = her.get(link, follow=True)
    assert "Choose a new password" in form.content.decode()
    address = form.redirect_chain[-1][0]
    poor = her.post(address, {"new_password1": "12345678", "new_password2": "12345678"})
    assert "entirely numeric" in poor.content.decode()
    her.post(address, {"new_password1": GOOD + "!", "new_password2": GOOD + "!"})
    assert try_login(GOOD + "!").status_code == 302  # and the wait is over
    assert "not good any more" in Client().get(link, follow=True).content.decode()


def test_nobody_learns_from_it_who_has_an_account(ana: User, settings: Any) -> None:
    settings.CAN_MAIL = True
    User.objects.filter(pk=ana.pk).update(is_active=False)
    for address in ("ana@crm.test", "nobody@crm.test"):
        done = Client().post(FORGOTTEN, {"email": address}, follow=True)
        assert "If we know this address" in done.content.decode()
    assert mail.outbox == []


def test_where_no_e_mail_is_configured_it_says_whom_to_ask(ana: User) -> None:
    for answer in (Client().get(FORGOTTEN), Client().post(FORGOTTEN, {"email": "ana@crm.test"})):
        assert "Ask an owner of your workspace" in answer.content.decode()
    assert mail.outbox == []


def test_a_link_older_than_a_day_is_not_good(ana: User, settings: Any) -> None:
    settings.CAN_MAIL = True
    then = timezone.make_naive(timezone.now() - timedelta(days=1, minutes=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PasswordResetTokenGenerator, "_now", lambda _: then)
        Client().post(FORGOTTEN, {"email": "ana@crm.test"})
    link = re.findall(r"http://testserver(\S+)", str(mail.outbox[0].body))[0]
    assert "not good any more" in Client().get(link, follow=True).content.decode()


# EMAIL_URL


def test_a_mail_server_is_read_from_one_address() -> None:
    told = mail_settings("smtp+tls://me%40crm.test:p%3Aw@mail.crm.test")
    assert (told["EMAIL_HOST"], told["EMAIL_PORT"]) == ("mail.crm.test", 587)
    assert (told["EMAIL_HOST_USER"], told["EMAIL_HOST_PASSWORD"]) == ("me@crm.test", "p:w")
    assert (told["EMAIL_USE_TLS"], told["EMAIL_USE_SSL"]) == (True, False)
    assert mail_settings("smtp://localhost:2525")["EMAIL_PORT"] == 2525
    assert mail_settings("smtp+ssl://h")["EMAIL_PORT"] == 465
    assert mail_settings("") == {"EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"}
    assert site.CAN_MAIL is False


@pytest.mark.parametrize(
    "url", ["mail.crm.test", "http://mail.crm.test", "smtp://", "smtp://h:port", "smtp://[::1"]
)
def test_a_mail_server_that_is_none_stops_the_start_with_an_example(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"smtp\+tls://user:password@"):
        mail_settings(url)


# Preferences


def prefer(client: Client, **wishes: str) -> Any:
    data = {"language": "", "time_zone": "", "digest": "off"} | wishes
    return client.post("/admin/preferences/", data, follow=True)


def test_preferences_are_kept_and_linked_from_the_user_menu(ana: User) -> None:
    client = at_desk(ana)
    assert "/admin/preferences/" in client.get("/admin/").content.decode()
    done = prefer(client, language="es", time_zone="america/lima", digest="daily")
    kept = Preferences.objects.get()
    assert (kept.user, kept.language, kept.time_zone, kept.digest) == (ana, "es", "America/Lima", "daily")
    assert '<html lang="es"' in done.content.decode()
    assert client.cookies["chosen_zone"].value == "America/Lima"
    prefer(client)
    assert Preferences.objects.get().language == ""
    assert client.cookies["chosen_zone"].value == ""


@pytest.mark.parametrize("wish", [{"language": "xx"}, {"time_zone": "Mars/Phobos"}, {"digest": "hourly"}])
def test_wishes_that_nobody_can_fulfil_are_refused(wish: dict[str, str], ana: User) -> None:
    assert "errors" in prefer(at_desk(ana), **wish).content.decode()
    assert not Preferences.objects.exists()


def test_it_says_where_no_digest_can_come(ana: User, settings: Any) -> None:
    client = at_desk(ana)
    assert "so none is sent" in client.get("/admin/preferences/").content.decode()
    settings.CAN_MAIL = True
    User.objects.update(email="")
    assert "We know no e-mail address of yours" in client.get("/admin/preferences/").content.decode()


def language_of(client: Client, **headers: str) -> str:
    page = client.get("/admin/preferences/", headers=headers).content.decode()
    found: list[str] = re.findall(r'<html lang="([^"]+)"', page)
    return found[0]


def test_the_language_is_the_users_else_the_browsers_else_english(ana: User) -> None:
    client = at_desk(ana)
    assert language_of(client) == "en"
    assert language_of(client, accept_language="pt-BR,pt;q=0.9") == "pt-br"
    assert language_of(client, accept_language="tlh") == "en"
    Preferences.objects.create(user=ana, language="es")
    assert language_of(client, accept_language="pt-BR,pt;q=0.9") == "es"
    assert '<html lang="pt-br"' in Client().get(LOGIN, headers={"accept-language": "pt-BR"}).content.decode()


def zone_of(client: Client) -> str:
    """As the page's own answer to what "now" is."""
    return (
        client.get("/admin/preferences/")
        .content.decode()
        .partition('data-admin-utc-offset="')[2]
        .partition('"')[0]
    )


def test_the_zone_is_the_users_else_the_browsers_else_the_sites(ana: User) -> None:
    client = at_desk(ana)
    assert zone_of(client) == "0"
    client.cookies["browser_zone"] = "America/Lima"
    assert zone_of(client) == str(-5 * 3600)
    client.cookies["browser_zone"] = "../../etc/localtime"
    assert zone_of(client) == "0"
    Preferences.objects.create(user=ana, time_zone="Asia/Kolkata")
    client.cookies["browser_zone"] = "America/Lima"
    assert zone_of(client) == str(5.5 * 3600).partition(".")[0]


def test_one_request_leaves_nothing_for_the_next(ana: User) -> None:
    Preferences.objects.create(user=ana, time_zone="Asia/Kolkata", language="es")
    at_desk(ana).get("/admin/preferences/")
    assert timezone.get_current_timezone_name() == "UTC"
    assert '<html lang="en"' in Client().get(LOGIN).content.decode()


def test_preferences_cost_no_query_of_their_own(ana: User, django_assert_num_queries: Any) -> None:
    Preferences.objects.create(user=ana, language="es", time_zone="America/Lima")
    client = at_desk(ana)
    client.get("/admin/password_change/")
    with django_assert_num_queries(4):  # session, user with preferences, rights (the menu), the bell
        client.get("/admin/password_change/")


def test_who_brings_no_session_costs_nothing(db: None, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert Client().get(LOGIN).status_code == 200
    asked: list[str] = []

    def look(execute: Any, sql: str, *arguments: Any) -> Any:
        asked.append(sql)
        return execute(sql, *arguments)

    with connection.execute_wrapper(look):
        assert Client().post("/webhooks/kapso/", b"{}", content_type="application/json").status_code == 401
    assert ["contacts_phonenumber" in sql for sql in asked] == [True]  # for the secrets


def test_whoever_was_deactivated_is_out_at_once(ana: User) -> None:
    client = at_desk(ana)
    assert client.get("/admin/").status_code == 200
    User.objects.update(is_active=False)
    assert client.get("/admin/").status_code == 302


def test_saving_is_confirmed(db: None) -> None:
    assert said(prefer(at_desk(somebody("bea")))) == "Your preferences are saved."
