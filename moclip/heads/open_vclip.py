"""The head `open_vclip`: CLIP's last blocks, adapted to video and led back towards CLIP, so that unseen words stay.

Frames see those beside them, without a new weight. While the blocks train, the loss is also taken at weights
interpolated towards CLIP; the weights of all epochs are averaged; the average and CLIP are interpolated once more. The
text side stays CLIP's. Departures from the published code: tokens are kept, so what lies below `frames.cut` is frozen
and there are no random crops; the logits' scale is frozen too. Neighbours are alike on both sides, so the head is blind
to the arrow of time.

Axes: n video, t frame, l token, c width, d joint space, k class.
"""

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moclip.base.errors import StoreError
from moclip.base.files import fingerprint, read_json, sha256_bytes, sha256_file
from moclip.base.random import make_deterministic
from moclip.clip.encoder import CONFIG, META, Encoder, load_encoder
from moclip.clip.patch import interpolated
from moclip.clip.top import ClipTop
from moclip.heads.fitted import ClassTexts, Resources, Seed, Videos
from moclip.heads.frames import (
    RESIDUAL,
    OnEpoch,
    OnFrames,
    as_tensor,
    facts_of,
    load_on_frames,
    shapes_of,
    some_of_train,
)
from moclip.heads.open_vclip_net import OpenVclipNet
from moclip.heads.open_vclip_training import Sentences, Training, answers, seen_part
from moclip.heads.train import ignore
from moclip.params.heads.open_vclip import OpenVclipParams
from moclip.training.checkpoint import checkpoint_in
from moclip.training.device import ON_CPU, Compute

ITSELF, TUNED = "CLIP itself", "fine-tuned"
SAMPLED_VIDEOS = 8  # whose streams stand for all in the name of a training's state
PLAIN, WITH_TEXT = "Open-VCLIP", "Open-VCLIP++"
State = Mapping[str, Tensor]

log = logging.getLogger(__name__)


@dataclass
class OpenVclip(OnFrames):
    """An `OpenVclipNet`.

    Attributes:
        seen: Names of the classes that it was trained on; None where that were all.
        apart: After a fit, the weights that the answering ones lie between, by name.
        method: Whether the video-text loss took part: `PLAIN` or `WITH_TEXT`.
        compute: Where it answers.
    """

    net: OpenVclipNet
    seen: Sequence[str] | None = None
    apart: Mapping[str, State] = field(default_factory=dict)
    method: str = PLAIN
    compute: Compute = ON_CPU
    streams = (RESIDUAL,)

    def logits(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """Logits (n, k) of the residual stream (n, t, l, c).

        Raises:
            StoreError: it has other places or another width than the one that the head was trained on.
        """
        own, found = tuple(self.shapes[0][1:]), inputs[RESIDUAL].shape[2:]
        if found != own:
            raise StoreError(
                f"{RESIDUAL}: a frame is {found} (tokens, width), but this head was trained on {own}; give it frames "
                "of the same CLIP and frames.cut, or train it anew"
            )
        return self._answers(self.net, inputs)

    def beside(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Logits (n, k) of CLIP itself, frame by frame, and of the average of the fine-tuned weights; after a fit."""
        found = {}
        for name, state in self.apart.items():
            net = copy.deepcopy(self.net)
            net.tower.load_state_dict(state)
            net.tower.neighbours = None if name == ITSELF else net.tower.neighbours
            found[name] = self._answers(net, inputs)
        return found

    def notes(self) -> dict[str, Any]:
        """Its method, and the classes that it has seen."""
        return {"method": self.method, "seen": self.seen and list(self.seen)}

    def _answers(self, net: OpenVclipNet, inputs: Mapping[str, Any]) -> np.ndarray:
        tokens = inputs[RESIDUAL]
        return answers(net, lambda chosen: (as_tensor(tokens[chosen]),), len(tokens), self.compute)


def fit(
    videos: Videos,
    params: OpenVclipParams,
    seed: Seed,
    on_epoch: OnEpoch = ignore,
    resources: Resources | None = None,
    **_: Any,
) -> OpenVclip:
    """Train CLIP's top on the classes that are seen, then interpolate its weights with CLIP's.

    Raises:
        DataError: the train part is empty, a video that trains has no sentence, or as `moclip.training.loop.fit`.
        ParamsError: as `moclip.heads.open_vclip_training.seen_part`, or CLIP has no such top.
        StoreError: there are no class texts; the stream lacks a video, which is named, or is of another CLIP.
    """
    assert resources is not None, "what trains is the top of a CLIP"
    assert resources.clip is not None, "what trains is the top of a CLIP"
    compute = Compute.of(resources.sections["compute"])
    encoder = load_encoder(resources.clip, compute)
    seen, chosen = seen_part(videos, params, seed)
    if not params.chain_rule:
        log.warning(
            "open_vclip.chain_rule: false. The loss at interpolated weights lacks its factor 1 - alpha, as in the "
            "published code: the nearer to CLIP, the more it weighs"
        )
    make_deterministic(*seed, mode=compute.deterministic)
    arguments, shapes = _arguments(videos, params, resources), shapes_of(videos, [RESIDUAL])
    net = compute.place(_built(arguments, encoder, _texts(videos), shapes[0]))
    anchor = _state(net)
    training = Training(net, seen, chosen, params, seed, compute, _sentences(params, seen, encoder))
    work = resources.work / f"open_vclip-{_name(training, videos, resources, arguments)}"
    history = training.run(on_epoch, resources.kept.enter_context(checkpoint_in(work)))
    tuned = _state(net)
    net.tower.load_state_dict(interpolated(anchor, tuned, params.share))
    fitted = OpenVclip(
        net.eval(),
        facts_of(videos),
        shapes,
        arguments,
        seen=seen.split.classes if params.classes == "base" else None,
        apart={ITSELF: anchor, TUNED: tuned},
        method=PLAIN if params.captions is None else WITH_TEXT,
        compute=compute,
    )
    fitted.history = history
    return fitted


def _arguments(videos: Videos, params: OpenVclipParams, resources: Resources) -> dict[str, Any]:
    """Arguments of `OpenVclipNet`."""
    assert resources.clip is not None, "what trains is the top of a CLIP"
    texts = _texts(videos)
    tower = {
        "clip": read_json(resources.clip / CONFIG)["model_cfg"],
        "cut": resources.sections["frames"].cut,
        "neighbours": params.edges if params.neighbours else None,
    }
    classes, width = texts.features.shape
    return {"tower": tower, "classes": classes, "width": width, "logit_scale": texts.logit_scale}


def _texts(videos: Videos) -> ClassTexts:
    if videos.texts is None:
        raise StoreError(
            "open_vclip needs text features of the classes, and there are none; give the stage data/clip/texts.npz, or "
            "take open_vclip out of `heads`"
        )
    return videos.texts


def _built(arguments: Mapping[str, Any], encoder: Encoder, texts: ClassTexts, shape: Sequence[int]) -> OpenVclipNet:
    """The network with CLIP's own weights, tried out on a stream of this shape."""
    net = OpenVclipNet(**arguments)
    top = ClipTop(encoder.model.backbone, arguments["tower"]["cut"])
    net.tower.top.load_state_dict(top.state_dict())
    net.texts.copy_(torch.from_numpy(np.asarray(texts.features)))
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(1, *shape))
    except RuntimeError as error:
        raise StoreError(
            f"{RESIDUAL}: a stream of {tuple(shape)} (frames, tokens, width) does not enter this CLIP's last "
            f"{len(top.blocks)} blocks ({error}); run the stages clip_model and cache_residual again"
        ) from error
    return net


def _sentences(params: OpenVclipParams, seen: Videos, encoder: Encoder) -> Sentences | None:
    if params.captions is None:
        log.info("no open_vclip.captions: this is %s, without the video-text loss of %s", PLAIN, WITH_TEXT)
        return None
    return Sentences(Path(params.captions), seen.split.part("train").ids, encoder)


def _state(net: OpenVclipNet) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in net.tower.state_dict().items()}


def _name(training: Training, videos: Videos, resources: Resources, arguments: Mapping[str, Any]) -> str:
    """What this training is known by after a kill: all that it follows from."""
    assert resources.clip is not None, "what trains is the top of a CLIP"
    split, captions = training.videos.split, training.params.captions
    some = some_of_train(videos)[:: max(1, len(split.ids) // SAMPLED_VIDEOS)]
    members = [(member.id, member.label, member.part) for member in split.members]
    return fingerprint(
        *(resources.code, training.params.model_dump(), training.seed, members, arguments, dict(facts_of(videos))),
        *(sha256_file(resources.clip / META), sha256_bytes(np.ascontiguousarray(videos.streams[RESIDUAL].of(some)))),
        *(captions and sha256_file(Path(captions)), training.compute.key),
    )


def load(directory: Path) -> OpenVclip:
    """Read what `OpenVclip.save` wrote.

    Raises:
        StoreError: a file is missing or torn, or weights and configuration do not fit.
    """
    net, facts, shapes, arguments = load_on_frames(directory, OpenVclipNet)
    return OpenVclip(net, facts, shapes, arguments)
