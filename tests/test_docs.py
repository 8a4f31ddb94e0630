import ast
import inspect
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

import insphere

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
sys.path.append(str(ROOT / "tools"))

import api_pages  # noqa: E402
import tutorial  # noqa: E402


@pytest.mark.slow
def test_every_quoted_number_is_the_one_in_the_data():
    script = ROOT / "benchmarks" / "quote.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_every_picture_was_drawn_from_the_rows_there_are():
    script = ROOT / "benchmarks" / "draw.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for picture in (ROOT / "docs" / "images" / "figures").glob("*.png"):
        assert picture.stat().st_size < 150_000, picture.name


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_tutorial_prints_what_it_says(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "tutorial.py")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "INSPHERE_CACHE": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_changed_output_of_the_tutorial_is_seen():
    assert tutorial.agree("AUC 83.60 %, in 0.1 s", "AUC 83.61  %, in 12.5 s")
    assert not tutorial.agree("AUC 83.60 %", "AUC 63.60 %")
    assert not tutorial.agree("AUC 83.60 %", "AUC 83.60 % ok")
    page, differences = tutorial.run("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n")
    assert [found.printed for found in differences] == ["2\n"]
    assert page == "```python\nprint(1 + 1)\n```\n\n```text\n2\n```\n"


@pytest.mark.parametrize("module", api_pages.documented_modules())
def test_public_names_can_be_imported_and_are_described(module):
    names = api_pages.public_names(module)
    assert names
    for name, value in names.items():
        if inspect.isclass(value) or inspect.isroutine(value):
            assert inspect.getdoc(value), f"{module}.{name}"


def test_every_room_is_in_the_reference():
    described = {module.split(".")[1] for module in api_pages.documented_modules() if "." in module}
    rooms = {found.name for found in iter_modules(insphere.__path__)}
    assert rooms - described == {"__main__", "_version", "cli", "studio"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_import_public_names(page):
    documented = set(api_pages.documented_modules())
    packages = {name.rpartition(".")[0] for name in documented}
    for code in re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("insphere"):
                module = import_module(str(node.module))
                assert node.module in documented | packages, f"{page.name}: {node.module}"
                for name in node.names:
                    assert hasattr(module, name.name), f"{page.name}: {node.module}.{name.name}"


def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs") if not os.environ.get("CI") else import_module("mkdocs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    reference = (tmp_path / "reference" / "detectors.html").read_text("utf-8")
    assert 'id="insphere.detectors.spheres.deep_svdd.DeepSVDD"' in reference
    shown = " ".join(re.sub("<[^>]+>", "", reference).split())
    for found in re.findall(r"calibration \(float, default: (\S+) ?\)", shown):
        assert found == "0.2", "parameters described together have their own defaults"
    for page in tmp_path.rglob("*.html"):
        fetched = re.findall(
            r'<(?:script|img|link)[^>]*(?:src|href)="(https?:[^"]+)', page.read_text("utf-8")
        )
        assert not fetched, f"{page.name} fetches {fetched}"
