import numpy as np
import pytest

from insphere.errors import DataError
from insphere.scoring import evaluate_maps, per_region_overlap


def test_perfect_maps_are_perfect():
    masks = np.zeros((2, 8, 8), np.uint8)
    masks[0, 1:3, 1:3] = 255
    masks[0, 5:, 5:] = 255
    measured = evaluate_maps(masks, masks.astype(float))
    assert (measured.pixel_auc, measured.pro) == (1.0, 1.0)
    assert measured.regions == 2
    assert measured.defective_pixels == 4 + 9
    assert measured.normal_pixels == 128 - 13


def test_maps_that_say_nothing_give_half_the_limit():
    masks = np.zeros((1, 10, 10), np.uint8)
    masks[0, 2:4, 2:4] = 1
    pro, _ = per_region_overlap(masks, np.zeros((1, 10, 10)))
    assert pro == pytest.approx(0.15)
    assert evaluate_maps(masks, np.zeros((1, 10, 10))).pixel_auc == 0.5


def test_by_hand():
    """Two regions of one and two pixels, ten normal pixels."""
    masks = np.array([[[1, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]]])
    maps = np.array([[[9.0, 8, 7, 5, 6, 0, 0, 0, 0, 0, 0, 0, 0]]])
    # t = 9: fpr 0, overlap (1 + 0) / 2; t = 7: fpr 1/10, (1 + 1/2) / 2; t = 5: fpr 2/10, 1.
    curve = np.trapezoid([0.5, 0.75, 1.0, 1.0], [0, 0.1, 0.2, 0.3]) / 0.3
    pro, regions = per_region_overlap(masks, maps)
    assert regions == 2
    assert pro == pytest.approx(curve)


def test_small_regions_count_as_much_as_large_ones():
    masks = np.zeros((1, 20, 20), np.uint8)
    masks[0, :10, :10] = 1
    masks[0, 15, 15] = 1
    large_only = masks.astype(float)
    large_only[0, 15, 15] = -1
    assert evaluate_maps(masks, large_only).pixel_auc > 0.98
    assert per_region_overlap(masks, large_only)[0] < 0.7


def test_many_thresholds_change_little():
    rng = np.random.default_rng(0)
    masks = np.zeros((2, 150, 150), np.uint8)
    masks[:, 20:120, 20:120] = 1
    maps = rng.normal(size=masks.shape) + masks
    exact_part = per_region_overlap(masks[:, ::2, ::2], maps[:, ::2, ::2])[0]
    assert per_region_overlap(masks, maps)[0] == pytest.approx(exact_part, abs=0.02)


@pytest.mark.parametrize(
    ("masks", "maps", "message"),
    [
        (np.zeros((1, 3, 3)), np.zeros((1, 3, 3)), "only one kind"),
        (np.ones((1, 3, 3)), np.zeros((1, 3, 3)), "only one kind"),
        (np.eye(3)[None], np.zeros((1, 3, 4)), "shapes"),
    ],
)
def test_refusals(masks, maps, message):
    with pytest.raises(DataError, match=message):
        evaluate_maps(masks, maps)
