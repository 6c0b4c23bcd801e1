"""How models are trained: one file for each recipe."""

from functions.retraining.recipes.loading import load

__all__ = ["load"]
