"""`make bench` measures what it says, or refuses. What the figures are is no business of a test."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from django.conf import settings

from benchmarks import __main__ as program
from benchmarks import report
from benchmarks.bench import Bench, check_rows, sent_of
from benchmarks.load import Run, get
from benchmarks.measuring import SIZES, Figure, Findings, Refused, rounds
from benchmarks.parts import PARTS, webhooks
from benchmarks.servers import Server
from benchmarks.traffic import Rows, Traffic, deliveries
from leadcrm.embedded import server as embedded

SHORT = ["webhooks", "replay"]
OTHERS = [part for part in PARTS if part not in SHORT]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """With a database server for each subject; kept, since the next run needs the same templates."""
    path = Path(settings.LOCAL_DIR) / f"bench-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    yield path
    for cluster in ("limit", "plain", "leadcrm"):
        embedded.leave(path / cluster)


@pytest.fixture
def bench(folder: Path) -> Bench:
    return Bench(folder, SIZES["tiny"])


def test_a_connection_that_the_server_closed_while_it_was_idle_is_opened_again() -> None:
    """As it does with those that an open loop leaves alone for half a minute."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer_once_each() -> None:
        with suppress(OSError):
            while True:
                peer, _ = listener.accept()
                peer.recv(1000)
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                peer.close()

    thread = threading.Thread(target=answer_once_each)
    thread.start()
    run = Run(port=listener.getsockname()[1], requests=[get("/", {})] * 5, connections=1, seconds=10, rate=20)
    told = run.go()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()
    assert told["statuses"] == {"200": 5}


@pytest.mark.prove
def test_the_main_parts_work(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "CONNECTIONS", (8,))
    assert program.main([*SHORT, "--size", "tiny"], folder=folder, results=tmp_path) == 0
    for part in SHORT:
        told = json.loads((tmp_path / f"{part}.json").read_text())
        assert all(
            value > 0 for figure in told["figures"] for value in figure["values"] if figure["unit"] == "x"
        )


@pytest.mark.prove
@pytest.mark.parametrize("part", OTHERS)
def test_each_part_works_alone(part: str, folder: Path, tmp_path: Path) -> None:
    assert program.main([part, "--size", "tiny"], folder=folder, results=tmp_path) == 0


def test_answers_other_than_200_are_refused(bench: Bench) -> None:
    server = bench.limit()
    server.more = {"WEBHOOK_SECRET": "another"}
    with server, pytest.raises(Refused, match="401"):
        server.take(bench.traffic(20), connections=2, seconds=5.0)


def test_a_lost_row_is_refused(bench: Bench) -> None:
    traffic = bench.traffic(20)
    with bench.limit() as server:
        sent = sent_of(traffic, server.take(traffic, connections=2, seconds=5.0))
        check_rows(server, sent)
        _lose_one(server)
        with pytest.raises(Refused, match="messages"):
            check_rows(server, sent)


def _lose_one(server: Server) -> None:
    with server.connect() as connection:
        connection.execute("DELETE FROM message WHERE id = (SELECT max(id) FROM message)")


def test_what_is_refused_is_not_reported(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: Bench) -> Findings:
        raise Refused("two messages were lost")

    monkeypatch.setitem(PARTS, "webhooks", refuse)
    assert program.main(["webhooks", "--size", "tiny"], folder=folder, results=tmp_path) == 1
    assert "Nothing is reported: two messages were lost" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_the_order_turns_around_each_round() -> None:
    assert list(rounds(3, "abc")) == [*"abc", *"cba", *"abc"]


def test_a_ratio_is_of_the_same_round() -> None:
    findings = Findings()
    findings.add_ratio("ours / theirs", [10, 30, 8], [20, 30, 80], must=0.4, aim=0.9)
    (ratio,) = findings.figures
    assert (ratio.values, ratio.median, ratio.verdict) == ((0.5, 1.0, 0.1), 0.5, "must")


def test_less_may_be_better() -> None:
    latency = Figure(name="p99", values=(18.0,), unit="ms", must=50.0, aim=20.0, less_is_better=True)
    assert latency.verdict == "aim"


def test_traffic_is_an_exchange_in_order_and_different_every_time() -> None:
    told = deliveries(Traffic(seed=1, count=1000))
    assert len({delivery.key for delivery in told}) == len({delivery.body for delivery in told}) == 1000
    events = [
        delivery.event.rpartition(".")[2] for delivery in told if delivery.wamids[0].endswith("to.000000003")
    ]
    assert events == ["sent", "delivered", "read"]
    assert not {wamid for each in told for wamid in each.wamids} & {
        wamid for each in deliveries(Traffic(seed=2, count=1000)) for wamid in each.wamids
    }


def test_rows_are_counted_once() -> None:
    told = deliveries(Traffic(seed=1, count=1000, people=7))
    assert Rows.of(told, told[:10]).messages == len({delivery.wamids for delivery in told})
    assert 0 < Rows.of(told, to_known=True).contacts == Rows.of(told).contacts - 7


def test_the_page_takes_the_newest_figures(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"# Before\n{report.BEGIN}\nold\n{report.END}\nAfter\n")
    findings = Findings(notes=["All is well."])
    findings.add("leadcrm / limit", [0.5, 0.6, 0.7], "x", must=0.3, aim=0.45)
    report.save("webhooks", "quick", findings, tmp_path)
    report.page(tmp_path, page)
    told = page.read_text()
    assert told.startswith("# Before\n")
    assert told.endswith("\nAfter\n")
    assert "| leadcrm / limit | 0.6 x | 0.5 .. 0.7 | 0.3 | 0.45 | aim |" in told
    assert "All is well." in told
    assert "old" not in told
