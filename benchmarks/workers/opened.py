"""Lastmile up to where it would answer. `opened.py PATHS`."""

import sys

sys.path[:0] = sys.argv[1].split(":")

import functions.inference.handler  # noqa: F401
