"""Opens a page in the browser, provided that a person is watching."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path


def open_in_browser(page: Path) -> bool:
    """Open a page in the browser if a person is watching; do nothing in pipes, in CI or without a display.

    Parameters
    ----------
    page
        An HTML file.

    Returns
    -------
    bool
        Whether a browser was asked to open it.
    """
    if os.environ.get("CI") or not all(s is not None and s.isatty() for s in (sys.stdout, sys.stderr)):
        return False
    if not (sys.platform in ("win32", "darwin") or _has_display()):
        return False  # a browser in the terminal would cover what was printed
    try:
        return webbrowser.open(page.resolve().as_uri())
    except webbrowser.Error:
        return False


def _has_display() -> bool:
    """Whether a Unix session can show windows, or names a browser itself."""
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
