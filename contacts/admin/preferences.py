"""How each user wants to be shown and told things: their own page, linked from the user menu."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from contacts.admin.tenancy import user_of
from contacts.admin.unfolded import Select
from contacts.admin.zones import ZoneField
from contacts.models import Preferences


class PreferencesForm(forms.ModelForm):  # type: ignore[type-arg]
    language = forms.ChoiceField(
        label=gettext_lazy("Language"),
        required=False,
        choices=[("", gettext_lazy("As the browser has it")), *settings.LANGUAGES],
        widget=Select(),
    )
    time_zone = ZoneField(
        label=gettext_lazy("Time zone"),
        required=False,
        help_text=gettext_lazy("Empty: as the browser has it. For example America/Lima."),
    )

    class Meta:
        model = Preferences
        fields = ("language", "time_zone", "digest")
        labels = {"digest": gettext_lazy("E-mail about what is new for you")}
        widgets = {"digest": Select()}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not settings.CAN_MAIL:
            self.fields["digest"].help_text = _(
                "No e-mail is configured in this installation, so none is sent."
            )
        elif not self.instance.user.email:
            self.fields["digest"].help_text = _(
                "We know no e-mail address of yours: ask whoever looks after leadcrm."
            )


@require_http_methods(["GET", "POST"])
def preferences(request: HttpRequest) -> HttpResponse:
    user = user_of(request)
    mine = Preferences.objects.filter(user=user).select_related("user").first() or Preferences(user=user)
    form = PreferencesForm(request.POST or None, instance=mine)
    if form.is_valid():
        # Of two tabs that save for the first time, the second finds the row that the first has made.
        Preferences.objects.update_or_create(user=user, defaults=form.cleaned_data)
        with translation.override(form.cleaned_data["language"] or translation.get_language()):
            messages.success(request, _("Your preferences are saved."))
        return HttpResponseRedirect(reverse("preferences"))
    context = admin.site.each_context(request) | {"title": _("Preferences"), "form": form}
    return TemplateResponse(request, "contacts/preferences.html", context)
