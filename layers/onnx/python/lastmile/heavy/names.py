"""What the endpoints of heavy models are called; infra/gpu.py says the same, and a test compares the two."""

LONGEST = 63  # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpoint.html


def endpoint(stage: str) -> str:
    """The real-time endpoint of all heavy models of a stage."""
    return f"lastmile-{stage}-heavy"


def component(stage: str, model: str, version: int) -> str:
    """The inference component of one version."""
    return _short(f"lastmile-{stage}-{model}-v{version}")


def asynchronous(stage: str, model: str, version: int) -> str:
    """The endpoint that takes what is too large or too slow for the other."""
    return _short(f"lastmile-{stage}-{model}-v{version}-async")


def _short(name: str) -> str:
    """A name of at most 63 characters; of a longer one the middle is replaced by its digest."""
    if len(name) <= LONGEST:
        return name
    from hashlib import sha256  # few models have such names

    digest = sha256(name.encode()).hexdigest()[:8]
    head, tail = name[: LONGEST - 25], name[-15:]
    return f"{head.rstrip('-')}-{digest}-{tail.lstrip('-')}"
