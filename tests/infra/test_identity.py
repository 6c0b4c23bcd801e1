import pytest

from tests.infra.templates import Stacks


def test_the_scopes_are_those_of_the_contract(stacks: Stacks) -> None:
    server = stacks.one("Cognito::UserPoolResourceServer")
    assert server["Identifier"] == "lastmile"
    assert [scope["ScopeName"] for scope in server["Scopes"]] == ["infer", "feedback", "read", "operate", "approve"]


def test_programs_get_tokens_by_id_and_secret_alone(stacks: Stacks) -> None:
    client = stacks.one("Cognito::UserPoolClient")
    assert client["GenerateSecret"] is True
    assert client["AllowedOAuthFlows"] == ["client_credentials"]
    assert client["AllowedOAuthFlowsUserPoolClient"] is True
    assert client["AllowedOAuthScopes"] == [
        f"${{PoolServer}}/{scope}" for scope in ("infer", "feedback", "read", "operate", "approve")
    ]
    assert (client["AccessTokenValidity"], client["TokenValidityUnits"]) == (60, {"AccessToken": "minutes"})


def test_the_pool_lets_nobody_in_by_the_side(stacks: Stacks) -> None:
    pool = stacks.one("Cognito::UserPool")
    assert pool["AdminCreateUserConfig"] == {"AllowAdminCreateUserOnly": True}
    assert (pool["MfaConfiguration"], pool["EnabledMfas"]) == ("ON", ["SOFTWARE_TOKEN_MFA"])
    assert (pool["UserPoolTier"], pool["UserPoolAddOns"]) == ("PLUS", {"AdvancedSecurityMode": "ENFORCED"})
    assert pool["AccountRecoverySetting"] == {"RecoveryMechanisms": [{"Name": "admin_only", "Priority": 1}]}
    assert pool["Policies"]["PasswordPolicy"] == {
        "MinimumLength": 14,
        "RequireLowercase": True,
        "RequireUppercase": True,
        "RequireNumbers": True,
        "RequireSymbols": True,
        "TemporaryPasswordValidityDays": 1,
    }


@pytest.mark.parametrize(("stage", "protected"), [("dev", False), ("prod", True)])
def test_the_pool_of_production_cannot_be_deleted(request: pytest.FixtureRequest, stage: str, protected: bool) -> None:
    stacks: Stacks = request.getfixturevalue(stage)
    assert (stacks.one("Cognito::UserPool").get("DeletionProtection") == "ACTIVE") is protected


def test_the_token_address_is_the_domains(stacks: Stacks) -> None:
    prefix = f"lastmile-{stacks.stage}-${{AWS::AccountId}}"
    assert stacks.one("Cognito::UserPoolDomain")["Domain"] == prefix
    outputs = stacks.outputs[f"Lastmile-{stacks.stage}-Identity"]
    assert outputs["TokenUrl"] == "https://${PoolDomain}.auth.${AWS::Region}.amazoncognito.com/oauth2/token"
