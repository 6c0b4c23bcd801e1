"""Who may call: a user pool that issues tokens with scopes to programs."""

from aws_cdk import Aws, CfnOutput, Duration, RemovalPolicy, Stack, aws_cognito
from constructs import Construct

from infra.config import Stage

SCOPES = {
    "infer": "Ask models for predictions",
    "feedback": "Say what was true",
    "read": "See models, versions, releases and the audit",
    "operate": "Run canaries and shadows, roll back",
    "approve": "Promote and reject versions",
}


class Identity(Stack):
    """`token_url` is told to readers of the API's documentation where tokens do not come from the pool's own domain."""

    def __init__(self, scope: Construct, *, stage: Stage, token_url: str | None = None) -> None:
        super().__init__(scope, f"Lastmile-{stage.name}-Identity", description=f"Lastmile {stage.name}: who may call")
        self._stage = stage
        self.pool = self._pool()
        self.client = self._client()
        # The attribute ProviderURL says the same in an account, but not every AWS API has it.
        self.issuer = f"https://cognito-idp.{Aws.REGION}.amazonaws.com/{self.pool.user_pool_id}"
        domain = self.pool.add_domain(
            "Domain",
            cognito_domain=aws_cognito.CognitoDomainOptions(domain_prefix=f"lastmile-{stage.name}-{Aws.ACCOUNT_ID}"),
        )
        domain_url = f"https://{domain.domain_name}.auth.{Aws.REGION}.amazoncognito.com/oauth2/token"
        self.token_url = domain_url if token_url is None else token_url
        CfnOutput(self, "UserPoolId", value=self.pool.user_pool_id)
        CfnOutput(self, "ClientId", value=self.client.user_pool_client_id)
        CfnOutput(self, "TokenUrl", value=domain_url)

    def _pool(self) -> aws_cognito.UserPool:
        """Holds no people today; whoever adds some finds second factors and strong passwords required."""
        return aws_cognito.UserPool(
            self,
            "Pool",
            user_pool_name=f"lastmile-{self._stage.name}",
            self_sign_up_enabled=False,
            password_policy=aws_cognito.PasswordPolicy(
                min_length=14,
                require_lowercase=True,
                require_uppercase=True,
                require_digits=True,
                require_symbols=True,
                temp_password_validity=Duration.days(1),
            ),
            mfa=aws_cognito.Mfa.REQUIRED,
            mfa_second_factor=aws_cognito.MfaSecondFactor(otp=True, sms=False),
            account_recovery=aws_cognito.AccountRecovery.NONE,
            feature_plan=aws_cognito.FeaturePlan.PLUS,
            standard_threat_protection_mode=aws_cognito.StandardThreatProtectionMode.FULL_FUNCTION,
            deletion_protection=self._stage.keep_data,
            removal_policy=RemovalPolicy.RETAIN if self._stage.keep_data else RemovalPolicy.DESTROY,
        )

    def _client(self) -> aws_cognito.UserPoolClient:
        scopes = [
            aws_cognito.ResourceServerScope(scope_name=name, scope_description=description)
            for name, description in SCOPES.items()
        ]
        server = self.pool.add_resource_server("Server", identifier="lastmile", scopes=scopes)
        return self.pool.add_client(
            "Client",
            user_pool_client_name=f"lastmile-{self._stage.name}",
            generate_secret=True,
            access_token_validity=Duration.minutes(self._stage.token_minutes),
            enable_token_revocation=True,
            prevent_user_existence_errors=True,
            o_auth=aws_cognito.OAuthSettings(
                flows=aws_cognito.OAuthFlows(client_credentials=True),
                scopes=[aws_cognito.OAuthScope.resource_server(server, scope) for scope in scopes],
            ),
        )
