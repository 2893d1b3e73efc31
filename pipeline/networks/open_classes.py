"""The classes of other people's segmenters: their names, and what they are in our words.

Their label sets (ADE20K, COCO, Cityscapes, PASCAL Context, ...) name more than VOC's twenty objects
and the scenes, and name these otherwise.
"""

import re
from collections.abc import Sequence

from pipeline.networks.segmenters import Classes
from pipeline.regions.names import ALL, REST, VOC_CLASSES

#: Which classes of such label sets are VOC's objects; under its own name each is one in any case.
_OBJECTS = {
    "aeroplane": "airplane plane aircraft",
    "bicycle": "bike",
    "boat": "ship",
    "car": "van automobile",
    "chair": "armchair swivel_chair",
    "cow": "cattle",
    "diningtable": "dining_table table coffee_table",
    "motorbike": "motorcycle minibike",
    "person": "human people man woman child pedestrian rider",
    "pottedplant": "potted_plant pot houseplant",
    "sofa": "couch",
    "tvmonitor": "tv television television_receiver monitor crt_screen tv_monitor",
}
#: And which are scenes (`pipeline.regions.names`).
_SCENES = {
    "sky": "cloud clouds",
    "building": "house skyscraper hovel tower roof grandstand",
    "tree": "palm palm_tree vegetation plant bush shrub leaves branch",
    "grass": "field lawn playingfield",
    "water": "sea river lake ocean waterfall falls swimming_pool pool",
    "mountain": "hill",
    "ground": "earth land soil dirt road street sidewalk pavement path dirt_track sand gravel "
    "terrain runway snow mud",
}
_WORDS = {name: tuple(words.split()) for name, words in (_OBJECTS | _SCENES).items()}
#: What surrounds objects besides scenes: the stuff of ADE20K, COCO and Cityscapes.
_SURROUNDINGS = (
    "wall floor ceiling fence railing base stage stairs stairway escalator window windowpane blind "
    "railroad rail_track parking guard_rail tunnel platform canopy tent rug carpet rock stone "
    "bridge pier wall_brick wall_stone wall_tile wall_wood wall_panel wall_concrete floor_wood "
    "floor_tile floor_stone floor_marble wood solid structural void unlabeled other ignore"
)
_RESERVED = (ALL, REST, "labels")
# Words that COCO adds to a class of its own for what it has put together.
_ADDED = re.compile(r"[-_ ](other|merged|stuff)(?=$|[-_ ])")


def region_names(labels: Sequence[str]) -> tuple[str, ...]:
    """The names of regions that a model's labels become.

    The first synonym in lower case with underscores: ``Swimming pool, pool`` becomes
    ``swimming_pool``. Where that is taken, all of the label's words; where these are, a number.

    Args:
        labels: a model's, in their order.
    """
    found: list[str] = []
    for number, label in enumerate(labels):
        short = _plain(_ADDED.sub("", label.split(",")[0].strip()))
        choices = [short, _plain(label), f"{short or 'class'}_{number}"]
        taken = {*found, *_RESERVED}
        found.append(next(name for name in choices if name and name not in taken))
    return tuple(found)


def _plain(label: str) -> str:
    return re.sub(r"\W+", "_", label.strip().lower()).strip("_")


def classes_of(labels: Sequence[str]) -> Classes:
    """What a model's labels are: objects, what lies in the background, and what VOC's names mean.

    Args:
        labels: a model's, in their order. The classes are in the same, but for ``background``,
            which is first, whether or not the model has it.
    """
    names = tuple(dict.fromkeys(("background", *region_names(labels))))
    unions = {}
    for name, words in _WORDS.items():
        parts = tuple(own for own in names if own == name or own in words)
        if parts and parts != (name,):
            unions[name] = parts
    scenes = {own for name in _SCENES for own in names if own == name or own in _WORDS[name]}
    under = (scenes | ({*_SURROUNDINGS.split()} & {*names})) - {*VOC_CLASSES}
    return Classes(names, under=frozenset(under), unions=unions)
