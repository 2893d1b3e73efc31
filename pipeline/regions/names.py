"""Names: the regions that a style can be given to."""

import re
from collections.abc import Collection, Sequence

from pipeline.errors import UserError, did_you_mean, nearest

#: The classes of PASCAL VOC in their order, with "background" for VOC's class 0.
VOC_CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


#: VOC's class 0: what is none of its objects.
BACKGROUND = VOC_CLASSES[0]

#: What a scene is made of. They lie in the background, that is, under VOC's objects.
SCENE_CLASSES = ("sky", "building", "tree", "grass", "water", "mountain", "ground")

#: All classes that are found in photographs, by their numbers in label maps.
CLASSES = (*VOC_CLASSES, *SCENE_CLASSES)

#: The region of all that no other style names, and the whole picture.
REST = "rest"


ALL = "all"


#: What people call the classes.
OTHER_NAMES = {
    "cloud": "sky",
    "clouds": "sky",
    "house": "building",
    "houses": "building",
    "trees": "tree",
    "forest": "tree",
    "leaves": "tree",
    "lawn": "grass",
    "meadow": "grass",
    "sea": "water",
    "ocean": "water",
    "lake": "water",
    "river": "water",
    "hill": "mountain",
    "hills": "mountain",
    "mountains": "mountain",
    "road": "ground",
    "street": "ground",
    "earth": "ground",
    "floor": "ground",
    "airplane": "aeroplane",
    "plane": "aeroplane",
    "bike": "bicycle",
    "couch": "sofa",
    "human": "person",
    "man": "person",
    "woman": "person",
    "people": "person",
    "monitor": "tvmonitor",
    "tv": "tvmonitor",
    "motorcycle": "motorbike",
    "plant": "pottedplant",
    "ship": "boat",
    "table": "diningtable",
}


def check_names(
    names: Sequence[str],
    custom: Collection[str] = (),
    classes: Collection[str] = CLASSES,
) -> None:
    """Check that every name is a region's.

    Args:
        names: as the user wrote them; an object is ``person.1``.
        custom: the names that the user has defined.
        classes: what the segmenter finds.

    Raises:
        UserError: names the wrong ones and the nearest right ones.
    """
    known = [*dict.fromkeys([*custom, *classes, REST, ALL])]
    for name in names:
        base, _, number = name.partition(".")
        # Unlike str.isdigit, which takes ², too.
        if name in known or (base in known and re.fullmatch("0*[1-9][0-9]{0,8}", number)):
            continue
        near = [OTHER_NAMES[base]] if OTHER_NAMES.get(base) in known else nearest(base, known)
        raise UserError(f"no region {name!r};{did_you_mean(near)} There are: {', '.join(known)}")
