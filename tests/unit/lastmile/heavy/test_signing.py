import datetime
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys

from lastmile.aws import Credentials
from lastmile.heavy.signing import signed

AT = 1763728872.5


@pytest.mark.parametrize("token", [None, "a/session+token="])
@pytest.mark.parametrize("body", [b"", b'{"inputs": []}', bytes(range(256)) * 40])
@pytest.mark.parametrize("path", ["/endpoints/lastmile-dev-heavy/invocations", "/endpoints/a b/async-invocations"])
def test_botocore_signs_alike(token: str | None, body: bytes, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {
        "Host": "runtime.sagemaker.eu-west-1.amazonaws.com",
        "Content-Type": "application/vnd.sagemaker-triton.binary+json;json-header-size=210",
        "X-Amzn-SageMaker-Inference-Component": "lastmile-dev-digits-v3",
        "X-Amzn-SageMaker-Custom-Attributes": "  two   blanks ",
    }
    credentials: Credentials = {
        "access_key_id": "AKIDEXAMPLE",
        "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "token": token,
        "expires_at": None,
    }
    ours = signed("POST", path, headers, body, region="eu-west-1", service="sagemaker", credentials=credentials, at=AT)
    request = AWSRequest("POST", f"https://{headers['Host']}{path}", data=body, headers=headers)
    signer: Any = SigV4Auth(Keys("AKIDEXAMPLE", credentials["secret_access_key"], token), "sagemaker", "eu-west-1")
    moment = datetime.datetime.fromtimestamp(AT, datetime.UTC)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: moment.replace(tzinfo=None))
    signer.add_auth(request)
    assert ours["X-Amz-Date"] == request.headers["X-Amz-Date"]
    assert ours["Authorization"] == request.headers["Authorization"]
    assert ours.get("X-Amz-Security-Token") == token
