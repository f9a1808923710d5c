"""Rules of the source: no floats where bits are decided, and imports that point one way."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "bfncodec"

FLOAT_DTYPES = {
    "float",
    "float16",
    "float32",
    "float64",
    "longdouble",
    "bfloat16",
    "complex",
}
FLOAT_METHODS = {"half", "single", "double"}
FLOAT_FUNCTIONS = {
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "logaddexp",
    "softmax",
    "log_softmax",
    "sigmoid",
    "tanh",
    "erf",
    "sqrt",
    "true_divide",
    "divide",
    "mean",
    "std",
}

# Folders that decide bits, and files there whose floats never do.
INTEGERS = ("coding", "flow", "exact", "models/graphics")
FREE = {"flow/loss.py", "coding/ledger.py", "exact/compiler.py", "exact/expressions.py", "exact/kinds.py"}

# Lines that may use floats: file -> patterns, each with its reason.
EXCEPTIONS = {
    # constriction takes integers as float64; reports of costs
    "coding/ans.py": [
        r"return \(weights - 1\)\.astype\(np\.float64",
        r"return CHANCE_BITS - np\.log2\(chosen\)",
    ],
    "coding/mixtures.py": [r"return float\(\(TOTAL_BITS - np\.log2\(self\.intervals"],
    # a product whose sums stay below 2**53
    "flow/sender.py": [r"mixed = \(output\[part\]\.astype\(np\.float64\) @ matrix\)\.astype\(np\.int64\)"],
    # products whose sums are proved to stay below 2**24
    "exact/kernels.py": [
        r"device=self\.device\)\.T\.to\(self\._torch\.float32\)",
        r"return values\.to\(self\._torch\.float32\) @ weights",
    ],
    # types of arguments of compiled code
    "exact/compiled.py": [
        r"layout = Struct\(\"\"\.join\(\"d\" if isinstance\(one, float\)",
        r"elif isinstance\(value, float\):",
    ],
    "exact/compiler.py": [r"return types\.float64 if isinstance\(value, float\)"],
    # constants that decimal rounds correctly to integers
    "exact/tables.py": [
        r"odds = 1 \+ Decimal\(classes \* share\) / \(\(1 << 16\) - share\)",
        r"factor = int\(\(\(Decimal\(-1 << bit\) / divisor\)\.exp\(\) \* _ONE\)\.to_integral_value\(\)\)",
        r"octave = \[two \*\* \(Decimal\(step\) / steps \+ fraction\) for step in range\(steps\)\]",
    ],
}


def sources(*folders: str) -> list[str]:
    """Python files below folders of the package, relative to it."""
    return sorted(str(path.relative_to(PACKAGE)) for name in folders for path in (PACKAGE / name).rglob("*.py"))


def float_lines(source: str) -> dict[int, str]:
    """Lines that use a float dtype or function, a float literal or a true division; annotations do not count."""
    tree = ast.parse(source)
    annotations = {
        id(part)
        for node in ast.walk(tree)
        for name in ("annotation", "returns")
        if getattr(node, name, None) is not None
        for part in ast.walk(getattr(node, name))
    }
    found = {}
    for node in ast.walk(tree):
        what = None
        if isinstance(node, ast.Name | ast.Attribute):
            attribute = isinstance(node, ast.Attribute)
            name = node.attr if attribute else node.id
            if name in FLOAT_DTYPES or attribute and name in FLOAT_METHODS:
                what = name
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if name in FLOAT_FUNCTIONS:
                what = name
        if isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            if node.module == "math" or names & (FLOAT_FUNCTIONS | FLOAT_DTYPES):
                what = ", ".join(sorted(names))
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            what = repr(node.value)
        if isinstance(node, ast.keyword) and node.arg == "dtype" and isinstance(node.value, ast.Constant):
            what = repr(node.value.value)
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            what = "/"
        if what is not None and id(node) not in annotations:
            found[node.lineno if hasattr(node, "lineno") else node.value.lineno] = what
    return found


def imports(name: str) -> set[str]:
    """Everything that a file imports anywhere in it, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / name).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer_of(name: str) -> str:
    """The layer of a file: the folder or file of the package that it is."""
    return name.split("/")[0].removesuffix(".py")


def layers(name: str) -> set[str]:
    """The other layers that a file imports; what is no file or folder is defined by the package itself."""
    found = {one.split(".")[1] for one in imports(name) if one.startswith("bfncodec.")}
    known = {layer_of(one) for one in sources(".")}
    return {one if one in known else "__init__" for one in found} - {layer_of(name)}


@pytest.mark.parametrize("name", [name for name in sources(*INTEGERS) if name not in FREE])
def test_no_floats_where_bits_are_decided(name: str) -> None:
    source = (PACKAGE / name).read_text()
    lines = source.splitlines()
    patterns = EXCEPTIONS.get(name, [])
    found = {lines[number - 1].strip(): what for number, what in float_lines(source).items()}
    wrong = {line: what for line, what in found.items() if not any(re.search(p, line) for p in patterns)}
    assert not wrong
    unused = [pattern for pattern in patterns if not any(re.search(pattern, line) for line in found)]
    assert not unused, "exceptions that are no longer needed"


@pytest.mark.parametrize(
    "line",
    [
        "x = np.exp(y)",
        "x = torch.log(y)",
        "x = math.sqrt(y)",
        "x = y.softmax(1)",
        "from math import exp",
        "from numpy import float32",
        "x = y.astype(np.float32)",
        "x = y.astype(float)",
        "x = y.sum(dtype=float)",
        "x = np.zeros(3, dtype='f4')",
        "x = y.double()",
        "x = 0.5 * y",
        "x = y / 2",
        "x /= 2",
    ],
)
def test_the_rule_sees_floats(line: str) -> None:
    assert float_lines(line) == {1: float_lines(line)[1]}


def test_the_rule_leaves_integers_alone() -> None:
    assert not float_lines("def f(x: float) -> float:\n    '''exp(-x) / 2.0'''\n    return x // 2 + 1 << 3\n")


def test_only_the_coder_imports_constriction() -> None:
    users = [name for name in sources(".") if any(found.startswith("constriction") for found in imports(name))]
    assert users == ["coding/ans.py"]


# Folders and files that may import torch: where models are trained, and where the authors' own run.
TORCH = ("cli/train.py", "exact/kernels.py", "models/authors", "train")


def test_only_some_import_torch() -> None:
    users = {name for name in sources(".") if any(found.split(".")[0] == "torch" for found in imports(name))}
    allowed = {place: {name for name in users if name == place or name.startswith(place + "/")} for place in TORCH}
    assert users == set().union(*allowed.values())
    assert all(allowed.values()), "places that no longer need it"


# The layers from top to bottom, and which of the others each imports, inside functions or out.
LAYERS: dict[str, set[str]] = {
    "__main__": {"cli"},
    "cli": {
        "__init__", "api", "atomic", "blocks", "container", "decoding", "encoding", "errors", "exact", "inputs",
        "measure", "media", "models", "picture", "presets", "spans", "train",
    },
    "__init__": {"api", "errors"},
    "pillow": {"api", "blocks", "container", "decoding", "errors", "media", "picture", "spans"},
    "api": {"container", "decoding", "encoding", "errors", "media", "picture", "presets", "spans"},
    "fsspec": {"container", "decoding", "encoding", "errors", "inputs", "media", "picture", "presets", "spans"},
    "zarr": {"arrays", "errors", "presets"},
    "numcodecs": {"arrays", "presets"},
    "bulk": {
        "arrays", "atomic", "container", "decoding", "encoding", "errors", "inputs", "models", "picture", "presets",
    },
    "arrays": {"blocks", "container", "decoding", "encoding", "errors", "picture", "presets"},
    "measure": {"blocks", "coding", "container", "decoding", "encoding", "errors", "flow", "models", "presets"},
    "encoding": {"blocks", "coding", "container", "errors", "media", "picture", "presets", "spans"},
    "decoding": {"blocks", "container", "errors", "media", "picture", "spans"},
    "blocks": {"coding", "container", "errors", "exact", "jpeg", "models", "picture", "presets", "spans"},
    "media": {"container", "errors", "exact", "picture", "spans"},
    "train": {"errors", "exact", "flow", "jpeg", "models"},
    "models": {"coding", "errors", "exact", "flow", "jpeg", "spans"},
    "jpeg": {"container", "exact"},
    "coding": {"errors", "exact", "flow"},
    "flow": {"exact"},
    "exact": {"errors"},
    "container": {"errors", "picture", "spans"},
    "inputs": {"errors", "spans"},
    "atomic": {"errors"},
    "spans": {"errors"},
    "picture": set(),
    "presets": set(),
    "errors": set(),
}  # fmt: skip
# Files whose layers do not say how little they need.
FEWER: dict[str, set[str]] = {
    "blocks/plain.py": {"container", "errors", "spans"},
    "models/image/passes.py": {"spans"},
    "models/zoo.py": {"errors"},
}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_what_the_table_says(layer: str) -> None:
    assert set().union(*(layers(name) for name in sources(".") if layer_of(name) == layer)) == LAYERS[layer]


@pytest.mark.parametrize("name", FEWER)
def test_some_files_import_less_than_their_layer(name: str) -> None:
    assert layers(name) == FEWER[name]


def test_every_file_is_in_a_layer() -> None:
    assert {layer_of(name) for name in sources(".")} == set(LAYERS)


def test_arrows_point_one_way() -> None:
    order = list(LAYERS)
    up = [
        (name, found)
        for name in sources(".")
        for found in imports(name)
        if found.split(".")[0] == "bfncodec" and found.split(".")[1] in order[: order.index(layer_of(name))]
    ]
    assert not up


def test_importing_the_package_and_the_command_loads_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, bfncodec, bfncodec.cli.main; print({'torch', 'numpy', 'PIL', 'constriction'} & set(sys.modules))"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert child.stdout == "set()\n", child.stderr
