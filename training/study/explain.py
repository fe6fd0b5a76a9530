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

import numpy as np
import torch
from losses import LOSSES, make
from network import UNet
from run import NORM, RATE, ROOT, STEPS, start
from tasks import TASKS

SHOWN = [0, 1, 3, 10, 30, 100, 300]


def explain(name, task_name, norm, seed):
    task = TASKS[task_name]()
    loss = make(name, task.volumes)
    torch.manual_seed(seed)
    network = UNet(task.axes, len(task.classes), norm)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE[task_name])
    random = np.random.default_rng(1000 + seed)
    print(f"\n{task_name}, {name}, norm {norm}, seed {seed}\n  step      loss  class      p in its voxels   given/true   |gradient|")
    for step in range(STEPS[task_name] + 1):
        images, labels = task.batch(random, {"digits": 16, "brain": 2}[task_name])
        logits = network(images)
        logits.retain_grad()
        value = loss(logits, labels)
        optimiser.zero_grad()
        value.backward()
        if step in SHOWN or step == STEPS[task_name]:
            p = logits.detach().softmax(1)
            for k, label in enumerate(task.classes):
                mine = labels == k
                volume = float(mine.sum())
                if task_name == "digits" and k > 2 or volume == 0:
                    continue
                own, given = float(p[:, k][mine].mean()), float(p[:, k].sum()) / volume
                gradient = float(logits.grad[:, k].norm())
                print(f"{step:6} {value.item():9.4f}  {label:10} {own:16.2e} {given:12.3g} {gradient:12.2e}")
        optimiser.step()


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
