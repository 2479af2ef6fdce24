"""The report opens where a person looks on, and nowhere else."""

import os
import subprocess
import sys
import time

import pytest

pty = pytest.importorskip("pty", reason="pseudo-terminals are Unix's")

LINE = "import sys, pathlib; from pathosig.commands.browser import open_in_browser; open_in_browser(pathlib.Path(sys.argv[1]))"


@pytest.fixture
def page(tmp_path):
    page = tmp_path / "report" / "index.html"
    page.parent.mkdir()
    page.write_text("<p>report</p>")
    return page


@pytest.fixture
def browser(tmp_path):
    """A browser that writes down what it is asked to open."""
    program = tmp_path / "browser"
    program.write_text(f'#!/bin/sh\necho "$1" > {tmp_path / "opened"}\n')
    program.chmod(0o755)
    return program


def opened(page, browser, *, terminal=True, **environment):
    """What the browser was asked to open by a process of its own."""
    variables = {k: v for k, v in os.environ.items() if k not in ("CI", "DISPLAY", "WAYLAND_DISPLAY")}
    variables |= {"BROWSER": str(browser), **environment}
    master, slave = pty.openpty()
    stream = slave if terminal else subprocess.DEVNULL
    command = [sys.executable, "-c", LINE, str(page)]
    subprocess.run(command, stdout=stream, stderr=stream, env=variables, check=True, timeout=60)
    os.close(master)
    os.close(slave)
    record = browser.parent / "opened"
    deadline = time.monotonic() + 5
    while terminal and "CI" not in environment and not record.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    return record.read_text().strip() if record.is_file() else None


def test_a_terminal_with_a_browser_gets_the_report(page, browser):
    assert opened(page, browser) == page.as_uri()


def test_a_pipe_opens_nothing(page, browser):
    assert opened(page, browser, terminal=False) is None


def test_continuous_integration_opens_nothing(page, browser):
    assert opened(page, browser, CI="true") is None
