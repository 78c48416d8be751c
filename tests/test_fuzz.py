"""Hostile input for everything that reads (docs/foreign-data.md): the short version, and an example per finding."""

import ast
import io
import itertools
import os
import re
import socket
import struct
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.fuzz import formats, places
from benchmarks.fuzz.__main__ import try_target
from benchmarks.fuzz.attempt import Outcome, Target, attempt, input_of
from benchmarks.fuzz.targets import TARGETS, with_metadata
from fairnas.configfile import from_toml
from fairnas.data.class_folders import read_split
from fairnas.data.decode import read_square
from fairnas.data.decoding import Decoding
from fairnas.data.formats import CorruptImageError
from fairnas.errors import (
    CheckpointError,
    ConfigError,
    ExportError,
    FairnasError,
    GenomeError,
    RunDirectoryError,
    SpaceError,
    UnknownNameError,
)
from fairnas.export.session import OnnxSession
from fairnas.report.server import _Handler
from fairnas.rundir import RunDirectory
from fairnas.search import Archive
from fairnas.space import get_space
from fairnas.space.file import load_space
from fairnas.stage_records import records_text
from fairnas.train import read_checkpoint
from fairnas.untrusted import parse_json, parse_toml

ROOT = Path(__file__).parents[1]
_DEAR = 3  # inputs for readers that take a tenth of a second each
_EACH = 25


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_whatever_is_read_is_accepted_or_refused_in_one_line(target, tmp_path):
    """The seed moves with the day of the year on developers' machines, so that every run looks elsewhere."""
    seed = 0 if os.environ.get("CI") else time.localtime().tm_yday
    dear = target.name.startswith(("report", "NAS", "binary", "folder", "space", "stages", "scores of a system"))
    found = try_target(target, _DEAR if dear else _EACH, seed, tmp_path / "findings")
    assert found["kept"] == []


@settings(max_examples=60)
@given(st.binary(max_size=200))
def test_any_bytes(tmp_path_factory, content):
    for name in ("genome", "configuration TOML", "checkpoint", "latency table", "figure.json"):
        folder = tmp_path_factory.mktemp("any")
        assert attempt(TARGETS[name], folder, content).finding == "", name


def test_an_input_is_a_function_of_target_seed_and_number():
    target = TARGETS["configuration TOML"]
    made = [input_of(target, target.valid(), 5, number) for number in (1, 2, 1)]
    assert made[0] == made[2] != made[1]


@pytest.mark.parametrize(
    ("read", "finding"),
    [
        (lambda *_: 1 / 0, "ZeroDivisionError"),
        (lambda *_: time.sleep(9), "more than 0.2 s"),
        (lambda *_: all(each >= 0 for each in itertools.count()), "more than 0.2 s"),
    ],
)
def test_the_harness_sees_what_it_looks_for(read, finding, tmp_path):
    target = Target("broken", lambda: (b"",), lambda rng, content: content, read)
    assert finding in attempt(target, tmp_path, b"", seconds=0.2).finding


def test_much_memory_is_a_finding(tmp_path, monkeypatch):
    peaks = iter((100.0, 1000.0))
    monkeypatch.setattr("benchmarks.fuzz.attempt._peak_megabytes", lambda: next(peaks))
    target = Target("large", lambda: (b"",), lambda rng, content: content, lambda *_: None)
    assert attempt(target, tmp_path, b"").finding == "it took 900 MB"


def test_a_message_of_two_lines_is_a_finding(tmp_path):
    class _TwoLines(FairnasError):
        def __str__(self):
            return "one\ntwo"

    def read(*_):
        raise _TwoLines

    target = Target("broken", lambda: (b"",), lambda rng, content: content, read)
    assert "\\n" in attempt(target, tmp_path, b"").finding
    assert attempt(TARGETS["genome"], tmp_path, b"01234501") == Outcome(True)


# Findings, each by an example ---------------------------------------------------------------------------------------


def test_messages_are_one_short_line_whatever_they_quote():
    with pytest.raises(GenomeError) as caught:
        get_space("digits").parse("0" * 100_000)
    assert len(str(caught.value)) < 2100
    assert str(caught.value).endswith("space 'digits' has 8 layers")
    assert str(ConfigError("a\n\x1b[31mb\udcff\u202e")) == "a\\n\\x1b[31mb\\udcff\\u202e"
    began = time.perf_counter()
    UnknownNameError("key", "x" * 200_000, ["learning_rate"] * 200)
    assert time.perf_counter() - began < 2, "names are compared character by character"


DEEP = [("[" * 100_000 + "]" * 100_000), "[" * 70 + "]" * 70, '{"a":' * 70 + "1" + "}" * 70, "9" * 5000, "9" * 31]


@pytest.mark.parametrize("text", DEEP, ids=lambda text: f"{text[:5]} {len(text)}")
def test_json_too_deep_or_with_numbers_too_long(text):
    with pytest.raises(ValueError, match=r"nested|recursion|digits"):
        parse_json(text)
    with pytest.raises(ConfigError) as caught:
        from_toml(f"seed = {text}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a = 0x" + "f" * 5000, "a = " + "[" * 3000, "a = 0000-00-00", "a = 1\na = 2"])
def test_toml_that_raises_other_errors_in_the_library(text):
    with pytest.raises(ValueError):
        parse_toml(text)
    with pytest.raises(ConfigError):
        from_toml(text)


TOML = (ROOT / "docs" / "examples" / "space.toml").read_text()
LARGE = [
    ("layers = 4", "layers = 1_000_000_000", "give at most 1,000"),
    ("channels = 16", "channels = 9007199254740992", "give at most 65,536"),
    ("image_size = 32", "image_size = 100_000", "give at most 16,384"),
    ("kernels = [3, 5]", f"kernels = {[3] * 3000}", "give at most 36"),
    ("kernels = [3, 5]", "kernels = [3, 99999]", "give at most 255"),
]


@pytest.mark.parametrize(("old", "new", "message"), LARGE, ids=[new[:24] for _, new, _ in LARGE])
def test_spaces_that_no_machine_holds(old, new, message, tmp_path):
    assert old in TOML
    (tmp_path / "space.toml").write_text(TOML.replace(old, new))
    with pytest.raises(SpaceError, match=message):
        load_space(tmp_path / "space.toml")


@pytest.mark.parametrize("pickled", formats.PICKLES, ids=range(len(formats.PICKLES)))
def test_pickles_that_call_something_are_not_run(pickled, tmp_path, capfd):
    made, plain = io.BytesIO(), formats.checkpoint()
    with zipfile.ZipFile(io.BytesIO(plain)) as source, zipfile.ZipFile(made, "w") as archive:
        for member in source.infolist():
            archive.writestr(member.filename, pickled if "data.pkl" in member.filename else source.read(member))
    (tmp_path / "checkpoint.pt").write_bytes(made.getvalue())
    with pytest.raises(CheckpointError, match=r"delete it to train again"):
        read_checkpoint(tmp_path / "checkpoint.pt", "supernet")
    assert "unpickled" not in capfd.readouterr().err


def test_a_compressed_checkpoint_is_refused_before_it_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "checkpoint.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", b"\0" * 50_000_000)
    with pytest.raises(CheckpointError, match="compressed"):
        read_checkpoint(tmp_path / "checkpoint.pt", "supernet")


def test_members_of_an_archive_are_never_unpacked_to_files(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "checkpoint.pt", "w") as archive:
        archive.writestr("../../evil", b"x")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError):
        read_checkpoint(Path("checkpoint.pt"), "supernet")
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


@pytest.mark.parametrize("change", formats._CHANGES, ids=lambda change: change[:60])
def test_archives_of_another_schema(change, tmp_path):
    import sqlite3

    path = tmp_path / "archive.sqlite"
    path.write_bytes(formats.archive())
    database = sqlite3.connect(path)
    database.executescript(change)
    database.commit()
    database.close()
    harmless = change.startswith(("DROP TABLE failure",))
    began = time.perf_counter()
    for read_only in (True, False):
        if harmless:
            with Archive(path, formats.SETTING, read_only=read_only) as archive:
                assert len(archive.candidates()) == 3
        else:
            with pytest.raises(RunDirectoryError, match=r"damaged|schema|not an archive"):
                Archive(path, formats.SETTING, read_only=read_only)
    assert time.perf_counter() - began < 2


def test_a_pipe_or_device_among_images_is_no_image(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "zero.png"):
        with pytest.raises(CorruptImageError, match="a pipe or a device"):
            read_square(str(tmp_path / name), Decoding(8, 3))


@pytest.mark.parametrize("sides", [(40_000, 40_000), (2**31 - 1, 2**31 - 1), (0, 9)])
def test_absurd_sides_of_an_image_are_refused_from_its_header(sides, tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    content[16:24] = struct.pack(">II", *sides)
    content[29:33] = struct.pack(">I", __import__("zlib").crc32(content[12:29]))
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(CorruptImageError):
        read_square(str(tmp_path / "a.png"), Decoding(8, 3))


# Code -------------------------------------------------------------------------------------------------------------

DANGEROUS = {
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "marshal.load", "shelve.open", "dill.loads"),
    *("joblib.load", "torch.load", "torch.jit.load", "np.load", "numpy.load", "torch.export.load", "runpy.run_path"),
    *(
        "eval",
        "exec",
        "compile",
        "__import__",
        "yaml.load",
        "yaml.unsafe_load",
        "cloudpickle.loads",
        "runpy.run_module",
    ),
    *("os.system", "subprocess.run", "subprocess.Popen", "subprocess.check_output"),
}
KNOWN = {
    ("train/checkpoint.py", "torch.load"): "weights_only=True, after the pickle was looked at",
    ("space/file.py", "runpy.run_path"): "the user's own FILE.py:NAME",
}
"""Every use that there is, and why it is allowed."""


def dangerous_calls(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in DANGEROUS or name.endswith((".extractall", ".extract", "Unpickler")):
                yield name, node


@pytest.mark.slow
def test_nothing_foreign_is_unpickled_or_executed():
    found = {}
    for path in sorted((ROOT / "fairnas").rglob("*.py")):
        for name, node in dangerous_calls(path.read_text()):
            found[(path.relative_to(ROOT / "fairnas").as_posix(), name)] = node
    assert {key for key in found if key[1] not in ("subprocess.run", "torch.export.load")} == set(KNOWN)
    keywords = {each.arg: ast.unparse(each.value) for each in found["train/checkpoint.py", "torch.load"].keywords}
    assert keywords["weights_only"] == "True"


def test_the_walk_sees_what_it_looks_for():
    source = "import pickle\npickle.loads(x)\neval(y)\nnp.load(z, allow_pickle=True)\narchive.extractall()"
    assert [name for name, _ in dangerous_calls(source)] == ["pickle.loads", "eval", "np.load", "archive.extractall"]


# Names and places ------------------------------------------------------------------------------------------------

TRAVERSAL = ("../../etc/passwd", "/etc/passwd", "..", "a/b", "a\\b", "\0", "")


@pytest.mark.parametrize("name", TRAVERSAL)
def test_a_genome_is_never_a_path(name):
    with pytest.raises(GenomeError):
        get_space("digits").parse(name)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../x", "/dev/zero", "x\0"])
def test_files_that_a_run_names_lie_in_it(name, tmp_path):
    run = RunDirectory(tmp_path)
    (tmp_path / "config.toml").write_bytes((ROOT / "benchmarks/fuzz/corpus/config.toml").read_bytes())
    (tmp_path / "stages.json").write_bytes(records_text({"train": {"at": 0, "files": {name: "0"}}}))
    with pytest.raises(RunDirectoryError, match="names a file outside"):
        run.damaged_files("train")


@pytest.mark.parametrize("name", ["x" * 5000, "\ud800"])
def test_a_name_that_no_file_can_have_is_a_lost_file(name, tmp_path):
    run = RunDirectory(tmp_path)
    (tmp_path / "config.toml").write_bytes((ROOT / "benchmarks/fuzz/corpus/config.toml").read_bytes())
    (tmp_path / "stages.json").write_bytes(records_text({"train": {"at": 0, "files": {name: "0"}}}))
    assert run.damaged_files("train") == (name,)


def test_links_in_a_folder_of_images(tmp_path):
    """A link to a file, or to a class folder, is followed wherever it leads, and its target is only ever decoded."""
    for name in ("cat", "dog"):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(tmp_path / "set" / name / "a.png")
    (tmp_path / "elsewhere").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "elsewhere" / "b.png")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "set" / "cat" / "b.png").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "set" / "cow").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "dog" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "up").symlink_to(tmp_path)
    split = read_split(tmp_path / "set")
    assert [member.files for member in split.classes] == [("cat/a.png", "cat/b.png"), ("cow/b.png",), ("dog/a.png",)]
    assert set(split.links) == {"dog/more", "up"}
    with pytest.raises(CorruptImageError) as caught:
        read_square(str(tmp_path / "set" / "cat" / "b.png"), Decoding(8, 3))
    assert "secret" not in str(caught.value)


def test_an_onnx_model_cannot_take_its_weights_from_elsewhere(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    secret = tmp_path / "secret"
    secret.write_bytes(b"\0" * 36)
    (tmp_path / "model").mkdir()
    for location in ("../secret", str(secret)):
        weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[9])
        weights.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", "36")):
            weights.external_data.add(key=key, value=value)
        shape = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [9]) for name in ("x", "y")]
        graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", shape[:1], shape[1:], [weights])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        (tmp_path / "model" / "model.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(ExportError, match="cannot load"):
            OnnxSession(tmp_path / "model" / "model.onnx")
    assert onnx.__version__


def test_a_runtime_prints_nothing_over_metadata_that_are_no_text(tmp_path, capfd):
    content = with_metadata({"classes": "QQQQ"}).replace(b"QQQQ", b"\xff\xff\xff\xff")
    with pytest.raises(ExportError, match="cannot load"):
        OnnxSession(content)
    assert capfd.readouterr().out == ""


def test_a_report_runs_no_python_that_a_run_names(tmp_path):
    from fairnas.report.run_data import read_inputs

    text = (ROOT / "benchmarks/fuzz/corpus/config.toml").read_text()
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "config.toml").write_text(text.replace('space = "digits"', f'space = "{tmp_path}/evil.py:space"'))
    with pytest.raises(RunDirectoryError, match="runs no Python"):
        read_inputs(RunDirectory.open(tmp_path))
    assert not (tmp_path / "ran").exists()


# The live page: more in tests/report/test_live.py -------------------------------------------------------------------


def test_a_client_that_says_nothing_is_let_go_and_holds_up_nobody(monkeypatch):
    monkeypatch.setattr(_Handler, "timeout", 0.3)
    server = places._served()
    slow = [socket.create_connection(("127.0.0.1", server.server_port)) for _ in range(20)]
    slow[0].sendall(b"GET / HT")
    with socket.create_connection(("127.0.0.1", server.server_port)) as quick:
        quick.sendall(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert quick.recv(12) == b"HTTP/1.0 200"
    for connection in slow:
        connection.settimeout(5)
        while connection.recv(1000):
            pass
        connection.close()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nHost: " + b"a" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 300 + b"\r\n", b"431"),
        (b"GET http://localhost/config.toml HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
        (b"GET /../config.toml HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n", b"405"),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"403"),
        (b"GET / HTTP/1.1\r\n\r\n", b"403"),
        (b"\tGET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
    ],
)
def test_requests_that_are_refused(request_bytes, status):
    with socket.create_connection(("127.0.0.1", places._served().server_port), timeout=5) as connection:
        connection.sendall(request_bytes)
        assert re.match(rb"HTTP/1.[01] (\d+)", connection.recv(100))[1] == status  # pyright: ignore
