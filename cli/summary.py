"""What `lastmile up` ends with: where the API is, how to call it, and whether it is right."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cli.answers import refused
from cli.first_model import MODEL
from cli.output import percent, print_fields, print_json, print_table, size
from cli.target import Target


@dataclass(frozen=True)
class Prediction:
    digit: int  # what the image shows
    predicted: int
    probability: float


@dataclass(frozen=True)
class Version:
    number: int
    kind: str
    bytes: int
    accuracy: float
    champion: bool


@dataclass(frozen=True)
class Summary:
    api_url: str
    curl: str
    predictions: Sequence[Prediction]
    versions: Sequence[Version]

    def print(self) -> None:
        print_table(
            ["held-out image", "true digit", "predicted", "probability"],
            [
                (number, item.digit, item.predicted, f"{item.probability:.3f}")
                for number, item in enumerate(self.predictions, 1)
            ],
        )
        print()
        print_table(
            ["version", "precision", "size", "test accuracy", "release"],
            [
                (
                    item.number,
                    item.kind,
                    size(item.bytes),
                    percent(item.accuracy),
                    "champion" if item.champion else None,
                )
                for item in self.versions
            ],
        )
        print()
        print_fields([("API", self.api_url), ("docs", f"{self.api_url}/docs"), ("try", "")])
        print(self.curl)

    def print_json(self) -> None:
        print_json(
            {
                "api_url": self.api_url,
                "curl": self.curl,
                "predictions": [vars(item) for item in self.predictions],
                "versions": [vars(item) for item in self.versions],
            }
        )


def summarise(target: Target, images: Sequence[dict[str, Any]]) -> Summary:
    token = target.token(["infer"])
    return Summary(
        api_url=target.api_url,
        curl=curl(target, token, images[0]["image"]),
        predictions=predict(target, token, images),
        versions=versions(target),
    )


def predict(target: Target, token: str, images: Sequence[dict[str, Any]]) -> list[Prediction]:
    """All images in one request, by the Open Inference Protocol."""
    rows = [image["image"] for image in images]
    tensor = {"name": "image", "datatype": "FP32", "shape": [len(rows), len(rows[0])], "data": rows}
    body = json.dumps({"inputs": [tensor]}).encode()
    answer = target.call("POST", f"/v2/models/{MODEL}/infer", body=body, token=token)
    if answer.status != 200:
        raise refused(answer)
    outputs = {output["name"]: output["data"] for output in answer.json()["outputs"]}
    best = [max(outputs["probabilities"][start : start + 10]) for start in range(0, 10 * len(rows), 10)]
    return [
        Prediction(image["digit"], label, probability)
        for image, label, probability in zip(images, outputs["label"], best, strict=True)
    ]


def versions(target: Target) -> list[Version]:
    registry = target.registry()
    champion = registry.release(MODEL).champion
    return [
        Version(
            number=manifest.version,
            kind={"none": "fp32"}.get(kind := manifest.compression.get("kind", "none"), kind),
            bytes=manifest.artefact.bytes,
            accuracy=manifest.metrics["accuracy"],
            champion=manifest.version == champion,
        )
        for manifest in reversed(registry.versions(MODEL))
        if "accuracy" in manifest.metrics
    ]


def curl(target: Target, token: str, image: Sequence[float]) -> str:
    """One line for a shell; TensorFlow Serving's form, because it is the shortest."""
    body = json.dumps({"instances": [[int(value) for value in image]]}, separators=(",", ":"))
    trust = f" --cacert {target.access.ca_bundle}" if target.access.ca_bundle else ""
    return (
        f"curl -s{trust} {target.api_url}/v1/models/{MODEL}:predict -H 'content-type: application/json' "
        f"-H 'authorization: Bearer {token}' -d '{body}'"
    )
