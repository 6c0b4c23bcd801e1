"""How a command reaches a stack: the local AWS by default, a real account when a profile or stage is named."""

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

from cli.errors import CommandFailed, StackMissing, Unreachable
from cli.wire import Answer, send

if TYPE_CHECKING:
    from lastmile.registry import Registry

CHECKOUT = Path(__file__).resolve().parents[1]
LOCAL_FOLDER = CHECKOUT / ".lastmile"
STACKS = ("Storage", "Layers", "Identity", "Chat", "Serving", "Watching", "Learning", "Batch")
SCOPES = ("infer", "feedback", "read", "operate", "approve")
TOKEN_MARGIN = 120.0  # seconds before its end from which a token is not used any more

type Tokens = dict[tuple[str, ...], tuple[str, float]]  # by scopes, each with the time until which it serves


@dataclass(frozen=True)
class Credentials:
    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Access:
    """An AWS account and region, real or local; credentials of the surrounding environment never slip in."""

    region: str
    credentials: Credentials
    endpoint_url: str | None = None
    ca_bundle: str | None = None

    @classmethod
    def from_profile(cls, profile: str | None = None, *, region: str | None = None) -> Self:
        import boto3  # 0.4 s: only the commands that reach AWS pay it
        from botocore.exceptions import ProfileNotFound

        try:
            session = boto3.Session(profile_name=profile, region_name=region)
        except ProfileNotFound as error:  # of --profile, or of AWS_PROFILE
            raise CommandFailed(
                f"There is no AWS profile {error.kwargs['profile']!r}.",
                next_step="`aws configure list-profiles` shows those that there are.",
            ) from None
        found = session.get_credentials()
        if found is None:
            raise CommandFailed("No AWS credentials were found.", next_step="Name some with --profile.")
        if session.region_name is None:
            raise CommandFailed("No AWS region is set.", next_step="Name one with --region.")
        frozen = found.get_frozen_credentials()
        return cls(
            region=session.region_name,
            credentials=Credentials(str(frozen.access_key), str(frozen.secret_key), frozen.token),
            endpoint_url=os.environ.get("AWS_ENDPOINT_URL"),  # an AWS that is not Amazon's, as SDKs find it
        )

    @property
    def environ(self) -> dict[str, str]:
        """What an AWS SDK, obstore or the CDK reads from its environment."""
        optional = {
            "AWS_SESSION_TOKEN": self.credentials.session_token,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            # Python's SDK, obstore and Node each have their own name for the certificates to trust.
            "AWS_CA_BUNDLE": self.ca_bundle,
            "SSL_CERT_FILE": self.ca_bundle,
            "NODE_EXTRA_CA_CERTS": self.ca_bundle,
        }
        return {
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": self.credentials.secret_key,
        } | {name: value for name, value in optional.items() if value is not None}

    def client(self, service: str, *, patience: float | None = None) -> Any:
        """`patience`: seconds to wait for an answer that may take long, and that is asked for once."""
        import boto3
        from botocore.config import Config

        options: dict[str, Any] = {"proxies": {}} if self.endpoint_url else {}  # none reaches this machine's loopback
        if patience is not None:
            options |= {"read_timeout": patience, "tcp_keepalive": True, "retries": {"total_max_attempts": 1}}
        return boto3.client(  # type: ignore[call-overload]
            service,
            region_name=self.region,
            endpoint_url=self.endpoint_url,
            verify=self.ca_bundle,
            aws_access_key_id=self.credentials.access_key,
            aws_secret_access_key=self.credentials.secret_key,
            aws_session_token=self.credentials.session_token,
            config=Config(**options) if options else None,
        )

    def stack_outputs(self, stage: str, *, more: Iterable[str] = ()) -> dict[str, str]:
        """The outputs of all stacks of `stage`, and of `more` that not every stage has, by output key."""
        from botocore.exceptions import ClientError

        formation = self.client("cloudformation")
        outputs: dict[str, str] = {}
        for stack in (*STACKS, *more):
            name = f"Lastmile-{stage}-{stack}"
            try:
                found = formation.describe_stacks(StackName=name)["Stacks"][0]
            except ClientError as error:
                if "does not exist" not in str(error):
                    raise
                raise StackMissing(
                    f"There is no stack {name} in {self.region}.", next_step=f"Run `lastmile deploy --stage {stage}`."
                ) from None
            outputs |= {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
        return outputs


@dataclass(frozen=True, kw_only=True)
class Target:
    stage: str
    access: Access
    api_url: str
    token_url: str
    user_pool_id: str
    client_id: str
    client_secret: str = field(repr=False)
    api_id: str
    artifacts_bucket: str
    data_bucket: str
    log_group_prefix: str
    functions: Mapping[str, str]
    learning_state_machine_arn: str | None = None
    batch_state_machine_arn: str | None = None
    _tokens: Tokens = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def local(cls, folder: Path = LOCAL_FOLDER) -> Self:
        """The stack that `lastmile up` deployed and described in `<folder>/local.json`."""
        document = local_document(folder)
        access = Access(
            region=document["region"],
            credentials=Credentials(document["aws_access_key_id"], document["aws_secret_access_key"]),
            endpoint_url=document["aws_endpoint_url"],
            ca_bundle=document["ca_bundle"],
        )
        known = cls.__dataclass_fields__.keys() & document.keys()
        return cls(access=access, **{name: document[name] for name in known})

    @classmethod
    def of_stage(cls, stage: str, access: Access) -> Self:
        """The stacks of `stage`, found by their CloudFormation outputs."""
        outputs = access.stack_outputs(stage)
        names = {"UserPoolId": outputs["UserPoolId"], "ClientId": outputs["ClientId"]}
        client = access.client("cognito-idp").describe_user_pool_client(**names)["UserPoolClient"]
        return cls(
            stage=stage,
            access=access,
            api_url=outputs["ApiUrl"].rstrip("/"),
            token_url=outputs["TokenUrl"],
            user_pool_id=outputs["UserPoolId"],
            client_id=outputs["ClientId"],
            client_secret=client["ClientSecret"],
            api_id=outputs["ApiId"],
            artifacts_bucket=outputs["ArtifactsBucket"],
            data_bucket=outputs["DataBucket"],
            log_group_prefix=outputs["LogGroupPrefix"],
            functions={
                key.removesuffix("Function").lower(): name for key, name in outputs.items() if key.endswith("Function")
            },
            learning_state_machine_arn=outputs.get("LearningStateMachine"),
            batch_state_machine_arn=outputs.get("BatchStateMachine"),
        )

    def to_document(self) -> dict[str, Any]:
        """What `local.json` says; other tools read it too."""
        told = self.__dataclass_fields__.keys() - {"access", "_tokens"}
        document = {name: getattr(self, name) for name in self.__dataclass_fields__ if name in told}
        return document | {
            "region": self.access.region,
            "aws_endpoint_url": self.access.endpoint_url,
            "aws_access_key_id": self.access.credentials.access_key,
            "aws_secret_access_key": self.access.credentials.secret_key,
            "ca_bundle": self.access.ca_bundle,
        }

    @property
    def is_local(self) -> bool:
        return self.access.endpoint_url is not None

    @property
    def region(self) -> str:
        return self.access.region

    @property
    def environ(self) -> dict[str, str]:
        return self.access.environ

    @property
    def artifacts(self) -> str:
        """The store URI of the registry."""
        return f"s3://{self.artifacts_bucket}"

    def client(self, service: str, *, patience: float | None = None) -> Any:
        return self.access.client(service, patience=patience)

    def registry(self) -> "Registry":
        from lastmile.registry import Registry
        from lastmile.store import Store

        return Registry(Store.open(self.artifacts, environ=self.environ))

    def token(self, scopes: Iterable[str] = SCOPES) -> str:
        """A client-credentials access token; scopes without the `lastmile/` prefix.

        It is kept while it serves: Cognito bills each one that it gives.
        """
        wanted = tuple(scopes)
        kept, until = self._tokens.get(wanted, ("", 0.0))
        if time.time() < until:
            return kept
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "scope": " ".join(f"lastmile/{scope}" for scope in wanted),
        }
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = self._send("POST", self.token_url, body=urlencode(form).encode(), headers=headers)
        if answer.status != 200:
            raise Unreachable(
                f"The token endpoint {self.token_url} answered {answer.status}.", next_step="Run `lastmile doctor`."
            )
        document = answer.document("access_token")
        token, seconds = str(document["access_token"]), float(document.get("expires_in", 0))
        self._tokens[wanted] = token, time.time() + seconds - TOKEN_MARGIN
        return token

    def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        timeout: float = 60,
    ) -> Answer:
        """Call the deployed API; a 4xx or 5xx is an answer, no answer at all is `Unreachable`."""
        authorization = {"authorization": f"Bearer {token}"} if token else {}
        sent = authorization | dict(headers or {})
        return self._send(method, self.api_url + path, body=body, headers=sent, timeout=timeout)

    def _send(
        self, method: str, url: str, *, body: bytes | None, headers: Mapping[str, str], timeout: float = 60
    ) -> Answer:
        """A proxy cannot reach this machine's loopback address."""
        trusted, proxied = self.access.ca_bundle, not self.is_local
        return send(method, url, body=body, headers=headers, timeout=timeout, ca_bundle=trusted, proxied=proxied)


def local_document(folder: Path) -> dict[str, Any]:
    """What `lastmile up` has written about the stack that it deployed."""
    try:
        document = json.loads((folder / "local.json").read_bytes())
        if document.keys() >= {"region", "aws_endpoint_url", "api_url"}:
            return dict(document)
    except (FileNotFoundError, NotADirectoryError):
        raise StackMissing("The local AWS is not up.", next_step="Run `make up`.") from None
    except (ValueError, AttributeError, RecursionError):
        pass
    raise StackMissing(f"{folder / 'local.json'} does not describe a stack.", next_step="Run `make up`.")


@dataclass(frozen=True)
class Options:
    """The global options, as every command gets them in `context.obj`."""

    local: Path = LOCAL_FOLDER
    profile: str | None = None
    stage: str | None = None
    region: str | None = None
    json: bool = False

    @property
    def is_local(self) -> bool:
        return self.profile is None and self.stage is None

    def target(self) -> Target:
        if self.is_local and self.region is not None:
            raise CommandFailed(
                "--region is for an account, and the local AWS is meant.", next_step="Add --profile or --stage."
            )
        if self.is_local:
            return Target.local(self.local)
        return Target.of_stage(self.stage or "dev", Access.from_profile(self.profile, region=self.region))
