/* The textbook: generalised Dice and its gradient in plain double loops, one voxel after the other. */
#ifndef REFERENCE_H
#define REFERENCE_H

#include "check.h"

enum { MOST_CLASSES = 32 };

/* A problem as plain numbers: logits and target [n, c, v], the weights of the voxels [n, v], 0 for those that do not count. */
typedef struct plain {
    int64_t n, c, v;
    const double *logits, *target, *weights;
} plain;

/* The probabilities of voxel v of sample n. */
static inline void reference_probabilities(const plain *s, int32_t activation, int64_t n, int64_t v, double *p) {
    double max = -INFINITY, total = 0.0;
    int64_t c;
    for (c = 0; c < s->c; c++) {
        p[c] = s->logits[(n * s->c + c) * s->v + v];
        if (p[c] > max) max = p[c];
    }
    if (activation == DICE_SIGMOID) {
        for (c = 0; c < s->c; c++) p[c] = 1.0 / (1.0 + exp(-p[c]));
    } else if (activation == DICE_SOFTMAX) {
        for (c = 0; c < s->c; c++) total += p[c] = exp(p[c] - max);
        for (c = 0; c < s->c; c++) p[c] /= total;
    }
}

/* The weights of the classes of a group, from their target volumes. */
static inline void reference_weights(const dice_term *term, int64_t first, int64_t classes, const double *T, double *w) {
    const double e = term->absent_epsilon;
    const int by_volume = term->weighting == DICE_INVERSE_SQUARE || term->weighting == DICE_INVERSE;
    double least = INFINITY, greatest = 0.0;
    int64_t c;
    for (c = 0; c < first; c++) w[c] = 0.0;
    for (c = first; c < classes; c++) {
        const double volume = term->weighting == DICE_INVERSE ? T[c] : T[c] * T[c];
        w[c] = 1.0;
        if (term->weighting == DICE_FIXED) w[c] = term->class_weights[c - first];
        if (by_volume) w[c] = 1.0 / (volume + (term->absent == DICE_REGULARISED ? e : 0.0));
        if (T[c] > 0.0 && w[c] < least) least = w[c];
        if (T[c] > 0.0 && w[c] > greatest) greatest = w[c];
    }
    for (c = first; c < classes; c++) {
        if (T[c] > 0.0 || !by_volume) continue;
        if (term->absent == DICE_LEAST_PRESENT) w[c] = least < INFINITY ? least : 1.0;
        if (term->absent == DICE_MAX_FINITE) w[c] = greatest;
        if (term->absent == DICE_EPSILON) w[c] = e;
        if (term->absent == DICE_ZERO) w[c] = 0.0;
    }
    if (!term->raw_weights) {
        greatest = 0.0;
        for (c = first; c < classes; c++) {
            if (T[c] > 0.0 && w[c] > greatest) greatest = w[c];
        }
        for (c = first; c < classes && greatest > 0.0; c++) w[c] /= greatest;
    }
}

/* Whether samples from <= n < to hold no voxel of the classes from first on. */
static inline int reference_is_empty(const plain *s, int64_t first, int64_t from, int64_t to) {
    int64_t n, c, v;
    for (n = from; n < to; n++) {
        for (c = first; c < s->c; c++) {
            for (v = 0; v < s->v; v++) {
                if (s->weights[n * s->v + v] * s->target[(n * s->c + c) * s->v + v] != 0.0) return 0;
            }
        }
    }
    return 1;
}

/* Values, and the gradient of sum_i upstream_i value_i, both of which the caller has room for. Returns the greatest derivative
 * by a probability, upstream and weights included: the measure for errors of the gradient. */
static inline double reference_plain(const plain *s, const dice_term *term, const double *upstream, size_t num_upstream,
                                   double *values, double *gradient) {
    const int64_t rows = term->grouping == DICE_BATCH ? 1 : s->n, first = term->exclude_background && s->c > 1 ? 1 : 0;
    double p[MOST_CLASSES], steepest = 0.0, factor = term->factor == 0.0 ? 1.0 : term->factor;
    int64_t row, n, v, c, counted = 0;
    for (row = 0; row < rows; row++) {
        const int64_t from = rows == 1 ? 0 : row, to = rows == 1 ? s->n : row + 1;
        counted += term->empty != DICE_EMPTY_SKIP || !reference_is_empty(s, first, from, to);
    }
    if (term->reduction == DICE_MEAN && counted > 0) factor /= (double)counted;
    memset(gradient, 0, (size_t)(s->n * s->c * s->v) * sizeof(double));
    values[0] = 0.0;
    for (row = 0; row < rows; row++) {
        const int64_t from = term->grouping == DICE_BATCH ? 0 : row, to = term->grouping == DICE_BATCH ? s->n : row + 1;
        double T[MOST_CLASSES] = {0.0}, S[MOST_CLASSES] = {0.0}, I[MOST_CLASSES] = {0.0}, w[MOST_CLASSES];
        double N = term->smooth_numerator, D = term->smooth_denominator, value = 0.0, by_S[MOST_CLASSES], by_I[MOST_CLASSES];
        double valid = 0.0;
        const int empty = term->empty != DICE_EMPTY_RATIO && reference_is_empty(s, first, from, to);
        for (n = from; n < to; n++) {
            for (v = 0; v < s->v; v++) {
                const double m = s->weights[n * s->v + v], *g = &s->target[n * s->c * s->v + v];
                if (m == 0.0) continue;
                valid += m;
                reference_probabilities(s, term->activation, n, v, p);
                for (c = 0; c < s->c; c++) {
                    T[c] += m * g[c * s->v];
                    S[c] += m * p[c];
                    I[c] += m * g[c * s->v] * p[c];
                }
            }
        }
        reference_weights(term, first, s->c, T, w);
        for (c = first; c < s->c; c++) {
            const double both = S[c] + T[c];
            N += 2.0 * w[c] * I[c];
            D += w[c] * (both < term->least_union ? term->least_union : both);
        }
        if (D != 0.0) value = 1.0 - N / D;
        if (empty) {
            D = term->empty == DICE_EMPTY_FALSE_POSITIVES ? valid * (double)(s->c - first) : 0.0;
            for (value = 0.0, c = first; c < s->c && D != 0.0; c++) value += S[c] / D;
        }
        if (D == 0.0 || (term->zero_non_finite && !isfinite(value))) {
            if (term->reduction == DICE_NONE) values[row] = 0.0;
            continue;
        }
        if (term->reduction == DICE_NONE) values[row] = factor * value;
        else values[0] += factor * value;
        for (c = 0; c < s->c; c++) {
            const int floored = S[c] + T[c] < term->least_union;
            by_I[c] = empty ? 0.0 : -2.0 * factor * w[c] / D;
            by_S[c] = floored ? 0.0 : factor * w[c] * N / (D * D);
            if (empty) by_S[c] = c < first ? 0.0 : factor / D;
        }
        for (n = from; n < to; n++) {
            for (v = 0; v < s->v; v++) {
                const double m = s->weights[n * s->v + v], *g = &s->target[n * s->c * s->v + v];
                const double up = num_upstream == 0 ? 1.0 : upstream[num_upstream == 1 ? 0 : row];
                double u[MOST_CLASSES], mean = 0.0;
                if (m == 0.0) continue;
                reference_probabilities(s, term->activation, n, v, p);
                for (c = 0; c < s->c; c++) {
                    u[c] = m * up * (by_S[c] + g[c * s->v] * by_I[c]);
                    mean += p[c] * u[c];
                    steepest = fmax(steepest, fabs(u[c]));
                }
                for (c = 0; c < s->c; c++) {
                    double *to_write = &gradient[(n * s->c + c) * s->v + v];
                    if (term->activation == DICE_SOFTMAX) *to_write = p[c] * (u[c] - mean);
                    else *to_write = u[c] * (term->activation == DICE_SIGMOID ? p[c] * (1.0 - p[c]) : 1.0);
                }
            }
        }
    }
    return steepest;
}

/* The same of a scene. */
static inline double reference(const scene *s, const dice_term *term, const double *upstream, size_t num_upstream,
                             double *values, double *gradient) {
    double *logits = (double *)room(s->num_logits, sizeof(double)), *target = (double *)room(s->num_logits, sizeof(double));
    double *weights = (double *)room(s->num_voxels, sizeof(double)), steepest;
    const plain numbers = {s->n, s->c, s->v, logits, target, weights};
    int64_t n, c, v;
    for (n = 0; n < s->n; n++) {
        for (v = 0; v < s->v; v++) {
            const int64_t label = s->labels[n * s->v + v];
            weights[n * s->v + v] = s->problem.use_ignore_index && label == s->problem.ignore_index ? 0.0 : 1.0;
            for (c = 0; c < s->c; c++) {
                const int64_t at = (n * s->c + c) * s->v + v;
                logits[at] = (double)s->logits[at];
                target[at] = c == (s->c == 1 ? label - 1 : label) ? 1.0 : 0.0;
            }
        }
    }
    steepest = reference_plain(&numbers, term, upstream, num_upstream, values, gradient);
    free(logits);
    free(target);
    free(weights);
    return steepest;
}

#endif
