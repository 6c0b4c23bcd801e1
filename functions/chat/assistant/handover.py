"""What a person gets who takes over: a ticket with what was said so far."""

from functions.chat.assistant.book import Book
from functions.chat.assistant.conversation import Conversation, Reading, Ticket

SUMMARY_LETTERS = 200  # of each text in it


def ticket_of(
    book: Book, heard: Conversation, reading: Reading | None, reason: str, *, handover: bool = True
) -> Ticket:
    """`handover` is False where the ticket is for a team and the assistant goes on."""
    routing = None if reading is None else reading.routing
    sure = routing is not None and routing.sure
    queue = routing.queue if routing is not None and sure else heard.queue if reading is None else None
    return Ticket(
        queue=queue or book.unsure_queue,
        priority=routing.priority if routing is not None else "normal",
        reason=reason,
        summary=summary(heard),
        transcript=heard.turns[-book.transcript_turns :],
        confidence=None if routing is None else routing.confidence,
        prediction=heard.prediction if routing is None else routing.prediction,
        handover=handover,
        comment=heard.handed_over,
    )


def summary(conversation: Conversation) -> str:
    """The customer's first and newest words, as they were: nothing is made up."""
    said = [turn.text for turn in conversation.turns if turn.who == "customer"]
    parts = [said[0], *([said[-1]] if len(said) > 1 else [])] if said else []
    return " … ".join(part[:SUMMARY_LETTERS] for part in parts)
