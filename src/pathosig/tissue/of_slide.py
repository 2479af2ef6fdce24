"""Detects and writes the tissue of one slide; this is the task of a worker."""

from __future__ import annotations

from pathlib import Path

from pathosig.core.errors import SlideError
from pathosig.core.fingerprints import input_bytes
from pathosig.core.records import write_text
from pathosig.core.units import Job, Outcome
from pathosig.slides.backends.bounds import check_tissue
from pathosig.slides.icc import profile_name
from pathosig.slides.opening import icc_profile, open_slide
from pathosig.slides.reader import SlideInfo
from pathosig.slides.reading import read_overview
from pathosig.tissue.glass import glass_colour, glass_warning
from pathosig.tissue.mask import tissue_mask
from pathosig.tissue.polygons import area_px, mask_to_polygons, read_polygons, to_geojson

_OVERVIEW_SIDE = 5000
_MIN_OVERVIEW_SIDE = 400


def find_on_slide(job: Job) -> Outcome:
    """Write the tissue polygons of a slide: those of the user if there are any, otherwise those of the mask.

    Parameters
    ----------
    job
        The unit of work of one slide.

    Raises
    ------
    SlideError
        E_EDITED if the polygons were edited in the folder of results, E_MPP if the slide has no resolution, E_CHANGED if the
        slide changed while it was read, and the errors of opening and reading a slide.
    """
    payload, spec = job.payload, job.spec
    if payload["in_place"]:
        name = Path(payload["output"]).name
        raise SlideError(
            f"slide {job.unit}: {payload['output']} was edited by hand. To use your version: "
            f"mkdir -p tissue/edited && mv {payload['output']} tissue/edited/{name}; to discard it: delete the file. "
            "Then run again.",
            code="E_EDITED",
        )
    path = Path(payload["path"])
    before = _stamp(path)
    with open_slide(path, mpp=payload["mpp"], region=payload["region"], icc=payload["icc"]) as reader:
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
            overview, downsample = read_overview(
                reader, mpp=_overview_mpp(info, info.mpp, spec.mpp), max_side=_OVERVIEW_SIDE
            )
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
    if not payload["edited"]:
        check_tissue(area, input_bytes(path), path.name)
    width, height = info.level_sizes[0]
    share = area / (width * height)
    if share > 0.95 and not payload["edited"]:
        findings.append(f"tissue covers {share:.0%} of the slide; check its outline")
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
            f"{payload['edited']} has no polygon; draw the tissue, or delete the file"
            if payload["edited"]
            else "no tissue found: the slide is white, black or very pale, or its pieces are smaller than [tissue] min_area_um2. "
            "Lower [tissue] min_density or min_area_um2, or draw the tissue"
        )
    return Outcome(
        outputs=(payload["output"],),
        status="ok" if polygons else "empty",
        warnings=tuple(findings),
        summary=summary,
    )


def _overview_mpp(info: SlideInfo, mpp: float, wanted: float) -> float:
    """Micrometres per pixel at which tissue is detected: as wanted, but finer if the image would be too small.

    For a small image, such as that of a core, a stored level that is up to twice as coarse is used if there is one, because
    decoding the next finer level would take longer.
    """
    finest = mpp * max(info.level_sizes[0]) / _MIN_OVERVIEW_SIDE
    if finest >= wanted:
        return max(mpp, wanted)
    stored = (mpp * downsample for downsample in info.downsamples)
    return max(
        mpp, min([level for level in stored if finest <= level <= min(2 * finest, wanted)] or [finest])
    )


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return (0, 0)
    return (stat.st_size, stat.st_mtime_ns)
