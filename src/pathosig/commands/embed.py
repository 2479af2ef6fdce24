"""The command ``embed``: embeds tiles with the encoder, or imports features that another program made."""

from __future__ import annotations

from pathlib import Path

from pathosig.core.study import Study
from pathosig.core.units import Execution, StageReport
from pathosig.encoder.features.stage import import_features, start_from_embeddings
from pathosig.encoder.spec import EncoderSpec
from pathosig.encoder.stage import DEFAULT_EXECUTION, embed_tiles


def embed(
    study: Study,
    spec: EncoderSpec | None = None,
    *,
    execution: Execution = DEFAULT_EXECUTION,
    features: Path | None = None,
) -> StageReport:
    """Turn every tile into an embedding, or import features that another program made.

    The encoder is recorded first: encoder/encoder.json holds the digest of its weights, and the weights themselves are copied
    if they are small or were trained here. Then slides are embedded one by one; an interrupted run resumes.

    Parameters
    ----------
    study
        An open study.
    spec
        The encoder and its settings; those of study.toml by default.
    execution
        Workers, device and other settings that do not change results.
    features
        Folder of <slide_id>.h5 files from TRIDENT, CLAM or STAMP to import instead of embedding; study.toml then states that
        the study starts from embeddings. Give the name of the encoder (--name) if it is not the one that the files state.

    Returns
    -------
    StageReport
        Which slides were done, skipped or failed.

    Raises
    ------
    ConfigError
        If the encoder, its weights or the device are unavailable.
    InputError
        If no file matches a slide, or the files come from different encoders.
    """
    spec = spec or study.spec(EncoderSpec)
    if features is None:
        return embed_tiles(study, spec, execution=execution)
    named = spec.name if spec.name != EncoderSpec().name else None
    report = import_features(study, features, encoder=named, execution=execution)
    start_from_embeddings(study)
    return report
