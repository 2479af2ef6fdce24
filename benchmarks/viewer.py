"""The viewer under load: tile requests all at once, over one slide and over more slides than stay open; one JSON object.

    python benchmarks/viewer.py [--requests 200] [--slides 12] [--side 8192]

Painted slides (JPEG pyramids). Every request has a thread and a connection of its own, and all start together; tiles are drawn at random over
levels and places. Milliseconds from the request to the last byte: median, 95th percentile, largest; answers by status.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np

from pathosig.core.study import Study
from pathosig.synthetic.svs import write_svs
from pathosig.viewer import start_viewer
from pathosig.viewer.deepzoom import TILE, max_level


def study_of(root: Path, slides: int, side: int) -> Study:
    """A study of painted slides, each a file of its own."""
    rng = np.random.default_rng(0)
    tile = rng.integers(120, 250, (side // 8, side // 8, 3)).astype(np.uint8)
    pixels = np.kron(tile, np.ones((8, 8, 1), np.uint8))
    study = Study.create(root)
    names = [f"S{i:02d}" for i in range(slides)]
    for name in names:
        write_svs(root / f"{name}.svs", pixels, mpp=0.25, levels=3)
    study.paths.slides.write_text(
        "slide_id,patient_id,path\n" + "".join(f"{n},P{n},{n}.svs\n" for n in names)
    )
    study.paths.patients.write_text(
        "patient_id,cohort,os_time,os_event\n" + "".join(f"P{n},discovery,1,1\n" for n in names)
    )
    return Study.open(root)


def load(running, keys: list[str], side: int, requests: int) -> dict[str, object]:
    """All requests at once."""
    dice = random.Random(0)
    top = max_level(side, side)
    base, start = running.url.split("/?")[0], threading.Barrier(requests + 1)
    took: list[float] = []
    codes: Counter[str] = Counter()
    lock = threading.Lock()

    def ask(address: str) -> None:
        request = urllib.request.Request(address, headers={"Authorization": f"Bearer {running.token}"})
        start.wait()
        began = time.perf_counter()
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                answer.read()
                code = str(answer.status)
        except urllib.error.HTTPError as error:
            code = str(error.code)
        except OSError as error:
            code = type(error).__name__
        with lock:
            took.append(1000 * (time.perf_counter() - began))
            codes[code] += 1

    threads = []
    for _ in range(requests):
        level = dice.randint(top - 5, top)
        across = -(-(side >> (top - level)) // TILE)
        place = f"tiles/{level}/{dice.randrange(across)}/{dice.randrange(across)}.jpg"
        threads.append(threading.Thread(target=ask, args=(f"{base}/api/slides/{dice.choice(keys)}/{place}",)))
    for thread in threads:
        thread.start()
    cpu = time.process_time()
    start.wait()
    for thread in threads:
        thread.join()
    return {
        "p50_ms": round(float(np.percentile(took, 50))),
        "p95_ms": round(float(np.percentile(took, 95))),
        "max_ms": round(max(took)),
        "cpu_ms_per_tile": round(1000 * (time.process_time() - cpu) / requests, 1),
        "answers": dict(codes),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--slides", type=int, default=12)
    parser.add_argument("--side", type=int, default=8192)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = study_of(Path(folder) / "study", options.slides, options.side)
        with start_viewer(study) as running:
            request = urllib.request.Request(
                running.url.replace("/?", "/api/study?"), headers={"Authorization": f"Bearer {running.token}"}
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                keys = [slide["id"] for slide in json.load(answer)["slides"]]
            result: dict[str, object] = {"requests": options.requests}
            result["first_look_at_one_slide"] = load(running, keys[:1], options.side, options.requests)
            result["one_slide"] = load(running, keys[:1], options.side, options.requests)
            result["all_slides"] = load(running, keys, options.side, options.requests)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
