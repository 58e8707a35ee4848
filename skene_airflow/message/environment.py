"""The two Jinja environments, sandboxed: one escapes (HTML), one does not (subject, preheader, text)."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from jinja2 import Template, TemplateSyntaxError, Undefined, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import TemplateError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer
from markupsafe import escape

from skene_airflow.errors import MissingVariable
from skene_airflow.message.filters import FILTERS, GUARD_ITEMS, GUARDS, TESTS
from skene_airflow.message.limits import INTEGER_BITS, OUTPUT_CAP, CannotRender, capped, fits
from skene_airflow.message.printing import Columns, Missing, finish, finish_line
from skene_airflow.message.tags import split

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jinja2.runtime import Context

LOOP_WORDS = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})
"""What `loop` knows inside a `for`."""
_TOO_DEEP = "this is nested too deeply"
_TOO_LARGE = "it is larger than 512 kB"
# What a template can run into with values it was not made for.
_SENSELESS = (
    TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError, MemoryError,
)  # fmt: skip
_SIZED = (str, list, tuple)
_SPECIAL = re.compile("[&<>'\"]")
# Python compiles 100 levels of indentation and 200 of parentheses: these many blocks and characters make fewer.
_FEW_BLOCKS, _SHORT_TAG = 40, 90
_AT_ONCE = 64  # each piece may be as long as OUTPUT_CAP


class _Generator(CodeGenerator):
    """Writes `~` so that its result stays short, and each print as one call that finishes and escapes the value."""

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        del node, finalize
        self.write("environment.print_html(" if frame.eval_ctx.autoescape else "environment.print_line(")

    def _output_child_post(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        del node, frame, finalize
        self.write(")")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802  # Jinja's name
        self.write("environment.capped(")
        super().visit_Concat(node, frame)
        self.write(")")


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja with nothing in it but values, filters and tests: no calls, no methods, no globals."""

    code_generator_class = _Generator
    intercepted_binops = frozenset({"+", "*", "**", "%"})
    capped = staticmethod(capped)

    def __init__(self, *, escape: bool) -> None:
        super().__init__(autoescape=escape, undefined=Missing, finalize=finish if escape else finish_line)
        self.globals.clear()
        self.filters = {**FILTERS, **GUARDS}
        self.tests = dict(TESTS)

    @staticmethod
    def print_html(value: Any) -> str:
        """What is written for a value in HTML; most values have nothing in them to escape."""
        if type(value) is str:
            return value if _SPECIAL.search(value) is None else escape(value)
        return escape(finish(value))

    @staticmethod
    def print_line(value: Any) -> str:
        """What is written for a value elsewhere."""
        return value if type(value) is str and value.isprintable() else str(finish_line(value))

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for walk in tree.find_all(nodes.For):
            walk.iter = nodes.Filter(walk.iter, GUARD_ITEMS, [], [], None, None, lineno=walk.lineno)
        return tree

    def parse(self, source: str, name: str | None = None, filename: str | None = None) -> nodes.Template:
        """Parse a source. Raises TemplateSyntaxError, also for what is nested more deeply than Python can go."""
        try:
            return super().parse(source, name, filename)
        except RecursionError:
            raise TemplateSyntaxError(_TOO_DEEP, 1) from None

    def from_string(self, source: Any, *rest: Any, **more: Any) -> Template:
        """Compile a source. Raises like ``parse``."""
        try:
            return super().from_string(source, *rest, **more)
        except (RecursionError, SyntaxError, MemoryError):
            raise TemplateSyntaxError(_TOO_DEEP, 1) from None

    def check(self, source: str) -> None:
        """Raise like ``from_string`` for a source that can be parsed and still not be compiled.

        That takes nesting, and nesting takes room: where there is none, nothing is compiled to see.
        """
        tags = [piece for piece in split(source) if piece.kind != "data"]
        blocks = sum(piece.kind == "block" for piece in tags)
        if blocks > _FEW_BLOCKS or any(len(piece.text) > _SHORT_TAG for piece in tags):
            self.from_string(source)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Read an item of a namespace, or what `loop` knows inside a `for`; nothing else has attributes."""
        if type(obj) is Columns:
            return obj[attribute]
        if isinstance(obj, dict):
            return obj[attribute] if attribute in obj else self._absent(obj, attribute)
        if isinstance(obj, LoopContext) and attribute in LOOP_WORDS:
            return getattr(obj, attribute)
        return obj if isinstance(obj, Undefined) else Missing(name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Read an item of a namespace or list."""
        if isinstance(obj, Undefined):
            return obj
        if isinstance(obj, dict):
            return self.getattr(obj, str(argument))
        try:
            return obj[argument]
        except (LookupError, TypeError):
            return Missing(name=f"[{argument}]" if isinstance(argument, int) else "[…]")

    def is_safe_callable(self, obj: Any) -> bool:
        """Nothing is called from a template."""
        del obj
        return False

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Calculate with numbers, and join short texts and lists."""
        del context
        for side in (left, right):
            if isinstance(side, Undefined):
                str(side)  # raises MissingVariable with the value's own name
        if operator == "+":
            return _sum(left, right)
        if operator == "**" or not (_is_number(left) and _is_number(right)):
            msg = f"`{operator}` with these values"
            raise CannotRender(msg)
        return _bounded(left * right if operator == "*" else left % right)

    @staticmethod
    def _absent(obj: dict[Any, Any], key: str) -> Any:
        return obj.__missing__(key) if hasattr(obj, "__missing__") else Missing(name=key)


@lru_cache(maxsize=2)
def sandbox(*, escape: bool) -> Sandbox:
    """Return the environment that escapes (HTML), or the one that does not."""
    return Sandbox(escape=escape)


class _Settled(NodeTransformer):
    """Puts what is the same for everybody into a template, and takes out the branches that nobody gets."""

    def __init__(self, fixed: Mapping[str, Any]) -> None:
        self._fixed = fixed

    def visit_Name(self, node: nodes.Name) -> nodes.Node:  # noqa: N802  # Jinja's name
        if node.ctx != "load" or node.name not in self._fixed:
            return node
        return nodes.Const(self._fixed[node.name], lineno=node.lineno)

    def visit_If(self, node: nodes.If) -> Any:  # noqa: N802  # Jinja's name
        self.generic_visit(node)
        if not isinstance(node.test, nodes.Const) or node.elif_:
            return node
        return node.body if node.test.value else node.else_


class Program:
    """One source, compiled once. ``fixed`` are the values of names that no template can set. Not for two threads."""

    __slots__ = ("_context", "_root")

    def __init__(self, source: str, *, escape: bool, fixed: Mapping[str, Any] | None = None) -> None:
        environment = sandbox(escape=escape)
        tree = environment.parse(source)
        template = environment.from_string(_Settled(fixed).visit(tree) if fixed else tree)
        self._root = template.root_render_func
        self._context = template.new_context({}, shared=True)

    def run(self, values: dict[str, Any]) -> str:
        """Return the filled text. Raises MissingVariable, and CannotRender for what is too much or makes no sense."""
        context = self._context
        context.parent = values
        try:
            text = _collect(self._root(context))
        except MissingVariable:
            raise
        except _SENSELESS as error:
            # Only the kind of error is told: its text may hold what the person's row holds.
            raise CannotRender(type(error).__name__) from None
        finally:
            context.parent = {}
            if context.vars:
                context.vars.clear()
                context.exported_vars.clear()
        if not fits(text):
            raise CannotRender(_TOO_LARGE)
        return text


class Expression:
    """One compiled expression of `personalization`; its value keeps its type."""

    __slots__ = ("_call",)

    def __init__(self, source: str) -> None:
        self._call = sandbox(escape=False).compile_expression(source, undefined_to_none=False)

    def run(self, values: dict[str, Any]) -> Any:
        """Return the value. Raises like ``Program.run``."""
        try:
            return self._call(values)
        except MissingVariable:
            raise
        except _SENSELESS as error:
            raise CannotRender(type(error).__name__) from None


def _collect(pieces: Iterable[str]) -> str:
    """Join what a program writes, and stop it once it writes too much."""
    rest, found, size = iter(pieces), "", 0
    while block := list(islice(rest, _AT_ONCE)):
        text = "".join(block)
        size += len(text)
        if size > OUTPUT_CAP:
            raise CannotRender(_TOO_LARGE)
        if len(block) < _AT_ONCE and not found:
            return text
        found += text
    return found


def _is_number(value: Any) -> bool:
    return not isinstance(value, (str, bytes, list, tuple, dict, bool))


def _sum(left: Any, right: Any) -> Any:
    if isinstance(left, _SIZED) and isinstance(right, _SIZED) and len(left) + len(right) > OUTPUT_CAP:
        msg = "a value is too long"
        raise CannotRender(msg)
    return _bounded(left + right)


def _bounded(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > INTEGER_BITS:
        msg = "a number is too large"
        raise CannotRender(msg)
    return value
