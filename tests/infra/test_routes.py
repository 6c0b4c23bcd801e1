"""The API's routes against what the functions say they answer: neither side may know more than the other."""

import re

import pytest

from functions.inference.operations import OPERATIONS, PUBLIC
from infra.routes import ROUTES, Route

DOCUMENTED = {**dict.fromkeys(OPERATIONS, "infer"), **dict.fromkeys(PUBLIC)}


@pytest.mark.parametrize(("method", "template"), DOCUMENTED)
def test_a_documented_operation_has_a_route_with_its_scope(method: str, template: str) -> None:
    path = re.sub(r"{\w+}", "x1", template)
    found = [route for route in ROUTES if route.method == method and matches(route, path)]
    assert {(route.door, route.scope) for route in found} == {("inference", DOCUMENTED[method, template])}


@pytest.mark.parametrize("route", [route for route in ROUTES if route.door == "inference"], ids=lambda route: route.key)
def test_a_route_leads_to_a_documented_operation(route: Route) -> None:
    paths = [re.sub(r"{\w+}", "x1", template) for method, template in DOCUMENTED if method == route.method]
    assert [path for path in paths if matches(route, path)]


def matches(route: Route, path: str) -> bool:
    """As API Gateway does: a variable is a segment, a greedy one the rest of the path."""
    pattern = re.sub(r"{\w+}", "[^/]+", re.sub(r"{\w+\+}", ".+", route.path))
    return re.fullmatch(pattern, path) is not None
