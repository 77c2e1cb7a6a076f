"""Nonce commitments that nodes have drawn ahead: with them a signature takes one round trip.

They are public, and worth nothing but to this client at these nodes. In memory only. Whatever is taken from
here is about to be named in a request and never comes back, whatever becomes of that request: a nonce pair
serves once.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable

from .frost import Drawn
from .wire import Epoch

#: Nodes forget theirs after ten minutes.
LIFE = 8 * 60.0
#: The most that is drawn ahead of need. Each pair costs some milliseconds to check.
MOST_AHEAD = 64
#: The most that is kept of one node.
MAX_KEPT = 2048
#: Keys with commitments at hand; beyond, all are drawn anew.
MAX_KEYS = 256

#: A key's name, version and epoch.
PoolId = tuple[str, int, Epoch]


class _OfKey:
    def __init__(self) -> None:
        self.nodes: dict[int, deque[tuple[float, Drawn]]] = {}
        #: How many to draw next; grows while the key goes on signing.
        self.ahead = 0

    def expire(self, now: float) -> None:
        for drawn in self.nodes.values():
            while drawn and now - drawn[0][0] > LIFE:
                drawn.popleft()


class NoncePool:
    """What is at hand. Several threads may use it: each pair is taken by one of them."""

    def __init__(self) -> None:
        self._keys: dict[PoolId, _OfKey] = {}
        self._lock = threading.Lock()
        #: One call draws, the others wait for what it brings.
        self.drawing = threading.Lock()

    def __repr__(self) -> str:
        return "NoncePool(…)"

    def take(
        self, pool: PoolId, candidates: Iterable[int], t: int, need: int
    ) -> dict[int, list[Drawn]] | None:
        """`need` pairs of each of `t` of the candidates, of those with most; or `None`."""
        allowed = set(candidates)
        with self._lock:
            of_key = self._keys.get(pool)
            if of_key is None:
                return None
            of_key.expire(time.monotonic())
            ready = [
                (-len(d), node) for node, d in of_key.nodes.items() if node in allowed and len(d) >= need
            ]
            if len(ready) < t:
                return None
            chosen = sorted(node for _, node in sorted(ready)[:t])
            return {node: [of_key.nodes[node].popleft()[1] for _ in range(need)] for node in chosen}

    def to_draw(self, pool: PoolId, need: int) -> int:
        """How many pairs to ask for, if `need` are needed now: as many at first, then ever more."""
        with self._lock:
            if pool not in self._keys:
                # Of an earlier epoch nothing is of use any more.
                self._keys = {p: k for p, k in self._keys.items() if p[:2] != pool[:2]}
                if len(self._keys) >= MAX_KEYS:
                    self._keys.clear()
            of_key = self._keys.setdefault(pool, _OfKey())
            count = max(need, of_key.ahead)
            of_key.ahead = min(2 * count, MOST_AHEAD)
            return count

    def put(self, pool: PoolId, node: int, drawn: Iterable[Drawn]) -> None:
        now = time.monotonic()
        with self._lock:
            of_node = self._keys.setdefault(pool, _OfKey()).nodes.setdefault(node, deque())
            for one in drawn:
                if len(of_node) < MAX_KEPT:
                    of_node.append((now, one))

    def forget(self, pool: PoolId, node: int) -> None:
        """What a node has drawn is of no use: it has started again, or lies."""
        with self._lock:
            of_key = self._keys.get(pool)
            if of_key is not None:
                of_key.nodes.pop(node, None)
