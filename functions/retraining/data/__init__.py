"""Uploads: read, checked against the spec, reported on."""

from functions.retraining.data.columns import Column, of_spec
from functions.retraining.data.report import Report
from functions.retraining.data.validation import Validation, validate

__all__ = ["Column", "Report", "Validation", "of_spec", "validate"]
