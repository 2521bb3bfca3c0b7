"""The kinds of pixels that every test of them goes through, and the names of the two splits."""

from rethink_tf.corruptions.threefry import SplitId

TRAIN, TEST = SplitId.TRAIN, SplitId.TEST
KINDS = [
    {"pixels": "original"},
    {"pixels": "shuffled"},
    {"pixels": "shuffled", "shuffle_fraction": 0.3},
    {"pixels": "random"},
    {"pixels": "random", "shuffle_fraction": 0.3},
    {"pixels": "gaussian"},
    {"pixels": "gaussian", "pixel_mix": 0.3},
]
NAMES = ["-".join(map(str, kind.values())) for kind in KINDS]
ORIGINAL, SHUFFLED, THIRD_SHUFFLED, RANDOM, THIRD_RANDOM, GAUSSIAN, MIXED = KINDS
