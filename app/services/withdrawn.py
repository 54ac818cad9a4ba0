"""Labels that a served model was trained on and that have left the catalogue since.

FCN and SVM go on knowing them until the next training, so a search masks them before each top five. What they are is
kept in memory and never trusted for long:

- Every search asks the database about the labels that the classifiers named, by one look-up in an index. A product
  deleted a moment ago is therefore in no answer that begins after the deletion, in any process.
- Where such a label is found, all labels of the model are compared once, so that deleting thousands of products
  costs one long look, not thousands.
- Labels that are back are noticed within ``RECHECK_S``; k-NN, which is never masked, names them at once.
"""

from __future__ import annotations

import time

from sqlalchemy import Engine

from app.store.answers import missing_labels
from app.store.database import transaction

RECHECK_S = 1.0
"""How long a label that came back may stay masked for FCN and SVM."""


class WithdrawnLabels:
    """Tells which labels have left the catalogue; a ``models.recognizer.Withdrawn``. Any thread may call.

    labels: what the model's trained classifiers can name. Construction asks nothing.
    """

    def __init__(self, engine: Engine, labels: frozenset[str], recheck_s: float = RECHECK_S) -> None:
        self.labels = labels
        self._engine = engine
        self._recheck_s = recheck_s
        self._gone: frozenset[str] | None = None
        self._looked_at = float("-inf")

    def __call__(self, named: frozenset[str]) -> frozenset[str]:
        """All labels known to have left, among them those of ``named`` that have."""
        gone = self._gone
        if gone is None:
            gone = self._look(self.labels)
        if not named:
            return gone
        due = bool(gone) and time.monotonic() - self._looked_at >= self._recheck_s
        with transaction(self._engine) as session:
            missing = missing_labels(session, named | gone if due else named)
        if (missing & self.labels) - gone:
            gone = self._look(self.labels)
        elif due:
            gone = self._remember(missing & self.labels)
        return gone | missing

    def _look(self, labels: frozenset[str]) -> frozenset[str]:
        with transaction(self._engine) as session:
            return self._remember(missing_labels(session, labels))

    def _remember(self, gone: frozenset[str]) -> frozenset[str]:
        self._gone = gone
        self._looked_at = time.monotonic()
        return gone
