"""Classifying image files with an ONNX model that may be anybody's."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fairnas.cli.main import main
from fairnas.config import DataConfig
from fairnas.data import load_dataset, ordered_batches
from fairnas.data.decode import Header
from fairnas.errors import FairnasError
from fairnas.export import ModelFileError, Preprocessing
from fairnas.export.predict import Classifier, Prediction, Unreadable, find_images
from fairnas.export.preprocessing import parse_preprocessing
from fairnas.export.session import OnnxSession


@pytest.fixture
def model(small_onnx: Callable[..., bytes], tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(small_onnx())
    return path


def _picture(path: Path, seed: int, size: tuple[int, int] = (9, 7)) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


def test_probabilities_are_those_of_the_logits(model: Path, tmp_path: Path) -> None:
    images = [_picture(tmp_path / f"{number}.png", number) for number in range(40)]  # more than one run
    classifier = Classifier(model)
    found = list(classifier.predict(images, top=3))
    given_ = OnnxSession(model).labels().preprocessing
    logits = OnnxSession(model).run(np.stack([given_.read(image) for image in images]))
    expected = torch.softmax(torch.from_numpy(logits).double(), 1).numpy()
    for row, image, each in zip(expected, images, found, strict=True):
        assert isinstance(each, Prediction)
        assert each.image == image
        assert list(each.probabilities) == sorted(each.probabilities, reverse=True)
        assert sum(each.probabilities) == pytest.approx(1)
        by_name = dict(zip(each.classes, each.probabilities, strict=True))
        assert [by_name[name] for name in ("cat", "dog", "bird")] == pytest.approx(row.tolist())
    (best,) = classifier.predict(images[:1], top=1)
    assert isinstance(best, Prediction)
    assert isinstance(found[0], Prediction)
    assert best.classes == found[0].classes[:1]


def test_an_image_that_cannot_be_read_leaves_the_others(model: Path, tmp_path: Path) -> None:
    good = [_picture(tmp_path / f"{number}.png", number) for number in range(2)]
    (tmp_path / "bad.png").write_bytes(b"no image")
    images = [good[0], str(tmp_path / "bad.png"), str(tmp_path / "absent.png"), good[1]]
    found = list(Classifier(model).predict(images, top=1))
    assert [each.image for each in found] == images
    assert found[::3] == list(Classifier(model).predict(good, top=1))
    assert found[1] == Unreadable(images[1], "cannot be decoded (it is not an image of a known format); replace it")
    assert found[2] == Unreadable(images[2], "there is no such file")


def test_images_are_prepared_as_evaluation_prepares_them(tmp_path: Path) -> None:
    """Bit for bit: the accuracy that was measured is that of what `predict` sees."""
    images = [
        _picture(tmp_path / "photos" / name / f"{number}.png", number + 10 * place, (31, 20))
        for place, name in enumerate("ab")
        for number in range(8)
    ]
    config = DataConfig(f"folder:{tmp_path / 'photos'}", validation_per_class=2, augmentation="none")
    dataset = load_dataset(config, image_size=8, image_channels=None, seed=0)
    given_ = Preprocessing(8, 3, dataset.mean, dataset.std)
    read = {given_.read(image).tobytes() for image in images}
    seen = 0
    for part in (dataset.train, dataset.validation, dataset.test):
        for pixels, _ in ordered_batches(part, dataset, batch_size=5, device=torch.device("cpu")):
            for each in pixels:
                assert each.contiguous().numpy().tobytes() in read
                seen += 1
    assert seen == len(images)


def test_folders_of_images(tmp_path: Path) -> None:
    names = ["a.jpg", "b.png", "deep/c.PNG"]
    for name in names:
        _picture(tmp_path / "photos" / name, 0)
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    (tmp_path / "photos" / ".hidden.png").write_bytes(b"")
    folder = tmp_path / "photos"
    found = find_images([folder, folder / "a.jpg"])
    assert found.images == tuple(str(folder / name) for name in names)
    assert found.left_out == {".txt": 1}
    (tmp_path / "empty").mkdir()
    with pytest.raises(FairnasError, match=r"empty holds no images \(\.apng, "):
        find_images([tmp_path / "empty"])


def test_a_path_that_means_no_model(tmp_path: Path, small_onnx: Callable[..., bytes]) -> None:
    _refused(tmp_path / "absent.onnx", r"there is no .*absent\.onnx; give an ONNX file or a folder")
    _refused(tmp_path, r"holds no model\.onnx; give")
    for genome in ("01", "02"):
        (tmp_path / "models" / genome).mkdir(parents=True)
        (tmp_path / "models" / genome / "model.onnx").write_bytes(small_onnx())
    _refused(tmp_path, r"is a run with 2 exported networks; give one of them: .*models/01, .*models/02")
    assert Classifier(tmp_path / "models" / "01").classes == ("cat", "dog", "bird")


def _refused(path: Path, message: str) -> None:
    with pytest.raises(FairnasError, match=message) as caught:
        Classifier(path)
    assert "\n" not in str(caught.value)


GOOD = {"image_size": 4, "image_channels": 3, "mean": [0.5] * 3, "std": [0.25] * 3}
BAD = {
    "no classes": ({"classes": None}, "its metadata lack classes; give a model that `fairnas export` wrote"),
    "classes that are no list": ({"classes": '"cat"'}, "its classes are not a list of names"),
    "classes that are no names": ({"classes": "[1, 2, 3]"}, "its classes are not a list of names"),
    "classes that never end": ({"classes": "[" * 100_000}, "its classes are not a list of names"),
    "no JSON": ({"preprocessing": "{"}, "its preprocessing cannot be used"),
    "no table": ({"preprocessing": "[]"}, "it is no table"),
    "huge images": ({"preprocessing": json.dumps({**GOOD, "image_size": 10**9})}, "image_size is 1000000000, and may"),
    "no image": ({"preprocessing": json.dumps({**GOOD, "image_size": 0})}, "image_size is 0, and may be from 1"),
    "no number": ({"preprocessing": json.dumps({**GOOD, "image_size": True})}, "image_size is True"),
    "channels": ({"preprocessing": json.dumps({**GOOD, "image_channels": 4})}, "image_channels is 4, and may be"),
    "too few means": ({"preprocessing": json.dumps({**GOOD, "mean": [0.5]})}, "mean has 1 numbers for 3 channels"),
    "zero deviation": ({"preprocessing": json.dumps({**GOOD, "std": [0, 1, 1]})}, r"std holds 0\.0"),
    "not finite": ({"preprocessing": json.dumps({**GOOD, "mean": [float("nan")] * 3})}, "mean holds nan"),
    "unknown fit": (
        {"preprocessing": json.dumps({**GOOD, "fit": "stretch"})},
        "fit is stretch, and may be crop, pad, ",
    ),
    "fit that is no text": ({"preprocessing": json.dumps({**GOOD, "fit": [1]})}, r"fit is \[1\], and may be crop"),
    "half a range": ({"preprocessing": json.dumps({**GOOD, "value_range": [1]})}, "value_range has 1 numbers"),
    "no range": ({"preprocessing": json.dumps({**GOOD, "value_range": "0:1"})}, "value_range is not a list of numbers"),
    "a range upside down": ({"preprocessing": json.dumps({**GOOD, "value_range": [2, 1]})}, "give two finite numbers"),
    "an endless range": ({"preprocessing": json.dumps({**GOOD, "value_range": [0, float("inf")]})}, "two finite"),
    "too large": ({"preprocessing": json.dumps({**GOOD, "mean": [10**400] * 3})}, "a number of 401 digits"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD.keys())
def test_a_model_that_lies_about_itself(
    small_onnx: Callable[..., bytes], tmp_path: Path, changes: dict[str, str | None], message: str
) -> None:
    (tmp_path / "model.onnx").write_bytes(small_onnx(changes))
    _refused(tmp_path / "model.onnx", rf"model\.onnx: .*{message}")


def test_a_model_of_endless_classes(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairnas.export.session.MAX_CLASSES", 2)
    _refused(model, "it has 3 classes, at most 2 are read; give a classifier")


def test_large_images_go_one_by_one(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [_picture(tmp_path / f"{number}.png", number) for number in range(3)]
    together = list(Classifier(model).predict(images, top=1))
    monkeypatch.setattr("fairnas.export.predict._PIXELS", 1)
    sizes: list[int] = []
    run = OnnxSession.run
    monkeypatch.setattr(OnnxSession, "run", lambda self, pixels: sizes.append(len(pixels)) or run(self, pixels))
    alone = list(Classifier(model).predict(images, top=1))
    assert sizes == [1, 1, 1]
    assert [each.classes for each in alone if isinstance(each, Prediction)] == [
        each.classes for each in together if isinstance(each, Prediction)
    ]


@pytest.mark.slow
@given(text=st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_text_for_preprocessing_is_one_line(text: str) -> None:
    with pytest.raises(ValueError):
        parse_preprocessing(text)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_model_is_one_line(small_onnx: Callable[..., bytes], data: st.DataObject, tmp_path_factory) -> None:
    content = bytearray(small_onnx())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    del content[data.draw(st.integers(1, len(content))) :]
    path = tmp_path_factory.mktemp("damaged") / "model.onnx"
    path.write_bytes(content)
    said = ""
    try:
        Classifier(path).probabilities(np.zeros((2, 3, 4, 4), np.float32))
    except FairnasError as error:
        said = str(error)
    assert "\n" not in said


def test_outputs_that_do_not_fit(small_onnx: Callable[..., bytes], tmp_path: Path) -> None:
    images = np.zeros((2, 3, 4, 4), np.float32)
    (tmp_path / "a.onnx").write_bytes(small_onnx(outputs=5))
    with pytest.raises(ModelFileError, match=r"outputs of shape \(2, 5\) for 2 images and 3 class names"):
        Classifier(tmp_path / "a.onnx").probabilities(images)
    (tmp_path / "b.onnx").write_bytes(small_onnx(scale=float("nan")))
    with pytest.raises(ModelFileError, match="outputs that are not finite"):
        Classifier(tmp_path / "b.onnx").probabilities(images)


def test_any_number_of_threads_says_the_same_in_the_same_order(model: Path, tmp_path: Path) -> None:
    images = [Path(_picture(tmp_path / f"{number}.png", number)) for number in range(70)]
    images[40].write_bytes(b"no image")
    ones = list(Classifier(str(model)).predict(images))
    assert [each.image for each in ones] == [str(image) for image in images]
    for one, other in zip(ones, Classifier(model, threads=4).predict(images), strict=True):
        assert one.image == other.image
        if isinstance(one, Prediction) and isinstance(other, Prediction):
            assert one.classes == other.classes
            assert one.probabilities == pytest.approx(other.probabilities)
        else:
            assert one == other


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five images, which go one by one; the third is none."""
    monkeypatch.setattr("fairnas.export.predict._PIXELS", 1)
    for number in range(5):
        _picture(tmp_path / "photos" / f"{number}.png", number)
    (tmp_path / "photos" / "2.png").write_bytes(b"no image")
    return tmp_path / "photos"


def test_json_lines_are_the_parts_of_the_whole(model: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(model), str(folder), "--json"]) == 2
    whole = json.loads(capsys.readouterr().out)
    assert main(["predict", str(model), str(folder), "--json-lines"]) == 2
    told = capsys.readouterr()
    lines = [json.loads(line) for line in told.out.splitlines()]
    assert [line["image"] for line in lines] == sorted(str(path) for path in folder.iterdir())
    assert [line for line in lines if "classes" in line] == whole["images"]
    assert [line for line in lines if "reason" in line] == whole["unreadable"]
    assert (
        told.err == f"fairnas: {folder}/2.png: cannot be decoded (it is not an image of a known format); replace it\n"
    )


@pytest.mark.parametrize(
    ("flags", "printed", "said"),
    [
        ([], 3, "4 of 5 images were done and are printed; the same command begins with the first again"),
        (["--json-lines"], 4, "4 of 5 images were done and are printed; the same command begins with the first again"),
        (["--json"], 0, "4 of 5 images were done but are not printed (--json-lines prints each at once); the same"),
    ],
)
def test_what_was_found_before_ctrl_c_is_printed(
    model: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    printed: int,
    said: str,
) -> None:
    read = Preprocessing.read_with_header

    def interrupted(self: Preprocessing, path: str) -> tuple[np.ndarray, Header]:
        if path.endswith("4.png"):
            raise KeyboardInterrupt
        return read(self, path)

    monkeypatch.setattr(Preprocessing, "read_with_header", interrupted)
    assert main(["predict", str(model), str(folder), "--top", "1", *flags]) == 130
    told = capsys.readouterr()
    assert told.out.count(".png") == printed
    bad, last = told.err.splitlines()
    assert "2.png: cannot be decoded" in bad
    assert last.startswith(f"fairnas: interrupted; {said}")


def test_a_bar_is_shown_where_rows_go_into_a_file(
    model: Path, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "2.png").unlink()
    assert main(["predict", str(model), str(folder)]) == 0
    plain = capsys.readouterr()
    assert plain.err == ""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["predict", str(model), str(folder)]) == 0
    told = capsys.readouterr()
    assert told.out == plain.out
    assert plain.out.splitlines()[0].split() == ["image", "probability", "class"]
    assert "classify images" in told.err
    assert "4 of 4" in told.err


@pytest.mark.slow
def test_neither_torch_nor_unix_is_needed(model: Path, tmp_path: Path) -> None:
    _picture(tmp_path / "x.png", 0)
    check = (
        "import sys; sys.modules['fcntl'] = sys.modules['resource'] = None\n"
        "from fairnas.cli.main import main\n"
        f"code = main(['predict', {str(model)!r}, {str(tmp_path / 'x.png')!r}, '--json'])\n"
        "print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("0 False\n")


def test_what_is_left_out_of_a_folder_is_counted_by_its_ending(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    for name in ("a.jfif", "b.jpe", "deep/c.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 7)).save(folder / name, "PNG" if name.endswith("png") else "JPEG")
    for name in ("d.psd", "e.PSD", "notes.txt", ".hidden.psd", "Thumbs.db", "__MACOSX/f.jpg", ".git/g.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "again").symlink_to(folder / "deep")
    assert main(["predict", str(model), str(folder), "--json"]) == 0
    told = capsys.readouterr()
    plain = json.loads(told.out)
    assert [Path(each["image"]).name for each in plain["images"]] == ["a.jfif", "b.jpe", "c.png"]
    assert plain["left_out"] == {".psd": 2, ".txt": 1, "linked folders": 1}
    assert told.err == (
        "fairnas: 4 files were left out: 2 .psd, 1 .txt, 1 linked folders; convert .psd to JPEG or PNG\n"
    )


def test_a_folder_of_which_nothing_is_read_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a.nef", "b.nef", "c.txt"):
        (tmp_path / "photos" / name).write_bytes(b"x")
    assert main(["predict", str(model), str(tmp_path / "photos")]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (
        f"fairnas: {tmp_path}/photos holds no images, but 2 .nef, 1 .txt; convert .nef to JPEG or PNG\n"
    )


def test_a_folder_of_which_nothing_is_read_is_counted_in_json(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a.nef", "b.nef", "c.txt"):
        (tmp_path / "photos" / name).write_bytes(b"x")
    assert main(["predict", str(model), str(tmp_path / "photos"), "--json"]) == 2
    told = capsys.readouterr()
    plain = json.loads(told.out)
    assert (plain["images"], plain["left_out"]) == ([], {".nef": 2, ".txt": 1})
    assert told.err.count("\n") == 1


DEPTHS = {
    "8 bits": (
        None,
        "1 of 2 images have more than 8 bits, those the model was trained on had 8: values 0:65535 become",
    ),
    "more": ([1000.0, 5000.0], "1 of 2 images have 8 bits, those the model was trained on had more (values 1000:5000)"),
}


@pytest.mark.parametrize(("value_range", "line"), DEPTHS.values(), ids=DEPTHS)
def test_images_of_another_depth_than_in_training_are_counted(
    small_onnx: Callable[..., bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    value_range: list[float] | None,
    line: str,
) -> None:
    (tmp_path / "model.onnx").write_bytes(
        small_onnx({"preprocessing": json.dumps({**GOOD, "value_range": value_range})})
    )
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.full((9, 9), 3000, np.uint16)).save(tmp_path / "photos" / "deep.png")
    _picture(tmp_path / "photos" / "plain.png", 0)
    unlike = "deep.png" if value_range is None else "plain.png"
    assert main(["predict", str(tmp_path / "model.onnx"), str(tmp_path / "photos"), "--json"]) == 0
    told = capsys.readouterr()
    plain = json.loads(told.out)
    assert plain["other_depth"] == 1
    assert [Path(each["image"]).name for each in plain["images"] if each["other_depth"]] == [unlike]
    assert told.err.startswith(f"fairnas: {line}")
    assert told.err.count("\n") == 1


def test_images_of_another_format_than_their_ending_are_counted(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (9, 7)).save(tmp_path / "photos" / "a.jpg", "PNG")
    _picture(tmp_path / "photos" / "b.png", 0)
    assert main(["predict", str(model), str(tmp_path / "photos"), "--json"]) == 0
    told = capsys.readouterr()
    plain = json.loads(told.out)
    assert plain["other_format"] == {".jpg files that are PNG": 1}
    assert [each["other_format"] for each in plain["images"]] == [".jpg files that are PNG", None]
    assert told.err == "fairnas: 1 .jpg files that are PNG; they are used as what they are\n"


def test_a_folder_that_cannot_be_read_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _picture(tmp_path / "photos" / "a.png", 0)
    (tmp_path / "photos" / "closed").mkdir()
    listed = os.scandir

    def refused(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(FairnasError, match=r"cannot read the folder .*closed: Permission denied; make it readable"):
        find_images([tmp_path / "photos"])
