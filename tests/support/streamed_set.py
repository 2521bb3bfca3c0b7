"""A small set of JPEG images in TFDS form, named as ImageNet's files are, that tests write."""

import io
import json
import shutil

import numpy as np
import tensorflow as tf
from PIL import Image

NUM_TRAIN, NUM_TEST = 30, 12
LABELS = (3, 7, 11, 500, 999)


def picture(number, height=36, width=44):
    """A smooth coloured picture, its own for each number: uint8 [height, width, 3]."""
    y, x = np.mgrid[:height, :width] / 10
    waves = [np.sin(y * (1 + number % 5) + number + c) + np.cos(x * (c + 1)) for c in range(3)]
    return (127 + 60 * np.stack(waves, -1)).astype(np.uint8)


def encoded(number):
    """Its JPEG; every third is upright."""
    image = picture(number) if number % 3 else picture(number, 50, 38)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95)
    return file.getvalue()


def examples(split):
    """(file name, label, JPEG) of each example, in the order of the disk: shuffled."""
    count = NUM_TRAIN if split == "train" else NUM_TEST
    for i in np.random.default_rng(0).permutation(count):
        label = LABELS[i % len(LABELS)]
        if split == "train":
            yield f"n{label:08d}_{100 - i}.JPEG", label, encoded(i)
        else:
            yield f"ILSVRC2012_val_{i + 1:08d}.JPEG", label, encoded(1000 + i)


def record(name, label, data):
    """A tf.train.Example of the set, serialised as TFDS does: the map's keys in order."""
    feature = tf.train.Feature
    features = {
        "file_name": feature(bytes_list=tf.train.BytesList(value=[name.encode()])),
        "image": feature(bytes_list=tf.train.BytesList(value=[data])),
        "label": feature(int64_list=tf.train.Int64List(value=[label])),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def write(data_dir, change=lambda split, found: found):
    """Writes imagenet2012 5.1.0 in two training shards and one for validation.

    Args:
        data_dir: where.
        change: makes of a split's list of (name, label, JPEG) what is written.

    Returns:
        The version's folder, with metadata that TFDS itself reads.
    """
    import tensorflow_datasets as tfds

    folder = data_dir / "imagenet2012" / "5.1.0"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    splits = []
    for split, name, parts in (("train", "train", 2), ("test", "validation", 1)):
        records = [record(*e) for e in change(split, list(examples(split)))]
        shards = [part.tolist() for part in np.array_split(np.array(records, object), parts)]
        for i, shard in enumerate(shards):
            path = folder / f"imagenet2012-{name}.tfrecord-{i:05d}-of-{parts:05d}"
            with tf.io.TFRecordWriter(str(path)) as writer:
                for content in shard:
                    writer.write(content)
        lengths = [str(len(shard)) for shard in shards]
        template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
        splits.append({"name": name, "shardLengths": lengths, "filepathTemplate": template})
    facts = {"name": "imagenet2012", "version": "5.1.0", "fileFormat": "tfrecord", "splits": splits}
    (folder / "dataset_info.json").write_text(json.dumps(facts))
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(num_classes=1000),
            "file_name": tfds.features.Text(),
        }
    )
    features.save_config(folder)
    return folder


def spoil(data):
    """A JPEG whose second half is missing."""
    return data[: len(data) // 2]


def central(data, size):
    """The middle 87.5% of a decoded JPEG at another size, written on its own with NumPy."""
    image = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE").numpy()
    cuts = [int((side - side * 0.875) / 2) for side in image.shape[:2]]
    part = image[cuts[0] : image.shape[0] - cuts[0], cuts[1] : image.shape[1] - cuts[1]]
    part = part.astype(np.float64)
    for axis in (0, 1):  # half-pixel centres, no low-pass filter before
        length = part.shape[axis]
        where = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
        low = np.floor(where).astype(int)
        high = np.minimum(low + 1, length - 1)
        share = (where - low).reshape([-1, 1, 1] if axis == 0 else [1, -1, 1])
        part = part.take(low, axis) * (1 - share) + part.take(high, axis) * share
    return part
