"""Writes all files that are made from code: `python scripts/generate.py`, or `make generate`.

The namespaces (`deeptroubles.attribution`, ...), `docs/reference.md`, the schemas that the pages' types are made from,
and the table of checks in README.md.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deeptroubles.checks.options import OPTIONS
from deeptroubles.checks.registry import all_checks
from deeptroubles.findings import audit_schema
from deeptroubles.methods.catalogue import FAMILIES, METHODS, Method, Parameter
from deeptroubles.serving.app import make_app
from deeptroubles.serving.workbench import Workbench

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- checks: written by `make generate` -->\n", "<!-- end of checks -->"


def generated() -> dict[Path, str]:
    """Every generated file with its content."""
    package = ROOT / "src" / "deeptroubles"
    files = {package / f"{family}.py": namespace(family) for family in FAMILIES}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    before, _, rest = readme.partition(BEGIN)
    return files | {
        ROOT / "docs" / "reference.md": reference(),
        ROOT / "frontend" / "audit.schema.json": json.dumps(audit_schema(), indent=2, ensure_ascii=False) + "\n",
        ROOT / "frontend" / "openapi.json": json.dumps(openapi(), indent=1, ensure_ascii=False) + "\n",
        ROOT / "README.md": f"{before}{BEGIN}{check_table()}{END}{rest.partition(END)[2]}",
    }


def openapi() -> dict[str, Any]:
    """What the server of `deeptroubles serve` answers."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "run.json").write_text("{}", encoding="utf-8")
        return make_app(Workbench(Path(folder))).openapi()


def namespace(family: str) -> str:
    """A module that offers every method of a family."""
    names = [method.name for method in METHODS.values() if method.family == family]
    imports = "\n".join(f"from deeptroubles.methods.{family}.{name} import {name}" for name in names)
    listed = "\n".join(f'    "{name}",' for name in names)
    return f'"""{FAMILIES[family]}\n\nWritten by `make generate`.\n"""\n\n{imports}\n\n__all__ = [\n{listed}\n]\n'


def check_table() -> str:
    """The checks and their questions as Markdown."""
    rows = "".join(f"| `{check.name}` | {check.guide.question} |\n" for check in all_checks().values())
    return f"| check | question |\n|---|---|\n{rows}"


def reference() -> str:
    """Every public name, every method and every check, in one document."""
    methods = "\n".join(
        f"## dt.{family}\n\n{text}\n\n" + "\n".join(_method(m) for m in METHODS.values() if m.family == family)
        for family, text in FAMILIES.items()
    )
    options = "".join(f"| `--{o.name.replace('_', '-')} {o.metavar}` | {o.help} |\n" for o in OPTIONS)
    return (
        "# Reference\n\nWritten by `make generate`. `deeptroubles help NAME` prints all about a check or method.\n"
        f"\n## import deeptroubles as dt\n\n| name | what it is |\n|---|---|\n{_public()}\n{methods}\n"
        f"## Checks\n\n{check_table()}\n## Options of checks\n\nIn Python, `dt.audit(model, images, cue=...)`.\n\n"
        f"| option | what it is |\n|---|---|\n{options}"
    )


def _public() -> str:
    """One row for each name of `deeptroubles` itself."""
    stub = ast.parse((ROOT / "src" / "deeptroubles" / "__init__.pyi").read_text(encoding="utf-8"))
    rows = []
    for node in stub.body:
        assert isinstance(node, ast.ImportFrom)  # noqa: S101 (the stub holds nothing else)
        for alias in node.names:
            if node.module:
                thing: Any = getattr(import_module(f"deeptroubles.{node.module}"), alias.name)
                text = inspect.getdoc(thing) or ""
            else:  # a namespace, which this program writes
                text = FAMILIES[alias.name]
            rows.append(f"| `dt.{alias.name}` | {_first(text)} |\n")
    return "".join(sorted(rows, key=str.lower))


def _method(method: Method) -> str:
    settings = [p for p in method.parameters.values() if p.default is not inspect.Parameter.empty]
    required = [p.name for p in method.parameters.values() if p.default is inspect.Parameter.empty]
    text = f"### {method.name}\n\n{method.summary} Takes {', '.join(f'`{name}`' for name in required)}.\n"
    if settings:
        rows = "".join(f"| `{p.name}` | {_plain(p)} | `{_default(p)}` | {p.description} |\n" for p in settings)
        text += f"\n| setting | type | default | what it does |\n|---|---|---|---|\n{rows}"
    return text


def _plain(parameter: Parameter) -> str:
    return f"{parameter.type}, {parameter.range}" if parameter.range else parameter.type


def _default(parameter: Parameter) -> str:
    return f"{parameter.default:.4g}" if isinstance(parameter.default, float) else str(parameter.default)


def _first(text: str) -> str:
    return re.split(r"\n\n", text)[0].replace("\n", " ")


if __name__ == "__main__":
    for path, content in generated().items():
        if not path.is_file() or path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")
            sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")
