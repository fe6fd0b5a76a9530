#!/usr/bin/env python3
"""Record losses and gradients of the peers, as reference cases.

    pip install torch monai segmentation-models-pytorch kornia keras
    pip install --no-deps nnunetv2
    python3 record.py [--jdt losses/jdt_loss.py] [--fidon loss.py] > cases.json

`dice-core/tests/data/peer_cases.json` holds these cases beside older ones of the same form.

JDTLosses and Fidon's GeneralizedWassersteinDiceLoss are not on PyPI: give the path to the file in a
checkout. A peer that does not import is skipped, and the skip is printed and stored in meta.

Only numbers leave this script. Everything runs on the CPU in f64. Inputs are seeded and exact in binary:
logits k/64, probabilities k/32, soft labels k/4. The gradient is that of the SUM of the returned tensor
with respect to the input as passed. Peers that cast to f32 inside are lifted to f64 (see `lifted`).
NiftyNet needs TensorFlow 1, so its formulas are retyped here in torch (see `niftynet`).
"""
import argparse
import contextlib
import importlib.util
import json
import math
import os
import platform
import sys
import warnings

os.environ["KERAS_BACKEND"] = "torch"
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

warnings.filterwarnings("ignore")
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

CASES, VERSIONS, SKIPPED = [], {"python": platform.python_version(), "torch": torch.__version__}, {}
NAMES = set()


# ---------------------------------------------------------------------------------------------- inputs
def logits(*shape, seed=1, span=3.0):
    """Logits k/64 in [-span, span]."""
    k = int(span * 64)
    return np.random.default_rng(seed).integers(-k, k + 1, shape) / 64.0


def probs(*shape, seed=1):
    """Probabilities k/32, 1 <= k <= 31: independent numbers, their sum over the classes is not 1."""
    return np.random.default_rng(seed).integers(1, 32, shape) / 32.0


def simplex(n, c, *spatial, seed=1, parts=4):
    """Soft labels k/parts whose sum over the classes is 1."""
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(parts, [1.0 / c] * c, (n, *spatial))
    return np.moveaxis(draws, -1, 1) / float(parts)


def onehot(labels, c):
    """[N, ...] -> [N, C, ...], a label outside the classes gives an all-zero voxel."""
    return np.stack([(labels == k) for k in range(c)], 1).astype(np.float64)


IGN = 255
X = logits(2, 3, 2, 3, seed=7)                                          # N=2, C=3, 2x3 voxels
Y = np.array([[[0, 1, 2], [1, 0, 2]], [[0, 0, 1], [0, 1, 0]]])          # class 2 is absent from sample 1
YI = np.array([[[0, IGN, 2], [1, 0, 2]], [[0, 0, IGN], [0, 1, IGN]]])   # one and two ignored voxels
YALL = np.full_like(Y, IGN)                                             # every voxel ignored
YS = simplex(2, 3, 2, 3, seed=8)
X1 = logits(2, 1, 2, 3, seed=9)                                         # one channel
Y1 = np.array([[[[0, 1, 1], [1, 0, 0]]], [[[0, 0, 1], [0, 0, 0]]]])
YML = np.random.default_rng(10).integers(0, 2, (2, 3, 2, 3))            # multilabel
X3 = logits(2, 4, 2, 2, 2, seed=11)                                     # N=2, C=4, 2x2x2 voxels
Y3 = np.array([[[[0, 1], [2, 3]], [[0, 0], [1, 3]]], [[[0, 0], [1, 1]], [[0, 2], [0, 1]]]])  # 3 absent from 1
M = np.array([[[[1, 1, 0], [1, 1, 1]]], [[[0, 1, 1], [1, 0, 1]]]], dtype=np.float64)
MF = np.array([[[[1, 0.5, 0.25], [1, 1, 0.5]]], [[[0, 1, 1], [0.75, 0, 1]]]])
W = [0.5, 1.0, 2.0]
W4 = [0.5, 1.0, 2.0, 4.0]
MAX2 = [[0.0, 2.0, 2.0], [2.0, 0.0, 0.5], [2.0, 0.5, 0.0]]              # class distances, the largest is 2
ASYM = [[0.0, 1.0, 1.0], [1.0, 0.0, 0.25], [0.75, 0.5, 0.0]]            # not symmetric
# one voxel each: certain and right, certain and wrong (sample 0); large, then ordinary logits (sample 1)
XSAT = np.array([[[[1000.0, -1000.0]], [[-1000.0, 1000.0]]], [[[40.0, 0.5]], [[-40.0, -0.25]]]])
YSAT = np.array([[[0, 0]], [[1, 1]]])


# -------------------------------------------------------------------------------------------- recording
def plain(v):
    """Numbers as they go to JSON: NaN and infinities become null, whole numbers of label maps stay ints."""
    if isinstance(v, list):
        return [plain(e) for e in v]
    if isinstance(v, float):
        return v + 0.0 if math.isfinite(v) else None  # + 0.0: no negative zero
    return v


def array(a):
    a = np.asarray(a)
    whole = a.dtype.kind in "iub"
    return {"shape": list(a.shape), "dtype": "int64" if whole else "float64",
            "values": [int(v) if whole else float(v) for v in a.reshape(-1)]}


@contextlib.contextmanager
def lifted():
    """While it is open, Tensor.float() and torch.float32 mean f64, so that a peer's own casts keep f64."""
    saved = torch.float32, torch.float, torch.Tensor.float
    torch.float32 = torch.float = torch.float64
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        torch.float32, torch.float, torch.Tensor.float = saved


def record(name, source, loss, params, call, x, target, mask=None, note=None, lift=lifted):
    """Run call(x) and store value and gradient."""
    assert name not in NAMES, name
    NAMES.add(name)
    xt = torch.tensor(np.asarray(x), dtype=torch.float64, requires_grad=True)
    with lift():
        out = call(xt)
        out.sum().backward()
    assert out.dtype == torch.float64, (name, out.dtype)
    value = out.detach().numpy()
    grad = np.zeros(xt.shape) if xt.grad is None else xt.grad.numpy()
    case = {"name": name, "source": source, "kind": "generated", "loss": loss, "params": params,
            "input": array(x), "target": array(target)}
    if mask is not None:
        case["mask"] = array(mask)
    case["expected_f64"] = plain(float(value) if value.ndim == 0 else [float(v) for v in value.reshape(-1)])
    if value.ndim:
        case["expected_shape"] = list(value.shape)
    case["grad_f64"] = plain([float(v) for v in grad.reshape(-1)])
    if note:
        case["note"] = note
    CASES.append(case)


def peer(name):
    """Decorator: run the function, or note why the peer was skipped."""
    def wrap(fn):
        before = len(CASES)
        try:
            fn()
        except ImportError as e:
            SKIPPED[name] = str(e).splitlines()[0]
        print(f"{name}: {len(CASES) - before} cases {SKIPPED.get(name, '')}", file=sys.stderr)
        return fn
    return wrap


def tensor(a):
    return torch.tensor(np.asarray(a))


def label(params):
    """A short text of the parameters for the case's name."""
    def one(v):
        return "-".join(one(e) for e in v) if isinstance(v, list) else f"{v:g}" if isinstance(v, float) else str(v)
    skip = ("softmax", "sigmoid", "to_onehot_y", "mode", "ignore_index", "ignore_label", "smooth_nr", "smooth_dr",
            "dist_matrix")
    return "_".join(f"{k}={one(v)}" for k, v in params.items() if k not in skip)


ARGS = argparse.ArgumentParser(description=__doc__.split("\n")[0])
ARGS.add_argument("--jdt", help="path to JDTLosses' losses/jdt_loss.py")
ARGS.add_argument("--fidon", help="path to generalized_wasserstein_dice_loss/loss.py")
ARGS = ARGS.parse_args()


def load(path, what):
    if not path:
        raise ImportError(f"no path to {what} given")
    spec = importlib.util.spec_from_file_location(what, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ------------------------------------------------------------------------------------------------ torch
@peer("torch")
def record_torch():
    source = f"ran torch {torch.__version__}"

    def ce(tag, params, target, x=X, note=None):
        kw = dict(params)
        if "weight" in kw:
            kw["weight"] = tensor(kw["weight"])
        fn = torch.nn.CrossEntropyLoss(**kw)
        record(f"gen_torch_ce_{tag}", source, "torch.CrossEntropyLoss", params,
               lambda v: fn(v, tensor(target)), x, target, note=note)

    for weight in (None, W):
        for eps in (0.0, 0.125):
            for red in ("mean", "sum", "none"):
                if red != "mean" and (eps == 0.0 or weight is None):
                    continue
                p = {"label_smoothing": eps, "ignore_index": IGN, "reduction": red}
                if weight:
                    p["weight"] = weight
                ce(f"ignore_{'w_' if weight else ''}ls={eps:g}_{red}", p, YI)
    ce("ls=1_w", {"label_smoothing": 1.0, "weight": W}, Y)
    ce("w_zero", {"label_smoothing": 0.125, "weight": [0.0, 1.0, 2.0]}, Y)
    ce("soft", {}, YS, note="probability targets: mean divides by N*V")
    ce("soft_w", {"weight": W}, YS, note="probability targets: mean divides by N*V, not by the weights")
    ce("soft_w_ls", {"weight": W, "label_smoothing": 0.125}, YS,
       note="probability targets: mean divides by N*V, not by the weights")
    ce("none_valid", {"ignore_index": IGN, "label_smoothing": 0.125}, YALL, note="0/0: NaN, gradient NaN or 0")
    pos = {"pos_weight": [2.0]}
    fn = torch.nn.BCEWithLogitsLoss(pos_weight=tensor([2.0]))
    record("gen_torch_bce_pos_weight", source, "torch.BCEWithLogitsLoss", pos,
           lambda v: fn(v, tensor(Y1).double()), X1, Y1)


# ------------------------------------------------------------------------------------------------ MONAI
@peer("monai")
def record_monai():
    import monai
    from monai import losses
    VERSIONS["monai"] = monai.__version__
    source = f"ran monai {monai.__version__}"
    monai.networks.utils.one_hot.__defaults__ = (torch.float64, 1)  # its default dtype was bound to f32 at import
    SM = {"softmax": True, "to_onehot_y": True}

    def run(cls, tag, params, x=X, target=None, mask=None, note=None):
        target = Y[:, None] if target is None else target
        kw = dict(params)
        if "weight" in kw and cls == "DiceCELoss":
            kw["weight"] = tensor(kw["weight"])
        if "dist_matrix" in kw:
            kw["dist_matrix"] = np.array(kw["dist_matrix"])
        with lifted():
            fn = getattr(losses if hasattr(losses, cls) else losses.unified_focal_loss, cls)(**kw)
        t = tensor(target)
        if mask is None:
            call = lambda v: fn(v, t)  # noqa: E731
        else:
            call = lambda v: fn(v, t.double(), tensor(mask))  # noqa: E731
        text = label(params)
        record("gen_monai_" + "_".join(s for s in (tag, text) if s), source, cls, params, call, x, target,
               mask=mask, note=note)

    # Dice + cross-entropy: label smoothing, class weights, dense targets, one channel
    for ls in (0.0, 0.125):
        for weight in (None, W):
            for bg in (True, False):
                if ls == 0.0 and weight is None:
                    continue
                p = {**SM, "label_smoothing": ls, "include_background": bg}
                if weight:
                    p["weight"] = weight
                run("DiceCELoss", "dicece", p)
    run("DiceCELoss", "dicece", {**SM, "label_smoothing": 0.125, "weight": W, "reduction": "sum"})
    run("DiceCELoss", "dicece", {**SM, "label_smoothing": 0.125, "weight": W, "batch": True, "lambda_ce": 0.5})
    run("DiceCELoss", "dicece_3d", {**SM, "label_smoothing": 0.25, "weight": W4, "include_background": False},
        x=X3, target=Y3[:, None])
    run("DiceCELoss", "dicece_sigmoid", {"sigmoid": True, "to_onehot_y": True, "weight": W},
        note="Dice with sigmoid, cross-entropy with softmax")
    dense = "dense target: the cross-entropy's mean divides by N*V, not by the weights"
    run("DiceCELoss", "dicece_onehot", {"softmax": True, "weight": W, "label_smoothing": 0.125},
        target=onehot(Y, 3), note=dense)
    run("DiceCELoss", "dicece_soft", {"softmax": True, "weight": W}, target=YS, note=dense)
    one = "one channel: weight is BCE's pos_weight, no part of the Dice term; label smoothing is not used"
    run("DiceCELoss", "dicece_1ch", {"sigmoid": True, "weight": [2.0], "label_smoothing": 0.125}, x=X1, target=Y1,
        note=one)
    run("DiceCELoss", "dicece_1ch_sum", {"sigmoid": True, "weight": [2.0], "reduction": "sum"}, x=X1, target=Y1,
        note=one)

    # focal
    H = {"to_onehot_y": True}
    S = {"to_onehot_y": True, "use_softmax": True}
    for base in (H, S):
        for p in ({"gamma": 0.5}, {"gamma": 2.0, "alpha": 0.25}, {"gamma": 0.5, "alpha": 0.25},
                  {"gamma": 2.0, "alpha": [0.25, 0.5, 0.75]}, {"weight": W}, {"weight": 0.5},
                  {"weight": W, "alpha": 0.25, "reduction": "sum"}, {"reduction": "none"}):
            run("FocalLoss", "focal", {**base, **p})
        nobg = {**base, "include_background": False}
        for p in ({"alpha": 0.25}, {"weight": [1.0, 2.0]}, {"alpha": [0.5, 0.75]}, {"reduction": "sum"}):
            note = None
            if base is S:
                note = "class 0 leaves BEFORE the softmax, which runs over the kept classes"
                if p.get("alpha") == 0.25:
                    note += "; the scalar alpha is not used"
            run("FocalLoss", "focal", {**nobg, **p}, note=note)
        ign = {**base, "ignore_index": IGN}
        for red in ("mean", "sum", "none"):
            run("FocalLoss", "focal_ignore", {**ign, "reduction": red}, target=YI[:, None],
                note="mean divides by the valid voxels, not by the classes; sum by each sample's valid voxels"
                if red != "none" else None)
        run("FocalLoss", "focal_ignore_inside", {**base, "ignore_index": 2}, target=Y[:, None])
        run("FocalLoss", "focal_none_valid", ign, target=YALL[:, None])
        run("FocalLoss", "focal_sat", {**base, "gamma": 0.5}, x=XSAT, target=YSAT[:, None],
            note="p = 1 and p = 0 exactly; null is NaN")
        run("FocalLoss", "focal_sat", {**base, "gamma": 2.0}, x=XSAT, target=YSAT[:, None])
    run("FocalLoss", "focal_1ch", {"gamma": 2.0, "alpha": 0.25}, x=X1, target=Y1)
    run("FocalLoss", "focal_multilabel", {"gamma": 2.0, "alpha": 0.25, "weight": W}, target=YML)
    run("FocalLoss", "focal_soft", {"gamma": 2.0}, target=YS,
        note="soft target with sigmoid: the factor is sigmoid(-z(2g-1))^gamma on the whole BCE, not F+ and F-")
    run("FocalLoss", "focal_softmax_soft", {"gamma": 2.0, "use_softmax": True}, target=YS)

    # focal in compounds
    for act in ({"softmax": True}, {"sigmoid": True}):
        for bg in (True, False):
            p = {**act, "to_onehot_y": True, "include_background": bg, "weight": W if bg else [1.0, 2.0],
                 "lambda_focal": 0.5}
            tag = "softmax" if "softmax" in act else "sigmoid"
            run("DiceFocalLoss", f"dicefocal_{tag}", p)
            run("GeneralizedDiceFocalLoss", f"gdlfocal_{tag}", p)
    run("DiceFocalLoss", "dicefocal", {**SM, "alpha": 0.25, "gamma": 0.5})
    run("DiceFocalLoss", "dicefocal", {**SM, "weight": W, "reduction": "sum"})
    run("DiceFocalLoss", "dicefocal", {**SM, "weight": W, "reduction": "none"},
        note="[N,C,1,1] + [N,C,...]: the Dice of a class is added to each of its voxels")
    run("DiceFocalLoss", "dicefocal", {**SM, "weight": W, "batch": True, "squared_pred": True})
    run("GeneralizedDiceFocalLoss", "gdlfocal", {**SM, "weight": W, "reduction": "sum", "w_type": "simple"})
    run("GeneralizedDiceFocalLoss", "gdlfocal", {**SM, "weight": W, "batch": True, "include_background": True})

    # (asymmetric) unified focal: probabilities, two channels or one
    P2, P1 = probs(2, 2, 2, 3, seed=12), probs(2, 1, 2, 3, seed=13)
    T2 = Y1[:, 0]
    TI = np.where(YI == 2, 1, YI)
    for cls, tag in (("AsymmetricUnifiedFocalLoss", "unified"),):
        run(cls, tag, {"to_onehot_y": True}, x=P2, target=T2[:, None])
        run(cls, tag + "_1ch", {}, x=P1, target=Y1, note="one channel p stands for (1-p, p)")
        for p in ({"weight": 0.25, "gamma": 0.25, "delta": 0.625}, {"weight": 1.0, "gamma": 2.0},
                  {"weight": 0.0, "gamma": 0.75}, {"reduction": "none"}, {"reduction": "sum"}):
            run(cls, tag, {"to_onehot_y": True, **p}, x=P2, target=T2[:, None],
                note="reduction has no effect: both parts are means already" if "reduction" in p else None)
        ignored = "ignored voxels: g = 0 and p clamped to 1e-7 in both parts, and they stay in the focal mean"
        run(cls, tag + "_ignore", {"to_onehot_y": True, "ignore_index": IGN}, x=P2, target=TI[:, None], note=ignored)
        run(cls, tag + "_ignore_inside", {"to_onehot_y": True, "ignore_index": 1}, x=P2, target=T2[:, None],
            note=ignored)
        run(cls, tag + "_ignore_1ch", {"ignore_index": IGN}, x=P1, target=TI[:, None], note=ignored)
        run(cls, tag + "_none_valid", {"to_onehot_y": True, "ignore_index": IGN}, x=P2, target=YALL[:, None])
        hard = np.round(P2)
        run(cls, tag + "_hard", {"to_onehot_y": True}, x=hard, target=T2[:, None],
            note="p = 0 and 1: the clamp holds, the gradient there is 0")
        run(cls, tag + "_perfect", {"to_onehot_y": True}, x=onehot(T2, 2), target=T2[:, None])
    for cls, tag in (("AsymmetricFocalLoss", "asymfocal"), ("AsymmetricFocalTverskyLoss", "asymtversky")):
        run(cls, tag, {"to_onehot_y": True}, x=P2, target=T2[:, None])
        for p in ({"gamma": 0.5, "delta": 0.625}, {"reduction": "none"}, {"reduction": "sum"}):
            run(cls, tag, {"to_onehot_y": True, **p}, x=P2, target=T2[:, None])
        run(cls, tag + "_ignore", {"to_onehot_y": True, "ignore_index": IGN}, x=P2, target=TI[:, None])
        run(cls, tag + "_none_valid", {"to_onehot_y": True, "ignore_index": IGN}, x=P2, target=YALL[:, None])

    # masks and ignored labels
    m2 = "the mask multiplies p and g, so it enters I squared (S and T once)"
    for p in ({}, {"batch": True}, {"include_background": False, "weight": [1.0, 2.0]}, {"squared_pred": True},
              {"jaccard": True, "reduction": "none"}):
        run("MaskedDiceLoss", "masked_dense", {"softmax": True, **p}, target=onehot(Y, 3), mask=M)
    run("MaskedDiceLoss", "masked_1ch", {"sigmoid": True}, x=X1, target=Y1, mask=M)
    run("MaskedDiceLoss", "masked_fraction", {"softmax": True}, target=onehot(Y, 3), mask=MF, note=m2)
    run("MaskedDiceLoss", "masked_fraction", {"softmax": True, "squared_pred": True}, target=onehot(Y, 3), mask=MF,
        note="the mask enters I, S2 and T2 squared")
    run("MaskedDiceLoss", "masked_labels", SM, mask=M,
        note="with to_onehot_y a masked voxel becomes label 0: sum(1-mask) is added to T of class 0")
    run("MaskedDiceLoss", "masked_nothing", {"softmax": True}, target=onehot(Y, 3), mask=np.zeros_like(M))
    for p in ({}, {"batch": True, "include_background": False}, {"squared_pred": True}, {"jaccard": True},
              {"weight": W, "reduction": "none"}):
        run("DiceLoss", "dice_ignore", {**SM, "ignore_index": IGN, **p}, target=YI[:, None])
    run("DiceLoss", "dice_ignore_inside", {**SM, "ignore_index": 1})
    run("DiceLoss", "dice_ignore_inside_bg", {**SM, "ignore_index": 0, "include_background": False})
    some = onehot(YI, 3)
    run("DiceLoss", "dice_ignore_dense", {"softmax": True, "ignore_index": IGN}, target=some,
        note="dense target, label outside the classes: all-zero voxels are the ignored ones")
    run("DiceLoss", "dice_ignore_dense_inside", {"softmax": True, "ignore_index": 1}, target=onehot(Y, 3))
    run("DiceLoss", "dice_none_valid", {**SM, "ignore_index": IGN}, target=YALL[:, None])
    for p in ({}, {"alpha": 0.25, "beta": 0.75, "batch": True}, {"include_background": False}):
        run("TverskyLoss", "tversky_ignore", {**SM, "ignore_index": IGN, **p}, target=YI[:, None])

    # generalised Dice: batch, weights by volume, what the engine needs for compounds
    for p in ({"w_type": "simple", "batch": True, "reduction": "none"}, {"w_type": "square", "reduction": "sum"},
              {"w_type": "square", "batch": True, "include_background": False, "smooth_nr": 0.0}):
        run("GeneralizedDiceLoss", "gdl", {**SM, **p})

    # generalised Wasserstein Dice: a matrix whose maximum is not 1, and one that is not symmetric
    for mode in ("default", "GDL"):
        for red in ("none", "mean", "sum"):
            run("GeneralizedWassersteinDiceLoss", "gwdl_max2",
                {"dist_matrix": MAX2, "weighting_mode": mode, "reduction": red})
        run("GeneralizedWassersteinDiceLoss", "gwdl_asym",
            {"dist_matrix": ASYM, "weighting_mode": mode, "smooth_nr": 0.5, "smooth_dr": 0.25},
            note="M[y][c], y the true class; smooth_nr and smooth_dr apart")
        run("GeneralizedWassersteinDiceLoss", "gwdl_allbg", {"dist_matrix": MAX2, "weighting_mode": mode},
            target=np.zeros_like(Y[:, None]))

    # Matthews correlation
    for p in ({}, {"batch": True}, {"include_background": False, "reduction": "none"}):
        run("MCCLoss", "mcc", {**SM, **p})
    run("MCCLoss", "mcc_1ch", {"sigmoid": True, "smooth_nr": 0.5, "smooth_dr": 0.25}, x=X1, target=Y1)


# -------------------------------------------------------------------------- segmentation_models.pytorch
@peer("segmentation_models_pytorch")
def record_smp():
    import segmentation_models_pytorch as smp
    VERSIONS["segmentation_models_pytorch"] = smp.__version__
    source = f"ran segmentation_models.pytorch {smp.__version__}"

    def run(cls, tag, params, x=X, target=Y, note=None):
        with lifted():
            fn = getattr(smp.losses, cls)(**params)
        record("gen_smp_" + "_".join(s for s in (tag, label(params)) if s), source, f"smp.{cls}", params,
               lambda v: fn(v, tensor(target)), x, target, note=note)

    BIN, ML, MC = {"mode": "binary"}, {"mode": "multilabel"}, {"mode": "multiclass"}
    Y1I = np.where(YI[:, None] == IGN, IGN, Y1)
    for tag, mode, x, y, yi in (("binary", BIN, X1, Y1, Y1I), ("multilabel", ML, X, YML, None),
                                ("multiclass", MC, X, Y, YI)):
        for p in ({"gamma": 0.0}, {"gamma": 0.5, "alpha": 0.25}, {"gamma": 2.0}, {"gamma": 2.0, "reduction": "sum"}):
            run("FocalLoss", f"focal_{tag}", {**mode, **p}, x=x, target=y)
        if yi is not None:  # multilabel with ignore_index raises an IndexError in 0.6.0
            run("FocalLoss", f"focal_{tag}_ignore", {**mode, "gamma": 2.0, "alpha": 0.25, "ignore_index": IGN}, x=x,
                target=yi, note="mean over the valid voxels")
    for tag, mode, x, y in (("binary", BIN, X1, Y1), ("multiclass", MC, X, Y)):
        run("FocalLoss", f"focal_{tag}", {**mode, "gamma": 2.0, "reduction": "none"}, x=x, target=y,
            note="multiclass: none returns the mean" if mode is MC else None)
        run("FocalLoss", f"focal_{tag}_normalized", {**mode, "gamma": 2.0, "normalized": True}, x=x, target=y,
            note="not a sum over voxels: divided by the sum of the factors, per class")
        run("FocalLoss", f"focal_{tag}_reduced", {**mode, "gamma": 2.0, "reduced_threshold": 0.5}, x=x, target=y,
            note="a sum, but of another function: ((1-pt)/r)^gamma, and 1 where pt < r")
    run("FocalLoss", "focal_multiclass", {**MC, "gamma": 2.0, "class_weights": W})
    run("FocalLoss", "focal_multiclass", {**MC, "gamma": 2.0, "class_weights": W, "reduction": "sum"})
    run("FocalLoss", "focal_multilabel", {**ML, "gamma": 2.0, "class_weights": W}, target=YML)
    run("FocalLoss", "focal_multiclass_none_valid", {**MC, "gamma": 2.0, "ignore_index": IGN}, target=YALL,
        note="mean of nothing: NaN")
    run("FocalLoss", "focal_multiclass_probs", {**MC, "gamma": 2.0, "from_logits": False}, x=probs(2, 3, 2, 3, seed=5),
        note="multiclass from_logits=False: the LOGARITHM of p is then used as the sigmoid's logit")
    run("FocalLoss", "focal_binary_probs", {**BIN, "gamma": 2.0, "from_logits": False}, x=probs(2, 1, 2, 3, seed=5),
        target=Y1)
    run("FocalLoss", "focal_sat", {**MC, "gamma": 0.5}, x=XSAT, target=YSAT, note="p = 1 and 0 exactly; null is NaN")
    run("FocalLoss", "focal_sat", {**MC, "gamma": 2.0}, x=XSAT, target=YSAT)
    run("FocalLoss", "focal_soft", {**ML, "gamma": 2.0}, target=YS,
        note="soft target: the factor is (1-exp(-BCE))^gamma on the whole BCE, not F+ and F-")

    for eps in (0.0, 0.125):
        for red in ("mean", "sum", "none"):
            run("SoftCrossEntropyLoss", "softce_ignore",
                {"smooth_factor": eps, "ignore_index": IGN, "reduction": red}, target=YI,
                note="the mean is over ALL voxels, the ignored ones included" if red == "mean" else None)
    run("SoftCrossEntropyLoss", "softce_noignore", {"smooth_factor": 0.125, "ignore_index": None})
    run("SoftCrossEntropyLoss", "softce_none_valid", {"smooth_factor": 0.125, "ignore_index": IGN}, target=YALL)
    for p in ({"smooth_factor": 0.125}, {"smooth_factor": 0.125, "reduction": "sum"}):
        run("SoftBCEWithLogitsLoss", "softbce_ignore", {**p, "ignore_index": IGN}, x=X1, target=Y1I,
            note="g <- (1-g)e + g(1-e); the mean is over ALL elements" if "reduction" not in p else None)

    for cls, tag in (("DiceLoss", "dice"), ("JaccardLoss", "jaccard"), ("TverskyLoss", "tversky")):
        run(cls, tag, {**MC, "classes": [1, 2], "class_weights": W},
            note="weights of the chosen classes: sum(wL)/sum(w) over them")
        run(cls, tag + "_ignore", {**MC, "ignore_index": IGN, "class_weights": W}, target=YI)
        run(cls, tag + "_absent", {**MC, "class_weights": W, "log_loss": True}, target=np.where(Y == 2, 1, Y),
            note="class 2 has no voxel: loss 0, its weight stays in the divisor")
    T = {**MC, "alpha": 0.25, "beta": 0.75}
    for p in ({"gamma": 0.75}, {"gamma": 1.5, "class_weights": W}, {"gamma": 2.0, "classes": [1, 2]},
              {"gamma": 0.75, "classes": [0, 2], "class_weights": W}, {"gamma": 1.5, "log_loss": True},
              {"gamma": 1.5, "smooth": 1.0, "class_weights": W}):
        run("TverskyLoss", "tversky", {**T, **p})
    run("TverskyLoss", "tversky_perfect", {**T, "gamma": 0.75, "from_logits": False}, x=onehot(Y, 3),
        note="mean loss 0: the slope 0^(gamma-1) is infinite; null is NaN or infinite")
    run("TverskyLoss", "tversky_binary", {**BIN, "alpha": 0.25, "beta": 0.75, "gamma": 1.5}, x=X1, target=Y1)
    mli = np.where(np.arange(36).reshape(2, 3, 2, 3) % 5 == 0, IGN, YML)
    run("DiceLoss", "dice_multilabel_ignore", {**ML, "ignore_index": IGN}, target=mli,
        note="multilabel: the ignored label masks single elements (voxel and class), not voxels")
    run("DiceLoss", "dice_multilabel", {**ML, "class_weights": W}, target=YML)
    run("MCCLoss", "mcc", {}, x=probs(2, 1, 2, 3, seed=6), target=Y1, note="the input is a probability")


# ---------------------------------------------------------------------------------------------- nnU-Net
@peer("nnunetv2")
def record_nnunet():
    from importlib.metadata import version
    from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss
    from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss, SoftDiceLoss
    VERSIONS["nnunetv2"] = version("nnunetv2")
    source = f"ran nnunetv2 {VERSIONS['nnunetv2']} (ddp=False)"
    classes = {"SoftDiceLoss": SoftDiceLoss, "MemoryEfficientSoftDiceLoss": MemoryEfficientSoftDiceLoss}

    def dc_ce(tag, target, batch=False, bg=False, smooth=1e-5, cls="SoftDiceLoss", ignore=None, note=None, **kw):
        params = {"batch_dice": batch, "do_bg": bg, "smooth": smooth, "ignore_label": ignore, "dice_class": cls, **kw}
        ce = {k: v for k, v in kw.items() if k == "label_smoothing"}
        if "weight" in kw:
            ce["weight"] = tensor(kw["weight"])
        rest = {k: v for k, v in kw.items() if k in ("weight_ce", "weight_dice")}
        fn = DC_and_CE_loss({"batch_dice": batch, "do_bg": bg, "smooth": smooth, "ddp": False}, ce,
                            ignore_label=ignore, dice_class=classes[cls], **rest)
        record(f"gen_nnunet_dc_ce_{tag}", source, "nnunet.DC_and_CE_loss", params,
               lambda v: fn(v, tensor(target)), X, target, note=note)

    for batch in (False, True):
        for bg in (False, True):
            dc_ce(f"ignore_batch={batch}_bg={bg}", YI[:, None], batch, bg, ignore=IGN)
        none = "no valid voxel: CE 0, Dice -(0+s)/(0+s) per class, gradient 0"
        dc_ce(f"none_valid_batch={batch}", YALL[:, None], batch, ignore=IGN, note=none)
    dc_ce("none_valid_smooth=0", YALL[:, None], smooth=0.0, ignore=IGN, note="no valid voxel, s = 0: Dice -0/1e-8 = 0")
    dc_ce("memory", YI[:, None], batch=True, cls="MemoryEfficientSoftDiceLoss", ignore=IGN)
    one_sample = np.stack([YI[0], YALL[0]])[:, None]
    dc_ce("one_sample_valid", one_sample, ignore=IGN, note="sample 1 has no valid voxel: its Dice is -1, gradient 0")
    dc_ce("weights", YI[:, None], ignore=IGN, weight=W, label_smoothing=0.125, weight_ce=0.5, weight_dice=2.0,
          note="ce_kwargs: class weights and label smoothing in the cross-entropy alone")
    dc_ce("absent", Y[:, None], smooth=0.0, note="s = 0, class 2 absent from sample 1: D >= 1e-8")
    for use in (False, True):
        target = YML.astype(np.float64)
        if use:
            ignored = (YI == IGN).astype(np.float64)[:, None]
            target = np.concatenate([target, ignored], 1)
        params = {"batch_dice": False, "do_bg": True, "smooth": 1e-5, "use_ignore_label": use}
        fn = DC_and_BCE_loss({}, {"batch_dice": False, "do_bg": True, "smooth": 1e-5, "ddp": False},
                             use_ignore_label=use)
        record(f"gen_nnunet_dc_bce_ignore={use}", source, "nnunet.DC_and_BCE_loss", params,
               lambda v: fn(v, tensor(target)), X, target,
               note="the last target channel marks ignored voxels; BCE is then the sum over channels and valid voxels "
                    "/ the valid voxels (NOT / channels)" if use else "BCE: mean over all elements")
    for batch in (False, True):
        params = {"batch_dice": batch, "do_bg": True, "smooth": 1.0, "clip_tp": 1.0, "activation": "softmax"}
        clip = SoftDiceLoss(apply_nonlin=lambda v: torch.softmax(v, 1), batch_dice=batch, do_bg=True, smooth=1.0,
                            ddp=False, clip_tp=1.0)
        record(f"gen_nnunet_softdice_clip_tp=1_batch={batch}", source, "nnunet.SoftDiceLoss", params,
               lambda v: clip(v, tensor(Y[:, None])), X, Y[:, None])


# ----------------------------------------------------------------------------------------------- kornia
@peer("kornia")
def record_kornia():
    import kornia
    from kornia import losses
    VERSIONS["kornia"] = kornia.__version__
    source = f"ran kornia {kornia.__version__}"

    def run(fn, tag, params, x=X, target=Y, note=None):
        kw = dict(params)
        for k in ("weight", "pos_weight"):
            if k in kw:
                kw[k] = tensor(kw[k])
        record("gen_kornia_" + tag, source, f"kornia.{fn}", params,
               lambda v: getattr(losses, fn)(v, tensor(target), **kw), x, target, note=note)

    for avg in ("micro", "macro"):
        for weight in (None, W):
            p = {"average": avg} if weight is None else {"average": avg, "weight": weight}
            run("dice_loss", "dice_" + label(p), p)
            if weight == W:
                run("dice_loss", f"dice_{avg}_w_ignore", {**p, "ignore_index": IGN}, target=YI)
        run("dice_loss", f"dice_{avg}_none_valid", {"average": avg, "ignore_index": IGN},
            target=np.stack([Y[0], YALL[0]]), note="sample 1 has no valid pixel: loss 1, gradient 0")
        run("dice_loss", f"dice_{avg}_w0", {"average": avg, "weight": [0.0, 0.0, 1.0]},
            note="sample 1 lacks the only class with a weight")
    run("tversky_loss", "tversky", {"alpha": 0.25, "beta": 0.75})
    run("tversky_loss", "tversky_ignore", {"alpha": 0.25, "beta": 0.75, "ignore_index": IGN}, target=YI)
    run("tversky_loss", "tversky_none_valid", {"alpha": 0.25, "beta": 0.75, "ignore_index": IGN},
        target=np.stack([Y[0], YALL[0]]))
    for p in ({"alpha": 0.25, "gamma": 2.0, "reduction": "mean"}, {"alpha": None, "gamma": 0.5, "reduction": "sum"},
              {"alpha": 0.25, "gamma": 2.0, "reduction": "mean", "weight": W}):
        run("focal_loss", "focal_" + label(p), p)
    run("focal_loss", "focal_ignore", {"alpha": 0.25, "reduction": "mean", "ignore_index": IGN}, target=YI,
        note="the mean is over N*C*V, the ignored pixels included")
    run("focal_loss", "focal_sat", {"alpha": None, "gamma": 0.5, "reduction": "mean"}, x=XSAT, target=YSAT,
        note="p = 1 and 0 exactly: finite here")
    p = {"alpha": 0.25, "gamma": 2.0, "reduction": "mean", "pos_weight": [1.0, 2.0, 4.0], "weight": W}
    run("binary_focal_loss_with_logits", "binary_focal", p, target=YML.astype(np.float64))
    run("binary_focal_loss_with_logits", "binary_focal_soft", {"alpha": 0.25, "gamma": 2.0, "reduction": "mean"},
        target=YS, note="soft target: F+ and F-, weighted by g and 1-g")


# ------------------------------------------------------------------------------------------------ keras
@peer("keras")
def record_keras():
    import keras
    keras.config.set_floatx("float64")
    VERSIONS["keras"] = keras.__version__
    source = f"ran keras {keras.__version__} (torch backend)"
    last = lambda a: np.ascontiguousarray(np.moveaxis(a, 1, -1))  # noqa: E731
    LAYOUT = {"layout": "channels-last (N,H,W,C)"}

    def run(cls, tag, params, x, target, note=None, reduction="sum_over_batch_size", **kw):
        # Keras rounds its own mean to f32 (divide_no_nan), so the reduction is done here, in f64.
        reduce = {"sum_over_batch_size": torch.mean, "sum": torch.sum, None: lambda v: v}[reduction]
        fn = getattr(keras.losses, cls)(reduction=None, **kw, **params)
        shown = {**params, **{k: list(v) for k, v in kw.items()}, "reduction": reduction, **LAYOUT}
        record("gen_keras_" + "_".join(s for s in (tag, label(params)) if s), source, f"keras.{cls}", shown,
               lambda v: reduce(fn(tensor(target), v)), x, target, note=note, lift=contextlib.nullcontext)

    z, g = last(X), last(onehot(Y, 3))
    p, gs = last(probs(2, 3, 2, 3, seed=14)), last(YS)
    for eps in (0.0, 0.125):
        for logit, x in ((True, z), (False, p)):
            run("CategoricalCrossentropy", "cce", {"label_smoothing": eps, "from_logits": logit}, x, g,
                note=None if logit else "p is divided by its sum over the classes first")
    run("CategoricalCrossentropy", "cce_soft", {"label_smoothing": 0.125, "from_logits": True}, z, gs)
    run("CategoricalCrossentropy", "cce_none", {"label_smoothing": 0.125, "from_logits": False}, p, g, reduction=None)
    run("CategoricalCrossentropy", "cce_sum", {"label_smoothing": 0.125, "from_logits": True}, z, g, reduction="sum")
    run("CategoricalCrossentropy", "cce_hard", {"label_smoothing": 0.125, "from_logits": False}, g, g,
        note="p = 0 and 1: clamped to [1e-7, 1-1e-7], gradient 0 there")
    for q in ({"alpha": 0.25, "gamma": 2.0}, {"alpha": [0.25, 0.5, 0.75], "gamma": 0.5, "label_smoothing": 0.125}):
        run("CategoricalFocalCrossentropy", "cfce", {**q, "from_logits": True}, z, g)
    run("Dice", "dice", {}, p, g)
    run("Dice", "dice_axes", {}, p, g, axis=(1, 2, 3), reduction=None)
    fn_first = "keras <= 3.15.1: alpha weights sum (1-p)g, the false NEGATIVES; beta the false positives"
    run("Tversky", "tversky", {"alpha": 0.25, "beta": 0.75}, p, g, note=fn_first)
    run("Tversky", "tversky_axes", {"alpha": 0.25, "beta": 0.75}, p, g, note=fn_first, axis=(1, 2, 3), reduction=None)


# ------------------------------------------------------------------------------------------- JDT, Fidon
@peer("JDTLosses")
def record_jdt():
    JDTLoss = load(ARGS.jdt, "JDTLosses").JDTLoss
    VERSIONS["JDTLosses"] = "68ce8ac (2024-07-03)"
    source = "ran zifuwanggg/JDTLosses@68ce8ac losses/jdt_loss.py"

    def run(tag, params, target=Y, x=X, mask=None, note=None):
        with lifted():
            fn = JDTLoss(**params)
        keep = None if mask is None else tensor(mask).bool()[:, 0]
        record("gen_jdt_" + "_".join(s for s in (tag, label(params)) if s), source, "JDTLoss", params,
               lambda v: fn(v, tensor(target), keep), x, target, mask=mask, note=note)

    D, I, C = {}, {"mIoUD": 0.0, "mIoUI": 1.0}, {"mIoUD": 0.0, "mIoUC": 1.0}
    ABS = np.where(Y == 2, 1, Y)  # class 2 nowhere
    for how in (D, I, C):
        run("hard", {**how, "log_loss": True, "gamma": 1.5}, note="(-ln score)^gamma")
        run("hard", {**how, "class_weights": W}, note="the mean's divisor counts classes, not their weights")
        run("hard_ignore", {**how, "ignore_index": IGN}, target=YI)
    run("hard_ignore", {"ignore_index": IGN, "class_weights": W, "gamma": 1.5, "mIoUI": 0.5, "mIoUC": 0.25}, target=YI)
    run("hard_ignore_inside", {"ignore_index": 1}, note="class 1 is ignored, so not present, so inactive")
    run("hard_none_valid", {"ignore_index": IGN, "mIoUI": 1.0}, target=YALL, note="no active class: 0, gradient 0")
    run("hard_absent", {"active_classes_mode_hard": "ALL"}, target=ABS)
    run("hard_absent", {"class_weights": W, "alpha": 0.5, "beta": 0.5}, target=ABS)
    for threshold in (0.25, 0.125):
        soft = simplex(2, 3, 2, 3, seed=8)
        soft[:, 0] += soft[:, 2] - np.minimum(soft[:, 2], 0.25)
        soft[:, 2] = np.minimum(soft[:, 2], 0.25)  # the largest g of class 2 is exactly 0.25
        for how in (D, I, C) if threshold == 0.25 else (D,):
            run("soft", {**how, "active_classes_mode_soft": "PRESENT", "threshold": threshold}, target=soft,
                note="active: max g > threshold, strictly" if threshold == 0.25 else None)
    run("soft_mask", {"mIoUI": 0.5}, target=YS, mask=M)
    run("soft", {"log_loss": True, "gamma": 2.0, "class_weights": W, "smooth": 0.5}, target=YS)
    run("soft", {"norm": 2, "mIoUC": 0.5}, target=YS)


@peer("Fidon's GeneralizedWassersteinDiceLoss")
def record_fidon():
    GWDL = load(ARGS.fidon, "generalized_wasserstein_dice_loss").GeneralizedWassersteinDiceLoss
    VERSIONS["GeneralizedWassersteinDiceLoss"] = "4aa35ab (2022-07-06)"
    source = "ran LucasFidon/GeneralizedWassersteinDiceLoss@4aa35ab"
    for mode in ("default", "GDL"):
        for tag, matrix in (("max2", MAX2), ("asym", ASYM)):
            for red in ("mean", "none"):
                if tag == "asym" and red != "none":
                    continue
                with contextlib.redirect_stdout(sys.stderr):
                    fn = GWDL(np.array(matrix), weighting_mode=mode, reduction=red)
                record(f"gen_fidon_{tag}_{mode}_{red}", source, "GWDL",
                       {"dist_matrix": matrix, "weighting_mode": mode, "reduction": red, "eps": 2.220446049250313e-16},
                       lambda v: fn(v, tensor(Y[:, None])), X, Y[:, None])


# -------------------------------------------------------------------------------------------- NiftyNet
@peer("niftynet")
def record_niftynet():
    """Retyped from the public source of NifTK/NiftyNet@935bf433 (v0.6): TensorFlow 1, channels last."""
    VERSIONS["niftynet"] = "935bf433 (formulas retyped)"
    source = "RETYPED formula of NifTK/NiftyNet@935bf433:niftynet/layer/loss_segmentation.py"

    def sums(p, y, w):
        g = F.one_hot(y, p.shape[1]).double() * w[:, None]
        return (g * p).sum(0), (w[:, None] * p).sum(0), g.sum(0)  # I, S, T

    def gdl(z, y, w, kind):
        i, s, t = sums(torch.softmax(z, 1), y, w)
        raw = {"Square": 1 / t**2, "Simple": 1 / t, "Uniform": torch.ones_like(t)}[kind]
        largest = torch.where(torch.isinf(raw), torch.zeros_like(raw), raw).max()
        weight = torch.where(torch.isinf(raw), largest, raw)
        top, bottom = 2 * (weight * i).sum(), (weight * torch.where(s + t >= 1, s + t, 1.0)).sum()
        return 0 * s.sum() if bottom == 0 else 1 - top / bottom

    def cross_entropy(z, y, w, weighted):
        each = F.cross_entropy(z, y, reduction="none")
        return (each * w).sum() / w.sum().clamp(min=1e-6) if weighted else each.mean()

    def xent(z, y, w, weighted):
        i, s, t = sums(torch.softmax(z, 1), y, w)
        return (-(2 * i + 1e-5) / (s + t + 1e-5)).mean() + cross_entropy(z, y, w, weighted)

    def tversky(z, y, w, alpha, beta):
        i, s, t = (v.sum() for v in sums(torch.softmax(z, 1), y, w))
        return 1 - i / (i + alpha * (s - i) + beta * (t - i) + 1e-5)

    def run(tag, loss, params, each, x=X, y=Y, w=None, note=None):
        z = np.ascontiguousarray(np.moveaxis(x, 1, -1)).reshape(len(x), -1, x.shape[1])
        flat = y.reshape(len(y), -1)
        weight = np.ones(flat.shape) if w is None else w.reshape(flat.shape)
        record("gen_niftynet_" + tag, source, "niftynet." + loss, {**params, "layout": "channels-last (N,V,C)"},
               lambda v: torch.stack([each(v[n], tensor(flat[n]), tensor(weight[n])) for n in range(len(v))]).mean(),
               z, flat, mask=None if w is None else weight, note=note)

    small = logits(2, 3, 2, 3, seed=15)
    small[1, 2] -= 6.0  # class 2 of sample 1: S + T < 1
    tie = np.zeros((1, 3, 1, 3))
    tie[0, :, 0, 0], tie[0, :, 0, 1], tie[0, :, 0, 2] = (0, -1000, 0), (0, -1000, 0), (0, 0, -1000)
    tie_y = np.array([[[0, 0, 1]]])  # class 2: T = 0, S = 0.5 + 0.5 = 1 exactly
    for kind in ("Square", "Simple", "Uniform"):
        f = lambda z, y, w, k=kind: gdl(z, y, w, k)  # noqa: E731
        q = {"type_weight": kind}
        run(f"gdl_{kind}", "GDSC", q, f, note="class 2 is absent from sample 1: the largest finite weight")
        run(f"gdl_{kind}_small", "GDSC", q, f, x=small, note="sample 1, class 2: S+T < 1, counted as 1, no slope in S")
        run(f"gdl_{kind}_voxel_weights", "GDSC", q, f, w=MF, note="`mask` holds the voxel weights")
    run("gdl_Uniform_tie", "GDSC", {"type_weight": "Uniform"}, lambda z, y, w: gdl(z, y, w, "Uniform"), x=tie, y=tie_y,
        note="S+T = 1 exactly: TensorFlow's maximum passes the slope to S+T")
    run("gdl_Square_nothing", "GDSC", {"type_weight": "Square"}, lambda z, y, w: gdl(z, y, w, "Square"),
        w=np.stack([np.ones((1, 2, 3)), np.zeros((1, 2, 3))]),
        note="sample 1 has no voxel weight: 0/0, loss 0 (TensorFlow's own gradient there is NaN; recorded as 0)")
    run("xent", "DicePlusXEnt", {}, lambda z, y, w: xent(z, y, w, False))
    run("xent_voxel_weights", "DicePlusXEnt", {}, lambda z, y, w: xent(z, y, w, True), w=MF)
    run("xent_nothing", "DicePlusXEnt", {}, lambda z, y, w: xent(z, y, w, True),
        w=np.stack([np.ones((1, 2, 3)), np.zeros((1, 2, 3))]), note="sample 1: Dice -1, cross-entropy 0/1e-6 = 0")
    run("tversky", "Tversky", {"alpha": 0.25, "beta": 0.75}, lambda z, y, w: tversky(z, y, w, 0.25, 0.75))
    run("tversky_voxel_weights", "Tversky", {"alpha": 0.25, "beta": 0.75},
        lambda z, y, w: tversky(z, y, w, 0.25, 0.75), w=MF)


# -------------------------------------------------------------------------------------------- the output
print("versions:", VERSIONS, file=sys.stderr)
META = {
    "made_by": "record.py on the CPU in f64; numbers only", "versions": VERSIONS, "skipped": SKIPPED,
    "licences": {"torch": "BSD-3-Clause", "MONAI": "Apache-2.0", "segmentation_models.pytorch": "MIT",
                 "nnU-Net": "Apache-2.0", "kornia": "Apache-2.0", "keras": "Apache-2.0", "NiftyNet": "Apache-2.0",
                 "GeneralizedWassersteinDiceLoss": "BSD-3-Clause", "JDTLosses": "see repo"},
    "layout": "NC[D]HW row-major unless params.layout says otherwise; values flattened; a label map is N,1,[D]HW or "
              "N,[D]HW of integers; a dense or soft target has the input's shape",
    "null": "NaN or infinity in expected_f64 and grad_f64",
    "fields": {"expected_f64": "what the peer returned, flattened when it is not one number (expected_shape)",
               "grad_f64": "gradient of the SUM of the returned tensor with respect to input as passed",
               "mask": "MaskedDiceLoss: its mask; JDTLoss: keep_mask; niftynet: voxel weights"},
    "tolerance": {"rtol": 1e-9, "atol": 1e-12},
    "parameters": "params are the peer's own constructor arguments; what is not there has the peer's default",
}


def dump(out):
    out.write('{"meta":' + json.dumps(META, separators=(",", ":")) + ',\n"cases":[\n')
    out.write(",\n".join(json.dumps(c, separators=(",", ":"), allow_nan=False) for c in CASES) + "\n]}\n")


dump(sys.stdout)
