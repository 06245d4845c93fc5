"""All recipes of hazards by name; importing this module gathers them."""

from __future__ import annotations

from replay.simulate import recipes_lifelines, recipes_street
from replay.simulate.scene import RECIPES, Scene

__all__ = ["RECIPES", "Scene", "recipes_lifelines", "recipes_street"]
