"""An exported model as a model of MLflow, without pickle.

MLflow keeps the ONNX file and the name of this module, and calls `_load_pyfunc` to open it. So a
model is served, and used in Spark, where only the runtime is installed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from insphere.errors import DataError, ModelError, require
from insphere.runtime.scorer import Scorer
from insphere.runtime.tables import score_batch, scores_as_columns

if TYPE_CHECKING:
    from pandas import DataFrame

NEEDS = ("numpy", "onnxruntime", "pillow", "pandas")


class Model:
    """What MLflow calls.

    Parameters
    ----------
    path : str
        The exported model.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.scorer = Scorer(path)

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> DataFrame:
        """Score a table with a column ``image`` of bytes, rows of numbers, or an array of images.

        Parameters
        ----------
        model_input : pandas.DataFrame or ndarray
            As `insphere.runtime.tables.score_batch` or `Scorer.score` take it.
        params : mapping, optional
            ``threshold``: scores above it are anomalous.

        Returns
        -------
        pandas.DataFrame
            With score, verdict, p_value, severity and z_score.

        Raises
        ------
        DataError
            If the input does not fit the model, or a parameter is unknown.
        """
        pandas: Any = require("pandas", "parquet", "A model of MLflow")
        given = dict(params or {})
        threshold = given.pop("threshold", None)
        if given:
            raise DataError(f"Unknown parameter {sorted(given)[0]!r}: use threshold.")
        if isinstance(model_input, pandas.DataFrame):
            table: DataFrame = score_batch(model_input, self.path)
        else:
            found = self.scorer.score(np.asarray(model_input))
            table = pandas.DataFrame(scores_as_columns(found))
        if threshold is not None:
            table["verdict"] = np.where(table["score"] > float(threshold), "anomalous", "normal")
        return table


def _load_pyfunc(path: str) -> Model:
    """Open the model that MLflow kept."""
    return Model(path)


def save_mlflow(model: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Save an exported model as a folder of MLflow.

    Parameters
    ----------
    model : path
        A file that ``insphere export`` wrote.
    path : path
        The folder, which must not exist.

    Raises
    ------
    MissingExtraError
        If MLflow is not installed.
    ModelError
        If it is no exported model, or the folder exists.
    """
    pyfunc: Any = require("mlflow.pyfunc", "mlflow", "Saving for MLflow")
    Scorer(model)  # raises an error that says what is wrong
    if Path(path).exists():
        raise ModelError(f"{path} exists already; choose another folder.")
    pyfunc.save_model(os.fspath(path), **_said(model))


def log_mlflow(model: str | os.PathLike[str], name: str = "model", **more: Any) -> Any:
    """Log an exported model to the run of MLflow that is active.

    Parameters
    ----------
    model : path
        A file that ``insphere export`` wrote.
    name : str, default="model"
        Its name in MLflow.
    **more
        Further arguments of ``mlflow.pyfunc.log_model``, such as ``registered_model_name``.

    Returns
    -------
    mlflow.models.model.ModelInfo

    Raises
    ------
    MissingExtraError
        If MLflow is not installed.
    """
    pyfunc: Any = require("mlflow.pyfunc", "mlflow", "Logging to MLflow")
    Scorer(model)
    return pyfunc.log_model(name=name, **_said(model), **more)


def _said(model: str | os.PathLike[str]) -> dict[str, Any]:
    said = Scorer(model).description
    return {
        "loader_module": __name__,
        "data_path": os.fspath(model),
        "pip_requirements": ["insphere", *NEEDS],
        "metadata": {
            "method": said.method,
            "kind": said.kind,
            "threshold": said.threshold,
            "guarantee": said.guarantee,
            "model_sha256": said.model_sha256,
        },
    }
