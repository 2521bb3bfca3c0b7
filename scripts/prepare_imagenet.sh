#!/usr/bin/env bash
# ImageNet (ILSVRC 2012) for --dataset=imagenet2012, from the two archives of image-net.org:
#
#   ILSVRC2012_img_train.tar   147,897,477,120 bytes, 1,281,167 images
#   ILSVRC2012_img_val.tar       6,744,924,160 bytes,    50,000 images
#
#   scripts/prepare_imagenet.sh FOLDER_OF_THE_TARS DATA_DIR
#
# writes DATA_DIR/imagenet2012/5.1.0/: 1,024 + 64 TFRecord files, about 155 GB, and needs no more
# room than that, since TFDS reads images straight from the archives. By TFDS' own account some
# hours, mostly the disk's. The images then stay on disk and are read at random while training: an
# SSD is wanted. The first run decodes every image once, to name the unreadable ones.
#
# This recipe has not been run at full size by the project. The test split of 5.1.0, without
# labels, is prepared only if its archive ILSVRC2012_img_test_v10102019.tar lies there too.
set -euo pipefail

if [ $# -ne 2 ]; then
  echo "usage: $0 FOLDER_OF_THE_TARS DATA_DIR" >&2
  exit 2
fi
tars=$1 data=$2
for tar in ILSVRC2012_img_train.tar ILSVRC2012_img_val.tar; do
  if [ ! -f "$tars/$tar" ]; then
    echo "$0: expected $tars/$tar; register at https://image-net.org and download it" >&2
    exit 2
  fi
done
mkdir -p "$data"
free=$(df --output=avail -B1000000000 "$data" | tail -1 | tr -d ' ')
if [ "$free" -lt 160 ] && [ ! -d "$data/imagenet2012" ]; then
  echo "$0: expected 160 GB free in $data, found $free GB" >&2
  exit 6
fi
python - "$tars" "$data" <<'PYTHON'
import sys

import tensorflow_datasets as tfds

tars, data = sys.argv[1:]
builder = tfds.builder("imagenet2012:5.1.0", data_dir=data, file_format="tfrecord")
builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=tars))
for split in ("train", "validation"):
    print(f"{split}: {builder.info.splits[split].num_examples:,} examples")
PYTHON
echo "ready: python -m rethink_tf.main --flagfile=flags/table2/random.flags --data_dir=$data"
