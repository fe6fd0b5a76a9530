#!/usr/bin/env python3
"""Trains the networks of the study: training/study/run.py PLAN... [--seeds N] [--losses NAME...] [--jobs N] [--library FILE]

    pip install torch numpy
    cargo build --release -p dice-ffi
    training/study/run.py brain_main digits_main

A plan is a list of runs: task × loss × normalisation × batch × learning rate × seed. Each run that is not yet in
training/study/results/PLAN.jsonl is trained, on one thread, and adds a line: what it is, the mean Dice of each class on held-out
data at the end and along the way, and the gradients of the first steps. A plan that was stopped goes on where it was.
"""

import argparse
import base64
import json
import time
import zlib
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import libdice
import numpy as np
import torch
from losses import LOSSES, make
from network import UNet
from tasks import TASKS

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).resolve().parent / "results"
STEPS = {"digits": 2000, "brain": 600}
RATE = {"digits": 1e-3, "brain": 3e-3}
NORM = {"digits": "batch", "brain": "instance"}
BATCH = {"digits": 16, "brain": 2}
FIRST_STEPS = 40

# What a reader would take, and what the question is about.
MAIN = """
dice_ce dice_batch_ce dice_squared_ce gdl_inverse_ce cross_entropy dice dice_squared gdl_inverse gdl_square gdl_inverse_volumes
monai_gdl per_sample batch_pooled
""".split()
# One of each kind, where batch or rate is what changes.
KINDS = "dice_ce cross_entropy dice gdl_inverse gdl_square gdl_inverse_volumes batch_pooled".split()


def runs(task, losses, norms=None, batches=None, rates=None, steps=None, seeds=range(1, 6)):
    norms = norms or ("none", NORM[task])
    batches = batches or (BATCH[task],)
    rates = rates or (RATE[task],)
    # Seed by seed, so that a plan that is stopped has something of each.
    for seed, rate, batch, norm, loss in product(seeds, rates, batches, norms, losses):
        yield dict(task=task, loss=loss, norm=norm, batch=batch, rate=rate, seed=seed, steps=steps or STEPS[task])


def plans():
    others = [name for name in LOSSES if name not in MAIN]
    return {
        "brain_main": runs("brain", MAIN),
        "digits_main": runs("digits", MAIN),
        "brain_long": runs("brain", MAIN, norms=("instance",), steps=1800),
        "brain_others": runs("brain", others),
        "digits_others": runs("digits", others),
        "brain_batches": runs("brain", KINDS, batches=(1,)),
        # Half of the steps: eight times the patches of a batch of two are dear.
        "brain_batches_large": runs("brain", KINDS, batches=(16,), steps=300),
        "digits_batches": runs("digits", KINDS, batches=(1, 2)),
        "brain_rates": runs("brain", KINDS, rates=(1e-3, 1e-2)),
    }


def key(run):
    return tuple(run[name] for name in ["task", "loss", "norm", "batch", "rate", "seed", "steps"])


def score(network, task, part):
    """Dice of each class over all held-out voxels."""
    classes = len(task.classes)
    both, either = torch.zeros(2, classes, dtype=torch.int64)
    network.eval()
    with torch.no_grad():
        for images, labels in task.held_out(part):
            found = network(images).argmax(1)
            for k in range(classes):
                both[k] += ((found == k) & (labels == k)).sum()
                either[k] += (found == k).sum() + (labels == k).sum()
    network.train()
    return [round(float(dice), 5) for dice in 2 * both / either.clamp(min=1)]


def packed(labels):
    """A picture of labels as text."""
    data = base64.b64encode(zlib.compress(np.ascontiguousarray(labels, np.uint8).tobytes(), 9)).decode()
    return {"shape": labels.shape, "data": data}


def picture(network, task):
    network.eval()
    with torch.no_grad():
        return packed(task.seen(network(task.shown()[0]).argmax(1).numpy()))


class Training:
    """A network on its way: its weights and its patches are drawn from the run's seed."""

    def __init__(self, run):
        self.task = TASKS[run["task"]]()
        self.batch = run["batch"]
        self.loss = make(run["loss"], self.task.volumes)
        torch.manual_seed(run["seed"])
        self.network = UNet(self.task.axes, len(self.task.classes), run["norm"])
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=run["rate"])
        self.random = np.random.default_rng(1000 + run["seed"])

    def step(self):
        """Takes a step; returns the labels of its batch, the logits with their gradient, and the loss."""
        images, labels = self.task.batch(self.random, self.batch)
        # PyTorch takes three times as long for a single small volume as for two: so it gets it twice, and the loss sees one.
        twice = len(images) == 1 and self.task.axes == 3
        logits = self.network(torch.cat([images, images]))[:1] if twice else self.network(images)
        logits.retain_grad()
        value = self.loss(logits, labels)
        self.optimiser.zero_grad()
        value.backward()
        self.optimiser.step()
        return labels, logits, value.item()


def train(run):
    training = Training(run)
    task, network = training.task, training.network
    curve, first, started = [], [], time.perf_counter()
    for step in range(run["steps"]):
        if step % (run["steps"] // 10) == 0:
            curve.append([step, score(network, task, "some")])
        _, logits, value = training.step()
        if step < FIRST_STEPS:
            of_network = max(float(p.grad.abs().max()) for p in network.parameters())
            first.append([value, float(logits.grad.abs().max()), of_network])
    seconds = time.perf_counter() - started
    dice = score(network, task, "all")
    found = dict(dice=dice, curve=curve, first=first, last=value, seconds=round(seconds, 1))
    return run | found | ({"picture": picture(network, task)} if run["seed"] == 1 else {})


def start(library):
    torch.set_num_threads(1)
    libdice.load(library, 1)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("plans", nargs="+", choices=plans(), metavar="PLAN", help=", ".join(plans()))
    arguments.add_argument("--jobs", type=int, default=2, help="runs at once")
    arguments.add_argument("--seeds", type=int, default=5, help="how many")
    arguments.add_argument("--losses", nargs="+", choices=LOSSES, default=LOSSES, metavar="NAME", help="these of the plan's losses")
    arguments.add_argument("--library", default=ROOT / "target/release/libdice.so")
    options = arguments.parse_args()
    RESULTS.mkdir(exist_ok=True)
    for plan in options.plans:
        file = RESULTS / f"{plan}.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        known = {key(json.loads(line)) for line in lines}
        asked = [run for run in plans()[plan] if run["seed"] <= options.seeds and run["loss"] in options.losses]
        wanted = [run for run in asked if key(run) not in known]
        print(f"{plan}: {len(known)} known, {len(wanted)} to train", flush=True)
        started = time.monotonic()
        with ProcessPoolExecutor(options.jobs, initializer=start, initargs=(options.library,)) as pool:
            for done, run in enumerate(pool.map(train, wanted), 1):
                with file.open("a") as out:
                    out.write(json.dumps(run) + "\n")
                left = (time.monotonic() - started) / done * (len(wanted) - done) / 60
                dice = " ".join(f"{dice:.3f}" for dice in run["dice"])
                what = f"{run['loss']:20} {run['norm']:8} batch {run['batch']:2} rate {run['rate']:g} seed {run['seed']}"
                print(f"{what}: {dice} ({run['seconds']:.0f} s; {left:.0f} minutes left)", flush=True)


if __name__ == "__main__":
    main()
