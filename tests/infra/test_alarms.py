from tests.infra.templates import Stacks


def test_every_alarm_reaches_the_topic_and_takes_silence_for_peace(stacks: Stacks) -> None:
    alarms = stacks.all("CloudWatch::Alarm")
    assert len(alarms) > 7 * 3, "three of each function, and more"
    for alarm in alarms.values():
        assert alarm["AlarmActions"] == ["${AlarmsTopic}"]
        assert alarm["TreatMissingData"] == "notBreaching"
        for watched in alarm.get("Metrics", [alarm]):
            assert watched["Period"] in (300, 3600)
        assert (alarm["EvaluationPeriods"] in (1, 3), alarm["DatapointsToAlarm"]) == (True, 1)
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
        assert alarm["AlarmDescription"]


def test_the_local_aws_gets_no_alarm_that_watches_a_query(dev: Stacks) -> None:
    assert not [alarm for alarm in dev.all("CloudWatch::Alarm").values() if "Metrics" in alarm]
    assert not dev.all("CloudWatch::CompositeAlarm")


def test_the_topic_is_encrypted_and_takes_tls_only(stacks: Stacks) -> None:
    assert stacks.one("SNS::Topic")["KmsMasterKeyId"] == "${Key.Arn}"
    statements = stacks.one("SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    (denied,) = [statement for statement in statements if statement["Effect"] == "Deny"]
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_alarms_of_this_account_and_no_others_may_ring(stacks: Stacks) -> None:
    statements = stacks.one("SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    (allowed,) = [statement for statement in statements if statement["Effect"] == "Allow"]
    assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allowed["Action"] == "sns:Publish"
    assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": "${AWS::AccountId}"}}
