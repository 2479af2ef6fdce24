"""Clinical tables of nobody, and how they are read."""

import csv
import io
import random

from pathosig.core.study import Study
from pathosig.core.table_files import read_table
from pathosig.intake import init

_DRAW = random.Random(7)
N = 24
IDS = [f"P{k:03d}" for k in range(1, N + 1)]
DAYS = [_DRAW.randint(30, 2400) for _ in IDS]
MONTHS = [round(d / 30.4, 1) for d in DAYS]
DEAD = [k % 3 == 0 for k in range(N)]


def text_table(columns, separator=","):
    """CSV text of {name: values}."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return out.getvalue()


def write(folder, content, name="clinical.csv"):
    """A file of text, bytes or columns."""
    path = folder / name
    content = text_table(content) if isinstance(content, dict) else content
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def workbook(folder, rows, change=None, name="clinical.xlsx"):
    """An Excel file of rows; `change` may format or merge."""
    import openpyxl

    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(list(row))
    if change is not None:
        change(book, book.active)
    book.save(folder / name)
    return folder / name


def cells(path, **options):
    """Columns of a table as text."""
    return read_table(path, **options).cells


def made_study(folder, content, name="clinical.csv", **flags):
    """A study of a table without slides."""
    path = content if hasattr(content, "suffix") else write(folder, content, name)
    init(folder / "study", clinical=path, **flags)
    return Study.open(folder / "study")


def outcome(study, endpoint=None):
    """Patient -> (time, event)."""
    frame = study.survival(endpoint or study.primary.endpoint)
    return {
        p: (float(t), bool(e))
        for p, t, e in zip(frame["patient_id"], frame["time"], frame["event"], strict=True)
    }


def truth(times):
    """What the outcome has to be."""
    return {i: (float(t), d) for i, t, d in zip(IDS, times, DEAD, strict=True)}
