"""Encodings: 128 float32 numbers of one face, of one named model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from faces.errors import Invalid

DIMENSIONS = 128
ENCODING_BYTES = DIMENSIONS * 4

SFACE = "sface"
FACE_RECOGNITION = "face_recognition"
FACE_RECOGNITION_BGR = "face_recognition-bgr"

COSINE_MODELS = frozenset({SFACE})
EUCLIDEAN_MODELS = frozenset({FACE_RECOGNITION, FACE_RECOGNITION_BGR})
MODELS = COSINE_MODELS | EUCLIDEAN_MODELS

Vector = npt.NDArray[np.float32]
"""Float32, shape (128,): one encoding."""

Matrix = npt.NDArray[np.float32]
"""Float32, shape (n, 128), contiguous: n encodings."""


def to_bytes(vector: Vector) -> bytes:
    """The 512 bytes under which an encoding is stored and sent: little-endian float32."""
    if vector.shape != (DIMENSIONS,) or not np.isfinite(vector).all():
        raise Invalid("an encoding is 128 finite numbers")
    return vector.astype("<f4").tobytes()


def from_bytes(data: bytes) -> Vector:
    """The encoding of `to_bytes`; raises Invalid for another length or numbers that are not finite."""
    vector: Vector = many_from_bytes([data])[0]
    return vector


def many_from_bytes(encodings: Sequence[bytes]) -> Matrix:
    """Encodings of `to_bytes`, a row each; raises Invalid as `from_bytes` does."""
    for data in encodings:
        if len(data) != ENCODING_BYTES:
            raise Invalid(f"an encoding has {ENCODING_BYTES} bytes, not {len(data)}")
    flat = np.frombuffer(b"".join(encodings), "<f4").astype(np.float32, copy=False)
    matrix: Matrix = flat.reshape(-1, DIMENSIONS)
    if not np.isfinite(matrix).all():
        raise Invalid("an encoding is 128 finite numbers")
    return matrix


def unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Each row (or the one vector) divided by its length; a zero vector stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    units: npt.NDArray[np.float32] = (vectors / np.maximum(lengths, np.float32(1e-12))).astype(np.float32)
    return units


def mean_encoding(model: str, vectors: Sequence[Vector] | Matrix) -> Vector:
    """What several encodings of one face agree on: their mean, of unit length for a cosine model."""
    mean: Vector = np.asarray(np.mean(np.asarray(vectors, dtype=np.float32), axis=0, dtype=np.float32))
    return unit(mean) if model in COSINE_MODELS else mean


def distances(model: str, probes: Matrix, others: Matrix) -> npt.NDArray[np.float32]:
    """Distances of every probe (rows) to every other encoding (columns), float32, shape (n, m).

    Cosine distance, 0 to 2, for a cosine model (its encodings are of unit length), else Euclidean.
    """
    products = probes @ others.T
    if model in COSINE_MODELS:
        cosine: npt.NDArray[np.float32] = np.clip(np.float32(1) - products, 0, 2)
        return cosine
    squares = (probes**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)[None, :] - 2 * products
    euclidean: npt.NDArray[np.float32] = np.sqrt(np.maximum(squares, np.float32(0)))
    return euclidean
