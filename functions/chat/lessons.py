"""What people say of predictions becomes feedback, in the same place as the API's."""

import time
from collections.abc import Callable, Mapping

from functions.chat.assistant.conversation import Learnt
from functions.chat.message import Incoming
from lastmile import feedback
from lastmile.errors import InvalidFeedback
from lastmile.store import Store


class Lessons:
    """A label is kept where the right team is known: from an agent's re-routing, by `groups`, Zendesk's ids of the
    queues, and from an answer that helped, whose entry names its team. That an answer did not help has no label that a
    model could learn from; it goes to the log, which counts it."""

    def __init__(
        self,
        store: Store,
        model: str,
        *,
        groups: Mapping[str, int],
        label: Callable[[str], str | None],
        log: Callable[..., object],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`label` gives the model's class of a queue."""
        self._store = store
        self._model = model
        self._queues = {str(group): queue for queue, group in groups.items()}
        self._label = label
        self._log = log
        self._clock = clock

    def put(self, learnt: Learnt, message: Incoming) -> None:
        self._log("judged", prediction=learnt.prediction, helpful=learnt.helpful, platform=message.platform)
        label = self._moved(learnt, message) if message.kind == "rerouted" else learnt.label
        if label is None:
            return
        document = {
            "model": self._model,
            "prediction_id": learnt.prediction,
            "label": label,
            "source": f"chat:{message.platform}",
            "time": _rfc3339(message.at),
        }
        try:
            feedback.write(self._store, [feedback.checked(document, spec=None, now=self._clock())])
        except InvalidFeedback as error:
            self._log("not learnt", reason=str(error))

    def _moved(self, learnt: Learnt, message: Incoming) -> str | None:
        """None where nobody knows the group, or where it was we who moved the ticket there."""
        queue = self._queues.get(learnt.label or "")
        return None if queue is None or queue == message.reply.get("queue") else self._label(queue)


def _rfc3339(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
