"""What a mutant changes: one operator, constant or call in a module's source."""

import ast
import copy
from collections import Counter
from typing import NamedTuple

OPERATORS = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
}
NOT_RUN = ("annotation", "returns", "decorator_list")


class Mutant(NamedTuple):
    """One change of one module, named by the function it is in and what becomes of what."""

    module: str
    name: str
    source: str


def mutants(module, source):
    """Give all mutants of a module. Equal changes in one function are numbered from the second."""
    found, seen = [], Counter()
    for scope, path in _places(ast.parse(source), (), ()):
        original = _at(ast.parse(source), path)
        for changed in _changes(original):
            tree = ast.parse(source)
            _replace(tree, path, changed)
            name = f"{scope}: {ast.unparse(original)} -> {ast.unparse(changed)}"
            seen[name] += 1
            number = f" ({seen[name]})" if seen[name] > 1 else ""
            found.append(Mutant(module, name + number, ast.unparse(tree)))
    return found


def _places(node, scope, path):
    """Give each node: the name of what it stands in, and the way to it."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        scope = (*scope, node.name)
    yield ".".join(scope), path
    for field, value in ast.iter_fields(node):
        if field not in NOT_RUN:
            for i, each in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(each, ast.AST):
                    step = field, i if isinstance(value, list) else None
                    yield from _places(each, scope, (*path, step))


def _at(tree, path):
    for field, i in path:
        value = getattr(tree, field)
        tree = value if i is None else value[i]
    return tree


def _replace(tree, path, node):
    (field, i), parent = path[-1], _at(tree, path[:-1])
    if i is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[i] = node


def _changes(node):
    if isinstance(node, ast.BinOp):
        yield from (_with(node, op=other()) for other in OPERATORS.get(type(node.op), ()))
    elif isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            for other in OPERATORS.get(type(operator), ()):
                yield _with(node, ops=[*node.ops[:i], other(), *node.ops[i + 1 :]])
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.IfExp):
        yield _with(node, body=node.orelse, orelse=node.body)
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield ast.Constant(node.value + 1)
        yield ast.Constant(-node.value if node.value else -1)
    elif isinstance(node, ast.Name) and node.id == "inf" and isinstance(node.ctx, ast.Load):
        yield ast.UnaryOp(ast.USub(), node)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "abs":
        yield node.args[0]


def _with(node, **changed):
    made = copy.copy(node)
    for field, value in changed.items():
        setattr(made, field, value)
    return made
