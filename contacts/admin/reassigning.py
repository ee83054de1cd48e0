"""Whose leads they become: a field that offers the people of a workspace."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from contacts.admin.unfolded import Select, TextInput
from contacts.members import name_of

NOBODY = "nobody"
# A select with more than a hundred options helps nobody: then one types a username, and is offered those.
MOST_OPTIONS = 99


class HeirField(forms.CharField):
    """Somebody of those on offer, by id or username, or None for nobody. It has no default: one has to choose."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(label=_("Their leads become"), **kwargs)
        self.people: QuerySet[User] = User.objects.none()
        self.is_typed = False

    def offer(self, people: QuerySet[User]) -> None:
        self.people = people
        found = list(people[: MOST_OPTIONS + 1])
        if len(found) <= MOST_OPTIONS:
            named = [(str(user.pk), name_of(user)) for user in found]
            self.widget = Select(choices=[("", _("Choose …")), (NOBODY, _("Nobody's")), *named])
        else:
            self.is_typed, self.widget = True, NameInput(people)
            self.help_text = _("A username, or “nobody”.")
        self.widget.is_required = True

    def clean(self, value: Any) -> User | None:
        typed = super().clean(value)
        if typed == NOBODY or not typed:  # empty only where it need not be chosen
            return None
        is_number = typed.isascii() and typed.isdecimal() and len(typed) < 10
        known = {"username": typed} if self.is_typed else {"pk": int(typed) if is_number else 0}
        if found := self.people.filter(**known).first():
            return found
        raise ValidationError(_("Choose somebody of this workspace, or nobody."))


class NameInput(TextInput):
    """Text, with everybody's username to choose from."""

    def __init__(self, people: QuerySet[User]) -> None:
        super().__init__({"autocomplete": "off"})
        self.people = people

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        field = super().render(name, value, (attrs or {}) | {"list": f"{name}-people"}, renderer)
        named = ((user.get_username(), name_of(user)) for user in self.people)
        options = format_html_join("", '<option value="{}">{}</option>', named)
        return format_html('{}<datalist id="{}-people">{}</datalist>', field, name, options)
