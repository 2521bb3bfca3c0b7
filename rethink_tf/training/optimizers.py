"""The optimisers: SGD with momentum as in the paper, or Adam and AdamW of Keras.

All keep their state in `slots`, variables that are equal on all replicas at every step, so a
checkpoint has them as it has the weights.
"""

from typing import Any

import numpy as np
import tensorflow as tf


class Momentum:
    """SGD with the momentum of TensorFlow 1, as in the paper's time: m = 0.9 m + g; w -= rate m.

    Args:
        model: keras.Model; made within the strategy's scope, as this.
        momentum: from 0 below 1.
    """

    slot_name = "momentum"

    def __init__(self, model: Any, momentum: float) -> None:
        self.weights = [v.value for v in model.trainable_variables]
        self.momentum = momentum
        # NumPy arrays, since a tensor of zeros would be created on each replica's device.
        self.slots = [
            tf.Variable(np.zeros(v.shape, np.float32), trainable=False) for v in self.weights
        ]

    def begin_epoch(self, rate: float) -> None:
        """Does nothing: the learning rate comes with each step."""

    def apply(self, gradients: list[Any], rate: Any) -> None:
        """One step, in replica context.

        Args:
            gradients: of this replica's part of the batch's mean loss; they are summed here.
            rate: float32 [], the learning rate.
        """
        context = tf.distribute.get_replica_context()
        gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        for weight, slot, gradient in zip(self.weights, self.slots, gradients, strict=True):
            tf.raw_ops.ResourceApplyMomentum(
                var=weight.handle,
                accum=slot.handle,
                lr=rate,
                grad=gradient,
                momentum=self.momentum,
            )


class KerasOptimizer:
    """An optimiser of Keras with its default settings, except learning rate and weight decay.

    Args:
        model: keras.Model; made within the strategy's scope, as this.
        name: `adam` or `adamw`.
        weight_decay: of `adamw`, decoupled (Loshchilov and Hutter, 2019): w -= rate lambda w before
            the step, for the variables of `decayed`. The coupled one of `adam` is part of the loss.
    """

    slot_name = "slot"

    def __init__(self, model: Any, name: str, weight_decay: float = 0.0) -> None:
        import keras

        self.variables = list(model.trainable_variables)
        if name == "adamw":
            self.keras = keras.optimizers.AdamW(weight_decay=float(weight_decay))
            spared = [v for v in self.variables if not decayed(v)]
            self.keras.exclude_from_weight_decay(var_list=spared)
        else:
            self.keras = keras.optimizers.Adam()
        self.keras.build(self.variables)
        # The learning rate follows from the epoch, so it is not part of the saved state.
        self.slots = [v.value for v in self.keras.variables if v is not self.keras.learning_rate]

    def begin_epoch(self, rate: float) -> None:
        """Sets the learning rate of all steps until the next epoch."""
        self.keras.learning_rate.assign(rate)

    def apply(self, gradients: list[Any], rate: Any) -> None:
        """One step, in replica context; see `Momentum.apply`. Keras sums over the replicas."""
        del rate  # `begin_epoch` has set it
        self.keras.apply(gradients, self.variables)


def decayed(variable: Any) -> bool:
    """Whether decoupled weight decay acts on a keras.Variable: not on biases and gains.

    A bias of an attention layer has two dimensions, so its name counts as well.
    """
    return len(variable.shape) > 1 and variable.name != "bias"


def of_name(name: str, model: Any, *, momentum: float, weight_decay: float) -> Any:
    """The optimiser of the flag --optimizer for a model; within the strategy's scope.

    Args:
        name: `sgd`, `adam` or `adamw`.
        model: keras.Model.
        momentum: of `sgd`.
        weight_decay: of `adamw`.
    """
    if name == "sgd":
        return Momentum(model, momentum)
    return KerasOptimizer(model, name, weight_decay)
