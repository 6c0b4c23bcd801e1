import subprocess
from pathlib import Path

import pytest

from infra.chatops import Channels
from tests.infra.synthesis import synthesise
from tests.infra.templates import Stacks
from tests.infra.test_app import CFN_LINT
from tests.infra.test_nag import findings

UUID = "12345678-1234-1234-1234-123456789012"
CONTEXT = {
    "chatops": "true",
    "slack_workspace": "T0123ABCD",
    "slack_channel": "C0123ABCD",
    "teams_team": UUID,
    "teams_tenant": UUID,
    "teams_channel": "19%3Aabc%40thread.tacv2",
}


@pytest.fixture(scope="module")
def asked(tiny_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Stacks:
    """Production, with chat applications asked for."""
    out = tmp_path_factory.mktemp("chatops") / "cdk.out"
    return Stacks.read(synthesise(out, stage="prod", assets=str(tiny_assets), **CONTEXT), "prod")


def test_nobody_gets_it_who_does_not_ask(stacks: Stacks) -> None:
    assert not any("ChatOps" in name for name in stacks.outputs)
    assert not stacks.all("Chatbot::SlackChannelConfiguration")


def test_the_local_aws_never_gets_it_nor_gpus(tiny_assets: Path, tmp_path: Path) -> None:
    wanted = CONTEXT | {"gpu": "true", "heavy": "tickets:3", "heavy_settings": '{"tickets:3": {}}'}
    out = synthesise(tmp_path / "cdk.out", stage="dev", assets=str(tiny_assets), token_url="", **wanted)
    assert not [*out.glob("*ChatOps*"), *out.glob("*Gpu*")]


def test_both_channels_hear_the_alarms(asked: Stacks) -> None:
    slack = asked.one("Chatbot::SlackChannelConfiguration")
    assert (slack["SlackWorkspaceId"], slack["SlackChannelId"]) == ("T0123ABCD", "C0123ABCD")
    teams = asked.one("Chatbot::MicrosoftTeamsChannelConfiguration")
    assert (teams["TeamId"], teams["TeamsTenantId"]) == (UUID, UUID)
    assert slack["ConfigurationName"] == "lastmile-prod-${AWS::Region}-slack", "there is one list for all regions"
    assert teams["ConfigurationName"] == "lastmile-prod-${AWS::Region}-teams"
    for channel in (slack, teams):
        assert channel["SnsTopicArns"] == ["${AlarmsTopic}"]
        assert channel["GuardrailPolicies"] == ["${Guard}"]
        assert channel["IamRoleArn"] == "${Role.Arn}"


def test_whoever_writes_there_can_read_metrics_and_no_more(asked: Stacks) -> None:
    (role,) = [
        found
        for found in asked.all("IAM::Role").values()
        if "chatbot.amazonaws.com" in str(found["AssumeRolePolicyDocument"])
    ]
    documents = [role["Policies"][0]["PolicyDocument"], asked.one("IAM::ManagedPolicy", "Guard")["PolicyDocument"]]
    for document in documents:
        (statement,) = document["Statement"]
        assert set(statement["Action"]) == {
            "cloudwatch:DescribeAlarms",
            "cloudwatch:GetMetricData",
            "cloudwatch:ListMetrics",
        }
    assert "ManagedPolicyArns" not in role


def test_neither_nag_nor_cfn_lint_find_anything(asked: Stacks) -> None:
    assert findings(asked.folder) == set()
    template = asked.folder / "Lastmile-prod-ChatOps.template.json"
    done = subprocess.run([str(CFN_LINT), "--", str(template)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)


def test_an_id_that_is_missing_is_asked_for() -> None:
    with pytest.raises(SystemExit, match=r"lacks -c slack_channel=…\."):
        Channels.of({"slack_workspace": "T1"})
    with pytest.raises(SystemExit, match=r"needs -c slack_workspace=…"):
        Channels.of({})
    assert Channels.of({"slack_workspace": "T1", "slack_channel": "C1"}) == Channels(("T1", "C1"), None)
