"""Where the built layers and functions lie."""

from dataclasses import dataclass
from pathlib import Path

from aws_cdk import aws_lambda

from infra.config import Architecture

REPOSITORY = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Assets:
    """A folder of built assets, relative to the repository unless absolute."""

    folder: str
    architecture: Architecture

    def code(self, name: str) -> aws_lambda.AssetCode:
        return aws_lambda.Code.from_asset(str(self.path(name)))

    def path(self, name: str) -> Path:
        path = REPOSITORY / self.folder / f"{name}-{self.architecture}"
        if not path.is_dir():
            raise SystemExit(f"{path} is missing: run `make build` first.")
        return path
