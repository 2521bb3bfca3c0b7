"""Compares every pass over the data with its seal while a run trains.

The first difference is kept as `violation`: a sentence with the name of the seal, the expected and
the measured value. The run then ends INVALID.
"""

import dataclasses
from typing import Any

import numpy as np

from rethink_tf.audit.reference_input import ReferenceFeatures, ReferenceInput, differing
from rethink_tf.audit.seal import Seal, parts, sampled_rows, unequal
from rethink_tf.corruptions import threefry
from rethink_tf.corruptions.image_checksum import checksum, wrapped
from rethink_tf.corruptions.threefry import SplitId, Stream
from rethink_tf.errors import AuditError
from rethink_tf.narrowing import present
from rethink_tf.runs import schema

Inputs = ReferenceInput | ReferenceFeatures


@dataclasses.dataclass(frozen=True, eq=False)
class Sealed:
    """The seals of both splits, and the expected input of the model.

    Attributes:
        train, test: seals.
        train_inputs, test_inputs: the expected input, recomputed from the source.
        augment: of training.
    """

    train: Seal
    test: Seal
    train_inputs: Inputs
    test_inputs: Inputs
    augment: str

    def record(self) -> dict[str, schema.SealRecord]:
        """The seals as config.json and summary.json have them, by split."""
        return {
            seal.split: schema.SealRecord(
                examples=seal.num_examples,
                labels=seal.label_checksum,
                images=seal.image_checksum,
            )
            for seal in (self.train, self.test)
        }

    def examples(self) -> list[int]:
        """The number of training and of test examples."""
        return [self.train.num_examples, self.test.num_examples]

    def checksums(self) -> dict[str, int]:
        """What several processes of a run must agree on, by name.

        Images count only where their pixels are whole numbers: Gaussian noise and features may
        differ in the last bits from one machine to another.
        """
        sums = {"labels": self.train.label_checksum, "test labels": self.test.label_checksum}
        for seal, inputs in ((self.train, self.train_inputs), (self.test, self.test_inputs)):
            if isinstance(inputs, ReferenceInput) and inputs.corruption.pixels != "gaussian":
                sums[f"{seal.split} images"] = seal.image_checksum
        return sums

    def inputs_of(self, seal: Seal) -> Inputs:
        """The expected input of the model for the split of a seal."""
        return self.train_inputs if seal.split == "train" else self.test_inputs

    def with_labels(self, labels: np.ndarray) -> "Sealed":
        """The same with other training labels: integer [N]."""
        return dataclasses.replace(self, train=self.train.with_labels(labels))


@dataclasses.dataclass(frozen=True)
class Pass:
    """What a pass over a set really read, a row for each example, in order.

    Attributes:
        labels: int64 [N], words over (index, label).
        images: int64 [N], words over (index, image), as it was on the device.
        files, sent: of streamed images: see `StreamedImages.sealed_batches`.
    """

    labels: np.ndarray
    images: np.ndarray
    files: np.ndarray | None = None
    sent: np.ndarray | None = None


class SealChecks:
    """Compares the steps of a run with the seals.

    Args:
        sealed: both seals.
        steps: `Steps`, whose order, batches and replicas are those of the run.

    Attributes:
        violation: the first disagreement, or None.
        probed: the difference that the probe of this epoch found, or None. The sums of the epoch
            are compared first, since they locate an error better.
        expected: the value that `Steps.image_checksum` must have now; None in the rest of an epoch
            that a version without seals began.
    """

    def __init__(self, sealed: Sealed, steps: Any):
        self.sealed, self.steps = sealed, steps
        self.violation = sealed.train.columns(steps.train)
        self.probed: str | None = None
        self.expected: int | None = 0
        # split: words of all streamed images, recorded in the first pass.
        self.decoded: dict[str, np.ndarray] = {}
        self._of_epoch: tuple[int, np.ndarray] = (-1, np.zeros(0, np.int64))

    def _violated(self, sentence: str | None) -> None:
        self.violation = self.violation or sentence

    @property
    def _epoch(self) -> int:
        return int(self.steps.epoch)

    def drawn(self, count: int, probe: bool = False) -> int:
        """The number of a batch, from 0 to `count` - 1, drawn from the seed and the epoch.

        The probe of training (`probe`) has a draw of its own.
        """
        number, _ = threefry.bits(
            self.steps.seed, Stream.PROBE, SplitId.TRAIN, np.array([int(probe)]), self._epoch
        )
        return int(number[0]) * count >> 32

    # Training

    def begin_epoch(self) -> None:
        """Begins a new epoch."""
        self.expected, self.probed = 0, None

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it, within an epoch."""
        return {n: getattr(self, n) for n in ("expected", "probed", "violation")}

    def resume(self, state: dict[str, Any] | None) -> None:
        """Resumes within an epoch, from what `state` gave; None: begun before there were seals."""
        state = state or {"expected": None, "probed": None, "violation": None}
        self.expected, self.probed = state["expected"], state["probed"]
        self.violation = self.violation or state["violation"]

    def advance(self, step: int, count: int) -> int:
        """Calls `Steps.advance`, notes what the steps read, and probes one step of each epoch.

        A dispatch ends behind the probed step, which changes no bit of what is computed.
        """
        probed = self.drawn(self.steps.train.num_examples // self.steps.batch_size, probe=True)
        if step <= probed:
            count = min(count, probed + 1 - step)
        reached = self.steps.advance(step, count)
        if self.violation is None:  # a table that is not the sealed one has nothing to compare
            if self.expected is not None:
                self.expected = wrapped(self.expected + self._expected(step, reached))
            if step <= probed < reached:
                self._probe(probed)
        return reached

    def _expected(self, first: int, last: int) -> int:
        """The sum of image words that steps from `first` up to, not including, `last` give."""
        size, seal = self.steps.batch_size, self.sealed.train
        order = self._order()
        if seal.streamed:
            return checksum(seal.words[order[first * size : last * size]])
        whole = len(order) // size
        total, steps = 0, np.arange(first, min(last, whole))
        batches = [(steps, size)] if len(steps) else []
        if last > whole:
            batches.append((np.array([whole]), len(order) % size))
        for steps, rows in batches:
            for low, high in parts(rows, self.steps.strategy.num_replicas_in_sync):
                if high > low:
                    chosen = steps[:, None] * size + low + sampled_rows(steps, high - low)
                    total += checksum(seal.words[order[chosen]])
        return wrapped(total)

    def _order(self) -> np.ndarray:
        """The order of the epoch: int32 [N], drawn here and not taken from the steps."""
        if self._of_epoch[0] != self._epoch:
            seed, count = self.steps.seed, self.sealed.train.num_examples
            order = threefry.permutation(seed, Stream.ORDER, SplitId.TRAIN, count, self._epoch)
            self._of_epoch = (self._epoch, order)
        return self._of_epoch[1]

    def _own_parts(self) -> list[tuple[int, int]]:
        """Of a whole batch, what each replica of this host takes: (first row, behind the last)."""
        cut = parts(self.steps.batch_size, self.steps.strategy.num_replicas_in_sync)
        return [cut[replica] for replica in self.steps.own_replicas()]

    def _probe(self, step: int) -> None:
        """What the model got at a step, against what is recomputed from the source."""
        shown = self.steps.got()
        for (low, _), (inputs, index, given) in zip(self._own_parts(), shown, strict=True):
            place = step * self.steps.batch_size + low
            rows = self._order()[place : place + len(index)]
            seal = self.sealed.train
            where = f"in epoch {self._epoch}, step {step + 1}"
            self.probed = (
                self.probed
                or first_unequal(f"identities {where}", index, seal.index[rows], "train examples")
                or first_unequal(f"labels {where}", given, seal.given[rows], "train labels")
                or self._inputs_differ(where, rows, inputs)
            )

    def _inputs_differ(self, where: str, rows: Any, inputs: Any) -> str | None:
        return self._apart(where, self.sealed.train, rows, inputs, self.sealed.augment)

    def _apart(
        self, where: str, seal: Seal, rows: Any, inputs: Any, augment: str = "none"
    ) -> str | None:
        reference = self.sealed.inputs_of(seal)
        return inputs_differ(where, seal, reference, rows, inputs, augment, self._epoch)

    def end_epoch(self) -> None:
        """Compares the sums of an epoch with those of the seals."""
        labels, seal = self.steps.running()["checksum"], self.sealed.train
        if labels != seal.label_checksum:
            self._violated(
                f"the labels that entered the loss in epoch {self._epoch} are not the audited "
                f"ones: checksum {labels}, expected {seal.label_checksum} (seal: train labels)"
            )
        got = self.steps.image_checksum()
        if self.violation is None and self.expected is not None and got != self.expected:
            self._violated(
                f"the images of training epoch {self._epoch} are not the sealed ones: checksum "
                f"{got}, expected {self.expected} (seal: train images)"
            )
        self._violated(self.probed)

    # Batch-norm statistics

    def renewed(self, step: int, count: int, got: Any) -> None:
        """Checks a batch from which batch-norm statistics are taken, by replica of this host.

        Args:
            step: from 0, of the epoch's order.
            count: how many batches there are.
            got: for each (sum of words, inputs [n, H, W, C], identities [n]), as tensors.
        """
        if self.violation is not None:
            return
        order, seal, where = self._order(), self.sealed.train, "for batch-norm statistics"
        probed = step == self.drawn(count, probe=True)
        for (low, high), (words, inputs, index) in zip(self._own_parts(), got, strict=True):
            rows = order[step * self.steps.batch_size :][low:high]
            expected = checksum(seal.words[rows])
            if int(words) != expected:
                self._violated(
                    f"the images {where} after epoch {self._epoch}, batch {step + 1}, are not the "
                    f"sealed ones: checksum {int(words)}, expected {expected} (seal: train images)"
                )
            if probed and self.violation is None:
                rows = rows[: len(index)]
                place = f"{where} after epoch {self._epoch}, batch {step + 1},"
                self._violated(
                    first_unequal(f"identities {place}", index, seal.index[rows], "train examples")
                    or self._inputs_differ(place, rows, inputs)
                )

    # Evaluation

    def evaluated(self, seal: Seal, taken: Pass, shown: Any) -> None:
        """Compares an evaluation with its seal, example by example.

        Args:
            seal: of the split.
            taken: what the pass took.
            shown: (positions int64 [n], what the model got of them).
        """
        where = f"evaluation of the {seal.split} set after epoch {self._epoch}"
        self._violated(
            compare(where, seal, taken, self.decoded) or self._apart(f"in {where}", seal, *shown)
        )

    def columns(self, *tables: Any) -> None:
        """Compares the columns in the host that accuracies are taken against.

        Args:
            tables: the Table of the training set and, if it is evaluated, that of the test set.
        """
        for table, seal in zip(tables, (self.sealed.train, self.sealed.test), strict=False):
            self._violated(seal.columns(table))

    def measured(self, *outcomes: Any) -> None:
        """Compares how many examples were evaluated of the training and of the test set."""
        for outcome, seal in zip(outcomes, (self.sealed.train, self.sealed.test), strict=False):
            if len(outcome.loss) != seal.num_examples:
                self._violated(
                    f"evaluation of the {seal.split} set after epoch {self._epoch} gave "
                    f"{len(outcome.loss)} examples, its seal says {seal.num_examples} (seal: "
                    f"{seal.split} examples)"
                )


def inputs_differ(
    where: str,
    seal: Seal,
    reference: Inputs,
    rows: Any,
    inputs: Any,
    augment: str = "none",
    epoch: int = 0,
) -> str | None:
    """Compares the input of the model for some rows with the input recomputed from the source.

    Returns:
        The sentence that names what differs, or None.
    """
    expected, allowed = reference.inputs(rows, augment, epoch)
    inputs = np.asarray(inputs)
    wrong = differing(inputs, expected, allowed)
    if not wrong:
        return None
    name = f"(seal: {seal.split} inputs)"
    message = f"what the model got {where} is not what the source gives {name}"
    if inputs.shape != expected.shape:
        return f"{message}: shape {inputs.shape}, expected {expected.shape}"
    row = wrong[0]
    apart = np.abs(inputs[row] - expected[row])
    entry = np.unravel_index(int(np.nan_to_num(apart, nan=np.inf).argmax()), apart.shape)
    return (
        f"{message}: {len(wrong)} of {len(rows)} images differ, of index {seal.index[rows[row]]} "
        f"first: {inputs[row][entry]:.6g}, expected {expected[row][entry]:.6g} within "
        f"{float(np.broadcast_to(allowed, expected.shape)[row][entry]):.1g}"
    )


def compare(where: str, seal: Seal, taken: Pass, decoded: dict[str, np.ndarray]) -> str | None:
    """A pass over a set against its seal, example by example.

    Args:
        where: the pass, in words.
        seal: of the set.
        taken: what the pass read.
        decoded: of streamed images, by split: the words of all images, recorded in the first pass.

    Returns:
        The sentence that names what differs, or None.
    """
    name = seal.split
    if len(taken.images) != seal.num_examples:
        return (
            f"{where}: {len(taken.images)} examples, its seal says {seal.num_examples} "
            f"(seal: {name} examples)"
        )
    images = f"{name} images"
    wrong = first_unequal(f"{where}: labels", taken.labels, seal.label_words, f"{name} labels")
    if not seal.streamed:
        return wrong or first_unequal(f"{where}: images", taken.images, seal.words, images)
    wrong = wrong or first_unequal(f"{where}: files", taken.files, seal.words, images)
    sent = present(taken.sent, f"words of {where} as the images were sent")
    if name not in decoded:
        decoded[name] = sent.copy()
        if seal.decoded is not None:
            rows, words = seal.decoded
            place = f"{where}: images that were audited"
            wrong = wrong or first_unequal(place, sent[rows], words, images)
    return (
        wrong
        or first_unequal(f"{where}: images as they arrived", taken.images, sent, images)
        or first_unequal(f"{where}: images as once decoded", sent, decoded[name], images)
    )


def first_unequal(what: str, got: Any, expected: Any, seal: str) -> str | None:
    """Two columns of one seal; the first disagreement in words, or None."""
    got, expected = np.asarray(got), np.asarray(expected)
    if len(got) != len(expected):
        return f"{what}: {len(got)}, its seal says {len(expected)} (seal: {seal})"
    wrong = unequal(got, expected)
    if not wrong:
        return None
    first = wrong[0]
    return (
        f"{what}: {len(wrong)} of {len(expected)} differ, first at position {first}: {got[first]}, "
        f"its seal says {expected[first]} (seal: {seal})"
    )


def refuse(violation: str | None) -> None:
    """Raises AuditError for a violation, where there is no run that could end INVALID."""
    if violation is not None:
        raise AuditError(f"INVALID: {violation}")
