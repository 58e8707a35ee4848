"""What a template may name, and a reader that walks its Jinja and says what it uses and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

from jinja2 import TemplateSyntaxError, nodes

from skene_airflow.message.codes import Code
from skene_airflow.message.environment import LOOP_WORDS, sandbox
from skene_airflow.message.filters import FILTERS, TESTS
from skene_airflow.message.limits import DEPTH_CAP, INCLUDES_CAP
from skene_airflow.message.sources import SPELLING, CannotIncludeError
from skene_airflow.message.wording import refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from skene_airflow.message.sources import Library, Source

NAMESPACES: Mapping[str, frozenset[str]] = {"loop": frozenset({"id", "topic"}), "step": frozenset({"id"})}
"""The namespaces beside `user`, and what each of them knows."""
BUILT_IN = frozenset({"user", "loop", "step", "segment", "variant", "unsubscribe_url"})
"""The names in scope beside the keys of `personalization`."""
_BODIES = frozenset({"content", "contents", "main", "children", "slot", "html"})
_RESCUING = frozenset({"default", "d"})
_PLAIN_NODES = (
    nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv,
    nodes.Mod, nodes.Concat, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.Slice,
    nodes.Compare, nodes.Operand, nodes.TemplateData, nodes.CondExpr,
)  # fmt: skip
_JOINED = (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Concat, nodes.Neg, nodes.Pos)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong: the line counts from 1 within the source, ``word`` is what to point at.

    ``source`` is the file that it stands in, if the reader was given files.
    """

    line: int
    word: str
    code: Code
    message: str
    suggestion: str = ""
    source: Source | None = None


@dataclass(slots=True)
class Uses:
    """What a source uses: names in scope, columns of the person, and what it certainly prints."""

    names: set[str] = field(default_factory=set)
    columns: set[str] = field(default_factory=set)
    required: set[str] = field(default_factory=set)
    printed: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where the reader stands: names set so far, how many `for` deep, and whether this is certainly reached."""

    local: frozenset[str] = frozenset()
    depth: int = 0
    certain: bool = True


class Reader:
    """Walks one parsed source. ``keys`` maps each personalization key to the columns its value certainly needs.

    ``files`` is where it may include from, and the file that is read. ``slots`` are names that may only be printed,
    alone: a layout's places.
    """

    def __init__(
        self,
        keys: Mapping[str, frozenset[str]],
        built_in: frozenset[str] = BUILT_IN,
        files: tuple[Library, Source] | None = None,
        slots: frozenset[str] = frozenset(),
    ) -> None:
        self.keys = keys
        self.scope = frozenset(keys) | built_in
        self.slots = slots
        self.uses = Uses()
        self._library: Library | None = files[0] if files else None
        self._source: Source | None = files[1] if files else None
        self._within: list[str] = []
        self._included = 0

    def read(self, tree: nodes.Template) -> Uses:
        """Return what the source uses and every problem in it."""
        self._statements(tree.body, _Spot())
        return self.uses

    def _statements(self, body: Iterable[nodes.Node], spot: _Spot) -> _Spot:
        for node in body:
            if isinstance(node, nodes.Output):
                self._output(node, spot)
            elif isinstance(node, nodes.If):
                self._if(node, spot)
            elif isinstance(node, nodes.For):
                self._for(node, spot)
            elif isinstance(node, nodes.Assign):
                self._value(node.node, spot)
                spot = _Spot(spot.local | self._targets(node.target), spot.depth, spot.certain)
            elif isinstance(node, nodes.Include):
                self._include(node, spot)
            else:
                self._refuse(node)
        return spot

    def _output(self, node: nodes.Output, spot: _Spot) -> None:
        for child in node.nodes:
            if isinstance(child, nodes.Name) and child.name in self.slots:
                continue
            self._value(child, spot)
            if spot.certain:
                self.uses.required |= self._needs(child, spot.local)
                if isinstance(child, nodes.Name) and child.name not in spot.local:
                    self.uses.printed.add(child.name)

    def _include(self, node: nodes.Include, spot: _Spot) -> None:
        if self._library is None or self._source is None:
            self._problem(node, "include", Code.REFUSED, "`include` has no place here", "write the text itself")
            return
        name = node.template.value if isinstance(node.template, nodes.Const) else None
        try:
            if not isinstance(name, str) or node.ignore_missing or not node.with_context:
                raise CannotIncludeError("an include of this form is not part of templates", SPELLING)
            self._included += 1
            if name in self._within:
                raise CannotIncludeError(f"'{name}' includes itself", "take one of the two out")
            if self._included >= INCLUDES_CAP:
                raise CannotIncludeError(f"more than {INCLUDES_CAP} files in one template", "include less")
            self._go_into(name, self._library.included(name, self._source), spot)
        except CannotIncludeError as error:
            self._problem(node, "include", Code.BAD_INCLUDE, error.message, error.hint)

    def _go_into(self, name: str, source: Source, spot: _Spot) -> None:
        outer, self._source = self._source, source
        self._within.append(name)
        try:
            self._statements(sandbox(escape=False).parse(source.part.source).body, spot)
        except TemplateSyntaxError as error:
            line, word, message = error.lineno, "{", (error.message or "this is not Jinja").rstrip(".")
            self.uses.problems.append(Problem(line, word, Code.SYNTAX, message, "mend the Jinja", source))
        finally:
            self._within.pop()
            self._source = outer

    def _if(self, node: nodes.If, spot: _Spot) -> None:
        self._value(node.test, spot)
        inner = _Spot(spot.local, spot.depth, certain=False)
        self._statements(node.body, inner)
        self._statements(node.elif_, inner)
        self._statements(node.else_, inner)

    def _for(self, node: nodes.For, spot: _Spot) -> None:
        self._value(node.iter, spot)
        if spot.certain:
            self.uses.required |= self._needs(node.iter, spot.local)
        if node.recursive:
            self._problem(node, "for", Code.REFUSED, "a recursive `for` is not part of templates")
        if spot.depth == DEPTH_CAP:
            self._problem(node, "for", Code.REFUSED, f"more than {DEPTH_CAP} `for` inside each other")
        inner = _Spot(spot.local | self._targets(node.target), spot.depth + 1, certain=False)
        if node.test is not None:
            self._value(node.test, inner)
        self._statements(node.body, inner)
        self._statements(node.else_, _Spot(spot.local, spot.depth, certain=False))

    def _targets(self, target: nodes.Node) -> frozenset[str]:
        names = [target] if isinstance(target, nodes.Name) else list(target.find_all(nodes.Name))
        if not isinstance(target, (nodes.Name, nodes.Tuple)):
            self._refuse(target)
        for name in names:
            if name.name in BUILT_IN or name.name.startswith("_"):
                self._problem(name, name.name, Code.REFUSED, f"'{name.name}' cannot be set", "choose another name")
        return frozenset(name.name for name in names)

    def _value(self, node: nodes.Node, spot: _Spot) -> None:
        match node:
            case nodes.Name():
                self._name(node, spot)
            case nodes.Getattr():
                self._attribute(node, node.node, node.attr, spot)
            case nodes.Getitem():
                self._item(node, spot)
            case nodes.Filter():
                self._filter(node, spot)
            case nodes.Test():
                self._known(node, "test", TESTS, Code.UNKNOWN_TEST)
                self._children(node, spot)
            case _:
                self._plain(node, spot)

    def _plain(self, node: nodes.Node, spot: _Spot) -> None:
        if isinstance(node, nodes.CondExpr) and node.expr2 is None:
            text = "an `if` without `else` prints nothing for some people"
            self._problem(node, "if", Code.MAY_BE_NOTHING, text, "add `else ''`")
        if isinstance(node, nodes.Const):
            if node.value is None:
                text = "`none` cannot be printed or compared with"
                self._problem(node, "none", Code.MAY_BE_NOTHING, text, "write `is none`, or `''`")
        elif isinstance(node, _PLAIN_NODES):
            self._children(node, spot)
        else:
            self._refuse(node)

    def _children(self, node: nodes.Node, spot: _Spot) -> None:
        for child in node.iter_child_nodes():
            self._value(child, spot)

    def _name(self, node: nodes.Name, spot: _Spot) -> None:
        name = node.name
        if name in spot.local or (name == "loop" and spot.depth):
            return
        if name not in self.scope or name.startswith("_"):
            text = f"'{name}' is not in scope"
            self._problem(node, name, Code.UNKNOWN_VARIABLE, text, self._instead(name))
        elif name == "user":
            self._problem(node, name, Code.NOT_STATIC, "`user` has columns, it is no value", "write `user.<column>`")
        elif name in NAMESPACES:
            known = " or ".join(f"`{name}.{word}`" for word in sorted(NAMESPACES[name]))
            self._problem(node, name, Code.NOT_STATIC, f"`{name}` is no value", f"write {known}")
        else:
            self.uses.names.add(name)

    def _attribute(self, node: nodes.Node, owner: nodes.Node, attribute: str, spot: _Spot) -> None:
        if not isinstance(owner, nodes.Name) or owner.name in spot.local:
            self._value(owner, spot)
        elif owner.name == "user" and "user" in self.scope:
            self.uses.columns.add(attribute)
        elif owner.name == "loop" and spot.depth:
            self._member(node, "loop", attribute, LOOP_WORDS)
        elif owner.name in NAMESPACES and owner.name in self.scope:
            self._member(node, owner.name, attribute, NAMESPACES[owner.name])
        else:
            self._value(owner, spot)

    def _item(self, node: nodes.Getitem, spot: _Spot) -> None:
        key = node.arg.value if isinstance(node.arg, nodes.Const) else None
        if isinstance(key, str):
            self._attribute(node, node.node, key, spot)
            return
        if isinstance(node.node, nodes.Name) and node.node.name == "user" and "user" not in spot.local:
            text = "a column's name is written out, not computed"
            self._problem(node, "user", Code.NOT_STATIC, text, "write `user.<column>`")
        else:
            self._value(node.node, spot)
        self._value(node.arg, spot)

    def _member(self, node: nodes.Node, owner: str, attribute: str, known: frozenset[str]) -> None:
        if attribute not in known:
            names = ", ".join(f"`{owner}.{word}`" for word in sorted(known))
            self._problem(node, owner, Code.UNKNOWN_VARIABLE, f"`{owner}` has no '{attribute}'", f"it has {names}")

    def _filter(self, node: nodes.Filter, spot: _Spot) -> None:
        if node.name != "_items":
            self._known(node, "filter", FILTERS, Code.UNKNOWN_FILTER)
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            self._problem(node, node.name, Code.REFUSED, "`*` arguments are not part of templates", "write them out")
        self._children(node, spot)

    def _known(self, node: nodes.Filter | nodes.Test, kind: str, known: Iterable[str], code: Code) -> None:
        if node.name not in known:
            text, instead = refusal(kind, node.name, known)
            self._problem(node, node.name, code, text, instead)

    def _needs(self, node: nodes.Node | None, local: frozenset[str]) -> frozenset[str]:
        """Return the columns without which printing this value certainly fails."""
        match node:
            case nodes.Name() if node.name not in local:
                return self.keys.get(node.name, frozenset())
            case nodes.Getattr(node=nodes.Name(name="user"), attr=attr) if "user" not in local:
                return frozenset({attr})
            case nodes.Getitem(node=nodes.Name(name="user"), arg=nodes.Const(value=str() as attr)) if (
                "user" not in local
            ):
                return frozenset({attr})
            case nodes.Getattr() | nodes.Getitem():
                return self._needs(node.node, local)
            case nodes.Filter() if node.name not in _RESCUING:
                return self._needs(node.node, local)
            case nodes.And():
                return self._needs(node.left, local)
            case nodes.CondExpr():
                return self._needs(node.expr1, local) & self._needs(node.expr2, local)
            case _ if isinstance(node, _JOINED):
                return frozenset().union(*(self._needs(child, local) for child in node.iter_child_nodes()))
            case _:
                return frozenset()

    def _instead(self, name: str) -> str:
        if name in self.slots:
            return f"print it alone: `{{{{ {name} }}}}`"
        if self.slots and name in _BODIES:
            return "write `{{ body }}`"
        near = get_close_matches(name, sorted(self.scope | self.slots), 1)
        if near:
            return f"did you mean '{near[0]}'?"
        if "user" in self.scope and name.isidentifier():
            return f"write `user.{name}` for a column, or add it to `personalization`"
        return "only `user` is in scope here"

    def _refuse(self, node: nodes.Node) -> None:
        word, text, instead = _describe(node)
        self._problem(node, word, Code.REFUSED, text, instead)

    def _problem(self, node: nodes.Node, word: str, code: Code, message: str, suggestion: str = "") -> None:
        self.uses.problems.append(Problem(node.lineno or 1, word, code, message, suggestion, self._source))


def _describe(node: nodes.Node) -> tuple[str, str, str]:
    if isinstance(node, nodes.Call):
        name = node.node.name if isinstance(node.node, nodes.Name) else getattr(node.node, "attr", "(")
        instead = "loop over a list column" if name == "range" else "use a filter: `{{ value | filter }}`"
        return str(name), f"'{name}(…)': nothing can be called in a template", instead
    kind = type(node).__name__.lower()
    words = {"pow": "**", "extends": "extends", "fromimport": "from", "filterblock": "filter", "assignblock": "set"}
    word = words.get(kind, kind)
    if kind in {"extends", "block"}:
        return word, f"`{word}` is not part of templates", "the layout goes around by itself: templates/_layout.html"
    if kind in {"import", "fromimport", "macro", "callblock"}:
        return word, f"`{word}` is not part of templates", "use `set` and `{% include %}`"
    return word, f"`{word}` is not part of templates", "use values, filters, `if`, `for` and `set`"
