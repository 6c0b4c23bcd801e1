"""Mergeable counts over predictions: small, whatever the traffic, and enough to judge drift, errors and latency."""

from lastmile.profile.counts import FeatureProfile
from lastmile.profile.edges import LATENCY_EDGES_MS, UNIVERSAL_EDGES, quantile_edges
from lastmile.profile.layout import FeatureLayout, Layout, laid_out
from lastmile.profile.whole import Profile, reference

__all__ = [
    "LATENCY_EDGES_MS",
    "UNIVERSAL_EDGES",
    "FeatureLayout",
    "FeatureProfile",
    "Layout",
    "Profile",
    "laid_out",
    "quantile_edges",
    "reference",
]
