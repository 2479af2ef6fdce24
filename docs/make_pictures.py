"""Takes the pictures of README and docs from a finished study: `python docs/make_pictures.py STUDY` (needs Chromium).

`pathosig demo STUDY --study paper` makes the study that is shown.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).parent / "images"


def main(study: Path) -> None:
    """The top of the report, as a laptop shows it."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1060})
        page.goto((study / "report" / "index.html").resolve().as_uri())
        page.wait_for_timeout(1000)
        page.screenshot(path=IMAGES / "report.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
