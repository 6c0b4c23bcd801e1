"""Which team is a text for? The tickets model says, through the predictor and the policy that everybody else uses."""

from collections.abc import Callable

import numpy as np

from functions.chat.assistant.conversation import Routing
from lastmile.decision import policy_of, prepare
from lastmile.decision.policy import Arrays, Decided
from lastmile.decision.route import Route
from lastmile.errors import LastmileError, StoreUnavailable
from lastmile.predictor import Predictor, Served

type Warn = Callable[[str], object]


class Team:
    """A model of one text input whose policy is of the kind `route`. Promotion reaches it as it reaches the API."""

    def __init__(self, predictor: Predictor, model: str, *, warn: Warn) -> None:
        self._predictor = predictor
        self._model = model
        self._warn = warn

    def of(self, text: str, conversation: str) -> Routing | None:
        """None where the model does not answer: the assistant goes on without it."""
        try:
            served = self._predictor.resolve(self._model, routing_key=conversation)
            return self._routed(served, text)
        except LastmileError as error:
            self._warn(f"no team: {error}")
            return None

    def _routed(self, served: Served, text: str) -> Routing:
        manifest, policy = served.loaded.manifest, self._policy(served)
        (spec,) = manifest.signature.inputs
        feeds = {spec.name: np.array([text], object).reshape([1] * len(spec.shape))}
        apply = prepare(policy, feeds, ())
        made: list[Decided] = []

        def decide(outputs: Arrays) -> list[dict[str, object]]:
            made.extend(apply(outputs))
            return [{"row": 0, "decision": one.decision, "reasons": one.reasons, "review": False} for one in made]

        prediction = self._predictor.run(served, feeds, decide=decide)
        details = made[0].details
        return Routing(
            queue=details["queue"],
            priority=details["priority"],
            confidence=details["confidence"],
            sure=details["queue"] != policy.unsure,
            prediction=prediction.id,
        )

    def label(self, queue: str) -> str | None:
        """The model's class whose queue that is; None where no class has it, or the model does not answer."""
        try:
            policy = self._policy(self._predictor.resolve(self._model, routing_key=queue))
        except StoreUnavailable:
            raise
        except LastmileError as error:
            self._warn(f"no class: {error}")
            return None
        classes = [name for name, own in policy.queues.items() if own == queue]
        return classes[0] if len(classes) == 1 else None

    def _policy(self, served: Served) -> Route:
        manifest = served.loaded.manifest
        declared = manifest.policy.get("decision") or {}
        if declared.get("kind") != "route":
            raise LastmileError(f"version {served.version} of model '{self._model}' routes nothing")
        policy = policy_of("route", declared["options"], manifest.signature)
        assert isinstance(policy, Route)
        return policy
