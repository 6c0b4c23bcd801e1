"""Events for which Lambda called a function in vain, and which it gave up: kept in the data bucket, and told of."""

from typing import cast

from aws_cdk import Duration, aws_iam, aws_lambda_destinations
from constructs import Construct

from infra.alarms import PERIOD
from infra.function import Function
from infra.nag import accept_paths
from infra.storage import Storage

PLACE = "aws/lambda/async/*"  # where Lambda leaves them
RETRIES = 2
KEEP_TRYING = Duration.hours(6)


def statements(storage: Storage) -> list[aws_iam.PolicyStatement]:
    """Lambda leaves them in the function's name.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """
    return [
        aws_iam.PolicyStatement(
            sid="Undelivered", actions=["s3:PutObject"], resources=[storage.data.arn_for_objects(PLACE)]
        ),
        aws_iam.PolicyStatement(
            sid="UndeliveredBucket",
            actions=["s3:ListBucket"],
            resources=[storage.data.bucket_arn],
            conditions={"StringLikeIfExists": {"s3:prefix": [PLACE]}},
        ),
    ]


def keep(function: Function, storage: Storage) -> None:
    """A function that has these statements."""
    accept_paths(cast(Construct, function.node.find_child("Role")), storage.data, [PLACE])
    live = function.live
    live.configure_async_invoke(
        on_failure=aws_lambda_destinations.S3Destination(storage.data),
        retry_attempts=RETRIES,
        max_event_age=KEEP_TRYING,
    )
    for title, metric, meaning in (
        ("Undelivered", "AsyncEventsDropped", "wait below aws/lambda/async/ in the data bucket"),
        ("Lost", "DestinationDeliveryFailures", "could not even be put aside"),
    ):
        counted = live.metric(metric, period=PERIOD, statistic="Sum")
        storage.alarms.ring(
            function, title, counted, at=1, meaning=f"{function.name}: events were given up; they {meaning}"
        )
