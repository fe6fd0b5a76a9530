"""The losses of libdice for PyTorch, through its C interface: what the study needs, and no more.

`load(file)` opens the library; `Loss(name or terms)` is a loss, called with logits [N, C, spatial...] in f32 and labels
[N, spatial...] in u8 on the CPU. It returns one value, whose gradient was computed with it in the second pass.
"""

import ctypes as c

import torch

Doubles = c.POINTER(c.c_double)


def struct(name, fields):
    return type(name, (c.Structure,), {"_fields_": fields})


class Tensor(c.Structure):
    """dice_tensor."""

    _fields_ = [
        ("data", c.c_void_p),
        ("device_type", c.c_int32),
        ("device_id", c.c_int32),
        ("ndim", c.c_int32),
        ("code", c.c_uint8),
        ("bits", c.c_uint8),
        ("lanes", c.c_uint16),
        ("shape", c.POINTER(c.c_int64)),
        ("strides", c.POINTER(c.c_int64)),
        ("byte_offset", c.c_uint64),
    ]

    CODES = {torch.float32: (2, 32), torch.uint8: (1, 8)}

    @classmethod
    def of(cls, tensor):
        code, bits = cls.CODES[tensor.dtype]
        axes = c.c_int64 * tensor.ndim
        return cls(tensor.data_ptr(), 1, 0, tensor.ndim, code, bits, 1, axes(*tensor.shape), axes(*tensor.stride()), 0)


Problem = struct(
    "Problem",
    [
        ("struct_size", c.c_size_t),
        ("target", c.POINTER(Tensor)),
        ("dense_target", c.c_int32),
        ("use_ignore_index", c.c_int32),
        ("ignore_index", c.c_int64),
        ("mask", c.POINTER(Tensor)),
        ("voxel_weights", c.POINTER(Tensor)),
        ("sample_weights", c.POINTER(c.c_float)),
        ("num_sample_weights", c.c_size_t),
        ("voxel_offset", c.c_int64),
        ("error_on_non_finite", c.c_int32),
        ("labels_checked", c.c_int32),
    ],
)



def fields(text):
    """Fields of dice_term in the order of the header: whole numbers, `real`s, and `array`s with their lengths."""
    for word in text.split():
        kind, _, name = word.rpartition(":")
        if kind == "array":
            yield from [(name, Doubles), ("num_" + name, c.c_size_t)]
        else:
            yield name, c.c_double if kind == "real" else c.c_int32


Term = struct(
    "Term",
    list(
        fields("""
            kind activation grouping reduction exclude_background transform left_out reserved
            real:factor real:transform_exponent real:transform_least array:class_weights weight_mode
            overlap empty volumes pooling order complement class_transform
            real:class_transform_exponent real:class_transform_least
            real:smooth_numerator real:smooth_denominator real:least_denominator real:softening
            weighting absent raw_weights weighed_volume zero_non_finite doubled real:absent_epsilon real:least_union
            real:least_intersection real:false_positives real:false_negatives
            array:exponents real:exponent_least real:mcc_smoothing
            binary divisor use_alpha reserved_too real:alpha real:label_smoothing array:positive_weights
            cost_weighting normalise_costs array:costs
        """)
    ),
)

LossTerms = struct(
    "LossTerms",
    [("struct_size", c.c_size_t), ("term_size", c.c_size_t), ("terms", c.POINTER(Term)), ("num_terms", c.c_size_t)],
)

KINDS = ["generalized_dice", "soft_dice", "jaccard", "tversky", "focal_tversky", "wasserstein", "mcc", "cross_entropy", "focal"]

_library = None


def load(file, threads):
    """Opens libdice.so, which must have the layout of the structs above, and has it use so many threads."""
    global _library
    _library = c.CDLL(str(file))
    _library.dice_last_error.restype = c.c_char_p
    check(_library.dice_set_num_threads(c.c_int32(threads)))


def check(status):
    if status != 0:
        raise RuntimeError(_library.dice_last_error().decode())


def term(kind, **settings):
    """One term: the name of its kind, and fields of dice_term; arrays as lists of numbers."""
    made = Term(kind=KINDS.index(kind))
    for name, value in settings.items():
        if isinstance(value, list):
            array = (c.c_double * len(value))(*value)
            setattr(made, "num_" + name, len(value))
            value = c.cast(array, Doubles)
        setattr(made, name, value)
    return made


def preset(name):
    """The terms of a preset."""
    terms, num = (Term * 4)(), c.c_size_t()
    check(_library.dice_loss_preset(name.encode(), c.c_size_t(c.sizeof(Term)), terms, c.c_size_t(4), c.byref(num)))
    return list(terms[: num.value])


def weights_from_volumes(volumes, weighting):
    """Weights of classes from their volumes in a whole data set, of mean 1."""
    numbers = (c.c_double * len(volumes))(*volumes)
    check(_library.dice_class_weights_from_volumes(numbers, c.c_size_t(len(volumes)), c.c_int32(weighting), numbers))
    return list(numbers)


class Loss:
    """A weighted sum of terms."""

    def __init__(self, terms):
        self.terms = (Term * len(terms))(*terms)
        self.loss = LossTerms(c.sizeof(LossTerms), c.sizeof(Term), self.terms, len(terms))

    def __call__(self, logits, labels):
        return _Function.apply(logits, labels, self)

    def value_and_gradient(self, logits, labels):
        """The value, and the gradient in a tensor of its own."""
        gradient, value = torch.empty_like(logits), c.c_double()
        z, y, g = (Tensor.of(tensor) for tensor in (logits, labels, gradient))
        problem = Problem(struct_size=c.sizeof(Problem), target=c.pointer(y))
        one, none = c.c_size_t(1), c.c_size_t(0)
        call = _library.dice_value_and_grad
        check(call(c.byref(z), c.byref(problem), c.byref(self.loss), None, none, c.byref(value), one, 0, c.byref(g)))
        return value.value, gradient


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, labels, loss):
        value, gradient = loss.value_and_gradient(logits.detach(), labels)
        ctx.save_for_backward(gradient)
        return torch.tensor(value)

    @staticmethod
    def backward(ctx, upstream):
        (gradient,) = ctx.saved_tensors
        return gradient * upstream.to(gradient.dtype), None, None
