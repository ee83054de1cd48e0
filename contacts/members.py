"""Who works in a workspace, and as what. A workspace always keeps an owner who can log in.

Each of these takes the workspace's row first, so that of two owners who take each other's role one is refused.
"""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from contacts import reasons
from contacts.models import Contact, LeadChange, Membership, Role, Workspace
from contacts.statements.change_leads import REASSIGN


class MemberRefused(ValueError):  # noqa: N818 - said to people, not raised by a fault
    """It would break what a workspace needs; the message says why. Nothing was changed."""


def name_of(user: User) -> str:
    return user.get_full_name().strip() or user.get_username()


def set_role(member: Membership, role: str, *, takes_leads: bool) -> None:
    with transaction.atomic():
        _lock(member.workspace_id)
        if role != Role.OWNER:
            _keep_an_owner(member)
        Membership.objects.filter(pk=member.pk).update(role=role, takes_leads=takes_leads)


def remove(member: Membership, *, to: User | None, by: User) -> int:
    """The member goes, their leads become somebody else's or nobody's. Answers how many leads that were."""
    with transaction.atomic():
        _lock(member.workspace_id)
        _keep_an_owner(member)
        reason = reasons.left(name_of(member.user))
        moved = reassign(member.workspace, member.user, to=to, by=by, reason=reason)
        member.delete()
    return moved


def reassign(workspace: Workspace, owner: User, *, to: User | None, by: User, reason: str = "") -> int:
    """Give all leads that somebody owns in a workspace to somebody else, or to nobody; recorded for each."""
    if to is not None and (to == owner or not owners_for(workspace).filter(pk=to.pk).exists()):
        raise MemberRefused(_("Choose somebody else who works in this workspace."))
    parameters = {
        "workspace": workspace.pk,
        "owner": owner.pk,
        "to": to.pk if to else None,
        "kind": LeadChange.Kind.OWNER,
        "field": "",
        "reason": reason[:255],
        "by": by.pk,
    }
    with connection.cursor() as cursor:
        cursor.execute(REASSIGN, parameters)
        return int(cursor.rowcount)


def leads_of(user: User, workspace: Workspace | None = None) -> QuerySet[Contact]:
    leads = Contact.objects.living().filter(owner=user)
    return leads.filter(workspace=workspace) if workspace else leads


def owners_for(workspace: Workspace) -> QuerySet[User]:
    """Who may own leads of a workspace: those of its members who may work them and can log in."""
    working = Membership.objects.filter(workspace=workspace).exclude(role=Role.VIEWER)
    return User.objects.filter(pk__in=working.values("user"), is_active=True).order_by(
        "first_name", "username"
    )


def _lock(workspace_id: int) -> None:
    """Without keeping anybody from adding leads to it meanwhile."""
    list(Workspace.objects.select_for_update(no_key=True).filter(pk=workspace_id).values_list("pk"))


def _keep_an_owner(member: Membership) -> None:
    others = Membership.objects.filter(workspace=member.workspace_id, role=Role.OWNER, user__is_active=True)
    is_owner = Membership.objects.filter(pk=member.pk, role=Role.OWNER).exists()
    if is_owner and not others.exclude(pk=member.pk).exists():
        raise MemberRefused(_("A workspace needs an owner: make somebody else an owner first."))
