"""Where data come from: TFDS, folders of images, arrays, CSV files, the embedded digits."""
