"""How a figure becomes a picture in the docs: a palette PNG of a few kilobytes, in the house's two colours."""

from __future__ import annotations

import io
from typing import Any

INK, MARK, REST = "#335c81", "#c8553d", "#888888"


def png(figure: Any) -> bytes:
    """The matplotlib figure as PNG; the same bytes for the same figure. The figure is closed."""
    import matplotlib.pyplot as plt
    from PIL import Image

    raw = io.BytesIO()
    figure.savefig(raw, dpi=100, metadata={"Software": None})
    plt.close(figure)
    small = io.BytesIO()
    Image.open(raw).convert("RGB").quantize(32).save(small, "PNG", optimize=True)
    return small.getvalue()


def bare(axes: Any) -> None:
    """Small letters, and no lines above and to the right."""
    axes.tick_params(labelsize=6)
    axes.spines[["top", "right"]].set_visible(False)
