"""The load: requests made beforehand, sent over keep-alive connections by a process of its own.

Closed loop: each connection sends its next request when it has the answer to the last. Open loop: requests are due at
a fixed rate, and a request's time counts from when it was due, so that a server that stalls cannot hide it.

Blocking sockets and a selector cost a fraction of what the fastest server here does, see `python -m benchmarks.load`.
"""

from __future__ import annotations

import gc
import json
import selectors
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.traffic import Traffic, deliveries

PATIENCE = 20.0  # seconds without any answer after which nothing more is waited for
QUANTILES = [*(step / 200 for step in range(200)), 0.999, 0.9999, 1.0]


class Connection:
    def __init__(self, port: int) -> None:
        self._port = port
        self.since = 0.0
        self._received = b""
        self.open()

    def open(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes, since: float) -> None:
        self.since = since
        self._received = b""
        self.socket.sendall(request)

    def receive(self) -> int:
        """The status of the answer, 0 while it is not complete."""
        if not (more := self.socket.recv(262_144)):
            raise ConnectionError("the server closed the connection")
        self._received += more
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return 0
        _, _, length = head.lower().partition(b"content-length:")
        return int(head[9:12]) if len(body) >= int(length.split(b"\r\n", 1)[0]) else 0

    def ask(self, request: bytes) -> int:
        """Send it and wait: the status of its answer."""
        self.send(request, time.perf_counter())
        while not (status := self.receive()):
            pass
        return status

    def close(self) -> None:
        self.socket.close()


def get(address: str, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET {address} HTTP/1.1\r\n{lines}\r\n".encode()


@dataclass
class Run:
    """One stretch of load, and what came of it."""

    port: int
    requests: Sequence[bytes]
    connections: int
    seconds: float
    rate: float = 0.0  # 0: closed loop
    sent: int = 0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def go(self) -> dict[str, Any]:
        idle = [Connection(self.port) for _ in range(self.connections)]
        gc.collect()
        gc.disable()
        cpu, started = time.process_time(), time.perf_counter()
        with selectors.DefaultSelector() as selector:
            for connection in idle:
                selector.register(connection.socket, selectors.EVENT_READ, connection)
            self._send_all(selector, idle, started)
        took = time.perf_counter() - started
        cpu = time.process_time() - cpu
        gc.enable()
        for connection in idle:
            connection.close()
        return self._outcome(took, cpu)

    def _send_all(self, selector: selectors.BaseSelector, idle: list[Connection], started: float) -> None:
        due = self._due(started)
        end = started + self.seconds
        while True:
            now = time.perf_counter()
            is_over = self.sent == len(self.requests) or (now >= end)
            while idle and not is_over and (planned := due(now)) <= now:
                idle.pop().send(self.requests[self.sent], planned)
                self.sent += 1
                is_over = self.sent == len(self.requests)
            if is_over and len(idle) == self.connections:
                return
            wait = PATIENCE if is_over or not idle else max(0.0, due(now) - now)
            ready = selector.select(wait)
            if not ready and wait == PATIENCE:
                raise TimeoutError(f"{self.connections - len(idle)} requests were not answered")
            for key, _ in ready:
                if key.data in idle:
                    self._renew(key.data, selector)
                else:
                    self._answered(key.data, idle)

    def _due(self, started: float) -> Callable[[float], float]:
        if self.rate:
            return lambda _: started + self.sent / self.rate
        return lambda now: now

    def _answered(self, connection: Connection, idle: list[Connection]) -> None:
        if status := connection.receive():
            self.latencies.append(time.perf_counter() - connection.since)
            self.statuses[status] += 1
            idle.append(connection)

    def _renew(self, connection: Connection, selector: selectors.BaseSelector) -> None:
        """A server closes what was idle for half a minute. It has nothing to say to it."""
        if connection.socket.recv(1):
            raise ConnectionError("the server answered what it was not asked")
        selector.unregister(connection.socket)
        connection.close()
        connection.open()
        selector.register(connection.socket, selectors.EVENT_READ, connection)

    def _outcome(self, took: float, cpu: float) -> dict[str, Any]:
        ordered = sorted(self.latencies)
        return {
            "sent": self.sent,
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "rps": len(ordered) / took,
            "cpu_share": cpu / took,
            "p99": 1000 * ordered[int(0.99 * len(ordered))] if ordered else 0.0,
            "ms": [1000 * ordered[min(len(ordered) - 1, int(at * len(ordered)))] for at in QUANTILES]
            if ordered
            else [],
        }


def echo() -> int:
    """The cheapest server there is, to see what the load itself can do; serves until the process ends."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(peer: socket.socket) -> None:
        while peer.recv(262_144):
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def accept() -> None:
        while True:
            threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    port: int = listener.getsockname()[1]
    return port


def main() -> None:
    """Read what to send from stdin, send it, and print what came of it."""
    asked = json.loads(sys.stdin.read() or '{"traffic": {"seed": 1, "count": 50000}, "connections": 8}')
    requests = [get(address, asked["headers"]) for address in asked.get("addresses", ())]
    if "traffic" in asked:
        requests = [delivery.request() for delivery in deliveries(Traffic(**asked["traffic"]))]
    run = Run(
        port=asked.get("port") or echo(),
        requests=requests,
        connections=asked["connections"],
        seconds=asked.get("seconds", 3.0),
        rate=asked.get("rate", 0.0),
    )
    sys.stdout.write(json.dumps(run.go()) + "\n")


if __name__ == "__main__":
    main()
