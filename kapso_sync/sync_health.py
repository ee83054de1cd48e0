"""Whether everything arrives, for those who see deliveries: a block on the start page, and its warnings on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from contacts.admin.tenancy import user_of
from kapso_sync import watching
from kapso_sync.attention import Alert, alerts_for, oldest_under_way
from kapso_sync.watching import Level, Picture

MOST_SHOWN = 8  # numbers; the page of their health has the others


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many deliveries of a number ended like that in the last 24 hours; `url` lists them."""

    label: str
    count: int
    url: str


@dataclass(frozen=True, slots=True)
class Heard:
    picture: Picture

    @property
    def outcomes(self) -> list[Outcome]:
        number = self.picture.number.phone_number_id
        return [
            Outcome(label.lower(), count, deliveries(number=number, status=status))
            for status, label, count in self.picture.outcomes
        ]


@dataclass(frozen=True, slots=True)
class SyncHealth:
    """`pictures` has the numbers, those with a problem first; `alerts` what is to be said about all of it."""

    pictures: Sequence[Picture]
    alerts: Sequence[Alert]
    oldest_under_way: datetime | None

    @property
    def shown(self) -> list[Heard]:
        return [Heard(picture) for picture in self.pictures[:MOST_SHOWN]]

    @property
    def level(self) -> Level:
        if any(picture.level == "danger" for picture in self.pictures):
            return "danger"
        if self.alerts or any(picture.level == "warning" for picture in self.pictures):
            return "warning"
        return "success" if any(picture.last_at for picture in self.pictures) else ""

    @property
    def label(self) -> str | Promise:
        """All is well only where something came and nothing needs a look."""
        if self.level in ("danger", "warning"):
            return _("Needs a look")
        return _("All is well") if self.level == "success" else _("Nothing yet")


def sync_health(request: HttpRequest, workspaces: Sequence[int]) -> SyncHealth:
    pictures = watching.pictures_in(workspaces)
    alerts = [*alerts_for(request), *watching.alerts(pictures, user_of(request))]
    return SyncHealth(pictures, alerts, oldest_under_way(request))


def deliveries(**filters: str) -> str:
    """The list of the deliveries of the last 24 hours."""
    return f"{reverse('admin:kapso_sync_webhookdelivery_changelist')}?{urlencode({'within': '24'} | filters)}"
