"""`rebuild_crm` after what is never to be undone: an erasure, retention, and what people decided about who is who."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from contacts.merging import merge, undo
from contacts.models import (
    Contact,
    ContactMerge,
    IdentityLink,
    KapsoSession,
    MergeDismissal,
    Message,
    ProfileFact,
    Tombstone,
    Workspace,
)
from contacts.suggesting import dismiss, suggestions
from kapso_sync.models import WebhookDelivery
from kapso_sync.rebuilding import Rebuild
from tests.builders import (
    ANA,
    ANA_ID,
    BEA,
    BEA_ID,
    LIMA,
    SAOPAULO,
    Desk,
    batch,
    message,
    sent,
    session_event,
    status,
    user_id_update,
    without_time,
)
from tests.conftest import Cast
from tests.kapso import Kapso
from tests.state import crm_state
from tests.test_corpus import CORPUS
from tests.test_rebuild import difference
from tests.test_rebuild_command import run, typed
from tests.test_retention import age
from tests.whole_database import places_of

CLE, DEB = "51911110003", "51911110004"


@pytest.fixture
def desk(transactional_db: None) -> Desk:
    return Desk.open()


def lose_what_can_be_rebuilt() -> int:
    """Damage that only the stored deliveries can repair; returns how many messages are lost."""
    told = Message.objects.filter(is_sealed=False)
    keys = list(told.order_by("pk").values_list("pk", flat=True))[::3]
    Contact.objects.living().update(last_activity_at=None, last_inbound_at=None)
    return Message.objects.filter(pk__in=keys).delete()[1]["contacts.Message"]


def rebuilt_ends_like(before: list[Any]) -> None:
    """The real commands: verify sees nothing wrong, rebuild repairs the damage, verify sees nothing wrong again."""
    assert_no_difference()
    assert lose_what_can_be_rebuilt()
    said = run("rebuild_crm")
    assert "FAILED" not in said, said
    assert "put right" in said, said
    assert not difference(before, crm_state())
    assert_no_difference()


def assert_no_difference() -> None:
    said = run("verify_crm")
    assert "FAILED" not in said, said
    assert said.count("no difference.") == Workspace.objects.count(), said


# Erasing


def test_the_erased_stay_gone(desk: Desk) -> None:
    desk.told(
        message("wamid.a1", 0, user_id=ANA_ID, name="Ana Flores"),
        sent("wamid.a2", 5, user_id=ANA_ID, statuses=[status("sent", 5), status("read", 6)]),
        message("wamid.b1", 7, phone=BEA, name="Bea Campos"),
        message("wamid.b2", 8, phone=BEA),
        message("wamid.sp", 9, phone=ANA, number=SAOPAULO, name="Ana in another workspace"),
    )
    shared = batch(
        message("wamid.a3", 9),
        message("wamid.c1", 9, phone=CLE, name="Cleo"),
        message("wamid.c2", 10, phone=CLE),
    )
    desk.post(shared)
    desk.post(session_event("session-of-ana", 11), "whatsapp.conversation.ended")
    assert "was erased" in run("erase_person", str(desk.lead().pk), "--yes")
    after = crm_state()
    traces = ("wamid.a1", "wamid.a2", "wamid.a3", ANA_ID, "Ana Flores", "session-of-ana")
    assert places_of(*traces) == []

    rebuilt_ends_like(after)
    assert places_of(*traces) == []
    assert not Contact.objects.filter(workspace=desk.numbers[LIMA].workspace, phone=ANA).exists()
    assert desk.lead(number=SAOPAULO).shown_name == "Ana in another workspace"
    assert set(desk.lead(CLE).messages.values_list("kapso_message_id", flat=True)) == {"wamid.c1", "wamid.c2"}
    assert Tombstone.objects.exists()


def test_a_rebuild_that_was_under_way_does_not_bring_the_erased_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shadow was complete before the erasure: what it holds of them is of yesterday."""
    desk.told(message("wamid.a1", 0, name="Ana Flores"), message("wamid.b1", 7, phone=BEA))
    Contact.objects.living().update(last_activity_at=None)
    compare = Rebuild.compared
    erased: list[str] = []

    def erase_and_compare(rebuild: Rebuild) -> Any:
        if not erased:
            erased.append(run("erase_person", str(desk.lead().pk), "--yes"))
        return compare(rebuild)

    monkeypatch.setattr(Rebuild, "compared", erase_and_compare)
    said = run("rebuild_crm")
    assert "was erased" in erased[0]
    assert "FAILED" not in said, said
    assert places_of("wamid.a1", "Ana Flores") == []
    assert desk.lead(BEA).last_activity_at
    assert_no_difference()


# Retention


def test_half_of_the_bodies_are_cleared_and_nothing_is_lost(cast: Cast, kapso: Kapso) -> None:
    for name in CORPUS:
        kapso.post_file(name)
    before = crm_state()
    finished = WebhookDelivery.objects.filter(status__in=["processed", "ignored"])
    keys = list(finished.order_by("pk").values_list("pk", flat=True))
    half = Random(1).sample(keys, len(keys) // 2)  # noqa: S311 - a choice, not a secret
    age(20, pk__in=half)
    assert f"Cleared {len(half)} bodies" in run("clear_bodies", "--older-than", "10")
    assert not difference(before, crm_state())
    kept = typed()

    rebuilt_ends_like(before)
    assert typed() == kept
    said = run("verify_crm")
    emptied = {
        slug: WebhookDelivery.objects.filter(workspace=workspace).exclude(body_cleared_at=None).count()
        for slug, workspace in cast.workspaces.items()
    }
    nobodys = WebhookDelivery.objects.filter(workspace=None).exclude(body_cleared_at=None).count()
    for slug, count in emptied.items():
        assert f"rest on {count + nobodys} deliver" in said, (slug, emptied, said)
    sealed = Message.objects.filter(is_sealed=True, workspace=cast.workspaces["lima"]).count()
    assert f"Lima: {sealed} messages, " in said


def test_all_bodies_are_cleared_and_nothing_is_lost(desk: Desk) -> None:
    desk.told(message("wamid.1", 0, name="Ana"), sent("wamid.2", 5), message("wamid.3", 9, phone=BEA))
    desk.became("wamid.2", "read", 7)
    WebhookDelivery.objects.update(received_at=timezone.now() - timedelta(days=20))
    assert "Cleared 4 bodies" in run("clear_bodies", "--older-than", "10")
    before = crm_state()
    Contact.objects.living().update(last_activity_at=None, last_inbound_at=None)
    assert "2 leads put right" in run("rebuild_crm")
    assert not difference(before, crm_state())
    assert_no_difference()


# What people decided


def merged(desk: Desk, clerk: User) -> None:
    merge(desk.lead(ANA), desk.lead(BEA), by=clerk)


def merged_and_undone(desk: Desk, clerk: User) -> None:
    undo(merge(desk.lead(ANA), desk.lead(BEA), by=clerk), by=clerk)


def merged_by_proof_and_undone(desk: Desk, clerk: User) -> None:
    """Told apart: the proof is still in the stored deliveries, and counts no more."""
    desk.told(message("wamid.p1", 20, phone=CLE))
    desk.told(message("wamid.p2", 21, phone=None, user_id=BEA_ID, session="s-bea-id"))
    desk.told(message("wamid.p3", 22, phone=CLE, user_id=BEA_ID))
    undo(ContactMerge.objects.get(), by=clerk)


def merged_twice_and_one_undone(desk: Desk, clerk: User) -> None:
    first = merge(desk.lead(ANA), desk.lead(BEA), by=clerk)
    merge(first.survivor, desk.lead(DEB), by=clerk)
    undo(first, by=clerk)


def suggestion_dismissed(desk: Desk, clerk: User) -> None:
    desk.told(message("wamid.m1", 30, phone="5215512345678"), message("wamid.m2", 31, phone="525512345678"))
    assert len(suggestions([desk.numbers[LIMA].workspace_id])) == 1
    dismiss(desk.lead("5215512345678"), desk.lead("525512345678"), by=clerk)


DECISIONS: list[Callable[[Desk, User], None]] = [
    merged,
    merged_and_undone,
    merged_by_proof_and_undone,
    merged_twice_and_one_undone,
    suggestion_dismissed,
]


@pytest.mark.parametrize("clears_bodies", [False, True], ids=["", "with half of the bodies cleared"])
@pytest.mark.parametrize("decide", DECISIONS)
def test_what_people_decided_is_kept(
    desk: Desk, decide: Callable[[Desk, User], None], clears_bodies: bool
) -> None:
    clerk = User.objects.create_superuser("clerk")
    desk.told(
        message("wamid.1", 0, user_id=ANA_ID, name="Ana"),
        message("wamid.2", 5, phone=BEA, name="Bea"),
        sent("wamid.3", 6, phone=BEA),
        message("wamid.4", 9, phone=DEB, name="Deb"),
    )
    Contact.objects.filter(phone=BEA).update(email="bea@example.com", tags=["vip"])
    decide(desk, clerk)
    if clears_bodies:
        keys = list(WebhookDelivery.objects.order_by("pk").values_list("pk", flat=True))[::2]
        age(20, pk__in=keys)
        run("clear_bodies", "--older-than", "10")
    before, kept, decisions = crm_state(), typed(), decided()

    rebuilt_ends_like(before)
    assert typed() == kept
    assert decided() == decisions
    assert not suggestions([desk.numbers[LIMA].workspace_id])


def test_what_has_no_time_of_its_own_is_put_right(desk: Desk) -> None:
    desk.told(message("wamid.1", 0, user_id=ANA_ID), message("wamid.2", 5, user_id=BEA_ID))
    desk.told(message("wamid.3", None, session="session"))
    desk.told(without_time(user_id_update(9, ANA_ID, CLE)))
    before = crm_state()
    later = timezone.now() + timedelta(hours=1)
    assert IdentityLink.objects.exclude(source="").update(at=later)
    assert ProfileFact.objects.filter(field="seen").update(last_at=later)
    assert KapsoSession.objects.exclude(tellings=None).update(tellings=None, last_at=later)
    assert run("verify_crm").count("no difference.") == 1
    assert "put right" in run("rebuild_crm")
    assert not difference(before, crm_state())
    assert_no_difference()


def decided() -> list[Any]:
    """Merges with what an undo needs, who was told apart, and what was dismissed."""
    return [
        list(model._default_manager.order_by("pk").values()) for model in (ContactMerge, MergeDismissal)
    ] + [list(IdentityLink.objects.filter(kind__in=["manual", "apart"]).order_by("pk").values())]


def test_a_merge_can_be_undone_after_a_rebuild(desk: Desk) -> None:
    clerk = User.objects.create_superuser("clerk")
    desk.told(message("wamid.1", 0, name="Ana"), message("wamid.2", 5, phone=BEA, name="Bea"))
    before = crm_state()
    merge(desk.lead(ANA), desk.lead(BEA), by=clerk)
    rebuilt_ends_like(crm_state())
    undo(ContactMerge.objects.get(), by=clerk)
    assert not difference(before, crm_state())
    assert_no_difference()
