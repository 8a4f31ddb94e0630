"""Random trees in every layout are understood, and a mask is never taken for an image."""

from __future__ import annotations

import tempfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from insphere.data import OneClassSplit, load_dataset
from insphere.data.contents import contents_of
from insphere.data.files import FolderFiles
from insphere.data.layouts import LAYOUTS, list_images
from insphere.data.layouts.vocabulary import is_mask_folder, mask_affix
from insphere.errors import DataError

EMPTY, IMAGE, MASK = 0, 120, 255  # values that tell an empty mask, an image and a mask apart

words = st.sampled_from(["crack", "hole", "scratch", "cable swap", "Bent", "x1", "contamination"])
upper = st.sampled_from([str, str.upper, str.capitalize])
counts = st.integers(1, 3)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSPHERE_CACHE", str(tmp_path / "cache"))


def write(root: Path, files: dict[str, int | str]) -> Path:
    """Write 4×4 images of one value each, and texts."""
    for name, value in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(value, str):
            path.write_text(value)
        else:
            Image.new("L", (4, 4), value).save(path)
    return root


def read(files: dict[str, int | str], tmp: str):
    """Load a tree, and check that no mask became an image and no image a mask."""
    data = load_dataset(write(Path(tmp) / "set", files), cache=False)
    assert set(np.unique(data.images)) <= {IMAGE}
    if data.masks is not None:
        assert set(np.unique(data.masks)) <= {0, 255}
    return data


def told(data) -> Counter[tuple[str, str, bool]]:
    """Count images by part, class and whether a pixel of their mask is set."""
    parts = ["all"] * len(data)
    if data.is_test is not None:
        parts = ["test" if test else "train" for test in data.is_test]
    masked = [False] * len(data) if data.masks is None else data.masks.any(axis=(1, 2)).tolist()
    names = [data.class_names[label] for label in data.labels]
    return Counter(zip(parts, names, masked, strict=True))


def images(folder: str, n: int, suffix: str = ".png") -> dict[str, int | str]:
    return {f"{folder}/{i:03d}{suffix}": IMAGE for i in range(n)}


def masks(folder: str, n: int, end: str = "", suffix: str = ".png") -> dict[str, int | str]:
    return {f"{folder}/{i:03d}{end}{suffix}": MASK for i in range(n)}


@settings(max_examples=25)
@given(
    defects=st.sets(words, min_size=1), n=counts, end=st.sampled_from(["_mask", "", "_gt"]),
    top=st.sampled_from(["", "bottle/", "mvtec/bottle/"]), validation=st.booleans(),
)  # fmt: skip
def test_mvtec(defects, n, end, top, validation):
    files = images(f"{top}train/good", n + 1) | images(f"{top}test/good", n)
    if validation:
        files |= images(f"{top}validation/good", n)
    for defect in defects:
        files |= images(f"{top}test/{defect}", n)
        files |= masks(f"{top}ground_truth/{defect}", n, end)
    with tempfile.TemporaryDirectory() as tmp:
        data = read(files, tmp)
    wanted = Counter({("train", "good", False): n + 1 + validation * n, ("test", "good", False): n})
    assert told(data) == wanted | Counter({("test", d, True): n for d in defects})
    assert data.layout == "MVTec AD"
    assert data.normal_classes == ("good",)
    assert data.n_masks == n * len(defects)


@settings(max_examples=15)
@given(n=counts, several=st.integers(1, 3))
def test_mvtec_loco(n, several):
    files = images("train/good", n) | images("validation/good", n) | images("test/good", n)
    for defect in ("logical_anomalies", "structural_anomalies"):
        files |= images(f"test/{defect}", n)
        for i in range(n):
            files |= masks(f"ground_truth/{defect}/{i:03d}", several)
    with tempfile.TemporaryDirectory() as tmp:
        root = write(Path(tmp) / "set", files)
        whole = root / f"ground_truth/logical_anomalies/000/{several - 1:03d}.png"
        half = np.zeros((4, 4), np.uint8)
        half[:2] = 255  # one of several masks covers less: they are united
        Image.fromarray(half).save(whole)
        data = load_dataset(root, cache=False)
    assert data.layout == "MVTec LOCO AD"
    assert told(data) == Counter(
        {
            ("train", "good", False): 2 * n,
            ("test", "good", False): n,
            ("test", "logical_anomalies", True): n,
            ("test", "structural_anomalies", True): n,
        }
    )
    first = data.masks[[path.endswith("logical_anomalies/000.png") for path in data.paths]]
    assert (first > 0).mean() >= (0.5 if several == 1 else 1)


@settings(max_examples=15)
@given(n=counts, defects=st.sets(words, min_size=1), clouds=st.booleans())
def test_mvtec_3d(n, defects, clouds):
    files = images("train/good/rgb", n) | images("validation/good/rgb", n)
    for kind in ("good", *defects):
        files |= images(f"test/{kind}/rgb", n)
        value = EMPTY if kind == "good" else MASK
        files |= {f"test/{kind}/gt/{i:03d}.png": value for i in range(n)}
        if clouds:
            files |= {f"test/{kind}/xyz/{i:03d}.tiff": 7 for i in range(n)}
    with tempfile.TemporaryDirectory() as tmp:
        data = read(files, tmp)
    wanted = Counter({("train", "good", False): 2 * n, ("test", "good", False): n})
    assert told(data) == wanted | Counter({("test", d, True): n for d in defects})
    assert data.layout == "MVTec 3D-AD"


TABLES = ["", "split_csv/1cls.csv"]


@settings(max_examples=20)
@given(n=counts, objects=st.sampled_from([["candle"], ["candle", "pcb1"]]), table=st.booleans())
def test_visa(n, objects, table):
    files: dict[str, int | str] = {}
    rows = ["object,split,label,image,mask"]
    for name in objects:
        files |= images(f"{name}/Data/Images/Normal", n + 1, ".JPG")
        files |= images(f"{name}/Data/Images/Anomaly", n, ".JPG")
        files |= masks(f"{name}/Data/Masks/Anomaly", n)
        files[f"{name}/image_anno.csv"] = "image,label,mask\n"
        for i in range(n + 1):
            part = "train" if i else "test"
            rows.append(f"{name},{part},normal,{name}/Data/Images/Normal/{i:03d}.JPG,")
        rows += [
            f"{name},test,anomaly,{name}/Data/Images/Anomaly/{i:03d}.JPG,"
            f"{name}/Data/Masks/Anomaly/{i:03d}.png"
            for i in range(n)
        ]
    if table:
        files["split_csv/1cls.csv"] = "\n".join(rows)
        files["split_csv/2cls_fewshot.csv"] = rows[0] + "\n"
    with tempfile.TemporaryDirectory() as tmp:
        data = read(files, tmp)
    assert data.layout == "VisA"
    single = len(objects) == 1
    wanted: Counter[tuple[str, str, bool]] = Counter()
    for name in objects:
        good, bad = ("Normal", "Anomaly") if single else (name, f"{name}/Anomaly")
        wanted[("test" if table else "all", bad, True)] += n
        wanted[("train" if table else "all", good, False)] += n if table else n + 1
        wanted[("test", good, False)] += int(table)
    assert told(data) == +wanted
    assert set(data.normal_classes) == ({"Normal"} if single else set(objects))
    if table and n > 1:
        split = OneClassSplit(data, "normal" if single else "candle")
        assert (len(split.train), len(split.test), int(split.truth.sum())) == (n, n + 1, n)


@settings(max_examples=20)
@given(
    states=st.lists(st.booleans(), min_size=1, max_size=5), parts=st.booleans(),
    end=st.sampled_from(["_GT", "_gt", "_mask", "_label"]),
)  # fmt: skip
def test_masks_beside_images_say_what_is_defective(states, parts, end):
    files: dict[str, int | str] = {}
    tops = ("train/", "test/") if parts else ("",)
    for top in tops:
        for i, defective in enumerate(states):
            files[f"{top}{i}.png"] = IMAGE
            files[f"{top}{i}{end}.png"] = MASK if defective else EMPTY
    with tempfile.TemporaryDirectory() as tmp:
        if all(states):
            with pytest.raises(DataError, match="none of them is normal"):
                read(files, tmp)
            return
        data = read(files, tmp)
    assert data.layout == "images with masks"
    wanted: Counter[tuple[str, str, bool]] = Counter()
    for top in tops:
        for defective in states:
            wanted[top[:-1] or "all", "defective" if defective else "normal", defective] += 1
    assert told(data) == wanted
    assert data.normal_classes == ("normal",)


@settings(max_examples=10)
@given(n=counts, suffix=st.sampled_from([".bmp", ".png"]))
def test_btad(n, suffix):
    files = images("train/ok", n, suffix) | images("test/ok", n, suffix)
    files |= images("test/ko", n, suffix) | masks("ground_truth/ko", n)
    with tempfile.TemporaryDirectory() as tmp:
        data = read(files, tmp)
    assert data.layout == "BTAD"
    assert told(data) == Counter(
        {("train", "ok", False): n, ("test", "ok", False): n, ("test", "ko", True): n}
    )


@settings(max_examples=20)
@given(
    n=counts, classes=st.sets(words, min_size=2, max_size=3), parts=st.booleans(),
    roles=st.sampled_from([("normal", "anomalous"), ("good", "bad"), ("OK", "NG")]),
)  # fmt: skip
def test_classes_with_roles(n, classes, parts, roles):
    good, bad = roles
    files: dict[str, int | str] = {}
    for name in classes:
        if parts:
            files |= images(f"train/{name}/{good}", n + 1)
            files |= images(f"test/{name}/{good}", n) | images(f"test/{name}/{bad}", n)
        else:
            files |= images(f"{name}/{good}", n + 1) | images(f"{name}/{bad}", n)
    with tempfile.TemporaryDirectory() as tmp:
        data = read(files, tmp)
    assert set(data.normal_classes) == classes
    wanted: Counter[tuple[str, str, bool]] = Counter()
    for name in classes:
        wanted["train" if parts else "all", name, False] += n + 1
        if parts:
            wanted["test", name, False] += n
        wanted["test" if parts else "all", f"{name}/{bad}", False] += n
    assert told(data) == wanted
    if parts:
        split = OneClassSplit(data, sorted(classes)[0])
        assert (len(split.test), int(split.truth.sum())) == (2 * n, n)  # of this class alone


@settings(max_examples=20)
@given(
    n=counts, top=st.sampled_from(["mask", "Masks", "gt", "ground_truth", "label", "Labels_PNG"]),
    below=st.booleans(), inner=st.booleans(),
)  # fmt: skip
def test_masks_beside_and_below_class_folders(n, top, below, inner):
    files = images("good", n + 1) | images("crack", n)
    folder = f"crack/{top}" if below else f"{top}/crack" if inner else top
    files |= masks(folder, n, "_mask" if inner else "")
    with tempfile.TemporaryDirectory() as tmp:
        data = read(files, tmp)
    assert told(data) == Counter({("all", "good", False): n + 1, ("all", "crack", True): n})


def test_images_and_masks_side_by_side(tmp_path):
    files = images("images", 3) | masks("masks", 1)
    data = read(files, str(tmp_path))
    assert told(data) == Counter({("all", "normal", False): 2, ("all", "defective", True): 1})
    files = images("train/images", 2) | images("test/images", 2) | masks("test/masks", 2)
    data = read(files, str(tmp_path / "b"))
    assert told(data) == Counter({("train", "normal", False): 2, ("test", "defective", True): 2})


def test_flat_parts_are_trained_and_scored_and_have_no_truth(tmp_path):
    data = read(images("train", 3) | images("test", 2), str(tmp_path))
    assert data.layout == "parts without classes"
    assert data.class_names == ("normal",)
    assert data.is_test.tolist() == [False] * 3 + [True] * 2
    only = read(images("test", 2), str(tmp_path / "b"))
    assert only.is_test.all()


def test_a_folder_that_is_only_named_like_masks_is_refused(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    for name in ("mask/a.png", "mask/b.png", "no mask/a.png", "no mask/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(noise).save(tmp_path / name)
    with pytest.raises(DataError, match="photographs"):
        load_dataset(tmp_path)
    for name in ("a.png", "b.png"):
        (tmp_path / "mask" / name).rename(tmp_path / "mask" / f"worn{name}")
    with pytest.raises(DataError, match=r"folder mask/ named as masks.*rename the folder"):
        load_dataset(tmp_path)
    (tmp_path / "mask").rename(tmp_path / "with mask")
    assert load_dataset(tmp_path).class_names == ("no mask", "with mask")


def test_only_masks(tmp_path):
    with pytest.raises(DataError, match="2 masks"):
        load_dataset(write(tmp_path, masks("set/masks", 2)))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (images("a/train", 1) | images("a/test", 1) | images("b/train", 1), "several data sets"),
        (images("a/normal", 1) | images("b/other", 1), "in neither"),
    ],
)
def test_trees_that_cannot_be_told_are_refused(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        load_dataset(write(tmp_path / "set", files))


names = st.sampled_from(
    ["train", "Test", "good", "bad", "mask", "GT", "ground_truth", "images", "a", "b c", "rgb"]
)
stems = st.sampled_from(["0", "1", "0_mask", "1_GT", "x", "0_label_1"])


@settings(max_examples=150)
@given(st.sets(st.tuples(st.lists(names, max_size=4), stems).map(lambda t: "/".join([*t[0], t[1]])),
               min_size=1, max_size=12))  # fmt: skip
def test_no_tree_yields_a_mask_as_an_image(paths):
    """Files in folders of masks, and files named as a mask of a neighbour, are never images."""
    files: dict[str, int | str] = {}
    for path in paths:
        folder, _, stem = path.rpartition("/")
        in_folder = any(is_mask_folder(part) for part in folder.split("/"))
        found = mask_affix(stem)
        partner = found is not None and f"{folder}/{found[0]}".lstrip("/") in paths
        files[f"{path}.png"] = MASK if in_folder or partner else IMAGE
    refusal = ""
    with tempfile.TemporaryDirectory() as tmp:
        try:
            data = load_dataset(write(Path(tmp) / "set", files), cache=False)
        except DataError as error:
            refusal = str(error)
    if refusal:
        assert "\n" not in refusal
        return
    assert MASK not in data.images
    kept = contents_of(data)
    assert sum(group.n for group in kept.groups) == len(data)


def test_what_is_in_a_tree_is_counted(tmp_path):
    files = images("train", 2) | images("docs", 1) | images("test", 1)
    source = write(tmp_path / "set", files | {"README.md": "x", "a/b.csv": "1", "c": "text"})
    with pytest.warns(UserWarning, match="1 images in docs"):
        data = load_dataset(source)
    assert data.ignored == {".md": 1, ".csv": 1, "no suffix": 1, "images in docs": 1}
    said = contents_of(data, ["normal"]).sentence()
    assert said == (
        "parts without classes: train 2 normal (normal); test 1 of no class; ignored: 1 .md, "
        "1 .csv, 1 no suffix, 1 images in docs"
    )


def test_zips_have_the_same_layouts(tmp_path):
    source = write(tmp_path / "set", images("good", 2) | images("bad", 2) | masks("Mask/bad", 2))
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for file in sorted(source.rglob("*.png")):
            archive.write(file, file.relative_to(tmp_path))
    assert told(load_dataset(tmp_path / "set.zip")) == told(load_dataset(source))


def test_every_layout_is_in_the_documentation():
    text = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    for layout in LAYOUTS:
        assert f"| {layout.name} | {layout.form} | {layout.meaning} |" in text


def write_photo(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(60, 200, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_mask(path: Path, defective: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((16, 16), np.uint8)
    pixels[4:8, 4:8] = 255 * defective
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
@pytest.mark.parametrize("folder", ["", "MT_Free/Imgs/"])
@pytest.mark.parametrize("defective", [0, 1, 6])
def test_masks_of_the_same_name_with_another_suffix(tmp_path, suffix, folder, defective):
    for k in range(8):
        write_photo(tmp_path / f"set/{folder}{k}.jpg", k)
        write_mask(tmp_path / f"set/{folder}{k}.{suffix}", k >= 8 - defective)
    if folder:
        write_photo(tmp_path / "set/MT_Crack/Imgs/a.jpg", 9)
        write_mask(tmp_path / f"set/MT_Crack/Imgs/a.{suffix}", True)
    data = load_dataset(tmp_path / "set")
    assert len(data) == 8 + bool(folder)
    assert data.masks is not None
    assert data.masks.any(axis=(1, 2)).sum() == defective + bool(folder)
    if not folder:
        assert told(data)["all", "defective", True] == defective


@pytest.mark.parametrize(
    ("image", "mask"),
    [("{}", "mask_{}"), ("img_{}", "mask_{}"), ("image{}", "label{}"), ("{}_rgb", "{}_mask"),
     ("IMG-{}", "GT-{}"), ("{}", "mask{}")],
)  # fmt: skip
@pytest.mark.parametrize("folders", [("", ""), ("images/", "masks/"), ("good/", "good/")])
def test_words_for_images_and_masks_in_front_or_behind(tmp_path, image, mask, folders):
    for k in range(1, 5):
        write_photo(tmp_path / f"set/{folders[0]}{image.format(k)}.png", k)
        write_mask(tmp_path / f"set/{folders[1]}{mask.format(k)}.png", k == 4)
    data = load_dataset(tmp_path / "set")
    assert len(data) == 4
    assert data.masks is not None
    assert data.masks.any(axis=(1, 2)).sum() == 1


def test_a_photo_in_two_formats_is_no_mask(tmp_path):
    for k in range(4):
        write_photo(tmp_path / f"set/{k}.jpg", k)
        write_photo(tmp_path / f"set/{k}.png", k)
    assert len(load_dataset(tmp_path / "set")) == 8


def test_masks_of_good_images_hide_no_masks(tmp_path):
    for k in range(40):
        write_photo(tmp_path / f"set/photos/{k:02d}.jpg", k)
        write_mask(tmp_path / f"set/outlines/{k:02d}.png", k > 35)
    with pytest.raises(DataError, match="40 files in outlines/ that look like masks"):
        load_dataset(tmp_path / "set")


def test_photographed_items_are_not_divided(tmp_path):
    for item in range(4):
        for k in range(3):
            write_photo(tmp_path / f"set/kos{item:02d}/Part{k}.jpg", 3 * item + k)
            write_mask(tmp_path / f"set/kos{item:02d}/Part{k}_label.bmp", k == 2)
    data = load_dataset(tmp_path / "set")
    assert told(data) == {("all", "normal", False): 8, ("all", "defective", True): 4}
    split = OneClassSplit(data, "normal")
    assert data.groups is not None
    trained, tested = data.groups[split.train], data.groups[split.test]
    assert not set(trained.tolist()) & set(tested.tolist())


def test_a_public_test_part(tmp_path):
    tree = images("train/good", 3) | images("validation/good", 2) | images("test_private", 2)
    tree |= images("test_public/good", 2) | images("test_public/bad", 2)
    tree |= masks("test_public/ground_truth/bad", 2, "_mask")
    data = load_dataset(write(tmp_path / "set", tree))
    counts = {("train", "good", False): 5, ("test", "good", False): 2, ("test", "bad", True): 2}
    assert told(data) == counts
    assert contents_of(data).ignored == {"images in test_private": 2}


@pytest.mark.parametrize(
    "folder", ["@eaDir", "__MACOSX", "$RECYCLE.BIN", ".thumbnails", "#recycle", "lost+found"]
)
def test_what_the_system_puts_beside_photos_is_not_read(tmp_path, folder):
    tree = images("good", 3) | images(f"good/{folder}", 3) | images(f"{folder}/good", 2)
    assert len(load_dataset(write(tmp_path / "set", tree))) == 3


@pytest.mark.parametrize(("good", "other"), [("good", "bad"), ("OK", "NG"), ("normal", "scratch")])
def test_the_one_class_that_is_called_normal_is(tmp_path, good, other):
    data = load_dataset(write(tmp_path / "set", images(good, 3) | images(other, 3)))
    assert data.normal_classes == (good,)
    tree = images(f"train/{good}", 3) | images(f"train/{other}", 3) | images(f"test/{other}", 1)
    assert load_dataset(write(tmp_path / "parts", tree)).normal_classes == (good,)
    assert (
        load_dataset(write(tmp_path / "two", images("ok", 2) | images("good", 2))).normal_classes
        == ()
    )


def test_a_large_folder_is_told_quickly(tmp_path):
    class Many(FolderFiles):
        @property
        def names(self) -> list[str]:
            return [f"train/{k % 50}/{k}.png" for k in range(40_000)]

    listing = list_images(Many(tmp_path))
    assert len(listing.entries) == 40_000
