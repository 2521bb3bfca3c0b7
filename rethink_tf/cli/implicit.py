"""SGD and the least norm: rethink-tf implicit --dataset=cifar10"""

from rethink_tf.experiments.studies.implicit import main

__all__ = ["main"]
