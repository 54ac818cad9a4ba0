"""Running a stage: rounds of steps with Keras' ``fit``, a checkpoint and a log line after each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models.backbone.network import import_keras
from models.training.pretrain.state import load_state, save_state

ROUND_STEPS: Final = 25
LOG_FILE: Final = "log.jsonl"
_JUDGED_SHOWN: Final = ("val_loss", "val_label", "val_right")
"""Figures of validation pictures for the terminal; the file has all."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a stage: until how many steps, at which input size (pixels)."""

    until: int
    size: int


@dataclass(frozen=True, slots=True)
class Stage:
    """name: of the stage and its checkpoint. folder: where checkpoint and log go. phases: in order of ``until``.
    batch: images a step. rate: highest learning rate; it falls linearly to a fiftieth over all steps."""

    name: str
    folder: Path
    phases: tuple[Phase, ...]
    batch: int
    rate: float

    @property
    def steps(self) -> int:
        """Steps of the whole stage."""
        return self.phases[-1].until

    def size_at(self, step: int) -> int:
        """The input size of a step."""
        return next(phase.size for phase in self.phases if step < phase.until)


def checkpoint_of(folder: Path, stage: str) -> Path:
    """Where a stage of that name keeps its checkpoint."""
    return folder / f"{stage}.npz"


def falling_rate(stage: Stage) -> Any:
    """A Keras schedule: 20 steps of warm-up, then linearly down to a fiftieth of the rate."""
    keras = import_keras()
    ops = keras.ops

    class FallingRate(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[name-defined]
        """See ``falling_rate``."""

        def __call__(self, step: Any) -> Any:
            done = ops.cast(step, "float32")
            warm = ops.minimum(1.0, (done + 1.0) / 20.0)
            return stage.rate * warm * ops.maximum(0.02, 1.0 - done / stage.steps)

        def get_config(self) -> dict[str, Any]:
            return {"rate": stage.rate, "steps": stage.steps}

    return FallingRate()


@dataclass(frozen=True, slots=True)
class Supply:
    """taught: (first step, steps, size) -> ``PyDataset`` of that many batches to train on.
    judged: size -> ``PyDataset`` of batches to judge each round by, the same ones each time; None for no such figures.
    """

    taught: Callable[[int, int, int], Any]
    judged: Callable[[int], Any] | None = None


def run_stage(stage: Stage, model: Any, supply: Supply, say: Say, also: Sequence[Any] = ()) -> None:
    """Train a compiled ``model`` to the end of ``stage``, going on from its checkpoint where there is one.

    What a step is shown depends on its number alone, so a run that was interrupted ends like one that was not, up to
    the rounding of the machine's arithmetic.
    also: variables that the stage does not train but needs as they are (batch norm's statistics).
    """
    model.optimizer.build(model.trainable_variables)
    variables = [*model.trainable_variables, *model.optimizer.variables, *also]
    stage.folder.mkdir(parents=True, exist_ok=True)
    path = checkpoint_of(stage.folder, stage.name)
    done = load_state(path, variables)
    if done:
        say(f"{stage.name}: going on after step {done} of {stage.steps}")
    while done < stage.steps:
        size = stage.size_at(done)
        last = next(phase.until for phase in stage.phases if done < phase.until)
        steps = min(ROUND_STEPS, last - done)
        started = time.perf_counter()
        # Unless told not to, Keras shuffles the batches, by a global state that a resumed run does not have.
        history = model.fit(supply.taught(done, steps, size), epochs=1, shuffle=False, verbose=0).history
        done += steps
        save_state(path, variables, done)
        trained = time.perf_counter() - started
        figures = {name: float(values[-1]) for name, values in history.items()}
        if supply.judged is not None:
            found = model.evaluate(supply.judged(size), verbose=0, return_dict=True)
            figures |= {f"val_{name}": float(value) for name, value in found.items()}
        figures = {name: round(value, 4) for name, value in figures.items()}
        line = {
            "stage": stage.name,
            "step": done,
            "size": size,
            "seconds": round(time.perf_counter() - started, 1),
            "images_s": round(steps * stage.batch / trained, 2),
        }
        with (stage.folder / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(json.dumps({**line, "time": round(time.time()), **figures}) + "\n")
        say(_line(line, figures, stage.steps))


def stage_minutes(folder: Path) -> dict[str, float]:
    """What each stage took, minutes, by the log: every round once, however often it was done again."""
    rounds: dict[tuple[str, int], float] = {}
    path = folder / LOG_FILE
    for text in path.read_text("utf-8").splitlines() if path.exists() else ():
        line = json.loads(text)
        rounds[line["stage"], line["step"]] = line["seconds"]
    stages = {stage: 0.0 for stage, _ in rounds}
    for (stage, _), seconds in rounds.items():
        stages[stage] += seconds / 60
    return {stage: round(minutes, 1) for stage, minutes in stages.items()}


def _line(line: dict[str, Any], figures: dict[str, float], steps: int) -> str:
    shown = [name for name in figures if not name.startswith("val_") or name in _JUDGED_SHOWN]
    told = " ".join(f"{name} {figures[name]:.3f}" for name in shown)
    return f"{line['stage']} {line['step']}/{steps} at {line['size']} px, {line['images_s']} images/s: {told}"
