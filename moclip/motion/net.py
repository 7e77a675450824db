"""The motion network: a 2-D network on each snippet's field, averaged over snippets (TSN).

Axes: n video, s segment, c component (dx, dy), h and w grid rows and columns, d feature, k class.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from moclip.base.errors import StoreError
from moclip.training.weights import UNFIT, restored

SMALL_WIDTHS = ((24, 1), (48, 2), (64, 1), (96, 2), (96, 1))  # channels and stride of each convolution


class MotionNet(nn.Module):
    """Logits and features of videos from fields (n, s, 2, h, w).

    Fields are displacements in pixels, where `bound_px` maps to 1, or with `encoding` "bytes" what
    `moclip.motion.transforms.encode_bytes` makes of them, where 0 to 255 maps to -0.5 to 0.5. Logits and features are
    means over segments.
    """

    def __init__(
        self,
        arch: str,
        classes: int,
        bound_px: float,
        encoding: str = "float",
        *,
        imagenet: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.arch, self.bound_px, self.encoding = arch, bound_px, encoding
        self.input_norm = nn.BatchNorm2d(2)
        self.backbone, width = _backbone(arch, imagenet)
        self.classifier = nn.Linear(width, classes)

    def features(self, fields: Tensor) -> Tensor:
        """Mean feature over segments, (n, d)."""
        n, s = fields.shape[:2]
        x = self._scaled(fields).flatten(0, 1)  # (n * s, 2, h, w)
        x = self.backbone(self.input_norm(x))
        return x.unflatten(0, (n, s)).mean(dim=1)

    def maps(self, fields: Tensor) -> Tensor:
        """What the last convolution gives of each segment, (n, s, d, h', w'); its mean over places is their feature."""
        x = self.input_norm(self._scaled(fields).flatten(0, 1))
        net: Any = self.backbone
        x = net[:-1](x) if self.arch == "small" else net.forward_features(x)
        maps: Tensor = x.unflatten(0, fields.shape[:2])
        return maps

    def _scaled(self, fields: Tensor) -> Tensor:
        if self.encoding == "bytes":
            return fields / 255 - 0.5
        return (fields / self.bound_px).clamp(-1, 1)

    def forward(self, fields: Tensor) -> Tensor:
        """Logits (n, k). The classifier is linear, so logits of means are means of logits."""
        logits: Tensor = self.classifier(self.features(fields))
        return logits

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Every parameter under `classifier`, `stem` (first convolution and the input's norm) or `rest`."""
        stem = next(module for module in self.backbone.modules() if isinstance(module, nn.Conv2d))
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
        }


def load_motion_net(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> MotionNet:
    """Rebuild a network from its config and weights.

    Raises:
        StoreError: weights and config do not fit each other.
    """
    try:
        of_file = (config["arch"], config["classes"], config["bound_px"], config.get("encoding", "float"))
        return restored(lambda: MotionNet(*of_file), state)
    except UNFIT as error:
        raise StoreError(f"motion network: weights and config do not fit ({error})") from error


class _GlobalMean(nn.Module):
    """Mean over rows and columns. Adaptive pooling has no repeatable backward on CUDA; a mean has."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


def _backbone(arch: str, imagenet: Mapping[str, Tensor] | None) -> tuple[nn.Module, int]:
    if arch == "small":
        return _small()
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
