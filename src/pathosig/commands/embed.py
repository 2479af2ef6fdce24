"""The command ``embed``: tiles through the encoder, or features that were made elsewhere."""

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
    """Turn every tile into an embedding, or take features that another program made.

    The encoder is settled first (encoder/encoder.json with the digest of its weights; the weights
    themselves when they are small or trained here), then slides run one by one, resumable.

    Parameters
    ----------
    features
        Folder of <slide_id>.h5 files of TRIDENT, CLAM or STAMP to take instead of embedding; study.toml then
        notes that the study starts from embeddings. Another encoder than the files name: ``name``.

    Raises
    ------
    ConfigError
        If the encoder, its weights or the device are unavailable.
    InputError
        If no file fits a slide, or the files come from different encoders.
    """
    spec = spec or study.spec(EncoderSpec)
    if features is None:
        return embed_tiles(study, spec, execution=execution)
    named = spec.name if spec.name != EncoderSpec().name else None
    report = import_features(study, features, encoder=named, execution=execution)
    start_from_embeddings(study)
    return report
