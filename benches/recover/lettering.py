"""Letters, and the fonts that words are drawn in."""

import shutil
import sys
from pathlib import Path

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
FONTS = Path("/usr/share/fonts/truetype/dejavu")
"""Where Debian's packages fonts-dejavu-core and fonts-dejavu-extra put theirs."""


def keep_fonts(folder: Path) -> None:
    """Copies this machine's fonts to `fonts` in the folder, where another machine then finds the same ones."""
    fonts = sorted(FONTS.glob("DejaVuS*.ttf"))
    if not fonts:
        sys.exit(f"{FONTS} holds no fonts to draw words in: install Debian's package fonts-dejavu")
    (folder / "fonts").mkdir(parents=True, exist_ok=True)
    for font in fonts:
        shutil.copyfile(font, folder / "fonts" / font.name)


def kept_fonts(folder: Path) -> list[Path]:
    return sorted((folder / "fonts").glob("*.ttf"))
