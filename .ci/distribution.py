"""What is published: sdist and wheel hold every file of the package and nothing else, and build with and without a compiler."""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = "src/pathosig/"
KERNEL = "pathosig/slides/_resample."


def tracked() -> set[str]:
    """Files of the package that the repository holds, from the folder above pathosig."""
    listing = subprocess.run(
        ["git", "ls-files", PACKAGE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {name.removeprefix("src/") for name in listing.stdout.splitlines()}


def complain(what: str, names: set[str]) -> None:
    """Stop when there is something to complain about."""
    if names:
        sys.exit(f"{what}: {', '.join(sorted(names)[:8])}{' ...' if len(names) > 8 else ''}")


def check_sdist(path: Path, files: set[str]) -> None:
    """Stop unless the sdist holds the package, its C source and what a packager needs."""
    with tarfile.open(path) as archive:
        names = {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}
    wanted = {f"src/{name}" for name in files} | {
        "LICENSE",
        "NOTICE",
        "README.md",
        "CHANGELOG.md",
        "pyproject.toml",
    }
    complain("the sdist lacks", wanted - names)
    complain(
        "the sdist holds tests or compiled files",
        {n for n in names if n.startswith("tests/") or n.endswith((".so", ".pyc"))},
    )


def check_wheel(path: Path, files: set[str], *, kernel: bool) -> None:
    """Stop unless the wheel holds the package alone, with its compiled kernel or without."""
    names = {n for n in zipfile.ZipFile(path).namelist() if ".dist-info/" not in n}
    compiled = {n for n in names if n.startswith(KERNEL) and n.endswith((".so", ".pyd"))}
    complain("the wheel lacks", {n for n in files if not n.endswith(".c")} - names)
    complain("the wheel holds more than the package", names - files - compiled)
    if bool(compiled) != kernel:
        sys.exit(f"{path.name}: {'no compiled kernel' if kernel else 'a compiled kernel without a compiler'}")


def build_without_compiler(sdist: Path, folder: Path) -> Path:
    """Build a wheel of the sdist as on a machine whose compiler fails."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    command = [
        sys.executable,
        "-m",
        "build",
        "--quiet",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(source),
    ]
    result = subprocess.run(
        command, env={**os.environ, "CC": "false"}, capture_output=True, text=True, check=False
    )
    if result.returncode:
        sys.exit(f"no wheel without a compiler:\n{result.stdout}\n{result.stderr}")
    return next(folder.glob("*.whl"))


def main() -> None:
    """Check the sdist and the wheel in the folder given."""
    folder = Path(sys.argv[1])
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    files = tracked()
    check_sdist(sdist, files)
    check_wheel(wheel, files, kernel=shutil.which("cc") is not None)
    with tempfile.TemporaryDirectory() as other:
        check_wheel(build_without_compiler(sdist, Path(other)), files, kernel=False)
    print(
        f"{sdist.name} and {wheel.name}: {len(files)} files of the package, and a wheel without a compiler too"
    )


if __name__ == "__main__":
    main()
