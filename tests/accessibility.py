"""What axe finds on a page: rules of WCAG 2.2, A and AA, and good practice; the script comes with axe-playwright-python."""

from __future__ import annotations

import pytest

GRAVE = ("serious", "critical")


def grave_findings(page, *, without=()):
    """Serious and critical findings on an open page, one line each; the test is skipped where axe is not installed.

    The script is evaluated by the browser's own protocol, which no content security policy of the page forbids.
    """
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs axe-playwright-python"
    ).Axe()
    found = axe.run(page).response
    assert found["passes"], "axe has checked nothing"
    return [
        f"{v['id']}: {node['html'][:160]}"
        for v in found["violations"]
        if v["impact"] in GRAVE and v["id"] not in without
        for node in v["nodes"]
    ]
