"""Training dynamics in one's own `keras.Model.fit`: which examples are memorised, and when."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rethink_tf import console
from rethink_tf.analysis import example_scores
from rethink_tf.analysis.example_scores import ExampleScores
from rethink_tf.analysis.keras_model import (
    ArrayExamples,
    IndexedExamples,
    as_logits,
    gives_logits,
)
from rethink_tf.corruptions.checksum import labels_hash
from rethink_tf.data.label_file import as_labels
from rethink_tf.errors import RequestError, StorageError
from rethink_tf.printable import printable
from rethink_tf.report import drawing, examples_page
from rethink_tf.runs import checkpoint
from rethink_tf.storage import files, paths
from rethink_tf.training import metrics
from rethink_tf.training.per_example import EL2N_EPOCHS, Record

_KIND = "rethink_tf MemorisationCallback 1"
_KEPT = 2  # states in the file, which may be an epoch ahead of the saved weights


class MemorisationCallback(keras.callbacks.Callback):
    """Records the training dynamics of every example during `fit`, for any Keras model.

    It makes one pass over the examples after each evaluated epoch. It changes no weight and no
    random state. The measures are those of `rethink_tf.training.per_example`: `aum`, `confidence`,
    `variability`, `cumulative_loss`, `el2n_E`, `first_fitted`, `fitted_since`, `forgotten`,
    `margin`.

    Args:
        x: the N training examples as the model gets them: an array, or a list, tuple or dict of
            arrays for several inputs; or a finite tf.data.Dataset of (x, y, index), batched or
            not, whose index is an integer that names each example once. It may shuffle.
        y: the labels that are learnt, integers [N] or one-hot [N, K]; None with a Dataset.
        true: the true labels in the same form, where they are known; with a Dataset in ascending
            order of index.
        every: epochs between evaluations; the last epoch of the `fit` call is evaluated too.
        from_logits: whether the model's outputs are logits (True) or probabilities (False). With
            None the last activation decides: softmax, or sigmoid with one unit, means
            probabilities, `linear` means logits; any other model is refused. The logarithms of
            probabilities are used; their differences equal those of the logits.
        batch_size: examples of a forward pass; it changes results only by rounding.
        path: file of the record, so that a resumed `fit` continues it. Put the callback before
            those that save the model. None: the record is in memory only.
        el2n_epochs: EL2N is taken at the first evaluated epoch from each of these on.
        class_names: of the K classes, for the page.

    Attributes:
        examples: arrays [N] by name: `index`, `given`, `true` where it is known, and the measures.
        scores: the same as `ExampleScores`, with the evaluated epochs.
        record: the `Record`.
        curves: a dict for each evaluated epoch: `epoch`, `train_accuracy`, `train_loss`; with true
            labels `clean_accuracy`, `corrupted_accuracy` (noisy examples, given labels) and
            `corrupted_original_accuracy` (noisy>true); `test_accuracy` where `fit` logs
            `val_accuracy`. Fractions.

    Raises:
        RequestError: data, labels or outputs of another kind; a record of other examples; a `fit`
            that begins before the recorded epochs.
        DivergedError: the model's outputs became NaN.
        StorageError: the file is damaged or cannot be written.

    Example:
        >>> memory = rt.MemorisationCallback(x, given, true)
        >>> model.fit(x, given, epochs=20, callbacks=[memory])
        >>> memory.examples["aum"].argsort()[:10]  # the ten most suspicious labels
        >>> memory.page("examples")
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        true: Any = None,
        *,
        every: int = 1,
        from_logits: bool | None = None,
        batch_size: int = 256,
        path: Path | str | None = None,
        el2n_epochs: Sequence[int] = EL2N_EPOCHS,
        class_names: Sequence[str] | None = None,
    ):
        super().__init__()
        for name, value in (("every", every), ("batch_size", batch_size)):
            if not isinstance(value, int | np.integer) or value < 1:
                raise RequestError(f"{name}: expected a whole number from 1 on, received {value!r}")
        self._data: ArrayExamples | IndexedExamples
        if isinstance(x, tf.data.Dataset):
            if y is not None:
                raise RequestError("y: expected None with a Dataset of (x, y, index)")
            self._data = IndexedExamples(x, batch_size)
        else:
            self._data = ArrayExamples(x, y, batch_size)
        self.index, self.given = self._data.index, self._data.given
        self.true = None if true is None else as_labels("true", true)
        if self.true is not None and len(self.true) != len(self.given):
            raise RequestError(
                f"true: expected {len(self.given):,} labels, one for each example, received "
                f"{len(self.true):,}"
            )
        self.every, self.from_logits, self.class_names = int(every), from_logits, class_names
        self.path = None if path is None else paths.absolute(path)
        self.record = Record(len(self.given), tuple(el2n_epochs))
        self.curves: list[dict[str, Any]] = []
        self._states = [self._state()]
        self._logits_given: bool | None = from_logits
        self._begun = False

    # --- fit -----------------------------------------------------------------------------------

    def on_train_begin(self, logs: Any = None) -> None:
        """Refuses outputs that cannot be read. Loads the record of an earlier `fit` from `path`."""
        self._logits_given = gives_logits(self.model, self.from_logits)
        self._begun = False
        if self.path is not None and not self.curves and self.path.exists():
            self._states = self._read(self.path)
            self._take(self._states[-1])

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """At the first epoch of a `fit`: returns to the record as it was before that epoch."""
        if self._begun:
            return
        self._begun = True
        first = epoch + 1
        earlier = [state for state in self._states if state[0] < first]
        if not earlier:
            last, where = self._states[-1][0], self.path or "this callback"
            raise RequestError(
                f"{where} holds a record up to epoch {last}, but this fit begins at epoch {first}; "
                f"continue with fit(..., initial_epoch={last}), or begin a new record"
                + (" with another path" if self.path else "")
            )
        if earlier[-1][0] != self._states[-1][0]:
            self._states = earlier
            self._take(earlier[-1])
        missed = (first - 1) // self.every * self.every
        if missed > earlier[-1][0]:
            self.record.complete = False
            console.warn(
                f"MemorisationCallback: epoch {missed} was not recorded; the measures are of the "
                "recorded epochs only"
            )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """If this epoch is an evaluated one: evaluates all examples and saves the record."""
        number = epoch + 1
        if number % self.every and number != (self.params or {}).get("epochs"):
            return
        outcome = self._evaluate(number)
        self.record.update(number, outcome, self.given)
        true = self.given if self.true is None else self.true
        values = metrics.train_values(outcome, true, self.given)
        kept = [k for k in values if "top5" not in k and (self.true is not None or "train" in k)]
        line = {"epoch": number} | {key: values[key] for key in kept}
        if (logs or {}).get("val_accuracy") is not None:
            line["test_accuracy"] = float(logs["val_accuracy"])
        self.curves = [*self.curves, line]
        self._states = [*self._states, self._state()][-_KEPT:]
        if self.path is not None:
            self._write(self.path)

    def on_train_end(self, logs: Any = None) -> None:
        """Keeps only the last state of the record: a later `fit` of earlier epochs is refused."""
        self._states = self._states[-1:]

    def _evaluate(self, epoch: int) -> metrics.Outcome:
        """One exact pass: every example once, in the order of `index`."""
        count = len(self.given)
        loss, margin, error = (np.empty(count, np.float32) for _ in range(3))
        predicted, seen = np.empty(count, np.int32), np.zeros(count, np.int64)
        # False once a batch shows that the outputs are not probabilities.
        likely = self._logits_given
        for inputs, places in self._data.batches():
            outputs = self.model.predict_on_batch(inputs)
            logits, sums_to_one = as_logits(outputs, len(places), bool(self._logits_given), epoch)
            likely = likely and sums_to_one
            given = self.given[places]
            if given.max() >= logits.shape[1]:
                raise RequestError(
                    f"y: expected classes 0 to {logits.shape[1] - 1}, as many as the model has "
                    f"outputs, found {given.max()}"
                )
            rows = np.arange(len(places))
            own = logits[rows, given]
            top = logits.max(axis=1)
            exponents = np.exp(logits - top[:, None])
            total = exponents.sum(axis=1)
            apart = exponents / total[:, None]
            apart[rows, given] -= 1
            predicted[places] = logits.argmax(axis=1)
            loss[places] = np.log(total) + top - own
            error[places] = np.sqrt((apart**2).sum(axis=1))
            logits[rows, given] = -np.inf
            margin[places] = own - logits.max(axis=1)
            np.add.at(seen, places, 1)
        if (seen != 1).any():
            wrong = int(np.flatnonzero(seen != 1)[0])
            raise RequestError(
                f"x: expected a pass that gives every example once, received index "
                f"{self.index[wrong]} {seen[wrong]} times in epoch {epoch}"
            )
        if likely:
            raise RequestError(
                "from_logits: expected logits, received outputs that are probabilities, each row "
                "summing to 1; type from_logits=False"
            )
        return metrics.Outcome(loss, predicted, margin, error=error)

    # --- the record and its file ---------------------------------------------------------------

    def _state(self) -> tuple[int, dict[str, np.ndarray], list[dict[str, Any]]]:
        """The last evaluated epoch, 0 before the first; the arrays of the record; the curves."""
        epochs = self.record.evaluated_epochs
        return (int(epochs[-1]) if len(epochs) else 0), self.record.arrays(), self.curves

    def _take(self, state: tuple[int, dict[str, np.ndarray], list[dict[str, Any]]]) -> None:
        self.record.restore(state[1])
        self.curves = state[2]

    def _identity(self) -> dict[str, str | None]:
        """What a record must be of to be continued."""
        true = None if self.true is None else labels_hash(self.index, self.true)
        return {"given": labels_hash(self.index, self.given), "true": true}

    def _write(self, path: Path) -> None:
        header = {
            "kind": _KIND,
            "of": self._identity(),
            "states": [{"epoch": epoch, "curves": curves} for epoch, _, curves in self._states],
        }
        arrays = {
            f"{place}.{name}": array
            for place, (_, state, _) in enumerate(self._states)
            for name, array in state.items()
        }
        files.write_atomically(path, checkpoint.pack(files.without_nan(header), arrays))

    def _read(self, path: Path) -> list[tuple[int, dict[str, np.ndarray], list[dict[str, Any]]]]:
        try:
            header, arrays = checkpoint.unpack(path.read_bytes())
            if header["kind"] != _KIND:
                raise ValueError(f"expected {_KIND}, found {header['kind']!s:.60}")
            states = []
            for place, one in enumerate(header["states"]):
                start = f"{place}."
                own = {n.removeprefix(start): a for n, a in arrays.items() if n.startswith(start)}
                states.append((one["epoch"], own, one["curves"]))
            identity = header["of"]
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from None
        except Exception as error:  # NumPy and zipfile raise many types for damaged files
            why = (str(error) or type(error).__name__).splitlines()[0]
            raise StorageError(f"{path}: no record of a MemorisationCallback: {why:.200}") from None
        if identity != self._identity():
            raise RequestError(
                f"{path}: expected a record of these examples and labels, found a record of other "
                "ones; type another path"
            )
        return states

    # --- results -------------------------------------------------------------------------------

    @property
    def scores(self) -> ExampleScores:
        """The measures with identities, labels and evaluated epochs.

        Raises:
            RequestError: no epoch has been evaluated.
        """
        if not self.curves:
            raise RequestError("expected an evaluated epoch, found none: call model.fit first")
        name = self.model.name if self.model is not None else "a model"
        return ExampleScores(
            name,
            self.index,
            self.given,
            self.true,
            self.record.measures(),
            self.record.evaluated_epochs,
            self.record.complete,
        )

    @property
    def examples(self) -> dict[str, np.ndarray]:
        """Arrays [N] by name: `index`, `given`, `true` where it is known, and the measures."""
        scores = self.scores
        true = {} if scores.true is None else {"true": scores.true}
        return {"index": scores.index, "given": scores.given, **true, **scores.measures}

    def page(self, out: Path | str = "examples", *, count: int = examples_page.COUNT) -> str:
        """Writes a report: ranked examples, cartography, curves, a CSV of all measures.

        Args:
            out: folder.
            count: examples of each ranking. They are shown as pictures where x is one array of
                images [N, H, W] or [N, H, W, 1 or 3], else by index and label.

        Returns:
            The path of the page.
        """
        written = examples_page.write(
            out,
            self.scores,
            images=self._data.images if self._data.shows_images else None,
            class_names=self.class_names,
            history=self.curves,
            count=count,
        )
        return written[0]

    def _repr_html_(self) -> str:
        if not self.curves:
            return f"<p>MemorisationCallback of {len(self.given):,} examples, none evaluated</p>"
        scores = self.scores
        lines = examples_page.facts(scores)
        lines += [] if scores.complete else [examples_page.INCOMPLETE]
        parts = [f"<p>{html.escape(printable(line))}</p>" for line in lines]
        if (detections := example_scores.detection(scores)) and scores.noisy is not None:
            rows = example_scores.detection_table(detections, scores.noisy)
            parts.append("<table>")
            for number, row in enumerate(rows):
                kind = "td" if number else "th"
                cells = "".join(f"<{kind}>{html.escape(printable(cell))}</{kind}>" for cell in row)
                parts.append(f"<tr>{cells}</tr>")
            parts.append("</table>")
        for figure in [*examples_page.learning(self.curves), examples_page.cartography(scores)]:
            picture = base64.b64encode(drawing.files(figure)["png"]).decode()
            parts.append(
                '<img style="display:block;max-width:100%;margin-top:1em" '
                f'alt="{html.escape(figure.title)}" src="data:image/png;base64,{picture}">'
            )
        return "".join(parts)


# --- examples ----------------------------------------------------------------------------------


# --- outputs -----------------------------------------------------------------------------------
