#!/usr/bin/env python3
"""Tables and pictures of what run.py has found: training/study/report.py [--pictures FOLDER]

    pip install numpy scipy matplotlib

Prints a table per plan in Markdown: of each loss and setting the mean Dice of the classes that matter, with a 95 % interval over the
networks (of one or two, their values), and in how many of them some class was lost, its Dice under 0.1. With --pictures it draws the curves, the gradients of the
first steps and the predictions of the plans brain_main and digits_main.
"""

import argparse
import base64
import json
import zlib
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy import stats

RESULTS = Path(__file__).resolve().parent / "results"
MATTER = {"digits": slice(1, 11), "brain": slice(1, 4)}
LOST = 0.1
SETTINGS = ["norm", "batch", "rate"]


def load(plan):
    file = RESULTS / f"{plan}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def by_loss(runs):
    """Runs of each loss, in the order of the first ones."""
    losses = defaultdict(list)
    for run in runs:
        losses[run["loss"]].append(run)
    return losses


def groups(runs):
    """Runs that differ in loss and seed alone."""
    found = defaultdict(list)
    for run in runs:
        found[tuple(run[name] for name in SETTINGS)].append(run)
    return found


def mean_and_interval(values):
    """Of independent values, in words; of one or two, these themselves."""
    if len(values) < 3:
        return " and ".join(f"{value:.3f}" for value in sorted(values))
    return f"{np.mean(values):.3f} ± {stats.t.ppf(0.975, len(values) - 1) * stats.sem(values):.3f}"


def cells(runs, task):
    """What is said of a loss in one setting."""
    dice = np.array([run["dice"][MATTER[task]] for run in runs])
    lost = int((dice.min(1) < LOST).sum())
    classes = [" / ".join(f"{value:.2f}" for value in dice.mean(0))] if task == "brain" else []
    return dice.mean(), [mean_and_interval(dice.mean(1)), *classes, f"{lost} of {len(runs)}"]


def table(runs):
    """A row per loss, best first, and a few columns per setting."""
    task, settings = runs[0]["task"], groups(runs)
    columns = ["mean Dice", *(["CSF / grey / white"] if task == "brain" else []), "a class lost"]
    different = [name for at, name in enumerate(SETTINGS) if len({key[at] for key in settings}) > 1] or SETTINGS[:1]
    titles = [", ".join(f"{name} {run[0][name]}" for name in different) for run in settings.values()]
    print("| loss | " + " | ".join(f"{title}: {column}" for title in titles for column in columns) + " |")
    print("|---|" + "---|" * (len(titles) * len(columns)))
    rows = []
    for loss in by_loss(runs):
        row, means = [], []
        for of_setting in settings.values():
            of_loss = [run for run in of_setting if run["loss"] == loss]
            mean, texts = cells(of_loss, task) if of_loss else (0.0, ["–"] * len(columns))
            means.append(mean)
            row += texts
        rows.append((np.mean(means), f"| `{loss}` | " + " | ".join(row) + " |"))
    for _, text in sorted(rows, reverse=True):
        print(text)
    print()


def colours_of(plans):
    """A colour for each loss of the plans."""
    import matplotlib.pyplot as plt

    losses = by_loss(run for plan in plans for run in load(plan))
    return {loss: plt.cm.tab20(at % 20) for at, loss in enumerate(losses)}


def legend(figure, colours):
    import matplotlib.pyplot as plt

    handles = [plt.Line2D([], [], color=colour, label=loss) for loss, colour in colours.items()]
    figure.legend(handles=handles, loc="outside right center", frameon=False)


def curves(plans, file):
    """The mean over the networks, in a band from the least one to the greatest."""
    import matplotlib.pyplot as plt

    panels = [(plan, norm) for plan in plans for norm in sorted({run["norm"] for run in load(plan)}, reverse=True)]
    figure, axes = plt.subplots(1, len(panels), figsize=(4.2 * len(panels), 4.4), sharey=True, layout="constrained")
    colours = colours_of(plans)
    for axis, (plan, norm) in zip(np.atleast_1d(axes), panels):
        runs = [run for run in load(plan) if run["norm"] == norm]
        for loss, of_loss in by_loss(runs).items():
            matter = MATTER[runs[0]["task"]]
            steps = [step for step, _ in of_loss[0]["curve"]] + [of_loss[0]["steps"]]
            values = [[np.mean(d[matter]) for _, d in run["curve"]] + [np.mean(run["dice"][matter])] for run in of_loss]
            axis.plot(steps, np.mean(values, 0), color=colours[loss], label=loss)
            axis.fill_between(steps, np.min(values, 0), np.max(values, 0), color=colours[loss], alpha=0.08, linewidth=0)
        axis.set(title=f"{runs[0]['task']}, {norm} normalisation", xlabel="step", ylim=(0, 1))
        axis.grid(alpha=0.3)
    np.atleast_1d(axes)[0].set_ylabel("mean Dice on held-out data")
    legend(figure, colours)
    figure.savefig(file)


def gradients(plans, file):
    """Of the median network, by the logits."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(plans), figsize=(5.5 * len(plans), 4.4), sharey=True, layout="constrained")
    colours = colours_of(plans)
    for axis, plan in zip(np.atleast_1d(axes), plans):
        runs = [run for run in load(plan) if run["norm"] != "none"]
        for loss, of_loss in by_loss(runs).items():
            values = np.array([[gradient for _, gradient, _ in run["first"]] for run in of_loss])
            axis.plot(np.median(values, 0), color=colours[loss], label=loss)
        axis.set(title=runs[0]["task"], xlabel="step", yscale="log")
        axis.axhline(6e-8, color="black", linewidth=0.8, linestyle=":")
        axis.text(0, 7e-8, "least f16", fontsize=8)
        axis.grid(alpha=0.3)
    np.atleast_1d(axes)[0].set_ylabel("greatest element of the gradient")
    legend(figure, colours)
    figure.savefig(file)


def predictions(plans, file):
    """What the first network of each loss says of what is held out, beside the truth: tall pictures side by side, wide ones in a
    column, and the normalisations across."""
    import matplotlib.pyplot as plt
    from tasks import TASKS

    figure = plt.figure(figsize=(14, 11), layout="constrained")
    of_plans = np.atleast_1d(figure.subfigures(len(plans), 1, height_ratios=[4, 7][: len(plans)]))
    for part, plan in zip(of_plans, plans):
        runs = [run for run in load(plan) if "picture" in run]
        task = TASKS[runs[0]["task"]]()
        truth, classes = task.seen(task.shown()[1].numpy()), len(task.classes)
        losses, norms = list(by_loss(runs)), sorted({run["norm"] for run in runs}, reverse=True)
        pictures = {(run["loss"], run["norm"]): unpacked(run["picture"]) for run in runs}
        tall = truth.shape[0] > truth.shape[1]
        grid = part.subplots(len(norms), len(losses) + 1) if tall else part.subplots(len(losses) + 1, len(norms)).T
        for row, norm in zip(grid, norms):
            for axis, loss in zip(row, [None, *losses]):
                axis.axis("off")
                labels = truth if loss is None else pictures.get((loss, norm))
                if labels is not None:
                    # Without the empty margin that all pictures share.
                    inside = np.ix_(np.any(truth, 1), np.any(truth, 0)) if tall else ...
                    axis.imshow(labels[inside], cmap="gray" if tall else "nipy_spectral", vmin=0, vmax=classes - 1)
                    axis.set_title(f"{loss or 'truth'}, {norm}" if not tall else loss or f"norm {norm}: truth", fontsize=7)
    figure.savefig(file, dpi=100)


def unpacked(picture):
    data = zlib.decompress(base64.b64decode(picture["data"]))
    return np.frombuffer(data, np.uint8).reshape(picture["shape"])


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pictures", type=Path, metavar="FOLDER")
    options = arguments.parse_args()
    for file in sorted(RESULTS.glob("*.jsonl")):
        runs = load(file.stem)
        print(f"## {file.stem}: {runs[0]['steps']} steps, {len(runs)} networks\n")
        table(runs)
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
        plans = [plan for plan in ["brain_main", "digits_main"] if load(plan)]
        curves(plans, options.pictures / "curves.svg")
        gradients(plans, options.pictures / "gradients.svg")
        predictions(plans, options.pictures / "predictions.png")


if __name__ == "__main__":
    main()
