"""The public HTTP API: routes, who may call them, how often, and a log line for every call."""

from collections.abc import Mapping

from aws_cdk import RemovalPolicy, Stack, aws_apigatewayv2, aws_logs
from aws_cdk.aws_apigatewayv2 import CfnStage, HttpMethod, HttpRoute, PayloadFormatVersion
from aws_cdk.aws_apigatewayv2_authorizers import HttpJwtAuthorizer
from aws_cdk.aws_apigatewayv2_integrations import HttpLambdaIntegration
from constructs import Construct

from infra.alarms import PERIOD, Alarms
from infra.config import Stage, Throttle
from infra.function import Function
from infra.identity import Identity
from infra.nag import accept
from infra.routes import PREFLIGHTS, ROUTES, Door
from infra.storage import Storage

ACCESS_LOG_FIELDS = {
    "requestId": "$context.requestId",
    "at": "$context.requestTimeEpoch",
    "ip": "$context.identity.sourceIp",
    "method": "$context.httpMethod",
    "path": "$context.path",
    "route": "$context.routeKey",
    "status": "$context.status",
    "client": "$context.authorizer.claims.client_id",
    "scopes": "$context.authorizer.claims.scope",
    "latencyMs": "$context.responseLatency",
    "functionMs": "$context.integrationLatency",
    "bytes": "$context.responseLength",
    "error": "$context.error.message",
    "functionError": "$context.integrationErrorMessage",
    "refused": "$context.authorizer.error",
}


PUBLIC = "Liveness, the description of the API and preflight requests are public: they tell nothing of models."
SIGNED = "Chat platforms have no token of ours: each request is verified by the platform's own signature."


class Api(Construct):
    def __init__(
        self,
        scope: Construct,
        *,
        stage: Stage,
        functions: Mapping[Door, Function],
        storage: Storage,
        identity: Identity,
        alarms: Alarms,
    ) -> None:
        super().__init__(scope, "Api")
        self._stage = stage
        self.http = aws_apigatewayv2.HttpApi(
            self, "Http", api_name=f"lastmile-{stage.name}", create_default_stage=False
        )
        routes = self._add_routes(functions, identity)
        # A stage that names a route before it exists is refused.
        self._add_stage(storage).node.add_dependency(*routes)
        alarms.ring(
            self,
            "ServerErrors",
            self.http.metric_server_error(period=PERIOD, statistic="Sum"),
            at=stage.error_alarm_count,
            meaning=f"lastmile-{stage.name} API: answered 5xx",
        )

    def _add_routes(self, functions: Mapping[Door, Function], identity: Identity) -> list[HttpRoute]:
        tokens = HttpJwtAuthorizer("Tokens", identity.issuer, jwt_audience=[identity.client.user_pool_client_id])
        integrations = {
            door: HttpLambdaIntegration(
                door.capitalize(),
                function.live,
                payload_format_version=PayloadFormatVersion.VERSION_2_0,
                scope_permission_to_route=False,  # one permission per route would not fit into a function's policy
            )
            for door, function in functions.items()
        }
        routes: list[HttpRoute] = []
        for route in (*ROUTES, *(PREFLIGHTS if self._stage.cors_origins else ())):
            (added,) = self.http.add_routes(
                path=route.path,
                methods=[HttpMethod[route.method]],
                integration=integrations[route.door],
                authorizer=tokens if route.scope else None,
                authorization_scopes=[f"lastmile/{route.scope}"] if route.scope else None,
            )
            if not route.scope:
                accept(
                    added, "AwsSolutions-APIG4", SIGNED if (route.door, route.method) == ("hook", "POST") else PUBLIC
                )
            routes.append(added)
        return routes

    def _add_stage(self, storage: Storage) -> CfnStage:
        log_group = aws_logs.LogGroup(
            self,
            "AccessLogs",
            log_group_name=f"/aws/vendedlogs/lastmile-{self._stage.name}-api",
            retention=aws_logs.RetentionDays[self._stage.log_retention],
            encryption_key=storage.key,
            removal_policy=RemovalPolicy.DESTROY,
        )
        return CfnStage(
            self,
            "Stage",
            api_id=self.http.api_id,
            stage_name="$default",
            auto_deploy=True,
            access_log_settings=CfnStage.AccessLogSettingsProperty(
                destination_arn=log_group.log_group_arn,
                format=Stack.of(self).to_json_string(ACCESS_LOG_FIELDS),
            ),
            default_route_settings=CfnStage.RouteSettingsProperty(
                detailed_metrics_enabled=True,
                throttling_rate_limit=self._stage.throttle.rate,
                throttling_burst_limit=self._stage.throttle.burst,
            ),
            route_settings={
                route.key: limits(self._stage.control_throttle) for route in ROUTES if route.door == "control"
            },
        )


def limits(throttle: Throttle) -> dict[str, bool | int]:
    """In CloudFormation's own spelling: CDK passes what is below a free key through as it stands."""
    return {
        "DetailedMetricsEnabled": True,
        "ThrottlingRateLimit": throttle.rate,
        "ThrottlingBurstLimit": throttle.burst,
    }
