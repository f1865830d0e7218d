"""Images by matplotlib, which is optional."""

import functools
import importlib.util
import os
import unicodedata

from albert.basics import storage

# Of the fonts that have all characters of a text those are taken first whose file names have one
# of these parts: plain sans-serif fonts with Chinese characters on Linux, Windows and macOS.
_PREFERRED = (
    "notosanscjk-regular",
    "notosanssc",
    "sourcehansans",
    "wqy",
    "msyh",
    "simhei",
    "pingfang",
    "heiti",
    "droidsansfallback",
)
# These have a box for every character.
_BLANK = ("lastresort", "adobeblank")


def available():
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def make_figure(width, height):
    """An empty figure of a size in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Not pyplot, which keeps global state and looks for a display.
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def plain(text):
    """A text as matplotlib draws it literally: no formula, and never left out of a legend."""
    text = text.replace("$", r"\$")
    return " " + text if text.startswith("_") else text


def font_for(texts):
    """A font that can draw some texts.

    Not the names of the fonts tell, but their character maps: of a collection (``.ttc``), such as
    those of ``fonts-noto-cjk``, matplotlib knows the first font only, whose name is of another
    language.

    Returns:
        `matplotlib.font_manager.FontProperties`; None if no installed font has all characters.
    """
    from matplotlib.font_manager import FontProperties, findfont

    characters = frozenset("".join(texts))
    if _has_all(findfont(FontProperties()), characters):
        return FontProperties()
    path = _find_font(characters)
    return FontProperties(fname=path) if path else None


def _font_files():
    """Paths of the installed fonts.

    The system is asked anew: matplotlib remembers those that were there when it was first used.
    """
    from matplotlib import font_manager

    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    return known.union(font_manager.findSystemFonts())


@functools.lru_cache(maxsize=16)  # opening all fonts of a computer takes seconds
def _find_font(characters):
    """Path of the first font that has all of some characters, or None."""
    found = (path for path in sorted(_font_files(), key=_rank) if _has_all(path, characters))
    return next(found, None)


def _rank(path):
    name = os.path.basename(path).lower()
    places = [place for place, part in enumerate(_PREFERRED) if part in name]
    is_heavy = any(part in name for part in ("bold", "black", "italic", "light", "thin"))
    return min(places, default=len(_PREFERRED)), is_heavy, name, path


def _has_all(path, characters):
    """Whether a font can draw characters; a file that cannot be read as a font cannot."""
    from matplotlib.ft2font import FT2Font

    if any(part in os.path.basename(path).lower().replace("-", "") for part in _BLANK):
        return False
    try:
        font = FT2Font(path)
    except (OSError, RuntimeError):
        return False
    return bool(font.scalable) and all(
        font.get_char_index(ord(character))
        for character in characters
        if not character.isspace() and unicodedata.category(character)[0] != "C"
    )


def legend_beside(axes, font=None):
    """Puts the legend of a panel to its right, where it covers nothing; see `font_for`."""
    if axes.lines:
        legend = axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), prop=font)
        for text in legend.get_texts():
            text.set_fontsize("small")


def save(figure, path):
    """Writes a PNG."""
    with storage.atomic_write(path, "wb") as handle:
        figure.savefig(handle, format="png", dpi=120, bbox_inches="tight")
