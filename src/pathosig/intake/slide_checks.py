"""Opens slides to read their headers, and counts the patients who are lost with slides that cannot be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pathosig.core.errors import PathosigError
from pathosig.core.study import Specimen, Study
from pathosig.core.tables import read_csv_rows

_MOST_LOST = 0.5
"""Proportion of a cohort's patients with slides; if more are lost, the rest no longer represents the cohort."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SlideCheck:
    """One slide that was opened.

    Attributes
    ----------
    slide_id
        Its id in slides.csv.
    mpp, mpp_source
        Micrometres per pixel, and where the value comes from: given or header.
    size
        (width, height) in level-0 pixels.
    vendor
        Vendor of the scanner.
    warnings
        What its reader found unusual.
    code, message
        Why it cannot be used; "" if it can.
    """

    slide_id: str
    mpp: float | None = None
    mpp_source: str = ""
    size: tuple[int, ...] = ()
    vendor: str = ""
    warnings: tuple[str, ...] = ()
    code: str = ""
    message: str = ""

    @property
    def is_readable(self) -> bool:
        """Whether the slide can be used."""
        return not self.code

    def to_dict(self) -> dict[str, object]:
        """For ``--json``."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {"status": "ok" if self.is_readable else "failed", **fields}


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """Patients of a cohort none of whose slides can be read.

    Attributes
    ----------
    cohort
        The cohort.
    lost, patients
        Number of such patients, and of all patients of the cohort with slides.
    codes
        Code -> number of their slides that failed with it.
    """

    cohort: str
    lost: int
    patients: int
    codes: dict[str, int]

    @property
    def is_fatal(self) -> bool:
        """Whether more than half of the cohort is lost."""
        return self.lost > _MOST_LOST * self.patients

    def to_text(self) -> str:
        """One line that begins with its code."""
        reasons = ", ".join(f"{name} {n}" for name, n in sorted(self.codes.items()))
        text = f"cohort {self.cohort!r}: {self.lost} of {self.patients} patients {'has' if self.lost == 1 else 'have'} no slide that can be read ({reasons})"
        if self.is_fatal:
            return f"E_SLIDES_LOST {text}, more than half. Repair these slides, or take the patients out of patients.csv."
        return f"W_SLIDES_LOST {text} and would be left out."


def losses(study: Study, slides: Sequence[SlideCheck]) -> list[Loss]:
    """Cohorts that lose patients because slides cannot be read, in alphabetical order.

    The patients of a microarray are those in tma_map.csv.

    Parameters
    ----------
    study
        An open study.
    slides
        Its slides, as `check_slide` found them.
    """
    codes = {slide.slide_id: slide.code for slide in slides}
    cohorts = dict(zip(*(study.patients()[name] for name in ("patient_id", "cohort")), strict=True))
    of_patient: dict[str, list[str]] = {}
    for patient, slide_id in _pairs(study):
        if cohorts.get(patient) and slide_id in codes:
            of_patient.setdefault(patient, []).append(codes[slide_id])
    patients = Counter(cohorts[patient] for patient in of_patient)
    out = []
    for cohort in sorted(patients):
        lost = [c for p, c in of_patient.items() if cohorts[p] == cohort and all(c)]
        if lost:
            reasons = Counter(code for each in lost for code in each)
            out.append(Loss(cohort=cohort, lost=len(lost), patients=patients[cohort], codes=dict(reasons)))
    return out


def patients_of_arrays(study: Study) -> set[str]:
    """Patients who have a core, by tma_map.csv, on a microarray of slides.csv."""
    return {patient for patient, _ in _places(study)} - {""}


def _places(study: Study) -> list[tuple[str, str]]:
    """(patient, microarray) for every row of tma_map.csv whose microarray is in slides.csv."""
    table = study.paths.tma_map
    arrays = {s.id for s in study.slides() if s.kind == "tma"}
    rows = read_csv_rows(table) if table.is_file() else []
    return [(row.get("patient_id", ""), row.get("tma", "")) for row in rows if row.get("tma") in arrays]


def _pairs(study: Study) -> list[tuple[str, str]]:
    """(patient, slide) for every slide, and for every core of a microarray."""
    return [(s.patient_id, s.id) for s in study.slides()] + _places(study)


def check_slide(specimen: Specimen) -> SlideCheck:
    """Open a slide and read its header; an error of its reader becomes a problem of this slide alone."""
    from pathosig.slides import open_slide

    name = specimen.id
    try:
        with open_slide(specimen.path, mpp=specimen.mpp) as reader:
            info = reader.info
            row = SlideCheck(
                slide_id=name,
                mpp=info.mpp,
                mpp_source=str(info.mpp_source),
                size=tuple(info.level_sizes[0]),
                vendor=str(info.vendor),
                warnings=tuple(info.warnings),
            )
    except PathosigError as error:
        return SlideCheck(slide_id=name, code=error.code, message=f"slide {name}: {error}")
    except OSError as error:
        return SlideCheck(
            slide_id=name, code="E_NOT_FILE", message=f"slide {name}: {error.strerror or error}."
        )
    except Exception as error:  # a reader may fail with anything on a damaged file
        text = f"slide {name}: its reader failed ({type(error).__name__}: {str(error)[:120]}). Convert or drop the slide."
        return SlideCheck(slide_id=name, code="E_FORMAT", message=text)
    if row.mpp is None:
        message = f"slide {name}: no mpp in its header. Give it in the mpp column of slides.csv."
        return SlideCheck(slide_id=name, code="E_MPP", message=message, warnings=row.warnings)
    return row
