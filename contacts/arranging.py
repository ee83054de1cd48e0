"""What an owner arranges for all leads of a workspace: the tags it suggests and the fields it adds."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.utils.text import slugify
from django.utils.translation import gettext as _

from contacts.changing import Refused
from contacts.models import Contact, CustomField, LeadChange, Tag, Workspace
from contacts.statements.change_leads import CHANGE_TAG, FORGET_FIELD

# Counting goes no further: a thousand leads and a million are both "many" to whoever is about to delete.
MOST_COUNTED = 1000
MOST_TAGS = 200


def add_tag(workspace_id: int, name: str) -> Tag:
    """Raises `Refused` where the workspace suggests it already, or as many as anybody can choose from."""
    known = Tag.objects.filter(workspace=workspace_id)
    if known.filter(name__iexact=name).exists():
        raise Refused(_("There is this tag already."))
    if known.count() >= MOST_TAGS:
        raise Refused(_("These are as many tags as anybody can choose from."))
    try:
        with transaction.atomic():
            return Tag.objects.create(workspace_id=workspace_id, name=name)
    except IntegrityError as error:  # somebody else has just added it
        raise Refused(_("There is this tag already.")) from error


def rename_tag(tag: Tag, name: str, *, by: User) -> int:
    """Also where leads have it. Into a tag that there is already: the two become one. Answers how many leads changed."""
    with transaction.atomic():
        twin = Tag.objects.filter(workspace=tag.workspace_id, name__iexact=name).exclude(pk=tag.pk).first()
        changed = _change_tag(tag, twin.name if twin else name, by=by) if tag.name != name else 0
        if twin:
            tag.delete()
        else:
            Tag.objects.filter(pk=tag.pk).update(name=name)
    return changed


def delete_tag(tag: Tag, *, by: User) -> int:
    with transaction.atomic():
        changed = _change_tag(tag, None, by=by)
        tag.delete()
    return changed


def _change_tag(tag: Tag, new: str | None, *, by: User) -> int:
    reason = _("The tag was renamed") if new else _("The tag was deleted")
    told = {"old": tag.name, "new": new, "kind": LeadChange.Kind.TAGS, "field": "", "reason": reason}
    return _run(CHANGE_TAG, told | {"workspace": tag.workspace_id, "by": by.pk})


def add_field(workspace: Workspace, *, label: str, kind: str, choices: list[str]) -> CustomField:
    """Last of all, under a key that stays whatever the label becomes."""
    taken = set(CustomField.objects.filter(workspace=workspace).values_list("key", flat=True))
    stem = slugify(label).replace("-", "_")[:40].strip("_") or "field"
    key = next(key for key in (stem, *(f"{stem}_{n}" for n in range(2, len(taken) + 3))) if key not in taken)
    last = (
        CustomField.objects.filter(workspace=workspace)
        .order_by("-position")
        .values_list("position", flat=True)
    )
    return CustomField.objects.create(
        workspace=workspace,
        key=key,
        label=label,
        kind=kind,
        choices=choices,
        position=(last.first() or 0) + 1,
    )


def move_field(field: CustomField, *, up: bool) -> None:
    """One place further up or down: all get their numbers anew, so that two never have the same."""
    with transaction.atomic():
        inside = CustomField.objects.select_for_update().filter(workspace=field.workspace_id)
        order = list(inside.order_by("position", "id"))
        here = order.index(field)
        there = here + (-1 if up else 1)
        if 0 <= there < len(order):
            order[here], order[there] = order[there], order[here]
        for position, each in enumerate(order, 1):
            each.position = position
        CustomField.objects.bulk_update(order, ["position"])


def delete_field(field: CustomField, *, by: User) -> int:
    """With the values that leads have; their histories keep them."""
    told = {"field": field.key, "kind": LeadChange.Kind.FIELD, "reason": _("The field was deleted")}
    with transaction.atomic():
        changed = _run(FORGET_FIELD, told | {"workspace": field.workspace_id, "by": by.pk})
        field.delete()
    return changed


def leads_with(workspace_id: int, **having: Any) -> int:
    """How many leads have it, counted no further than MOST_COUNTED + 1."""
    inside = Contact.objects.living().filter(workspace=workspace_id, **having)
    return inside.values("pk")[: MOST_COUNTED + 1].count()


def _run(statement: str, parameters: dict[str, Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)
