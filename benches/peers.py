#!/usr/bin/env python3
"""The losses of PyTorch programs beside this library's and the memory's limit, in one run.

    pip install torch monai          # any recent versions
    pip install --no-deps nnunetv2   # if its compound loss is to be among them
    python3 benches/peers.py

First `limits` measures the machine and this library, the generalised Dice loss of 2 to 32 classes and every loss of 4 and 14; then
each peer computes its loss, and the gradient, of as many random f32 logits, with labels in i64 as PyTorch wants them, on as many
threads; then `limits` runs once more. Peers are shown as they come and with an allocator that keeps its pages, which spares them
most page faults.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEEPS_PAGES = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000", "MALLOC_TOP_PAD_": "268435456"}
PASSES = ["value", "value_and_grad"]


def limits():
    """The rows of a quick report on random data, and of one of every loss."""
    rows = []
    for what in ["--quick", "--losses"]:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "report.json"
            command = ["cargo", "run", "--quiet", "--release", "-p", "dice-bench", "--bin", "limits", "--", what, "--json"]
            subprocess.run([*command, file], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            rows += json.loads(file.read_text())["rows"]
    return [row for row in rows if row["data"] == "random" and row["pass"] in PASSES]


def generalised_dice(z, labels):
    """Sudre 2017, one ratio for all classes, as a careful user writes it: no one-hot copy."""
    import torch

    p = torch.softmax(z, 1)
    classes = z.shape[1]
    flat = labels.reshape(-1)
    target = torch.bincount(flat, minlength=classes).to(z.dtype)
    of_label = p.gather(1, labels[:, None]).reshape(-1)
    intersection = torch.zeros(classes, dtype=z.dtype).index_add(0, flat, of_label)
    weight = 1 / target**2
    return 1 - 2 * (weight * intersection).sum() / (weight * (target + p.sum((0, 2)))).sum()


def peers_of(loss):
    """Who computes the loss of this name, as functions of logits and labels."""
    import torch
    from monai.losses import DiceCELoss, DiceFocalLoss, GeneralizedDiceLoss

    def monai(criterion):
        return lambda z, labels: criterion(z, labels[:, None])

    if loss == "gdl":
        return {
            "MONAI": monai(GeneralizedDiceLoss(softmax=True, to_onehot_y=True, smooth_nr=0, smooth_dr=0)),
            "torch": generalised_dice,
            "torch.compile": torch.compile(generalised_dice, dynamic=False),
        }
    if loss == "dice+ce":
        peers = {"MONAI DiceCELoss": monai(DiceCELoss(softmax=True, to_onehot_y=True, smooth_nr=0, smooth_dr=1e-30))}
        try:
            from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
            from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
        except ImportError:
            return peers
        # Its Dice term is minus the score, and leaves the background out.
        options = {"batch_dice": False, "smooth": 0.0, "do_bg": True, "ddp": False}
        nnunet = DC_and_CE_loss(options, {}, dice_class=MemoryEfficientSoftDiceLoss)
        return peers | {"nnU-Net DC_and_CE_loss": lambda z, labels: 1 + nnunet(z, labels[:, None])}
    if loss == "dice+sigmoid_focal":
        focal = DiceFocalLoss(softmax=True, to_onehot_y=True, smooth_nr=0, smooth_dr=1e-30, gamma=2.0)
        return {"MONAI DiceFocalLoss": monai(focal)}
    return {}


def measure(cases):
    """Seconds per call of each `[loss, classes, voxels]`, as `[pass, loss, classes, peer, seconds]`."""
    import torch

    torch.manual_seed(0)
    for loss, classes, voxels in cases:
        peers = peers_of(loss)
        z = torch.randn(1, classes, voxels, requires_grad=True)
        labels = torch.randint(classes, (1, voxels))
        losses = [peer(z, labels).item() for peer in peers.values()]
        assert max(losses) - min(losses) < 1e-3, f"peers disagree: {losses}"
        for name, peer in peers.items():

            def value():
                with torch.no_grad():
                    peer(z, labels)

            def value_and_grad():
                z.grad = None
                peer(z, labels).backward()

            for kind, call in zip(PASSES, [value, value_and_grad]):
                times = []
                for _ in range(9):
                    start = time.perf_counter()
                    call()
                    times.append(time.perf_counter() - start)
                yield kind, loss, classes, name, statistics.median(times[2:])


def main():
    if sys.argv[1:2] == ["--measure"]:
        json.dump(list(measure(json.loads(sys.argv[2]))), sys.stdout)
        return
    rows = limits()
    with_peers = ["gdl", "dice+ce", "dice+sigmoid_focal"]
    cases = sorted({(row["loss"], row["classes"], row["voxels"]) for row in rows if row["loss"] in with_peers})
    peers = []
    for how, environment in [("", {}), (", keeping pages", KEEPS_PAGES)]:
        print(f"peers{how} …", file=sys.stderr)
        command = [sys.executable, __file__, "--measure", json.dumps(cases)]
        output = subprocess.run(command, env=os.environ | environment, check=True, capture_output=True, text=True).stdout
        peers += [(*case, name + how, seconds) for *case, name, seconds in json.loads(output)]
    rows += limits()
    print("| pass | loss | C | implementation | ms | of the limit | times as long as the fastest |\n|---|---|---|---|---|---|---|")
    for kind in PASSES:
        for loss, classes, _ in cases:
            case = (kind, loss, classes)
            own = [row for row in rows if (row["pass"], row["loss"], row["classes"]) == case]
            limit = statistics.median(row["ns"] * row["share"] for row in own) / 1e6
            found = [(f"dice, {isa}", statistics.median(row["ns"] for row in own if row["isa"] == isa) / 1e6)
                     for isa in {row["isa"] for row in own}]
            found += [(name, seconds * 1e3) for *of, name, seconds in peers if tuple(of) == case]
            found.sort(key=lambda of: of[1])
            for name, ms in found:
                print(f"| {kind} | {loss} | {classes} | {name} | {ms:.1f} | {limit / ms:.2f} | {ms / found[0][1]:.1f} |")


main()
