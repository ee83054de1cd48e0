"""Merging by hand and taking it back: what somebody decides stands beside the evidence, whatever comes after."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection, connections
from django.db.models import ForeignKey, OneToOneField

from contacts import merging
from contacts.merging import MergeRefused, merge, undo
from contacts.models import (
    Contact,
    ContactMerge,
    Conversation,
    FollowUp,
    IdentityLink,
    Import,
    ImportRow,
    LeadChange,
    MergeDismissal,
    Message,
    Note,
    Notification,
    StatusChange,
)
from contacts.suggesting import dismiss
from kapso_sync.models import WebhookDelivery
from kapso_sync.replaying import replay_in_batches
from tests.builders import (
    ANA,
    ANA_ID,
    BEA,
    BEA_ID,
    LIMA,
    SAOPAULO,
    Desk,
    Json,
    contact_updated,
    message,
    moment,
    sent,
    session_event,
    system_line,
    user_id_update,
)
from tests.kapso import Kapso
from tests.state import crm_state
from tests.test_rebuild import difference

NEW_PHONE, NEW_ID = "51911110009", "PE.1000000000000009"


@pytest.fixture
def desk(db: None) -> Desk:
    return Desk.open()


@pytest.fixture
def clerk(db: None) -> User:
    return User.objects.create_user("clerk")


def wamids(lead: Contact) -> set[str]:
    return set(lead.messages.values_list("kapso_message_id", flat=True))


def lead_of(desk: Desk, wamid: str) -> Contact:
    lead = desk.row(wamid).contact
    assert lead is not None
    return lead


def by_hand(desk: Desk, **fields: Any) -> Contact:
    return Contact.objects.create(workspace=desk.numbers[LIMA].workspace, **fields)


def type_into(lead: Contact, **values: Any) -> None:
    Contact.objects.filter(pk=lead.pk).update(**values)


def replay_all() -> None:
    for size in (500, 1):
        replay_in_batches(WebhookDelivery.objects.all(), size=size)


# Who a person is, in every way in which we may know them


def phone_only(desk: Desk, who: str) -> Contact:
    phone = {"a": ANA, "b": BEA}[who]
    desk.told(message(f"{who}1", 0, phone=phone, name=who.upper()), sent(f"{who}2", 5, phone=phone))
    return lead_of(desk, f"{who}1")


def user_only(desk: Desk, who: str) -> Contact:
    user = {"a": ANA_ID, "b": BEA_ID}[who]
    desk.told(message(f"{who}1", 0, phone=None, user_id=user, name=who.upper(), session=f"s-{who}"))
    return lead_of(desk, f"{who}1")


def both(desk: Desk, who: str) -> Contact:
    phone, user = {"a": (ANA, ANA_ID), "b": (BEA, BEA_ID)}[who]
    desk.told(message(f"{who}1", 0, phone=phone, user_id=user), message(f"{who}2", 3, phone=phone))
    desk.post(session_event(f"session-{phone}-{LIMA}", 9, phone=phone), "whatsapp.conversation.ended")
    desk.told(contact_updated(phone, f"Profile {who}"))
    return lead_of(desk, f"{who}1")


def two_numbers(desk: Desk, who: str) -> Contact:
    """A person who changed their number."""
    user, new = {"a": (ANA_ID, "PE.A2"), "b": (BEA_ID, "PE.B2")}[who]
    desk.told(message(f"{who}1", 0, phone=None, user_id=user), user_id_update(4, user, new))
    desk.told(message(f"{who}2", 5, phone=None, user_id=new))
    return lead_of(desk, f"{who}1")


def name_only(desk: Desk, who: str) -> Contact:
    return by_hand(desk, name=f"Card {who}", email=f"{who}@example.com")


def with_rows_by_hand(desk: Desk, who: str) -> Contact:
    """An import: its messages name nobody, its sessions neither."""
    lead = by_hand(desk, phone={"a": "51933330001", "b": "51933330002"}[who], name=f"Import {who}")
    thread = Conversation.objects.create(
        workspace=lead.workspace,
        contact=lead,
        phone_number=desk.numbers[LIMA],
        kapso_conversation_id=f"k-{who}",
    )
    Message.objects.create(
        workspace=lead.workspace, contact=lead, conversation=thread, kapso_message_id=f"{who}1",
        direction="inbound", content="Imported", sent_at=datetime(2026, 6, 9, tzinfo=UTC),
    )  # fmt: skip
    merging._derive(set(), {lead.pk}, {thread.pk}, by=None)
    return lead


def with_an_empty_thread(desk: Desk, who: str) -> Contact:
    lead = by_hand(desk, business_scoped_user_id=f"PE.{who}", name=f"Import {who}")
    thread = Conversation.objects.create(
        workspace=lead.workspace,
        contact=lead,
        phone_number=desk.numbers[LIMA],
        kapso_conversation_id=f"k-{who}",
    )
    merging._derive(set(), {lead.pk}, {thread.pk}, by=None)
    return lead


WAYS: list[Callable[[Desk, str], Contact]] = [
    phone_only, user_only, both, two_numbers, name_only, with_rows_by_hand, with_an_empty_thread,
]  # fmt: skip


def type_a_lot(a: Contact, b: Contact, clerk: User) -> None:
    type_into(a, email="a@example.com", tags=["vip", "lima"], metadata={"size": 1, "shop": "A"})
    type_into(b, name="Doña Bea", lead_score=7, tags=["lima", "new"], metadata={"size": 2}, owner=clerk)
    type_into(b, email="b@example.com")
    b.change_status("qualified", by=clerk)


# Merge


@pytest.mark.parametrize(
    ("way", "other_way"), [*zip(WAYS, [*WAYS[1:], WAYS[0]], strict=True), *((way, both) for way in WAYS)]
)
def test_unmerged_with_nothing_in_between_all_is_as_before(
    desk: Desk, clerk: User, way: Callable[[Desk, str], Contact], other_way: Callable[[Desk, str], Contact]
) -> None:
    a, b = way(desk, "a"), other_way(desk, "b")
    type_a_lot(a, b, clerk)
    before = crm_state()
    made = merge(b, a, by=clerk)
    assert (made.survivor, made.merged, made.by) == (a, b, clerk)
    assert list(Contact.objects.living()) == [a]
    assert Message.objects.exclude(contact=a).count() == 0
    assert Conversation.objects.exclude(contact=a).count() == 0
    assert undo(made, by=clerk) == b
    assert not difference(before, crm_state())
    connection.check_constraints()


@pytest.mark.parametrize("way", [phone_only, both, with_rows_by_hand])
def test_a_merge_twice_undone_and_a_replay_change_nothing(
    desk: Desk, clerk: User, way: Callable[[Desk, str], Contact]
) -> None:
    a, b = both(desk, "a"), way(desk, "b")
    type_a_lot(a, b, clerk)
    apart = crm_state()
    for _ in range(2):
        made = merge(a, b, by=clerk)
        merged = crm_state()
        replay_all()
        assert crm_state() == merged
        undo(made, by=clerk)
        replay_all()
        assert crm_state() == apart


def test_a_person_joins_two_user_ids(desk: Desk, clerk: User) -> None:
    a, b = both(desk, "a"), both(desk, "b")
    merge(a, b, by=clerk)
    desk.told(message("later", 60, phone=BEA, user_id=BEA_ID), message("also", 61, phone=ANA, user_id=ANA_ID))
    assert wamids(desk.only_lead) == {"a1", "a2", "b1", "b2", "later", "also"}
    assert desk.only_lead.conversations.count() == 1


def test_what_came_since_goes_where_it_belongs(desk: Desk, clerk: User) -> None:
    a, b = both(desk, "a"), phone_only(desk, "b")
    made = merge(a, b, by=clerk)
    desk.told(message("a3", 60, phone=ANA), message("b3", 61, phone=BEA), sent("b4", 70, phone=BEA))
    # Only now Bea's user id is known.
    desk.told(message("b5", 80, phone=BEA, user_id=BEA_ID), message("b6", 81, phone=None, user_id=BEA_ID))
    undo(made, by=clerk)
    assert wamids(a) == {"a1", "a2", "a3"}
    assert wamids(b) == {"b1", "b2", "b3", "b4", "b5", "b6"}
    b.refresh_from_db()
    assert (b.phone, b.business_scoped_user_id) == (BEA, BEA_ID)


# By proof


PROOFS: dict[str, tuple[Json, Json, Json]] = {
    "both ids in one message": (
        message("a1", 0, name="A"),
        message("b1", 1, phone=None, user_id=ANA_ID, name="B"),
        message("proof", 9, user_id=ANA_ID),
    ),
    "number changed": (
        message("a1", 0),
        message("b1", 1, phone=NEW_PHONE),
        system_line("proof", 9, ANA, type="user_changed_number", wa_id=NEW_PHONE),
    ),
    "number changed, with the new user id": (
        message("a1", 0, user_id=ANA_ID),
        message("b1", 1, phone=NEW_PHONE, user_id=NEW_ID),
        system_line("proof", 9, ANA, type="user_changed_number", wa_id=NEW_PHONE, user_id=NEW_ID),
    ),
    "user id changed": (
        message("a1", 0, user_id=ANA_ID),
        message("b1", 1, phone=None, user_id=NEW_ID),
        user_id_update(9, ANA_ID, NEW_ID),
    ),
}


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("proof", list(PROOFS))
def test_a_merge_by_proof_is_undone_and_stays_so(desk: Desk, clerk: User, proof: str, swapped: bool) -> None:
    one, other, joined = PROOFS[proof]
    desk.told(*((other, one) if swapped else (one, other)))
    a, b = lead_of(desk, "a1"), lead_of(desk, "b1")
    type_a_lot(a, b, clerk)
    before = typed_values(a), typed_values(b), wamids(a), wamids(b), ids(a), ids(b)
    desk.told(joined)
    assert Contact.objects.living().count() == 1
    made = ContactMerge.objects.get()
    assert (made.by, {made.survivor, made.merged}) == (None, {a, b})

    undo(made, by=clerk)
    after = typed_values(a), typed_values(b), wamids(a) - {"proof"}, wamids(b) - {"proof"}, ids(a), ids(b)
    assert after == before
    apart = crm_state()
    replay_all()
    desk.told(joined)
    assert crm_state() == apart
    # Each of them writes on, also with both ids at once.
    for body in (one, other):
        again = body["message"] | {"id": f"{body['message']['id']}-again", "timestamp": str(1781000900)}
        desk.told(body | {"message": again})
    assert {wamid for wamid in wamids(a) if "again" in wamid} == {"a1-again"}
    assert {wamid for wamid in wamids(b) if "again" in wamid} == {"b1-again"}

    made = merge(a, b, by=clerk)
    assert not IdentityLink.objects.filter(kind="apart").exists()
    replay_all()
    assert len(wamids(desk.only_lead) - {"proof"}) == 4
    undo(made, by=clerk)
    replay_all()
    assert Contact.objects.living().count() == 2


def typed_values(lead: Contact) -> Json:
    fields = ("name", "email", "lead_status", "lead_score", "tags", "metadata", "owner", "typed_at")
    return dict(Contact.objects.values(*fields).get(pk=lead.pk))


def ids(lead: Contact) -> Json:
    return dict(Contact.objects.values("phone", "business_scoped_user_id", "kapso_name").get(pk=lead.pk))


def test_the_user_id_that_is_told_apart_from_a_phone_never_holds_it(desk: Desk, clerk: User) -> None:
    desk.told(
        message("p", 0), message("u", 1, phone=None, user_id=ANA_ID), message("proof", 9, user_id=ANA_ID)
    )
    undo(ContactMerge.objects.get(), by=clerk)
    desk.told(message("x", 20, user_id=ANA_ID), message("y", 21))
    assert (wamids(desk.lead(ANA)), desk.lead(ANA).business_scoped_user_id) == ({"p", "y"}, None)
    assert wamids(lead_of(desk, "u")) == {"u", "proof", "x"}
    # Whoever else has the phone now has it.
    desk.told(message("z", 30, user_id=BEA_ID))
    assert wamids(desk.lead(ANA)) == {"p", "y", "z"}


def test_a_merge_undone_by_somebody_is_not_suggested(desk: Desk, clerk: User) -> None:
    desk.told(*PROOFS["user id changed"])
    undo(ContactMerge.objects.get(), by=clerk)
    assert MergeDismissal.objects.get().by == clerk


# Chains


def three(desk: Desk) -> list[Contact]:
    users = ["PE.A1", "PE.B1", "PE.C1"]
    desk.told(*(message(f"{user[3].lower()}1", 0, phone=None, user_id=user) for user in users))
    leads = [lead_of(desk, f"{letter}1") for letter in "abc"]
    for letter, lead in zip("abc", leads, strict=True):
        type_into(lead, name=letter.upper(), tags=[letter, "all"], metadata={"by": letter, letter: 1})
    return leads


@pytest.mark.parametrize("pairs", [((0, 1), (0, 2)), ((0, 1), (1, 2)), ((1, 2), (0, 1)), ((1, 2), (0, 2))])
@pytest.mark.parametrize("first", [0, 1])
def test_of_a_chain_of_merges_either_is_undone_first(
    desk: Desk, clerk: User, pairs: tuple[tuple[int, int], ...], first: int
) -> None:
    leads = three(desk)
    before = crm_state()
    merges = []
    for one, other in pairs:
        living = [Contact.objects.get(pk=leads[index].pk) for index in (one, other)]
        merges.append(merge(*(lead.merged_into or lead for lead in living), by=clerk))
    survivor = Contact.objects.living().get()
    assert (survivor.name, survivor.tags) == ("C", ["a", "all", "b", "c"])
    assert survivor.metadata == {"by": "c", "a": 1, "b": 1, "c": 1}
    undo(merges[first], by=clerk)
    assert Contact.objects.living().count() == 2
    assert {frozenset(wamids(lead)) for lead in Contact.objects.living()} in [
        {frozenset({"a1"}), frozenset({"b1", "c1"})},
        {frozenset({"b1"}), frozenset({"a1", "c1"})},
        {frozenset({"c1"}), frozenset({"a1", "b1"})},
    ]
    undo(merges[1 - first], by=clerk)
    assert crm_state() == before


def test_an_undo_takes_back_only_what_came_with_that_merge(desk: Desk, clerk: User) -> None:
    a, b, c = three(desk)
    first, second = merge(a, b, by=clerk), merge(a, c, by=clerk)
    undo(first, by=clerk)
    a.refresh_from_db()
    assert (a.name, a.tags, a.metadata) == ("C", ["a", "all", "c"], {"by": "c", "a": 1, "c": 1})
    undo(second, by=clerk)
    a.refresh_from_db()
    assert (a.name, a.tags, a.metadata) == ("A", ["a", "all"], {"by": "a", "a": 1})


# What people typed


def test_of_what_was_typed_the_newest_wins_field_by_field(desk: Desk, clerk: User) -> None:
    a, b = both(desk, "a"), both(desk, "b")
    type_into(a, name="First", lead_score=5)
    type_into(b, name="Second", email="b@example.com", metadata={"x": 1, "y": 1})
    type_into(a, email="a@example.com", metadata={"x": 2})
    b.change_status("archived", by=clerk)
    type_into(b, owner=clerk)
    type_into(a, owner=None)
    merge(a, b, by=clerk)
    lead = desk.only_lead
    assert (lead.name, lead.email, lead.lead_score) == ("Second", "a@example.com", 5)
    assert (lead.lead_status, lead.owner, lead.metadata) == ("archived", clerk, {"x": 2, "y": 1})


@pytest.mark.parametrize("swapped", [False, True])
def test_a_merge_hides_nothing_that_waits_for_somebody(desk: Desk, clerk: User, swapped: bool) -> None:
    """Of one lead all is read, put aside and taken; of the other nothing."""
    a, b = both(desk, "a"), both(desk, "b")
    done = b if swapped else a
    Conversation.objects.update(handoff_at=moment(2))
    late = {"snoozed_at": moment(9), "snoozed_until": moment(10**8), "handoff_cleared_at": moment(9)}
    type_into(done, read_at=moment(9), **late)
    merge(a, b, by=clerk)
    lead = desk.only_lead
    assert (lead.read_at, lead.snoozed_at, lead.snoozed_until) == (None, None, None)
    assert lead.handoff_cleared_at is None


def test_what_both_leads_had_done_stays_done(desk: Desk, clerk: User) -> None:
    a, b = both(desk, "a"), both(desk, "b")
    for lead, at in ((a, 5), (b, 7)):
        later = {"snoozed_at": moment(at), "snoozed_until": moment(10**8 + at)}
        type_into(lead, read_at=moment(at), handoff_cleared_at=moment(at), **later)
    made = merge(a, b, by=clerk)
    lead = desk.only_lead
    assert (lead.read_at, lead.handoff_cleared_at) == (moment(7), moment(7))
    assert (lead.snoozed_at, lead.snoozed_until) == (moment(7), moment(10**8 + 5))
    undo(made, by=clerk)
    b.refresh_from_db()
    assert (b.read_at, b.snoozed_until) == (moment(7), moment(10**8 + 7))


def test_a_status_brings_along_when_the_lead_was_closed(desk: Desk, clerk: User) -> None:
    a, b = both(desk, "a"), both(desk, "b")
    move = b.change_status("archived", by=clerk)
    made = merge(a, b, by=clerk)
    assert (desk.only_lead.lead_status, desk.only_lead.closed_at) == ("archived", move.at)
    undo(made, by=clerk)
    a.refresh_from_db()
    assert (a.lead_status, a.closed_at) == ("new", None)


def test_what_is_typed_after_a_merge_stays_after_its_undo(desk: Desk, clerk: User) -> None:
    a, b = both(desk, "a"), both(desk, "b")
    type_into(b, name="B", tags=["b"], metadata={"k": "b", "m": "b"})
    made = merge(a, b, by=clerk)
    type_into(a, name="Typed since", tags=["b", "since"], metadata={"k": "since", "m": "b"})
    undo(made, by=clerk)
    a.refresh_from_db()
    b.refresh_from_db()
    assert (a.name, a.tags, a.metadata) == ("Typed since", ["since"], {"k": "since"})
    assert (b.name, b.tags, b.metadata) == ("B", ["b"], {"k": "b", "m": "b"})


def test_a_name_that_the_sync_chose_beats_none_that_was_typed(desk: Desk, clerk: User) -> None:
    a = phone_only(desk, "a")
    type_into(a, name="Typed")
    b = phone_only(desk, "b")
    merge(a, b, by=clerk)
    assert (desk.only_lead.name, desk.only_lead.kapso_name) == ("Typed", "B")


def test_the_sync_never_types(desk: Desk) -> None:
    both(desk, "a")
    desk.told(message("earlier", -50, name="Earlier"), contact_updated(ANA, "Later"))
    desk.told(message("u", 1, phone=None, user_id="PE.X"), message("join", 60, user_id="PE.X"))
    assert [lead.typed_at for lead in Contact.objects.all()] == [{}, {}]


def test_each_write_of_a_person_leaves_its_time(desk: Desk) -> None:
    lead = by_hand(desk, name="Ana", phone=ANA, tags=["a"])
    lead.refresh_from_db()
    assert lead.typed_at.keys() == {"name", "tags"}
    with connection.cursor() as cursor:
        cursor.execute("UPDATE contacts_contact SET lead_score = 4, email = ''")
    lead.refresh_from_db()
    assert lead.typed_at.keys() == {"name", "tags", "lead_score"}
    typed = lead.typed_at
    stale = Contact(
        **{field.attname: getattr(lead, field.attname) for field in Contact._meta.concrete_fields}
    )
    stale.typed_at, stale.email = {}, "ana@example.com"
    stale.save()
    lead.refresh_from_db()
    assert lead.typed_at == typed | {"email": lead.typed_at["email"]}
    type_into(lead, name="")
    lead.refresh_from_db()
    assert lead.typed_at.keys() == {"tags", "lead_score", "email"}


# Refused


def test_what_cannot_be_merged_says_why(desk: Desk, clerk: User) -> None:
    a, b = both(desk, "a"), both(desk, "b")
    desk.told(message("elsewhere", 0, number=SAOPAULO))
    stranger = lead_of(desk, "elsewhere")
    for one, other, why in ((a, stranger, "two workspaces"), (a, a, "one lead already")):
        with pytest.raises(MergeRefused, match=why):
            merge(one, other, by=clerk)
    made = merge(a, b, by=clerk)
    with pytest.raises(MergeRefused, match="one lead already"):
        merge(a, b, by=clerk)
    undo(made, by=clerk)
    with pytest.raises(MergeRefused, match="two leads already"):
        undo(made, by=clerk)


def test_an_undo_that_would_bring_back_nothing_is_refused(desk: Desk, clerk: User) -> None:
    """All messages of the merged lead turned out to be the other's, by what was told of them since."""
    desk.told(message("a", 0, user_id=ANA_ID), message("b", 5, phone=BEA))
    made = merge(lead_of(desk, "a"), lead_of(desk, "b"), by=clerk)
    desk.told(message("b", 5, phone=BEA, user_id=ANA_ID))
    with pytest.raises(MergeRefused, match="nothing would be left"):
        undo(made, by=clerk)
    assert wamids(desk.only_lead) == {"a", "b"}


# Whatever hangs on a lead

# How each foreign key to a lead is reached from the survivor. Whoever adds one decides here, and tests it below.
REACHED = {
    "Contact.merged_into": "points to the survivor",
    "ContactMerge.merged": "history, shown with the survivor",
    "ContactMerge.survivor": "history, shown with the survivor",
    "Conversation.contact": "moved, one for each number",
    "Identity.contact": "moved",
    "Identity.home": "stays: an undo needs to know",
    "MergeDismissal.a": "counts for whoever the lead is merged into",
    "MergeDismissal.b": "counts for whoever the lead is merged into",
    "Message.contact": "moved",
    "StatusChange.contact": "stays, shown with the survivor",
    "Note.contact": "stays, shown with the survivor",
    "FollowUp.contact": "stays, shown with the survivor",
    "LeadChange.contact": "stays, shown with the survivor",
    "Notification.contact": "stays: an old link leads to the survivor",
    "ImportRow.contact": "stays: an old link leads to the survivor",
}


def foreign_keys() -> dict[str, ForeignKey[Any, Any]]:
    from django.apps import apps

    return {
        f"{model.__name__}.{field.name}": field
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if isinstance(field, ForeignKey | OneToOneField) and field.related_model is Contact
    }


def test_whatever_hangs_on_a_lead_has_its_place_after_a_merge(desk: Desk, clerk: User) -> None:
    assert foreign_keys().keys() == REACHED.keys()
    a, older, b = both(desk, "a"), user_id_lead(desk, "PE.OLDER"), both(desk, "b")
    other = user_id_lead(desk, "PE.OTHER")
    dismiss(b, older, by=clerk)
    b.change_status("qualified", by=clerk)
    hang_on(b, clerk)
    dismiss(b, other, by=clerk)
    merge(b, user_id_lead(desk, "PE.C"), by=clerk)
    counts = {name: field.model._default_manager.count() for name, field in foreign_keys().items()}
    merge(a, b, by=clerk)
    for name, field in foreign_keys().items():
        rows = field.model._default_manager
        assert rows.count() >= counts[name] or "one for each" in REACHED[name], f"{name}: rows were lost"
        hanging = rows.filter(**{f"{field.name}__in": [a, *a.merged.all()]})
        assert hanging.exists(), f"{name}: the test has no such row"
        if REACHED[name].startswith("moved"):
            assert not rows.filter(**{f"{field.name}__merged_into__isnull": False}).exists(), name
    for model in (StatusChange, Note, FollowUp, LeadChange):
        assert [row.contact for row in model.objects.of(a)] == [b]
    assert {made.merged_id for made in ContactMerge.objects.of(a)} == {
        b.pk,
        *b.merges.values_list("merged", flat=True),
    }


def hang_on(lead: Contact, clerk: User) -> None:
    """What people wrote down about a lead."""
    Note.objects.create(workspace=lead.workspace, contact=lead, text="Wants the blue one", by=clerk)
    FollowUp.objects.create(workspace=lead.workspace, contact=lead, due_at=moment(5), by=clerk)
    LeadChange.objects.create(workspace=lead.workspace, contact=lead, kind="name", after="Bea", by=clerk)
    file = Import.objects.create(workspace=lead.workspace, by=clerk)
    ImportRow.objects.create(of=file, number=2, cells=["Bea"], contact=lead)
    Notification.objects.create(
        workspace=lead.workspace, contact=lead, user=clerk, kind="assigned", key="b", by=clerk
    )


def user_id_lead(desk: Desk, user: str) -> Contact:
    desk.told(message(f"of {user}", 0, phone=None, user_id=user))
    return lead_of(desk, f"of {user}")


def test_a_merge_takes_the_same_statements_however_long_the_leads(desk: Desk, clerk: User) -> None:
    from django.test.utils import CaptureQueriesContext

    counts = []
    for size in (1, 30):
        for who, phone in (("x", f"5194444{size:04}"), ("y", f"5195555{size:04}")):
            desk.told(*(message(f"{who}{size}-{index}", index, phone=phone) for index in range(size)))
        with CaptureQueriesContext(connection) as captured:
            made = merge(lead_of(desk, f"x{size}-0"), lead_of(desk, f"y{size}-0"), by=clerk)
        with CaptureQueriesContext(connection) as undone:
            undo(made, by=clerk)
        counts.append((len(captured), len(undone)))
    assert counts[0] == counts[1]


# At the same time


def patiently(decide: Callable[[], Any]) -> Any:
    """Webhooks may keep us waiting for longer than anybody should wait for a lock; then people try again."""
    for _ in range(9):
        try:
            return decide()
        except OperationalError:
            connection.rollback()
    return decide()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("repeat", range(2))
def test_a_merge_while_both_leads_write_loses_nothing(
    transactional_db: None, live_server: Any, repeat: int
) -> None:
    live_server.thread.httpd.socket.listen(128)
    desk, kapso = Desk.open(), Kapso(live_server.url)
    clerk = User.objects.create_user("clerk")
    a, b = both(desk, "a"), both(desk, "b")
    told = [message(f"a-{n}", 60 + n, phone=ANA, user_id=ANA_ID) for n in range(8)]
    told += [message(f"b-{n}", 70 + n, phone=BEA) for n in range(8)]
    random.Random(repeat).shuffle(told)  # noqa: S311
    gate = Barrier(len(told) + 1)

    def post(body: Json) -> str:
        gate.wait()
        return str(kapso.post(body, event="whatsapp.message.received").json["status"])

    def decide() -> str:
        gate.wait()
        try:
            made = patiently(lambda: merge(a, b, by=clerk))
            if repeat:
                patiently(lambda: undo(made, by=clerk))
        finally:
            connections.close_all()
        return "processed"

    with ThreadPoolExecutor(len(told) + 1) as pool:
        decided = pool.submit(decide)
        assert list(pool.map(post, told)) == ["processed"] * len(told)
        decided.result()
    ours, theirs = {f"a-{n}" for n in range(8)} | {"a1", "a2"}, {f"b-{n}" for n in range(8)} | {"b1", "b2"}
    if repeat:
        assert (wamids(a), wamids(b)) == (ours, theirs)
    else:
        assert wamids(desk.only_lead) == ours | theirs
        assert desk.only_lead.conversations.get().messages.count() == len(ours | theirs)
    state = crm_state()
    replay_all()
    assert crm_state() == state
