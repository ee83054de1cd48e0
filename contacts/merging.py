"""Two leads are one person, or are not: what somebody decides, written as evidence that stands beside the provider's.

A merge is a `manual` link between an identity of each lead; undoing it takes that link away, and tells `apart` whom
the provider's own events joined. The rest is derived from all the evidence, as ever (contacts.people), so a replay
lands on the survivor after a merge, and stays apart after an undo.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from contacts import people
from contacts.models import (
    Contact,
    ContactMerge,
    Conversation,
    Identity,
    IdentityLink,
    KapsoSession,
    MergeDismissal,
    Message,
)
from contacts.people import Evidence, Tie
from contacts.refresh import refresh
from contacts.suggesting import dismiss
from contacts.writing import Written

Kind = Identity.Kind
Link = IdentityLink.Kind

# Who holds a phone decides whom a link joins: a tie that goes may bring another to light, seldom a third.
MOST_ROUNDS = 10


class MergeRefused(ValueError):  # noqa: N818 - said to people, not raised by a fault
    """These leads cannot be merged, or this merge not be undone; the message says why."""


def merge(lead: Contact, other: Contact, *, by: User | None) -> ContactMerge:
    """Make one lead of two of a workspace, in a transaction of its own; returns how to undo it.

    The older row lives on, whichever comes first here: of what was typed the newest wins, so nothing hangs on it.
    Both may have a WhatsApp user id: only a person joins two of them. Raises `MergeRefused`, and `OperationalError`
    where the workspace's webhooks kept us waiting for too long.
    """
    with transaction.atomic():
        people.lock_alone({lead.workspace_id})
        _check(lead, other)
        older, younger = sorted((lead.pk, other.pk))
        a, b = _identity_of(younger), _identity_of(older)
        now = _now()
        IdentityLink.objects.create(workspace_id=lead.workspace_id, kind=Link.MANUAL, a=a, b=b, at=now)
        _forget_that_they_are_two(older, younger)
        _derive({a.pk, b.pk}, {older, younger}, by=by)
        made = ContactMerge.objects.filter(merged=younger, survivor__merged_into=None, undone_at=None).first()
        if made is None:
            raise MergeRefused(_("These two leads have nothing that could be merged."))
        return made


def undo(merge: ContactMerge, *, by: User | None) -> Contact:
    """Take a merge back, in a transaction of its own; returns the lead that is one of its own again.

    What came since goes where its own evidence leads to. Raises `MergeRefused` and `OperationalError` as `merge`.
    """
    with transaction.atomic():
        people.lock_alone({merge.workspace_id})
        merge = ContactMerge.objects.select_related("merged__merged_into").get(pk=merge.pk)
        lead, survivor = merge.merged, merge.merged.merged_into
        if survivor is None or merge.undone_at:
            raise MergeRefused(_("They are two leads already."))
        identities, told_apart = _separate(merge, survivor)
        threads, left = _give_back_what_names_nobody(merge)
        _derive(identities, {survivor.pk, lead.pk}, threads, by=by)
        people.drop_if_emptied(left)
        lonely = Identity.objects.filter(kind=Kind.LEAD, links_from=None, links_to=None)
        lonely.filter(pk__in=identities).delete()
        lead.refresh_from_db()
        if lead.merged_into_id:
            raise MergeRefused(
                _("All that came for %(lead)s belongs to %(survivor)s by now: nothing would be left.")
                % {"lead": lead.shown_name, "survivor": survivor.shown_name}
            )
        ContactMerge.objects.filter(pk=merge.pk).update(undone_at=timezone.now(), undone_by=by)
        if told_apart:
            dismiss(
                survivor, lead, by=by
            )  # somebody knows better than the evidence: it is not to be suggested
        return lead


def _separate(merge: ContactMerge, survivor: Contact) -> tuple[set[int], bool]:
    """Take away what joins the two sides. Returns all identities around, and whether evidence spoke for the merge."""
    told_apart = False
    for _round in range(MOST_ROUNDS):
        evidence = people.load(set(), {survivor.pk})
        ours, theirs = (_known(evidence, merge.sides.get(side, [])) for side in ("merged", "survivor"))
        ties = ties_between(evidence, ours, theirs)
        if not ties:
            break
        for tie in ties:
            _untie(tie, merge.workspace_id)
        told_apart |= any(tie.kind != Link.MANUAL for tie in ties)
    return set(evidence.nodes), told_apart


def ties_between(evidence: Evidence, ours: set[int], theirs: set[int]) -> list[Tie]:
    """What has to go so that these identities are two people: what joins them, the newest of each chain.

    Each side is one person to begin with. Of the evidence, oldest first, whatever would join the two is a tie.
    """
    root = {identity: identity for identity in evidence.nodes}

    def find(identity: int) -> int:
        while root[identity] != identity:
            identity = root[identity]
        return identity

    for side in (ours, theirs):
        first = min(side, default=0)
        root |= dict.fromkeys(side, first)
    ties = []
    for tie in sorted((*evidence.ties(), *_tenures(evidence, ours), *_tenures(evidence, theirs))):
        one, other = find(tie.one), find(tie.other)
        if ours and theirs and {one, other} == {find(min(ours)), find(min(theirs))}:
            ties.append(tie)
        else:
            root[one] = other
    return ties


def _tenures(evidence: Evidence, side: set[int]) -> Iterable[Tie]:
    """Who held the phones of a side that nobody of the side holds: as long as it was known by them alone."""
    for phone in side & evidence.tenures.keys():
        holders = evidence.tenures[phone]
        if not side & {user for _, user in holders}:
            yield from (Tie(at, Link.SEEN, phone, user, phone, user) for at, user in holders)


def _check(lead: Contact, other: Contact) -> None:
    """As the rows are now: somebody else, or an event, may have been faster."""
    if lead.workspace_id != other.workspace_id:
        raise MergeRefused(_("They are leads of two workspaces."))
    living = set(Contact.objects.living().filter(pk__in=(lead.pk, other.pk)).values_list("pk", flat=True))
    if len(living) < 2:
        raise MergeRefused(
            _("They are one lead already.") if living else _("These leads are no longer here.")
        )


def _identity_of(lead: int) -> Identity:
    """The identity that a link to this lead holds on to: the one that its row was made for, a user id if there is one.

    A lead without any gets one of its own.
    """
    known = Identity.objects.filter(contact=lead)
    ranked = sorted(known, key=lambda i: (i.home_id != lead, i.kind != Kind.USER, i.kind, i.value))
    if ranked:
        return ranked[0]
    workspace = Contact.objects.values_list("workspace_id", flat=True).get(pk=lead)
    return Identity.objects.create(
        workspace_id=workspace, kind=Kind.LEAD, value=str(lead), contact_id=lead, home_id=lead
    )


def _forget_that_they_are_two(older: int, younger: int) -> None:
    ours, theirs = (Identity.objects.filter(contact=lead).values("pk") for lead in (older, younger))
    IdentityLink.objects.filter(kind=Link.APART).filter(
        Q(a__in=ours, b__in=theirs) | Q(a__in=theirs, b__in=ours)
    ).delete()
    MergeDismissal.objects.filter(a=older, b=younger).delete()


def _untie(tie: Tie, workspace: int) -> None:
    """A person's link goes. The provider's stay, and would come again: beside them stands that it is not so."""
    if tie.kind == Link.MANUAL:
        IdentityLink.objects.filter(kind=Link.MANUAL, a=tie.a, b=tie.b).delete()
        return
    a, b = Identity.objects.filter(pk__in=(tie.one, tie.other)).order_by("kind", "pk")  # the phone first
    IdentityLink.objects.get_or_create(
        kind=Link.APART, a=a, b=b, defaults={"workspace_id": workspace, "at": _now()}
    )


def _known(evidence: Evidence, identities: Iterable[list[str]]) -> set[int]:
    by_name = {(node.kind, node.value): node.id for node in evidence.nodes.values()}
    return {by_name[kind, value] for kind, value in identities if (kind, value) in by_name}


def _give_back_what_names_nobody(merge: ContactMerge) -> tuple[set[int], set[int]]:
    """Messages, sessions and threads that somebody put under the merged lead by hand: no evidence leads them back.

    Returns the threads that they are in now, and those that they went away from and that the merge had made.
    """
    lead = merge.merged_id
    sides = {"messages": [], "sessions": [], "threads": []} | merge.sides
    messages = Message.objects.filter(pk__in=sides["messages"], phone=None, user_id=None)
    sessions = KapsoSession.objects.filter(pk__in=sides["sessions"], phone=None, user_id=None)
    left = set(
        Conversation.objects.filter(Q(messages__in=messages) | Q(sessions__in=sessions), created_at__gt=merge.at)
        .values_list("pk", flat=True)
    )  # fmt: skip
    numbers = {
        *sides["threads"],
        *messages.values_list("phone_number_id", flat=True),
        *sessions.values_list("phone_number_id", flat=True),
    }
    Conversation.objects.bulk_create(
        (
            Conversation(workspace_id=merge.workspace_id, contact_id=lead, phone_number_id=number)
            for number in sorted(numbers)
        ),
        ignore_conflicts=True,
    )
    threads = Conversation.objects.filter(contact=lead, phone_number__in=numbers)
    for pk, number in threads.values_list("pk", "phone_number_id"):
        messages.filter(phone_number=number).update(contact=lead, conversation=pk)
        sessions.filter(phone_number=number).update(conversation=pk)
    return set(threads.values_list("pk", flat=True)), left


def _derive(identities: set[int], leads: set[int], threads: Iterable[int] = (), *, by: User | None) -> None:
    written = people.regroup(identities, leads, by=by)
    refresh(
        Written(contacts=written.contacts | leads, conversations=written.conversations | set(threads)), set()
    )


def _now() -> datetime:
    """The database's clock, which also says when somebody typed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
        return now
