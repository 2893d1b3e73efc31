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


#: The region of all that no other style names, and the whole picture.
REST = "rest"


ALL = "all"


#: What people call VOC's classes.
OTHER_NAMES = {
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


def check_names(names: Sequence[str], custom: Collection[str] = ()) -> None:
    """Check that every name is a region's.

    Args:
        names: as the user wrote them; an object is ``person.1``.
        custom: the names that the user has defined.

    Raises:
        UserError: names the wrong ones and the nearest right ones.
    """
    known = [*dict.fromkeys([*custom, *VOC_CLASSES, REST, ALL])]
    for name in names:
        base, _, number = name.partition(".")
        # Unlike str.isdigit, which takes ², too.
        if name in known or (base in known and re.fullmatch("0*[1-9][0-9]{0,8}", number)):
            continue
        near = [OTHER_NAMES[base]] if base in OTHER_NAMES else nearest(base, known)
        raise UserError(f"no region {name!r};{did_you_mean(near)} There are: {', '.join(known)}")
