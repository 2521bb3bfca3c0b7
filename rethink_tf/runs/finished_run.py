"""A finished run as a value: its summary as attributes, its history, its examples.

Imports no TensorFlow.
"""

import html
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf.runs import results
from rethink_tf.runs.description import run_name

SHOWN = (
    "status",
    "epochs",
    "loss",
    "train_accuracy",
    "clean_accuracy",
    "corrupted_accuracy",
    "test_accuracy",
    "changed_fraction",
)


class RunRecord(Mapping[str, Any]):
    """A finished run: a mapping of its summary, whose keys are attributes too.

    Attributes:
        run_dir: its folder.
        history: one dict per epoch, as in the history file.
        examples: arrays by name, one row per training example: `index`, `true`, `given`, ...

    A notebook shows it as a small table.
    """

    def __init__(self, summary: Mapping[str, Any], run_dir: Path | str):
        self._summary = {**summary, "run_dir": str(run_dir)}
        self.run_dir = Path(run_dir)

    def __getitem__(self, key: str) -> Any:
        return self._summary[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._summary)

    def __len__(self) -> int:
        return len(self._summary)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._summary:
            known = ", ".join(sorted(self.__dict__.get("_summary", {})))
            raise AttributeError(f"a run has no {name}; it has {known}")
        return self._summary[name]

    @property
    def history(self) -> list[dict[str, Any]]:
        """The epochs, each a dict; StorageError where the file is damaged."""
        return results.read_history(self.run_dir)

    @property
    def examples(self) -> dict[str, np.ndarray]:
        """Columns of the training examples; empty for a task that is not a training.

        StorageError where the file is damaged.
        """
        # Leave-one-out has a file of the same name with other columns.
        if "kind" in self._summary or not (self.run_dir / results.EXAMPLES).is_file():
            return {}
        return results.read_examples(self.run_dir)

    def __repr__(self) -> str:
        shown = ("train_accuracy", "test_accuracy")
        values = [(key, self._summary[key]) for key in shown if self._summary.get(key) is not None]
        parts = [self._summary["run_id"], self._summary["status"]]
        return f"RunRecord({', '.join(parts + [f'{key} {value:.4f}' for key, value in values])})"

    def _rows(self) -> list[tuple[str, str]]:
        rows = [("run", run_name(self.run_dir))]
        for key in SHOWN:
            value = self._summary.get(key)
            if value is not None:
                shown = f"{value:.4f}" if isinstance(value, float) else str(value)
                rows.append((key, shown))
        return rows

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(key)}</th>"
            f"<td>{html.escape(value)}</td></tr>"
            for key, value in self._rows()
        )
        return f"<table>{cells}</table>"


class Runs(list[RunRecord]):
    """Finished runs, in the order of their run ids."""

    def to_dataframe(self) -> Any:
        """A pandas DataFrame: a row for each run, indexed by run id.

        Columns are the plain values of the summary and, as `config.NAME`, of the configuration.

        Raises:
            ModuleNotFoundError: pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "to_dataframe: expected pandas, which is not installed; type: pip install pandas"
            ) from None

        rows = []
        for run in self:
            row = {k: v for k, v in run.items() if not isinstance(v, dict | list)}
            row |= {f"config.{k}": v for k, v in (run.get("config") or {}).items()}
            rows.append(row)
        return pandas.DataFrame(rows).set_index("run_id") if rows else pandas.DataFrame()

    def _repr_html_(self) -> str:
        keys = ("run_id", *SHOWN)
        head = "".join(f"<th>{key}</th>" for key in keys)
        body = ""
        for run in self:
            values = (run.get(key) for key in keys)
            shown = (f"{v:.4f}" if isinstance(v, float) else html.escape(str(v)) for v in values)
            body += f"<tr>{''.join(f'<td>{text}</td>' for text in shown)}</tr>"
        return f"<table><tr>{head}</tr>{body}</table>"
