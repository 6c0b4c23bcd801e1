"""A sentence transformer as part of a graph that takes texts: its word pieces, its layers, its weights' folder."""

from functions.retraining.recipes.transformer.encoder import Encoder

__all__ = ["Encoder"]
