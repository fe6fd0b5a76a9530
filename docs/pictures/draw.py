#!/usr/bin/env python3
"""Draws the two pictures of README.md into this folder.

    pip install matplotlib
    cargo run --release --example brain -- --png out/brain.png
    docs/pictures/draw.py out/brain.png

brain.png is the example's picture, cropped to the head and given words; peers.svg is of the figures in peers.csv. Without an
argument only that is drawn.
"""

import csv
import io
import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.patches import Patch
from PIL import Image

HERE = Path(__file__).resolve().parent
OWN, KEEPING, AS_IT_COMES = "#1f6f8b", "#8c8c8c", "#d5d5d5"
# The example draws four panels side by side, voxels of two pixels, eight pixels between them; its colours of the classes.
PANELS = ["T1 image", "labels", "prediction, after training", "gradient, before training"]
GAP = 8
MARGIN = 36
CLASSES = {"CSF": "#409cff", "grey matter": "#e25c58", "white matter": "#faecc8"}

matplotlib.rcParams |= {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "svg.fonttype": "none",
    "svg.hashsalt": "dice",
    "savefig.facecolor": "white",
}


def brain(file):
    """The example's picture with a title over each panel."""
    pixels = plt.imread(file)[..., :3]
    width = (pixels.shape[1] + GAP) // len(PANELS)
    panels = [pixels[MARGIN:-MARGIN, at * width + MARGIN : (at + 1) * width - GAP - MARGIN] for at in range(len(PANELS))]
    rows, columns = panels[0].shape[:2]
    figure, axes = plt.subplots(1, len(PANELS), figsize=(12, 12 / len(PANELS) * rows / columns + 0.75), layout="constrained")
    for axis, panel, title in zip(axes, panels, PANELS):
        axis.imshow(panel, interpolation="nearest")
        axis.set_title(title, fontsize=14)
        axis.axis("off")
    patches = [Patch(facecolor=colour, edgecolor="#999999", label=name) for name, colour in CLASSES.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), frameon=False, fontsize=13)
    image = io.BytesIO()
    figure.savefig(image, dpi=100)
    # A palette: the picture has few colours, and is a third of the size with it.
    Image.open(image).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(HERE / "brain.png", optimize=True)


def peers():
    """A panel per loss and number of classes, a bar per implementation."""
    lines = [line for line in (HERE / "peers.csv").read_text().splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(lines))
    cases = list(dict.fromkeys((row["loss"], row["machine"], row["classes"]) for row in rows))
    of_case = [[row for row in rows if (row["loss"], row["machine"], row["classes"]) == case] for case in cases]
    # Two to a row, each as high as it has bars.
    heights = [len(of_case[at]) + 1.3 for at in range(0, len(cases), 2)]
    figure, axes = plt.subplots(len(heights), 2, figsize=(11, 0.42 * sum(heights) + 0.9), sharex=True, sharey="row",
                                layout="constrained", gridspec_kw={"height_ratios": heights})
    for axis, (loss, machine, classes), bars in zip(axes.flat, cases, of_case):
        for place, row in enumerate(bars):
            own = row["implementation"] == "dice"
            times = {column: float(row[column]) for column in ["as it comes", "keeping pages"] if row[column]}
            for column, ms in times.items():
                colour = OWN if own else KEEPING if column == "keeping pages" else AS_IT_COMES
                axis.barh(place, ms, color=colour, height=0.72)
                inside = column == "keeping pages" and len(times) == 2
                axis.annotate(row[column], (ms, place), xytext=(-4 if inside else 4, 0), textcoords="offset points", va="center",
                              ha="right" if inside else "left", fontsize=11, color="white" if inside else OWN if own else "black",
                              fontweight="bold" if own else "normal")
        axis.set_title(f"{loss}, {classes} classes\n{machine}", fontsize=11.5, loc="left")
        axis.set_xlim(0, 440)
        axis.tick_params(left=False, labelsize=11)
        axis.spines[["top", "right", "left"]].set_visible(False)
    for axis, bars in zip(axes[:, 0], of_case[::2]):
        axis.set_yticks(range(len(bars)), [row["implementation"] for row in bars], fontsize=11.5)
        axis.get_yticklabels()[0].set(fontweight="bold", color=OWN)
        axis.invert_yaxis()
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    figure.supxlabel("value and gradient, milliseconds (shorter is faster)", fontsize=11.5)
    legend = {"dice": OWN, "peers, allocator that keeps its pages": KEEPING, "peers, as they come": AS_IT_COMES}
    figure.legend(handles=[Patch(color=colour, label=name) for name, colour in legend.items()], loc="outside upper center", ncols=3,
                  frameon=False, fontsize=11)
    figure.savefig(HERE / "peers.svg", metadata={"Date": None})


peers()
if len(sys.argv) > 1:
    brain(sys.argv[1])
