"""Alarms in Slack and Microsoft Teams through Amazon Q Developer in chat applications (AWS Chatbot), for real accounts.

Off unless the CDK's context asks for it, in `cdk.json` or `~/.cdk.json`: `"chatops": "true"` with `slack_workspace`
and `slack_channel`, or `teams_team`, `teams_tenant` and `teams_channel`, which must first be authorised in AWS's
console. It shows alarms with their graphs beside the operations channel of `lastmile chat`, and takes no orders: its
role may read metrics and nothing else. The local AWS has no such service, and never gets it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import Aws, Stack, aws_iam
from aws_cdk.aws_chatbot import CfnMicrosoftTeamsChannelConfiguration, LoggingLevel, SlackChannelConfiguration
from constructs import Construct

from infra.config import Stage
from infra.nag import accept
from infra.storage import Storage

SLACK = ("slack_workspace", "slack_channel")
TEAMS = ("teams_team", "teams_tenant", "teams_channel")
READS = ("cloudwatch:DescribeAlarms", "cloudwatch:GetMetricData", "cloudwatch:ListMetrics")  # for an alarm's graph


@dataclass(frozen=True, slots=True)
class Channels:
    """Ids of channels that were authorised in the console; None where a platform is not used."""

    slack: tuple[str, str] | None
    teams: tuple[str, str, str] | None

    @classmethod
    def of(cls, context: Mapping[str, str | None]) -> "Channels":
        """Raises SystemExit when an id is missing, or all are."""
        slack = _all_of(SLACK, context)
        teams = _all_of(TEAMS, context)
        if not slack and not teams:
            raise SystemExit(f"chatops=true needs -c {'=… -c '.join(SLACK)}=…, or -c {'=… -c '.join(TEAMS)}=….")
        return cls((slack[0], slack[1]) if slack else None, (teams[0], teams[1], teams[2]) if teams else None)


class ChatOps(Stack):
    def __init__(self, scope: Construct, *, stage: Stage, storage: Storage, channels: Channels) -> None:
        super().__init__(
            scope, f"Lastmile-{stage.name}-ChatOps", description=f"Lastmile {stage.name}: alarms in chat applications"
        )
        role = self._role()
        # Configurations are an account's, whatever region they are made in, and a second one of the same name is
        # refused: https://github.com/aws-samples/aws-securityhub-to-slack/pull/11
        topic, name = storage.alarms.topic, f"lastmile-{stage.name}-{Aws.REGION}"
        guard = aws_iam.ManagedPolicy(self, "Guard", document=aws_iam.PolicyDocument(statements=[_reads()]))
        accept(guard, "AwsSolutions-IAM5[Resource::*]", "Metrics and alarms have no resources to limit reading to.")
        if channels.slack is not None:
            workspace, channel = channels.slack
            SlackChannelConfiguration(
                self,
                "Slack",
                slack_channel_configuration_name=f"{name}-slack",
                slack_workspace_id=workspace,
                slack_channel_id=channel,
                notification_topics=[topic],
                role=role,
                guardrail_policies=[guard],
                logging_level=LoggingLevel.ERROR,
            )
        if channels.teams is not None:
            team, tenant, channel = channels.teams
            CfnMicrosoftTeamsChannelConfiguration(
                self,
                "Teams",
                configuration_name=f"{name}-teams",
                team_id=team,
                teams_tenant_id=tenant,
                teams_channel_id=channel,
                iam_role_arn=role.role_arn,
                guardrail_policies=[guard.managed_policy_arn],
                sns_topic_arns=[topic.topic_arn],
                logging_level="ERROR",
            )

    def _role(self) -> aws_iam.IRole:
        role = aws_iam.Role(
            self,
            "Role",
            assumed_by=aws_iam.ServicePrincipal("chatbot.amazonaws.com"),
            inline_policies={"Graphs": aws_iam.PolicyDocument(statements=[_reads()])},
        )
        accept(role, "AwsSolutions-IAM5[Resource::*]", "Metrics and alarms have no resources to limit reading to.")
        return role.without_policy_updates()


def _reads() -> aws_iam.PolicyStatement:
    return aws_iam.PolicyStatement(sid="Graphs", actions=list(READS), resources=["*"])


def _all_of(names: tuple[str, ...], context: Mapping[str, str | None]) -> list[str]:
    """All of the values or none; raises SystemExit when only some are given."""
    found = [str(context[name]) for name in names if context.get(name)]
    if found and len(found) < len(names):
        missing = [name for name in names if not context.get(name)]
        raise SystemExit(f"chatops=true lacks -c {'=… -c '.join(missing)}=….")
    return found
