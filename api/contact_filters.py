"""What a list of contacts can be narrowed to: the same as in the admin (contacts.lead_views, contacts.narrowing)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.functional import cached_property

from api.filters import Narrowed
from api.parameters import Id, Moment, OneOf, Pattern, Text, YesNo, after, before
from api.problems import invalid_parameter
from contacts import lead_views, narrowing, news
from contacts.lead_search import matching
from contacts.lead_views import VIEWS, Leads
from contacts.models import Contact, LeadStatus


class ContactFilters(Narrowed):
    workspace = Id("workspace", "In this workspace.")
    status = OneOf("lead_status", "With this status.", LeadStatus.values)
    owner = Pattern(
        None,
        "Answered by this user: an id, `me`, or `nobody`.",
        "me|nobody|[0-9]{1,18}",
        "Say me, nobody, or the id of a user.",
        method="of_owner",
    )
    tag = Text(None, "With this tag, as it is spelled.", narrowing.LONGEST_TAG, method="with_tag")
    source = Text("source", "From this source: `whatsapp`, or the ad.", 255)
    number = Id(None, "With a conversation on this number (its `id`).", method="with_number")
    view = OneOf(None, "As this tab of the list in the admin.", VIEWS, method="in_view")
    awaiting_reply = YesNo(None, "The customer wrote last, and nobody put it aside.", method="by_condition")
    needs_follow_up = YesNo(None, "Open, and nobody wrote for the workspace's period.", method="by_condition")
    window_open = YesNo(None, "The customer's last message is less than 24 hours old.", method="by_condition")
    needs_human = YesNo(
        None, "An automation asked for somebody, and nobody has taken care.", method="by_condition"
    )
    wrote_again = YesNo(None, "Archived or converted, and the customer wrote since.", method="by_condition")
    unread = YesNo(None, "The customer wrote more than the team has read.", method="by_condition")
    follow_up_due = YesNo(None, "A follow-up is due by now.", method="by_condition")
    snoozed = YesNo(None, "Put aside until a date, or until the customer writes.", method="by_condition")
    last_activity_after = after("last_activity_at", "Active")
    last_activity_before = before("last_activity_at", "Last active")
    last_contact_after = after("last_contact_at", "Written to")
    last_contact_before = before("last_contact_at", "Last written to")
    created_after = after("created_at", "Created")
    created_before = before("created_at", "Created")
    updated_since = Moment(
        None,
        "Changed since: made, written to or by, or edited. Goes back as far as the log of changes (7 days); for more, "
        "list all. Ask with some overlap, or follow `/changes/`, which misses nothing.",
        method="changed_since",
    )
    search = Text(
        None,
        "Name, phone in any form, @username, user id, e-mail, or words of its messages.",
        200,
        method="like",
    )

    CONDITIONS: ClassVar[dict[str, Callable[[ContactFilters, Leads], Leads]]] = {
        "awaiting_reply": lambda self, leads: lead_views.awaiting_reply(leads, self.now),
        "needs_follow_up": lambda self, leads: lead_views.needs_follow_up(leads, self.now),
        "window_open": lambda self, leads: lead_views.window_open(leads, self.now),
        "needs_human": lambda self, leads: lead_views.needs_human(leads, self.workspaces),
        "wrote_again": lambda _self, leads: lead_views.wrote_again(leads),
        "unread": lambda _self, leads: narrowing.unread(leads),
        "follow_up_due": lambda self, leads: narrowing.follow_up_due(leads, self.now, self.workspaces),
        "snoozed": lambda self, leads: narrowing.put_aside(leads, self.now),
    }

    def of_owner(self, leads: Leads, _name: str, value: str) -> Leads:
        return narrowing.owned_by(leads, value, self.request.user.pk)

    def with_tag(self, leads: Leads, _name: str, value: str) -> Leads:
        return narrowing.tagged(leads, value)

    def with_number(self, leads: Leads, _name: str, value: int) -> Leads:
        return narrowing.on_number(leads, value)

    def in_view(self, leads: Leads, _name: str, value: str) -> Leads:
        return VIEWS[value].select(leads, self.request.user, self.now)

    def by_condition(self, leads: Leads, name: str, value: bool) -> Leads:
        condition = self.CONDITIONS[name]
        if value:
            return condition(self, leads)
        itself = Contact.objects.filter(pk=OuterRef("pk"))
        return leads.filter(~Exists(condition(self, itself)))

    def changed_since(self, leads: Leads, _name: str, value: datetime) -> Leads:
        try:
            changed = news.changed_since(value, kind=news.Kind.CONTACT, workspaces=self.workspaces)
        except news.TooOld as error:
            said = f"{error} For what changed before, list all, without `updated_since`."
            raise invalid_parameter("updated_since", said, code="too_old") from error
        return leads.filter(pk__in=changed)

    def like(self, leads: Leads, _name: str, value: str) -> QuerySet[Any]:
        return matching(leads, value, self.workspaces)

    @cached_property
    def now(self) -> datetime:
        return timezone.now()
