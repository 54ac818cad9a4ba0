"""What can make a whole import impossible; a single bad row is a ``RowProblem`` instead.

RequestError
└── CatalogueError           the catalogue folder cannot be read as one
    ├── ArchiveRefused       the archive is unsafe, too large or damaged
    ├── SourceInvalid        the source tree of a conversion does not look as expected
    └── ImportBusy           another import holds the lock
"""

from app.errors import RequestError


class CatalogueError(RequestError):
    """The catalogue folder cannot be read as one: no table, two tables, a broken header."""

    code = "catalogue_invalid"


class ArchiveRefused(CatalogueError):
    """The archive is unsafe to unpack, larger than the limits, encrypted or damaged."""

    code = "archive_refused"


class SourceInvalid(CatalogueError):
    """The source of a conversion is not laid out as the official archive is."""

    code = "source_invalid"


class ImportBusy(CatalogueError):
    """Another import of this catalogue is running."""

    code = "import_busy"
