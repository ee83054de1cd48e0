"""What people decide of who is who, merged or told apart, has one result whenever it comes among the events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from contacts import people, sync
from contacts.events import Event
from contacts.models import Identity, IdentityLink, PhoneNumber
from contacts.refresh import refresh
from tests.histories import PEOPLE, START, brief, events, times
from tests.state import crm_state
from tests.test_order import _UndoError, two_numbers
from tests.test_rebuild import difference

__all__ = ["two_numbers"]  # a fixture

Named = tuple[str, str]  # kind and value of an identity


@dataclass(frozen=True)
class Decision:
    """A link between two identities: `manual` or `apart`."""

    kind: str
    a: Named
    b: Named
    at: datetime


def identities(people: Sequence[str]) -> list[Named]:
    """Theirs, the phones first: what is told apart is a user id from another, or from a phone."""
    faces = [face for who in people for face in PEOPLE[who]]
    phones = {("phone", phone) for phone, _ in faces if phone}
    users = {("user", user) for _, user in faces if user}
    return sorted(phones) + sorted(users)


@st.composite
def decisions(draw: st.DrawFn, people: Sequence[str]) -> Decision:
    named = identities(people)
    a, b = draw(st.lists(st.sampled_from(named), min_size=2, max_size=2, unique=True))
    if "user" in (a[0], b[0]) and draw(st.booleans()):
        a, b = sorted((a, b), key=named.index)
        return Decision(kind="apart", a=a, b=b, at=draw(times))
    return Decision(kind="manual", a=a, b=b, at=draw(times))


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Any], list[Any]]:
    people = draw(st.lists(st.sampled_from(sorted(PEOPLE)), min_size=2, max_size=3, unique=True))
    told = events(people, ("messages", "messages", "changes"))
    history = draw(st.lists(told | told | decisions(people), min_size=2, max_size=12))
    return history, draw(st.permutations(history))


def decide(decision: Decision, number: PhoneNumber) -> None:
    workspace = number.workspace
    a, b = (
        Identity.objects.get_or_create(workspace=workspace, kind=kind, value=value)[0]
        for kind, value in (decision.a, decision.b)
    )
    IdentityLink.objects.get_or_create(workspace=workspace, kind=decision.kind, a=a, b=b, at=decision.at)
    refresh(people.regroup({a.pk, b.pk}, set()), set())


def holders_agree() -> None:
    """The rule is written twice: for one phone in SQL, for a whole group of identities in Python."""
    identities = set(Identity.objects.values_list("pk", flat=True))
    evidence = people.load(identities, set())
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, at, contacts_holder(id, at) FROM contacts_identity, unnest(%s::timestamptz[]) AS at "
            "WHERE kind = 'phone'",
            [[START + timedelta(minutes=minute) for minute in range(-1, 14)]],
        )
        for phone, at, holder in cursor.fetchall():
            assert evidence.holder(phone, at) == holder


def state_after(history: Sequence[Event | Decision], numbers: dict[str, PhoneNumber]) -> Any:
    """The CRM after these steps in empty tables; nothing of it stays."""
    try:
        with transaction.atomic():
            for step in history:
                if isinstance(step, Decision):
                    decide(step, next(iter(numbers.values())))
                else:
                    sync.apply([(numbers[step.number], step)], alone=True)
            connection.check_constraints()
            holders_agree()
            state = crm_state()
            raise _UndoError
    except _UndoError:
        return state


@settings(
    max_examples=30,
    deadline=None,
    phases=[Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(histories())
def test_decisions_and_events_in_any_order_end_in_the_same_crm(
    two_numbers: dict[str, PhoneNumber], history: tuple[list[Any], list[Any]]
) -> None:
    in_order, shuffled = history
    one, other = state_after(in_order, two_numbers), state_after(shuffled, two_numbers)
    for name, told in (("in order", in_order), ("otherwise", shuffled)):
        note(f"{name}:")
        note("\n".join(str(step) if isinstance(step, Decision) else brief(step) for step in told))
    assert not difference(one, other)
