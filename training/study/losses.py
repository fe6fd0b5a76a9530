"""The losses of the study by name, each as the terms of libdice. `dice-training` has those of its table under the same names."""

import libdice
from libdice import term, weights_from_volumes

# Values of the header's enumerations.
BATCH = 2
SOFTMAX = 0
INVERSE, INVERSE_SQUARE, UNIFORM, FIXED = 0, 1, 2, 3
MAX_FINITE, EPSILON, ZERO = 1, 2, 4
RATIO, SKIP, EMPTY_ZERO = 1, 2, 3


def cross_entropy(**settings):
    return [term("cross_entropy", **settings)]


def focal():
    return [term("focal")]


def gdl(**settings):
    return [term("generalized_dice", **settings)]


def dice(**settings):
    return [term("soft_dice", **settings)]


def batch_pooled():
    """The question's loss takes probabilities: those of the network's softmax."""
    terms = libdice.preset("batch_pooled")
    terms[0].activation = SOFTMAX
    return terms


LOSSES = {
    # The question and its answer, Sudre's weights as MONAI and the paper have them.
    "batch_pooled": lambda v: batch_pooled(),
    "per_sample": lambda v: libdice.preset("per_sample"),
    "monai_gdl": lambda v: libdice.preset("monai_gdl"),
    # Generalised Dice with this library's policies: weights 1/T², 1/T, 1 of a patch, of a batch, and of the data set.
    "gdl_square": lambda v: gdl(weighting=INVERSE_SQUARE),
    "gdl_square_batch": lambda v: gdl(weighting=INVERSE_SQUARE, grouping=BATCH),
    "gdl_inverse": lambda v: gdl(weighting=INVERSE),
    "gdl_inverse_batch": lambda v: gdl(weighting=INVERSE, grouping=BATCH),
    "gdl_uniform": lambda v: gdl(weighting=UNIFORM),
    "gdl_square_volumes": lambda v: gdl(weighting=FIXED, class_weights=weights_from_volumes(v, INVERSE_SQUARE)),
    "gdl_inverse_volumes": lambda v: gdl(weighting=FIXED, class_weights=weights_from_volumes(v, INVERSE)),
    # What an absent class weighs.
    "gdl_square_max": lambda v: gdl(weighting=INVERSE_SQUARE, absent=MAX_FINITE),
    "gdl_square_zero": lambda v: gdl(weighting=INVERSE_SQUARE, absent=ZERO),
    "gdl_square_1e-6": lambda v: gdl(weighting=INVERSE_SQUARE, absent=EPSILON, absent_epsilon=1e-6, raw_weights=1),
    "gdl_inverse_max": lambda v: gdl(weighting=INVERSE, absent=MAX_FINITE),
    "gdl_inverse_zero": lambda v: gdl(weighting=INVERSE, absent=ZERO),
    # A ratio per class, and what a class that a patch lacks is worth.
    "dice": lambda v: dice(),
    "dice_batch": lambda v: dice(grouping=BATCH),
    "dice_ratio": lambda v: dice(empty=RATIO),
    "dice_skip": lambda v: dice(empty=SKIP),
    "dice_zero": lambda v: dice(empty=EMPTY_ZERO),
    "dice_foreground": lambda v: dice(exclude_background=1),
    "dice_squared": lambda v: dice(volumes=1),
    "dice_log": lambda v: dice(transform=1),
    "monai_dice": lambda v: libdice.preset("monai_dice"),
    "jaccard": lambda v: [term("jaccard")],
    "tversky": lambda v: [term("tversky", false_positives=0.3, false_negatives=0.7)],
    "focal_tversky": lambda v: [term("focal_tversky", false_positives=0.3, false_negatives=0.7)],
    # Voxel by voxel.
    "cross_entropy": lambda v: cross_entropy(),
    "cross_entropy_volumes": lambda v: cross_entropy(class_weights=weights_from_volumes(v, INVERSE)),
    "focal": lambda v: focal(),
    # Sums.
    "dice_ce": lambda v: dice() + cross_entropy(),
    "dice_squared_ce": lambda v: dice(volumes=1) + cross_entropy(),
    "dice_batch_ce": lambda v: dice(grouping=BATCH) + cross_entropy(),
    "dice_focal": lambda v: dice() + focal(),
    "gdl_square_ce": lambda v: gdl(weighting=INVERSE_SQUARE) + cross_entropy(),
    "gdl_inverse_ce": lambda v: gdl(weighting=INVERSE) + cross_entropy(),
    "gdl_inverse_volumes_ce": lambda v: gdl(weighting=FIXED, class_weights=weights_from_volumes(v, INVERSE)) + cross_entropy(),
    "monai_gdl_ce": lambda v: libdice.preset("monai_gdl") + cross_entropy(),
    "nnunet_dc_ce": lambda v: libdice.preset("nnunet_dc_ce"),
}


def make(name, volumes):
    return libdice.Loss(LOSSES[name](list(volumes)))
