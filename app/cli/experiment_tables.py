"""The experiments' results as tables for people, in per cent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MEASURES = (("top1", "Top-1"), ("top5", "Top-5"), ("macro_f1", "macro-F1"))
_RULES = ("fcn", "knn", "svm", "vote")


def label_lines(result: dict[str, Any]) -> str:
    """Accuracy against the number of labels."""
    told = [f"{result['weights']} weights, {_catalogue(result)}; ± over random subsets, of all labels over folds"]
    told.append(f"{'labels':>7}{'photos':>9}  {'':6}{'Top-1':>14}{'Top-5':>14}{'macro-F1':>14}")
    for row in result["rows"]:
        for place, rule in enumerate(rule for rule in _RULES if rule in row):
            head = f"{row['labels']:7d}{row['photos']:9.0f}" if place == 0 else " " * 16
            told.append(f"{head}  {rule:6}" + "".join(_spread(row[rule][measure]) for measure, _ in _MEASURES))
    return "\n".join(told)


def category_lines(result: dict[str, Any]) -> str:
    """Flat against per category, a part a level."""
    told = [f"{result['weights']} weights, {_catalogue(result)}; ± over folds"]
    for row in result["levels"]:
        told.append(
            f"\nlevel {row['level']}: {row['categories']} categories of {row['labels']} labels, the largest of "
            f"{row['largest_category']}; {row['photos']} photos, {100 * row['photos_among_five']:.0f} % of them in "
            "categories of at most five labels"
        )
        told.append("the category itself, Top-1: " + _category(row["category"]))
        told.append(f"{'':24}{'':6}{'Top-1':>14}{'Top-5':>14}{'macro-F1':>14}")
        for way, table in row["arms"].items():
            for place, rule in enumerate(table):
                head = f"{way if place == 0 else '':24}{rule:6}"
                told.append(head + "".join(_spread(table[rule][measure]) for measure, _ in _MEASURES))
        told.append("paired differences, points, with the 95 % interval over photos:")
        for pair, rules in row["differences"].items():
            for place, (rule, gap) in enumerate(rules.items()):
                head = f"  {pair if place == 0 else '':40}{rule:6}"
                told.append(head + "   ".join(f"{name} {_gap(gap[measure])}" for measure, name in _MEASURES[:2]))
    return "\n".join(told)


def parameter_lines(result: dict[str, Any]) -> str:
    """What was tried, what was chosen, and both settings on the test photos."""
    photos = result["photos"]
    told = [
        f"{result['weights']} weights, {result['labels']} labels: fitted on {photos['train']} photos, searched on "
        f"{photos['validation']}, vote fitted on {photos['calibration']}, reported on {photos['test']}"
    ]
    if result["validation_seen"]:
        told.append(f"the weights were trained on {result['validation_seen']} of the photos that were searched on")
    told.append(f"{'':5}{'parameter':22}{'value':24}{'Top-1':>8}{'Top-5':>8}{'macro-F1':>10}")
    for row in result["searched"]:
        value = f"{row['value']:g}" if isinstance(row["value"], float) else str(row["value"])
        figures = f"{100 * row['top1']:8.1f}{100 * row['top5']:8.1f}{100 * row['macro_f1']:10.1f}"
        mark = "  default" if row["default"] else ""
        told.append(f"{row['classifier']:5}{row['parameter']:22}{value:24}{figures}{mark}")
    told.append("chosen: " + _setting(result["chosen"]))
    told.append("default: " + _setting(result["default"]))
    told.append(f"test {'':7}{'default':>22}{'chosen':>22}   chosen - default, points, 95 % interval over photos")
    test = result["test"]
    for rule in _RULES:
        pairs = "".join(f"{_pair(test[name][rule]):>22}" for name in ("default", "chosen"))
        gaps = test["difference"][rule]
        told.append(f"{rule:12}{pairs}   Top-1 {_gap(gaps['top1'])}   Top-5 {_gap(gaps['top5'])}")
    return "\n".join(told)


def mislabel_lines(result: dict[str, Any]) -> str:
    """How well wrong labels are found, then what they cost, a part a share."""
    told = [f"{result['weights']} weights, {_catalogue(result)}; ± over seeds"]
    for row in result["rows"]:
        told.append(f"\n{row['share']:.0%} of the labels wrong, {row['seeds']} seeds")
        for name, title in (("found", "single photos"), ("found_scenes", "whole scenes")):
            told += _found(title, row[name])
        told.append(f"{'':12}{'':6}{'Top-1':>14}{'Top-5':>14}{'macro-F1':>14}   of the loss avoided, Top-1")
        for way, table in row["care"].items():
            for place, rule in enumerate(table):
                kept = row["kept"].get(way, {}).get(rule, {}).get("top1")
                note = "" if kept is None or not row["share"] else f"{100 * kept:8.0f} %"
                cells = "".join(_spread(table[rule][measure]) for measure, _ in _MEASURES)
                told.append(f"{way if place == 0 else '':12}{rule:6}{cells}{note}")
    return "\n".join(told)


def _found(title: str, found: Mapping[str, Any]) -> list[str]:
    if not found:
        return []
    precision = ", ".join(f"{way} {_spread(cell).strip()}" for way, cell in found["precision"].items())
    suspected = {name: cell["mean"] for name, cell in found["suspected"].items()}
    outright = (
        f"{suspected['photos']:.0f} suspected, {_share(suspected['precision'])} of them rightly, "
        f"{_share(suspected['recall'])} of the wrong found; {suspected['refurbished']:.0f} refurbished, "
        f"{_share(suspected['refurbished_precision'])} of them wrong before"
    )
    return [f"{title}: precision at recall 0.5: {precision}", f"{'':4}{outright}"]


def _share(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.0f} %"


def _catalogue(result: Mapping[str, Any]) -> str:
    if "rendered" in result:
        drawn = result["rendered"]
        return f"{drawn['products']} rendered products, {drawn['phone_photos']} phone photos each to measure on"
    listed = result["catalogue"]
    seen = f", {listed['seen_by_backbone']} of them seen by the weights" if listed["seen_by_backbone"] else ""
    return f"{listed['photos']} photos of {listed['labels']} labels{seen}, {listed['variants']} variants"


def _spread(cell: Mapping[str, Any]) -> str:
    std = cell["std"] if cell["std"] is not None else cell.get("std_folds")
    return f"{100 * cell['mean']:8.1f} " + (f"±{100 * std:4.1f}" if std is not None else " " * 5)


def _category(table: Mapping[str, Any]) -> str:
    return ", ".join(f"{rule} {_spread(table[rule]['top1']).strip()}" for rule in table)


def _gap(gap: Mapping[str, Any]) -> str:
    low, high = gap["interval_95"]
    return f"{100 * gap['mean']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _pair(figures: Mapping[str, float]) -> str:
    return f"{100 * figures['top1']:.1f} / {100 * figures['top5']:.1f}"


def _setting(setting: Mapping[str, Any]) -> str:
    fcn = ", ".join(f"{name} {setting['fcn'][name]:g}" for name in _FCN)
    return (
        f"k-NN {setting['normalisation']}; SVM C {setting['svm_c']:g}, {setting['svm_variants']} variants; "
        f"FCN {fcn}, {setting['fcn_variants']} variants"
    )


_FCN = ("learning_rate", "batch_size", "dropout", "label_smoothing")
