"""Writes all files that are made from code: `python scripts/generate.py`, or `make generate`.

The namespaces (`deeptroubles.attribution`, ...), the schemas that the pages' types are made from, and `checks.md`,
`commands.md` and `reference.md` of `docs/`.
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

import typer

from deeptroubles.checks.options import OPTIONS
from deeptroubles.checks.registry import all_checks, check_docstrings
from deeptroubles.cli import app
from deeptroubles.findings import audit_schema
from deeptroubles.methods.catalogue import FAMILIES, METHODS, Method, Parameter
from deeptroubles.serving.app import make_app
from deeptroubles.serving.workbench import Workbench

ROOT = Path(__file__).resolve().parents[1]
WRITTEN = "Written by `make generate`."


def generated() -> dict[Path, str]:
    """Every generated file with its content."""
    package = ROOT / "src" / "deeptroubles"
    files = {package / f"{family}.py": namespace(family) for family in FAMILIES}
    return files | {
        ROOT / "docs" / "reference.md": reference(),
        ROOT / "frontend" / "audit.schema.json": json.dumps(audit_schema(), indent=2, ensure_ascii=False) + "\n",
        ROOT / "frontend" / "openapi.json": json.dumps(openapi(), indent=1, ensure_ascii=False) + "\n",
        ROOT / "docs" / "checks.md": checks(),
        ROOT / "docs" / "commands.md": commands(),
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


def checks() -> str:
    """Every check: its question, then all that `deeptroubles help` says about it."""
    rows = "".join(f"| [`{name}`](#{_anchor(name)}) | {c.guide.question} |\n" for name, c in all_checks().items())
    explained = "\n".join(f"## {name}\n\n{_explained(text)}" for name, text in check_docstrings().items())
    return (
        f"# Checks\n\n{WRITTEN} In the tests, each check has a planted fault that it must find, and a clean twin "
        "that it must pass. Adding a check takes one file and one test: see `CONTRIBUTING.md`.\n\n"
        f"| check | question |\n|---|---|\n{rows}\n{explained}"
    )


def _anchor(name: str) -> str:
    return name.replace(".", "")


def _explained(text: str) -> str:
    """A check's docstring as Markdown: its parts begin with a bold word."""
    question, *parts = re.split(r"\n\n(?=\w)", text.strip())
    bold = [f"**{title}.** {inspect.cleandoc(body)}\n" for title, body in (part.split(":\n", 1) for part in parts)]
    return "\n".join([f"*{question}*\n", *bold])


def commands() -> str:
    """The help of every command."""
    program: Any = typer.main.get_command(app)
    above = typer.Context(program, info_name="deeptroubles")

    def text(name: str) -> str:
        command = program.commands[name]
        return typer.Context(command, info_name=name, parent=above, terminal_width=100).get_help()

    shown = "\n".join(f"## deeptroubles {name}\n\n```text\n{text(name)}\n```\n" for name in program.commands)
    return (
        f"# Commands\n\n{WRITTEN} Exit codes: 0 success, 1 a problem (with `--fail-on`), 2 an error in the command, "
        f"3 an internal error, 130 interrupted.\n\n{shown}"
    )


def reference() -> str:
    """Every public name, every method and every check, in one document."""
    methods = "\n".join(
        f"## dt.{family}\n\n{text}\n\n" + "\n".join(_method(m) for m in METHODS.values() if m.family == family)
        for family, text in FAMILIES.items()
    )
    options = "".join(f"| `--{o.name.replace('_', '-')} {o.metavar}` | {o.help} |\n" for o in OPTIONS)
    return (
        f"# Reference\n\n{WRITTEN} `deeptroubles help NAME` prints all about a check or method.\n"
        f"\n## import deeptroubles as dt\n\n| name | what it is |\n|---|---|\n{_public()}\n{methods}\n"
        "## Options of checks\n\nIn Python, `dt.audit(model, images, cue=...)`.\n\n"
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
