"""What a signed body holds that we have never heard of: fields by key path and JSON type, never by value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kapso_sync.formats.reading import vocabulary

KNOWN_FIELDS = Path(__file__).parent / "formats" / "known_fields.txt"

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
}
KINDS = {kind: name for name, kinds in TYPES.items() for kind in kinds}

# A body is looked at this far: a history chunk holds thousands of messages that all look alike.
MOST_VALUES = 2000
MOST_FOUND = 20


@dataclass(slots=True)
class Field:
    """A place in a body. `is_free`: anything may be below."""

    path: str
    types: set[type] = field(default_factory=set)
    fields: dict[str, Field] = field(default_factory=dict)
    element: Field | None = None
    is_free: bool = False

    def at(self, path: str) -> Field:
        """The place below this one; made where it is not there yet."""
        place = self
        for step in path.replace("[]", ".[]").split("."):
            below = place.element if step == "[]" else place.fields.get(step)
            if below is None:
                below = Field(place.below(step))
                if step == "[]":
                    place.element = below
                else:
                    place.fields[step] = below
            place = below
        return place

    def below(self, step: str) -> str:
        return f"{self.path}{'' if step == '[]' or not self.path else '.'}{step}"

    def looks_like(self, other: Field) -> None:
        self.types |= other.types
        self.fields, self.element, self.is_free = other.fields, self.element or other.element, other.is_free


def known_fields(lines: Iterable[str]) -> Field:
    """The tree of known_fields.txt, which says how it is written."""
    top = Field("", {dict})
    alike = []
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        path, *words = line.split()
        place = top.at(path)
        place.is_free = "*" in words
        place.types.update(kind for word in words for kind in TYPES.get(word, ()))
        if "=" in words:
            alike.append((place, top if words[-1] == "(top)" else top.at(words[-1])))
    for place, other in alike:
        place.looks_like(other)
    return top


KNOWN = known_fields(KNOWN_FIELDS.read_text().splitlines())


def unknown_in(payload: object, known: Field = KNOWN) -> list[str]:
    """Fields that are not known and types that changed, each once; looks at a bounded part of the body."""
    found: dict[str, None] = {}
    waiting: list[tuple[Any, Field]] = [(payload, known)] if isinstance(payload, dict) else []
    looked = 0
    while waiting and looked < MOST_VALUES and len(found) < MOST_FOUND:
        value, place = waiting.pop()
        looked += len(value)
        if type(value) is dict:
            _look_into(value, place, found, waiting)
        elif place.element is not None:
            for child in value[:MOST_VALUES]:
                _look_at(child, place.element, found, waiting)
    return list(found)[:MOST_FOUND]


def _look_into(
    value: dict[str, Any], place: Field, found: dict[str, None], waiting: list[tuple[Any, Field]]
) -> None:
    known = place.fields
    for key, child in value.items():
        field = known.get(key)
        if field is None:
            if len(found) < MOST_FOUND:
                found[f"unknown field: {place.below(vocabulary(key))}"] = None
        else:
            _look_at(child, field, found, waiting)


def _look_at(value: Any, place: Field, found: dict[str, None], waiting: list[tuple[Any, Field]]) -> None:
    kind = type(value)
    if value is None:
        return
    if kind not in place.types:
        found[f"changed type: {place.path} is {KINDS[kind]}"] = None
    elif (kind is dict or kind is list) and value and not place.is_free:
        waiting.append((value, place))
