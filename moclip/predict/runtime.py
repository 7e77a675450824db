"""The parts of a bundle as onnxruntime runs them: no PyTorch, no open_clip.

A bundle's folder of networks holds

    clip.onnx          pixels (n, 3, h, w) -> features (n, d)
    motion.onnx        fields (n, s, 2, gh, gw) in pixels -> features (n, d)
    heads/HEAD.onnx    features of each stream (n, d_i), not normalised -> logits (n, k)
    networks.json      how a picture and a video become what these take, why a part is missing, how far the answers are
                       from PyTorch's, and the SHA-256 of the other files

Axes: n video, s segment, gh and gw grid rows and columns, d feature, k class.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Timer
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from moclip.base.errors import StoreError
from moclip.base.files import read_facts, sha256_bytes
from moclip.base.parallel import cores
from moclip.heads.fitted import Cost, Fitted
from moclip.heads.registry import CLIP, HEADS, MOTION
from moclip.motion.fields import field_at
from moclip.motion.grid import MotionGrid
from moclip.params.motion_net import MotionInput
from moclip.predict.bundle import ModelFiles
from moclip.predict.parts import Parts, answering, of_class_texts
from moclip.video.frames import segment_points

META = "networks.json"
MOST_BYTES = 4 << 30  # of all graphs, with what they compute; a file of ONNX has 2 GiB at most
MOST_S = 300.0  # of one answer of a graph
_LETTERS = 300  # of what onnxruntime tells
_Pixels = Annotated[int, Field(ge=1, le=4_096)]
_Colour = tuple[float, float, float]
_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


class PictureInput(BaseModel):
    """How a picture becomes what CLIP takes.

    Attributes:
        resize: Length of the shorter side in pixels, or rows and columns.
        crop: Rows and columns of the middle that is cut out; None takes all.
        mean, std: Of the colours, from 0 to 1.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    resize: _Pixels | tuple[_Pixels, _Pixels]
    interpolation: Literal["bicubic", "bilinear"]
    crop: tuple[_Pixels, _Pixels] | None
    mean: _Colour
    std: _Colour

    def pixels(self, frame: np.ndarray) -> np.ndarray:
        """A frame uint8 (h, w, 3) as float32 (3, rows, columns): open_clip's own steps, to the bit."""
        picture = Image.fromarray(frame)
        width, height = picture.size
        if isinstance(self.resize, int):
            short, long = sorted((width, height))
            side = (self.resize, int(self.resize * long / short))
            rows, columns = side if height <= width else side[::-1]
        else:
            rows, columns = self.resize
        if (rows, columns) != (height, width):
            picture = picture.resize((columns, rows), _RESAMPLING[self.interpolation])
        if self.crop is not None:
            top, left = (round((had - kept) / 2) for had, kept in zip((rows, columns), self.crop, strict=True))
            picture = picture.crop((left, top, left + self.crop[1], top + self.crop[0]))
        shares = np.asarray(picture, np.float32).transpose(2, 0, 1) / np.float32(255)
        mean, std = (np.array(values, np.float32)[:, None, None] for values in (self.mean, self.std))
        scaled: np.ndarray = (shares - mean) / std
        return scaled


class Networks(BaseModel):
    """What a folder of networks says of itself; whoever made it may be anybody.

    Attributes:
        clip: How a picture becomes what CLIP takes; None where it is not there.
        motion: How a video becomes what the motion network takes; None where that is not there.
        missing: Why a part is not there, by its name.
        files: SHA-256 of each file.
    """

    model_config = ConfigDict(extra="ignore")

    clip: PictureInput | None
    motion: MotionInput | None
    missing: dict[str, str]
    files: dict[str, str]


@dataclass(frozen=True)
class Network:
    """A network as onnxruntime runs it; all of it lies in one file."""

    session: Any

    @classmethod
    def of(cls, folder: Path, name: str, known: Networks) -> "Network":
        """The network of a part that `known` lists.

        Raises:
            MoclipError: onnxruntime is not installed.
            StoreError: the part is not there, with the reason, or is not the file that is described.
        """
        file = f"{name}.onnx"
        if file not in known.files:
            reason = known.missing.get(name, "it was not written")
            raise StoreError(f"{folder}: no {name} for onnxruntime ({reason}); take --engine torch, or another --head")
        content = (folder / file).read_bytes() if (folder / file).is_file() else b""
        if sha256_bytes(content) != known.files[file]:
            raise StoreError(f"{folder / file}: not the file that {META} describes; copy the bundle again")
        return cls(session_of(content, folder / file))

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """The first output of these inputs, in the order of the network's own."""
        names = [given.name for given in self.session.get_inputs()]
        options = library().RunOptions()
        clock = Timer(MOST_S, setattr, (options, "terminate", True))  # a graph may go round for ever
        clock.start()
        try:
            output: np.ndarray = self.session.run(None, dict(zip(names, inputs, strict=True)), options)[0]
        except Exception as error:  # onnxruntime has a kind for each fault, with no common one
            told = " ".join(str(error).split())[-_LETTERS:]
            raise StoreError(
                f"the model's network for onnxruntime fails ({told}); it may take {MOST_BYTES >> 30} GiB and "
                f"{MOST_S:g} s. Take --engine torch"
            ) from error
        finally:
            clock.cancel()
        return output


def library() -> Any:
    """onnxruntime, by whoever needs it: it reports home unless it is told not to before it is loaded."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


@cache
def _bound_memory() -> None:
    """Let the graphs of this process take so much together; a graph of some bytes may ask for any amount."""
    onnxruntime = library()
    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    place = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg(MOST_BYTES, -1, -1, -1))


def session_of(content: bytes, path: Path) -> Any:
    """A session on the bytes of a file, which opens no other file whatever they name.

    Raises:
        MoclipError: onnxruntime is not installed.
        StoreError: onnxruntime cannot read them, or they ask for more memory than `MOST_BYTES`.
    """
    onnxruntime = library()
    _bound_memory()
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Where weights outside a graph would lie. Of a graph out of memory, they would be read below the working directory.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    options.intra_op_num_threads = cores()
    options.log_severity_level = 4  # none: errors come as exceptions, and messages repeat names of the graph
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other work goes on beside
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a kind for each fault, with no common one
        told = " ".join(str(error).split())[:_LETTERS]
        raise StoreError(f"{path}: onnxruntime cannot read it ({told}); copy the bundle again") from error


@dataclass(frozen=True)
class OnnxPictures:
    """CLIP's picture tower."""

    network: Network
    input: PictureInput

    def images(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """As `moclip.predict.parts.Pictures`.

        Raises:
            StoreError: features are not finite.
        """
        features = self.network(np.stack([self.input.pixels(frame) for frame in frames]))
        if not np.isfinite(features).all():
            raise StoreError("CLIP's image features are not finite; its weights are damaged or do not fit")
        return features


@dataclass(frozen=True)
class OnnxMotion:
    """The motion network."""

    network: Network
    made_for: MotionInput

    def describe(self, name: str, grid: MotionGrid) -> np.ndarray:
        """As `moclip.predict.parts.Motion`."""
        motion = self.made_for.motion
        points = segment_points(len(grid.mv), self.made_for.motion_net.eval_segments)
        return self.network(field_at(grid, points, motion.accumulate, motion.window_frames or 1)[None])


@dataclass
class OnnxHead(Fitted):
    """A head on its streams; it was fitted elsewhere."""

    network: Network
    names: tuple[str, ...]

    @property
    def streams(self) -> tuple[str, ...]:
        """In the order of the network's inputs."""
        return self.names

    def logits(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """Logits (n, k) of features (n, d_i) by stream."""
        return self.network(*(inputs[name] for name in self.names))

    def save(self, directory: Path) -> None:
        """Refused: its weights lie beside, as PyTorch has them."""
        raise NotImplementedError("a head for onnxruntime is written by moclip.predict.portable")

    def cost(self) -> Cost | None:
        """Not counted."""
        return None


def load_parts(files: ModelFiles, asked: str) -> Parts:
    """What a head needs, and the heads on one of its streams alone that are there.

    Raises:
        MoclipError: onnxruntime is not installed.
        StoreError: the model has no networks for it, or not the one that is needed; or a file is torn.
    """
    if files.onnx is None:
        raise StoreError(
            "the model has no networks for onnxruntime, which only a bundle can have; make one by `moclip bundle` "
            "where PyTorch is installed, or install it: `pip install 'moclip[train]'`"
        )
    known = read_networks(files.onnx)
    return parts_of(files, files.onnx, known, asked)


def parts_of(files: ModelFiles, folder: Path, known: Networks, asked: str) -> Parts:
    """As `load_parts`, of a folder that was read."""

    def of_texts(head: str) -> bool:
        return HEADS[head].is_of_stream and MOTION not in HEADS[head].streams

    def load(head: str) -> Fitted:
        if of_texts(head):
            return of_class_texts(files, head)
        network = Network.of(folder, part_of(head), known)
        return OnnxHead(network, tuple(given.name for given in network.session.get_inputs()))

    def is_there(head: str) -> bool:
        if of_texts(head):
            return files.texts is not None
        return f"{part_of(head)}.onnx" in known.files

    heads = answering(asked, load, is_there)
    motion = encoder = None
    if MOTION in heads[asked].streams:
        network = Network.of(folder, MOTION, known)
        assert known.motion is not None, "checked when it was read"
        motion = OnnxMotion(network, known.motion)
    if CLIP in heads[asked].streams:
        network = Network.of(folder, CLIP, known)
        assert known.clip is not None, "checked when it was read"
        encoder = OnnxPictures(network, known.clip)
    return Parts(heads, motion, encoder)


def part_of(head: str) -> str:
    """Name of a head's part."""
    return f"heads/{head}"


def read_networks(folder: Path) -> Networks:
    """What a folder of networks says of itself.

    Raises:
        StoreError: it is torn, or says what cannot be.
    """
    path = folder / META
    try:
        known = Networks.model_validate(read_facts(path))
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc']))[:80]}: {one['msg']}" for one in error.errors())
        raise StoreError(f"{path}: {told[:500]}; make the bundle again with `moclip bundle`") from error
    for name, described in ((CLIP, known.clip), (MOTION, known.motion)):
        if (f"{name}.onnx" in known.files) != (described is not None):
            raise StoreError(f"{path}: does not say how {name}.onnx is asked; make the bundle again")
    return known
