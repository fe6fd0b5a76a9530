/* The textbook of the whole family: the values of a term, in plain double loops; and terms drawn at random. */
#ifndef FAMILY_H
#define FAMILY_H

#include "reference.h"

enum { NUM_KINDS = 9, MOST_GROUPS = 4, MOST_VALUES = 128 };

static const char *const KINDS[NUM_KINDS] = {"generalised Dice", "soft Dice", "Jaccard", "Tversky", "focal Tversky",
                                             "Wasserstein", "MCC", "cross-entropy", "focal"};

/* Whether a term of this kind is a ratio per class. */
static inline int is_ratio(int32_t kind) {
    return (kind >= DICE_SOFT_DICE && kind <= DICE_FOCAL_TVERSKY) || kind == DICE_MCC;
}

static inline int is_voxel_loss(int32_t kind) { return kind == DICE_CROSS_ENTROPY || kind == DICE_FOCAL; }

/* Whether its classes are questions of their own. */
static inline int is_binary(const dice_term *t) {
    return t->activation == DICE_SIGMOID || (t->activation == DICE_NO_ACTIVATION && t->binary);
}

static inline int64_t rows_of(const dice_term *t, int64_t n) {
    const int is_default = t->grouping == DICE_DEFAULT_GROUPING;
    return t->grouping == DICE_BATCH || (is_default && is_voxel_loss(t->kind)) ? 1 : n;
}

static inline int64_t first_of(const dice_term *t, int64_t classes) { return t->exclude_background && classes > 1 ? 1 : 0; }

static inline size_t num_values_of(const dice_term *t, int64_t n, int64_t classes) {
    if (t->reduction != DICE_NONE) return 1;
    return (size_t)(rows_of(t, n) * (is_ratio(t->kind) && t->pooling == DICE_PER_CLASS ? classes - first_of(t, classes) : 1));
}

/* ---------------------------------------------------------------- sums */

/* Of one class of one group, or of several together. */
typedef struct sums {
    double m, voxels, target, prediction, intersection, difference, target_squares, squares;
    double inside, outside, everywhere, complement, cost;
} sums;

static inline double clamped(double p) { return p < 1e-7 ? 1e-7 : p > 1.0 - 1e-7 ? 1.0 - 1e-7 : p; }

/* ln p of class c, and ln(1 - p) if the classes are questions of their own. */
static inline void logarithms(const plain *s, const dice_term *t, int64_t n, int64_t v, int64_t c, double p, double *ln_p,
                              double *ln_rest) {
    const double z = s->logits[(n * s->c + c) * s->v + v];
    int64_t k;
    *ln_rest = 0.0;
    if (t->activation == DICE_SOFTMAX) {
        double max = -INFINITY, total = 0.0;
        for (k = 0; k < s->c; k++) max = fmax(max, s->logits[(n * s->c + k) * s->v + v]);
        for (k = 0; k < s->c; k++) total += exp(s->logits[(n * s->c + k) * s->v + v] - max);
        *ln_p = z - max - log(total);
    } else if (t->activation == DICE_SIGMOID) {
        *ln_p = -log1p(exp(-z));
        *ln_rest = -log1p(exp(z));
    } else {
        *ln_p = log(clamped(p));
        *ln_rest = log(1.0 - clamped(p));
    }
}

/* The sums of every class over the samples from <= n < to. */
static inline void family_sums(const plain *s, const dice_term *t, int64_t from, int64_t to, sums *of) {
    const double gamma = t->kind == DICE_FOCAL ? 2.0 : 0.0;
    double p[MOST_CLASSES];
    int64_t n, v, c, k;
    memset(of, 0, MOST_CLASSES * sizeof(sums));
    for (n = from; n < to; n++) {
        for (v = 0; v < s->v; v++) {
            const double m = s->weights[n * s->v + v];
            for (c = 0; c < s->c; c++) of[c].voxels += 1.0;
            if (m == 0.0) continue;
            reference_probabilities(s, t->activation, n, v, p);
            for (c = 0; c < s->c; c++) {
                const double g = s->target[(n * s->c + c) * s->v + v];
                double e = gamma, ln_p, ln_rest;
                if (t->kind == DICE_FOCAL && t->num_exponents > 0) e = t->exponents[t->num_exponents == 1 ? 0 : c];
                logarithms(s, t, n, v, c, p[c], &ln_p, &ln_rest);
                of[c].m += m;
                of[c].target += m * g;
                of[c].prediction += m * p[c];
                of[c].intersection += m * g * p[c];
                of[c].difference += m * fabs(p[c] - g);
                of[c].target_squares += m * g * g;
                of[c].squares += m * p[c] * p[c];
                of[c].inside -= m * g * pow(1.0 - p[c], e) * ln_p;
                of[c].outside -= m * (1.0 - g) * pow(p[c], e) * ln_rest;
                of[c].everywhere -= m * ln_p;
                of[c].complement -= m * ln_rest;
                for (k = 0; k < s->c && t->num_costs > 0 && g == 1.0; k++) {
                    of[c].cost += m * t->costs[c * s->c + k] * p[k];
                }
            }
        }
    }
}

/* ---------------------------------------------------------------- values */

static inline double transformed(double value, int32_t transform, double exponent, double least) {
    const double least_score = least == 0.0 ? 1e-7 : least, ln = -log(fmax(1.0 - value, least_score));
    if (transform == DICE_NEGATIVE_LOG) return ln;
    if (transform == DICE_POWER) return pow(fmax(value, 0.0), exponent);
    if (transform == DICE_LOG_COSH) return log(cosh(value));
    if (transform == DICE_NEGATIVE_SCORE) return value - 1.0;
    if (transform == DICE_POWER_OF_NEGATIVE_LOG) return pow(fmax(ln, 0.0), exponent);
    return value;
}

static inline double class_weight(const dice_term *t, int64_t kept) {
    return t->num_class_weights > 0 ? t->class_weights[kept] : 1.0;
}

static inline double ratio_loss(double numerator, double denominator, double least) {
    const double D = fmax(denominator, least);
    return D == 0.0 ? 0.0 : 1.0 - numerator / D;
}

/* Of a kept class, or of a pool, whose sums are T, S and I. */
static inline double class_formula(const dice_term *t, int64_t kept, double m, double T, double S, double I) {
    const double sn = t->smooth_numerator, sd = t->smooth_denominator, least = t->least_denominator;
    if (t->kind == DICE_SOFT_DICE) {
        const double overlap = fmax(I, t->least_intersection);
        return ratio_loss(2.0 * overlap + sn, S + T + 2.0 * (overlap - I) + sd, least);
    }
    if (t->kind == DICE_JACCARD) {
        const double times = t->doubled ? 2.0 : 1.0;
        return ratio_loss(times * I + sn, times * (S + T - I) + sd, least);
    }
    if (t->kind == DICE_MCC) {
        const double e = t->mcc_smoothing == 0.0 ? 1e-5 : t->mcc_smoothing == -1.0 ? 0.0 : t->mcc_smoothing;
        const double tp = I + e, fp = S - I + e, fn = T - I + e, tn = m - S - T + I + e;
        /* tp + fp, tp + fn, tn + fp and tn + fn, whatever the rounding of I. */
        const double D = sqrt((S + 2.0 * e) * (T + 2.0 * e) * (m - T + 2.0 * e) * (m - S + 2.0 * e) + sd);
        return D == 0.0 ? 0.0 : 1.0 - (tp * tn - fp * fn + sn) / D;
    } else {
        const int both = t->false_positives == 0.0 && t->false_negatives == 0.0;
        const double a = both ? 0.5 : t->false_positives, b = both ? 0.5 : t->false_negatives;
        const double value = ratio_loss(I + sn, (1.0 - a - b) * I + a * S + b * T + sd, least);
        double e = 0.75;
        if (t->kind == DICE_TVERSKY) return value;
        if (t->num_exponents > 0) e = t->exponents[t->num_exponents == 1 ? 0 : kept];
        return pow(fmax(value, 0.0), e);
    }
}

/* The same with its policies, of the sums of one class. */
static inline void class_sums(const dice_term *t, const sums *of, double *T, double *S, double *I, int *empty) {
    *I = t->overlap == DICE_DIFFERENCE ? 0.5 * (of->prediction + of->target - of->difference) : of->intersection;
    *T = of->target, *S = of->prediction;
    if (t->complement) {
        *I += of->m - *S - *T;
        *T = of->m - *T, *S = of->m - *S;
    }
    *empty = *T == 0.0;
    if (t->volumes != DICE_PLAIN) *S = of->squares;
    if (t->volumes == DICE_SQUARED) *T = of->target_squares;
    *I = (1.0 - t->softening) * *I + t->softening * *S;
    *T = (1.0 - t->softening) * *T + t->softening * of->m;
}

static inline double class_policy(const dice_term *t, int64_t kept, double m, double T, double S, double I, int empty) {
    if (empty && t->empty == DICE_EMPTY_FALSE_POSITIVES) return m > 0.0 ? S / m : 0.0;
    if (empty && t->empty != DICE_EMPTY_RATIO) return 0.0;
    return transformed(class_formula(t, kept, m, T, S, I), t->class_transform, t->class_transform_exponent,
                       t->class_transform_least);
}

static inline void ratio_values(const dice_term *t, const sums of[][MOST_CLASSES], int64_t rows, int64_t classes, double *values) {
    const int64_t first = first_of(t, classes), kept = classes - first;
    const int skips = t->empty == DICE_EMPTY_SKIP, normalised = t->weight_mode == DICE_NORMALISE;
    double value[MOST_GROUPS][MOST_CLASSES] = {{0.0}}, divisor[MOST_GROUPS] = {0.0}, all = 0.0, any = 0.0;
    int counts[MOST_GROUPS][MOST_CLASSES] = {{0}};
    int64_t row, c;
    if (t->pooling != DICE_PER_CLASS) {
        double total[MOST_GROUPS] = {0.0}, counted = 0.0;
        for (row = 0; row < rows; row++) {
            double m = 0.0, T = 0.0, S = 0.0, I = 0.0;
            int all_empty = 1, empty;
            for (c = 0; c < kept; c++) {
                const double w = class_weight(t, c);
                double T_c, S_c, I_c;
                class_sums(t, &of[row][first + c], &T_c, &S_c, &I_c, &empty);
                m += of[row][first + c].m;
                T += w * T_c, S += w * S_c;
                I += (t->pooling == DICE_ALL_CLASSES_SQUARED ? w * w : w) * I_c;
                all_empty = all_empty && empty;
            }
            total[row] = class_policy(t, 0, m, T, S, I, all_empty);
            counted += all_empty && skips ? 0.0 : 1.0;
        }
        for (row = 0; row < rows; row++) {
            if (t->reduction == DICE_NONE) values[row] = total[row];
            else values[0] += total[row] / (t->reduction == DICE_MEAN ? fmax(counted, 1.0) : 1.0);
        }
        return;
    }
    for (row = 0; row < rows; row++) {
        for (c = 0; c < kept; c++) {
            double T, S, I;
            int empty;
            class_sums(t, &of[row][first + c], &T, &S, &I, &empty);
            value[row][c] = class_weight(t, c) * class_policy(t, c, of[row][first + c].m, T, S, I, empty);
            counts[row][c] = !(empty && skips);
            if (counts[row][c]) divisor[row] += normalised ? class_weight(t, c) : 1.0;
        }
        all += divisor[row];
        for (c = 0; c < kept && !counts[row][c]; c++) {}
        any += c < kept ? 1.0 : 0.0;
    }
    if (t->reduction == DICE_MEAN && t->order == DICE_GROUPS_FIRST) {
        double of_class[MOST_CLASSES] = {0.0};
        all = 0.0;
        for (c = 0; c < kept; c++) {
            for (row = 0; row < rows; row++) of_class[c] += counts[row][c];
            if (of_class[c] > 0.0) all += normalised ? class_weight(t, c) : 1.0;
        }
        for (row = 0; row < rows; row++) {
            for (c = 0; c < kept; c++) {
                if (counts[row][c] && all > 0.0) values[0] += value[row][c] / of_class[c] / all;
            }
        }
        return;
    }
    for (row = 0; row < rows; row++) {
        for (c = 0; c < kept; c++) {
            double D = 1.0;
            if (t->reduction == DICE_MEAN) D = t->order == DICE_AT_ONCE ? all : divisor[row] * fmax(any, 1.0);
            if (t->reduction == DICE_SUM && normalised) D = divisor[row];
            if (!counts[row][c]) continue;
            if (t->reduction == DICE_NONE) values[row * kept + c] = value[row][c];
            else if (D > 0.0) values[0] += value[row][c] / D;
        }
    }
}

/* Of one group, of a sum over the voxels. */
static inline double voxel_value(const dice_term *t, const sums *of, int64_t classes) {
    const int64_t first = first_of(t, classes), kept = classes - first;
    const double y = t->label_smoothing;
    double total = 0.0, weighted = 0.0, per_voxel = 0.0, D = 1.0;
    int32_t divisor = t->divisor;
    int64_t c;
    if (divisor == DICE_DEFAULT_DIVISOR) {
        if (is_binary(t)) divisor = DICE_ELEMENTS;
        else divisor = t->kind == DICE_FOCAL ? DICE_VOXELS : DICE_WEIGHTS;
    }
    for (c = 0; c < kept; c++) {
        const sums *at = &of[first + c];
        const double w = class_weight(t, c), positive = t->num_positive_weights > 0 ? t->positive_weights[c] : 1.0;
        const double a = t->use_alpha ? t->alpha : 1.0, b = t->use_alpha ? 1.0 - t->alpha : 1.0;
        if (t->kind == DICE_FOCAL) {
            if (is_binary(t)) total += w * (a * positive * at->inside + b * at->outside);
            else total += w * (first + c == 0 && t->use_alpha ? b : a) * at->inside;
        } else if (is_binary(t)) {
            total += w * (1.0 - y) * (positive * at->inside + at->outside);
            total += w * 0.5 * y * (positive * at->everywhere + at->complement);
        } else {
            total += w * ((1.0 - y) * at->inside + y / (double)classes * at->everywhere);
        }
        weighted += w * at->target;
        per_voxel += t->weight_mode == DICE_NORMALISE ? w : 1.0;
    }
    if (divisor == DICE_WEIGHTS) D = weighted;
    if (divisor == DICE_VOXELS) D = of[0].m;
    if (divisor == DICE_ELEMENTS) D = of[0].m * per_voxel;
    if (divisor == DICE_ALL_VOXELS) D = of[0].voxels;
    if (divisor == DICE_ALL_ELEMENTS) D = of[0].voxels * per_voxel;
    return D == 0.0 ? 0.0 : total / D;
}

/* Of one group; empty tells that it has no class of weight. */
static inline double wasserstein_value(const dice_term *t, const sums *of, int64_t classes, int *empty) {
    const int64_t first = first_of(t, classes);
    double unit = 1.0, hits = 0.0, present = 0.0, costs = 0.0, plain_costs = 0.0, D;
    size_t i;
    int64_t c;
    for (i = 0; i < t->num_costs && t->normalise_costs; i++) unit = fmax(i == 0 ? 0.0 : unit, t->costs[i]);
    for (c = first; c < classes; c++) {
        const double T = of[c].target, W = of[c].cost / unit, w = class_weight(t, c - first);
        const double a = w * (t->cost_weighting == DICE_INVERSE_VOLUME ? 1.0 / (T + 1.0) : c > 0 || classes == 1 ? 1.0 : 0.0);
        hits += a * (T - W);
        present += a * T;
        costs += (t->cost_weighting == DICE_INVERSE_VOLUME ? a : w) * W;
        plain_costs += W;
    }
    *empty = present == 0.0;
    if (*empty && t->empty == DICE_EMPTY_FALSE_POSITIVES) return of[0].m > 0.0 ? plain_costs / of[0].m : 0.0;
    if (*empty && t->empty != DICE_EMPTY_RATIO) return 0.0;
    D = (t->cost_weighting == DICE_INVERSE_VOLUME ? 2.0 * present - costs : 2.0 * hits + costs) + t->smooth_denominator;
    return D == 0.0 ? 0.0 : 1.0 - (2.0 * hits + t->smooth_numerator) / D;
}

/* Of one group; the plain case of the generalised Dice loss has a gradient in reference.h, this has all sums. */
static inline double generalised_value(const dice_term *t, const sums *of, int64_t classes, int *empty) {
    const int64_t first = first_of(t, classes);
    double T[MOST_CLASSES], w[MOST_CLASSES], N = t->smooth_numerator, D = t->smooth_denominator, S = 0.0, value;
    int64_t c;
    *empty = 1;
    for (c = 0; c < classes; c++) {
        T[c] = of[c].target;
        if (c >= first && T[c] != 0.0) *empty = 0;
    }
    reference_weights(t, first, classes, T, w);
    for (c = first; c < classes; c++) {
        const double I =
            t->overlap == DICE_DIFFERENCE ? 0.5 * (of[c].prediction + T[c] - of[c].difference) : of[c].intersection;
        N += 2.0 * w[c] * I;
        D += w[c] * fmax(of[c].prediction + T[c], t->least_union);
        S += of[c].prediction;
    }
    if (*empty && t->empty == DICE_EMPTY_FALSE_POSITIVES) {
        return of[0].m > 0.0 ? S / of[0].m / (double)(classes - first) : 0.0;
    }
    if (*empty && t->empty != DICE_EMPTY_RATIO) return 0.0;
    value = 1.0 - N / D;
    return D == 0.0 || (t->zero_non_finite && !isfinite(value)) ? 0.0 : value;
}

/* The values of a term, of which there are num_values_of. */
static inline void family_values(const plain *s, const dice_term *t, double *values) {
    const int64_t rows = rows_of(t, s->n);
    const size_t num = num_values_of(t, s->n, s->c);
    sums of[MOST_GROUPS][MOST_CLASSES];
    double value[MOST_GROUPS] = {0.0}, counted = 0.0;
    int64_t row;
    size_t i;
    for (i = 0; i < num; i++) values[i] = 0.0;
    if (t->left_out) return;
    for (row = 0; row < rows; row++) family_sums(s, t, rows == 1 ? 0 : row, rows == 1 ? s->n : row + 1, of[row]);
    if (is_ratio(t->kind)) {
        ratio_values(t, (const sums(*)[MOST_CLASSES])of, rows, s->c, values);
    } else {
        for (row = 0; row < rows; row++) {
            int empty = 0;
            if (is_voxel_loss(t->kind)) value[row] = voxel_value(t, of[row], s->c);
            else if (t->kind == DICE_WASSERSTEIN) value[row] = wasserstein_value(t, of[row], s->c, &empty);
            else value[row] = generalised_value(t, of[row], s->c, &empty);
            counted += empty && t->empty == DICE_EMPTY_SKIP ? 0.0 : 1.0;
        }
        for (row = 0; row < rows; row++) {
            if (t->reduction == DICE_NONE) values[row] = value[row];
            else values[0] += value[row] / (t->reduction == DICE_MEAN ? fmax(counted, 1.0) : 1.0);
        }
    }
    for (i = 0; i < num; i++) {
        values[i] = (t->factor == 0.0 ? 1.0 : t->factor)
                    * transformed(values[i], t->transform, t->transform_exponent, t->transform_least);
    }
}

/* ---------------------------------------------------------------- terms at random */

/* Numbers that terms point to, for up to four classes. */
static const double SOME_WEIGHTS[] = {0.5, 2.0, 1.25, 0.75}, SOME_EXPONENTS[] = {1.5, 2.0, 1.25, 3.0};
static const double SOME_COSTS[] = {0.0, 1.0, 0.5, 1.0, 0.0, 0.25, 2.0, 0.75, 0.0, 0.5, 1.0, 0.25, 1.0, 0.5, 0.75, 0.0};

static inline int32_t draw(uint64_t *seed, int32_t n) { return (int32_t)random_below(seed, n); }

static inline void draw_transform(uint64_t *seed, int32_t *transform, double *exponent, double *least) {
    *transform = draw(seed, 2) * draw(seed, 6);
    if (*transform == DICE_POWER || *transform == DICE_POWER_OF_NEGATIVE_LOG) *exponent = draw(seed, 2) ? 1.5 : 2.0;
    if (*transform == DICE_NEGATIVE_LOG || *transform == DICE_POWER_OF_NEGATIVE_LOG) *least = draw(seed, 2) ? 0.0 : 1e-3;
}

/* A term of this kind, every option of it at random, for this number of classes. */
static inline dice_term random_term(int32_t kind, int64_t classes, uint64_t *seed) {
    dice_term t = default_term();
    size_t kept;
    t.kind = kind;
    t.activation = possible(draw(seed, 3), classes);
    t.grouping = draw(seed, 3);
    t.reduction = draw(seed, 3);
    t.exclude_background = draw(seed, 2);
    t.factor = draw(seed, 2) ? 0.0 : -1.5;
    kept = (size_t)(classes - first_of(&t, classes));
    draw_transform(seed, &t.transform, &t.transform_exponent, &t.transform_least);
    if (kind != DICE_GENERALIZED_DICE && draw(seed, 2)) t.class_weights = SOME_WEIGHTS, t.num_class_weights = kept;
    if (is_ratio(kind) || is_voxel_loss(kind)) t.weight_mode = draw(seed, 2);
    if (!is_voxel_loss(kind)) {
        t.empty = draw(seed, 4);
        t.smooth_numerator = draw(seed, 2) ? 0.0 : 0.25;
        t.smooth_denominator = draw(seed, 2) ? 0.0 : 0.5;
    }
    if (is_ratio(kind)) {
        const int plain_volumes = kind == DICE_JACCARD || kind == DICE_MCC;
        if (!plain_volumes && draw(seed, 2)) t.volumes = draw(seed, 3);
        if (t.volumes == DICE_PLAIN) t.overlap = draw(seed, 2);
        t.complement = t.volumes == DICE_PLAIN && draw(seed, 4) == 0;
        t.pooling = draw(seed, 3);
        t.order = draw(seed, 3);
        t.softening = draw(seed, 3) ? 0.0 : 0.125;
        draw_transform(seed, &t.class_transform, &t.class_transform_exponent, &t.class_transform_least);
        if (kind != DICE_MCC) t.least_denominator = draw(seed, 3) ? 0.0 : 3.0;
    }
    if (kind == DICE_GENERALIZED_DICE) {
        t.overlap = draw(seed, 2);
        t.weighting = draw(seed, 4);
        if (t.weighting == DICE_FIXED) t.class_weights = SOME_WEIGHTS, t.num_class_weights = kept;
        t.absent = draw(seed, 5);
        if (t.absent == DICE_EPSILON || t.absent == DICE_REGULARISED) t.absent_epsilon = 0.125;
        t.raw_weights = draw(seed, 2);
        t.zero_non_finite = draw(seed, 2);
        t.least_union = draw(seed, 3) ? 0.0 : 5.0;
    }
    if (kind == DICE_JACCARD) t.doubled = draw(seed, 2);
    if (kind == DICE_SOFT_DICE) t.least_intersection = draw(seed, 3) ? 0.0 : 1.5;
    if (kind == DICE_TVERSKY || kind == DICE_FOCAL_TVERSKY) {
        t.false_positives = draw(seed, 2) ? 0.0 : 0.3;
        t.false_negatives = draw(seed, 2) ? 0.0 : 0.7;
    }
    if ((kind == DICE_FOCAL_TVERSKY || kind == DICE_FOCAL) && draw(seed, 3)) {
        t.exponents = SOME_EXPONENTS;
        t.num_exponents = draw(seed, 2) ? 1 : kind == DICE_FOCAL ? (size_t)classes : kept;
        /* A pool has the exponent of its first class. */
        if (kind == DICE_FOCAL_TVERSKY && t.pooling != DICE_PER_CLASS) t.num_exponents = 1;
    }
    if (kind == DICE_MCC) {
        t.mcc_smoothing = draw(seed, 3) - 1.0;
        /* A weighed pool has no true negatives. */
        if (t.pooling != DICE_PER_CLASS) t.class_weights = NULL, t.num_class_weights = 0;
    }
    if (is_voxel_loss(kind)) {
        t.binary = t.activation == DICE_SOFTMAX ? 0 : draw(seed, 2);
        t.divisor = draw(seed, 7);
        if (is_binary(&t) && draw(seed, 2)) t.positive_weights = SOME_EXPONENTS, t.num_positive_weights = kept;
        if (kind == DICE_CROSS_ENTROPY) t.label_smoothing = draw(seed, 2) ? 0.0 : 0.1;
        if (kind == DICE_FOCAL && classes > 1 && draw(seed, 2)) t.use_alpha = 1, t.alpha = 0.25;
    }
    if (kind == DICE_WASSERSTEIN) {
        t.costs = SOME_COSTS;
        t.num_costs = (size_t)(classes * classes);
        t.normalise_costs = draw(seed, 2);
        t.cost_weighting = draw(seed, 2);
    }
    return t;
}

/* ---------------------------------------------------------------- a problem in f64 */

/* Logits of all three kinds of activation at once would be none: they are made for one. Not to be copied. */
typedef struct precise {
    plain s;
    double *logits, *target, *weights, *gradient;
    float *voxel_weights;
    uint8_t *labels;
    int64_t shape[3], label_shape[2];
    dice_tensor z, y, dense, w, g;
    dice_problem problem;
} precise;

/* Labels of which the last class is missing in the first sample, or soft targets; some voxels count half, or not at all. */
static inline precise *precise_new(int64_t n, int64_t c, int64_t v, int soft, uint64_t seed) {
    const dice_problem problem = DICE_PROBLEM_INIT;
    const size_t num_voxels = (size_t)(n * v), num_logits = num_voxels * (size_t)c;
    precise *p = (precise *)room(1, sizeof(precise));
    int64_t i, j, k;
    p->logits = (double *)room(num_logits, sizeof(double));
    p->target = (double *)room(num_logits, sizeof(double));
    p->gradient = (double *)room(num_logits, sizeof(double));
    p->weights = (double *)room(num_voxels, sizeof(double));
    p->voxel_weights = (float *)room(num_voxels, sizeof(float));
    p->labels = (uint8_t *)room(num_voxels, 1);
    for (i = 0; i < n; i++) {
        for (j = 0; j < v; j++) {
            const int64_t label = random_below(&seed, c == 1 ? 2 : i == 0 && c > 2 ? c - 1 : c);
            p->labels[i * v + j] = (uint8_t)label;
            p->voxel_weights[i * v + j] = 0.5F * (float)random_below(&seed, 4);
            p->weights[i * v + j] = (double)p->voxel_weights[i * v + j];
            for (k = 0; k < c; k++) {
                p->target[(i * c + k) * v + j] = label == (c == 1 ? 1 : k) ? 1.0 : 0.0;
                if (soft) p->target[(i * c + k) * v + j] = 0.125 * (double)random_below(&seed, 9);
            }
        }
    }
    p->shape[0] = n, p->shape[1] = c, p->shape[2] = v;
    p->label_shape[0] = n, p->label_shape[1] = v;
    p->z = dice_f64(p->logits, 3, p->shape);
    p->g = dice_f64(p->gradient, 3, p->shape);
    p->dense = dice_f64(p->target, 3, p->shape);
    p->y = dice_u8(p->labels, 2, p->label_shape);
    p->w = dice_f32(p->voxel_weights, 2, p->label_shape);
    p->problem = problem;
    p->problem.target = soft ? &p->dense : &p->y;
    p->problem.dense_target = soft;
    p->problem.voxel_weights = &p->w;
    p->s.n = n, p->s.c = c, p->s.v = v;
    p->s.logits = p->logits, p->s.target = p->target, p->s.weights = p->weights;
    return p;
}

static inline void precise_free(precise *p) {
    free(p->logits);
    free(p->target);
    free(p->gradient);
    free(p->weights);
    free(p->voxel_weights);
    free(p->labels);
    free(p);
}

/* Logits, or probabilities where a term takes them as they are. */
static inline void precise_logits(precise *p, int probabilities, uint64_t seed) {
    int64_t i;
    for (i = 0; i < p->s.n * p->s.c * p->s.v; i++) {
        const double z = (double)random_float(&seed, 2.0F);
        p->logits[i] = probabilities ? 0.5 + 0.22 * z : z;
    }
}

/* Sum of upstream times values of the terms together. */
static inline double textbook(const plain *s, const dice_term *terms, size_t num_terms, const double *upstream, double *values) {
    const size_t num = num_values_of(&terms[0], s->n, s->c);
    double of_term[MOST_VALUES], total = 0.0;
    size_t i, term;
    for (i = 0; i < num; i++) values[i] = 0.0;
    for (term = 0; term < num_terms; term++) {
        family_values(s, &terms[term], of_term);
        for (i = 0; i < num; i++) values[i] += of_term[i];
    }
    for (i = 0; i < num; i++) total += upstream[i] * values[i];
    return total;
}

/* Value and gradient of the library, against the textbook's values and their central differences. Of a step h the difference is
 * off by h^2 times a third derivative, which near the ends of the transforms is some hundred, and by 1e-16 / h. */
static inline void check_loss(precise *p, const dice_term *terms, size_t num_terms, const char *name, int round) {
    const double h = 1e-5;
    dice_loss loss = DICE_LOSS_INIT;
    double expected[MOST_VALUES], found[MOST_VALUES] = {0.0}, upstream[MOST_VALUES], scratch[MOST_VALUES], steepest = 0.0, worst = 0.0;
    size_t num = 0, i;
    int64_t at;
    loss.terms = terms, loss.num_terms = num_terms;
    for (i = 0; i < MOST_VALUES; i++) upstream[i] = 0.5 + 0.25 * (double)i;
    OK(dice_evaluation_len(&loss, p->s.n, p->s.c, &num, NULL, NULL));
    if (!CHECK(num == num_values_of(&terms[0], p->s.n, p->s.c)) || num > MOST_VALUES) exit(2);
    textbook(&p->s, terms, num_terms, upstream, expected);
    if (!OK(dice_value_and_grad(&p->z, &p->problem, &loss, upstream, num, found, num, DICE_OVERWRITE, &p->g))) {
        fprintf(stderr, "    %s, round %d\n", name, round);
        return;
    }
    for (i = 0; i < num; i++) {
        if (!CHECK(fabs(found[i] - expected[i]) <= 1e-10 * fmax(1.0, fabs(expected[i])))) {
            fprintf(stderr, "    %s, round %d: value %.12g, textbook %.12g\n", name, round, found[i], expected[i]);
        }
    }
    for (at = 0; at < p->s.n * p->s.c * p->s.v; at++) {
        const double z = p->logits[at];
        double up, down;
        p->logits[at] = z + h;
        up = textbook(&p->s, terms, num_terms, upstream, scratch);
        p->logits[at] = z - h;
        down = textbook(&p->s, terms, num_terms, upstream, scratch);
        p->logits[at] = z;
        steepest = fmax(steepest, fabs(up - down) / (2.0 * h));
        worst = fmax(worst, fabs((up - down) / (2.0 * h) - p->gradient[at]));
    }
    if (!CHECK(worst <= 1e-6 * steepest + 1e-9)) {
        fprintf(stderr, "    %s, round %d: gradient is off by %g of %g\n", name, round, worst, steepest);
    }
}

#endif
