"""What we use of django-unfold. It has no types that mypy reads: to mypy these are Django's own classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin, TabularInline
    from django.contrib.admin import SimpleListFilter as DropdownFilter
    from django.contrib.admin import SimpleListFilter as TextFilter
    from django.contrib.admin.views.main import ChangeList
    from django.contrib.admin.widgets import AdminTextInputWidget as TextInput
    from django.forms import CheckboxInput as Switch
    from django.forms import EmailInput, NumberInput, PasswordInput, Select, Textarea
else:
    from unfold.admin import ModelAdmin, TabularInline
    from unfold.contrib.filters.admin import DropdownFilter, TextFilter
    from unfold.views import ChangeList
    from unfold.widgets import UnfoldAdminEmailInputWidget as EmailInput
    from unfold.widgets import UnfoldAdminIntegerFieldWidget as NumberInput
    from unfold.widgets import UnfoldAdminPasswordWidget as PasswordInput
    from unfold.widgets import UnfoldAdminSelectWidget as Select
    from unfold.widgets import UnfoldAdminTextareaWidget as Textarea
    from unfold.widgets import UnfoldAdminTextInputWidget as TextInput
    from unfold.widgets import UnfoldBooleanSwitchWidget as Switch

__all__ = [
    "ChangeList",
    "DropdownFilter",
    "EmailInput",
    "ModelAdmin",
    "NumberInput",
    "PasswordInput",
    "Select",
    "Switch",
    "TabularInline",
    "TextFilter",
    "TextInput",
    "Textarea",
    "labelled",
]

Display = TypeVar("Display", bound=Callable[..., Any])


def labelled(colours: Mapping[Any, str], description: Any) -> Callable[[Display], Display]:
    """Show a list's value as a coloured label. The method answers with the key of `colours` and the text."""

    def decorate(display: Display) -> Display:
        display.label = colours  # type: ignore[attr-defined]
        display.short_description = description  # type: ignore[attr-defined]
        return display

    return decorate
