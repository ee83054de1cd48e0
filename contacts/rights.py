"""What a user may see and do: the one place that knows the roles (DESIGN.md section 3, Tenants).

A viewer looks. An agent works leads: all of them, or only their own and those of nobody, as the workspace says. A
manager works all leads, merges and exports them, and sees deliveries. An owner also erases people, arranges the
workspace and invites its members. Superusers may do everything everywhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import Q

from contacts.models.workspace import Membership, Role, Workspace

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

    from contacts.models.contact import Contact

WORKERS = (Role.OWNER, Role.MANAGER, Role.AGENT)
MANAGERS = (Role.OWNER, Role.MANAGER)


@dataclass(frozen=True, slots=True)
class Place:
    """A workspace in which a user is, and as what."""

    pk: int
    name: str
    role: Role
    agents_see_all: bool

    @property
    def sees_all(self) -> bool:
        return self.role != Role.AGENT or self.agents_see_all


@dataclass(frozen=True, slots=True)
class Rights:
    """A user's rights in all of their workspaces; one query. `contacts.admin.tenancy.rights_of` keeps them for a request."""

    user_id: int | None
    places: dict[int, Place]

    @classmethod
    def of(cls, user: User | AnonymousUser) -> Rights:
        if user.is_superuser:
            every = Workspace.objects.order_by("name", "pk").values_list("pk", "name", "agents_see_all")
            found = [Place(pk, name, Role.OWNER, sees_all) for pk, name, sees_all in every]
        else:
            mine = Membership.objects.filter(user=user.pk).order_by("workspace__name", "workspace")
            rows = mine.values_list("workspace", "workspace__name", "role", "workspace__agents_see_all")
            found = [Place(pk, name, Role(role), sees_all) for pk, name, role, sees_all in rows]
        return cls(user.pk, {place.pk: place for place in found})

    @property
    def workspaces(self) -> dict[int, str]:
        return {place.pk: place.name for place in self.places.values()}

    def where(self, *roles: Role) -> list[int]:
        """The workspaces in which the user is one of these."""
        return [place.pk for place in self.places.values() if place.role in roles]

    def leads(self) -> Q:
        """Which leads the user sees. A condition on Contact that begins with the workspace, as every index does."""
        return self._seen(Q(owner=self.user_id) | Q(owner=None))

    def of_leads(self) -> Q:
        """The same for what belongs to a lead: threads and messages. What is nobody's yet is for those who see all."""
        mine, nobodys = Q(contact__owner=self.user_id), Q(contact__owner=None, contact__isnull=False)
        return self._seen(mine | nobodys)

    def of_work(self) -> Q:
        """The same for what stays with the row that it was made for: notes, follow-ups, changes. Who sees the lead that
        this row was merged into sees them."""
        itself = Q(contact__merged_into=None) & (Q(contact__owner=self.user_id) | Q(contact__owner=None))
        survivors = Q(contact__merged_into__owner=self.user_id) | Q(contact__merged_into__owner=None)
        return self._seen(itself | Q(contact__merged_into__isnull=False) & survivors)

    def _seen(self, own: Q) -> Q:
        whole = [place.pk for place in self.places.values() if place.sees_all]
        part = [place.pk for place in self.places.values() if not place.sees_all]
        seen = Q(workspace__in=whole)
        return seen | Q(workspace__in=part) & own if part else seen

    @property
    def sees_all(self) -> bool:
        """Every lead of every workspace of theirs."""
        return all(place.sees_all for place in self.places.values())

    @property
    def fingerprint(self) -> str:
        """Another one whenever the user sees something else."""
        seen = [(place.pk, place.sees_all) for place in self.places.values()]
        return hashlib.sha256(repr((self.user_id, sorted(seen))).encode()).hexdigest()[:16]

    def sees(self, lead: Contact) -> bool:
        place = self.places.get(lead.workspace_id)
        return place is not None and (place.sees_all or lead.owner_id in (None, self.user_id))

    def may_work(self, workspace_id: int) -> bool:
        """Change leads: status, owner, tags, notes, follow-ups, fields."""
        return workspace_id in self.where(*WORKERS)

    def manages(self) -> list[int]:
        """The workspaces of which the user sees deliveries."""
        return self.where(*MANAGERS)

    def may_manage(self, workspace_id: int) -> bool:
        """Merge and export; see deliveries and what the others do."""
        return workspace_id in self.where(*MANAGERS)

    def may_arrange(self, workspace_id: int) -> bool:
        """Settings, members, custom fields and tags of the workspace."""
        return workspace_id in self.where(Role.OWNER)

    def may_erase(self, workspace_id: int) -> bool:
        """Nobody can undo it: for those who answer for the workspace."""
        return self.may_arrange(workspace_id)


def members_who_see(lead: Contact) -> Q:
    """As `Rights.sees`, the other way round: the memberships whose users see the lead."""
    sees_all = ~Q(role=Role.AGENT) | Q(workspace__agents_see_all=True)
    sees = sees_all | Q(user=lead.owner_id) if lead.owner_id else Q()
    return Q(workspace=lead.workspace_id) & sees
