"""A real browser for tests: Chromium of the machine, driven by Playwright; tests are skipped where either is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = next((p for p in (shutil.which("chromium"), shutil.which("chromium-browser"), "/usr/bin/chromium")
                 if p and Path(p).exists()), None)  # fmt: skip


@contextmanager
def chromium() -> Iterator:
    """A running browser; the sandbox is left out only for root, who may not use it."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium (Debian package chromium)")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


def wait_until(page, condition, seconds=30.0):
    """Ask the page until it says yes.

    Playwright's own wait_for_function evaluates a string inside the page, which the viewer's content
    security policy rightly forbids.
    """
    for _ in range(int(seconds / 0.1)):
        if page.evaluate(f"!!({condition})"):
            return
        page.wait_for_timeout(100)
    pytest.fail(f"not seen within {seconds:.0f} s: {condition}")
