"""Decisions: a model's answer put through the policy that its spec declares. Pure functions over arrays.

Nothing of this is imported to predict; only a request for a decision brings it in, and a push checks it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from lastmile.decision.cost import Cost
from lastmile.decision.options import Options
from lastmile.decision.order import Order
from lastmile.decision.policy import Arrays, Context, Decide, Decided, Policy
from lastmile.decision.route import Route
from lastmile.decision.threshold import Threshold
from lastmile.decision.top import Top
from lastmile.errors import InvalidInput, InvalidSpec, ModelFailed
from lastmile.tensors import Signature

KINDS: dict[str, Callable[[Options, Signature], Policy]] = {
    "cost": Cost.read,
    "order": Order.read,
    "route": Route.read,
    "threshold": Threshold.read,
    "top": Top.read,
}


def policy_of(kind: str, options: Mapping[str, Any], signature: Signature) -> Policy:
    """The policy over a model with these inputs and outputs; InvalidSpec names the key that cannot be."""
    read = KINDS.get(kind)
    if read is None:
        raise InvalidSpec(f"decision.kind: {kind!r} is none of {', '.join(KINDS)}")
    unread = Options(options)
    policy = read(unread, signature)
    unread.close(kind)
    return policy


def prepare(policy: Policy, feeds: Arrays, context: Context) -> Decide:
    """`Policy.prepare`, after a look at whether the context fits: an entry for each row, and no unknown key;
    what it gives raises ModelFailed for outputs that are not of these rows."""
    rows = len(next(iter(feeds.values())))
    if context and len(context) != rows:
        raise InvalidInput(f"context has {len(context)} entries for {rows} rows")
    for row, entry in enumerate(context):
        for key in entry:
            if key not in policy.context:
                known = f"known are {', '.join(policy.context)}" if policy.context else "this policy takes no context"
                raise InvalidInput(f"context[{row}]: '{key:.60}' is unknown; {known}")
    decide = policy.prepare(feeds, context)

    def decide_of_rows(outputs: Arrays) -> list[Decided]:
        for name, array in outputs.items():
            if array.shape[:1] != (rows,):
                raise ModelFailed(
                    f"the output '{name}' has shape {list(array.shape)} for {rows} rows, to decide about each"
                )
        return decide(outputs)

    return decide_of_rows
