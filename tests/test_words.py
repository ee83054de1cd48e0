"""English, Spanish and Portuguese: every word is translated, rightly put together, and shown to who chose the language."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polib
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.html import escape

from contacts import reasons, showing
from contacts.models import Contact, LeadStatus, Message, Preferences
from contacts.preview import preview
from tests.reporting import Shop, browser_of

LANGUAGES = ("es", "pt_BR")
ROOT = Path(settings.BASE_DIR)
# `{% translate "..." %}` and `_("...")` with one literal on the same line: enough to notice what was forgotten.
IN_TEMPLATES = re.compile(r"""\{%\s*translate\s+"([^"]+)"(?:\s+as\s+\w+)?\s*%\}""")
IN_CODE = re.compile(r"""\b(?:_|gettext|gettext_lazy|gettext_noop)\(\s*"((?:[^"\\]|\\.)+)"\s*\)""")
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sdn%]|\{\w*\}|<[^>]+>")


def catalogue(language: str) -> polib.POFile:
    return polib.pofile(str(ROOT / "locale" / language / "LC_MESSAGES" / "django.po"))


def forms(entry: polib.POEntry) -> list[str]:
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_is_translated(language: str) -> None:
    words = catalogue(language)
    assert len(words) > 1000
    assert [entry.msgid for entry in words if "fuzzy" in entry.flags or entry.obsolete] == []
    assert [entry.msgid for entry in words if not all(form.strip() for form in forms(entry))] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_keep_what_is_filled_in_and_marked_up(language: str) -> None:
    def gaps(text: str) -> list[str]:
        return sorted(PLACEHOLDER.findall(text))

    for entry in catalogue(language):
        of_one, of_many = gaps(entry.msgid), gaps(entry.msgid_plural or entry.msgid)
        for index, form in enumerate(forms(entry)):
            # A sentence for exactly one may leave out its number; the first of Portuguese also stands for none.
            allowed = (of_one, of_many) if index == 0 else (of_many,)
            assert gaps(form) in allowed, (entry.msgid, form)
            assert (form[0].isspace(), form[-1].isspace()) == (
                entry.msgid[0].isspace(),
                entry.msgid[-1].isspace(),
            ), entry.msgid


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_compiled_is_what_is_written(language: str) -> None:
    folder = ROOT / "locale" / language / "LC_MESSAGES"
    compiled = polib.mofile(str(folder / "django.mo"))

    def told(words: Any) -> dict[tuple[str | None, str], list[str]]:
        return {(entry.msgctxt, entry.msgid): forms(entry) for entry in words}

    assert told(compiled) == told(catalogue(language))
    assert compiled.metadata["Plural-Forms"] == catalogue(language).metadata["Plural-Forms"]


def sources() -> list[tuple[Path, str]]:
    """Each literal that code or templates mark for translation, and where."""
    found = []
    for path in sorted((ROOT / "templates").rglob("*")):
        if path.is_file():
            found += [(path, text.replace("%", "%%")) for text in IN_TEMPLATES.findall(path.read_text())]
    for app in ("contacts", "kapso_sync", "leadcrm"):
        for path in sorted((ROOT / app).rglob("*.py")):
            literals = IN_CODE.findall(path.read_text())
            found += [(path, re.sub(r"\\(.)", r"\1", text)) for text in literals]
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_word_of_the_code_is_forgotten(language: str) -> None:
    """Else: make words, then translate what is new."""
    known = {entry.msgid for entry in catalogue(language)}
    marked = sources()
    assert len(marked) > 800
    assert [(path.name, text) for path, text in marked if text not in known] == []


# Per page: something that must be there in Spanish and in Portuguese.
PAGES = {
    "list": ("Esperan respuesta", "Aguardando resposta"),
    "lead": ("Próximo seguimiento", "Próximo acompanhamento"),
    "start": ("Seguimientos para hoy", "Acompanhamentos para hoje"),
    "reports": ("Leads por estado", "Leads por status"),
    "members": ("Invitar a alguien", "Convidar alguém"),
    "tags": ("Etiquetas", "Etiquetas"),
    "settings": ("Horario laboral", "Horário de atendimento"),
    "preferences": ("Zona horaria", "Fuso horário"),
    "notifications": ("Notificaciones", "Notificações"),
    "health": ("Salud de los números", "Saúde dos números"),
    "duplicates": ("Posibles duplicados", "Possíveis duplicados"),
    "deliveries": ("Todavía no hay entregas", "Ainda não há entregas"),
    "merge": ("¿Quién es la misma persona?", "Quem é a mesma pessoa?"),
    "erase": ("Borrar para siempre", "Apagar para sempre"),
}
ENGLISH = (
    "Awaiting reply", "Needs follow-up", "Follow-up", "Leads by status", "Invite", "Time zone", "Possible duplicates",
    "Deliveries", "Workspaces", "Preferences", "Numbers", "Reports", "Notes", "History", "Owner", "Contacted", "Search",
    "Save", "Photo", "Voice message", "No leads", "min ago", "Just now", "Copied", "Erase", "Members", "Settings",
)  # fmt: skip


@pytest.fixture
def shop(db: None) -> Shop:
    return Shop.open()


@pytest.fixture
def lead(shop: Shop) -> Contact:
    """Somebody who sent a picture a while ago."""
    lead = shop.lead("Rosa")
    shop.wrote(lead, timezone.now() - timedelta(minutes=7), message_type="image")
    Message.objects.update(content="Photo")
    return lead


def reader(shop: Shop, language: str) -> User:
    owner = shop.member(f"olga-{language}", "owner")
    Preferences.objects.create(user=owner, language=language)
    return owner


def address(page: str, shop: Shop, lead: Contact) -> str:
    leads, workspace = "/admin/contacts/contact/", f"/admin/contacts/workspace/{shop.workspace.pk}/"
    return {
        "list": leads,
        "lead": f"{leads}{lead.pk}/change/",
        "start": "/admin/",
        "reports": reverse("reports"),
        "members": f"{workspace}members/",
        "tags": f"{workspace}tags/",
        "settings": f"{workspace}change/",
        "preferences": reverse("preferences"),
        "notifications": "/admin/notifications/",
        "health": reverse("numbers-health"),
        "duplicates": f"{leads}duplicates/",
        "deliveries": "/admin/kapso_sync/webhookdelivery/",
        "merge": f"{leads}{lead.pk}/merge/",
        "erase": reverse("lead-erase", args=[lead.pk]),
    }[page]


def words_on(html: str) -> str:
    """What is read or read out: texts and labels, without styles, scripts and names of fields."""
    html = re.sub(r"<(style|script)\b.*?</\1>", " ", html, flags=re.DOTALL)
    said = re.findall(r'(?:aria-label|placeholder|title|alt|data-copied)="([^"]*)"', html)
    return " | ".join([*re.sub(r"<[^>]+>", "|", html).split("|"), *said])


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("language", ["es", "pt-br"])
def test_a_page_speaks_the_language_of_its_reader(
    page: str, language: str, shop: Shop, lead: Contact
) -> None:
    response = browser_of(reader(shop, language)).get(address(page, shop, lead))
    html = response.content.decode()
    words = words_on(html)
    assert f'<html lang="{language}"' in html
    assert escape(PAGES[page][language != "es"]) in words
    assert [english for english in ENGLISH if re.search(rf"\b{english}\b", words)] == []


@pytest.mark.parametrize(
    ("language", "shown"), [("en", "7 Jan 2026"), ("es", "7 Ene 2026"), ("pt-br", "7 Jan 2026")]
)
def test_dates_are_written_as_the_reader_writes_them(language: str, shown: str) -> None:
    with translation.override(language):
        at = datetime(2026, 1, 7, 12, tzinfo=UTC)
        assert showing.ago(at, at + timedelta(days=400)).lower() == shown.lower()


@pytest.mark.parametrize(
    ("language", "days", "minutes"),
    [("en", "1 day ago", "5 min ago"), ("es", "hace 1 día", "hace 5 min"), ("pt-br", "há 1 dia", "há 5 min")],
)
def test_times_are_told_relative_in_each_language(language: str, days: str, minutes: str) -> None:
    now = timezone.now()
    with translation.override(language):
        assert showing.ago(now - timedelta(days=1), now) == days
        assert showing.ago(now - timedelta(minutes=5), now) == minutes


def test_what_the_sync_stores_stays_english_and_is_translated_when_shown() -> None:
    with translation.override("es"):
        assert preview("image", "Photo") == "📷 Foto"
        assert preview("text", "Photo") == "Photo"  # somebody's own word
        assert preview("image", "Photo of the door") == "📷 Photo of the door"


def test_reasons_of_ours_are_stored_in_english_whoever_works(shop: Shop, lead: Contact) -> None:
    with translation.override("es"):
        assert reasons.left("Ana") == "Ana left the workspace"
        assert reasons.shown(reasons.left("Ana")) == "Ana dejó el espacio de trabajo"
        assert [reasons.shown(one) for one in (reasons.IN_TURN, reasons.UNDONE, "Undone?")] == [
            "por turno",
            "Deshecho",
            "Undone?",
        ]


def test_a_status_is_called_by_its_name_in_the_language_of_who_asks() -> None:
    """Not in the one of who happened to ask first."""
    for language, name in (("es", "Contactado"), ("en", "Contacted"), ("pt-br", "Contatado")):
        with translation.override(language):
            assert str(LeadStatus.CONTACTED.label) == name
            assert str(dict(LeadStatus.choices)["contacted"]) == name
