"""Generated DICOM whole-slide series: one file per level, TILED_FULL, with JPEG frames."""

import io

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import UID, JPEGBaseline8Bit, generate_uid

WSI = UID("1.2.840.10008.5.1.4.1.1.77.1.6")
SIDE = 128


def write_series(folder, rgb, *, mpp=0.25, levels=(1, 2, 4), uids=None, label=True, quality=92):
    """Files level-0.dcm, level-1.dcm .. of one slide in `folder`, and its label; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    study, series, frame = uids or (generate_uid() for _ in range(3))
    images = [(f"level-{k}.dcm", rgb[::s, ::s], mpp * s, "VOLUME", s > 1) for k, s in enumerate(levels)]
    if label:
        images.append(("label.dcm", np.full((100, 120, 3), (255, 0, 0), np.uint8), 10.0, "LABEL", False))
    for number, (name, pixels, spacing, kind, resampled) in enumerate(images):
        found = _instance(pixels, spacing, kind, resampled, quality)
        found.StudyInstanceUID, found.SeriesInstanceUID, found.FrameOfReferenceUID = study, series, frame
        found.InstanceNumber = number + 1
        found.save_as(folder / name, enforce_file_format=True)
    return folder


def _instance(rgb, mpp, kind, resampled, quality):
    height, width = rgb.shape[:2]
    frames = []
    for y in range(0, height, SIDE):
        for x in range(0, width, SIDE):
            part = rgb[y : y + SIDE, x : x + SIDE]
            part = np.pad(part, [*((0, SIDE - n) for n in part.shape[:2]), (0, 0)], mode="edge")
            coded = io.BytesIO()
            Image.fromarray(part).save(coded, "JPEG", quality=quality, subsampling=0)
            frames.append(coded.getvalue())
    out = Dataset()
    out.file_meta = FileMetaDataset()
    out.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    out.file_meta.MediaStorageSOPClassUID = out.SOPClassUID = WSI
    out.file_meta.MediaStorageSOPInstanceUID = out.SOPInstanceUID = generate_uid()
    out.ImageType = ["DERIVED", "PRIMARY", kind, "RESAMPLED" if resampled else "NONE"]
    if kind == "VOLUME" and not resampled:
        out.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    out.Modality, out.PatientName, out.PatientID = "SM", "Nobody^Test", "P1"
    out.ReferencedSeriesSequence = Sequence([Dataset()])
    out.ReferencedSeriesSequence[
        0
    ].SeriesInstanceUID = "1.2.3.4.5"  # another series, which is not part of the slide
    out.DimensionOrganizationType = "TILED_FULL"
    out.SamplesPerPixel, out.PhotometricInterpretation, out.PlanarConfiguration = 3, "YBR_FULL_422", 0
    out.NumberOfFrames, out.Rows, out.Columns = len(frames), SIDE, SIDE
    out.BitsAllocated = out.BitsStored = 8
    out.HighBit, out.PixelRepresentation = 7, 0
    out.LossyImageCompression = "01"
    out.TotalPixelMatrixColumns, out.TotalPixelMatrixRows = width, height
    out.ImagedVolumeWidth, out.ImagedVolumeHeight = width * mpp / 1000, height * mpp / 1000
    out.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    measures = Dataset()
    measures.PixelSpacing = [f"{mpp / 1000:.9f}"] * 2
    measures.SliceThickness = "0.001"
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    out.SharedFunctionalGroupsSequence = Sequence([shared])
    path = Dataset()
    path.OpticalPathIdentifier = "0"
    path.ObjectiveLensPower = "40"
    out.OpticalPathSequence = Sequence([path])
    out.PixelData = encapsulate(frames)
    out["PixelData"].VR = "OB"
    return out
