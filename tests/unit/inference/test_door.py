import json
from typing import Any

import pytest

from functions.inference import door as module
from functions.inference.door import MAX_ANSWER_BYTES, LambdaDoor, event_of
from lastmile.protocols.messages import Response
from tests.unit.inference.doors import Sent, fill, open_serving
from tests.unit.inference.doors import event_of as asked_by

LIMIT = 6_291_456  # bytes: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html


def handed_back(event: dict[str, Any]) -> int:
    return len(json.dumps(event, ensure_ascii=False).encode())


@pytest.mark.parametrize("text", ['"', "a", "\\", "\n", "ä" * 20, "a" * 100])
def test_an_answer_fits_as_lambda_hands_it_back(text: str) -> None:
    """Whatever it is made of, it is a sentence once it does not fit, and not before it nearly does not."""
    entry = json.dumps(text, ensure_ascii=False)
    for share in (0.4, 0.6, 0.9, 0.95, 0.99, 1.1, 2.0):
        body = f"[{','.join([entry] * int(share * LIMIT / (len(entry.encode()) + 1)))}]".encode()
        whole = {"statusCode": 200, "headers": {}, "body": body.decode(), "isBase64Encoded": False}
        event = event_of(Response(200, {"content-type": "application/json"}, body))
        assert handed_back(event) <= LIMIT
        assert (event["statusCode"] == 413) == (
            len(json.dumps(body.decode(), ensure_ascii=False).encode()) - 2 > MAX_ANSWER_BYTES
        )
        assert event["statusCode"] == 413 or event == whole | {"headers": event["headers"]}


def test_a_page_may_read_that_an_answer_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 100)
    monkeypatch.setattr(module, "SURELY_FITS", 50)
    serving = fill(open_serving({"LASTMILE_CORS_ORIGINS": "https://app.example"}))
    sent = Sent(
        "POST",
        "/v1/models/echo:predict",
        json.dumps({"inputs": ["a" * 200]}).encode(),
        {"origin": "https://app.example"},
    )
    event = LambdaDoor(serving)(asked_by(sent), None)
    assert event["statusCode"] == 413
    assert event["headers"]["access-control-allow-origin"] == "https://app.example"
