"""Ways to code something, of which the smallest is taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from bfncodec.container import Block

if TYPE_CHECKING:
    from bfncodec.coding.ledger import Ledger


class Candidate(NamedTuple):
    """Blocks that could be written, and what they cost in theory if somebody wants to know."""

    blocks: list[Block]
    account: Ledger | None = None


def smallest(candidates: list[Candidate], ledger: Ledger | None = None) -> list[Block]:
    """The blocks that take the fewest bytes in a file, headers included, the first of equals; `ledger` gets them."""
    best = min(candidates, key=lambda candidate: sum(block.file_bytes for block in candidate.blocks))
    if ledger is not None and best.account is not None:
        ledger.extend(best.account)
    return best.blocks


def tried(encode: Callable[[Ledger | None], Block], ledger: Ledger | None) -> Candidate:
    """What an encoding gives, with an account of its own if there is a ledger."""
    account = ledger.blank() if ledger is not None else None
    return Candidate([encode(account)], account)
