"""Whoever works in one workspace sees nothing of another, whatever address they type."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db.models import ForeignKey, Model
from django.test import Client
from django.urls import reverse

from contacts.models import Contact, Conversation, Membership, Message, PhoneNumber, Role, Workspace
from kapso_sync.models import WebhookDelivery
from tests.conftest import Cast

# It stands in everything that belongs to the other workspace.
FOREIGN = "zzforeign"


@pytest.fixture
def foreign(cast: Cast) -> dict[type[Model], Model]:
    """One row of everything that the admin has, in a workspace that Ana does not belong to."""
    workspace = Workspace.objects.create(name=FOREIGN, slug=FOREIGN)
    user = User.objects.create_user(FOREIGN, is_staff=True, last_name=FOREIGN)
    Membership.objects.create(workspace=workspace, user=user)
    number = PhoneNumber.objects.create(
        workspace=workspace, phone_number_id=FOREIGN, display_phone_number=FOREIGN
    )
    lead = Contact.objects.create(
        workspace=workspace,
        name=FOREIGN,
        phone="5511900001111",
        tags=[FOREIGN],
        owner=user,
        email=f"{FOREIGN}@x.pe",
    )
    thread = Conversation.objects.create(workspace=workspace, contact=lead, phone_number=number)
    Message.objects.create(
        workspace=workspace, contact=lead, conversation=thread, phone_number=number, content=FOREIGN,
        direction="inbound", sent_at=datetime(2026, 6, 1, tzinfo=UTC), kapso_message_id="wamid.1",
    )  # fmt: skip
    delivery = WebhookDelivery.objects.create(
        workspace=workspace,
        event=FOREIGN,
        phone_number_id=FOREIGN,
        body=FOREIGN.encode(),
        status="failed",
        error=FOREIGN,
    )
    rows = (workspace, user, number, lead, delivery, Group.objects.create(name=FOREIGN))
    return {type(row): row for row in rows}


@pytest.fixture
def ana(cast: Cast, client: Client) -> Client:
    user = User.objects.create_user("ana", is_staff=True)
    Membership.objects.create(workspace=cast.workspaces["lima"], user=user, role=Role.OWNER)
    client.force_login(user)
    return client


def url(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def addresses(foreign: dict[type[Model], Model]) -> Iterator[str]:
    """Every page of the admin, pointed at the other workspace in every way that it knows."""
    yield from ("/admin/", "/admin/search/?s=zzforeign", "/admin/password_change/")
    for model, row in foreign.items():
        yield from (
            f"/admin/{model._meta.app_label}/",
            f"/admin/r/{ContentType.objects.get_for_model(model).pk}/{row.pk}/",
        )
        yield from (
            f"{url(model, 'changelist')}{query}"
            for query in ("", "?all=", "?_popup=1", "?q=zzforeign", "?_facets=True")
        )
        for name in (
            "workspace",
            "owner",
            "number",
            "event",
            "tag",
            "members",
            "workspaces",
            "workspace__name",
            "owner__username",
        ):
            for value in (FOREIGN, foreign[Workspace].pk, foreign[User].pk):
                yield f"{url(model, 'changelist')}?{name}={value}"
        yield from (
            url(model, "add"),
            f"{url(model, 'add')}?workspace={foreign[Workspace].pk}&owner={foreign[User].pk}",
        )
        yield from (url(model, page, row.pk) for page in ("change", "history", "delete"))
        yield f"{url(model, 'change', row.pk)}?_popup=1&_to_field=id"
    yield url(Contact, "message", foreign[Contact].pk, Message.objects.get(content=FOREIGN).pk)
    yield url(WebhookDelivery, "replay", foreign[WebhookDelivery].pk)
    yield url(WebhookDelivery, "preview", foreign[WebhookDelivery].pk)
    yield from autocompletes()


def autocompletes() -> Iterator[str]:
    models = set(admin.site._registry) | {Membership, Conversation, Message}
    for model in models:
        for field in model._meta.get_fields():
            if isinstance(field, ForeignKey):
                asked = f"app_label={model._meta.app_label}&model_name={model._meta.model_name}&field_name={field.name}"
                yield f"/admin/autocomplete/?{asked}&term="
                yield f"/admin/autocomplete/?{asked}&term=zzforeign"


def text_of(response: Any) -> str:
    text: str = response.content.decode()
    # What Ana typed herself comes back in addresses and fields.
    for echoed in (
        f'value="{FOREIGN}"', f"={FOREIGN}", f"%3D{FOREIGN}", f"Select a valid choice. {FOREIGN}", f"“{FOREIGN}”",
        f"<b><bdi>{FOREIGN}</bdi></b>", f"selected>{FOREIGN}</option>", f"Tag {FOREIGN}",
    ):  # fmt: skip
        text = text.replace(echoed, "")
    return text


def test_every_registered_model_is_walked(foreign: dict[type[Model], Model]) -> None:
    assert set(admin.site._registry) == set(foreign)


def test_no_address_shows_anything_of_another_workspace(
    ana: Client, foreign: dict[type[Model], Model]
) -> None:
    for address in addresses(foreign):
        response = ana.get(address, follow=True)
        assert response.status_code in (200, 400, 403, 404, 405), address
        assert FOREIGN not in text_of(response), address


def test_nothing_posted_changes_another_workspace(ana: Client, foreign: dict[type[Model], Model]) -> None:
    typed = {"name": "taken", "username": "taken", "lead_status": "archived", "post": "yes", "_save": "1"}
    before = {
        model: model._default_manager.filter(pk=row.pk).values().get() for model, row in foreign.items()
    }
    for model, row in foreign.items():
        for address in (url(model, "change", row.pk), url(model, "delete", row.pk), url(model, "changelist")):
            response = ana.post(
                address, typed | {"_selected_action": [row.pk], "action": "replay"}, follow=True
            )
            assert response.status_code in (200, 403, 404), address
            assert FOREIGN not in text_of(response), address
    assert ana.post(url(WebhookDelivery, "replay", foreign[WebhookDelivery].pk)).status_code == 404
    assert {
        model: model._default_manager.filter(pk=row.pk).values().get() for model, row in foreign.items()
    } == before


def test_choosing_all_rows_chooses_none_of_another_workspace(
    ana: Client, foreign: dict[type[Model], Model], cast: Cast
) -> None:
    mine = WebhookDelivery.objects.create(
        workspace=cast.workspaces["lima"], body=b"{}", status="failed", body_sha256="1"
    )
    chosen = {
        "action": "replay",
        "select_across": "1",
        "_selected_action": [foreign[WebhookDelivery].pk, mine.pk],
    }
    ana.post(url(WebhookDelivery, "changelist"), chosen)
    assert WebhookDelivery.objects.get(pk=foreign[WebhookDelivery].pk).attempts == 0
    assert WebhookDelivery.objects.get(pk=mine.pk).attempts == 1


def test_deliveries_of_no_workspace_are_for_superusers(ana: Client, cast: Cast) -> None:
    nobodys = WebhookDelivery.objects.create(body=FOREIGN.encode(), event=FOREIGN)
    assert FOREIGN not in ana.get(url(WebhookDelivery, "changelist")).content.decode()
    assert FOREIGN not in ana.get(url(WebhookDelivery, "change", nobodys.pk), follow=True).content.decode()
    ana.force_login(User.objects.create_superuser("boss"))
    assert FOREIGN in ana.get(url(WebhookDelivery, "changelist")).content.decode()


@pytest.mark.django_db
def test_lists_have_the_titles_of_the_menu(client: Client) -> None:
    client.force_login(User.objects.create_superuser("boss"))
    for address, title in (("contacts/workspace", "Workspaces"), ("auth/user", "Users")):
        assert client.get(f"/admin/{address}/").context["title"] == title
