"""The tissue stage: one GeoJSON per slide; the user's edit takes precedence."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathosig.core.errors import InputError, PathosigWarning, SlideError
from pathosig.core.execution import run_each
from pathosig.core.fingerprints import identity
from pathosig.core.records import sha256_file, write_text
from pathosig.core.units import Execution, Job, Outcome, Stage, StageReport, Unit
from pathosig.tissue.spec import TissueSpec

if TYPE_CHECKING:  # workers do without
    from pathosig.core.study import Specimen, Study

STAGE = Stage(name="tissue", version=3)
_OVERVIEW_SIDE = 5000
_MIN_OVERVIEW_SIDE = 400


def find_tissue(
    study: Study,
    spec: TissueSpec | None = None,
    *,
    execution: Execution = Execution(),
) -> StageReport:
    """Find tissue on every slide and write polygons that QuPath opens.

    A file ``tissue/edited/<slide>.geojson`` is taken instead of the automatic mask.

    Returns
    -------
    StageReport
        Slides without tissue are ``empty``; unreadable ones are ``failed``.

    Raises
    ------
    InputError
        If the study has no slides.
    """
    spec = spec or study.spec(TissueSpec)
    specimens = study.specimens()
    if not specimens:
        raise InputError(
            "slides.csv: no slides. It needs the columns slide_id, patient_id, path; `pathosig init` writes one."
        )
    units = [_unit(study, specimen) for specimen in specimens]
    report = run_each(study, STAGE, spec, units, _one, execution=execution)
    _warn_of_glass(study, [specimen.id for specimen in specimens])
    return report


def _warn_of_glass(study: Study, units: Sequence[str]) -> None:
    """Name slides whose bare glass has another tint than that of most: another scanner, stain or colour profile, or wrong colours."""
    colours: dict[str, tuple[int, int, int]] = {}
    profiles: Counter[str] = Counter()
    for unit in units:
        record = study.record(STAGE.name, unit)
        if record is not None and "icc" in record.summary:
            profiles[str(record.summary["icc"] or "none")] += 1
        glass = list(record.summary.get("glass") or ()) if record is not None else []
        if len(glass) == 3:
            colours[unit] = (int(glass[0]), int(glass[1]), int(glass[2]))
    if len(profiles) > 1:
        said = ", ".join(f"{name} ({n})" for name, n in profiles.most_common(5))
        warnings.warn(
            PathosigWarning(
                f'the slides have different ICC profiles: {said}. [tiles] icc = "srgb" turns their colours into those of one.',
                code="W_ICC",
            ),
            stacklevel=3,
        )
    if len(colours) < 2:
        return
    from pathosig.tissue.glass import disagreeing

    apart = disagreeing(colours)
    if apart:
        shown = ", ".join(f"{unit} {colours[unit]}" for unit in apart[:5])
        warnings.warn(
            PathosigWarning(
                f"the bare glass of {len(apart)} of {len(colours)} slides has another tint (red, green, blue) than that of the rest: "
                f"{shown}. Look at their colours; slides of several scanners or colour profiles may need [tiles] icc or [stain].",
                code="W_BACKGROUND",
            ),
            stacklevel=3,
        )


def _unit(study: Study, specimen: Specimen) -> Unit:
    output = study.paths.tissue(specimen.id)
    edited = study.paths.edited_tissue(specimen.id)
    inputs: dict[str, Any] = {}
    if edited.is_file():
        inputs["edited"] = identity(edited)
    record = study.record("tissue", specimen.id)
    relative = output.relative_to(study.root).as_posix()
    in_place = record is not None and relative in record.damaged_outputs(study.root) and output.is_file()
    if in_place:
        inputs["edited_in_place"] = sha256_file(output)
    payload = {
        "path": str(specimen.path),
        "mpp": specimen.mpp,
        "region": specimen.region,
        "output": relative,
        "edited": edited.relative_to(study.root).as_posix() if edited.is_file() else None,
        "in_place": in_place,
    }
    return Unit(id=specimen.id, inputs=inputs, payload=payload, slide=specimen.as_input())


def _one(job: Job) -> Outcome:
    from pathosig.slides import open_slide, read_overview
    from pathosig.slides.icc import profile_name
    from pathosig.slides.opening import icc_profile
    from pathosig.tissue.glass import glass_colour, glass_warning
    from pathosig.tissue.mask import tissue_mask
    from pathosig.tissue.polygons import area_px, mask_to_polygons, read_polygons, to_geojson

    payload, spec = job.payload, job.spec
    if payload["in_place"]:
        name = Path(payload["output"]).name
        raise SlideError(
            f"slide {job.unit}: {payload['output']} was changed by hand. To use your version: "
            f"mkdir -p tissue/edited && mv {payload['output']} tissue/edited/{name}; to drop it: delete the file. "
            "Then run again.",
            code="E_EDITED",
        )
    path = Path(payload["path"])
    before = _stamp(path)
    with open_slide(path, mpp=payload["mpp"], region=payload["region"]) as reader:
        info = reader.info
        if info.mpp is None:
            raise SlideError(
                f"slide {job.unit} ({path.name}): no mpp in its header. Give it in the mpp column of slides.csv, "
                "or drop the slide.",
                code="E_MPP",
            )
        findings = list(info.warnings)
        glass: tuple[int, int, int] | None = None
        profile = profile_name(icc_profile(reader))
        if payload["edited"]:
            polygons = read_polygons(job.root / payload["edited"])
        else:
            # small or coarse slides are looked at as finely as they allow
            side = max(info.level_sizes[0])
            mpp = max(info.mpp, min(spec.mpp, info.mpp * side / _MIN_OVERVIEW_SIDE))
            overview, downsample = read_overview(reader, mpp=mpp, max_side=_OVERVIEW_SIDE)
            glass = glass_colour(overview)
            if (tint := glass_warning(glass)) is not None:
                findings.append(tint)
            mask = tissue_mask(overview, spec, mpp=info.mpp * downsample)
            polygons = mask_to_polygons(mask, downsample)
    if _stamp(path) != before:
        raise SlideError(
            f"slide {job.unit}: the file changed while it was read. Run again.", code="E_CHANGED"
        )
    area = sum(area_px(p) for p in polygons)
    width, height = info.level_sizes[0]
    share = area / (width * height)
    if share > 0.95 and not payload["edited"]:
        findings.append(f"tissue covers {share:.0%} of the slide; look at it")
    write_text(job.root / payload["output"], to_geojson(polygons, info.mpp))
    summary = {
        "area_um2": round(area * info.mpp**2, 1),
        "share": round(share, 6),
        "pieces": len(polygons),
        "mpp": info.mpp,
        "mpp_source": info.mpp_source,
        "vendor": info.vendor,
        "size": [width, height],
        "edited": bool(payload["edited"]),
        "icc": profile,
        "glass": None if glass is None else list(glass),
    }
    if not polygons:
        findings.append(
            f"{payload['edited']} holds no polygon; draw the tissue, or delete the file"
            if payload["edited"]
            else "no tissue found; a white, black or very pale slide, or pieces under [tissue] min_area_um2. "
            "Lower [tissue] min_density or that, or draw it"
        )
    return Outcome(
        outputs=(payload["output"],),
        status="ok" if polygons else "empty",
        warnings=tuple(findings),
        summary=summary,
    )


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return (0, 0)
    return (stat.st_size, stat.st_mtime_ns)
