"""A cohort with planted truth, from tile features to a validated signature, and how much of the truth was found."""

import tempfile
from pathlib import Path

from pathosig import Study, run_all, simulate
from pathosig.synthetic import SimulateSpec, compare_truth


def main() -> None:
    """Simulate, run, compare."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "study"
        spec = SimulateSpec(
            level="embeddings",
            n_discovery=80,
            n_validation=40,
            types=4,
            tiles_per_patient=80,
            harm=1.0,
            protect=-1.0,
        )
        print(simulate(root, spec).to_text().splitlines()[0])
        config = root / "study.toml"
        config.write_text(config.read_text() + "\n[phenotypes]\nk = 12\nruns = 8\n")
        study = Study.open(root)
        print(run_all(study, until="validate").to_text())
        print(compare_truth(study).to_text())


if __name__ == "__main__":  # workers are spawned: they import this file
    main()
