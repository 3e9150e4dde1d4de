"""What the cells of a chapter run, whatever their layout."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager

DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def is_docstring(statement: Any) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def tree(node: Any) -> Any:
    """The syntax as lists and texts, without docstrings and places.

    ``ast.dump`` would not do: later Pythons name fields that earlier ones do not have, and leave out empty ones.
    """
    if isinstance(node, list):
        return [tree(item) for item in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, DOCUMENTED) and is_docstring(fields["body"][0]):
        fields["body"] = fields["body"][1:]
    return [type(node).__name__, *([name, tree(value)] for name, value in fields.items() if value not in (None, []))]


def statements(source: str) -> list[Any]:
    """One cell's, each with whether the cell shows its value, as it does the last one's that no semicolon ends."""
    body = ast.parse(TransformerManager().transform_cell(source)).body
    last = len(body) - 1
    shows = not source.rstrip().endswith(";")
    return [[tree(part), isinstance(part, ast.Expr) and at == last and shows] for at, part in enumerate(body)]


def code_sha256(sources: Iterable[str]) -> str:
    """The same for two chapters that run and show the same.

    How lines are broken does not count, nor do comments, and nor does it count where one cell ends and the next
    begins, as long as no other value is shown.
    """
    ran = [statement for source in sources for statement in statements(source)]
    return hashlib.sha256(json.dumps(ran).encode()).hexdigest()
