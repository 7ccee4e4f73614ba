"""Nothing in the package unpickles, evaluates or hands words to a shell."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import xsaga

PACKAGE = Path(xsaga.__file__).resolve().parent
FORBIDDEN_MODULES = {
    *("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"),
    *("copyreg", "jsonpickle", "code", "codeop"),
}
FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "pd.read_pickle", "pandas.read_pickle"),
    *("pd.eval", "importlib.import_module", "runpy.run_path", "torch.hub.load", "torch.jit.load"),
    *("np.fromregex", "numexpr.evaluate"),
}
TRUE_MEANS_TROUBLE = {"allow_pickle", "shell", "trust_remote_code"}


def name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def faults(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            names.append(getattr(node, "module", None) or "")
            found += [name for name in names if name.split(".")[0] in FORBIDDEN_MODULES]
        if isinstance(node, ast.Call):
            called = name_of(node.func)
            if called in FORBIDDEN_CALLS:
                found.append(called)
            for keyword in node.keywords:
                says_no = isinstance(keyword.value, ast.Constant) and not keyword.value.value
                if keyword.arg in TRUE_MEANS_TROUBLE and not says_no:
                    found.append(f"{called}({keyword.arg}=…)")
            if called.endswith(("np.load", "numpy.load", "open_memmap")) and not any(
                keyword.arg == "allow_pickle" for keyword in node.keywords
            ):
                found.append(f"{called} without allow_pickle=False")
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load('x')",
        "eval('1')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nnp.load('x')",
        "import subprocess\nsubprocess.run('x', shell=flag)",
        "import yaml\nyaml.load(text)",
    ],
)
def test_the_scan_finds_what_is_forbidden(source: str) -> None:
    assert faults(source)


def test_nothing_is_unpickled_or_evaluated() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 200
    found = {
        path.relative_to(PACKAGE).as_posix(): wrong
        for path in files
        if (wrong := faults(path.read_text(encoding="utf-8")))
    }
    # names of packages there are written in the code: what an extra brings
    assert found.pop("simulation/extras.py") == ["importlib.import_module"]
    assert found == {}
