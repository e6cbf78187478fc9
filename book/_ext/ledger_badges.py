"""Shows the ledger in the book: a badge under each numbered equation, links, and a table.

- Under an equation with a \\tag stands the name of each test that evaluates both of its sides.
- "(4.1.3)" in a text links to the equation, on whatever page it is derived.
- The directive ```{ledger}``` lists every equation with its tests and their source.
"""

import re

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective

from tools import ledger

MENTION = re.compile(r"\((\d+(?:\.\d+)+)\)")
NOT_PROSE = (
    nodes.literal,
    nodes.literal_block,
    nodes.math,
    nodes.math_block,
    nodes.raw,
    nodes.reference,
    addnodes.pending_xref,
)


def anchor(tag: str) -> str:
    return "equation-" + tag.replace(".", "-")


def row(tag: str) -> str:
    return "ledger-" + tag.replace(".", "-")


def link(target: str, *text) -> addnodes.pending_xref:
    """A link to a label of the book, wherever it is."""
    node = addnodes.pending_xref(
        "", refdomain="std", reftype="ref", reftarget=target, refexplicit=True, refwarn=True
    )
    inline = nodes.inline("", "", classes=["std", "std-ref"])
    inline += text
    return _with(node, inline)


def _with(parent, child):
    parent += child
    return parent


def define_label(env, name: str, ids: str) -> None:
    std = env.get_domain("std")
    std.anonlabels[name] = (env.docname, ids)


class Equations(SphinxTransform):
    """Anchors, badges and links. Runs once on each document after it was read."""

    default_priority = 400

    def apply(self, **kwargs) -> None:
        equations, checks = ledger.equations(), ledger.checks()
        here = set()
        for block in list(self.document.findall(nodes.math_block)):
            tags = ledger.TAG.findall(block.astext())
            if not tags:
                continue
            # Sphinx would put what has several lines into a split, where \tag is not allowed.
            block["nowrap"] = block["no-wrap"] = True
            if "amsmath" not in block["classes"]:
                block["classes"].append("amsmath")
            fresh = [tag for tag in tags if tag not in here]
            here.update(fresh)
            for tag in fresh:
                if self.env.docname in equations.get(tag, ()):
                    define_label(self.env, anchor(tag), anchor(tag))
            group = nodes.container(ids=[anchor(tag) for tag in fresh], classes=["equation"])
            block.replace_self(group)
            group += block
            group += [badge(tag, checks.get(tag, [])) for tag in tags if tag in equations]
        for text in list(self.document.findall(nodes.Text)):
            if not any(isinstance(parent, NOT_PROSE) for parent in ancestors(text)):
                self.link_mentions(text, here, equations)

    def link_mentions(self, text, here, equations) -> None:
        pieces, end = [], 0
        for match in MENTION.finditer(text.astext()):
            tag = match[1]
            if tag not in equations and tag not in here:
                continue
            pieces.append(nodes.Text(text.astext()[end : match.start()]))
            label = nodes.Text(match[0])
            if tag in here:
                pieces.append(nodes.reference("", "", label, refid=anchor(tag), internal=True))
            else:
                pieces.append(link(anchor(tag), label))
            end = match.end()
        if pieces:
            pieces.append(nodes.Text(text.astext()[end:]))
            text.parent.replace(text, [piece for piece in pieces if piece.astext()])


def ancestors(node):
    while node.parent is not None:
        node = node.parent
        yield node


def badge(tag: str, checks) -> nodes.paragraph:
    line = nodes.paragraph(classes=["checked" if checks else "unchecked"])
    if not checks:
        return _with(line, nodes.Text(f"({tag}) has no test yet"))
    line += nodes.Text("✓ checked by ")
    for position, check in enumerate(checks):
        line += nodes.Text(", " if position else "")
        line += link(row(tag), nodes.literal("", str(check)))
    return line


class Ledger(SphinxDirective):
    """The table of all equations, and below it the source of each test."""

    def run(self):
        equations, checks = ledger.equations(), ledger.checks()
        table = nodes.table(classes=["ledger"])
        group = nodes.tgroup(cols=2)
        group += [nodes.colspec(colwidth=width) for width in (15, 85)]
        group += _with(nodes.thead(), cells(nodes.Text("Equation"), nodes.Text("Tests")))
        body = nodes.tbody()
        for tag in equations:
            names = nodes.inline()
            for position, check in enumerate(checks.get(tag, [])):
                names += nodes.Text(", " if position else "")
                ref = nodes.reference(
                    "", "", nodes.literal("", str(check)), refid=test_id(check), internal=True
                )
                names += ref
            line = cells(link(anchor(tag), nodes.Text(f"({tag})")), names)
            line["ids"].append(row(tag))
            define_label(self.env, row(tag), row(tag))
            body += line
        group += body
        table += group
        return [table, *self.sources(equations, checks)]

    def sources(self, equations, checks):
        tests = {str(check): check for tag in equations for check in checks.get(tag, [])}
        found = []
        for name, check in sorted(tests.items()):
            found.append(
                nodes.paragraph(
                    "", "", nodes.literal("", name), ids=[test_id(check)], classes=["ledger-test"]
                )
            )
            found.append(nodes.literal_block(check.source, check.source, language="python"))
        if found:
            found.insert(0, nodes.rubric("", "The tests"))
        return found


def test_id(check) -> str:
    return nodes.make_id(str(check))


def cells(*contents) -> nodes.row:
    line = nodes.row()
    for content in contents:
        line += _with(nodes.entry(), _with(nodes.paragraph(), content))
    return line


def setup(app):
    app.add_directive("ledger", Ledger)
    app.add_transform(Equations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
