"""THREAD: who answers whom, by subject and by references (RFC 5256 §3, §4).

Messages come in ascending order of their sequence numbers; nothing here recurses, for threads may be long.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from shared.imap.limits import MAX_THREAD_DEPTH, MAX_THREAD_PHANTOMS


class ThreadAlgorithm(Enum):
    """How messages are joined; the value is its name on the wire."""

    ORDEREDSUBJECT = b"ORDEREDSUBJECT"
    REFERENCES = b"REFERENCES"


@dataclass(frozen=True, slots=True)
class Threadable:
    """A message: what to call it, when it was sent (Unix seconds), its base subject (`casemap`ped) and references.

    `message_id` is "" without a valid one; `references` are message ids, the parent's last.
    """

    number: int
    sent: int
    subject: bytes
    is_reply: bool = False
    message_id: str = ""
    references: tuple[str, ...] = ()


@dataclass(eq=False, slots=True)
class Node:
    """A place in a thread; a phantom, without a message, holds its children together."""

    message: Threadable | None = None
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)
    is_parent: bool = False  # while children aren't known yet


def thread(messages: Sequence[Threadable], algorithm: ThreadAlgorithm) -> bytes:
    """Return the threads as the THREAD response lists them."""
    return render(_ALGORITHMS[algorithm](messages))


def by_subject(messages: Sequence[Threadable]) -> list[Node]:
    """Join messages of the same base subject: the first, and the others as its children (ORDEREDSUBJECT)."""
    roots: dict[bytes, Node] = {}
    for message in sorted(messages, key=_by_date):
        root = roots.get(message.subject)
        if root is None:
            roots[message.subject] = Node(message)
        else:
            root.children.append(Node(message))
    return list(roots.values())


def by_references(messages: Sequence[Threadable]) -> list[Node]:
    """Join messages by their references, then threads by their subject (REFERENCES)."""
    roots = _pruned(_linked(messages))
    _sort_children(roots)
    roots.sort(key=_date)
    roots = _merged(roots)
    _sort_children(_all(roots))
    roots.sort(key=_date)
    return roots


def _sort_children(nodes: Iterable[Node]) -> None:
    for node in nodes:
        if len(node.children) > 1:
            node.children.sort(key=_date)


def render(roots: Iterable[Node]) -> bytes:
    """Return `(2)(3 6 (4 23)(44 7 96))`."""
    out: list[bytes] = []
    todo: list[Node | bytes] = [*reversed([piece for root in roots for piece in (b"(", root, b")")])]
    while todo:
        piece = todo.pop()
        if isinstance(piece, bytes):
            out.append(piece)
            continue
        if piece.message is not None:
            out.append(b"%d" % piece.message.number)
        if len(piece.children) == 1:
            todo += [piece.children[0], b" "] if piece.message is not None else [piece.children[0]]
            continue
        if piece.children and piece.message is not None:
            out.append(b" ")
        todo += reversed([part for child in piece.children for part in (b"(", child, b")")])
    return b"".join(out)


# Linking (§4, steps 1 and 2)


class _Threads:
    """Nodes by message id."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.phantoms = 0

    def of(self, message: Threadable) -> Node:
        """Return a new message's node, its own if the id is missing or taken."""
        if not message.message_id:
            return Node(message)
        node = self.nodes.get(message.message_id)
        if node is None:
            node = self.nodes[message.message_id] = Node(message)
        elif node.message is None:
            node.message = message
        else:
            node = Node(message)
        return node

    def referred(self, message_id: str) -> Node | None:
        """Return the node of a message that is referred to, a phantom if it isn't known; None beyond the limit."""
        node = self.nodes.get(message_id)
        if node is None and self.phantoms < MAX_THREAD_PHANTOMS:
            node = self.nodes[message_id] = Node()
            self.phantoms += 1
        return node


def _linked(messages: Sequence[Threadable]) -> list[Node]:
    """Return the nodes without a parent."""
    threads = _Threads()
    own = [threads.of(message) for message in messages]
    for node, message in zip(own, messages, strict=True):
        parent: Node | None = None
        for message_id in message.references:
            child = threads.referred(message_id)
            if child is None:
                continue
            if parent is not None and child.parent is None:
                _put_below(parent, child)
            parent = child
        if parent is None:
            node.parent = None
        else:
            _put_below(parent, node)
    return _adopted(own, threads)


def _put_below(parent: Node, child: Node) -> None:
    """Make a node another one's parent unless that makes a loop."""
    if parent is not child and not (child.is_parent and _is_below(parent, child)):
        child.parent = parent
        parent.is_parent = True


def _is_below(node: Node, other: Node) -> bool:
    """Say whether a node is another one or below it, or so deep that nothing with children should be put below it."""
    above: Node | None = node
    for _ in range(MAX_THREAD_DEPTH):
        if above is other:
            return True
        if above is None:
            return False
        above = above.parent
    return True


def _adopted(own: Iterable[Node], threads: _Threads) -> list[Node]:
    """Give each parent its children; return those without one."""
    roots: list[Node] = []
    for node in dict.fromkeys((*own, *threads.nodes.values())):
        (roots if node.parent is None else node.parent.children).append(node)
    return roots


# Pruning (step 3)


def _pruned(roots: list[Node]) -> list[Node]:
    """Remove phantoms: those without children, and those whose children can take their place."""
    order = list(_all(roots))
    for node in reversed(order):
        node.children = [kept for child in node.children for kept in _standing(child)]
    return [
        kept
        for root in roots
        for kept in (_standing(root) if root.message is not None or len(root.children) < 2 else [root])
    ]


def _standing(node: Node) -> list[Node]:
    return [node] if node.message is not None else node.children


# Grouping by subject (step 5)


def _merged(roots: Sequence[Node]) -> list[Node]:
    table: dict[bytes, Node] = {}
    for root in roots:
        subject = _of(root).subject
        if subject and (subject not in table or _is_better(root, table[subject])):
            table[subject] = root
    gone: set[int] = set()
    taken: dict[int, Node] = {}
    for root in roots:
        first = table.get(_of(root).subject)
        if first is not None and first is not root:
            _join(root, first, gone, taken)
    return [taken.get(id(root), root) for root in roots if id(root) not in gone]


def _is_better(node: Node, known: Node) -> bool:
    """Say whether another node should stand for a subject."""
    if known.message is None:
        return False
    return node.message is None or (known.message.is_reply and not node.message.is_reply)


def _join(node: Node, first: Node, gone: set[int], taken: dict[int, Node]) -> None:
    """Put a thread to the one that stands for its subject; siblings of the latter share a new phantom."""
    gone.add(id(node))
    group = taken.get(id(first), first)
    if group.message is None:
        group.children += node.children if node.message is None else [node]
    elif node.message is not None and node.message.is_reply and not group.message.is_reply:
        group.children.append(node)
    else:
        taken[id(first)] = Node(None, None, [group, node])


# What threads are looked at by


def _of(node: Node) -> Threadable:
    """Return a node's message, a phantom's first child's."""
    while node.message is None:
        node = node.children[0]
    return node.message


def _by_date(message: Threadable) -> tuple[int, int]:
    return message.sent, message.number


def _date(node: Node) -> tuple[int, int]:
    if node.message is None:
        return min(_by_date(_of(child)) for child in node.children)
    return _by_date(node.message)


def _all(roots: Iterable[Node]) -> Iterable[Node]:
    """Yield nodes, each before those below it."""
    todo = list(roots)
    while todo:
        node = todo.pop()
        yield node
        todo += node.children


_ALGORITHMS: dict[ThreadAlgorithm, Callable[[Sequence[Threadable]], list[Node]]] = {
    ThreadAlgorithm.ORDEREDSUBJECT: by_subject,
    ThreadAlgorithm.REFERENCES: by_references,
}


def normal_id(message_id: str) -> str:
    """Return a message id without needless quotes, "" if it isn't one (RFC 5256 §4 step 1)."""
    if not (message_id.startswith("<") and message_id.endswith(">") and "@" in message_id):
        return ""
    quoted = _QUOTED_ID.fullmatch(message_id)
    return message_id if quoted is None else f"<{_QUOTED_PAIR.sub(_second, quoted[1])}{quoted[2]}>"


_QUOTED_ID = re.compile(r'<"((?:[^"\\]|\\.)*)"(@[^"<>]*)>')
_QUOTED_PAIR = re.compile(r"\\(.)")


def _second(pair: re.Match[str]) -> str:
    return pair[1]
