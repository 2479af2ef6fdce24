"""How many cores of generated tissue microarrays get the right place.

    python benchmarks/tma.py [--seeds N] [--first N] [--missing SHARE] [--enlarge N]

Arrays of 5 x 6 to 15 x 20 cores, turned by -10 to 10 degrees, straight and bent, a tenth of the cores missing, some torn,
with dust (tests/slides/arrays.py), each pixel repeated `--enlarge` times each way. A place is right when its core is called ok within 0.3 pitch of its true centre at
the true row and column, or when a missing core is not called ok.

share_right   over all places;  worst   of one array;  arrays_below_98   their number
ms_per_core   CPU

Prints one JSON object as the last line.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "slides"))

from arrays import microarray, share_right

SIZES = ((5, 6), (6, 8), (8, 12), (10, 14), (12, 16), (14, 20), (15, 20))
ANGLES = (-10.0, -6.0, -2.0, 0.0, 3.0, 7.0, 10.0)


def main() -> None:
    """Run it."""
    from pathosig.core.errors import SlideError
    from pathosig.tma.dearray import dearray

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--missing", type=float, default=0.1)
    parser.add_argument("--enlarge", type=int, default=1)
    arguments = parser.parse_args()
    right, places, spent, below = [], [], 0.0, []
    for rows, columns in SIZES:
        for number, angle in enumerate(ANGLES):
            for seed in range(arguments.first, arguments.first + arguments.seeds):
                bend = (0.0, 0.25, 0.5)[(number + seed) % 3]
                rgb, centres, present = microarray(
                    rows,
                    columns,
                    angle=angle,
                    missing=arguments.missing,
                    bend=bend,
                    seed=1000 * seed + number,
                )
                times = arguments.enlarge
                rgb, centres = rgb.repeat(times, axis=0).repeat(times, axis=1), times * centres
                start = time.process_time()
                try:
                    share = share_right(dearray(rgb), centres, present, pitch=48 * times)
                except SlideError:
                    share = 0.0
                spent += time.process_time() - start
                right.append(share)
                places.append(rows * columns)
                if share < 0.98:
                    below.append([rows, columns, angle, bend, seed, round(share, 3)])
    result = {
        "arrays": len(right),
        "share_right": round(float(np.average(right, weights=places)), 4),
        "worst": round(min(right), 4),
        "arrays_below_98": len(below),
        "below": below,
        "ms_per_core": round(1000 * spent / sum(places), 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
