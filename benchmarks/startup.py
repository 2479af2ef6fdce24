"""How long a shell waits: `import pathosig` and `pathosig --help`, against Python alone.

    python benchmarks/startup.py [--rounds 11]

Medians of interleaved rounds, wall seconds of whole processes; the bars are 0.3 s for the import and
0.5 s for the help. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python": [sys.executable, "-c", "pass"],
    "import": [sys.executable, "-c", "import pathosig"],
    "help": [sys.executable, "-m", "pathosig", "--help"],
    "status_help": [sys.executable, "-m", "pathosig", "status", "--help"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    given = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(given.rounds):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - start)
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    bare = middle.pop("python")
    print(json.dumps({"python": round(bare, 4), **{n: round(v, 4) for n, v in middle.items()},
                      "import_vs_python": round(middle["import"] / bare, 2)}))  # fmt: skip


if __name__ == "__main__":
    main()
