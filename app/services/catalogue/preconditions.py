"""What a writer believes to be there, compared with what is there: nobody's change is lost unseen."""

from __future__ import annotations

from dataclasses import dataclass

from app.errors import PreconditionFailed, PreconditionRequired


@dataclass(frozen=True, slots=True)
class Expected:
    """What the writer expects.

    etags: the product as one of these shows it. anything: some product, whatever it looks like.
    nothing: that there is no product yet. Where none of the three is said, the writer expects nothing in particular.
    """

    etags: frozenset[str] = frozenset()
    anything: bool = False
    nothing: bool = False

    def check(self, sku: str, etag: str | None, *, replacing: bool) -> None:
        """Compare with the product as it is. etag: None where there is none. replacing: all of it is replaced.

        :raise PreconditionFailed: it is not as expected.
        :raise PreconditionRequired: it would be replaced, and the writer did not say what it expects.
        """
        if etag is None:
            if self.etags or self.anything:
                raise PreconditionFailed(f"there is no product {sku!r}; leave If-Match out to create it")
        elif self.nothing:
            raise PreconditionFailed(f"there is a product {sku!r} already; leave If-None-Match out to replace it")
        elif self.etags and not self.anything and etag not in self.etags:
            raise PreconditionFailed(
                f"product {sku!r} has changed since; get it again (its ETag is {etag} now), and repeat the change"
            )
        elif replacing and not self.etags and not self.anything:
            raise PreconditionRequired(
                f"there is a product {sku!r} already; send If-Match with the ETag that GET gave, or "
                "If-None-Match: * to create only"
            )
