"""The rooms of the package know only the rooms before them; nothing is unpickled.

import-linter checks the order of the rooms and of the rooms within them, and that there is no
circle of imports; its rules are in pyproject.toml. What it cannot say is here: which of the rooms
before it a room may know, imports by a name in a string, and what an import may load. All rules are
read off the source, so that an import inside a function or for a type counts too.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "insphere"
TREES = {path.relative_to(SOURCE): ast.parse(path.read_bytes()) for path in SOURCE.rglob("*.py")}

# What each room may import of the package. "data.inputs" allows that one module of data.
MAY_IMPORT: dict[str, set[str]] = {
    "_version": set(),
    "errors": set(),
    "fingerprint": set(),
    "storage": {"errors"},
    "atomic": {"errors", "parsing", "safe_text"},
    "durations": set(),
    "lazy_names": set(),
    "natural_sort": set(),
    "parsing": {"safe_text"},
    "resources": set(),
    "validation": {"errors"},
    "data": {"errors", "fingerprint", "storage"},
    "modalities": {"errors", "storage", "data"},
    "preprocess": {"errors", "modalities"},
    "nets": {"errors", "fingerprint", "preprocess"},
    "training": {
        "errors", "fingerprint", "modalities", "preprocess", "nets", "synthetic_anomalies",
    },
    "features": {"errors", "fingerprint", "storage", "data.letterbox", "nets", "training"},
    "scoring": {"errors"},
    "synthetic_anomalies": {"errors"},
    "detectors": {
        "errors", "fingerprint", "data.inputs", "data.value_range", "data.column_scale",
        "data.letterbox",
        "modalities", "preprocess", "nets", "training", "features", "scoring",
        "synthetic_anomalies",
    },
    "runtime": {
        "errors", "resources", "data.file_kinds", "data.files", "data.letterbox", "data.pixels",
        "data.value_range", "modalities",
    },
    "export": {
        "errors", "atomic", "runtime", "detectors", "modalities", "preprocess", "scoring",
        "data.value_range", "data.column_scale",
    },
    "explain": {
        "errors", "fingerprint", "data", "preprocess", "nets", "training", "detectors", "scoring",
    },
    "attacks": {"errors", "explain", "detectors"},
    "figures": {"errors", "explain.score_checks"},
    "report": {"errors", "explain", "figures", "modalities", "scoring"},
    "versions": set(),
    "safe_text": set(),
    "web": {"errors", "data"},
    "workflows": {
        "errors", "fingerprint", "storage", "versions", "data", "modalities", "preprocess", "nets",
        "training", "features", "detectors", "scoring", "explain", "export", "runtime", "figures",
        "report", "synthetic_anomalies",
    },
    "experiments": {
        "_version", "errors", "fingerprint", "storage", "versions", "safe_text", "data",
        "modalities", "preprocess", "nets", "training", "features", "detectors", "scoring",
        "explain", "figures", "report", "resources", "workflows",
    },
}  # fmt: skip
MAY_IMPORT["studio"] = {
    "errors", "storage", "safe_text", "data", "modalities", "nets", "training", "detectors",
    "scoring", "explain", "figures", "report", "resources", "web", "workflows", "experiments",
}  # fmt: skip
MAY_IMPORT["server"] = {
    "_version", "errors", "data.pixels", "detectors", "export", "modalities", "runtime", "scoring",
    "web",
}  # fmt: skip
ROOMS_BEFORE_CLI = set(MAY_IMPORT)
MAY_IMPORT["cli"] = ROOMS_BEFORE_CLI
# Small tools that every room above may use.
TOOLS = {
    "atomic", "durations", "lazy_names", "natural_sort", "parsing", "resources", "safe_text",
    "validation",
}  # fmt: skip
for _room in (
    ROOMS_BEFORE_CLI - TOOLS - {"_version", "errors", "fingerprint", "safe_text", "versions"}
):
    MAY_IMPORT[_room] |= TOOLS
MAY_IMPORT["__main__"] = {"cli"}
MAY_IMPORT["__init__"] = {"_version", "lazy_names", "data", "detectors", "workflows.choose"}

NO_CIRCLES = ("detectors", "scoring")
TORCH_FREE = (
    "data",
    "modalities",
    "runtime",
    "scoring",
    "synthetic_anomalies",
    "figures",
    "report",
)
UNSAFE_MODULES = {"pickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve"}
UNSAFE_CALLS = {"torch.load", "torch.save", "joblib.load", "joblib.dump", "yaml.load"}


def room_of(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[str]:
    """Name every imported module, and ``module.name`` for each name taken from one."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                assert level == 0, "relative import"
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.Call(func=ast.Name(id="import_module"), args=[ast.Constant(value=str(name))]):
                yield name
            case ast.Call(func=ast.Name(id="import_module"), args=[ast.JoinedStr(values=parts)]):
                if isinstance(parts[0], ast.Constant):
                    yield str(parts[0].value)


def rooms_imported(path: Path, tree: ast.AST) -> Iterator[str]:
    """Dotted names below the package that a file takes from other rooms."""
    for name in imported(tree):
        if name.split(".")[0] == "insphere":
            inside = name.removeprefix("insphere").strip(".")
            if inside.split(".")[0] != room_of(path):
                yield inside


def forbidden(path: Path, tree: ast.AST) -> list[str]:
    allowed = MAY_IMPORT[room_of(path)]
    return [
        name
        for name in rooms_imported(path, tree)
        if not any(name == entry or name.startswith(f"{entry}.") for entry in allowed)
    ]


def unsafe(tree: ast.AST) -> Iterator[str]:
    """Ways to run code, or lose data, by reading or writing a pickle."""
    for name in imported(tree):
        if name.split(".")[0] in UNSAFE_MODULES or name in UNSAFE_CALLS:
            yield name
    weights_only = {
        node.func
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and "weights_only=True" in map(ast.unparse, node.keywords)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in UNSAFE_CALLS:
            if ast.unparse(node) == "torch.load" and node in weights_only:
                continue  # reads tensors and runs no code
            yield ast.unparse(node)
        if isinstance(node, ast.keyword):
            is_false = isinstance(node.value, ast.Constant) and node.value.value is False
            is_true = isinstance(node.value, ast.Constant) and node.value.value is True
            if node.arg == "allow_pickle" and not is_false:
                yield "allow_pickle"
            if node.arg == "weights_only" and not is_true:
                yield "weights_only"


def lint_imports(folder: Path, *paths: Path) -> tuple[int, str]:
    """Run import-linter on the rules in a folder; its exit code and what it says."""
    code = (
        "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    )
    given = os.environ.get("PYTHONPATH", "")
    where = os.pathsep.join([*map(str, paths), *filter(None, [given])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder, env=os.environ | {"PYTHONPATH": where}, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_the_order_of_rooms_is_kept_and_there_is_no_circle():
    code, said = lint_imports(SOURCE.parents[1], SOURCE.parent)
    assert code == 0, said


@pytest.mark.parametrize(
    ("back", "kept"),
    [
        ("", True),
        ("from little.room.b import B", False),
        ("def f():\n    from little.room.b import B", False),
        ("import typing\nif typing.TYPE_CHECKING:\n    from little.room.b import B", False),
    ],
)
def test_the_check_for_circles_sees_what_it_should(back, kept, tmp_path):
    rules = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text("utf-8"))
    contracts = rules["tool"]["importlinter"]["contracts"]
    assert any(
        c["type"] == "acyclic_siblings" and c["ancestors"] == ["insphere"] for c in contracts
    )
    room = tmp_path / "little" / "room"
    room.mkdir(parents=True)
    for folder in (room.parent, room):
        (folder / "__init__.py").touch()
    (room / "a.py").write_text(f"{back}\nA = 1\n")
    (room / "b.py").write_text("from little.room.a import A\nB = A\n")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.importlinter]\nroot_package = "little"\n[[tool.importlinter.contracts]]\n'
        'name = "circles"\ntype = "acyclic_siblings"\nancestors = ["little"]\n'
    )
    code, said = lint_imports(tmp_path, tmp_path)
    assert (code == 0) == kept, said
    assert "Contracts: " in said


def test_every_room_has_its_rule():
    assert TREES, "no source found"
    assert {room_of(path) for path in TREES} <= set(MAY_IMPORT)


def test_rules_have_one_direction():
    order: list[str] = []
    waiting = {room: {entry.split(".")[0] for entry in MAY_IMPORT[room]} for room in MAY_IMPORT}
    while ready := sorted(room for room in waiting if waiting[room] <= set(order)):
        order += ready
        waiting = {room: needs for room, needs in waiting.items() if room not in ready}
    assert not waiting, f"these rooms know each other: {', '.join(waiting)}"


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_rooms_know_only_rooms_before_them(room):
    found = {
        str(path): names
        for path, tree in TREES.items()
        if room_of(path) == room and (names := forbidden(path, tree))
    }
    assert not found


def test_files_of_a_room_do_not_import_each_other_in_circles():
    """Imports for types and inside functions count too."""
    modules = {
        ".".join(("insphere", *path.with_suffix("").parts)).removesuffix(".__init__"): tree
        for path, tree in TREES.items()
        if room_of(path) in NO_CIRCLES
    }
    waiting = {
        name: {found for found in imported(tree) if found in modules and found != name}
        for name, tree in modules.items()
    }
    assert len(waiting) > 30
    while waiting:
        ready = {name for name, needs in waiting.items() if not needs & set(waiting)}
        assert ready, f"these files import each other: {', '.join(sorted(waiting))}"
        waiting = {name: needs for name, needs in waiting.items() if name not in ready}


@pytest.mark.parametrize("room", TORCH_FREE)
def test_rooms_without_networks_name_no_torch(room):
    names = {
        name.split(".")[0]
        for path, tree in TREES.items()
        if room_of(path) == room
        for name in imported(tree)
    }
    assert "torch" not in names


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        (["insphere"], {"torch", "numpy", "scipy", "sklearn", "matplotlib", "rich", "typer"}),
        ([f"insphere.{room}" for room in TORCH_FREE], {"torch", "torchvision", "mlxtend"}),
        (["insphere.detectors.shallow.knn"], {"torch", "matplotlib"}),
        (["insphere.figures", "insphere.report"], {"seaborn", "plotly"}),
        (["insphere.experiments.execution.queue_worker"], {"matplotlib", "seaborn", "plotly"}),
    ],
)
def test_imports_stay_light(modules, absent):
    code = f"import sys, {', '.join(modules)}; print(*{absent!r} & set(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []


def test_nothing_is_pickled():
    found = {str(path): names for path, tree in TREES.items() if (names := list(unsafe(tree)))}
    assert not found


def test_no_text_from_elsewhere_is_formatted_into_props():
    """NiceGUI parses the text given to ``props``: a name in it could end it and add a script.

    What is not written down as it stands goes through ``element.props[name] = value``; addresses
    go through `insphere.studio.frame.show_address`, which quotes them.
    """
    found = [
        f"{path}:{node.lineno}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (
            (node.func.attr == "props" and not all(isinstance(a, ast.Constant) for a in node.args))
            or (
                node.func.attr == "run_javascript"
                and isinstance(node.args[0], ast.JoinedStr)
                and str(path) != "studio/frame.py"
            )
        )
    ]
    assert found == []


@pytest.mark.parametrize(
    ("where", "code", "names"),
    [
        ("nets/a.py", "from insphere.data import ImageSet", ["data.ImageSet"]),
        ("nets/a.py", "from insphere import data", ["data"]),
        ("nets/a.py", "import insphere.training.loop", ["training.loop"]),
        (
            "nets/a.py",
            "def f():\n    import_module('insphere.detectors.base.estimator')",
            ["detectors.base.estimator"],
        ),
        ("nets/a.py", "import_module(f'insphere.detectors.{x}')", ["detectors"]),
        ("nets/a.py", "if TYPE_CHECKING:\n    from insphere.scoring import z", ["scoring.z"]),
        ("detectors/a.py", "from insphere.data.load import load", ["data.load.load"]),
        ("detectors/a.py", "from insphere.data.inputs import as_images", []),
        ("detectors/a.py", "from insphere.detectors.base.estimator import batches", []),
        ("errors.py", "from insphere.fingerprint import f", ["fingerprint.f"]),
    ],
)
def test_the_check_sees_what_it_should(where, code, names):
    assert forbidden(Path(where), ast.parse(code)) == names


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import pickle", ["pickle"]),
        ("from torch import load", ["torch.load"]),
        ("torch.load(path)", ["torch.load"]),
        ("torch.load(path, weights_only=True)", []),
        ("torch.load(path, weights_only=flag)", ["torch.load", "weights_only"]),
        ("read(path, weights_only=False)", ["weights_only"]),
        ("np.load(path, allow_pickle=flag)", ["allow_pickle"]),
        ("np.load(path, allow_pickle=False)", []),
        ("yaml.safe_load(text)", []),
    ],
)
def test_the_check_for_pickles_sees_what_it_should(code, names):
    assert list(unsafe(ast.parse(code))) == names
