"""`pathosig init` inspects slides and a clinical table, proposes how to read them, and writes the inputs of a study."""

from __future__ import annotations

import glob as globbing
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pathosig.core.errors import ConfigError, InputError, PathosigError
from pathosig.core.grids import SheetsError, Table
from pathosig.core.names import in_utf8
from pathosig.core.remote import matching, path_of, shown, url_of
from pathosig.core.study import Study
from pathosig.core.table_files import read_table
from pathosig.core.tables import write_csv_rows
from pathosig.core.words import counted
from pathosig.intake import asking
from pathosig.intake.choices import (
    KEPT_KINDS,
    Choices,
    Option,
    Question,
    by_endpoint,
    codings,
    names,
    units,
)
from pathosig.intake.ids import SlideMatches
from pathosig.intake.init_report import InitReport, report_on
from pathosig.intake.patient_ids import find_patient_ids, numbered_rows
from pathosig.intake.proposal import Proposal, patient_rows, propose
from pathosig.intake.pseudonyms import Pseudonyms, columns_in_use, link_slide
from pathosig.intake.slide_matching import matches
from pathosig.intake.study_toml import study_toml
from pathosig.slides.listing import slide_name, slides_among, slides_below
from pathosig.tma.maps import read_tma_map


def init(
    directory: Path,
    *,
    clinical: Path,
    slides: str | None = None,
    patient_column: str | None = None,
    slide_column: str | None = None,
    patient_pattern: str | None = None,
    cohort_column: str | None = None,
    discovery: str | None = None,
    time: Sequence[str] = (),
    event: Sequence[str] = (),
    event_values: Sequence[str] = (),
    unit: Sequence[str] = (),
    start: Sequence[str] = (),
    covariates: Sequence[str] | None = None,
    treatment: Sequence[str] | None = None,
    missing: Sequence[str] = (),
    decimal: str | None = None,
    dates: str | None = None,
    sheet: str | None = None,
    header_row: int | None = None,
    include: Sequence[str] = (),
    mpp: float | None = None,
    kind: Literal["wsi", "core"] = "wsi",
    tma_map: Path | None = None,
    pseudonymize: Path | None = None,
    dry_run: bool = False,
) -> InitReport:
    """Make a study folder from slides and a clinical table, and show how both are read.

    If the table can be read in two ways, the command asks on a terminal; without a terminal it stops and names the flags to give.

    Parameters
    ----------
    directory
        The study folder to make.
    clinical
        CSV, TSV or Excel table of patients.
    slides
        Folder with the slides, or a quoted glob of slide files, or of folders that are one slide each (DICOM, OME-Zarr):
        "/data/slides/*.svs" or "s3://bucket/slides/*.svs".
        Without slides the study starts from a table of features (pathosig profiles DIR --features TABLE).
    patient_column
        Column with patient ids.
    slide_column
        Column with the names of the slides, if these do not begin with a patient id.
    patient_pattern
        Regular expression that finds the patient id in the name or path of a slide: its first group, or else the whole match.
    cohort_column
        Column with cohorts; "none" for a single cohort, which is validated by cross-validation.
    discovery
        The cohort that models are fitted on.
    time
        Column with the time of an endpoint: os=COLUMN. May be repeated.
    event
        Column with the event of an endpoint: os=COLUMN. May be repeated.
    event_values
        Coding of an event column, where 1 means that the event happened: os:Dead=1,Alive=0. May be repeated.
    unit
        days, weeks, months or years, for all endpoints or for one (os=months), if the column names do not state it.
    start
        Date that the time of an endpoint counts from: os=COLUMN. Its event and last contact are then dates too.
    covariates
        Columns that models adjust for, instead of those with usual names. Separate them by commas, or repeat the flag.
    treatment
        Columns with treatment arms.
    missing
        A value that means missing in this table, such as -9 (write --missing=-9). May be repeated.
    decimal
        point or comma, if numbers such as 2,361 can be read in two ways.
    dates
        dmy or mdy, if dates such as 03/04/2015 can be read in two ways.
    sheet
        Sheet of an Excel file.
    header_row
        Row with the column names, counted from 1.
    include
        Kinds of TCGA slides to keep that are left out by default: normal, frozen.
    mpp
        Micrometres per pixel for slides whose header has no value, or an impossible one.
    kind
        wsi, or core if each image shows one microarray core; several cores may belong to one patient.
    tma_map
        CSV or Excel file that assigns the cores of microarrays to patients. It has the columns tma, row, column and patient_id,
        or one sheet per array, named like its slide and laid out like the array: column numbers, row letters, patients in the
        cells. The slides are then microarrays.
    pseudonymize
        File with a key, which is made if it does not exist. Patients and slides get ids derived with it, slides are reached
        through links with these names, and columns that the study does not use are left out. The table of ids and pseudonyms
        is written beside the key.
    dry_run
        Show how everything would be read, and write nothing.

    Returns
    -------
    InitReport
        How the table and the slides were read.

    Raises
    ------
    ConfigError
        If the folder holds a study already, no slide matches the glob, or a flag is wrong or contradicts the table.
    InputError
        If the table cannot be read, can be read in two ways and nobody can be asked, or its ids match no slide.
    """
    if tma_map is not None and slides is None:
        raise ConfigError("--tma-map needs --slides, the microarrays that it describes.")
    if tma_map is not None and pseudonymize is not None:
        raise ConfigError(
            "--pseudonymize and --tma-map do not go together: pseudonymise the map and the table first."
        )
    stems, unnamed = _stems(_found(slides)) if slides is not None else ({}, ())
    choices = _choices(
        patient_column=patient_column,
        slide_column=slide_column,
        patient_pattern=patient_pattern,
        cohort_column=cohort_column,
        discovery=discovery,
        time=by_endpoint("--time", time),
        event=by_endpoint("--event", event),
        start=by_endpoint("--start", start),
        event_values=codings(event_values),
        unit=units([unit] if isinstance(unit, str) else unit),
        covariates=covariates,
        treatments=treatment,
        missing=tuple(missing),
        decimal=decimal,
        dates=dates,
        sheet=sheet,
        header_row=header_row,
        include=tuple(include),
    )
    if not dry_run and (directory / "study.toml").exists():
        raise ConfigError(f"{directory}: the folder has a study.toml already. Choose another folder.")
    clinical = Path(clinical)
    answers: tuple[str, ...] = ()
    while True:
        questions, proposal, matched = _read(clinical, choices, {} if tma_map is not None else stems)
        if not questions:
            break
        if not asking.is_terminal():
            raise asking.refusal(questions)
        choices, flags = asking.ask(questions, choices)
        answers = (*answers, *flags)
    assert proposal is not None  # noqa: S101 - there is one whenever no question is open
    mapped = None
    if tma_map is not None:
        mapped = read_tma_map(Path(tma_map), stems.keys(), [i for i in proposal.table.ids if i])
        matched = SlideMatches(patients=dict.fromkeys(stems, ""), how=f"microarrays: {mapped.sentence}")
    report = report_on(directory, proposal, matched, answers, is_trial=dry_run, unnamed=unnamed)
    if mapped is not None:
        lacking = {i for i in proposal.table.ids if i} - {str(row["patient_id"]) for row in mapped.rows}
        report = replace(report, patients_without_slides=tuple(sorted(lacking)))
    if not dry_run:
        hidden = Pseudonyms(pseudonymize, directory) if pseudonymize is not None else None
        _write(directory, proposal, stems, matched, mpp, hidden, kind="tma" if mapped else kind)
        if mapped is not None:
            write_csv_rows(directory / "tma_map.csv", mapped.rows, ("tma", "row", "column", "patient_id"))
    return report


def _choices(**given: Any) -> Choices:
    if given["decimal"] not in (None, "point", "comma"):
        raise ConfigError(f"--decimal {given['decimal']!r}: expected point or comma.")
    if given["dates"] not in (None, "dmy", "mdy"):
        raise ConfigError(f"--dates {given['dates']!r}: expected dmy or mdy.")
    wrong = [k for k in given["include"] if k not in KEPT_KINDS]
    if wrong:
        raise ConfigError(f"--include {wrong[0]!r}: expected one of {', '.join(KEPT_KINDS)}.")
    for name in ("covariates", "treatments"):
        value = given[name]
        given[name] = None if value is None else tuple([value] if isinstance(value, str) else value)
    return Choices(**given)


def _found(slides: str) -> list[Path]:
    folder = Path(slides).expanduser()
    if not url_of(slides) and folder.is_dir():
        paths = slides_below(folder)
        if not paths:
            raise ConfigError(f"--slides {slides!r}: there is no slide in this folder or below it.")
        return paths
    if url_of(slides):
        fitting = _in_the_cloud(slides)
    else:
        fitting = [Path(p) for p in globbing.glob(str(folder), recursive=True)]  # noqa: PTH207 - a glob with a root
    paths = slides_among(fitting)
    if not paths:
        raise ConfigError(f"--slides {slides!r}: no slide matches. Quote the glob and check the folder.")
    return paths


def _in_the_cloud(slides: str) -> list[Path]:
    try:
        return matching(slides)
    except OSError as error:
        raise ConfigError(f"--slides {slides!r}: {error.strerror or error}.", code="E_NOT_FILE") from error


def _stems(paths: Sequence[Path]) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Name of each slide -> its path, and the files whose paths are not UTF-8, which no table can hold."""
    out: dict[str, Path] = {}
    texts = {path: in_utf8(path) for path in paths}
    unnamed = tuple(Path(text).name for path, text in texts.items() if text != str(path))
    if len(unnamed) == len(paths):
        raise ConfigError(f"--slides: the path {texts[paths[0]]} is not UTF-8. Rename it.")
    for path in (path for path, text in texts.items() if text == str(path)):
        stem = slide_name(path)
        if stem in out:
            raise InputError(
                f"two slides are both called {stem!r}: {out[stem].name} in {out[stem].parent.name}/ and "
                f"{path.name} in {path.parent.name}/. Rename one.",
                code="E_DUP_ID",
            )
        out[stem] = path
    return out, unnamed


# -- reading ----------------------------------------------------------------------------------


def _read(
    clinical: Path, choices: Choices, stems: Mapping[str, Path]
) -> tuple[Sequence[Question], Proposal | None, SlideMatches | None]:
    """Read the table under these choices: the open questions, the proposal, and the slides with their patients."""
    try:
        table = read_table(clinical, sheet=choices.sheet, header_row=choices.header_row)
    except SheetsError as error:
        return [_which_sheet(clinical, error, choices, stems)], None, None
    ids = find_patient_ids(table, choices, list(stems))
    if isinstance(ids, Question):
        return [ids, *_questions_besides(table, choices)], None, None
    choices = replace(
        choices,
        covariates=names(choices.covariates, table.columns),
        treatments=names(choices.treatments, table.columns),
    )
    proposal = propose(table, ids, choices)
    matched = matches(table, ids, choices, stems) if stems else None
    return proposal.questions, proposal, matched


def _questions_besides(table: Table, choices: Choices) -> Sequence[Question]:
    """Questions that can be asked before the patient ids are settled, so that one command can answer them all."""
    try:
        return propose(table, numbered_rows(table), choices).questions
    except PathosigError:
        return ()


def _which_sheet(clinical: Path, error: SheetsError, choices: Choices, stems: Mapping[str, Path]) -> Question:
    """The question for the sheet; each option has the other flags that its sheet needs, so that one command is enough."""
    options = []
    for name in error.names:
        flags = ["--sheet", name]
        try:
            questions, proposal, _ = _read(clinical, replace(choices, sheet=name), stems)
        except PathosigError as reason:
            options.append(Option(label=f"would be refused: {str(reason)[:100]}", flags=tuple(flags)))
            continue
        flags += [f for q in questions if q.options for f in q.options[0].flags]
        if proposal is None or any(q.code == "E_ENDPOINT" for q in questions):
            options.append(Option(label="no patient or outcome columns in it", flags=("--sheet", name)))
        else:
            label = f"{counted(len(proposal.table), 'patient')}, {', '.join(e.name for e in proposal.endpoints) or 'outcome undecided'}"
            options.append(Option(label=label, flags=tuple(flags)))
    return Question(code="E_SHEET", text=str(error), options=tuple(options))


# -- writing ----------------------------------------------------------------------------------


def _write(
    directory: Path,
    proposal: Proposal,
    stems: Mapping[str, Path],
    matched: SlideMatches | None,
    mpp: float | None,
    hidden: Pseudonyms | None,
    *,
    kind: str,
) -> None:
    text = study_toml(proposal, level="features" if matched is None else None)
    rows, columns = patient_rows(proposal)
    root = Path(directory).expanduser().resolve()
    slide_rows = _slide_rows(root, stems, matched, mpp) if matched is not None else []
    if hidden is not None:
        columns = columns_in_use(text, columns)
        _hide(rows, slide_rows, root, hidden)
    study = Study.create(directory, text)
    if matched is not None:
        columns_of_slides = ("slide_id", "patient_id", "path", "mpp", *(("kind",) if kind != "wsi" else ()))
        write_csv_rows(study.paths.slides, [{**row, "kind": kind} for row in slide_rows], columns_of_slides)
    write_csv_rows(study.paths.patients, rows, columns)
    if hidden is not None:
        hidden.write_table()


def _hide(
    rows: list[dict[str, object]], slide_rows: list[dict[str, object]], root: Path, hidden: Pseudonyms
) -> None:
    """Replace ids by pseudonyms, and sort by these, so that the order reveals nothing either."""
    for row in slide_rows:
        name = hidden.of("slide", str(row["slide_id"]))
        path = link_slide(root, name, path_of(str(row["path"]), root))
        row |= {
            "slide_id": name,
            "patient_id": hidden.of("patient", str(row["patient_id"])),
            "path": _written(path, root),
        }
    for row in rows:
        row["patient_id"] = hidden.of("patient", str(row["patient_id"]))
    rows.sort(key=lambda row: str(row["patient_id"]))
    slide_rows.sort(key=lambda row: str(row["slide_id"]))


def _slide_rows(
    root: Path, stems: Mapping[str, Path], matched: SlideMatches, mpp: float | None
) -> list[dict[str, object]]:
    gone = {s for group in matched.left_out.values() for s in group}
    rows: list[dict[str, object]] = []
    for stem, path in stems.items():
        if matched.patients[stem] is None or stem in gone:
            continue
        slide_mpp = mpp if mpp is not None and _lacks_mpp(path) else None
        rows.append(
            {
                "slide_id": stem,
                "patient_id": matched.patients[stem],
                "path": _written(path, root),
                "mpp": slide_mpp,
            }
        )
    return rows


def _written(path: Path, root: Path) -> str:
    """A slide's path for slides.csv, relative if the slide lies in the study folder."""
    absolute = path if url_of(path) else path.absolute()
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else shown(path)


def _lacks_mpp(path: Path) -> bool:
    """Whether a slide's header has no mpp or an impossible one; slides.csv must not override a good value."""
    from pathosig.slides import open_slide

    try:
        with open_slide(path) as reader:
            return reader.info.mpp is None
    except PathosigError as error:  # `pathosig check` reports its other problems
        return error.code == "E_MPP_RANGE"
    except Exception:  # `pathosig check` reports a reader that fails in any other way
        return False
