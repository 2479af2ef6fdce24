"""Each extra in the environment of the base wheel: one sentence while it is absent, and work once it is installed."""

import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ENVIRONMENT, WHEEL = Path(sys.argv[1]), Path(sys.argv[2])


def pathosig(*arguments: object, expect: int = 0) -> str:
    """Run the command of the environment; its standard error."""
    command = [str(ENVIRONMENT / "bin" / "pathosig"), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != expect:
        sys.exit(f"{' '.join(command[1:])}: exit {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result.stderr


def absent(extra: str, *arguments: object) -> None:
    """Stop unless the command names the extra and the line that installs it."""
    message = pathosig(*arguments, expect=2)
    if f'pip install "pathosig[{extra}]"' not in message or "Traceback" in message:
        sys.exit(f"the absent extra {extra} is not explained: {message}")
    print(message.strip(), flush=True)


def install(extra: str) -> None:
    """Install one extra into the environment, from the wheel."""
    python = str(ENVIRONMENT / "bin" / "python")
    command = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--disable-pip-version-check",
        "-c",
        "constraints.txt",
    ]
    subprocess.run([*command, f"{WHEEL}[{extra}]"], check=True)


def view(study: Path) -> None:
    """Open the first page of the viewer."""
    command = [str(ENVIRONMENT / "bin" / "pathosig"), "view", str(study), "--read-only"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            address = next(
                m[0] for line in server.stderr if (m := re.search(r"http://127\.0\.0\.1:\S+", line))
            )
            for _ in range(50):
                try:
                    page = urllib.request.urlopen(address, timeout=5).read()
                    break
                except OSError:
                    time.sleep(0.1)
            if b"pathosig" not in page:
                sys.exit("the viewer gave an empty page")
        finally:
            server.terminate()


def main() -> None:
    """Paint slides, cut them into tiles, look at them, spread a stage over Dask; torch is left to the other environment."""
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "painted"
        small = ("simulate", study, "--n-discovery", 4, "--n-validation", 2, "--tiles-per-patient", 12)
        absent("slides", *small)
        install("slides")
        pathosig(*small)
        pathosig("tissue", study)
        absent("dask", "tiles", study, "--dask", "local:1")
        install("dask")
        pathosig("tiles", study, "--dask", "local:1")
        absent("embed", "embed", study)
        absent("viewer", "view", study)
        install("viewer")
        view(study)


if __name__ == "__main__":
    main()
