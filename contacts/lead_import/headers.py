"""Which column fills which field: guessed from the header, in English, Spanish and Portuguese."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from django.utils.translation import gettext_lazy as _

from contacts.models import CustomField

CUSTOM = "metadata."

# Field -> how people read it.
TARGETS = {
    "phone": _("Phone"),
    "business_scoped_user_id": _("WhatsApp user ID"),
    "name": _("Name"),
    "first_name": _("First name"),
    "last_name": _("Last name"),
    "email": _("E-mail"),
    "lead_status": _("Status (of new leads)"),
    "lead_score": _("Score"),
    "tags": _("Tags"),
    "owner": _("Owner"),
    "source": _("Source (of new leads)"),
}
# Field -> how files call it, likelier ones first. Words are compared without accents, case and punctuation.
_NAMES = {
    "phone": (
        "phone", "phone number", "whatsapp", "whatsapp number", "mobile", "mobile phone", "cell", "cell phone",
        "telephone", "tel", "wa id", "msisdn", "phone 1 value", "number", "contact number",
        "telefono", "numero de telefono", "celular", "movil", "numero de whatsapp", "numero", "telefono movil",
        "telefone", "numero de telefone", "telemovel", "fone", "telefone celular",
    ),
    "business_scoped_user_id": ("business scoped user id", "bsuid", "whatsapp user id", "user id"),
    "name": (
        "name", "full name", "contact", "contact name", "display name", "lead", "lead name", "customer", "client",
        "nombre", "nombre completo", "nombre y apellido", "nombres y apellidos", "contacto", "cliente", "razon social",
        "nome", "nome completo", "contato",
    ),
    "first_name": ("first name", "firstname", "given name", "nombres", "primer nombre", "primeiro nome"),
    "last_name": (
        "last name", "lastname", "surname", "family name", "apellido", "apellidos", "sobrenome", "ultimo nome",
    ),
    "email": (
        "email", "e mail", "email address", "mail", "e mail 1 value", "correo", "correo electronico",
        "direccion de correo", "endereco de email", "email do cliente",
    ),
    "lead_status": (
        "lead status", "status", "stage", "lead stage", "state", "estado", "etapa", "situacao", "situacion", "fase",
    ),
    "lead_score": ("lead score", "score", "points", "puntaje", "puntuacion", "puntos", "pontuacao", "pontos"),
    "tags": ("tags", "tag", "labels", "label", "etiquetas", "etiqueta", "marcadores", "rotulos", "tags do lead"),
    "owner": (
        "owner", "assigned to", "agent", "salesperson", "sales rep", "lead owner", "responsable", "asignado a",
        "vendedor", "asesor", "dueno", "propietario", "responsavel", "atribuido a", "proprietario",
    ),
    "source": (
        "source", "lead source", "origin", "channel", "origen", "fuente", "canal", "procedencia", "origem", "fonte",
    ),
}  # fmt: skip
# What a file of ours says and an import never takes.
_OURS = {
    "row", "outcome", "why", "fila", "resultado", "linha",
    "id", "workspace", "username", "kapso name", "last activity at", "last contact at", "last inbound at", "created at",
}  # fmt: skip
_FIELD_OF = {name: field for field, names in _NAMES.items() for name in names}


def plain(header: str) -> str:
    """The words of a header, in the form in which they are compared."""
    bare = "".join(char for char in unicodedata.normalize("NFKD", header) if not unicodedata.combining(char))
    return " ".join(re.sub(r"[^\w]+|_", " ", bare.casefold()).split())


def guess(header: Sequence[str], fields: Iterable[CustomField]) -> list[str]:
    """Of each column the field that it fills, "" for none; no field twice. A workspace's own fields go first."""
    custom = {plain(name): f"{CUSTOM}{field.key}" for field in fields for name in (field.label, field.key)}
    taken = set[str]()
    mapping = []
    for title in header:
        words = plain(title)
        found = custom.get(words) or _FIELD_OF.get(words, "")
        if title in TARGETS or words in _OURS:  # as an export of ours has it
            found = title if title in TARGETS else ""
        elif title.startswith(CUSTOM):
            found = title if title in custom.values() else ""
        mapping.append("" if found in taken else found)
        taken.add(found)
    if "name" in taken:  # a whole name goes before its parts
        mapping = ["" if field in ("first_name", "last_name") else field for field in mapping]
    return mapping


def duplicates(header: Sequence[str]) -> list[str]:
    """Titles that several columns have."""
    titles = dict[str, list[str]]()
    for title in header:
        titles.setdefault(plain(title), []).append(title)
    return [same[0] for words, same in titles.items() if words and len(same) > 1]


def column_name(index: int) -> str:
    """A, B, ... Z, AA, as spreadsheets call it."""
    name = ""
    while index >= 0:
        index, rest = divmod(index, 26)
        name, index = chr(65 + rest) + name, index - 1
    return name
