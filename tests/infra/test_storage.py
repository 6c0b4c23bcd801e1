import pytest

from tests.infra.templates import Stacks

KEPT = ("Artifacts", "Data")


@pytest.mark.parametrize("bucket", KEPT)
def test_objects_are_versioned_and_encrypted_with_our_key(stacks: Stacks, bucket: str) -> None:
    properties = stacks.one("S3::Bucket", bucket)
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert properties["BucketEncryption"]["ServerSideEncryptionConfiguration"] == [
        {
            "BucketKeyEnabled": True,
            "ServerSideEncryptionByDefault": {"KMSMasterKeyID": "${Key.Arn}", "SSEAlgorithm": "aws:kms"},
        }
    ]


def test_the_key_rotates(stacks: Stacks) -> None:
    assert stacks.one("KMS::Key")["EnableKeyRotation"] is True
    assert stacks.one("KMS::Alias")["AliasName"] == f"alias/lastmile-{stacks.stage}"


def test_the_key_serves_only_our_log_groups_and_this_accounts_alarms(stacks: Stacks) -> None:
    statements = {entry["Sid"]: entry for entry in stacks.one("KMS::Key")["KeyPolicy"]["Statement"] if "Sid" in entry}
    groups = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:"
    assert statements["LogGroups"]["Principal"] == {"Service": "logs.${AWS::Region}.amazonaws.com"}
    assert statements["LogGroups"]["Condition"] == {
        "ArnLike": {
            "kms:EncryptionContext:aws:logs:arn": [
                f"{groups}/aws/lambda/lastmile-{stacks.stage}-*",
                f"{groups}/aws/vendedlogs/lastmile-{stacks.stage}-*",
            ]
        }
    }
    assert statements["Alarms"]["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert statements["Alarms"]["Condition"] == {"StringEquals": {"aws:SourceAccount": "${AWS::AccountId}"}}


@pytest.mark.parametrize("bucket", [*KEPT, "AccessLogs"])
def test_nothing_is_public_and_nothing_travels_in_the_clear(stacks: Stacks, bucket: str) -> None:
    properties = stacks.one("S3::Bucket", bucket)
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(properties["PublicAccessBlockConfiguration"]) == 4
    assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert {
        "Action": "s3:*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Resource": [f"${{{bucket}.Arn}}", f"${{{bucket}.Arn}}/*"],
    } in policy(stacks, bucket)


@pytest.mark.parametrize("bucket", KEPT)
def test_accesses_are_logged(stacks: Stacks, bucket: str) -> None:
    assert stacks.one("S3::Bucket", bucket)["LoggingConfiguration"] == {
        "DestinationBucketName": "${AccessLogs}",
        "LogFilePrefix": f"{bucket.lower()}/",
    }
    deliveries = [entry for entry in policy(stacks, "AccessLogs") if entry["Effect"] == "Allow"]
    assert {entry["Principal"]["Service"] for entry in deliveries} == {"logging.s3.amazonaws.com"}
    assert f"${{AccessLogs.Arn}}/{bucket.lower()}/*" in {entry["Resource"] for entry in deliveries}


@pytest.mark.parametrize(("stage", "days"), [("dev", 30), ("prod", 90)])
@pytest.mark.parametrize("bucket", KEPT)
def test_old_versions_and_halves_of_uploads_go(
    request: pytest.FixtureRequest, stage: str, days: int, bucket: str
) -> None:
    stacks: Stacks = request.getfixturevalue(stage)
    rule, *others = stacks.one("S3::Bucket", bucket)["LifecycleConfiguration"]["Rules"]
    assert rule["Status"] == "Enabled"
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": days}
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert "ExpirationInDays" not in rule, "what is current stays"
    pending = {  # what was asked, and answers that somebody was to fetch
        "Prefix": "pending/",
        "ExpirationInDays": 7,
        "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
        "Status": "Enabled",
    }
    assert others == ([pending] if bucket == "Data" else [])


@pytest.mark.parametrize(("stage", "days"), [("dev", 30), ("prod", 365)])
def test_access_logs_expire(request: pytest.FixtureRequest, stage: str, days: int) -> None:
    stacks: Stacks = request.getfixturevalue(stage)
    (rule,) = stacks.one("S3::Bucket", "AccessLogs")["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] == days


def test_uploads_of_data_are_announced_without_a_custom_resource(stacks: Stacks) -> None:
    assert stacks.one("S3::Bucket", "Data")["NotificationConfiguration"] == {
        "EventBridgeConfiguration": {"EventBridgeEnabled": True}
    }
    assert not [entry.type for entry in stacks.resources if entry.type.startswith("Custom::")]
    assert not stacks.all("CloudFormation::CustomResource")


def test_versions_and_audit_entries_are_written_once_and_never_deleted(stacks: Stacks) -> None:
    statements = {entry["Sid"]: entry for entry in policy(stacks, "Artifacts") if "Sid" in entry}
    once = ["${Artifacts.Arn}/audit/*", "${Artifacts.Arn}/models/*/versions/*"]
    everybody = {"Effect": "Deny", "Principal": {"AWS": "*"}}
    assert statements["WrittenOnce"] == {
        **everybody,
        "Sid": "WrittenOnce",
        "Action": "s3:PutObject",
        "Resource": [*once, "${Artifacts.Arn}/keys/*"],
        "Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}},
    }
    assert statements["NeverDeleted"] == {
        **everybody,
        "Sid": "NeverDeleted",
        "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
        "Resource": once,
    }


def test_a_release_moves_only_by_compare_and_swap(stacks: Stacks) -> None:
    (statement,) = [entry for entry in policy(stacks, "Artifacts") if entry.get("Sid") == "CompareAndSwap"]
    assert statement["Effect"] == "Deny"
    assert statement["Resource"] == "${Artifacts.Arn}/models/*/release.json"
    assert statement["Condition"] == {
        "Null": {"s3:if-none-match": "true", "s3:if-match": "true"},
        "Bool": {"s3:ObjectCreationOperation": "true"},
    }


def test_production_outlives_its_stacks(dev: Stacks, prod: Stacks) -> None:
    for kind in ("S3::Bucket", "KMS::Key", "Cognito::UserPool"):
        assert {entry["DeletionPolicy"] for entry in prod.attributes(kind).values()} == {"Retain"}
        assert {entry["DeletionPolicy"] for entry in dev.attributes(kind).values()} == {"Delete"}


def policy(stacks: Stacks, bucket: str) -> list[dict]:  # type: ignore[type-arg]
    (found,) = [entry for entry in stacks.all("S3::BucketPolicy").values() if entry["Bucket"] == f"${{{bucket}}}"]
    return found["PolicyDocument"]["Statement"]  # type: ignore[no-any-return]
