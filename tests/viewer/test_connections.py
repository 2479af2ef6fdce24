"""Connections that ask for nothing do not stay."""

import socket
import time
import urllib.request

import pytest

pytest.importorskip("uvicorn")

from pathosig.viewer import connections, start_viewer


@pytest.fixture
def running(study, monkeypatch):
    monkeypatch.setattr(connections, "IDLE_S", 1)
    with start_viewer(study) as viewer:
        yield viewer


def ends_within(connection, seconds, *, letters=b""):
    """Whether the other side closes a connection on which a header comes letter by letter, or nothing."""
    connection.settimeout(0.1)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if letters:
                connection.sendall(letters[:1])
                letters = letters[1:]
            if connection.recv(1) == b"":
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def test_silent_and_slow_connections_are_closed_and_others_are_served(running):
    silent = socket.create_connection(("127.0.0.1", running.port))
    slow = socket.create_connection(("127.0.0.1", running.port))
    assert ends_within(slow, 15, letters=b"GET / HTTP/1.1\r\nHost: " + b"x" * 1000)
    assert ends_within(silent, 15)
    with urllib.request.urlopen(running.url, timeout=20) as answer:
        assert answer.status == 200
    silent.close()
    slow.close()
