/* Every form of input: types, targets, masks, weights, layouts, ways to write the gradient, parts, confusion matrices. */
#include "check.h"
#include "reference.h"

/* ---------------------------------------------------------------- types */

enum { F32, F64, F16, BF16, U8, BOOL, I8, U16, I16, I32, I64 };
static const struct {
    uint8_t code, bits;
} types[] = {{DICE_FLOAT, 32}, {DICE_FLOAT, 64}, {DICE_FLOAT, 16}, {DICE_BFLOAT, 16}, {DICE_UINT, 8}, {DICE_BOOL, 8},
             {DICE_INT, 8}, {DICE_UINT, 16}, {DICE_INT, 16}, {DICE_INT, 32}, {DICE_INT, 64}};

/* To nearest, ties to even. */
static uint16_t to_f16(double x) {
    const double a = fabs(x);
    const unsigned sign = signbit(x) ? 0x8000U : 0U;
    int e = 0;
    if (isnan(x)) return 0x7e00;
    if (a >= 65520.0) return (uint16_t)(sign | 0x7c00U);
    (void)frexp(a, &e);
    if (a < ldexp(1.0, -14)) return (uint16_t)(sign | (unsigned)rint(ldexp(a, 24)));
    return (uint16_t)(sign | ((unsigned)(e + 14) * 1024U + (unsigned)rint(ldexp(a, 11 - e)) - 1024U));
}

static double of_f16(uint16_t bits) {
    const int e = (bits >> 10) & 31, m = bits & 1023;
    const double a = e == 31 ? (m != 0 ? (double)NAN : (double)INFINITY) : e == 0 ? ldexp(m, -24) : ldexp(m + 1024, e - 25);
    return (bits & 0x8000) != 0 ? -a : a;
}

static uint16_t to_bf16(double x) {
    const float f = (float)x;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if (isnan(x)) return 0x7fc0;
    return (uint16_t)((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

static double of_bf16(uint16_t half) {
    const uint32_t bits = (uint32_t)half << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

static void store(void *at, int type, double x) {
    switch (type) {
        case F32: { const float y = (float)x; memcpy(at, &y, sizeof y); break; }
        case F64: memcpy(at, &x, sizeof x); break;
        case F16: { const uint16_t y = to_f16(x); memcpy(at, &y, sizeof y); break; }
        case BF16: { const uint16_t y = to_bf16(x); memcpy(at, &y, sizeof y); break; }
        case I8: { const int8_t y = (int8_t)x; memcpy(at, &y, sizeof y); break; }
        case U16: { const uint16_t y = (uint16_t)x; memcpy(at, &y, sizeof y); break; }
        case I16: { const int16_t y = (int16_t)x; memcpy(at, &y, sizeof y); break; }
        case I32: { const int32_t y = (int32_t)x; memcpy(at, &y, sizeof y); break; }
        case I64: { const int64_t y = (int64_t)x; memcpy(at, &y, sizeof y); break; }
        default: { const uint8_t y = (uint8_t)x; memcpy(at, &y, sizeof y); break; }
    }
}

/* Of the types that gradients have. */
static double fetch(const void *at, int type) {
    float f;
    double d;
    uint16_t half;
    switch (type) {
        case F32: memcpy(&f, at, sizeof f); return (double)f;
        case F64: memcpy(&d, at, sizeof d); return d;
        default: memcpy(&half, at, sizeof half); return type == F16 ? of_f16(half) : of_bf16(half);
    }
}

/* ---------------------------------------------------------------- tensors */

enum { FIRST, LAST, GAPS };

/* [n, c, v] in some layout. Not to be copied: tensor points into it. */
typedef struct numbers {
    int type;
    size_t bytes;
    unsigned char *data;
    int64_t shape[3], strides[3];
    dice_tensor tensor;
} numbers;

static numbers *numbers_new(int type, int64_t n, int64_t c, int64_t v, int layout) {
    numbers *t = (numbers *)room(1, sizeof(numbers));
    t->type = type;
    t->shape[0] = n, t->shape[1] = c, t->shape[2] = v;
    t->strides[0] = c * v, t->strides[1] = layout == LAST ? 1 : v, t->strides[2] = layout == LAST ? c : 1;
    if (layout == GAPS) t->strides[0] = c * (2 * v + 3) + 5, t->strides[1] = 2 * v + 3, t->strides[2] = 2;
    t->bytes = (size_t)(n * t->strides[0] + 8) * types[type].bits / 8;
    t->data = (unsigned char *)room(t->bytes, 1);
    t->tensor = dice_compact(t->data, types[type].code, types[type].bits, 3, t->shape);
    t->tensor.strides = t->strides;
    return t;
}

static void numbers_free(numbers *t) {
    if (t == NULL) return;
    free(t->data);
    free(t);
}

static void *at(const numbers *t, int64_t n, int64_t c, int64_t v) {
    return t->data + (size_t)(n * t->strides[0] + c * t->strides[1] + v * t->strides[2]) * types[t->type].bits / 8;
}

static void set(numbers *t, int64_t n, int64_t c, int64_t v, double x) { store(at(t, n, c, v), t->type, x); }
static double get(const numbers *t, int64_t n, int64_t c, int64_t v) { return fetch(at(t, n, c, v), t->type); }

/* ---------------------------------------------------------------- all at once, against the reference */

static double worst_value[2], worst_gradient[2];
static int combinations;

static void draw(uint64_t seed) {
    static const int64_t extents[] = {1, 15, 64, 100, 300};
    const int64_t n = 1 + random_below(&seed, 3), c = 1 + random_below(&seed, 5), v = extents[random_below(&seed, 5)];
    const int type = (int)random_below(&seed, 4), dense = (int)random_below(&seed, 2);
    const int soft = dense && random_below(&seed, 2) != 0;
    const int target_type = !dense ? U8 + (int)random_below(&seed, 7) : soft ? (int)random_below(&seed, 4) : (int)random_below(&seed, 6);
    const int masked = (int)random_below(&seed, 2), weighted = (int)random_below(&seed, 2), sampled = (int)random_below(&seed, 2);
    const int ignoring = !dense && random_below(&seed, 2) != 0;
    const int64_t labels = target_type == BOOL || c == 1 ? 2 : c, ignored = random_below(&seed, labels + 1);
    const int mode = (int)random_below(&seed, 2), in_place = mode == DICE_OVERWRITE && random_below(&seed, 3) == 0;
    static const int outputs[] = {F32, F16, BF16};
    const int gradient_type = in_place || type == F64 ? type : outputs[random_below(&seed, 3)];
    numbers *z = numbers_new(type, n, c, v, (int)random_below(&seed, 3));
    numbers *y = numbers_new(target_type, n, dense ? c : 1, v, (int)random_below(&seed, 3));
    numbers *mask = numbers_new(random_below(&seed, 2) != 0 ? U8 : BOOL, n, 1, v, (int)random_below(&seed, 3));
    numbers *w = numbers_new(F32, n, 1, v, (int)random_below(&seed, 3));
    numbers *out = numbers_new(gradient_type, n, c, v, (int)random_below(&seed, 3)), *g = in_place ? z : out;
    const size_t elements = (size_t)(n * c * v);
    double *logits = (double *)room(elements, sizeof(double)), *target = (double *)room(elements, sizeof(double));
    double *weights = (double *)room((size_t)(n * v), sizeof(double)), *expected = (double *)room(elements, sizeof(double));
    double *before = (double *)room(elements, sizeof(double)), values[3] = {0.0}, found[3] = {0.0};
    const double upstream[] = {1.5, -0.5, 2.0};
    const float sample_weights[] = {0.5F, 2.0F, 1.25F};
    const plain numbers_plain = {n, c, v, logits, target, weights};
    const int precise = type == F64;
    const double tolerance = precise ? 1e-11 : 6e-7;
    const double rounding = g->type == F16 ? ldexp(1.0, -11) : g->type == BF16 ? ldexp(1.0, -8) : g->type == F32 ? ldexp(1.0, -23) : 0.0;
    dice_problem problem = DICE_PROBLEM_INIT;
    dice_term term = default_term();
    dice_loss loss = loss_of(&term);
    size_t num_values, num_upstream;
    double steepest;
    int64_t i, k, j;

    term.activation = possible((int32_t)random_below(&seed, 3), c);
    term.grouping = random_below(&seed, 2) ? DICE_BATCH : DICE_PER_SAMPLE;
    term.reduction = (int32_t)random_below(&seed, 3);
    num_values = term.reduction == DICE_NONE && term.grouping == DICE_PER_SAMPLE ? (size_t)n : 1;
    num_upstream = random_below(&seed, 2) != 0 ? num_values : 1;
    for (i = 0; i < n; i++) {
        for (j = 0; j < v; j++) {
            const int64_t label = random_below(&seed, labels);
            const int out_of_mask = masked && random_below(&seed, 3) == 0;
            const int is_ignored = ignoring && random_below(&seed, 4) == 0 && target_type != BOOL;
            const int lost = out_of_mask || is_ignored || (ignoring && label == ignored);
            const float weight = 0.25F * (float)random_below(&seed, 9);
            double m = lost ? 0.0 : 1.0;
            set(mask, i, 0, j, out_of_mask ? 0.0 : 1.0);
            set(w, i, 0, j, lost ? -(double)NAN : (double)weight);
            if (weighted) m *= (double)weight;
            if (sampled) m *= (double)sample_weights[i];
            weights[i * v + j] = m;
            /* Poison where nobody looks. */
            if (!dense) set(y, i, 0, j, is_ignored ? (double)ignored : out_of_mask ? 99.0 : (double)label);
            for (k = 0; k < c; k++) {
                const size_t e = (size_t)((i * c + k) * v + j);
                double one = (label == (c == 1 ? 1 : k)) ? 1.0 : 0.0;
                if (soft) one = 0.25 * (double)random_below(&seed, 5);
                if (dense) set(y, i, k, j, one);
                target[e] = one;
                set(z, i, k, j, m == 0.0 ? (double)NAN : (double)random_float(&seed, term.activation == DICE_NO_ACTIVATION ? 0.5F : 5.0F));
                logits[e] = m == 0.0 ? 0.0 : get(z, i, k, j);
                set(out, i, k, j, 0.01 * (double)random_below(&seed, 5));
                before[e] = mode == DICE_ACCUMULATE ? get(out, i, k, j) : 0.0;
            }
        }
    }
    problem.target = &y->tensor;
    problem.dense_target = dense;
    problem.use_ignore_index = ignoring;
    problem.ignore_index = ignoring ? ignored : 0;
    if (masked) problem.mask = &mask->tensor;
    if (weighted) problem.voxel_weights = &w->tensor;
    if (sampled) problem.sample_weights = sample_weights, problem.num_sample_weights = (size_t)n;

    steepest = reference_plain(&numbers_plain, &term, upstream, num_upstream, values, expected);
    if (!OK(dice_value_and_grad(&z->tensor, &problem, &loss, upstream, num_upstream, found, num_values, mode, &g->tensor))) {
        fprintf(stderr, "    types %d %d %d\n", type, target_type, gradient_type);
    }
    for (i = 0; i < (int64_t)num_values; i++) {
        const double error = fabs(found[i] - values[i]);
        worst_value[precise] = fmax(worst_value[precise], error);
        CHECK(error <= (precise ? 1e-11 : 1e-6));
    }
    for (i = 0; i < n; i++) {
        for (k = 0; k < c; k++) {
            for (j = 0; j < v; j++) {
                const size_t e = (size_t)((i * c + k) * v + j);
                const double sum = before[e] + expected[e], error = fabs(get(g, i, k, j) - sum);
                const double rounded = rounding * (fabs(sum) + steepest * tolerance) + (g->type == F16 ? ldexp(1.0, -25) : 0.0);
                if (steepest > 0.0) worst_gradient[precise] = fmax(worst_gradient[precise], (error - rounded) / steepest);
                if (!CHECK(error <= tolerance * steepest + rounded)) {
                    fprintf(stderr, "    %g, expected %g; types %d %d %d\n", get(g, i, k, j), sum, type, target_type, g->type);
                    goto done;
                }
            }
        }
    }
done:
    combinations++;
    numbers_free(z), numbers_free(y), numbers_free(mask), numbers_free(w), numbers_free(out);
    free(logits), free(target), free(weights), free(expected), free(before);
}

/* ---------------------------------------------------------------- the same target in all types: the same bits */

static void types_of_targets(int64_t c) {
    scene *s = scene_new(2, c, 777, 5);
    const result expected = compute(s);
    int type;
    for (type = F32; type <= I64; type++) {
        const int dense = type <= U8;
        numbers *y;
        int64_t i, j, k;
        if (type == BOOL && c > 2) continue;
        y = numbers_new(type, 2, dense ? c : 1, s->v, GAPS);
        for (i = 0; i < 2; i++) {
            for (j = 0; j < s->v; j++) {
                const int64_t label = s->labels[i * s->v + j];
                if (!dense) set(y, i, 0, j, (double)label);
                for (k = 0; dense && k < c; k++) set(y, i, k, j, label == (c == 1 ? 1 : k) ? 1.0 : 0.0);
            }
        }
        s->problem.target = &y->tensor;
        s->problem.dense_target = dense;
        CHECK(same(expected, compute(s)));
        numbers_free(y);
    }
    scene_free(s);
}

/* ---------------------------------------------------------------- parts */

/* Slabs as tensors of their own, and samples one by one: merged, the bits of the whole. */
static void parts(void) {
    const int64_t tile = dice_tile_voxels(), n = 2, c = 3, v = 2 * tile + 777;
    const dice_term term = default_term();
    const dice_loss loss = loss_of(&term);
    scene *s = scene_new(n, c, v, 11);
    int64_t *whole = (int64_t *)room(s->num_table, sizeof(int64_t)), *merged = (int64_t *)room(s->num_table, sizeof(int64_t));
    int64_t *part = (int64_t *)room(s->num_table, sizeof(int64_t));
    const size_t per_sample = s->num_table / (size_t)n;
    double value, cotangent[2 * 3 * 3];
    int64_t i, k, j, start;

    OK(dice_statistics(&s->z, &s->problem, &loss, whole, s->num_table));
    OK(dice_loss_evaluate(&loss, whole, s->num_table, n, c, &value, 1, cotangent, 18, NULL, 0));
    OK(dice_pullback(&s->z, &s->problem, &loss, cotangent, 18, NULL, 0, DICE_OVERWRITE, &s->g));
    for (start = 2 * tile; start >= 0; start -= tile) {
        const int64_t len = start + tile < v ? tile : v - start;
        numbers *z = numbers_new(F32, n, c, len, FIRST), *y = numbers_new(U8, n, 1, len, FIRST), *g = numbers_new(F32, n, c, len, LAST);
        dice_problem problem = DICE_PROBLEM_INIT;
        int differ = 0;
        for (i = 0; i < n; i++) {
            for (j = 0; j < len; j++) {
                set(y, i, 0, j, (double)s->labels[i * v + start + j]);
                for (k = 0; k < c; k++) set(z, i, k, j, (double)s->logits[(i * c + k) * v + start + j]);
            }
        }
        problem.target = &y->tensor;
        problem.voxel_offset = start;
        OK(dice_statistics(&z->tensor, &problem, &loss, part, s->num_table));
        OK(dice_statistics_merge(part, s->num_table, merged, s->num_table));
        OK(dice_pullback(&z->tensor, &problem, &loss, cotangent, 18, NULL, 0, DICE_OVERWRITE, &g->tensor));
        for (i = 0; i < n; i++) {
            for (k = 0; k < c; k++) {
                for (j = 0; j < len; j++) {
                    differ |= memcmp(at(g, i, k, j), &s->gradient[(i * c + k) * v + start + j], sizeof(float)) != 0;
                }
            }
        }
        CHECK(!differ);
        numbers_free(z), numbers_free(y), numbers_free(g);
    }
    CHECK(memcmp(whole, merged, s->num_table * sizeof(int64_t)) == 0);

    memset(merged, 0, s->num_table * sizeof(int64_t));
    for (i = n - 1; i >= 0; i--) {
        const int64_t shape[] = {1, c, v}, map[] = {1, v};
        dice_tensor z = dice_f32(s->logits, 3, shape), y = dice_u8(s->labels, 2, map);
        dice_problem problem = DICE_PROBLEM_INIT;
        z.byte_offset = (uint64_t)(i * c * v) * sizeof(float);
        y.byte_offset = (uint64_t)(i * v);
        problem.target = &y;
        OK(dice_statistics(&z, &problem, &loss, part, per_sample));
        OK(dice_statistics_merge(part, per_sample, merged + (size_t)i * per_sample, per_sample));
    }
    CHECK(memcmp(whole, merged, s->num_table * sizeof(int64_t)) == 0);
    free(whole), free(merged), free(part);
    scene_free(s);
}

/* ---------------------------------------------------------------- confusion matrices and volumes */

static void confusion(int64_t c, int type, int map_type, uint64_t seed) {
    const int64_t n = 2, v = 333, classes = c == 1 ? 2 : c;
    numbers *z = numbers_new(type, n, c, v, LAST), *map = numbers_new(map_type, n, 1, v, GAPS), *y = numbers_new(I32, n, 1, v, GAPS);
    numbers *mask = numbers_new(U8, n, 1, v, FIRST);
    int64_t counts[2][2 * 25] = {{0}}, found[2 * 25], i, j, k;
    double volumes[5] = {0.0};
    dice_problem problem = DICE_PROBLEM_INIT;
    for (i = 0; i < n; i++) {
        for (j = 0; j < v; j++) {
            const int64_t truth = random_below(&seed, classes), label = random_below(&seed, classes), counted = random_below(&seed, 3);
            int64_t best = 0;
            double greatest = c == 1 ? 0.0 : -INFINITY;
            for (k = 0; k < c; k++) {
                /* Few values, so that there are ties. */
                set(z, i, k, j, (double)random_below(&seed, 4) - 1.5);
                if (get(z, i, k, j) > greatest) greatest = get(z, i, k, j), best = c == 1 ? 1 : k;
            }
            set(y, i, 0, j, counted == 0 ? 1234.0 : (double)truth);
            set(map, i, 0, j, counted == 0 ? 111.0 : (double)label);
            set(mask, i, 0, j, counted == 0 ? 0.0 : 1.0);
            if (counted == 0 || truth == 0) continue;
            counts[0][(i * classes + truth) * classes + best]++;
            counts[1][(i * classes + truth) * classes + label]++;
        }
    }
    problem.target = &y->tensor;
    problem.mask = &mask->tensor;
    problem.use_ignore_index = 1;
    OK(dice_confusion(&z->tensor, &problem, 0, found, (size_t)(n * classes * classes)));
    CHECK(memcmp(found, counts[0], (size_t)(n * classes * classes) * sizeof(int64_t)) == 0);
    OK(dice_confusion(&map->tensor, &problem, classes, found, (size_t)(n * classes * classes)));
    CHECK(memcmp(found, counts[1], (size_t)(n * classes * classes) * sizeof(int64_t)) == 0);
    /* Twice, which adds. */
    OK(dice_add_volumes(&problem, volumes, (size_t)classes));
    OK(dice_add_volumes(&problem, volumes, (size_t)classes));
    for (k = 0; k < classes; k++) {
        int64_t volume = 0;
        for (i = 0; i < n; i++) {
            for (j = 0; j < classes; j++) volume += counts[0][(i * classes + k) * classes + j];
        }
        CHECK(volumes[k] == 2.0 * (double)volume);
    }
    numbers_free(z), numbers_free(map), numbers_free(y), numbers_free(mask);
}

int main(void) {
    const int rounds = emulated() ? 40 : 600;
    int i;
    for (i = 0; i < rounds; i++) draw((uint64_t)i);
    for (i = 1; i < 5; i++) types_of_targets(i);
    parts();
    for (i = 0; i < 12; i++) confusion(1 + i % 5, F32 + i % 4, I8 + i % 5, (uint64_t)i);
    printf("%d combinations; worst error of value %.2g (f64 %.2g), of gradient %.2g (f64 %.2g)\n", combinations, worst_value[0],
           worst_value[1], worst_gradient[0], worst_gradient[1]);
    return report("inputs");
}
