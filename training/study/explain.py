#!/usr/bin/env python3
"""Shows how a training goes wrong, or does not: training/study/explain.py TASK LOSS... [--norm NORM] [--seed N] [--library FILE]

    pip install torch numpy
    cargo build --release -p dice-ffi
    training/study/explain.py brain gdl_square gdl_inverse dice dice_ce

Trains one network with each loss as run.py does, and prints a line per class now and then: the mean probability of the class in its
own voxels, how much of the patch it is given (predicted volume ÷ true volume), and the norm of the gradient by its logits. A class
whose probability is gone is saturated: the gradient through a softmax is proportional to it.
"""

import argparse

from losses import LOSSES
from run import BATCH, NORM, RATE, ROOT, STEPS, Training, start
from tasks import TASKS

SHOWN = [0, 1, 3, 10, 30, 100, 300]
# Classes of a task that are shown, the first ones.
MOST_CLASSES = 4


def explain(loss, task, norm, seed):
    training = Training(dict(task=task, loss=loss, norm=norm, batch=BATCH[task], rate=RATE[task], seed=seed))
    print(f"\n{task}, {loss}, norm {norm}, seed {seed}")
    print("  step      loss  class      p in its voxels   given/true   |gradient|")
    for step in range(STEPS[task] + 1):
        labels, logits, value = training.step()
        if step not in SHOWN and step != STEPS[task]:
            continue
        p = logits.detach().softmax(1)
        for k, name in enumerate(training.task.classes[:MOST_CLASSES]):
            mine = labels == k
            volume = float(mine.sum())
            if volume > 0:
                own, given, gradient = p[:, k][mine].mean(), p[:, k].sum() / volume, logits.grad[:, k].norm()
                print(f"{step:6} {value:9.4f}  {name:10} {own:16.2e} {given:12.3g} {gradient:12.2e}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("task", choices=TASKS)
    arguments.add_argument("losses", nargs="+", choices=LOSSES, metavar="LOSS", help=", ".join(LOSSES))
    arguments.add_argument("--norm", help="none, batch or instance; by default the task's")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--library", default=ROOT / "target/release/libdice.so")
    options = arguments.parse_args()
    start(options.library)
    for name in options.losses:
        explain(name, options.task, options.norm or NORM[options.task], options.seed)


if __name__ == "__main__":
    main()
