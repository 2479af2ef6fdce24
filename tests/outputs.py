"""What two runs of the same study must have in common."""

import json


def outputs_of(root):
    """Every file by its name, as bytes; without logs/, and records without their `run` block, which may differ."""
    files = {}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if not path.is_file() or name.startswith("logs/"):
            continue
        files[name] = path.read_bytes()
        if name.startswith("records/") and name.endswith(".json"):
            record = json.loads(files[name])
            record.pop("run")
            files[name] = json.dumps(record, sort_keys=True).encode()
    return files
