"""How fast the viewer answers, in Chromium and over HTTP. Prints one JSON object as its last line.

    python benchmarks/viewer.py [--slides 1000] [--tiles 1000000] [--requests 300] [--at-once 200]

* `list_ms`: a study of that many slides, from opening the page until the last one stands in the list; `search_ms`: one slide found in it.
* `toggle_ms`: switching the overlay of that many tiles off and on, the slowest of ten, until the canvas is painted.
* `tile_p50_ms`, `tile_p95_ms`: tiles of a JPEG pyramid (Aperio's form) at random places of all levels, one after the other, over HTTP;
  `tile_cpu_ms`: CPU time of server and client for one tile, which other programs on the machine do not lengthen.
* `at_once`: that many such requests at the same moment over twelve slides, twice as many as stay open: how often each status was answered,
  `p95_ms` until the answer, `cpu_ms` for one tile, and `floor_ms`: the wall time of all of them one after the other, divided by their number.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from pathosig.core.study import Study
from pathosig.synthetic.slides_level import example_slide
from pathosig.viewer import start_viewer
from pathosig.viewer.server import RunningViewer

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"

# n tiles in a square grid of 50 HPCs take the place of the slide's own.
MANY = """(n) => { const side = Math.ceil(Math.sqrt(n)), width = 8;
const make = (kind, of) => kind.from({ length: n }, (_, i) => of(i));
state.tiles = { n, width, has: {}, x: make(Int32Array, (i) => width * (i % side)), y: make(Int32Array, (i) => width * Math.floor(i / side)),
  hpc: make(Int16Array, (i) => i % state.study.hpcs.length), confidence: new Float32Array(n), distance: new Float32Array(n), quality: new Float32Array(n) };
const began = performance.now(); paint(); draw(); const painted = performance.now() - began;
const box = document.getElementById('show-hpc'), canvas = document.getElementById('overlay').getContext('2d'), times = [];
for (let k = 0; k < 10; k++) { const start = performance.now(); box.click(); canvas.getImageData(0, 0, 1, 1); times.push(performance.now() - start); }
return { painted, slowest: Math.max(...times) }; }"""


def make_study(root: Path, slides: int) -> Study:
    """A study whose slides are all the same file, with a codebook of 50 HPCs and no tiles."""
    example_slide(root / "slide.svs", tiles=600)
    lines = ["slide_id,patient_id,path", *(f"S{i:05d},P{i:05d},slide.svs" for i in range(slides))]
    (root / "slides.csv").write_text("\n".join(lines) + "\n")
    patients = [f"P{i:05d},discovery,{i + 1},{i % 2}" for i in range(slides)]
    (root / "patients.csv").write_text("\n".join(["patient_id,cohort,os_time,os_event", *patients]) + "\n")
    (root / "phenotypes").mkdir()
    (root / "phenotypes" / "tree.json").write_text(json.dumps({"k": 50, "artefact_hpcs": []}))
    return Study.create(root)


def tile_requests(
    viewer: RunningViewer, page: Page, count: int, *, slides: int
) -> list[urllib.request.Request]:
    """So many tiles at random places of the first slides, which are all of one size."""
    info = page.evaluate("state.info")
    ids = page.evaluate("(n) => state.study.slides.slice(0, n).map((slide) => slide.id)", slides)
    base = viewer.url.split("?")[0].rstrip("/")
    cookie = "; ".join(f"{c['name']}={c['value']}" for c in page.context.cookies())
    rng, requests = random.Random(0), []
    for number in range(count):
        level = rng.randint(info["max_level"] - 4, info["max_level"])
        size = [max(1, -(-info[k] // 2 ** (info["max_level"] - level))) for k in ("width", "height")]
        column, row = (rng.randrange(-(-s // info["tile_size"])) for s in size)
        address = f"{base}/api/slides/{ids[number % len(ids)]}/tiles/{level}/{column}/{row}.jpg"
        requests.append(urllib.request.Request(address, headers={"Cookie": cookie}))
    return requests


def answered(request: urllib.request.Request) -> tuple[int, float]:
    """Status, and milliseconds until the whole answer was there."""
    start = time.perf_counter()
    try:
        with urllib.request.urlopen(request) as answer:
            answer.read()
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    return status, 1000 * (time.perf_counter() - start)


def at_once(requests: list[urllib.request.Request]) -> dict[str, object]:
    """All of them at the same moment, then one after the other."""
    together = threading.Barrier(len(requests))

    def ask(request: urllib.request.Request) -> tuple[int, float]:
        together.wait()
        return answered(request)

    cpu = time.process_time()
    with ThreadPoolExecutor(len(requests)) as pool:
        answers = list(pool.map(ask, requests))
    cpu = time.process_time() - cpu
    start = time.perf_counter()
    for request in requests:
        answered(request)
    floor = 1000 * (time.perf_counter() - start) / len(requests)
    p95 = statistics.quantiles([ms for _, ms in answers], n=20)[18]
    return {
        "requests": len(requests),
        "statuses": {str(status): n for status, n in Counter(status for status, _ in answers).items()},
        "p95_ms": round(p95),
        "cpu_ms": round(1000 * cpu / len(requests), 1),
        "floor_ms": round(floor, 1),
        "p95_vs_floor_of_all": round(p95 / (floor * len(requests)), 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    for name, value in (("slides", 1000), ("tiles", 1_000_000), ("requests", 300), ("at-once", 200)):
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = make_study(Path(folder), args.slides)
        with start_viewer(study) as viewer, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1600, "height": 1000})
            start = time.perf_counter()
            page.goto(viewer.url)
            page.wait_for_selector(f"#slides li:nth-child({args.slides})", state="attached")
            listed = 1000 * (time.perf_counter() - start)
            start = time.perf_counter()
            page.fill("#search", f"S{args.slides - 1:05d}")
            page.wait_for_selector("#slides li:nth-child(1):last-child", state="attached")
            searched = 1000 * (time.perf_counter() - start)
            page.wait_for_timeout(3000)
            toggle = page.evaluate(MANY, args.tiles)
            before = time.process_time()
            times = [answered(r)[1] for r in tile_requests(viewer, page, args.requests, slides=1)]
            cpu = 1000 * (time.process_time() - before) / args.requests
            burst = at_once(tile_requests(viewer, page, args.at_once, slides=12))
            browser.close()
    result = {
        "slides": args.slides,
        "list_ms": round(listed),
        "search_ms": round(searched),
        "tiles": args.tiles,
        "paint_ms": round(toggle["painted"], 1),
        "toggle_ms": round(toggle["slowest"], 2),
        "tile_p50_ms": round(statistics.median(times), 1),
        "tile_p95_ms": round(statistics.quantiles(times, n=20)[18], 1),
        "tile_cpu_ms": round(cpu, 1),
        "at_once": burst,
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
