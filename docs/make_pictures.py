"""Takes the pictures of README and docs from a finished study: `python docs/make_pictures.py STUDY` (needs Chromium).

`pathosig demo STUDY` makes the study that is shown.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from pathosig.core.study import Study
from pathosig.viewer import start_viewer

IMAGES = Path(__file__).parent / "images"


def main(study: Path) -> None:
    """The answer of the report in a laptop's width, and the viewer on the slide of the highest score."""
    with start_viewer(Study.open(study), read_only=True) as viewer, sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1560})
        page.goto((study / "report" / "index.html").resolve().as_uri())
        page.wait_for_timeout(1000)
        page.screenshot(path=IMAGES / "report.png")
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(viewer.url)
        page.wait_for_selector("#slides button")
        page.select_option("#order", "score")
        page.click("#slides button >> nth=0")
        page.select_option("#colour", "risk")
        page.wait_for_selector("#nearest .near")
        page.wait_for_timeout(2000)  # the view has settled and asks for its tiles
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(5000)
        page.screenshot(path=IMAGES / "viewer.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
