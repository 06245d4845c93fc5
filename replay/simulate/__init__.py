"""A city that can be had by seed: registry, rhythms, imperfections, and hazards whose truth is known.

``layout`` places the assets, ``rhythm`` gives every sensor its normal values, ``fleet`` drives the vehicles, ``people`` call
and cameras see what is harmless, ``hazards`` injects what must be found, ``faults`` spoils the records as real networks do, and
``city`` merges it all into one stream of wire records in the order of arrival. No clock is read: the same seed, start and
size give the same bytes.
"""

from replay.simulate.city import City, Wire

__all__ = ["City", "Wire"]
