#!/usr/bin/env python3
"""The generalised Dice loss of PyTorch programs beside this library's and the memory's limit, in one run.

    pip install torch monai          # any recent versions
    python3 benches/peers.py

First `limits --quick` measures the machine and this library; then each peer computes the loss, and its gradient, of as many random
f32 logits, with labels in i64 as PyTorch wants them, on as many threads; then `limits` runs once more. Peers are
shown as they come and with an allocator that keeps its pages, which spares them most page faults.
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
    """The rows of a quick report on random data."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        command = ["cargo", "run", "--quiet", "--release", "-p", "dice-bench", "--bin", "limits", "--", "--quick", "--json"]
        subprocess.run([*command, file], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        rows = json.loads(file.read_text())["rows"]
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


def measure(sizes):
    """Seconds per call, `[pass, classes, peer, seconds]`."""
    import torch
    from monai.losses import GeneralizedDiceLoss

    torch.manual_seed(0)
    monai = GeneralizedDiceLoss(softmax=True, to_onehot_y=True, smooth_nr=0, smooth_dr=0)
    peers = {
        "MONAI": lambda z, labels: monai(z, labels[:, None]),
        "torch": generalised_dice,
        "torch.compile": torch.compile(generalised_dice, dynamic=False),
    }
    for classes, voxels in sizes:
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
                yield kind, classes, name, statistics.median(times[2:])


def main():
    if sys.argv[1:2] == ["--measure"]:
        json.dump(list(measure(json.loads(sys.argv[2]))), sys.stdout)
        return
    rows = limits()
    sizes = sorted({(row["classes"], row["voxels"]) for row in rows})
    peers = []
    for how, environment in [("", {}), (", keeping pages", KEEPS_PAGES)]:
        print(f"peers{how} …", file=sys.stderr)
        command = [sys.executable, __file__, "--measure", json.dumps(sizes)]
        output = subprocess.run(command, env=os.environ | environment, check=True, capture_output=True, text=True).stdout
        peers += [(kind, classes, name + how, seconds) for kind, classes, name, seconds in json.loads(output)]
    rows += limits()
    print("| pass | C | implementation | ms | of the limit | times as long as the fastest |\n|---|---|---|---|---|---|")
    for kind in PASSES:
        for classes, voxels in sizes:
            own = [row for row in rows if (row["pass"], row["classes"]) == (kind, classes)]
            limit = statistics.median(row["ns"] * row["share"] for row in own) / 1e6
            found = [(f"dice, {isa}", statistics.median(row["ns"] for row in own if row["isa"] == isa) / 1e6)
                     for isa in {row["isa"] for row in own}]
            found += [(name, seconds * 1e3) for peer, c, name, seconds in peers if (peer, c) == (kind, classes)]
            found.sort(key=lambda of: of[1])
            for name, ms in found:
                print(f"| {kind} | {classes} | {name} | {ms:.1f} | {limit / ms:.2f} | {ms / found[0][1]:.1f} |")


main()
