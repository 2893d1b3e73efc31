"""Write the instant painter as an ONNX file, to run without Python or PyTorch.

    python -m pipeline.export FILE.onnx

The file takes

- ``photograph``: (1, 3, H, W), RGB in [0, 1];
- ``mask``: (1, 1, H, W) in [0, 1], the region;
- ``style``: (1, 3, h, w), RGB in [0, 1];
- ``strength``: a scalar in [0, 1], 1 for all of the style;

of any sizes of 32 pixels a side and more, in float32, and gives ``picture``, (1, 3, H, W): the
photograph, its region painted in one pass at its own size. Several regions are painted one after
the other, each on the picture before. Encoder, moments, transport and decoder are in the file.
`method=instant` does more: coarser sizes first, tiles, tones of the style, styles' regions.
"""

import argparse
import copy
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.errors import UserError, fails_in_one_line
from pipeline.networks import instant
from pipeline.networks.instant import MULTIPLE, LoadedPainter, Painted

#: Names of the inputs, in their order, and of the output.
INPUTS, OUTPUT = ("photograph", "mask", "style", "strength"), "picture"
# Newton-Schulz doubles the exact digits at each step once it is near; far from it each step halves
# the distance to 1 of the smallest eigenvalue's root, at worst a ten-thousandth of the largest's.
_STEPS = 40
_OPSET = 18


class Exported(nn.Module):
    """The painter in operations that ONNX has: matrix products instead of eigenvectors.

    Args:
        painter: the one to write.
    """

    def __init__(self, painter: LoadedPainter) -> None:
        super().__init__()
        self.network = copy.deepcopy(painter.network)
        self.encoder = copy.deepcopy(painter.encoder)
        # Weights that could be trained are read by plain modules (`Encoder.read`).
        self.encoder.requires_grad_(True)

    def forward(self, photograph: Tensor, mask: Tensor, style: Tensor, strength: Tensor) -> Tensor:
        """The picture; see the module."""
        height, width = photograph.shape[2:]
        masks = instant.depth_masks(_reflected(mask))
        features = self.network.projected(self.encoder, _reflected(photograph))
        wanted = self.network.projected(self.encoder, _reflected(style))
        own, others = instant.moments(features, masks), instant.moments(wanted)
        maps = instant.transports(own, others, strength, transport_map)
        region = Painted(maps, wanted, strength)
        given = instant.mixed(features, [region], [masks], _places)
        painted = self.network(*given)[:, :, :height, :width].clamp(0, 1)
        picture: Tensor = photograph + mask * (painted - photograph)
        return picture


def _places(queries: Sequence[Tensor], keys: Sequence[Tensor], inside: Tensor | None) -> Tensor:
    """As `instant.places`, among all of the style's units, in one product."""
    rows, columns = instant.directions(queries, keys)
    size, other = queries[-1].shape[2:], keys[-1].shape[2:]
    where = instant.nearest(rows, columns, size, None)
    return instant.coherent(where, rows, columns, size, other)


def transport_map(given: Tensor, wanted: Tensor, least: float, most: float) -> Tensor:
    """As `transport.transport_map`, by matrix products alone; no gain is less than 0 anyway."""
    given, wanted = given.double(), wanted.double()
    root, inverse = square_root(given)
    inner, _ = square_root(root @ wanted @ root)
    exact = inverse @ inner @ inverse
    # No gain over the largest: min(A, g) = (A + g - |A - g|) / 2, and |X| is the root of X^2.
    bound = most * torch.eye(len(exact), dtype=torch.float64)
    above = exact - bound
    size, _ = square_root(above @ above)
    return ((exact + bound - size) / 2).float()


def square_root(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The root of a symmetric positive matrix, and the root's inverse, by Newton and Schulz.

    The coupled iteration of Higham 2008, Functions of Matrices, eq. 6.35.

    Args:
        matrix: (d, d), double precision.
    """
    one = torch.eye(len(matrix), dtype=matrix.dtype)
    size = torch.sqrt((matrix * matrix).sum()) + 1e-12
    root, inverse = matrix / size + 1e-9 * one, one
    for _ in range(_STEPS):
        step = (3 * one - inverse @ root) / 2
        root, inverse = root @ step, step @ inverse
    return root * size.sqrt(), inverse / size.sqrt()


def _reflected(picture: Tensor) -> Tensor:
    """(B, C, H, W) reflected at the right and the bottom to multiples of `MULTIPLE`."""
    for axis in (2, 3):
        length = picture.shape[axis]
        larger = (length + MULTIPLE - 1) // MULTIPLE * MULTIPLE
        places = torch.arange(larger)
        places = torch.where(places < length, places, 2 * length - 2 - places)
        picture = picture.index_select(axis, places)
    return picture


def write(painter: LoadedPainter, file: Path) -> None:
    """Write an ONNX file.

    Args:
        painter: on the CPU.
        file: whose folder is made.

    Raises:
        UserError: a package is missing, or another ending than ``.onnx``.
    """
    if file.suffix != ".onnx":
        raise UserError(f"{file} does not end with .onnx; give a name that does")
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise UserError("onnxscript is missing; pip install -e '.[onnx]'") from None
    # By name: PyTorch proves no more about sizes than it needs.
    shapes: dict[str, Any] = {
        "photograph": {2: "height", 3: "width"},
        "mask": {2: "height", 3: "width"},
        "style": {2: "rows", 3: "columns"},
        "strength": None,
    }
    example = (
        torch.rand(1, 3, 88, 120),
        torch.ones(1, 1, 88, 120),
        torch.rand(1, 3, 72, 104),
        torch.tensor(1.0),
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    module = Exported(painter).eval()
    with warnings.catch_warnings():
        # Of names that two inputs share, and of what PyTorch itself will change.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            example,
            input_names=[*INPUTS],
            output_names=[OUTPUT],
            dynamic_shapes=shapes,
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        partial = file.with_name(f"{file.name}.partial")
        program.save(str(partial))
    partial.replace(file)


def main(words: list[str] | None = None) -> None:
    """The command; exits with 2 where the user has to put something right."""
    parser = argparse.ArgumentParser(description="Write the instant painter as an ONNX file.")
    parser.add_argument("file", type=Path, help="FILE.onnx")
    parser.add_argument("--weights", type=Path, help="a painter of your own; default: bundled")
    chosen = parser.parse_args(words)
    with fails_in_one_line():
        write(instant.load(torch.device("cpu"), chosen.weights), chosen.file)
        print(f"{chosen.file}: {', '.join(INPUTS)} -> {OUTPUT}")


if __name__ == "__main__":
    main()
