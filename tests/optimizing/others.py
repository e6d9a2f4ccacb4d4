"""Other people's networks in small: the usual decoders, exported as their owners would.

Weights are random but fixed; what upsamples doubles the size, from 4 or 8 pixels to 32.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 32  # pixels of what the networks write, and of what two of them read


def conv3x3(a: int, b: int) -> nn.Conv2d:
    return nn.Conv2d(a, b, 3, padding=1)


def normed(layer: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(layer, nn.BatchNorm2d(channels), nn.ReLU())


class UNet(nn.Module):
    """Three scales: max pooling down, nearest upsampling and a convolution up, skips by concat."""

    widths = (8, 16, 24)

    def __init__(self) -> None:
        super().__init__()
        pairs = list(pairwise((3, *self.widths)))
        self.down = nn.ModuleList(normed(conv3x3(a, b), b) for a, b in pairs)
        self.up = nn.ModuleList(normed(conv3x3(b, a), a) for a, b in pairwise(self.widths))
        self.join = nn.ModuleList(normed(conv3x3(2 * a, a), a) for a in self.widths[:-1])
        self.head = nn.Conv2d(self.widths[0], 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for down in self.down:
            x = down(F.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        for up, join, skip in reversed(list(zip(self.up, self.join, skips[:-1], strict=True))):
            x = join(torch.cat([skip, up(F.interpolate(x, scale_factor=2.0))], 1))
        return torch.sigmoid(self.head(x))


class StyleBlock(nn.Module):
    """A convolution after upsampling and one more, and colours; styles and noise are constants."""

    def __init__(self, a: int, b: int, size: int) -> None:
        super().__init__()
        self.first, self.second, self.colours = conv3x3(a, b), conv3x3(b, b), nn.Conv2d(b, 3, 1)
        for name, channels in (("style1", a), ("style2", b), ("style3", b), ("demod", b)):
            self.register_buffer(name, torch.rand(1, channels, 1, 1) + 0.5)
        self.register_buffer("noise", 0.1 * torch.randn(1, 1, size, size))

    def forward(self, x: Tensor, rgb: Tensor) -> tuple[Tensor, Tensor]:
        x = self.first(F.interpolate(x * self.style1, scale_factor=2.0))
        x = F.leaky_relu(x * self.demod + self.noise, 0.2)
        x = F.leaky_relu(self.second(x * self.style2) + self.noise, 0.2)
        return x, F.interpolate(rgb, scale_factor=2.0) + self.colours(x * self.style3)


class StyleDecoder(nn.Module):
    """StyleGAN's synthesis for one style: three blocks, the image summed over the scales."""

    widths = (24, 16, 12, 8)
    latent = 16

    def __init__(self) -> None:
        super().__init__()
        self.begin = nn.Linear(self.latent, 16 * self.widths[0])
        self.colours = nn.Conv2d(self.widths[0], 3, 1)
        self.blocks = nn.ModuleList(
            StyleBlock(a, b, 8 << k) for k, (a, b) in enumerate(pairwise(self.widths))
        )

    def forward(self, z: Tensor) -> Tensor:
        x = F.leaky_relu(self.begin(z), 0.2).reshape(1, self.widths[0], 4, 4)
        rgb = self.colours(x)
        for block in self.blocks:
            x, rgb = block(x, rgb)
        return rgb


class ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        half = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)]
        again = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)]
        self.body = nn.Sequential(*half, nn.ReLU(), *again)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def cyclegan() -> nn.Module:
    """CycleGAN's generator: reflection, instance norms, residual blocks, deconvolutions."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, 8, 7)]
    layers += [nn.InstanceNorm2d(8), nn.ReLU()]
    for a, b in ((8, 16), (16, 24)):
        layers += [nn.Conv2d(a, b, 3, 2, padding=1), nn.InstanceNorm2d(b), nn.ReLU()]
    layers += [ResidualBlock(24), ResidualBlock(24)]
    for a, b in ((24, 16), (16, 8)):
        up = nn.ConvTranspose2d(a, b, 3, 2, padding=1, output_padding=1)
        layers += [up, nn.InstanceNorm2d(b), nn.ReLU()]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(8, 3, 7), nn.Tanh())


def dcgan() -> nn.Module:
    """DCGAN's generator: deconvolutions with batch norms from one pixel on."""
    layers: list[nn.Module] = [*normed(nn.ConvTranspose2d(16, 32, 4, bias=False), 32)]
    for a, b in ((32, 16), (16, 8)):
        layers += normed(nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), b)
    return nn.Sequential(*layers, nn.ConvTranspose2d(8, 3, 4, 2, 1, bias=False), nn.Tanh())


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "UNet": (UNet, (1, 3, SIZE, SIZE)),
    "StyleGAN": (StyleDecoder, (1, StyleDecoder.latent)),
    "CycleGAN": (cyclegan, (1, 3, SIZE, SIZE)),
    "DCGAN": (dcgan, (1, 16, 1, 1)),
}
"""How each is built, and the shape of its one input x."""


@cache
def exported(name: str) -> onnx.ModelProto:
    """A network with its batch norms in place: others' exporters do not fold them."""
    build, shape = NETWORKS[name]
    buffer = io.BytesIO()
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        torch.manual_seed(4)
        network = build().eval()
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm2d):
                nn.init.uniform_(norm.weight, 0.5, 1.5)
                nn.init.normal_(norm.bias, std=0.3)
                nn.init.normal_(norm.running_mean, std=0.3)  # type: ignore[arg-type]
                nn.init.uniform_(norm.running_var, 0.5, 1.5)  # type: ignore[arg-type]
        torch.onnx.export(
            network,
            (torch.zeros(shape),),
            buffer,  # type: ignore[arg-type]  # a stream is taken with dynamo=False
            opset_version=16,
            input_names=["x"],
            output_names=["y"],
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            dynamo=False,
        )
    return onnx.load_from_string(buffer.getvalue())
