import numpy as np
import pytest

from insphere.data.load import load_dataset
from insphere.errors import SpecError
from insphere.experiments.runs.auc_by_epoch import run_with_auc
from insphere.experiments.runs.run import run
from insphere.experiments.runs.spec import RunSpec

SPEC = RunSpec(
    dataset="digits-8x8", normal=("0",), params={"epochs": 30, "pretrain_epochs": 1}, seed=1
)


def test_auc_by_epoch_changes_nothing_and_ends_at_the_result(tmp_path):
    data = load_dataset("digits-8x8", progress=False)
    plain = run(SPEC, data)
    result, history = run_with_auc(SPEC, data, tmp_path)
    np.testing.assert_array_equal(result.scores, plain.scores)
    measured = {record["epoch"]: record["auc"] for record in history if "auc" in record}
    assert sorted(measured) == [1, *range(2, 31, 2)]
    assert len(set(measured.values())) > 5
    # The detector scores with batch norm folded into the convolutions: equal but for rounding.
    assert measured[30] == pytest.approx(plain.evaluation.auc, abs=2e-3)
    again, repeated = run_with_auc(SPEC, data, tmp_path)  # all from checkpoints
    assert repeated == history
    np.testing.assert_array_equal(again.scores, plain.scores)


def test_other_methods_have_no_epochs_to_follow(tmp_path):
    with pytest.raises(SpecError, match="not knn"):
        run_with_auc(SPEC.model_copy(update={"method": "knn", "params": {}}), None, tmp_path)
