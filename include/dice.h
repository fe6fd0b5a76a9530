/*
 * dice.h - value and gradient of the Dice loss family, fused from logits, at the speed of memory.
 *
 *   #include <dice.h>            cc program.c -ldice
 *
 *   float logits[...], gradient[...];  uint8_t labels[...];         // [N, C, D, H, W] and [N, D, H, W]
 *   int64_t shape[] = {N, C, D, H, W}, label_shape[] = {N, D, H, W};
 *   dice_tensor z = dice_f32(logits, 5, shape), g = dice_f32(gradient, 5, shape), y = dice_u8(labels, 4, label_shape);
 *   dice_problem problem = DICE_PROBLEM_INIT;
 *   problem.target = &y;
 *   dice_loss loss = DICE_LOSS_INIT;                                 // soft Dice + cross-entropy: the default
 *   double value;
 *   if (dice_value_and_grad(&z, &problem, &loss, NULL, 0, &value, 1, DICE_OVERWRITE, &g) != DICE_OK)
 *       fprintf(stderr, "%s\n", dice_last_error());
 *
 * WHICH LOSS. A loss of no terms is soft Dice + cross-entropy: what to take if nothing speaks for another. docs/study.md shows
 * why: a Dice loss alone has no gradient where a softmax has saturated, and in a network without normalisation that loses
 * classes for good; the sum of any with cross-entropy goes on learning. The generalised Dice loss is the most fragile, for its
 * weights come from the volumes of each patch; with DICE_FIXED they are those of a data set (dice_add_volumes,
 * dice_class_weights_from_volumes).
 *
 * THE THREE STEPS. A loss of this family is a small formula over a few sums over the voxels:
 *   1. dice_statistics     one pass over logits and target: a table of int64 words;
 *   2. dice_loss_evaluate  from the table to the values and the cotangent, their derivative by the sums;
 *   3. dice_pullback       a second pass: from the cotangent to the gradient by the logits.
 * dice_value is 1 + 2, dice_value_and_grad is 1 + 2 + 3. In a training loop forward is 1 + 2 (keep the cotangent) and
 * backward is 3 with the upstream gradient. Tables of parts of a problem, and of several machines, add as integers.
 *
 * PARTS. Steps 1 and 3 take a problem in parts, in any order. A part is a range of voxels (dice_..._range); a slab of the
 * volume, as tensors of its own with problem.voxel_offset; or some samples of the batch, as tensors with a smaller shape[0] and
 * a byte_offset (and sample_weights further on). The tables of ranges and slabs are added with dice_statistics_merge; that of
 * some samples belongs at their rows of the table of the batch. Step 2 is of the whole table. Step 3 of a range or slab takes
 * the whole cotangent, that of some samples their rows of it, and their numbers of upstream, where the loss has a row per
 * sample. The gradient has the bits of the whole however it is cut, and so has the table if the bounds of ranges and slabs,
 * counted in the whole volume, are multiples of dice_tile_voxels(); with other bounds its sums are rounded otherwise.
 *
 * NUMBERS. The same input gives the same bits on every level with fused multiply-add (scalar, NEON, AVX2, AVX-512), with any
 * number of threads and in any memory layout, whatever floating-point mode the host has set; mode and exception flags are on
 * return as they were. The level DICE_ISA_PORTABLE, for CPUs without fused multiply-add, agrees within 1e-6. f64 logits are
 * computed with in f64, all others in f32: f16 and bf16 logits are the f32 numbers that they are. Labels of any type are the
 * same labels. A gradient is rounded once to its type, after upstream, weights and what is already there. Logits that are NaN
 * make the value and the gradient NaN, which has the same bits everywhere (positive and quiet); -infinity is probability 0. A
 * finite input gives finite results (a gradient too large for f16 is infinite there, and so is a logarithm where f32 logits lie
 * further apart than f32 reaches).
 *
 * ERRORS. What can fail returns a dice_status, and every pointer and length is checked. On an error, dice_last_error() is a
 * sentence that names what and where, and dice_error_info() has the numbers in it; both belong to the calling thread. All
 * outputs are then as they were, but after DICE_PANIC (an error of this library itself), when they are unspecified.
 *
 * STRUCTS. Initialise with the DICE_..._INIT macro, or zero everything and set struct_size to sizeof: a field that is zero
 * has its documented default. A field that is documented for 0 and 1 takes no other number; reserved fields must be 0.
 *
 * VERSIONS. A program runs with the libdice it was built with and every later one of the same soname (while the major version is 0,
 * of the same minor one too): functions and numbers keep their meaning, and a struct that says its size grows at its end alone.
 * What a program built before does not have counts as zero. A struct longer than the library knows is DICE_STRUCT_SIZE, for it may
 * say what the library cannot do. dice_tensor and dice_class_report never change.
 *
 * THREADS. All functions may be called from any number of threads at once; dice_set_... take effect on calls that start later,
 * dice_shutdown leaves calls in progress to their own threads. The library starts its own workers with the first call on a
 * large problem (130,000 logits or more); they take no signals that are sent to the process. A child after fork() has workers
 * of its own. The shared library stays loaded after dlclose(); a plug-in that has libdice.a in it must call dice_shutdown
 * before it is unloaded. A call takes less than 64 KiB of its thread's stack. A signal handler may interrupt it, but must not
 * call the library, nor leave by longjmp. A call is no cancellation point: a thread that is cancelled meanwhile ends behind it;
 * asynchronous cancellation must be off.
 *
 * MEMORY. The library reads and writes only elements of the tensors, but the whole span between the first and the last element
 * of a tensor must be valid memory, and nobody may write to it during a call. The span of an output must not overlap that of an
 * input or of another output: that is DICE_LAYOUT. But the gradient may take the place of the logits (see dice_pullback), a
 * table be merged into itself, and weights be written over volumes. No pointer of the caller's is kept after a call returns.
 * Each thread keeps what it works with for up to 100 classes, less than 1 MiB (1.25 MiB at the levels scalar and portable), or
 * 3 MiB if some loss needs more than the overlap: after a thread's first pass over some shape (value, gradient, the three
 * steps, confusion), further ones allocate nothing. Of more classes nothing is kept, and each pass allocates anew. Where memory
 * is not to be had, a call is DICE_UNAVAILABLE, or what it lacks comes from 8 MiB that the library holds in reserve. What ends
 * the process all the same: the C library, if it has no memory for a thread's first use of the library (a few hundred bytes,
 * for thread-local data and what is to be done at the thread's end), and calls that lack more than the reserve at once.
 */
#ifndef DICE_H
#define DICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define DICE_INLINE inline
#else
#define DICE_INLINE static inline
#endif

/* ---------------------------------------------------------------- version and status */

#define DICE_VERSION_MAJOR 0
#define DICE_VERSION_MINOR 1
#define DICE_VERSION_PATCH 0

#define DICE_VERSION_STRING "0.1.0"
#define DICE_VERSION_NUMBER (DICE_VERSION_MAJOR << 16 | DICE_VERSION_MINOR << 8 | DICE_VERSION_PATCH) /* for #if */

/* The version of the library that is loaded, as DICE_VERSION_NUMBER has that of the header. */
uint32_t dice_version(void);

/* Numbers are never reused. */
typedef int32_t dice_status;
enum {
    DICE_OK = 0,
    DICE_NULL_POINTER = 1,     /* a required pointer is NULL */
    DICE_STRUCT_SIZE = 2,      /* struct_size or term_size is of no version of the struct that this library knows */
    DICE_INVALID_ARGUMENT = 3, /* a number or name that means nothing, a range of voxels outside of a sample */
    DICE_SHAPE = 4,            /* shapes that disagree, zero classes, too few or too many axes, more elements than can be */
    DICE_LAYOUT = 5,           /* an output that overlaps itself or an input, a misaligned pointer, impossible strides */
    DICE_UNSUPPORTED = 6,      /* an element type, device or loss that this version does not take */
    DICE_LENGTH = 7,           /* a buffer of the wrong length */
    DICE_LABEL = 8,            /* a label that is neither a class nor ignored; index: the first */
    DICE_NON_FINITE = 9,       /* a logit without a probability, a dense target that is not finite, if
                                  problem.error_on_non_finite; index: the first */
    DICE_OVERFLOW = 10,        /* a sum beyond 2^159 */
    DICE_UNAVAILABLE = 11,     /* memory that this machine does not have, a level that no CPU of its architecture has */
    DICE_PANIC = 12,           /* an error inside the library: please report it */
    DICE_WEIGHT = 13           /* a weight of a voxel or sample that is not from 0 to 1e8; index: the first */
};

/* A few words for a status; never NULL. */
const char *dice_status_string(dice_status status);

/* What went wrong in the last call of this thread that failed, "" if none did: less than 1024 bytes, at the same place as long as the
 * thread lives. The thread's next call that fails replaces the text. */
const char *dice_last_error(void);

typedef struct dice_error {
    size_t struct_size;
    dice_status status; /* of this thread's last call that failed, DICE_OK if none did */
    int32_t reserved;
    int64_t index;    /* where: of the label or weight in its map, of the logit, of the sample, of the axis as the logits count it
                         (without logits, as the target does); -1 for none */
    int64_t found;    /* what was found there: the label, the extent, the length; -1 for none */
    int64_t expected; /* what is needed: the number of classes, the extent, the length; -1 for none */
} dice_error;
#define DICE_ERROR_INIT {sizeof(dice_error), 0, 0, 0, 0, 0}

dice_status dice_error_info(dice_error *error);

/* ---------------------------------------------------------------- tensors */

/* Field for field DLPack's DLTensor. Always passed as pointer to const, for outputs too: only what data points to is written.
 *   logits, gradient, dense target      [N, C, spatial...]: 0 to 6 spatial axes in any layout
 *   map of labels, of a mask, of weights  [N, spatial...] or [N, 1, spatial...]
 * strides are in elements, NULL for a compact row-major tensor; channels-last is the same shape with other strides. */
typedef struct dice_device {
    int32_t device_type; /* DICE_CPU */
    int32_t device_id;
} dice_device;
typedef struct dice_dtype {
    uint8_t code; /* DICE_INT ... */
    uint8_t bits;
    uint16_t lanes; /* 1 */
} dice_dtype;
typedef struct dice_tensor {
    void *data;
    dice_device device;
    int32_t ndim;
    dice_dtype dtype;
    const int64_t *shape;
    const int64_t *strides;
    uint64_t byte_offset;
} dice_tensor;

enum { DICE_CPU = 1 }; /* kDLCPU */
/* kDLInt, kDLUInt, kDLFloat, kDLBfloat, kDLBool. A bool is a byte: 0 is false, and any other is true, which as a number is 1. */
enum { DICE_INT = 0, DICE_UINT = 1, DICE_FLOAT = 2, DICE_BFLOAT = 4, DICE_BOOL = 6 };

/* A compact tensor of any type. The library does not write through it where it is an input. */
DICE_INLINE dice_tensor dice_compact(const void *data, uint8_t code, uint8_t bits, int32_t ndim, const int64_t *shape) {
    dice_tensor tensor = {(void *)(uintptr_t)data, {DICE_CPU, 0}, ndim, {code, bits, 1}, shape, NULL, 0};
    return tensor;
}

/* Compact tensors of one type each; f16 and bf16 by their bits, bool by bytes. */
DICE_INLINE dice_tensor dice_f64(const double *data, int32_t ndim, const int64_t *shape) {
    return dice_compact(data, DICE_FLOAT, 64, ndim, shape);
}
DICE_INLINE dice_tensor dice_f32(const float *data, int32_t ndim, const int64_t *shape) {
    return dice_compact(data, DICE_FLOAT, 32, ndim, shape);
}
DICE_INLINE dice_tensor dice_f16(const uint16_t *data, int32_t ndim, const int64_t *shape) {
    return dice_compact(data, DICE_FLOAT, 16, ndim, shape);
}
DICE_INLINE dice_tensor dice_bf16(const uint16_t *data, int32_t ndim, const int64_t *shape) {
    return dice_compact(data, DICE_BFLOAT, 16, ndim, shape);
}
DICE_INLINE dice_tensor dice_u8(const uint8_t *data, int32_t ndim, const int64_t *shape) {
    return dice_compact(data, DICE_UINT, 8, ndim, shape);
}
DICE_INLINE dice_tensor dice_i8(const int8_t *data, int32_t ndim, const int64_t *shape) {
    return dice_compact(data, DICE_INT, 8, ndim, shape);
}
DICE_INLINE dice_tensor dice_u16(const uint16_t *data, int32_t ndim, const int64_t *shape) {
    return dice_compact(data, DICE_UINT, 16, ndim, shape);
}
DICE_INLINE dice_tensor dice_i16(const int16_t *data, int32_t ndim, const int64_t *shape) {
    return dice_compact(data, DICE_INT, 16, ndim, shape);
}
DICE_INLINE dice_tensor dice_u32(const uint32_t *data, int32_t ndim, const int64_t *shape) {
    return dice_compact(data, DICE_UINT, 32, ndim, shape);
}
DICE_INLINE dice_tensor dice_i32(const int32_t *data, int32_t ndim, const int64_t *shape) {
    return dice_compact(data, DICE_INT, 32, ndim, shape);
}
DICE_INLINE dice_tensor dice_u64(const uint64_t *data, int32_t ndim, const int64_t *shape) {
    return dice_compact(data, DICE_UINT, 64, ndim, shape);
}
DICE_INLINE dice_tensor dice_i64(const int64_t *data, int32_t ndim, const int64_t *shape) {
    return dice_compact(data, DICE_INT, 64, ndim, shape);
}
DICE_INLINE dice_tensor dice_bool(const uint8_t *data, int32_t ndim, const int64_t *shape) {
    return dice_compact(data, DICE_BOOL, 8, ndim, shape);
}

/* Strides in elements, for a tensor's strides: those of a compact row-major tensor, and of one [N, C, spatial...] that lies in memory
 * as [N, spatial..., C]. They stay valid with the caller's array. */
DICE_INLINE void dice_compact_strides(int32_t ndim, const int64_t *shape, int64_t *strides) {
    int64_t stride = 1;
    int32_t axis;
    for (axis = ndim - 1; axis >= 0; --axis) {
        strides[axis] = stride;
        stride = (int64_t)((uint64_t)stride * (uint64_t)shape[axis]);
    }
}
DICE_INLINE void dice_channels_last_strides(int32_t ndim, const int64_t *shape, int64_t *strides) {
    int64_t stride = ndim > 1 ? shape[1] : 1;
    int32_t axis;
    for (axis = ndim - 1; axis >= 0; --axis) {
        if (axis == 1) {
            strides[axis] = 1;
        } else {
            strides[axis] = stride;
            stride = (int64_t)((uint64_t)stride * (uint64_t)shape[axis]);
        }
    }
}

/* The part of a tensor that begins at an index per axis, of another shape: a crop, which copies nothing. tensor.strides must be set,
 * and serve the part too; start and shape have ndim numbers. */
DICE_INLINE dice_tensor dice_cropped(dice_tensor tensor, const int64_t *start, const int64_t *shape) {
    uintptr_t data = (uintptr_t)tensor.data;
    int32_t axis;
    for (axis = 0; axis < tensor.ndim; ++axis) {
        data += (uintptr_t)start[axis] * (uintptr_t)tensor.strides[axis] * (uintptr_t)(tensor.dtype.bits / 8);
    }
    tensor.data = (void *)data;
    tensor.shape = shape;
    return tensor;
}

/* ---------------------------------------------------------------- what a prediction is compared with */

/* Every voxel v has a weight m: that of its sample times its own, 0 where the mask or the ignored label takes it out. With g
 * the target, 0 or 1 for labels, and p the probability, the sums of a class are T = sum m g, S = sum m p, I = sum m g p. A
 * voxel of weight 0 is never looked at: its logits may be NaN and its label impossible, and its gradient is +0. A group in which
 * nothing counts has the value 0 by default; a preset has its owner's (nnunet_dice: -1). */
typedef struct dice_problem {
    size_t struct_size;
    /* Labels, one class per voxel: u8, i8, u16, i16, u32, i32, u64, i64 or bool; with one channel 0 is background and 1 the
     * class. Or, with dense_target, how much of each voxel belongs to each class, in the logits' shape: u8, bool, f16, bf16, f32, f64. */
    const dice_tensor *target;
    int32_t dense_target;             /* 0: labels; 1: dense */
    int32_t use_ignore_index;         /* 0: every label counts; 1: voxels labelled ignore_index do not. Not for dense targets */
    int64_t ignore_index;             /* inside or outside the classes */
    const dice_tensor *mask;          /* a map of u8 or bool: only voxels with a byte other than 0 count; NULL: all */
    const dice_tensor *voxel_weights; /* a map of f32, from 0 to 1e8; NULL: all 1 */
    const float *sample_weights;      /* N numbers from 0 to 1e8; NULL: all 1 */
    size_t num_sample_weights;        /* N, or 0 if there are none */
    int64_t voxel_offset;             /* of a slab: the index of its first voxel in the whole volume, row-major */
    int32_t error_on_non_finite;      /* 0: NaN propagates; 1: a logit without a probability is DICE_NON_FINITE */
    int32_t labels_checked;           /* 1: dice_pullback need not look for wrong labels and weights before it writes; their
                                         voxels are ignored */
} dice_problem;
#define DICE_PROBLEM_INIT {sizeof(dice_problem), NULL, 0, 0, 0, NULL, NULL, NULL, 0, 0, 0, 0}

/* ---------------------------------------------------------------- losses */

/* dice_term.kind. I, S, T and so on are the sums of a class in a group, m the weight of its voxels, w the weight of the class;
 * sn, sd, a, b, e, y and A stand for smooth_numerator, smooth_denominator, false_positives, false_negatives, exponents,
 * label_smoothing and alpha. The sums stand at DICE_SUM_TARGET and below. */
enum {
    DICE_GENERALIZED_DICE = 0, /* Sudre et al. 2017: 1 - N/D, N = 2 sum w I + sn, D = sum w (S + T) + sd; w from volumes */
    DICE_SOFT_DICE = 1,        /* of each class 1 - N/D, N = 2I + sn, D = S + T + sd (Milletari et al. 2016 with squares) */
    DICE_JACCARD = 2,          /* of each class 1 - N/D, N = I + sn, D = S + T - I + sd (Rahman and Wang 2016) */
    DICE_TVERSKY = 3,          /* of each class 1 - N/D, N = I + sn, D = (1-a-b) I + a S + b T + sd (Salehi et al. 2017) */
    DICE_FOCAL_TVERSKY = 4,    /* of each class that to the power of e (Abraham and Khan 2019, whose gamma is 1/e) */
    DICE_WASSERSTEIN = 5,      /* Fidon et al. 2017, costs of mistaking one class for another; of labels only: see costs */
    DICE_MCC = 6,              /* of each class 1 - Matthews' correlation coefficient (Abhishek and Hamarneh 2021) */
    DICE_CROSS_ENTROPY = 7,    /* softmax: sum w [(1-y) F + (y/C) U] / divisor, F = -sum m g ln p, U = -sum m ln p; binary:
                                  sum w [(1-y) (w+ F + F') + (y/2) (w+ U + U')] / divisor, F' and U' those of 1-p and 1-g */
    DICE_FOCAL = 8             /* Lin et al. 2017: F = -sum m g (1-p)^e ln p. Softmax: sum w A F / divisor, with 1-A for class
                                  0; binary: sum w [A w+ F + (1-A) F'] / divisor, F' that of 1-p and 1-g */
};
/* One channel takes a sigmoid: a softmax of it would be 1 whatever the logit, which is DICE_INVALID_ARGUMENT. */
enum { DICE_SOFTMAX = 0, DICE_SIGMOID = 1, DICE_NO_ACTIVATION = 2 };
enum {
    DICE_DEFAULT_GROUPING = 0, /* DICE_BATCH for cross-entropy and focal, DICE_PER_SAMPLE for all others */
    DICE_PER_SAMPLE = 1,       /* each sample is a group */
    DICE_BATCH = 2             /* all samples are one group: their sums are added first */
};
enum {
    DICE_MEAN = 0, /* one value */
    DICE_SUM = 1,  /* one value */
    DICE_NONE = 2  /* one value per group; of a ratio per class one per group and class that stays, [group][class] */
};
/* What becomes of a value L, with x and c for the exponent and the least argument that stand beside it in the term. */
enum {
    DICE_IDENTITY = 0,
    DICE_NEGATIVE_LOG = 1,         /* -ln(1 - L); 1 - L counts as at least c from 1e-30 to 1, slope 0 below; 0 stands for 1e-7 */
    DICE_POWER = 2,                /* L^x, x from 0.01 to 100, no default; the slope is that at no less than c from 0 to 1 */
    DICE_LOG_COSH = 3,             /* ln cosh L (Jadon 2020) */
    DICE_NEGATIVE_SCORE = 4,       /* L - 1 (nnU-Net) */
    DICE_POWER_OF_NEGATIVE_LOG = 5 /* (-ln(1 - L))^x with both ranges (Wong et al. 2018) */
};
/* Whether a mean over classes divides by their weights: that of a ratio per class, and of sums over voxels DICE_ELEMENTS and
 * DICE_ALL_ELEMENTS, for the number of classes. */
enum {
    DICE_MULTIPLY = 0, /* weights multiply; what divides is the number of classes (MONAI) */
    DICE_NORMALISE = 1 /* what divides is the sum of the weights (segmentation_models) */
};
enum {
    DICE_PRODUCT = 0,   /* I = sum m p g */
    DICE_DIFFERENCE = 1 /* I = (S + T - sum m |p - g|) / 2: of soft targets the loss is least where p = g (Wang et al. 2023) */
};
/* What a class without a voxel in the group's target is worth, of the generalised Dice and Wasserstein loss a group without any
 * class: in the formula 1 with gradient 0 for any prediction of a softmax, so that false positives were never punished. */
enum {
    DICE_EMPTY_FALSE_POSITIVES = 0, /* S / m, the part of the voxels that is falsely claimed (Wasserstein: their mean cost) */
    DICE_EMPTY_RATIO = 1,           /* what the formula gives (MONAI, nnU-Net, most peers) */
    DICE_EMPTY_SKIP = 2,            /* nothing: it leaves the mean and its divisor (JDTLosses) */
    DICE_EMPTY_ZERO = 3             /* 0, and it stays in the divisor (segmentation_models) */
};
/* The sums that are S and T of a ratio. Squared ones do not go with DICE_DIFFERENCE and complement. */
enum {
    DICE_PLAIN = 0,
    DICE_SQUARED = 1,           /* sum m p^2 and sum m g^2 (V-Net) */
    DICE_SQUARED_PREDICTION = 2 /* sum m p^2 and T (NiftyNet) */
};
enum {
    DICE_PER_CLASS = 0,          /* a ratio per class, weighed by class_weights */
    DICE_ALL_CLASSES = 1,        /* one ratio: the sums of the classes are added, each times its weight */
    DICE_ALL_CLASSES_SQUARED = 2 /* the same, with the intersection times the weight's square (kornia) */
};
/* The order of a mean over classes and groups, which matters where DICE_EMPTY_SKIP takes some out or DICE_NORMALISE weighs. */
enum {
    DICE_AT_ONCE = 0,
    DICE_CLASSES_FIRST = 1, /* over the classes of a group, then over the groups that have any */
    DICE_GROUPS_FIRST = 2   /* over the groups that have a class, then over the classes that any has */
};
enum { DICE_INVERSE = 0, DICE_INVERSE_SQUARE = 1, DICE_UNIFORM = 2, DICE_FIXED = 3 }; /* 1/T, 1/T^2, 1, class_weights */
/* The weight of a class that is absent from the group (T = 0). Uniform and fixed weights are never touched. */
enum {
    DICE_LEAST_PRESENT = 0, /* the smallest weight of the present classes: gentle at any size of the volume */
    DICE_MAX_FINITE = 1,    /* the largest weight of the present classes (MONAI, NiftyNet) */
    DICE_EPSILON = 2,       /* absent_epsilon, absolute */
    DICE_REGULARISED = 3,   /* every weight is 1 / (T^2 + absent_epsilon), or 1 / (T + absent_epsilon) */
    DICE_ZERO = 4           /* the class does not count */
};
/* The volume that a weight comes from: T, or the weight of the voxels where g is 1 exactly. */
enum { DICE_TARGET = 0, DICE_ONES = 1 };
/* What a sum over the voxels of a group is divided by. A divisor of 0 makes value and gradient 0. */
enum {
    DICE_DEFAULT_DIVISOR = 0, /* binary: DICE_ELEMENTS; else DICE_WEIGHTS for cross-entropy, DICE_VOXELS for focal */
    DICE_WEIGHTS = 1,         /* sum w T, the weights of the voxels' classes (PyTorch's mean) */
    DICE_VOXELS = 2,          /* m */
    DICE_ELEMENTS = 3,        /* m times the number of classes that stay, see weight_mode */
    DICE_ALL_VOXELS = 4,      /* the number of voxels, those that do not count among them */
    DICE_ALL_ELEMENTS = 5,    /* that times the number of classes that stay */
    DICE_ONE = 6              /* 1 */
};
/* The Wasserstein loss with W = sum m sum_c cost[k][c] p_c of the voxels of class k, and true positives P = sum a (T - W). */
enum {
    DICE_FOREGROUND = 0,    /* 1 - N/D, N = 2P + sn, D = 2P + sum W + sd; a is 0 for class 0, else 1 */
    DICE_INVERSE_VOLUME = 1 /* D = sum a (2T - W) + sd, a = 1/(T + 1) of every class */
};

/* One term of a loss; all zero is this library's default generalised Dice loss. Zero is a default everywhere, so where a field
 * says so, -1 stands for 0. A field that is not of the term's kind must be 0 (NULL). Arrays have as many numbers as the num_...
 * field says, read in the call alone; per class means per class that stays. Where no range is given, a number is 0, or from
 * 1e-30 to 1e30: then no finite logits give NaN or infinity. */
typedef struct dice_term {
    /* of every kind */
    int32_t kind;               /* DICE_GENERALIZED_DICE ... */
    int32_t activation;         /* DICE_SOFTMAX over the classes, DICE_SIGMOID of each, DICE_NO_ACTIVATION: probabilities, which
                                   logarithms clamp to 1e-7 ... 1 - 1e-7 with slope 0 beyond. Each term has its own */
    int32_t grouping;           /* DICE_DEFAULT_GROUPING ... */
    int32_t reduction;          /* DICE_MEAN ... */
    int32_t exclude_background; /* 1: class 0 leaves the loss (not the softmax), unless there is but one channel */
    int32_t transform;          /* DICE_IDENTITY ...: what becomes of each value of the term, before the factor */
    int32_t left_out;           /* 1: value and gradient 0, though its sums are taken; factor must be 0 */
    int32_t reserved;
    double factor;              /* value and gradient are multiplied by it, 1e-30 to 1e30 in absolute value; 0 stands for 1 */
    double transform_exponent;  /* of DICE_POWER and DICE_POWER_OF_NEGATIVE_LOG */
    double transform_least;     /* of these two and DICE_NEGATIVE_LOG */
    const double *class_weights; /* per class; none for 1 each. Generalised Dice: with DICE_FIXED alone, where they must be */
    size_t num_class_weights;
    int32_t weight_mode;        /* DICE_MULTIPLY ...; not generalised Dice and Wasserstein */

    /* of ratios per class: soft Dice, Jaccard, Tversky, focal Tversky and MCC; where it says so, of others too */
    int32_t overlap;                 /* DICE_PRODUCT ...; generalised Dice too */
    int32_t empty;                   /* DICE_EMPTY_FALSE_POSITIVES ...; generalised Dice and Wasserstein too */
    int32_t volumes;                 /* DICE_PLAIN ...; not Jaccard and MCC */
    int32_t pooling;                 /* DICE_PER_CLASS ... */
    int32_t order;                   /* DICE_AT_ONCE ...; of means with a value per class */
    int32_t complement;              /* 1: the ratio of a class is that of its rest, 1 - p and 1 - g. One channel p in two such
                                        terms, one of them of the rest, is the two channels (1 - p, p) */
    int32_t class_transform;         /* DICE_IDENTITY ...: what becomes of the value of a class, or pool, before the mean */
    double class_transform_exponent; /* as those of transform */
    double class_transform_least;
    double smooth_numerator;         /* sn; MCC: added to tp tn - fp fn; generalised Dice and Wasserstein too. It counts in
                                        voxels; in those of the rarest class where weights are not raw */
    double smooth_denominator;       /* sd likewise; MCC: added below the root */
    double least_denominator;        /* the denominator counts as at least this, with slope 0 below; not MCC */
    double softening;                /* d from 0 to 1: I = (1-d) I + d S, T = (1-d) T + d m (kornia: 1e-6) */

    /* of generalised Dice */
    int32_t weighting;          /* DICE_INVERSE ... */
    int32_t absent;             /* DICE_LEAST_PRESENT ... */
    int32_t raw_weights;        /* 0: weights are divided by the largest one of a present class; 1: as they are */
    int32_t weighed_volume;     /* DICE_TARGET ... */
    int32_t zero_non_finite;    /* 1: a group whose value is not finite has value and gradient 0 */
    /* of Jaccard */
    int32_t doubled;            /* 1: N = 2I + sn, D = 2(S + T - I) + sd, which matters beside smoothing (MONAI) */
    /* of generalised Dice */
    double absent_epsilon;      /* of DICE_EPSILON, and of DICE_REGULARISED, which needs one */
    double least_union;         /* S + T of a class counts as at least this (NiftyNet: 1) */
    /* of soft Dice */
    double least_intersection;  /* N = 2t + sn, D = 2t + (S - I) + (T - I) + sd, t = I, but at least this (nnU-Net's clip_tp) */
    /* of Tversky and focal Tversky: one half each if both are 0 */
    double false_positives;     /* a */
    double false_negatives;     /* b */
    /* of focal Tversky and focal */
    const double *exponents;    /* e: one, or one per class. Focal Tversky: 0.01 to 100, none for 0.75. Focal: gamma from 0 to
                                   100, none for 2, and per class means per class of the logits */
    size_t num_exponents;
    /* of focal Tversky */
    double exponent_least;      /* the slope is that at no less than this 1 - N/D, from 0 to 1; 0 stands for 1e-7, -1 for 0 */
    /* of MCC */
    double mcc_smoothing;       /* added to tp = I, fp = S - I, fn = T - I, tn = m - S - T + I; 0 stands for 1e-5, -1 for 0 */

    /* of cross-entropy and focal */
    int32_t binary;             /* 1: the classes of DICE_NO_ACTIVATION are questions of their own; under a sigmoid they always
                                   are, under a softmax, where it must be 0, never. Where they are, excluding the background
                                   drops channel 0, else the voxels of class 0 */
    int32_t divisor;            /* DICE_DEFAULT_DIVISOR ... */
    int32_t use_alpha;          /* focal; 1: A = alpha; 0: the factors A and 1 - A are both 1 */
    int32_t reserved_too;
    double alpha;               /* focal: from 0 to 1 */
    double label_smoothing;     /* cross-entropy: y from 0 to 1 */
    const double *positive_weights; /* w+ per class, of binary ones; none for 1 each */
    size_t num_positive_weights;

    /* of Wasserstein */
    int32_t cost_weighting;     /* DICE_FOREGROUND ... */
    int32_t normalise_costs;    /* 1: costs are divided by the greatest of them (MONAI and the authors do) */
    const double *costs;        /* [true class][predicted class], of all classes; no default */
    size_t num_costs;
} dice_term;

/* A weighted sum of terms; none for soft Dice + cross-entropy, the preset "default". Terms that have several values, per group
 * or per class, must all have as many. They share both passes over the voxels and whatever sums they have in common; the
 * reports are those of the first term. */
typedef struct dice_loss {
    size_t struct_size;
    size_t term_size; /* sizeof(dice_term) */
    const dice_term *terms;
    size_t num_terms;
} dice_loss;
#define DICE_LOSS_INIT {sizeof(dice_loss), sizeof(dice_term), NULL, 0}

/* A peer's conventions by name: writes its terms and their number. term_size is sizeof(dice_term). capacity is the number of
 * terms that there is room for; if it is too small, that is DICE_LENGTH, and dice_error_info tells how many are needed; terms
 * NULL and capacity 0 ask for the number alone. Fields may be changed afterwards. Arrays that they point to are the library's
 * and stay as long as it is loaded: for other numbers set another pointer. DICE_WASSERSTEIN has no costs: set them. A term that
 * its owner has off by default is left_out. */
dice_status dice_loss_preset(const char *name, size_t term_size, dice_term *terms, size_t capacity, size_t *num_terms);

/* The name of each preset, in the order of index from 0 on; NULL behind the last. What each does, and where its owner's options
 * are, stands in the documentation of dice-core, dice_core::loss. */
const char *dice_loss_preset_name(size_t index);

/* Weights of classes from their volumes in a whole data set (0, or from 1e-30 to 1e30: voxels or fractions), one per volume:
 * DICE_INVERSE, DICE_INVERSE_SQUARE or DICE_UNIFORM, scaled to a mean of 1. A class of volume 0 weighs as little as the largest
 * one. weights may be volumes. dice_add_volumes counts them. */
dice_status dice_class_weights_from_volumes(const double *volumes, size_t num, int32_t weighting, double *weights);

/* ---------------------------------------------------------------- all at once */

/* The loss of logits: one value, or several for DICE_NONE (see dice_evaluation_len). */
dice_status dice_value(const dice_tensor *logits, const dice_problem *problem, const dice_loss *loss,
                       double *values, size_t num_values);

/* What becomes of what gradient holds: it is overwritten, or the gradient is added to it. */
enum { DICE_OVERWRITE = 0, DICE_ACCUMULATE = 1 };

/* The loss and, in gradient, the gradient of sum_i upstream_i value_i by the logits: see dice_pullback.
 * upstream: one number, or one per value; NULL and 0 for ones. */
dice_status dice_value_and_grad(const dice_tensor *logits, const dice_problem *problem, const dice_loss *loss,
                                const double *upstream, size_t num_upstream,
                                double *values, size_t num_values, int32_t mode, const dice_tensor *gradient);

/* ---------------------------------------------------------------- step 1: statistics */

/* Voxels of a tile. Parts of a volume whose bounds are multiples of it merge to the same bits as the whole. */
int64_t dice_tile_voxels(void);

/* The words of a table for these logits, whose elements are not read. Tables are sample after sample, num / N words each:
 * adding the rows of the samples with dice_statistics_merge pools a batch. Losses that ask for the same sums, in the same
 * order of terms, have the same tables. */
dice_status dice_statistics_len(const dice_tensor *logits, const dice_loss *loss, size_t *num);

/* The table of all voxels. */
dice_status dice_statistics(const dice_tensor *logits, const dice_problem *problem, const dice_loss *loss,
                            int64_t *table, size_t num);

/* The table of the voxels start <= v < end of every sample, in row-major order of the spatial axes. */
dice_status dice_statistics_range(const dice_tensor *logits, const dice_problem *problem, const dice_loss *loss,
                                  int64_t start, int64_t end, int64_t *table, size_t num);

/* Adds a table to another of the same problem, in any order to the same bits. Summing the words of tables as int64 (MPI_SUM)
 * and merging the sum into a table of zeros is the same. Both pointers may be the same table. */
dice_status dice_statistics_merge(const int64_t *from, size_t num, int64_t *into, size_t num_into);

/* The sums of a table. p is the probability under the activation of the term that asks, y its exponents. */
enum {
    DICE_SUM_TARGET = 0,             /* T = sum m g */
    DICE_SUM_TARGET_SQUARES = 1,     /* sum m g^2 */
    DICE_SUM_TARGET_ONES = 2,        /* sum m of the voxels where g is 1 exactly */
    DICE_SUM_PREDICTION = 3,         /* S = sum m p */
    DICE_SUM_INTERSECTION = 4,       /* I = sum m p g */
    DICE_SUM_PREDICTION_SQUARES = 5, /* sum m p^2 */
    DICE_SUM_DIFFERENCE = 6,         /* sum m |p - g| */
    DICE_SUM_LOG_INSIDE = 7,         /* sum m g (1 - p)^y (-ln p) */
    DICE_SUM_LOG_OUTSIDE = 8,        /* sum m (1 - g) p^y (-ln(1 - p)) */
    DICE_SUM_LOG_EVERYWHERE = 9,     /* sum m (-ln p) */
    DICE_SUM_LOG_COMPLEMENT = 10,    /* sum m (-ln(1 - p)) */
    DICE_SUM_COST = 11,              /* sum m sum_c cost[k][c] p_c of the voxels of this class k */
    DICE_SUM_VALID = 12,             /* sum m, of no class */
    DICE_SUM_VOXELS = 13             /* the number of voxels, of no class */
};

/* A sum that a term (from 0) of the loss asked for, of a class of a sample of the table; sample -1: of all samples added. class
 * and term are not looked at for sums of no class. What a kind asks for: the sums in its formula, and T always. */
dice_status dice_statistics_sum(const dice_loss *loss, const int64_t *table, size_t num, int64_t samples, int64_t classes,
                                int64_t sample, int64_t class_index, int64_t term, int32_t sum, double *value);

/* ---------------------------------------------------------------- step 2: head */

/* What a loss says of one class of one group. */
typedef struct dice_class_report {
    double target;       /* T, volumes in voxels, or in weights */
    double prediction;   /* S; 0 for a kind without it, DICE_WASSERSTEIN, DICE_CROSS_ENTROPY and DICE_FOCAL */
    double intersection; /* I; 0 likewise */
    double weight;       /* in the loss, 0 if the class is left out */
    double dice;         /* soft Dice 2I / (S + T), NaN if both are empty, and for these kinds */
    double share;        /* the part of the group's loss, 0 to 1, that comes from the class */
} dice_class_report;

/* Lengths for a table of samples x classes; any output may be NULL.
 *   groups     samples; 1 if all terms are of the whole batch
 *   values     1; for DICE_NONE the groups, or groups x classes that stay
 *   cotangent  groups x classes x columns: [group][class][column], the derivatives by the sums that the loss asks for
 *   reports    groups x classes */
dice_status dice_evaluation_len(const dice_loss *loss, int64_t samples, int64_t classes,
                                size_t *num_values, size_t *num_cotangent, size_t *num_reports);

/* Values, cotangent and reports of a table of samples x classes. Each output may be NULL with length 0. */
dice_status dice_loss_evaluate(const dice_loss *loss, const int64_t *table, size_t num, int64_t samples, int64_t classes,
                               double *values, size_t num_values, double *cotangent, size_t num_cotangent,
                               dice_class_report *reports, size_t num_reports);

/* A loss of your own: some terms say which sums the table has, dice_statistics_sum gives them, dice_cotangent_index says where in
 * a cotangent of zeros the derivative by each belongs, and dice_pullback takes it, with the same terms as its loss (groups and
 * upstream are theirs). Derivatives by the sums of the target alone are not looked at. See examples/c/own_loss.c. */
dice_status dice_cotangent_index(const dice_loss *loss, int64_t classes, int64_t group, int64_t class_index, int64_t term,
                                 int32_t sum, size_t *index);

/* ---------------------------------------------------------------- step 3: pullback */

/* Writes the gradient of sum_i upstream_i value_i by the logits, given the cotangent of dice_loss_evaluate. (A cotangent of
 * one group serves any number of samples if all terms are of the whole batch.) upstream as in dice_value_and_grad.
 * mode: DICE_OVERWRITE, DICE_ACCUMULATE.
 * gradient: of the shape of the logits, in any layout; f64 for f64 logits, f32, f16 or bf16 for all others. In place: a gradient
 * with the logits' data, type and strides overwrites them. It may not overlap an input otherwise, or be added to the logits. */
dice_status dice_pullback(const dice_tensor *logits, const dice_problem *problem, const dice_loss *loss,
                          const double *cotangent, size_t num_cotangent, const double *upstream, size_t num_upstream,
                          int32_t mode, const dice_tensor *gradient);

/* The same for the voxels start <= v < end of every sample; the rest of gradient stays as it is. */
dice_status dice_pullback_range(const dice_tensor *logits, const dice_problem *problem, const dice_loss *loss,
                                const double *cotangent, size_t num_cotangent, const double *upstream, size_t num_upstream,
                                int64_t start, int64_t end, int32_t mode, const dice_tensor *gradient);

/* ---------------------------------------------------------------- volumes and hard overlap */

/* Adds the number of voxels of each class in the labels of problem to volumes, which has a place per class; 0 in each before the
 * first. So the volumes of a data set are counted map by map, in any order and on any machine: whole numbers, exact below 2^53,
 * and those of several runs add up. dice_class_weights_from_volumes makes weights of them that any loss takes. A voxel of weight 0
 * is left out, any other counts once. */
dice_status dice_add_volumes(const dice_problem *problem, double *volumes, size_t num);

/* The confusion matrices of a prediction against the labels of problem, exact: counts is [N][K][K], the voxels of each sample
 * by true class and predicted class. A voxel of weight 0 is left out, any other counts once; matrices of parts add.
 *   logits       classes 0 or K: C, or 2 with one channel. The predicted class is that of the greatest logit, the least class if
 *                there are several; with one channel it is 1 where the logit is above 0. NaN is never greatest.
 *   a label map  of any type that labels have; classes is K. */
dice_status dice_confusion(const dice_tensor *prediction, const dice_problem *problem, int64_t classes, int64_t *counts,
                           size_t num);

/* ---------------------------------------------------------------- instruction set and threads */

/* Levels, least first. All but PORTABLE give the same bits. */
enum { DICE_ISA_SCALAR = 0, DICE_ISA_PORTABLE = 1, DICE_ISA_NEON = 2, DICE_ISA_AVX2 = 3, DICE_ISA_AVX512 = 4 };

/* "scalar", "portable", "neon", "avx2", "avx512"; "unknown" for any other number. */
const char *dice_isa_name(int32_t isa);

/* The level that calls use: the greatest one of this CPU that is not above the cap. */
int32_t dice_effective_isa(void);

/* Caps the level for calls that start later. A level of another architecture (NEON on x86) is DICE_UNAVAILABLE and no cap; one that
 * this CPU lacks is a cap like any other. Before the first call of this function the cap is the environment variable DICE_MAX_ISA, a
 * level's name, if it is set and not empty; if it is no level of this architecture, one line on standard error says so, and there is
 * no cap. */
dice_status dice_set_max_isa(int32_t isa);

/* The threads that a call may use, the caller's among them (never more than 1024 of the library's own); 0, the default, for
 * as many as the machine runs at once. */
dice_status dice_set_num_threads(int32_t threads);

/* Runs the passes on the host's own threads. */
typedef struct dice_executor {
    size_t struct_size;
    void *context; /* passed to run */
    /* Calls claim(argument) up to limit times, on any threads, at once or not, and returns when all these calls have returned.
     * More concurrent calls are more parallelism; the result does not depend on it. It may be called from several threads at
     * once, finds the default floating-point mode, may call this library, and must leave by returning: no exception, no
     * longjmp. */
    void (*run)(void *context, int32_t limit, void (*claim)(void *argument), void *argument);
    int32_t threads; /* the most calls that can be at work at once, at least 1 */
    int32_t reserved;
} dice_executor;
#define DICE_EXECUTOR_INIT {sizeof(dice_executor), NULL, NULL, 0, 0}

/* NULL: the library's own workers again. context must stay valid as long as calls may use it; the struct itself is copied. */
dice_status dice_set_executor(const dice_executor *executor);

/* Ends the library's workers and waits for them. Calls in progress finish on their own threads; a later call starts new
 * workers. */
dice_status dice_shutdown(void);

#ifdef __cplusplus
}
#endif
#endif /* DICE_H */
