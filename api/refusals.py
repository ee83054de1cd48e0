"""What services refuse, as problems: with the field where the body is at fault, else as a conflict with what is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from api.problems import Problem, conflict, invalid_fields
from contacts.changing import Refused
from contacts.lead_fields import FieldRefused
from contacts.merging import MergeRefused
from contacts.models import TransitionRefused


@contextmanager
def refusals(field: str | None = None) -> Iterator[None]:
    """`field` is what of the body may be refused; without one a refusal speaks of how things are."""
    try:
        yield
    except FieldRefused as refusal:
        name = f"metadata.{refusal.name}" if refusal.is_custom else refusal.name
        raise invalid_fields({name: str(refusal)}) from refusal
    except MergeRefused as refusal:
        raise Problem("merge-refused", str(refusal)) from refusal
    except (Refused, TransitionRefused) as refusal:
        if field is None:
            raise conflict(str(refusal)) from refusal
        raise invalid_fields({field: str(refusal)}) from refusal
