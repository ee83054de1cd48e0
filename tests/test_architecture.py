"""The shape of the code: who may import whom, and how long things may get (STYLE of the project, CONTRIBUTING.md)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
APPS = ("contacts", "kapso_sync", "api", "leadcrm")
SOURCES = [
    path for app in APPS for path in sorted((ROOT / app).rglob("*.py")) if "migrations" not in path.parts
]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


@pytest.mark.parametrize(
    ("app", "forbidden"),
    [
        ("contacts", ("kapso_sync", "api", "leadcrm")),
        ("kapso_sync", ("api", "leadcrm")),
        ("api", ("leadcrm",)),
    ],
)
def test_imports_go_down_only(app: str, forbidden: tuple[str, ...]) -> None:
    upwards = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / app).rglob("*.py")
        for name in imports(path)
        if name.split(".")[0] in forbidden
    ]
    assert upwards == []


def test_no_function_is_longer_than_40_lines() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path, node in functions()
        if (node.end_lineno or 0) - node.lineno + 1 > 40
    ]
    assert long == []


def test_the_webhook_reads_as_a_story_of_15_lines() -> None:
    (story,) = [
        node
        for path, node in functions()
        if path.match("kapso_sync/views.py") and node.name == "receive_webhook"
    ]
    assert (story.end_lineno or 0) - story.lineno + 1 <= 15


def test_there_is_no_drawer_for_odds_and_ends() -> None:
    assert not [path for path in SOURCES if path.stem in {"utils", "helpers", "common", "misc"}]


def test_signals_and_save_hide_nothing() -> None:
    hidden = [path for path in SOURCES if "@receiver" in path.read_text()]
    hidden += [path for path, node in functions() if node.name == "save" and "models" in path.parts]
    assert hidden == []


def test_formats_need_no_django() -> None:
    code = "import sys, kapso_sync.formats; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_nothing_reads_the_shared_folder() -> None:
    assert not [path for path in SOURCES if "../shared" in path.read_text()]
