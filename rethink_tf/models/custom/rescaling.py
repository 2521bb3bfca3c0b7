"""Models that scale their images themselves: which do, and what they are given.

Importing this module loads no Keras.
"""


def found(model) -> str | None:
    """The layer with which a built model scales its images before its first weights, if any."""
    import keras

    for layer in _in_order(model):
        kind = type(layer).__name__
        if isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization):
            return kind
        if kind in ("TrueDivide", "Divide"):  # an operation, as of `images / 255`
            return "a division"
        if getattr(layer, "trainable_weights", None):
            return None
    return None


def _in_order(model):
    """The layers and operations of a model from its input on; those of code as it holds them."""
    import keras

    for layer in getattr(model, "operations", model.layers):
        if isinstance(layer, keras.Model):
            yield from _in_order(layer)
        else:
            yield layer


def what_it_gets(scaling: str, preprocess: str) -> str:
    """What a model that scales its images itself is given, and how it gets them unscaled."""
    begins = f"it scales its images itself ({scaling})"
    if preprocess == "none":
        return f"{begins} and gets pixels from 0 to 255"
    scaled = {
        "standardise": "each at mean 0 and deviation 1",
        "channel_norm": "normed by the training set's channels",
        "inception": "at -1 to 1",
    }
    return (
        f"{begins}, but gets them scaled already, {scaled[preprocess]}; for pixels from 0 to 255 "
        "type --preprocess=none"
    )
