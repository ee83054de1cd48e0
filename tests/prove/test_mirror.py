"""Copies that follow the feed over HTTP while many change everything: at the end they equal the tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.api import Program
from tests.mirroring import Page, Team, mirrored
from tests.test_rebuild import difference
from tests.walking import walk

# What follows the clock is as of the answer.
FOLLOWS_THE_CLOCK = {"window_open", "awaiting_reply", "needs_follow_up", "snoozed_until"}


@dataclass
class OverHttp:
    program: Program

    def now(self) -> str:
        return str(self._ask()["next_cursor"])

    def everything(self, kind: str) -> Iterable[dict[str, Any]]:
        # Messages and threads have no other order.
        ordering = {"ordering": "id"} if kind == "contact" else {}
        for row in walk(self.program, f"/api/v1/{kind}s/", limit=200, **ordering):
            yield without_the_clock(row)

    def after(self, cursor: str, limit: int) -> Page:
        page = self._ask(cursor=cursor, limit=limit)
        for told in page["results"]:
            told["data"] = told["data"] and without_the_clock(told["data"])
        return page["results"], page["next_cursor"], page["has_more"]

    def _ask(self, **parameters: Any) -> Any:
        answer = self.program.get("/api/v1/changes/", **parameters)
        assert answer.status_code == 200, answer.content
        return answer.json()


def without_the_clock(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in FOLLOWS_THE_CLOCK}


@pytest.mark.prove
@pytest.mark.alone
@pytest.mark.parametrize("seed", range(10, 14))
def test_mirrors_over_http_equal_the_tables(transactional_db: None, settings: Any, seed: int) -> None:
    settings.API_REQUESTS_PER_MINUTE = 10**6
    team = Team.open()
    sources = [OverHttp(Program.of(user)) for user in (team.manager, team.agents[0])]
    of_all, of_agent = mirrored(team, sources, seed=seed, writers=8, changes=120)
    # (By then all leads may be the other agent's.)
    assert len({kind for kind, _ in of_all.rows}) == 3
    for mirror in (of_all, of_agent):
        tables = mirror.tables()
        assert mirror.rows == tables, difference(mirror.rows, tables)
