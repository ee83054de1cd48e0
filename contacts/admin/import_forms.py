"""What people choose for a file: how it is read, what its columns are, what becomes of leads that are here already."""

from __future__ import annotations

from typing import Any

import phonenumbers
from django.http import QueryDict
from django.utils.translation import gettext as _

from contacts.lead_import import headers, uploading
from contacts.lead_import.headers import CUSTOM, TARGETS
from contacts.lead_import.reading import DELIMITERS, ENCODINGS, Reading
from contacts.lead_import.uploading import Sample
from contacts.lead_import.words import Wrong
from contacts.models import CustomField, Import

SAMPLES = 3
FINDS = {"phone", "business_scoped_user_id", "email"}


def chosen_reading(made: Import, form: QueryDict) -> Reading:
    """As the form has it; what it does not know stays as it was."""
    told = Reading(**made.reading)
    if told.kind == "xlsx":
        return Reading("xlsx", sheet=form.get("sheet") or told.sheet)
    encoding, delimiter = form.get("encoding", ""), form.get("delimiter", "")
    return Reading(
        "csv",
        encoding if encoding in ENCODINGS else told.encoding,
        delimiter if delimiter in DELIMITERS else told.delimiter,
    )


class Columns:
    def __init__(self, made: Import) -> None:
        self.made = made
        fields = CustomField.objects.filter(workspace=made.workspace_id)
        self.fields = {f"{CUSTOM}{field.key}": field for field in fields}

    def chosen(self, form: QueryDict) -> dict[str, Any]:
        """What is to be checked. Raises `Wrong` where it cannot be."""
        known = {*TARGETS, *self.fields}
        asked = [form.get(f"column_{index}", "") for index in range(len(self.made.header))]
        mapping = [target if target in known else "" for target in asked]
        for target in filter(None, mapping):
            if mapping.count(target) > 1:
                raise Wrong("twice", field=self.label(target))
        if not FINDS & set(mapping):
            raise Wrong("no_key")
        country = form.get("country", "")
        existing = form.get("existing", "")
        return {
            "mapping": mapping,
            "country": country if country in phonenumbers.SUPPORTED_REGIONS else "",
            "existing": existing if existing in Import.Existing.values else Import.Existing.FILL,
            "day_first": form.get("day_first", "yes") == "yes",
        }

    def label(self, target: str) -> str:
        field = self.fields.get(target)
        return field.label if field else str(TARGETS.get(target, target.removeprefix(CUSTOM)))

    def shown(self) -> dict[str, Any]:
        made = self.made
        try:
            sample, problem = uploading.sample_of(made), ""
        except Wrong as wrong:
            sample, problem = Sample(made.header, []), str(wrong)
        names = [(target, self.label(target)) for target in (*TARGETS, *self.fields)]
        doubles = headers.duplicates(made.header)
        return {
            "problem": problem,
            "columns": [self._column(index, sample, names) for index in range(len(made.header))],
            "doubles": ", ".join(doubles[:10]),
            "countries": _countries(),
            "existing": Import.Existing.choices,
            "has_dates": any(field.kind == CustomField.Kind.DATE for field in self.fields.values()),
            **self._reading(),
        }

    def _column(self, index: int, sample: Sample, names: list[tuple[str, str]]) -> dict[str, Any]:
        mapping = self.made.mapping
        texts = [row[index] for row in sample.rows if len(row) > index and row[index]]
        return {
            "index": index,
            "place": headers.column_name(index),
            "title": self.made.header[index],
            "samples": [text if len(text) <= 40 else f"{text[:39]}…" for text in texts[:SAMPLES]],
            "chosen": mapping[index] if index < len(mapping) else "",
            "targets": names,
        }

    def _reading(self) -> dict[str, Any]:
        told = Reading(**self.made.reading)
        if told.kind == "xlsx":
            return {"reading": told, "sheets": uploading.sheets_of(self.made)}
        known = ENCODINGS if told.encoding in ENCODINGS else {told.encoding: told.encoding} | ENCODINGS
        return {"reading": told, "encodings": list(known.items()), "delimiters": _delimiters(told.delimiter)}


def _delimiters(now: str) -> list[tuple[str, str]]:
    known = [(",", _("Comma")), (";", _("Semicolon")), ("\t", _("Tab")), ("|", "|")]
    return known if now in DELIMITERS else [(now, now), *known]


def _countries() -> list[tuple[str, str]]:
    """By code; a script puts the names that the browser knows in the reader's language."""
    regions = sorted(phonenumbers.SUPPORTED_REGIONS)
    return [(region, f"{region} +{phonenumbers.country_code_for_region(region)}") for region in regions]
