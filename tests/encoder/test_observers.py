"""What looks on while an encoder is trained gets every epoch, and a resumed training leaves no epoch twice."""

import json
import warnings

import pytest

from pathosig.encoder.training.observers import JsonLines, TensorBoard, observer_in

LINES = [
    {"epoch": float(e), "total": 3.0 - e, "held_out": 2.0 / e, "tiles_per_s": float("nan")} for e in (1, 2, 3)
]


def test_json_lines_hold_one_object_an_epoch(tmp_path):
    observer = JsonLines(tmp_path / "curves")
    for line in LINES:
        observer.epoch(line)
    observer.close()
    rows = [json.loads(text) for text in observer.path.read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[2]["total"] == 0
    assert rows[0]["tiles_per_s"] is None


def test_epochs_that_were_lost_are_written_over(tmp_path):
    for line in LINES:
        JsonLines(tmp_path).epoch(line)
    JsonLines(tmp_path).epoch({**LINES[1], "total": 9.0})
    rows = [json.loads(text) for text in (tmp_path / "epochs.jsonl").read_text().splitlines()]
    assert [(row["epoch"], row["total"]) for row in rows] == [(1, 2.0), (2, 9.0)]


def test_tensorboard_reads_what_was_written(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TensorBoard's own libraries
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        observer = observer_in(tmp_path)
        assert isinstance(observer, TensorBoard)
        for line in LINES:
            observer.epoch(line)
        observer.close()
        events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == {"total", "held_out", "tiles_per_s"}
    assert [(e.step, e.value) for e in events.Scalars("total")] == [(1, 2.0), (2, 1.0), (3, 0.0)]


def test_without_tensorboard_lines_of_json_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert isinstance(observer_in(tmp_path), JsonLines)
