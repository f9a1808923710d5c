"""Mode single: data of the paper's models, through bfncodec.encode and decode, the command, and the module itself."""

import functools
import json
import time
from collections.abc import Callable
from decimal import ROUND_UP, Inexact, localcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import decoder as reference_decoder
from tools import authors_names, make_goldens_paper, make_tiny_paper
from tools.command import call, good

import bfncodec
from bfncodec import container, decoding
from bfncodec.blocks import single as single_blocks
from bfncodec.blocks.single import Sender, Single
from bfncodec.cli.files import TIED
from bfncodec.coding import protocol
from bfncodec.coding.ledger import Ledger
from bfncodec.container import Block, File
from bfncodec.errors import BfnError, CorruptFile, LimitExceeded, MissingModel, UnsupportedFeature
from bfncodec.exact import kernels
from bfncodec.models import authors, zoo
from bfncodec.models.authors.configs import CONFIGS
from bfncodec.models.paper import spec as specs
from bfncodec.models.paper import streams as paper_streams
from bfncodec.picture import Picture
from bfncodec.presets import Choices
from bfncodec.train import checkpoint

SPECS = make_tiny_paper.SPECS
PAIRS = [(name, Sender[sender.upper()]) for name, spec in SPECS.items() for sender in spec.senders]
pairs = pytest.mark.parametrize(("model", "sender"), PAIRS, ids=lambda value: getattr(value, "name", value))
models = pytest.mark.parametrize("model", SPECS)


def symbols(model: str, items: int, seed: int = 0) -> bytes:
    """Random content of a model: its symbols, the middle ones more often."""
    spec = SPECS[model]
    drawn = np.random.default_rng(seed).binomial(spec.levels - 1, 0.5, items * spec.size)
    return np.frombuffer(spec.alphabet, np.uint8)[drawn].tobytes()


def single(data: bytes, model: str, steps: int, sender: Sender, batch: int, ledger: Ledger | None = None) -> bytes:
    return container.write(File([block(data, model, steps, sender, batch, ledger)]))


def block(data: bytes, model: str, steps: int, sender: Sender, batch: int, ledger: Ledger | None = None) -> Block:
    name = sender.name.lower()
    return single_blocks.encode(data, Choices("cpu", model, steps=steps, sender=name, batch=batch), ledger)


def form_of(block: Block) -> Single:
    assert isinstance(block.form, Single)
    return block.form


def decoded(block: Block, device: str = "cpu") -> bytes:
    (content,) = block.form.decode(block, device)
    assert not isinstance(content, Picture)
    return b"".join(content)


# There and back


@pairs
@pytest.mark.parametrize(("batch", "items"), [(1, 1), (1, 3), (2, 3), (3, 3), (1000, 2)])
def test_data_items_come_back(model: str, sender: Sender, batch: int, items: int) -> None:
    """Also with a batch that is larger than what there is."""
    data = symbols(model, items) + b"the rest"[: SPECS[model].size - 1]
    encoded = single(data, model, 3, sender, batch)
    made = form_of(decoding.read(encoded).blocks[0])
    assert made.batch == min(batch, items) and not made.inexact and not made.tied
    assert bfncodec.decode(encoded) == data


def test_many_steps_of_bytes_come_back() -> None:
    """Their grids are wider than 256 levels."""
    data = symbols("tiny-bytes", 1)
    assert SPECS["tiny-bytes"].steps(200, "gaussian")[0].spacing > 256 * specs.UNIT  # type: ignore[union-attr]
    assert bfncodec.decode(single(data, "tiny-bytes", 200, Sender.GAUSSIAN, 1)) == data


@models
def test_the_api_and_the_command_write_the_same_file(model: str, tmp_path: Path, tiny: Path) -> None:
    path = tiny.with_name(f"{model}.safetensors")
    data = make_goldens_paper.npy((2, *SPECS[model].shape)) + symbols(model, 2) + b"end"
    encoded = bfncodec.encode(data, model=str(path))
    assert bfncodec.decode(encoded) == data
    (tmp_path / "data.npy").write_bytes(data)
    assert good("encode", "-m", path, tmp_path / "data.npy").err == ""
    assert (tmp_path / "data.npy.bfn").read_bytes() == encoded
    assert good("test", tmp_path / "data.npy.bfn").err.endswith("data.npy.bfn: OK\n")
    assert good("decode", "-c", tmp_path / "data.npy.bfn").out == data
    told = json.loads(good("info", "--json", tmp_path / "data.npy.bfn").out)["blocks"][0]
    wanted = {"mode": "single", "schedule": "single", "sender": "gaussian", "steps": 50, "floating_point": False}
    assert wanted.items() <= told.items() and told["model"] == zoo.digest(path).hex()
    shown = good("info", tmp_path / "data.npy.bfn").out.decode()
    assert "single" in shown and told["model"] in shown and "floating point" not in shown


def test_arrays_of_numpy_are_frames(tmp_path: Path) -> None:
    """Headers of both versions, whatever their length; what only looks like one is no reason to fail."""
    spec = SPECS["tiny-values"]
    np.save(tmp_path / "data.npy", np.frombuffer(symbols("tiny-values", 2), np.uint8).reshape(2, *spec.shape))
    data = (tmp_path / "data.npy").read_bytes()
    long = b"\x93NUMPY\2\0" + (300).to_bytes(4, "little") + bytes(300)
    for content in (data, long + symbols("tiny-values", 1), data + b"!"):
        encoded = single(content, "tiny-values", 1, Sender.DITHER, 1)
        made = form_of(decoding.read(encoded).blocks[0])
        assert made.before == (312 if content is not data and content[6] == 2 else 128)
        assert bfncodec.decode(encoded) == content
    for short in (b"\x93NUMPY", b"\x93NUMPY\1\0\xff\xff" + bytes(90)):
        with pytest.raises(UnsupportedFeature):
            block(short, "tiny-values", 1, Sender.DITHER, 1)


def test_archives_hold_data_items(tmp_path: Path) -> None:
    contents = {"a": symbols("tiny-binary", 2), "b": symbols("tiny-binary", 1, seed=1)}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    good("encode", "-m", "tiny-binary", tmp_path / "a", tmp_path / "b", "-o", tmp_path / "c.bfn")
    encoded = (tmp_path / "c.bfn").read_bytes()
    assert bfncodec.decode_items(encoded) == contents
    assert {one.form.name for one in decoding.read(encoded).blocks} == {"single"}
    items = reference_decoder.decode(encoded, zoo.find("tiny-binary"))
    assert {item.name: item.content for item in items} == {b"a": contents["a"], b"b": contents["b"]}


@settings(max_examples=25)
@given(st.data())
def test_any_fitting_content_comes_back(data: st.DataObject) -> None:
    model, sender = data.draw(st.sampled_from(PAIRS))
    alphabet, size = SPECS[model].alphabet, SPECS[model].size
    items = data.draw(st.integers(1, 3))
    body = bytes(data.draw(st.lists(st.sampled_from(alphabet), min_size=items * size, max_size=items * size)))
    content = body + data.draw(st.binary(max_size=size - 1))
    encoded = single(content, model, data.draw(st.integers(1, 4)), sender, data.draw(st.integers(1, 4)))
    assert bfncodec.decode(encoded) == content


def payload_bits(block: Block) -> int:
    """Of the stream, without the seed that it goes on from."""
    return 8 * form_of(block).coded_bytes - form_of(block).seed_bits


@models
def test_constant_content_comes_back(model: str) -> None:
    """Symbols 0 alone must cost something: on an empty stack they would not, and nothing would be left to write."""
    spec = SPECS[model]
    for sender in spec.senders:
        for symbol in (spec.alphabet[0], spec.alphabet[-1]):
            ledger, data = Ledger(), bytes([symbol]) * (2 * spec.size)
            made = block(data, model, 2, Sender[sender.upper()], 1, ledger)
            assert bfncodec.decode(container.write(File([made]))) == data
            assert abs(payload_bits(made) - ledger.path_loss) < 4


@pairs
def test_the_second_decoder_agrees(model: str, sender: Sender) -> None:
    """Beyond the goldens: many steps, and a last group that is smaller."""
    data = symbols(model, 3, seed=2)
    encoded = single(data, model, 12, sender, 2)
    assert reference_decoder.decode(encoded, zoo.find(model))[0].content == data


@pairs
def test_every_kernel_codes_the_same_bytes(model: str, sender: Sender) -> None:
    data = symbols(model, 2)
    names = [name for name in kernels.NAMES if name != "torch-cuda"]
    files = set()
    for name in names:
        choices = Choices("cpu", model, steps=3, sender=sender.name.lower(), batch=2)
        object.__setattr__(choices, "device", name)  # no kernel but those of devices can be chosen
        one = single_blocks.encode(data, choices)
        files.add(container.write(File([one])))
        assert decoded(one, name) == data
    assert len(files) == 1


# Theory


@pairs
@pytest.mark.parametrize("batch", [1, 3])
def test_what_is_coded_is_the_path_loss(model: str, sender: Sender, batch: int) -> None:
    ledger = Ledger(others=[[]])
    made = block(symbols(model, 6), model, 6, sender, batch, ledger)
    form = form_of(made)
    assert len(ledger.groups) == 6 // batch
    assert form.coded_bytes == len(form.stream)
    spent = sum(sum(group.spent) + group.reconstruction_spent for group in ledger.groups)
    assert payload_bits(made) == spent
    assert abs(spent - ledger.path_loss) <= max(2, 2e-4 * ledger.path_loss)
    for group in ledger.groups:
        assert len(group.path) == 6
        assert max(abs(path - spent) for path, spent in zip(group.path, group.spent, strict=True)) < 3
        assert abs(group.reconstruction - group.reconstruction_spent) < 3
    assert all(np.isfinite([ledger.n_step_loss, ledger.standard_error]))


def test_a_group_that_costs_less_than_nothing_starves_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise can be lucky: a hundred items of a sure model, whose path losses go below 0 now and then."""
    spec = SPECS["tiny-binary"]

    class Sure:
        def weights(self, theta: Any, items: int, step: int, steps: int) -> np.ndarray:
            return np.tile([(1 << 24) - 9, 9], (items * spec.size, 1))

    sure = Sure()
    sure.spec = spec  # type: ignore[attr-defined]
    monkeypatch.setattr(paper_streams, "predictor", lambda path, kernel: sure)
    ledger, data = Ledger(), bytes(100 * spec.size)
    made = block(data, "tiny-binary", 2, Sender.GAUSSIAN, 1, ledger)
    assert ledger.path_loss < 1 and all(len(group.path) == 2 for group in ledger.groups)
    assert decoded(made) == data


def test_a_dry_stack_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "encode", lambda *arguments: {0})
    with pytest.raises(LimitExceeded, match="larger batch"):
        block(symbols("tiny-binary", 1), "tiny-binary", 2, Sender.GAUSSIAN, 1)


def test_schedules_do_not_read_the_callers_decimals() -> None:
    wanted = specs.values_variances("0.01", 256, 7)
    with localcontext() as context:
        context.prec, context.rounding, context.traps[Inexact] = 5, ROUND_UP, True
        assert specs.values_variances("0.01", 256, 7) == wanted


# What does not fit


def refused(*arguments: Any, **choices: Any) -> str:
    with pytest.raises(UnsupportedFeature) as caught:
        bfncodec.encode(*arguments, **choices)
    return str(caught.value)


@models
def test_content_that_does_not_fit_is_told(model: str, tmp_path: Path) -> None:
    size = SPECS[model].size
    assert f"an item has {size} symbols" in refused(symbols(model, 1)[:-1], model=model)
    assert f"an item has {size} symbols" in refused(b"", model=model)
    if model != "tiny-bytes":
        foreign = symbols(model, 1)[:-1] + b"\xff"
        assert "none of this model's" in refused(foreign, model=model)
        (tmp_path / "data").write_bytes(foreign)
        result = call("encode", "-m", model, tmp_path / "data")
        assert result.code == 1 and "none of this model's" in result.err and "Traceback" not in result.err
    assert "give their bytes" in refused(np.zeros((4, 4, 3), np.uint8), model=model)


def test_senders_that_do_not_fit_are_told() -> None:
    for model, sender in (("tiny-binary", Sender.CATEGORICAL), ("tiny-classes", Sender.DITHER)):
        with pytest.raises(CorruptFile, match="is not one of"):
            block(symbols(model, 1), model, 2, sender, 1)
    strong = specs.Spec("classes", (1, 2, 1), b"abc", "3", (), (), (1, 1), (1, 1), (1, 1), 0)
    with pytest.raises(CorruptFile, match="has no share"):
        strong.steps(2, "categorical")
    assert len(strong.steps(9, "categorical")) == 9


def test_files_that_are_no_models_are_told(tmp_path: Path) -> None:
    path = tmp_path / "broken.safetensors"
    for content in (b"", b"no model at all", (1 << 40).to_bytes(8, "little")):
        path.write_bytes(content)
        with pytest.raises(CorruptFile, match="cannot be read as a model"):
            bfncodec.encode(b"text", model=str(path))
    checkpoint.write_model(path, {"x": np.zeros(1, np.int8)}, {"spec": {"kind": "binary"}})
    with pytest.raises(CorruptFile, match="no spec"):
        bfncodec.encode(b"text", model=str(path))


def test_a_missing_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = single(symbols("tiny-classes", 1), "tiny-classes", 2, Sender.CATEGORICAL, 1)
    name = zoo.digest(zoo.find("tiny-classes")).hex()
    (tmp_path / "data.bfn").write_bytes(encoded)
    monkeypatch.setenv(zoo.DIRECTORY_VARIABLE, str(tmp_path))
    with pytest.raises(MissingModel, match=name):
        bfncodec.decode(encoded)
    result = call("decode", tmp_path / "data.bfn", "-o", tmp_path / "out")
    assert result.code == 1 and name in result.err and not (tmp_path / "out").exists()
    assert good("info", tmp_path / "data.bfn").code == 0


# Damage


@pairs
def test_every_byte_counts(model: str, sender: Sender) -> None:
    """Every byte is changed in two ways; what is cut off is missed."""
    data = symbols(model, 1) + b"."
    encoded = single(data, model, 2, sender, 1)
    for place in range(len(encoded)):
        for change in (1, 0x80):
            damaged = bytearray(encoded)
            damaged[place] ^= change
            with pytest.raises(BfnError):
                bfncodec.decode(bytes(damaged))
        with pytest.raises(BfnError):
            bfncodec.decode(encoded[:place])
    with pytest.raises(BfnError):
        bfncodec.decode(encoded + b"\0")


CLAIMS: dict[str, Callable[[Block, Single], None]] = {
    "steps": lambda one, made: setattr(made, "steps", single_blocks.STEP_LIMIT + 1),
    "size": lambda one, made: setattr(one, "size", single_blocks.SIZE_LIMIT + 1),
    "work": lambda one, made: (setattr(one, "size", 1 << 30), setattr(made, "steps", 65))[0],
    "seed": lambda one, made: setattr(made, "seed", single_blocks.SEED_LIMIT + 1),
    "group": lambda one, made: (setattr(one, "size", 48 << 16), setattr(made, "batch", 1 << 16))[0],
    "much seed": lambda one, made: (
        setattr(one, "size", 48 * 20000),
        setattr(made, "batch", 20000),
        setattr(made, "steps", single_blocks.STEP_LIMIT),
    )[0],
    "before": lambda one, made: setattr(made, "before", 1 << 40),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_claims_of_data_items_are_refused_at_once(claim: str) -> None:
    one = block(symbols("tiny-bytes", 2), "tiny-bytes", 2, Sender.GAUSSIAN, 1)
    CLAIMS[claim](one, form_of(one))
    encoded = container.write(File([one]))
    started = time.perf_counter()
    with pytest.raises((LimitExceeded, CorruptFile)):
        bfncodec.decode(encoded)
    assert time.perf_counter() - started < 0.5


def test_the_encoder_keeps_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    data = symbols("tiny-binary", 4) + b"tail"
    encode = functools.partial(block, data, "tiny-binary")
    with pytest.raises(LimitExceeded, match="4097 noisy steps"):
        encode(4097, Sender.DITHER, 1)
    for place, name, value, match in (
        (single_blocks, "WORK_LIMIT", 100, "too large for 2"),
        (single_blocks, "SIZE_LIMIT", 60, "larger than 60"),
        (paper_streams, "GROUP_LIMIT", 63, "smaller batch"),
        (paper_streams, "SEED_LIMIT", 10, "smaller batch"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, value)
            with pytest.raises(LimitExceeded, match=match):
                encode(2, Sender.GAUSSIAN, 4)
    monkeypatch.setattr(single_blocks, "FRAME_LIMIT", 3)
    with pytest.raises(LimitExceeded):
        encode(2, Sender.GAUSSIAN, 4)


# Models in floating point


@pytest.fixture
def float_model(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny model of the authors' kind."""
    name = request.param
    monkeypatch.setitem(CONFIGS, name, authors_names.TINY[name])
    path = tmp_path / f"{name}.safetensors"
    weights = authors_names.random_weights(authors_names.TINY_SHAPES[name])
    tensors = {"authors." + key: value for key, value in weights.items()}
    checkpoint.write_model(path, tensors, authors.card(authors_names.TINY[name]))
    return path


@pytest.mark.parametrize("float_model", authors_names.TINY, indirect=True)
def test_models_in_floating_point_are_told(float_model: Path, tmp_path: Path) -> None:
    """They code and decode here, and each command says that it may be only here."""
    spec = paper_streams.predictor(float_model, "bytes").spec
    drawn = np.random.default_rng(0).integers(0, spec.levels, 2 * spec.size)
    data = np.frombuffer(spec.alphabet, np.uint8)[drawn].tobytes() + b"z"
    source, target = tmp_path / "data", tmp_path / "data.bfn"
    source.write_bytes(data)
    warning = f"{source}: {TIED}\n"
    assert good("encode", "-m", float_model, source).err == warning
    one = form_of(decoding.read(target.read_bytes()).blocks[0])
    assert one.inexact and one.tied
    assert bfncodec.decode(target.read_bytes()) == data
    assert good("decode", target, "-o", tmp_path / "out").err == f"{target}: {TIED}\n"
    assert (tmp_path / "out").read_bytes() == data
    assert good("test", target).err == f"{target}: {TIED}\n{target}: OK\n"
    assert good("measure", "-m", float_model, "-n", 2, source).err == warning
    assert json.loads(good("info", "--json", target).out)["blocks"][0]["floating_point"] is True
    assert "floating point, tied to the machine" in good("info", target).out.decode()
    for quiet in (("test", "-q", target), ("encode", "-qf", "-m", float_model, source)):
        assert good(*quiet).err == ""
    other = tmp_path / "more"
    other.write_bytes(data)
    assert TIED in good("encode", "-m", float_model, source, other, "-o", tmp_path / "both.bfn").err


@pytest.mark.parametrize("float_model", ["mnist"], indirect=True)
def test_a_model_is_of_the_kind_that_the_file_says(float_model: Path) -> None:
    data = bytes(64)
    path = str(float_model)
    zoo.find(path)
    file = decoding.read(bfncodec.encode(data, model=path))
    form_of(file.blocks[0]).inexact = False
    with pytest.raises(CorruptFile):
        bfncodec.decode(container.write(file))
