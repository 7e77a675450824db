"""The motion network: a 2-D network on each snippet's field, averaged over snippets (TSN), or a Transformer on all.

Axes: n video, s segment, c component (dx, dy), h and w grid rows and columns, d feature, k class.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from moclip.base.errors import MoclipError, StoreError
from moclip.motion.vit import MotionTransformer
from moclip.params.heads.motion_vit import MotionVitParams
from moclip.params.section import Section, validated
from moclip.training.weights import UNFIT, restored

SMALL_WIDTHS = ((24, 1), (48, 2), (64, 1), (96, 2), (96, 1))  # channels and stride of each convolution


class MotionNet(nn.Module):
    """Logits and features of videos from fields (n, s, 2, h, w).

    Fields are displacements in pixels, where `bound_px` maps to 1, or with `encoding` "bytes" what
    `moclip.motion.transforms.encode_bytes` makes of them, where 0 to 255 maps to -0.5 to 0.5. Logits and features are
    means over segments; those of `arch` "vit", which takes its shape from `vit`, over tokens of all segments together.
    """

    def __init__(
        self,
        arch: str,
        classes: int,
        bound_px: float,
        encoding: str = "float",
        *,
        imagenet: Mapping[str, Tensor] | None = None,
        vit: MotionVitParams | None = None,
    ) -> None:
        super().__init__()
        self.arch, self.bound_px, self.encoding, self.vit = arch, bound_px, encoding, vit
        # Batch statistics would let a Transformer see what is hidden from it.
        self.input_norm = nn.Identity() if arch == "vit" else nn.BatchNorm2d(2)
        self.backbone, width = _backbone(arch, imagenet, vit)
        self.dropout = vit.dropout if vit and arch == "vit" else 0.0
        self.classifier = nn.Linear(width, classes)
        self.trains_backbone = True

    def features(self, fields: Tensor) -> Tensor:
        """Mean feature over segments, (n, d)."""
        if self.arch == "vit":
            return self.pooled(self.before_norm(fields))
        n, s = fields.shape[:2]
        x = self.scaled(fields).flatten(0, 1)  # (n * s, 2, h, w)
        x = self.backbone(self.input_norm(x))
        return x.unflatten(0, (n, s)).mean(dim=1)

    def maps(self, fields: Tensor) -> Tensor:
        """What the last convolution gives of each segment, (n, s, d, h', w'); its mean over places is their feature.

        A Transformer's last block gives it of each tube of segments.
        """
        return self._activated(self.before_norm(fields))

    def before_norm(self, fields: Tensor) -> Tensor:
        """The same before its last normalisation, (n, s, d, h', w'): where a gradient is one map for each channel."""
        net: Any = self.backbone
        if self.arch == "vit":
            return self.transformer.before_norm(self.scaled(fields))
        x = self.input_norm(self.scaled(fields).flatten(0, 1))
        x = net[:-3](x) if self.arch == "small" else net.conv_head(net.blocks(net.bn1(net.conv_stem(x))))
        maps: Tensor = x.unflatten(0, fields.shape[:2])
        return maps

    def pooled(self, before_norm: Tensor) -> Tensor:
        """Features (n, d) of what `before_norm` gives."""
        return self._activated(before_norm).mean(dim=(3, 4)).mean(dim=1)

    def _activated(self, before_norm: Tensor) -> Tensor:
        net: Any = self.backbone
        if self.arch == "vit":
            return self.transformer.after_norm(before_norm)
        norm = net[-3:-1] if self.arch == "small" else net.bn2
        activated: Tensor = norm(before_norm.flatten(0, 1)).unflatten(0, before_norm.shape[:2])
        return activated

    @property
    def transformer(self) -> MotionTransformer:
        """The backbone of `arch` "vit"."""
        assert isinstance(self.backbone, MotionTransformer)
        return self.backbone

    def scaled(self, fields: Tensor) -> Tensor:
        """Fields as the first layer takes them: `bound_px` is 1, or the last byte 0.5."""
        if self.encoding == "bytes":
            return fields / 255 - 0.5
        return (fields / self.bound_px).clamp(-1, 1)

    def forward(self, fields: Tensor) -> Tensor:
        """Logits (n, k). The classifier is linear, so logits of means are means of logits."""
        features = self.features(fields)
        if self.dropout:
            features = functional.dropout(features, self.dropout, self.training)
        logits: Tensor = self.classifier(features)
        return logits

    def train_classifier_alone(self) -> None:
        """Freeze all below the classifier, batch statistics included."""
        self.trains_backbone = False
        for part in (self.input_norm, self.backbone):
            part.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; what is frozen stays in evaluation mode."""
        super().train(mode)
        if not self.trains_backbone:
            self.input_norm.eval()
            self.backbone.eval()
        return self

    def learnt(self) -> dict[str, Tensor]:
        """All weights and statistics below the classifier, by name: what pretraining gives."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith("classifier.")}

    def begin_from(self, learnt: Mapping[str, Tensor]) -> None:
        """Take up what another network of this build has learnt below its classifier.

        Raises:
            StoreError: it is of another build.
        """
        own = self.learnt()
        differing = sorted(
            {*own, *learnt}
            - {name for name, value in own.items() if name in learnt and learnt[name].shape == value.shape}
        )
        if differing:
            raise StoreError(
                f"motion network: what was learnt before is of another network, first in {differing[0]}; pretrain again"
            )
        self.load_state_dict(dict(learnt), strict=False)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Every parameter under `classifier`, `stem` (first layer and the input's norm) or `rest`."""
        first = (nn.Conv2d, nn.Linear)
        stem = next(module for module in self.backbone.modules() if isinstance(module, first))
        parts = {
            "classifier": list(self.classifier.parameters()),
            "stem": [*self.input_norm.parameters(), *stem.parameters()],
        }
        known = {id(parameter) for part in parts.values() for parameter in part}
        return {**parts, "rest": [parameter for parameter in self.parameters() if id(parameter) not in known]}

    def config(self) -> dict[str, Any]:
        """What `load_motion_net` needs to build the same network; `encoding` goes unsaid where it is float."""
        return {
            "arch": self.arch,
            "classes": self.classifier.out_features,
            "bound_px": self.bound_px,
            **({} if self.encoding == "float" else {"encoding": self.encoding}),
            **({} if self.vit is None else {"vit": self.vit.model_dump()}),
        }


def load_motion_net(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> MotionNet:
    """Rebuild a network from its config and weights.

    Raises:
        StoreError: weights and config do not fit each other.
    """
    try:
        built = validated("config", _Build, config)
        of_file = (built.arch, built.classes, built.bound_px, built.encoding)
        return restored(lambda: MotionNet(*of_file, vit=built.vit), state)
    except (*UNFIT, MoclipError) as error:
        raise StoreError(f"motion network: weights and config do not fit ({error})") from error


class _Build(Section):
    """What `MotionNet.config` writes, as anybody may have changed it."""

    arch: str
    classes: int = Field(ge=1)
    bound_px: float = Field(gt=0)
    encoding: Literal["float", "bytes"] = "float"
    vit: MotionVitParams | None = None


class _GlobalMean(nn.Module):
    """Mean over rows and columns. Adaptive pooling has no repeatable backward on CUDA; a mean has."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


def _backbone(arch: str, imagenet: Mapping[str, Tensor] | None, vit: MotionVitParams | None) -> tuple[nn.Module, int]:
    if arch == "small":
        return _small()
    if arch == "vit":
        if vit is None:
            raise ValueError("a Transformer takes its shape from section motion_vit, and there is none")
        return MotionTransformer(vit), vit.width
    if not arch.isidentifier():  # timm would fetch what stands behind a colon
        raise ValueError(f"{arch!r} is no name of a network")
    import timm  # a second, which the small network need not wait for

    net = timm.create_model(arch, num_classes=0)
    if imagenet is not None:
        net.load_state_dict(imagenet)
    width = int(net.num_features)
    # Two components instead of three colours: the paper's code repeats the mean of the kernels.
    stem = net.conv_stem
    kernel = stem.weight.data.mean(dim=1, keepdim=True).repeat(1, 2, 1, 1)
    net.conv_stem = nn.Conv2d(2, stem.out_channels, stem.kernel_size, stem.stride, stem.padding, bias=False)
    net.conv_stem.weight.data.copy_(kernel)
    net.global_pool = _GlobalMean()
    return net, width


def _small() -> tuple[nn.Module, int]:
    layers: list[nn.Module] = []
    channels = 2
    for width, stride in SMALL_WIDTHS:
        layers += [
            nn.Conv2d(channels, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        channels = width
    return nn.Sequential(*layers, _GlobalMean()), channels


def trainable_parameters(module: nn.Module) -> int:
    """Number of parameters that training changes."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


@torch.inference_mode()
def features_and_logits(net: MotionNet, fields: Tensor) -> tuple[Tensor, Tensor]:
    """Features (n, d) and logits (n, k) in one pass."""
    features = net.features(fields)
    return features, net.classifier(features)
