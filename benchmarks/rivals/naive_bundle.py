"""A Lambda function as it is usually put together: everything imported at module level, nothing left out."""

from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from fastapi_mangum import handler  # type: ignore[import-not-found]

logger = Logger()
metrics = Metrics()


@logger.inject_lambda_context
@metrics.log_metrics
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> Any:
    metrics.add_metric(name="Predictions", unit=MetricUnit.Count, value=1)
    logger.info("prediction")
    return handler(event, context)
