"""Result: what a run has made, before anything is written."""

import dataclasses
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from pipeline.engine.progress import LossRow
from pipeline.pictures.read import tensor_to_array
from pipeline.regions.segment import Segmentation

if TYPE_CHECKING:
    from pipeline.paint import Painted


@dataclass(frozen=True)
class Result:
    """What a run has made. In a notebook it shows as its picture.

    Attributes:
        content: (1, 3, H, W) in [0, 1], the photograph.
        painted: (1, 3, H, W) in [0, 1]; None where no style was asked for.
        segmentation: class probabilities; None where no class was asked for.
        shown: all regions that were found or drawn, to (1, 1, H, W) in [0, 1].
        region_masks: the styled regions, likewise.
        styles: styled region to its style pictures as used, (1, 3, h, w) in [0, 1].
        losses: the loss at every iteration.
        snapshots: number of iterations to the picture after them, as ``painted``.
        extra: name to further pictures, such as stitch's ``style_canvas``.
        summary: what ``summary.json`` holds: regions with share, style and distance to it before
            and after, networks, device, seconds by stage.
    """

    content: Tensor
    painted: Tensor | None
    segmentation: Segmentation | None
    shown: dict[str, Tensor]
    region_masks: dict[str, Tensor]
    styles: dict[str, list[Tensor]] = field(default_factory=dict)
    losses: list[LossRow] = field(default_factory=list)
    snapshots: dict[int, Tensor] = field(default_factory=dict)
    extra: dict[str, Tensor] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)

    def with_painted(self, painted: "Painted", styles: dict[str, list[Tensor]]) -> "Result":
        """The same with what was painted.

        Args:
            painted: of this content.
            styles: as the attribute.
        """
        return dataclasses.replace(
            self,
            painted=painted.picture,
            styles=styles,
            losses=painted.losses,
            snapshots=painted.snapshots,
            extra=painted.extra,
        )

    def history(self) -> dict[int, dict[str, Tensor]]:
        """Number of iterations to the pictures worth looking at after them."""
        if self.painted is None:
            return {}
        found = {0: {"content": self.content, **self.extra}}
        for number, picture in self.snapshots.items():
            found[number] = {"result": picture}
        return found | {len(self.losses): {"result": self.painted}}

    @property
    def picture(self) -> Image.Image:
        """The painted picture, 8-bit sRGB; the photograph where no style was asked for."""
        return Image.fromarray(
            tensor_to_array(self.content if self.painted is None else self.painted)
        )

    @property
    def regions(self) -> dict[str, float]:
        """Each region's share of the picture, in [0, 1]."""
        return {entry["name"]: entry["share"] for entry in self.summary["regions"]}

    @property
    def masks(self) -> dict[str, npt.NDArray[np.float32]]:
        """Each region's mask, (H, W) float32 in [0, 1]."""
        return {
            name: mask[0, 0].float().cpu().numpy()
            for name, mask in (self.shown | self.region_masks).items()
        }

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.picture.save(buffer, format="PNG")
        return buffer.getvalue()
