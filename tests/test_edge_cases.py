"""CONTRIBUTING.md says which tests hold each line of docs/EDGE_CASES.md: all of them, and only tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What may stand without a test, because it is not there at all.
NOT_BUILT = {"own sends", "media download", "history import", "registration"}
# What a line may lack beside what its tests hold.
LATER = NOT_BUILT | {"lead work"}

ROW = re.compile(r"\| (\d+) \| (.*?) \| (.*?) \|")
TEST_ID = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)(?:\[([^\]`]+)\])?`")


def lines() -> list[int]:
    text = (ROOT / "docs" / "EDGE_CASES.md").read_text()
    return [int(number) for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)]


def table() -> dict[int, tuple[str, str]]:
    text = (ROOT / "CONTRIBUTING.md").read_text().partition("## Edge cases and their tests")[2]
    rows = [match.groups() for match in map(ROW.fullmatch, text.splitlines()) if match]
    assert len({number for number, _, _ in rows}) == len(rows), "a line stands there twice"
    return {int(number): (tests.strip(), remark.strip()) for number, tests, remark in rows}


@cache
def names_in(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_line_is_in_the_table_in_order() -> None:
    assert lines() == list(range(1, 155))
    assert list(table()) == lines()


def test_every_line_has_a_test_or_a_reason() -> None:
    bare = [number for number, (tests, remark) in table().items() if not tests and not _excuses(remark)]
    assert bare == []


def _excuses(remark: str) -> bool:
    kind, _, what = remark.partition(": ")
    return kind == "not built yet" and what in NOT_BUILT


def test_every_test_of_the_table_exists() -> None:
    missing = []
    for number, (tests, _) in table().items():
        found = TEST_ID.findall(tests)
        assert ", ".join(part.strip() for part in tests.split(",") if part) == tests
        assert len(found) == len(set(found)) == len(tests.split(", ") if tests else []), (
            f"line {number}: {tests}"
        )
        missing += [f"line {number}: {path}::{name}" for path, name, _ in found if not _exists(path, name)]
        missing += [
            f"line {number}: no payload {case}" for *_, case in found if case and not _is_payload(case)
        ]
    assert missing == []


def _exists(path: str, name: str) -> bool:
    return (ROOT / path).exists() and name in names_in(ROOT / path)


def _is_payload(case: str) -> bool:
    return (ROOT / "tests" / "payloads" / f"{case}.json").exists()


def test_every_remark_is_one_of_the_known_ones() -> None:
    for number, (_, remark) in table().items():
        kind, _, what = remark.partition(": ")
        allowed = {"": {""}, "not built yet": LATER}
        assert set(what.split(", ")) <= allowed[kind], f"line {number}: {remark}"
