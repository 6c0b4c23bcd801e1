import base64
import gzip
import json
from typing import Any

import pytest

from functions.capture.delivery import Delivery, InvalidDelivery
from tests.unit.capture.conftest import recorded


def event(document: Any) -> dict[str, Any]:
    return {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(document).encode())).decode()}}


def test_a_recorded_delivery_is_read() -> None:
    delivery = Delivery.from_event(recorded("logs"))
    assert delivery is not None
    assert delivery.stream == "/aws/lambda/lastmile-dev-inference:2026/11/29/[3]7f6c1b0f5f1c4f0d8a1d7a8e0c3b2a19"
    assert [line.id[-2:] for line in delivery.lines] == ["00", "01", "02"]
    assert delivery.lines[0].at == 1796000000.123
    assert delivery.lines[0].text.startswith('{"marker":"lastmile.capture","id":"')


def test_the_control_message_is_no_delivery() -> None:
    assert Delivery.from_event(recorded("control")) is None


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"awslogs": {}},
        {"awslogs": {"data": "?"}},
        {"awslogs": {"data": base64.b64encode(b"no gzip").decode()}},
        {"awslogs": {"data": base64.b64encode(gzip.compress(b"{}" * 100)[:20]).decode()}},
        event([]),
        event({}),
        event({"messageType": "DATA_MESSAGE", "logGroup": "g", "logStream": "s", "logEvents": [{}]}),
        event({"messageType": "DATA_MESSAGE", "logGroup": "g", "logStream": "s", "logEvents": 7}),
    ],
)
def test_what_is_no_delivery_is_said_to_be_none(broken: dict[str, Any]) -> None:
    with pytest.raises(InvalidDelivery, match="no delivery of a log subscription"):
        Delivery.from_event(broken)
