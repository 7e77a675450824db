"""The parts of a bundle as onnxruntime runs them: no PyTorch, no open_clip.

A bundle's folder of networks holds

    clip.onnx          pixels (n, 3, h, w) -> features (n, d)
    text.onnx          tokens (n, l) -> features (n, d)
    merges.txt         the pairs that CLIP's tokenizer joins, the most frequent first
    motion.onnx        fields (n, s, 2, gh, gw) in pixels -> features (n, d)
    heads/HEAD.onnx    features of each stream (n, d_i), not normalised -> logits (n, k)
    networks.json      how a picture and a video become what these take, why a part is missing, how far the answers are
                       from PyTorch's, and the SHA-256 of the other files

Axes: n video or text, l token, s segment, gh and gw grid rows and columns, d feature, k class.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from threading import Timer
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from moclip.base.errors import StoreError
from moclip.base.files import read_facts, sha256_bytes
from moclip.base.parallel import cores
from moclip.clip.text.bpe import BpeTokenizer, read_part
from moclip.heads.fitted import Cost, Fitted
from moclip.heads.registry import CLIP, HEADS, MOTION
from moclip.motion.fields import field_at
from moclip.motion.grid import MotionGrid
from moclip.params.motion_net import MotionInput
from moclip.predict.bundle import ModelFiles
from moclip.predict.parts import NoPartError, Parts, answering, of_class_texts
from moclip.video.frames import segment_points

META = "networks.json"
TEXT, MERGES = "text", "merges.txt"
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


class TextInput(BaseModel):
    """How a text becomes what CLIP takes: CLIP's own tokenizer, of the table beside, with so many tokens."""

    model_config = ConfigDict(extra="forbid")

    tokens: int = Field(ge=2, le=4_096)


class Networks(BaseModel):
    """What a folder of networks says of itself; whoever made it may be anybody.

    Attributes:
        clip: How a picture becomes what CLIP takes; None where it is not there.
        text: How a text does; None as well.
        motion: How a video becomes what the motion network takes; None where that is not there.
        missing: Why a part is not there, by its name.
        files: SHA-256 of each file.
    """

    model_config = ConfigDict(extra="ignore")

    clip: PictureInput | None
    text: TextInput | None = None
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
            raise _missing(folder, name, known)
        return cls(session_of(_content(folder / file, known.files[file]), folder / file))

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


def _missing(folder: Path, name: str, known: Networks) -> NoPartError:
    reason = known.missing.get(name, "it was not written")
    return NoPartError(f"{folder}: no {name} for onnxruntime ({reason}); take --engine torch, or another --head")


def _content(path: Path, sha256: str) -> bytes:
    content = path.read_bytes() if path.is_file() else b""
    if sha256_bytes(content) != sha256:
        raise StoreError(f"{path}: not the file that {META} describes; copy the bundle again")
    return content


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
        return _finite(self.network(np.stack([self.input.pixels(frame) for frame in frames])), "image")


@dataclass(frozen=True)
class OnnxClip(OnnxPictures):
    """Both towers; that of texts is read from its folder when it is asked."""

    folder: Path
    known: Networks

    @cached_property
    def tokenize(self) -> BpeTokenizer:
        """CLIP's tokenizer.

        Raises:
            StoreError: the part is not there, with the reason, or its table is torn.
        """
        if self.known.text is None:
            raise _missing(self.folder, TEXT, self.known)
        content = _content(self.folder / MERGES, self.known.files[MERGES])
        pairs = [tuple(line.split(" ")) for line in content.decode("utf-8", "replace").splitlines()]
        if any(len(pair) != 2 for pair in pairs):
            raise StoreError(f"{self.folder / MERGES}: has a line that is no pair; make the bundle again")
        return BpeTokenizer(pairs, self.known.text.tokens)  # type: ignore[arg-type]

    @cached_property
    def _tower(self) -> Network:
        return Network.of(self.folder, TEXT, self.known)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """As `moclip.predict.parts.Clip`.

        Raises:
            StoreError: as `tokenize`, or features are not finite.
        """
        return _finite(self._tower(self.tokenize(texts)), "text")

    def read_part(self, text: str) -> str:
        """As `moclip.predict.parts.Clip`."""
        return read_part(self.tokenize, text)


def _finite(features: np.ndarray, kind: str) -> np.ndarray:
    if not np.isfinite(features).all():
        raise StoreError(f"CLIP's {kind} features are not finite; its weights are damaged or do not fit")
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

    def single(self, fields_px: np.ndarray) -> np.ndarray:
        """As `moclip.predict.parts.Motion`.

        Raises:
            StoreError: the network takes as many fields as a video has segments, and no single ones.
        """
        if isinstance(self.network.session.get_inputs()[0].shape[1], int):
            raise StoreError(
                "the model's motion network for onnxruntime takes whole videos alone; make the bundle again with "
                "`moclip bundle`, or take --engine torch"
            )
        return self.network(fields_px[:, None])


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
    return parts_of(files, *_opened(files), asked)


def load_clip(files: ModelFiles) -> OnnxClip:
    """Both towers of CLIP.

    Raises:
        MoclipError, StoreError: as `load_parts`.
    """
    return _clip_of(*_opened(files))


def motion_of(files: ModelFiles) -> OnnxMotion:
    """The motion network.

    Raises:
        MoclipError, StoreError: as `load_parts`.
    """
    return _motion_of(*_opened(files))


def load_head(files: ModelFiles, head: str) -> Fitted:
    """A head.

    Raises:
        MoclipError, StoreError: as `load_parts`.
    """
    folder, known = _opened(files)
    return _head_of(files, folder, known, head)


def digests(files: ModelFiles) -> tuple[object, object]:
    """What stands for the weights of CLIP and of the motion network, where they are."""
    known = _opened(files)[1].files
    return f"onnx {known.get(f'{CLIP}.onnx')}", f"onnx {known.get(f'{MOTION}.onnx')}"


def _opened(files: ModelFiles) -> tuple[Path, Networks]:
    """The folder of networks, and what it says of itself."""
    if files.onnx is None:
        raise StoreError(
            "the model has no networks for onnxruntime, which only a bundle can have; make one by `moclip bundle` "
            "where PyTorch is installed, or install it: `pip install 'moclip[train]'`"
        )
    return files.onnx, read_networks(files.onnx)


def parts_of(files: ModelFiles, folder: Path, known: Networks, asked: str) -> Parts:
    """As `load_parts`, of a folder that was read."""

    def is_there(head: str) -> bool:
        if _is_of_texts(head):
            return files.texts is not None
        return f"{part_of(head)}.onnx" in known.files

    heads = answering(asked, lambda head: _head_of(files, folder, known, head), is_there)
    streams = heads[asked].streams
    return Parts(
        heads,
        _motion_of(folder, known) if MOTION in streams else None,
        _clip_of(folder, known) if CLIP in streams else None,
    )


def _is_of_texts(head: str) -> bool:
    return HEADS[head].is_of_stream and MOTION not in HEADS[head].streams


def _head_of(files: ModelFiles, folder: Path, known: Networks, head: str) -> Fitted:
    if _is_of_texts(head):
        return of_class_texts(files, head)
    network = Network.of(folder, part_of(head), known)
    return OnnxHead(network, tuple(given.name for given in network.session.get_inputs()))


def _motion_of(folder: Path, known: Networks) -> OnnxMotion:
    network = Network.of(folder, MOTION, known)
    assert known.motion is not None, "checked when it was read"
    return OnnxMotion(network, known.motion)


def _clip_of(folder: Path, known: Networks) -> OnnxClip:
    network = Network.of(folder, CLIP, known)
    assert known.clip is not None, "checked when it was read"
    return OnnxClip(network, known.clip, folder, known)


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
    for name, described in ((CLIP, known.clip), (TEXT, known.text), (MOTION, known.motion)):
        if (f"{name}.onnx" in known.files) != (described is not None):
            raise StoreError(f"{path}: does not say how {name}.onnx is asked; make the bundle again")
    if known.text is not None and MERGES not in known.files:
        raise StoreError(f"{path}: names no {MERGES}, which {TEXT}.onnx needs; make the bundle again")
    return known
