"""Facts of AWS's: where its Triton container lies, and what its GPU instances are and cost."""

from dataclasses import dataclass

# Account of the registry by region, for sagemaker-tritonserver 24.09, all of them read on 2026-11-21 in the table of
# SageMaker's own Python SDK, https://github.com/aws/sagemaker-python-sdk, sagemaker-core/src/sagemaker/core/
# image_uri_config/sagemaker-tritonserver.json at 3203e4996219799e7fcad214c7925ffd8594da1f. Its regions of China are
# left out, which have another partition.
TRITON = "sagemaker-tritonserver:24.09-py3"
TRITON_ACCOUNTS = {
    **dict.fromkeys(
        ("ap-northeast-1", "ap-northeast-2", "ap-south-1", "ap-southeast-1", "ap-southeast-2"), "763104351884"
    ),
    **dict.fromkeys(
        ("ca-central-1", "eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3"), "763104351884"
    ),
    **dict.fromkeys(("sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2"), "763104351884"),
    "af-south-1": "626614931356",
    "ap-east-1": "871362719292",
    "ap-northeast-3": "364406365360",
    "ap-southeast-3": "907027046896",
    "ca-west-1": "204538143572",
    "eu-south-1": "692866216735",
    "il-central-1": "780543022126",
    "me-south-1": "217643126080",
}
# Driver 550, for CUDA 12.6 of that container; without it SageMaker starts instances with driver 470.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ProductionVariant.html, read on 2026-11-21
MACHINE_IMAGE = "al2-ami-sagemaker-inference-gpu-3-1"

# Real-time and asynchronous inference in us-east-1. https://aws.amazon.com/sagemaker/ai/pricing/ fills its table in by
# script; these are what several other people's tables agree on. AWS's own sample has those of g5 and p3 too:
# https://github.com/aws-samples/foundation-model-benchmarking-tool/blob/
# 00ef155d0f9c6b999d796f915159d3d622f8233d/src/fmbench/configs/pricing.yml
PRICES_OF = "2026-11-21"
GB_MONTH_USD = 0.023  # of an object in S3: https://aws.amazon.com/s3/pricing/


@dataclass(frozen=True, slots=True)
class Instance:
    """`own_disk`: its disks are its own, encrypted by hardware, and SageMaker takes no key for them. `batch_image` is
    what transform jobs start it with, where their usual one, with driver 470, is too old for its GPU."""

    gpus: int
    usd_per_hour: float
    own_disk: bool = True
    batch_image: str | None = None


INSTANCES = {
    "ml.g4dn.xlarge": Instance(1, 0.736),
    "ml.g5.xlarge": Instance(1, 1.408),
    "ml.g5.2xlarge": Instance(1, 1.515),
    "ml.g5.12xlarge": Instance(4, 7.09),
    "ml.g6.xlarge": Instance(1, 1.127, batch_image="al2-ami-sagemaker-batch-gpu-535"),
    "ml.p3.2xlarge": Instance(1, 3.825, own_disk=False),
}
