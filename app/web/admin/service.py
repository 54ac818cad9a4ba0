"""How the service is doing: figures of all its workers, which a script keeps up to date."""

from __future__ import annotations

from flask import Response, jsonify, render_template

from app.api.context import container
from app.api.metrics import metrics
from app.web.admin import gate
from app.web.admin.figures import QUANTILES, Figures, figures_of, quantile

pages = gate.section("service")


@pages.get("/service")
def page() -> str:
    """The figures since the service was started."""
    found = _now()
    latency = {share: quantile(found.latency, share) for share in QUANTILES}
    stages = {name: [quantile(buckets, share) for share in QUANTILES] for name, buckets in found.stages.items()}
    workers = container().jobs.page(None, None, 1).workers
    return render_template(
        "admin/service.html", figures=found, latency=latency, stages=stages, quantiles=QUANTILES, workers=workers
    )


@pages.get("/service/figures")
def figures() -> Response:
    """The same as numbers, for the page's script."""
    return jsonify(_now().to_json())


def _now() -> Figures:
    container().model.now()  # where no thread watches for models, this is who looks
    return figures_of(metrics().samples())
