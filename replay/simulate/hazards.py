"""All recipes of hazards by name; importing this module gathers them."""

from __future__ import annotations

from replay.simulate import recipes_assets, recipes_lifelines, recipes_people, recipes_street
from replay.simulate.scene import LASTS_MIN, LEARNED_MIN, RECIPES, Scene

__all__ = [
    "LASTS_MIN",
    "LEARNED_MIN",
    "RECIPES",
    "Scene",
    "recipes_assets",
    "recipes_lifelines",
    "recipes_people",
    "recipes_street",
]
