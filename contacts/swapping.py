"""The live CRM becomes what a shadow of it says, in the caller's transaction (contacts.shadow, contacts.difference)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from contacts import people
from contacts.refresh import refresh
from contacts.shadow import Shadow, plan_for_few_rows
from contacts.statements import swap_shadow
from contacts.writing import Written

# So many leads or sessions at a time have their derived values refreshed.
SIZE = 500


@dataclass(slots=True)
class Swapped:
    """How many rows were written; `kept` are messages that no stored delivery tells, and that stay all the same."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    kept: int = 0


@dataclass(slots=True)
class _Swap:
    shadow: Shadow
    workspace: int
    done: Swapped = field(default_factory=Swapped)

    def keep_what_nothing_tells(self) -> None:
        kept = [row[0] for row in self.shadow.run(swap_shadow.KEEP_MESSAGES)]
        self.done.kept = len(kept)
        if kept:
            identities = [row[0] for row in self.shadow.run(swap_shadow.KEPT_IDENTITIES, [kept])]
            for statement in swap_shadow.KEPT_FACTS:
                self.shadow.run(statement, {"identities": identities, "messages": kept})

    def write_facts(self) -> None:
        for compared in swap_shadow.INSERTED:
            self.done.added += self.shadow.count(swap_shadow.insert(compared))
        for compared in swap_shadow.UPDATED:
            self.done.changed += self.shadow.count(swap_shadow.update(compared))
        for compared in swap_shadow.FOUND:
            self.shadow.run(swap_shadow.find(compared))
        self.shadow.run(swap_shadow.INSERT_NAMED)

    def remove_facts(self) -> None:
        self.shadow.run(swap_shadow.DELETE_NAMED)
        for compared in swap_shadow.DELETED:
            self.done.removed += self.shadow.count(swap_shadow.delete(compared))

    def derive(self) -> None:
        self.shadow.run(swap_shadow.HOMES)
        self.shadow.run(swap_shadow.BELONGS_NOW)
        self.shadow.run(swap_shadow.MAKE_THREADS)
        left = {row[0] for row in self.shadow.run(swap_shadow.PLACE_MESSAGES) if row[0]}
        contacts = {row[0] for row in self.shadow.run(swap_shadow.TOUCHED_LEADS)}
        conversations: set[int] = set(left)
        to_regroup = self.shadow.run(swap_shadow.TO_REGROUP, {"workspace": self.workspace})
        self.remove_facts()
        plan_for_few_rows()
        for identities, leads in to_regroup:
            regrouped = people.regroup(set(identities or []), set(leads or []))
            contacts |= regrouped.contacts
            conversations |= regrouped.conversations
        conversations -= people.drop_if_emptied(conversations)
        self._refresh(contacts, conversations)

    def _refresh(self, contacts: set[int], conversations: set[int]) -> None:
        sessions = [
            (number, session)
            for number, session in self.shadow.run(
                swap_shadow.TOUCHED_SESSIONS, {"workspace": self.workspace}
            )
        ]
        for some in _some(sorted(contacts)):
            refresh(Written(contacts=set(some)), set())
        for some in _some(sorted(conversations)):
            refresh(Written(conversations=set(some)), set())
        for keys in _some(sorted(sessions)):
            refresh(Written(), set(), set(keys))


def _some(items: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), SIZE):
        yield items[start : start + SIZE]


def swap(shadow: Shadow, workspace: int) -> Swapped:
    """Write what `collect_differences` found, as far as it is still so. The caller has the workspace locked.

    Ids, what people typed, notes, merges and statuses stay; messages are never dropped.
    """
    swapping = _Swap(shadow, workspace)
    swapping.keep_what_nothing_tells()
    swapping.write_facts()
    swapping.derive()
    return swapping.done
