"""Reading archives, preparing, splitting and augmenting."""

import csv
import io
import json
import re
import tarfile
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from PIL import Image

from springfield.config import compose, load
from springfield.images.dataset import Frames, read_boxes, read_split
from springfield.images.reading.archives import labelled
from springfield.images.reading.formats import Layout
from springfield.images.store import ImageStore, write_images
from springfield.images.transforms import Augmentation
from springfield.machine.errors import UserError
from springfield.machine.paths import Paths
from springfield.sampling.batches import Batches, loader
from springfield.sampling.exclusion import Excluded
from springfield.sampling.near_duplicates import near_duplicates
from springfield.sources.cast import CAST
from springfield.sources.sample import draw_sample
from springfield.stages.classification.augment import AugmentParams, OfflineParams
from springfield.stages.classification.params import ClassificationParams
from springfield.stages.classification.prepare import PrepareParams
from springfield.stages.split import SplitParams, Strategy

from . import stage
from .conftest import REPOSITORY, wait

CROP: list[dict[str, Any]] = [
    {"name": "HorizontalFlip", "p": 0.5},
    {"name": "RandomResizedCrop", "scale": [0.5, 1.0]},
]
GROUPED = SplitParams(
    Strategy.grouped, val=0.15, test=0.15, distance=10, max_per_class=None, classes=[]
)
PREPARE = PrepareParams(shorter_side=320, max_refused=0.01)
FOLDERS = Layout(r"(?P<class>[^/]+)/[^/]+$")


def picture(seed: int, kind: str = "PNG") -> bytes:
    """A picture unlike those of other seeds."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(blocks).resize((80, 60), Image.Resampling.BICUBIC).save(content, kind)
    return content.getvalue()


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return path


def two_classes(n: int = 3) -> dict[str, bytes]:
    return {f"set/{c}/{i}.png": picture(100 * (c == "b") + i) for c in "ab" for i in range(n)}


def prepare_in(folder: Path, params: PrepareParams = PREPARE) -> list[dict[str, str]]:
    """Prepare the archives in `folder/data/raw`; the rows of the index."""
    paths = Paths.within(folder)
    stage.prepare(params, [FOLDERS], paths)
    with paths.index.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """The whole sample, prepared."""
    folder = tmp_path_factory.mktemp("sample")
    paths = Paths.within(folder)
    paths.raw.mkdir(parents=True)
    draw_sample(paths.raw / "sample.zip")
    prepare_in(folder, replace(PREPARE, shorter_side=48))
    return paths


def beside(prepared: Paths, out: Path) -> Paths:
    """A folder for what the stages make of frames that were prepared elsewhere."""
    return replace(Paths.within(out), images=prepared.images, index=prepared.index)


def split_in(prepared: Paths, params: SplitParams, seed: int, out: Path) -> pd.DataFrame:
    """The sides of the sample beside its index."""
    paths = beside(prepared, out)
    stage.split(params, seed, paths)
    index = pd.read_csv(paths.index, keep_default_na=False)
    return index.merge(pd.read_csv(paths.split), on="id")


def report_of(out: Path) -> dict[str, Any]:
    """What `split_in` reported."""
    report: dict[str, Any] = json.loads(Paths.within(out).split_report.read_text())
    return report


def test_the_sample_is_the_same_every_time(tmp_path: Path) -> None:
    draw_sample(tmp_path / "a.zip", 0.05)
    draw_sample(tmp_path / "b.zip", 0.05)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_the_sample_is_unbalanced_with_a_rare_class(sample: Paths) -> None:
    counts = pd.read_csv(sample.index)["class"].value_counts()
    assert len(counts) == len(CAST) >= 8
    assert counts.max() > 40 * counts.min()
    assert counts.min() < 10


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_shot_is_on_two_sides(sample: Paths, seed: int, tmp_path: Path) -> None:
    frames = split_in(sample, GROUPED, seed, tmp_path)
    shots = frames["source"].str.replace(r"_frame_.*", "", regex=True)
    assert shots.nunique() > 300
    assert frames.groupby(shots)["split"].nunique().max() == 1
    assert report_of(tmp_path)["crossing_pairs"] == 0


def test_a_random_split_has_near_duplicates_on_both_sides(sample: Paths, tmp_path: Path) -> None:
    split_in(sample, replace(GROUPED, strategy=Strategy.random), 1, tmp_path)
    assert report_of(tmp_path)["crossing_pairs"] > 100


def test_classes_stay_in_proportion_and_rare_ones_are_on_each_side(
    sample: Paths, tmp_path: Path
) -> None:
    frames = split_in(sample, replace(GROUPED, val=0.2, test=0.1), 1, tmp_path)
    shares = frames.groupby("class")["split"].value_counts(normalize=True).unstack(fill_value=0)
    assert (shares > 0).all().all()
    large = shares[frames["class"].value_counts()[shares.index] > 90]
    np.testing.assert_allclose(large["train"], 0.7, atol=0.06)
    np.testing.assert_allclose(large["val"], 0.2, atol=0.06)


def test_max_per_class_caps_the_large_classes_only(sample: Paths, tmp_path: Path) -> None:
    frames = split_in(sample, replace(GROUPED, max_per_class=60), 1, tmp_path)
    counts = frames["class"].value_counts()
    assert counts["ada_quill"] == 60
    assert counts["june_marsh"] == CAST["june_marsh"].frames


@pytest.fixture
def with_official(tmp_path: Path) -> Paths:
    """Two classes of 40 pictures, and ten more of one of them as the set's own test set."""
    files = two_classes(40) | {f"test/a_{n}.png": picture(500 + n) for n in range(9)}
    files["test/a_9.png"] = files["set/a/0.png"] + b"\0"  # a near-duplicate of one of train or val
    paths = Paths.within(tmp_path)
    make_zip(paths.raw / "set.zip", files)
    layouts = [Layout(r"^set/(?P<class>[^/]+)/"), Layout(r"^test/(?P<class>.+)_\d+", "test")]
    stage.prepare(PREPARE, layouts, paths)
    return paths


def test_an_official_test_set_is_the_test_side_or_kept_apart(
    with_official: Paths, tmp_path: Path
) -> None:
    paths = with_official
    frames = split_in(paths, replace(GROUPED, strategy=Strategy.official), 1, tmp_path)
    test = frames[frames["split"] == "test"]
    assert set(test["official_split"]) == {"test"}
    assert len(test) == 10
    assert "official_test" not in read_split(paths.index, paths.split)[1]
    report = report_of(tmp_path)
    assert report["crossing_pairs"] == 1
    assert report["not_on_each_side"] == ["b"]

    frames = split_in(paths, GROUPED, 1, tmp_path)
    assert set(frames["official_split"]) == {""}
    classes, sides = read_split(paths.index, paths.split)
    apart = sides["official_test"]
    assert (classes, len(apart.ids), set(apart.labels)) == (["a", "b"], 10, {0})
    assert report_of(tmp_path)["official_test"]["frames"] == 10


@pytest.mark.parametrize(
    ("strategy", "boxed"), [(Strategy.grouped, False), (Strategy.random, True)]
)
def test_excluded_frames_are_not_learnt_from_and_stay_on_val_and_test(
    strategy: Strategy,
    boxed: bool,
    sample: Paths,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths = beside(sample, tmp_path)
    if boxed:
        paths = replace(paths, index=tmp_path / "index.csv")
        index = pd.read_csv(sample.index)
        index["boxes"] = [json.dumps([[name, 1, 2, 30, 40]]) for name in index["class"]]
        index.to_csv(paths.index, index=False)
    chosen = replace(GROUPED, strategy=strategy)
    before = split_in(paths, chosen, 1, tmp_path).set_index("id")
    assert "excluded" not in report_of(tmp_path)
    of_side = {side: frames.index.to_list() for side, frames in before.groupby("split")}
    rarest = before["class"].value_counts().index[-1]  # of which there are copies
    rare = before[(before["class"] == rarest) & (before["split"] == "train")]
    left_out = rare.index.to_list()[:3]
    listed = left_out + of_side["val"][:1] + of_side["test"][:2]
    excluded = [Excluded(digest, "why") for digest in before.loc[listed, "sha256"]]
    excluded.append(Excluded("0" * 64, "another data set's"))
    capsys.readouterr()
    stage.split(chosen, 1, paths, excluded)
    told = capsys.readouterr().err
    assert "\n3 frames excluded from train: see data.exclude in params.yaml; 1 of val and 2" in told
    assert "\ndata.exclude: 1 of 7 entries match no frame of the data, the first: 000" in told
    found = {"train": 3, "val": 1, "test": 2, "unknown": 1}
    assert report_of(tmp_path)["excluded"] == found
    after = pd.read_csv(paths.split, dtype=str).set_index("id")
    assert before["split"].drop(left_out).equals(after["split"])
    sides = (read_boxes if boxed else read_split)(paths.index, paths.split)[1]
    of_side["train"] = [name for name in of_side["train"] if name not in left_out]
    assert {side: frames.ids for side, frames in sides.items()} == of_side
    if boxed:
        return
    stage.augment(AugmentParams(OfflineParams(60, CROP), CROP), 32, paths)
    copies = pd.read_csv(paths.augmented / "index.csv")
    assert not set(copies["origin"]) & set(listed)


def test_a_list_that_leaves_nothing_to_learn_from_is_refused(
    with_official: Paths, tmp_path: Path
) -> None:
    hashes = pd.read_csv(with_official.index)["sha256"]
    with pytest.raises(UserError, match=r"data\.exclude leaves no frame in train"):
        stage.split(GROUPED, 1, with_official, [Excluded(digest, "why") for digest in hashes])


def test_some_classes_of_a_set_keep_its_official_split(tmp_path: Path) -> None:
    files = {
        f"{side}/{c}/{i}.png": picture(1000 * (side == "test") + 100 * number + i)
        for side in ("train", "test")
        for number, c in enumerate(("apple", "beaver", "cattle"))
        for i in range(10)
    }
    paths = Paths.within(tmp_path)
    make_zip(paths.raw / "set.zip", files)
    layouts = [Layout("^test/(?P<class>[^/]+)/", "test"), Layout("^train/(?P<class>[^/]+)/")]
    stage.prepare(PREPARE, layouts, paths)
    some = replace(GROUPED, strategy=Strategy.official, classes=["cattle", "apple"])
    frames = split_in(paths, some, 1, tmp_path)
    assert set(frames["class"]) == {"apple", "cattle"}
    assert Counter(frames["official_split"]) == {"": 20, "test": 20}
    assert set(frames.loc[frames["official_split"] == "test", "split"]) == {"test"}
    classes, sides = read_split(paths.index, paths.split)
    assert (classes, len(sides["test"].ids)) == (["apple", "cattle"], 20)
    assert [row["class"] for row in report_of(tmp_path)["classes"]] == classes
    split_in(paths, replace(some, strategy=Strategy.grouped), 1, tmp_path)
    assert len(read_split(paths.index, paths.split)[1]["official_test"].ids) == 20
    index = pd.read_csv(paths.index)  # beavers are of the data, if on no side
    beaver = index.loc[index["class"] == "beaver", "sha256"].iloc[0]
    stage.split(some, 1, paths, [Excluded(beaver, "an otter")])
    assert report_of(tmp_path)["excluded"] == {"train": 0, "val": 0, "test": 0, "unknown": 0}


def test_classes_that_a_set_has_not_are_named_with_near_ones(sample: Paths, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no class 'ada_quil'; near it: ada_quill$"):
        split_in(sample, replace(GROUPED, classes=["june_marsh", "ada_quil"]), 1, tmp_path)


def test_frames_with_boxes_are_of_several_classes(with_official: Paths, tmp_path: Path) -> None:
    index = with_official.index
    pd.read_csv(index).assign(boxes="").to_csv(index, index=False)
    with pytest.raises(UserError, match=r"split\.classes: a frame with boxes shows several"):
        split_in(with_official, replace(GROUPED, classes=["a", "b"]), 1, tmp_path)


@pytest.mark.parametrize(
    ("data", "files", "found"),
    [
        (
            "caltech101",
            ["101_ObjectCategories/ant/1.png", "101_ObjectCategories/BACKGROUND_Google/2.png"],
            [("ant", "")],
        ),
        (
            "linnaeus5",
            ["linnaeus5/Linnaeus 5 32X32/test/dog/1.png", "linnaeus5/train/other/1.png"],
            [("dog", "test"), ("other", "")],
        ),
    ],
)
def test_published_folders_of_classes_are_a_file_each(
    data: str, files: list[str], found: list[tuple[str, str]], tmp_path: Path
) -> None:
    """Clutter is no class, and a test folder is the set's own test."""
    compose(REPOSITORY, tmp_path / "params.yaml", ["experiment=folder", f"data={data}"])
    params = load(tmp_path / "params.yaml")
    assert isinstance(params, ClassificationParams)
    archive = make_zip(tmp_path / "set.zip", {name: picture(n) for n, name in enumerate(files)})
    items = [item for item in labelled(archive, params.data.layout) if item]
    assert [(item.label, item.official_split) for item in items] == found


def test_a_set_without_a_test_set_of_its_own_is_told_so(sample: Paths, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no test set of its own"):
        split_in(sample, replace(GROUPED, strategy=Strategy.official), 1, tmp_path)


def test_train_val_and_test_folders_of_ones_own_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not merged: with no word of it, test pictures were trained on."""
    files = {
        f"mine/{side}/{c}/{i}.png": picture(1000 * start + 100 * (c == "b") + i)
        for start, side in enumerate(("train", "validation", "test"))
        for c in "ab"
        for i in range(10)
    }
    paths = Paths.within(tmp_path)
    make_zip(paths.raw / "mine.zip", files)
    listed = yaml.safe_load((REPOSITORY / "conf/data/folder.yaml").read_text())["layout"]
    stage.prepare(PREPARE, [Layout(**layout) for layout in listed], paths)
    told = "20 test, 20 train, 20 val"
    assert told in " ".join(capsys.readouterr().err.split())
    assert told in paths.data_page.read_text()
    frames = split_in(paths, replace(GROUPED, strategy=Strategy.official), 1, tmp_path)
    assert (frames["split"] == frames["official_split"]).all()
    assert len(frames) == 60
    frames = split_in(paths, GROUPED, 1, tmp_path)
    assert set(frames["official_split"]) == {"train", "val"}


def test_the_progress_of_prepare_has_a_total(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = Paths.within(tmp_path)
    make_zip(paths.raw / "set.zip", {**two_classes(5), "readme.txt": b"two classes"})
    prepare_in(tmp_path)
    assert re.search(r"Preparing images\W+11/11", capsys.readouterr().err)


def test_few_groups_are_told_with_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pictures of a fixed camera are one group, which no larger val mends."""
    paths = Paths.within(tmp_path)
    make_zip(paths.raw / "set.zip", two_classes(8))
    prepare_in(tmp_path)
    index = pd.read_csv(paths.index, dtype=str)
    index["phash"] = [f"{'0' if place < 12 else place:0>16}" for place in range(16)]
    index["phash"] = index["phash"].str.replace(r"^0+(1\d)$", r"\1ffffff\1ffffff", regex=True)
    index.to_csv(paths.index, index=False)
    split_in(paths, replace(GROUPED, distance=0), 1, tmp_path)
    told = " ".join(capsys.readouterr().err.split())
    assert "5 groups of near-duplicates in 16 frames, the largest of 12" in told
    split_in(paths, replace(GROUPED, val=0.4, distance=0), 1, tmp_path)
    told = " ".join(capsys.readouterr().err.split())
    assert "not split.val=40%: a group stays on one side; a smaller split.distance" in told
    index["phash"] = "0" * 16
    index.to_csv(paths.index, index=False)
    with pytest.raises(UserError, match=r"16 frames are 1 groups.*split\.distance.*split=random"):
        split_in(paths, GROUPED, 1, tmp_path)
    split_in(paths, replace(GROUPED, val=0.4, distance=0, strategy=Strategy.random), 1, tmp_path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{first},train,0", r"line \d+: '{first}' is there twice"),
        ("{first},test,0", r"'{first}' is there twice"),
        ("nobody,train,0", "'nobody' is not in the index"),
        ("{spare},training,0", "'{spare}' is on none of the sides train, val, test"),
    ],
)
def test_a_wrong_line_of_the_split_is_named(tmp_path: Path, line: str, reason: str) -> None:
    paths = Paths.within(tmp_path)
    make_zip(paths.raw / "set.zip", two_classes(20))
    ids = [row["id"] for row in prepare_in(tmp_path)]
    split_in(paths, replace(GROUPED, max_per_class=19), 1, tmp_path)
    table = pd.read_csv(paths.split, dtype=str)
    first = table.loc[table["split"] == "train", "id"].iloc[0]
    names = {"first": first, "spare": next(name for name in ids if name not in set(table["id"]))}
    with paths.split.open("a") as file:
        file.write(line.format(**names) + "\n")
    expected = reason.replace("{first}", names["first"]).replace("{spare}", names["spare"])
    with pytest.raises(UserError, match=expected):
        read_split(paths.index, paths.split)
    with pytest.raises(UserError, match=expected):
        stage.augment(AugmentParams(OfflineParams(0, []), []), 32, paths)


def test_seeds_give_other_splits_and_the_same_seed_the_same(sample: Paths, tmp_path: Path) -> None:
    one, again, two = (split_in(sample, GROUPED, seed, tmp_path) for seed in (1, 1, 2))
    assert one["split"].equals(again["split"])
    assert not one["split"].equals(two["split"])


@pytest.mark.parametrize("distance", [0, 3, 10, 17, 30])
def test_near_duplicates_are_all_found(distance: int) -> None:
    rng = np.random.default_rng(distance)
    shots = rng.integers(0, 2**63, 150, np.uint64)
    hashes = np.repeat(shots, 4)
    for _ in range(max(1, distance // 4)):
        hashes ^= np.uint64(1) << rng.integers(0, 64, len(hashes)).astype(np.uint64)
    close = np.bitwise_count(hashes[:, None] ^ hashes[None]) <= distance
    expected = np.argwhere(np.triu(close, 1)).tolist()
    assert near_duplicates(hashes, distance).tolist() == expected
    assert expected or distance == 0


def test_near_duplicates_are_the_pairs_within_the_distance() -> None:
    hashes = np.array([0b0000, 0b0001, 0b0111, 2**63], np.uint64)
    assert near_duplicates(hashes, 1).tolist() == [[0, 1], [0, 3]]
    assert near_duplicates(hashes, 2).tolist() == [[0, 1], [0, 3], [1, 2], [1, 3]]


def test_crossing_pairs_are_all_counted_also_among_frames_that_look_the_same(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(1)
    hashes = np.concatenate([np.zeros(300, np.uint64), rng.integers(0, 8, 90, np.uint64)])
    index = pd.DataFrame({"phash": [f"{value:016x}" for value in hashes]})
    index["id"] = index.index.astype(str)
    index = index.assign(**{"class": "a", "source": "s", "official_split": ""})
    paths = Paths.within(tmp_path)
    paths.index.parent.mkdir(parents=True)
    index.to_csv(paths.index, index=False)
    stage.split(replace(GROUPED, strategy=Strategy.random, distance=1), 1, paths)
    sides = pd.read_csv(paths.split)["split"].to_numpy()
    close = np.bitwise_count(hashes[:, None] ^ hashes[None]) <= 1
    expected = np.triu(close & (sides[:, None] != sides[None]), 1).sum()
    assert report_of(tmp_path)["crossing_pairs"] == expected > 1000


def test_values_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UserError, match=r"split.val=0.6 and split.test=0.4"):
        replace(GROUPED, val=0.6, test=0.4)
    with pytest.raises(UserError, match=r"data.layout: '\(a': "):
        Layout("(a")
    with pytest.raises(UserError, match=r"lacks a group \(\?P<class>"):
        Layout("[^/]+/")
    with pytest.raises(UserError, match=r"RandomResizedCrop gets its size from model.input_size"):
        AugmentParams(OfflineParams(1, [{"name": "RandomResizedCrop", "size": [32, 32]}]), [])


def test_zip_and_tar_yield_the_same_images(tmp_path: Path) -> None:
    files = two_classes()
    zipped = make_zip(tmp_path / "set.zip", {**files, "set/a/.hidden.png": b"", "readme.txt": b""})
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    one, two = (
        [(item.path, item.label, item.content) for item in labelled(archive, [FOLDERS]) if item]
        for archive in (zipped, tmp_path / "set.tar.gz")
    )
    assert one == two
    assert one[0][:2] == ("set/a/0.png", "a")
    assert len(one) == len(files)


def test_layouts_tell_classes_and_official_splits(tmp_path: Path) -> None:
    kaggle = make_zip(
        tmp_path / "kaggle.zip",
        {
            "simpsons_dataset/bart/pic_0.jpg": b"1",
            "simpsons_dataset/simpsons_dataset/bart/pic_0.jpg": b"1",
            "kaggle_simpson_testset/kaggle_simpson_testset/ned_flanders_12.jpg": b"2",
            "annotation.txt": b"",
        },
    )
    layouts = [
        Layout(r"^simpsons_dataset/(?P<class>[^/]+)/[^/]+$"),
        Layout(r"_testset/.*/(?P<class>.+)_\d+\.jpg$", split="test"),
    ]
    found = [(i.label, i.official_split) for i in labelled(kaggle, layouts) if i]
    assert sorted(found) == [("bart", ""), ("ned_flanders", "test")]


BY_TABLE = Layout(r"labels\.csv$", format="csv", picture="images/{id}.png", column="kind")
TABLE = 'id,kind\n1,cat\n2,"dog, or ""wolf"""\n3,cat\n'


def by_table(folder: Path, table: str | bytes, n: int = 3) -> tuple[dict[str, str], dict[str, Any]]:
    """Classes by the paths of n pictures that a table names, as prepared, and the report."""
    content = table if isinstance(table, bytes) else table.encode()
    files = {f"set/images/{number}.png": picture(number) for number in range(1, n + 1)}
    make_zip(folder / "data/raw/set.zip", {**files, "set/labels.csv": content})
    paths = Paths.within(folder)
    stage.prepare(replace(PREPARE, max_refused=0.4), [BY_TABLE], paths)
    rows = pd.read_csv(paths.index, dtype=str, keep_default_na=False)
    report: dict[str, Any] = json.loads(paths.data_report.read_text())
    return dict(zip(rows["source"], rows["class"], strict=True)), report


def test_a_table_says_of_which_class_pictures_are(tmp_path: Path) -> None:
    """Quoted names as they are; pictures that it does not name, or without a class, are counted."""
    found, report = by_table(tmp_path, f"\ufeff{TABLE}4,\n", n=5)
    assert found == {
        "set.zip!set/images/1.png": "cat",
        "set.zip!set/images/2.png": 'dog, or "wolf"',
        "set.zip!set/images/3.png": "cat",
    }
    assert report["unmatched"] == 3  # 4, 5 and the table
    assert report["refused"] == []


def test_a_picture_that_a_table_names_in_vain_or_as_two_things_is_refused(tmp_path: Path) -> None:
    found, report = by_table(tmp_path, TABLE + "3,cat\n4,cat\n1,dog\n5,cat\n", n=4)
    assert sorted(found) == [f"set.zip!set/images/{number}.png" for number in (2, 3, 4)]
    assert report["refused"] == [
        {
            "source": "set.zip!set/images/1.png",
            "reason": "set.zip!set/labels.csv names it 'cat' and 'dog'",
        },
        {"source": "set.zip!set/images/5.png", "reason": "there is no such file"},
    ]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("id;kind\n1;cat\n", "no column 'id', 'kind'; there are: id;kind"),
        ("", "no column 'id', 'kind'; there are: none"),
        (b"id,kind\n1,\xff\n", "not UTF-8"),
        ('id,kind\n1,"cat\n', "line 2: unexpected end of data"),
        ('id,kind\n1,"cat"s\n', "line 2: ',' expected after '\"'"),
        ("id,kind\n", "no picture that data.layout matches"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(
    table: str | bytes, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=re.escape(reason)):
        by_table(tmp_path, table)


@pytest.mark.parametrize(
    "fields",
    [{"picture": "{id"}, {"picture": ""}, {"column": ""}, {"classes": ["a"]}, {"format": "idx"}],
)
def test_what_a_table_needs_is_asked_for(fields: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"data\.layout: 'labels"):
        replace(BY_TABLE, **fields)


def test_hasyv2_is_read_with_the_first_of_its_folds(tmp_path: Path) -> None:
    """Its tables say where pictures are from their own folders on."""
    content = yaml.safe_load((REPOSITORY / "conf/data/hasyv2.yaml").read_text())
    head, folder = "path,symbol_id,latex,user_id\n", "classification-task/fold-1"
    row = "../../hasy-data/v2-{n:05}.png,31,{latex},7\n"
    names = [r"\pi", "A", '"|"', r"\pi"]
    rows = [row.format(n=number, latex=latex) for number, latex in enumerate(names)]
    files = {
        **{f"hasy-data/v2-{number:05}.png": picture(number) for number in range(4)},
        f"{folder}/train.csv": (head + "".join(rows[:3])).encode(),
        f"{folder}/test.csv": (head + rows[3]).encode(),
        "classification-task/fold-2/test.csv": (head + rows[0]).encode(),
    }
    raw = tmp_path / "data/raw"
    raw.mkdir(parents=True)
    with tarfile.open(raw / "HASYv2.tar.bz2", "w:bz2") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    paths = Paths.within(tmp_path)
    stage.prepare(PREPARE, [Layout(**layout) for layout in content["layout"]], paths)
    index = pd.read_csv(paths.index, keep_default_na=False)
    found = list(zip(index["class"], index["official_split"], strict=True))
    assert found == [(r"\pi", ""), ("A", ""), ("|", ""), (r"\pi", "test")]


def test_prepare_keeps_what_can_be_used_and_lists_the_rest(tmp_path: Path) -> None:
    files = two_classes(30)
    files["set/a/png.jpg"] = picture(900)  # a PNG under a JPEG's name is a picture
    files["set/a/page.jpg"] = b"<html>not found</html>"
    files["set/b/again.png"] = files["set/b/0.png"]
    make_zip(tmp_path / "data/raw/set.zip", files)
    rows = prepare_in(tmp_path, replace(PREPARE, shorter_side=30, max_refused=0.05))
    assert len(rows) == len({row["id"] for row in rows}) == 61
    assert {(row["width"], row["height"]) for row in rows} == {("80", "60")}
    images = ImageStore(tmp_path / "data/prepared/images.arrow")
    assert images[rows[0]["id"]].shape == (30, 40, 3)
    report = json.loads((tmp_path / "reports/data.json").read_text())
    assert report["refused"] == [
        {"source": "set.zip!set/a/page.jpg", "reason": "a page, not a picture"}
    ]
    assert report["duplicates"] == [
        {"source": "set.zip!set/b/again.png", "reason": "the same as set.zip!set/b/0.png"}
    ]


def test_kept_pixels_are_those_of_the_picture(tmp_path: Path) -> None:
    make_zip(tmp_path / "data/raw/set.zip", two_classes())
    row = prepare_in(tmp_path)[0]
    stored = ImageStore(tmp_path / "data/prepared/images.arrow")[row["id"]]
    original = np.asarray(Image.open(io.BytesIO(picture(0))).convert("RGB"))
    assert (stored == original).all()


def test_too_many_refused_fail_and_leave_nothing(tmp_path: Path) -> None:
    make_zip(tmp_path / "data/raw/set.zip", {**two_classes(), "set/a/page.jpg": b"<html>"})
    with pytest.raises(UserError, match=r"1 of 7 pictures cannot be used.*set/a/page.jpg"):
        prepare_in(tmp_path)
    assert not (tmp_path / "data/prepared").exists()


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    make_zip(tmp_path / "data/raw/set.zip", {**two_classes(), "set/c/": b""})
    with pytest.raises(UserError, match=r"the class folder 'set/c' is empty"):
        prepare_in(tmp_path)


def test_a_class_without_a_usable_picture_is_named(tmp_path: Path) -> None:
    make_zip(tmp_path / "data/raw/set.zip", {**two_classes(80), "set/c/page.jpg": b"<html>"})
    with pytest.raises(UserError, match="class 'c' has no usable picture"):
        prepare_in(tmp_path)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "data/raw/set.zip", two_classes())
    content = bytearray(archive.read_bytes())
    content[60:400] = bytes(340)
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"set/a/0.png: damaged in the archive"):
        prepare_in(tmp_path)


def test_rare_classes_get_copies_up_to_the_floor(sample: Paths, tmp_path: Path) -> None:
    frames = split_in(sample, GROUPED, 1, tmp_path)
    paths = beside(sample, tmp_path)
    params = AugmentParams(OfflineParams(50, CROP), CROP)
    for out in ("one", "two"):
        stage.augment(params, 32, replace(paths, augmented=tmp_path / out))
    copies = pd.read_csv(tmp_path / "one/index.csv")
    train = frames[frames["split"] == "train"]
    counts = Counter([*train["class"], *copies["class"]])
    assert min(counts.values()) == 50
    assert set(copies["origin"]) <= set(train["id"])
    assert "ada_quill" not in set(copies["class"])
    stores = [ImageStore(tmp_path / out / "images.arrow") for out in ("one", "two")]
    for copy in copies["id"]:
        assert (stores[0][copy] == stores[1][copy]).all()
    assert Image.open(paths.augment_picture).width > 800


def test_without_augmentation_there_are_no_copies(sample: Paths, tmp_path: Path) -> None:
    split_in(sample, GROUPED, 1, tmp_path)
    paths = beside(sample, tmp_path)
    stage.augment(AugmentParams(OfflineParams(0, []), []), 32, paths)
    assert pd.read_csv(paths.augmented / "index.csv").empty
    assert "any" not in ImageStore(paths.augmented / "images.arrow")


def test_a_wrong_argument_of_a_transform_is_an_error() -> None:
    with pytest.raises(UserError, match=r"augment: Affine: .*sheer"):
        Augmentation([{"name": "Affine", "sheer": 3}], 32)
    with pytest.raises(UserError, match="no transform 'Afine'"):
        Augmentation([{"name": "Afine"}], 32)
    with pytest.raises(UserError, match="augment: a transform gives float32 in place of pictures"):
        Augmentation([*CROP, {"name": "Normalize"}], 32)


def epochs_of(prepared: Paths, image_id: str, workers: int, epochs: list[int]) -> np.ndarray:
    """What one loader gives in these epochs of 40 frames that are all the same picture."""
    frames = Frames(
        [ImageStore(prepared.images)], [image_id] * 40, np.arange(40), [32],
        {32: Augmentation([*CROP, {"name": "ColorJitter", "p": 1.0}], 32)}, seed=3,
    )  # fmt: skip
    order = Batches(40, 8, seed=3)
    batches = loader(frames, order, workers, epochs=max(epochs) + 1)
    given = []
    for epoch in epochs:
        order.set_epoch(epoch)
        given.append(np.concatenate([images.numpy() for images, _ in batches]))
    return np.stack(given)


@pytest.mark.parametrize("workers", [0, 1, pytest.param(3, marks=pytest.mark.slow)])
def test_augmentation_depends_on_epoch_and_frame_and_on_nothing_else(
    sample: Paths, workers: int
) -> None:
    image_id = str(pd.read_csv(sample.index)["id"][0])
    alone = epochs_of(sample, image_id, 0, [0, 1, 2])
    assert (epochs_of(sample, image_id, workers, [0, 1, 2]) == alone).all()
    resumed = epochs_of(sample, image_id, workers, [1, 2])
    assert (resumed == alone[1:]).all()
    assert len({image.tobytes() for image in alone.reshape(-1, *alone.shape[2:])}) == 3 * 40


class Noted(Frames):
    """Frames that say on the side which epochs were loaded, with how many threads, and where to."""

    def __getitem__(self, keys: list[tuple[int, int]]) -> Any:
        batch = super().__getitem__(keys)
        where = "shared" if batch[0].is_shared() else "own"  # type: ignore[no-untyped-call]
        with (self.stores[0].path.parent / "loaded").open("a") as file:
            file.write(f"{keys[0][0]} {cv2.getNumThreads()} {where}\n")
        return batch


def test_loader_processes_begin_with_the_next_epoch_and_have_a_core_each(
    sample: Paths, tmp_path: Path
) -> None:
    """And write into the memory that is shared, so that nothing is copied on the way."""
    write_images(tmp_path / "images.arrow", [("a", np.zeros((32, 32, 3), np.uint8))])
    frames = Noted([ImageStore(tmp_path / "images.arrow")], ["a"] * 40, np.arange(40), [32])
    order = Batches(40, 8, seed=3)
    batches = loader(frames, order, workers=1, epochs=2)

    def loaded() -> list[str]:
        return (tmp_path / "loaded").read_text().split("\n")[:-1]

    assert len(list(batches)) == 5
    wait(lambda: len(loaded()) == 7)  # two wait for each process
    assert loaded() == ["0 1 shared"] * 5 + ["1 1 shared"] * 2
    order.set_epoch(1)
    assert len(list(batches)) == 5
    assert loaded() == ["0 1 shared"] * 5 + ["1 1 shared"] * 5


@pytest.mark.parametrize("seed", [None, 5])
def test_a_global_batch_is_the_same_for_one_and_two_processes(seed: int | None) -> None:
    alone = list(Batches(21, 8, seed=seed))
    parts = [list(Batches(21, 8, rank, 2, seed=seed)) for rank in (0, 1)]
    assert alone == [one + two for one, two in zip(*parts, strict=True)]


def test_evaluation_batches_count_each_frame_once() -> None:
    rows = [row for rank in (0, 1) for b in Batches(21, 8, rank, 2) for _, row in b if row >= 0]
    assert sorted(rows) == list(range(21))


def test_weights_decide_how_often_a_frame_is_drawn() -> None:
    weights = np.array([1.0] * 50 + [9.0] * 50)
    rows = [row for batch in Batches(100, 10, weights=weights, seed=1) for _, row in batch]
    assert 0.8 < np.mean(np.array(rows) >= 50) < 0.98


def test_the_page_about_the_data_says_what_the_file_of_pictures_holds(tmp_path: Path) -> None:
    images = tmp_path / "images.arrow"
    pixels = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    write_images(images, [("one", pixels)])
    table = pa.ipc.open_file(images).read_all()
    lines = (REPOSITORY / "data/README.md").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("| `prepared/images.arrow`")]
    listed = re.findall(r"`(\w+)`", line.split("(")[1])
    assert listed == table.column_names
    row = table.to_pylist()[0]
    assert "RGB, a byte each, row by row" in line
    assert (row["height"], row["width"], row["pixels"]) == (4, 5, pixels.tobytes())
