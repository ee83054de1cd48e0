"""What services refuse, with the field where the body is at fault. (What speaks of how things are goes to api.answering.)"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from api.problems import invalid_fields
from contacts.changing import Refused
from contacts.lead_fields import FieldRefused


@contextmanager
def refusals(field: str | None = None) -> Iterator[None]:
    """`field` is what of the body may be refused; without one a refusal speaks of how things are."""
    try:
        yield
    except FieldRefused as refusal:
        name = f"metadata.{refusal.name}" if refusal.is_custom else refusal.name
        raise invalid_fields({name: str(refusal)}) from refusal
    except Refused as refusal:
        if field is None:
            raise  # as things are (api.answering)
        raise invalid_fields({field: str(refusal)}) from refusal
