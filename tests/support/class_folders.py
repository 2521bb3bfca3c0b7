"""Small data of one's own, as tests write them: class folders of drawn images, arrays, models."""

import numpy as np
from PIL import Image

MODELS = """
import keras
from keras import layers


def dense(input_shape, num_classes):
    return keras.Sequential([
        layers.Input(input_shape), layers.Flatten(), layers.Dense(64, activation="relu"),
        layers.Dense(num_classes, activation="softmax")])


def plain(input_shape, num_classes, *, weight_decay=0.0, dropout=0.0):
    return keras.Sequential([
        layers.Input(input_shape), layers.Flatten(),
        layers.Dense(num_classes, kernel_regularizer=keras.regularizers.L2(weight_decay / 2))])


class Fixed(layers.Layer):
    def __init__(self):
        super().__init__()
        self.norm = layers.BatchNormalization()

    def call(self, x):
        return self.norm(x, training=False)


def normalised(input_shape, num_classes):
    inner = keras.Sequential([layers.Conv2D(4, 3), layers.BatchNormalization()])
    x = images = keras.Input(input_shape)
    return keras.Model(images, layers.Dense(num_classes)(Fixed()(layers.Flatten()(inner(x)))))


class Head(keras.Model):
    def __init__(self, count):
        super().__init__()
        self.count = count
        self.flat, self.dense = layers.Flatten(), layers.Dense(count, activation="softmax")

    def call(self, images):
        return self.dense(self.flat(images))

    def get_config(self):
        return {"count": self.count}


def subclassed(input_shape, num_classes):
    return Head(num_classes)


def softmax_layer(input_shape, num_classes):
    return keras.Sequential([layers.Flatten(), layers.Dense(num_classes), layers.Softmax()])


def sigmoid(input_shape, num_classes):
    x = images = keras.Input(input_shape)
    x = layers.Dense(num_classes)(layers.Flatten()(x))
    return keras.Model(images, layers.Activation("sigmoid")(x))


def two_inputs(input_shape, num_classes):
    both = [keras.Input(input_shape), keras.Input(input_shape)]
    return keras.Model(both, layers.Dense(num_classes)(layers.Flatten()(layers.Add()(both))))


def two_outputs(input_shape, num_classes):
    x = keras.Input(input_shape)
    return keras.Model(x, [layers.Dense(num_classes)(layers.Flatten()(x)) for _ in range(2)])


def other_size(input_shape, num_classes):
    return dense((9, 9, input_shape[2]), num_classes)


def too_few(input_shape, num_classes):
    return dense(input_shape, num_classes - 1)


def weightless(input_shape, num_classes):
    x = keras.Input(input_shape)
    return keras.Model(x, layers.Flatten()(x)[:, :num_classes])


def no_model(input_shape, num_classes):
    return "a string"


def fails(input_shape, num_classes):
    raise ValueError("it cannot be built\\nfor two reasons")


def exits(input_shape, num_classes):
    raise SystemExit(0)


def half(input_shape, num_classes):
    return keras.Sequential([layers.Flatten(), layers.Dense(num_classes, dtype="float16")])


class Failing(layers.Dense):
    def call(self, x, training=None):
        if training:
            raise ValueError("only in training")
        return super().call(x)


def fails_in_training(input_shape, num_classes):
    return keras.Sequential([layers.Flatten(), Failing(num_classes)])


def no_arguments():
    return None
"""


def write_models(folder, name="five_lines"):
    """Writes the module above; returns its path."""
    path = folder / f"{name}.py"
    path.write_text(MODELS)
    return path


def picture(label, number, size=(12, 12), grey=False):
    """A bright bar at a place that depends on the class, on noise: a Pillow image."""
    rng = np.random.default_rng([label, number])
    pixels = rng.integers(0, 90, (size[1], size[0], 3), dtype=np.uint8)
    row = label * size[1] // 8
    pixels[row : row + 2, rng.integers(0, 3) : size[0] - rng.integers(0, 3)] = 230
    return Image.fromarray(pixels).convert("L" if grey else "RGB")


def draw(root, classes=7, each=10, sizes=((12, 12),), ending="png"):
    """Writes root/<class>/<number>.png; returns root."""
    for label in range(classes):
        (root / f"class_{label}").mkdir(parents=True)
        for number in range(each):
            image = picture(label, number, sizes[number % len(sizes)])
            image.save(root / f"class_{label}" / f"{number:02d}.{ending}")
    return root


def arrays(classes=7, each=10):
    """x_train, y_train, x_test, y_test of the same pictures."""

    def part(numbers):
        x = [np.asarray(picture(k, n)) for k in range(classes) for n in numbers]
        return np.stack(x), np.repeat(np.arange(classes), len(numbers))

    return *part(range(each)), *part(range(each, each + 3))
