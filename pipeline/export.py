"""Write the instant painter as an ONNX file, to run without Python or PyTorch.

    python -m pipeline.export FILE.onnx

The file takes

- ``photograph``: (1, 3, H, W), RGB in [0, 1];
- ``mask``: (1, 1, H, W) in [0, 1], the region;
- ``style``: (1, 3, h, w), RGB in [0, 1];
- ``strength``: a scalar in [0, 1], 1 for all of the style;

of any sizes of 32 pixels a side and more, in float32, and gives ``picture``, (1, 3, H, W): the
photograph, its region painted in one pass at its own size. Several regions are painted one after
the other, each on the picture before. Encoder, moments, transport, decoder and bands are in the
file. `method=instant` does more: coarser sizes first, tiles, tones of the style, styles' regions.
"""

import argparse
import copy
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, library, nn

from pipeline.errors import UserError, fails_in_one_line
from pipeline.networks import instant
from pipeline.networks.instant import MULTIPLE, LoadedPainter, Painted
from pipeline.pictures.bands import with_bands_of
from pipeline.pictures.transport import root_by_products

#: Names of the inputs, in their order, and of the output.
INPUTS, OUTPUT = ("photograph", "mask", "style", "strength"), "picture"
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
        inside = _reflected(mask)
        masks = instant.depth_masks(inside)
        features = self.network.projected(self.encoder, _reflected(photograph))
        wanted = self.network.projected(self.encoder, _reflected(style))
        own, others = instant.moments(features, masks), instant.moments(wanted)
        maps = instant.transports(own, others, strength, transport_map)
        region = Painted(maps, wanted, strength)
        given = instant.mixed(features, [region], [masks], _places)
        painted = self.network(*given)
        banded = with_bands_of(painted, inside, _reflected(style), None, strength, transport_map)
        painted = painted + inside * (banded - painted)
        painted = painted[:, :, :height, :width].clamp(0, 1)
        picture: Tensor = photograph + mask * (painted - photograph)
        return picture


def _places(queries: Sequence[Tensor], keys: Sequence[Tensor], inside: Tensor | None) -> Tensor:
    """As `instant.places`, among all of the style's units, in one product."""
    rows, columns = instant.directions(queries, keys)
    size, other = queries[-1].shape[2:], keys[-1].shape[2:]
    where = instant.nearest(rows, columns, size, None)
    return instant.coherent(where, rows, columns, size, other)


def transport_map(given: Tensor, wanted: Tensor, least: float, most: float) -> Tensor:
    """As `transport.transport_map`, by matrix products alone."""
    given, wanted = given.double(), wanted.double()
    root, inverse = square_root(given)
    inner = square_root(root @ wanted @ root)[0]
    exact = inverse @ inner @ inverse
    if least > 0:
        exact = _bounded(exact, least, 1)
    return _bounded(exact, most, -1).float()


def _bounded(matrix: Tensor, gain: float, sign: int) -> Tensor:
    """No gain less than ``gain``, with a sign of 1, or no gain over it, with -1.

    ``max(A, g) = (A + g + |A - g|) / 2``, and ``|X|`` is the root of X^2.
    """
    bound = gain * torch.eye(len(matrix), dtype=matrix.dtype)
    apart = matrix - bound
    size = square_root(apart @ apart)[0]
    bounded: Tensor = (matrix + bound + sign * size) / 2
    return bounded


@library.custom_op("localized_style_transfer::square_root", mutates_args=())
def square_root(matrix: Tensor) -> Tensor:
    """(2, d, d), `transport.root_by_products` of (d, d), as an operation of its own.

    In a file it is a loop (`networks.onnx_root`), where PyTorch would write out every step for
    every matrix, which takes minutes.
    """
    return torch.stack(root_by_products(matrix))


@square_root.register_fake
def _(matrix: Tensor) -> Tensor:
    return matrix.new_empty(2, *matrix.shape)


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
        from pipeline.networks import onnx_root
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
            custom_translation_table={
                torch.ops.localized_style_transfer.square_root.default: onnx_root.root
            },
            dynamo=True,
            verbose=False,
            # What runs the file does so anyway; here it takes longer than all the rest.
            optimize=False,
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
