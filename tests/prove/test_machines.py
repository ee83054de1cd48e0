"""Two web servers that share a database and nothing else: whatever one knows, the other does."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.builders import RECEIVED, message
from tests.chaos.site import Site
from tests.kapso import Kapso
from tests.machines import MAKE_USER, Machine, Visitor

pytestmark = pytest.mark.prove

LEADS = "/admin/contacts/contact/"


@pytest.fixture(scope="module")
def machines(tmp_path_factory: Any) -> Iterator[list[Machine]]:
    folders = [tmp_path_factory.mktemp(name) for name in ("site", "one", "two")]
    with (
        Site(folders[0]) as site,
        Machine(folders[1], site, API_REQUESTS_PER_MINUTE="30") as one,
        Machine(folders[2], site, API_REQUESTS_PER_MINUTE="30") as two,
    ):
        site.run("-c", MAKE_USER)
        yield [one, two]


def test_who_logged_in_at_one_is_known_to_the_other_and_logged_out_of_both(machines: list[Machine]) -> None:
    one, two = machines
    browser = Visitor()
    browser.log_in(one)
    page = browser.get(two, LEADS)
    assert "/admin/login/" not in page
    browser.post(two, "/admin/logout/", {}, page)
    assert "csrfmiddlewaretoken" in browser.get(one, LEADS)
    assert 'name="password"' in browser.get(one, LEADS)


def test_what_came_to_one_is_listed_by_the_other_at_once(machines: list[Machine]) -> None:
    one, two = machines
    browser = Visitor()
    browser.log_in(two)
    for index, (receives, shows) in enumerate([(one, two), (two, one)] * 3):
        body = message(f"wamid.{index}", index, phone=f"5198{index:07d}", text=f"At once {index}")
        assert Kapso(receives.url).post(body, event=RECEIVED).json["status"] == "processed"
        assert f"At once {index}" in browser.get(shows, LEADS)


def test_copies_that_come_to_both_at_once_are_one_delivery(machines: list[Machine]) -> None:
    """Also the first message of somebody new: neither has seen them before."""
    bodies = [message(f"wamid.both.{index}", index, phone=f"5197{index:07d}") for index in range(60)]

    def post(index: int) -> int:
        body = bodies[index // 4]
        answer = Kapso(machines[index % 2].url).post(body, event=RECEIVED, key=f"both-{index // 4}")
        assert answer.json["status"] == "processed"
        return int(answer.json["delivery"])

    with ThreadPoolExecutor(8) as pool:
        found = Counter(pool.map(post, range(4 * len(bodies))))
    assert (len(found), set(found.values())) == (len(bodies), {4})


def test_wrong_passwords_are_counted_over_both(machines: list[Machine]) -> None:
    guesser = Visitor()
    for index in range(4):
        guesser.log_in(machines[index % 2], password="wrong")
    with pytest.raises(HTTPError, match="429"):
        guesser.log_in(machines[0], password="wrong")
    with pytest.raises(HTTPError, match="429"):
        guesser.log_in(machines[1])


def test_a_token_is_counted_over_both(machines: list[Machine]) -> None:
    token = machines[0].site.run("-c", re.sub('"ana"', '"another"', MAKE_USER)).strip()
    program = Visitor(token)
    answers = [program.status_of(machines[index % 2], "/api/v1/me/") for index in range(70)]
    # A minute may end meanwhile; each allows 30.
    assert 30 <= answers.count(200) <= 60
    assert 429 in answers
