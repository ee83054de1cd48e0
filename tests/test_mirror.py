"""A copy that follows the feed of changes ends as the tables are, whatever changes them and how many at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import User

from api import feed
from contacts import news
from contacts.rights import Rights
from tests.builders import moment
from tests.mirroring import Page, Team, mirrored
from tests.test_rebuild import difference

# One moment for all: what is derived of the time of day is no change.
NOW = moment(0)


@dataclass
class Direct:
    """The feed itself, without HTTP in between."""

    user: User
    now_is: datetime = NOW

    @property
    def rights(self) -> Rights:
        return Rights.of(self.user)

    def now(self) -> str:
        return feed.cursor_of(self.rights, news.position())

    def everything(self, kind: str) -> Iterable[dict[str, Any]]:
        shape = feed.SHAPES[{name: key for key, name in feed.NAMES.items()}[kind]]
        rows = shape.visible(self.rights, NOW)
        found: Iterable[dict[str, Any]] = shape.serializer(rows, many=True, context={"now": NOW}).data
        return found

    def after(self, cursor: str, limit: int) -> Page:
        found = feed.look(self.rights, feed.position_of(self.rights, cursor), limit)
        results: list[Any] = list(feed.entries(self.rights, found.changed, NOW))
        return results, feed.cursor_of(self.rights, found.position), not found.is_all


@pytest.mark.parametrize("seed", [1])
def test_a_mirror_equals_the_tables(transactional_db: None, seed: int) -> None:
    team = Team.open()
    sources = [Direct(team.manager), Direct(team.agents[0])]
    of_all, of_agent = mirrored(team, sources, seed=seed, writers=4, changes=40)
    # (By then all leads may be the other agent's.)
    assert len({kind for kind, _ in of_all.rows}) == 3
    for mirror in (of_all, of_agent):
        tables = mirror.tables()
        assert mirror.rows == tables, difference(mirror.rows, tables)
