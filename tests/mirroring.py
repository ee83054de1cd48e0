"""A copy of a workspace that follows the feed of changes, and people and webhooks that change it meanwhile, at random."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from threading import Event
from typing import Any, Protocol

from django.contrib.auth.models import User
from django.core.exceptions import ObjectDoesNotExist
from django.db import OperationalError, connection, connections
from django.utils import timezone

from contacts import merging, work
from contacts.models import Contact, ContactMerge, Conversation, Membership, Message, Role, Workspace
from contacts.models.contact import ALLOWED_MOVES, LeadStatus, TransitionRefused
from kapso_sync.erasing import erase_person
from kapso_sync.patience import TooBusy
from tests.builders import LIMA, RECEIVED, SENT, Desk, contact_updated, message, sent, status, user_id_update

Key = tuple[str, int]
Page = tuple[list[dict[str, Any]], str, bool]
KINDS = ("contact", "conversation", "message")
PEOPLE = 16

# What was asked cannot be done just now: the lead is gone, merged, busy, or where it was to be.
REFUSED = (
    work.Refused,
    merging.MergeRefused,
    TransitionRefused,
    TooBusy,
    OperationalError,
    ObjectDoesNotExist,
)


class Source(Protocol):
    """How the copy asks: the present cursor, all rows of a kind, and what came after a cursor."""

    def now(self) -> str: ...

    def everything(self, kind: str) -> Iterable[dict[str, Any]]: ...

    def after(self, cursor: str, limit: int) -> Page: ...


class Mirror:
    """As the documentation says: first a cursor, then everything, then what changed since."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.cursor = source.now()
        self.rows: dict[Key, Any] = {
            (kind, row["id"]): row for kind in KINDS for row in source.everything(kind)
        }
        self.pages = 0

    def follow(self, limit: int = 50) -> bool:
        """Take one page; False if there was nothing in it and nothing is to come."""
        results, self.cursor, has_more = self.source.after(self.cursor, limit)
        assert len(results) <= limit
        for told in results:
            key = (told["kind"], told["id"])
            assert told["deleted"] == (told["data"] is None)
            if told["deleted"]:
                self.rows.pop(key, None)
            else:
                self.rows[key] = told["data"]
        self.pages += 1
        return bool(results) or has_more

    def catch_up(self, limit: int = 50) -> None:
        while self.follow(limit):
            pass

    def tables(self) -> dict[Key, Any]:
        return {(kind, row["id"]): row for kind in KINDS for row in self.source.everything(kind)}


@dataclass
class Team:
    """A workspace whose agents see only leads of their own and of nobody."""

    desk: Desk
    workspace: Workspace
    manager: User
    agents: list[User]

    @classmethod
    def open(cls) -> Team:
        desk = Desk.open()
        workspace = desk.numbers[LIMA].workspace
        Workspace.objects.filter(pk=workspace.pk).update(agents_see_all=False)
        users = [User.objects.create(username=name, is_staff=True) for name in ("manager", "agent", "other")]
        roles = (Role.MANAGER, Role.AGENT, Role.AGENT)
        for user, role in zip(users, roles, strict=True):
            Membership.objects.create(workspace=workspace, user=user, role=role)
        return cls(desk, workspace, users[0], users[1:])


@dataclass
class Meddler:
    """One who changes something, again and again. Each kind of change counts how often it was made."""

    team: Team
    seed: int
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311
        self.times = count(self.seed * 1000)
        self.said: list[str] = []
        self.changes: list[tuple[int, Callable[[], object]]] = [
            (8, self.customer_writes),
            (5, self.team_writes),
            (3, self.status_comes),
            (2, self.profile_comes),
            (1, self.user_id_changes),
            (4, self.assigns),
            (2, self.reassigns_many),
            (3, self.types),
            (2, self.moves),
            (2, self.plans),
            (1, self.reads),
            (1, self.hands_over),
            (2, self.merges),
            (2, self.undoes),
            (1, self.erases),
            (1, self.writes_sql),
        ]  # fmt: skip

    def meddle(self, times: int) -> None:
        weights, changes = zip(*self.changes, strict=True)
        try:
            for change in self.random.choices(changes, weights, k=times):
                try:
                    change()
                    self.done[change.__name__] += 1
                except REFUSED:
                    self.done["refused"] += 1
        finally:
            connections.close_all()

    # Webhooks

    def _phone(self) -> str:
        return f"519{self.random.randrange(PEOPLE):08d}"

    def _post(self, body: Any, event: str) -> None:
        answer = self.team.desk.post(body, event, key=f"{self.seed}-{next(self.times)}")
        assert answer.status == 200, answer.text  # where it could not wait, it is retried some time

    def _names(self) -> dict[str, Any]:
        """Whom a message names: mostly a phone, at times with a user id that has another phone elsewhere."""
        if self.random.random() < 0.6:
            return {"phone": self._phone()}
        who = self.random.randrange(PEOPLE)
        phone = self.random.choice([None, f"519{who:08d}", self._phone()])
        return {"phone": phone, "user_id": f"PE.{who}"}

    def customer_writes(self) -> None:
        self.said.append(f"in-{self.seed}-{len(self.said)}")
        at = next(self.times)
        self._post(message(self.said[-1], at, text=f"at {at}", name=f"N{at % 5}", **self._names()), RECEIVED)

    def team_writes(self) -> None:
        self.said.append(f"out-{self.seed}-{len(self.said)}")
        self._post(sent(self.said[-1], next(self.times), phone=self._phone()), SENT)

    def status_comes(self) -> None:
        word = self.random.choice(["delivered", "read", "failed"])
        wamid = self.random.choice(self.said or ["unknown"])
        at = next(self.times)
        body = sent(wamid, at, phone=self._phone(), statuses=[status(word, at)])
        self._post(body, f"whatsapp.message.{word}")

    def profile_comes(self) -> None:
        self._post(contact_updated(self._phone(), f"Profile {next(self.times)}"), "contact.updated")

    def user_id_changes(self) -> None:
        old, new = (f"PE.{self.random.randrange(PEOPLE)}" for _ in range(2))
        self._post(user_id_update(next(self.times), old, new), "")

    # People

    def _lead(self) -> Contact:
        leads = list(Contact.objects.living().filter(workspace=self.team.workspace).order_by("pk"))
        if not leads:
            raise Contact.DoesNotExist
        return self.random.choice(leads)

    def _owner(self) -> User | None:
        return self.random.choice([None, *self.team.agents])

    def assigns(self) -> None:
        work.assign(self._lead(), self._owner(), by=self.team.manager)

    def reassigns_many(self) -> None:
        some = {self._lead().pk for _ in range(3)}
        Contact.objects.filter(pk__in=some).update(owner=self._owner())

    def types(self) -> None:
        work.set_field(self._lead(), "name", f"Typed {next(self.times)}", by=self.team.manager)

    def moves(self) -> None:
        lead = self._lead()
        to = self.random.choice(ALLOWED_MOVES[LeadStatus(lead.lead_status)])
        work.move(lead, to, by=self.team.manager)

    def plans(self) -> None:
        later = timezone.now() + timedelta(days=1 + next(self.times) % 9)
        if self.random.random() < 0.5:
            work.plan_follow_up(self._lead(), later, by=self.team.manager)
        else:
            work.snooze(self._lead(), later, by=self.team.manager)

    def reads(self) -> None:
        work.mark_read(self._lead())

    def hands_over(self) -> None:
        thread = Conversation.objects.filter(workspace=self.team.workspace).order_by("?").first()
        if thread is not None:
            Conversation.objects.filter(pk=thread.pk).update(handoff_at=timezone.now(), handoff_reason="asks")

    def merges(self) -> None:
        merging.merge(self._lead(), self._lead(), by=self.team.manager)

    def undoes(self) -> None:
        made = ContactMerge.objects.filter(undone_at=None).order_by("?").first()
        if made is not None:
            merging.undo(made, by=self.team.manager)

    def erases(self) -> None:
        if Contact.objects.living().count() < PEOPLE / 2:
            raise Contact.DoesNotExist  # somebody is to be left
        erase_person(self.team.workspace.pk, self._lead().pk)

    def writes_sql(self) -> None:
        newest = Message.objects.filter(workspace=self.team.workspace).order_by("-pk").first()
        if newest is not None:
            with connection.cursor() as cursor:
                cursor.execute(
                    "UPDATE contacts_message SET media_url = 'https://example.com/x' WHERE id = %s",
                    [newest.pk],
                )


def mirrored(team: Team, sources: Iterable[Source], *, seed: int, writers: int, changes: int) -> list[Mirror]:
    """Mirrors that began while the first writers were at it, followed them, and caught up at the end."""
    meddlers = [Meddler(team, seed * 100 + writer) for writer in range(writers)]
    for meddler in meddlers:
        meddler.meddle(3)  # something to begin with
    are_done = Event()

    def follow(source: Source) -> Mirror:
        try:
            mirror = Mirror(source)
            while not are_done.is_set():
                mirror.follow(random.Random(mirror.pages).choice([1, 7, 50]))  # noqa: S311
            mirror.catch_up()
            return mirror
        finally:
            connections.close_all()

    sources = list(sources)
    with ThreadPoolExecutor(writers + len(sources)) as pool:
        following = [pool.submit(follow, source) for source in sources]
        try:
            for written in [pool.submit(meddler.meddle, changes) for meddler in meddlers]:
                written.result()
        finally:
            are_done.set()
        return [mirror.result() for mirror in following]
