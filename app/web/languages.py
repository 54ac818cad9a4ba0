"""Languages of the pages: English in the code, every other one a gettext file in ``translations``.

A file ``TAG.po`` is a language; nothing has to be compiled or registered. Templates call ``_("...")``, scripts too:
what scripts say is sent with the page, from the same file (``Language.script_messages``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Final

from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from werkzeug.datastructures import LanguageAccept

TRANSLATIONS: Final = Path(__file__).parent / "translations"
SOURCE_LANGUAGE: Final = "en"


@dataclass(frozen=True, eq=False)
class Language:
    """tag: BCP 47, e.g. ``ko``. name: in the language itself. catalogue: None for the language of the code."""

    tag: str
    name: str
    translations: NullTranslations
    catalogue: Catalog | None

    def script_messages(self, folders: Sequence[str]) -> Mapping[str, str]:
        """Messages of the scripts in these folders of ``static``: what the script says, and its translation."""
        if self.catalogue is None:
            return {}
        wanted = tuple(f"app/web/static/{folder}/" for folder in folders)
        return {
            message.id: message.string
            for message in self.catalogue
            if isinstance(message.id, str)
            and isinstance(message.string, str)
            and message.id
            and message.string
            and any(place.startswith(wanted) for place, _ in message.locations)
        }


class Languages:
    """Every language there is.

    folder: its ``*.po`` are read now, so that a malformed one stops the start and not a page.

    :raise ValueError: a file is malformed.
    """

    def __init__(self, folder: Path = TRANSLATIONS) -> None:
        source = Language(SOURCE_LANGUAGE, "English", NullTranslations(), None)
        self._known = {SOURCE_LANGUAGE: source}
        for path in sorted(folder.glob("*.po")):
            self._known[path.stem] = _read(path)

    def __iter__(self) -> Iterator[Language]:
        return iter(self._known.values())

    def choose(self, asked: str | None, remembered: str | None, accepted: LanguageAccept) -> Language:
        """What was asked for, else what was chosen before, else what the browser prefers, else English."""
        for tag in (asked, remembered):
            if tag is not None and tag in self._known:
                return self._known[tag]
        for wanted in accepted.values():
            # A Korean of any country is Korean, before an English that is accepted as well.
            for tag in (wanted, wanted.split("-")[0]):
                if tag in self._known:
                    return self._known[tag]
        return self._known[SOURCE_LANGUAGE]


def _read(path: Path) -> Language:
    locale = Locale.parse(path.stem, sep="-")
    with path.open("rb") as file:
        catalogue = read_po(file, locale, abort_invalid=True)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Language(path.stem, locale.get_display_name(locale) or path.stem, GNUTranslations(compiled), catalogue)
