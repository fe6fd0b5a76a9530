/* What the C tests share: counting checks, random numbers, and a random problem. Plain C99 and C++11. */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dice.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- checks */

static int checks_made, checks_failed;

static inline int check(int holds, const char *what, const char *file, int line) {
    __atomic_fetch_add(&checks_made, 1, __ATOMIC_RELAXED);
    if (!holds) {
        __atomic_fetch_add(&checks_failed, 1, __ATOMIC_RELAXED);
        fprintf(stderr, "%s:%d: FAILED: %s\n    last error: %s\n", file, line, what, dice_last_error());
    }
    return holds;
}

static inline int check_status(dice_status expected, dice_status found, const char *what, const char *file, int line) {
    if (expected != found) {
        fprintf(stderr, "%s:%d: %s, where %s is expected:\n", file, line, dice_status_string(found),
                dice_status_string(expected));
    }
    return check(expected == found, what, file, line);
}

#define CHECK(condition) check((condition) ? 1 : 0, #condition, __FILE__, __LINE__)
#define STATUS(expected, call) check_status(expected, call, #call, __FILE__, __LINE__)
#define OK(call) STATUS(DICE_OK, call)

/* The last line of main. */
static inline int report(const char *name) {
    printf("%s: %d checks, %d failed\n", name, checks_made, checks_failed);
    return checks_failed == 0 ? 0 : 1;
}

/* Whether an emulator (or valgrind, which is one) runs this program: limits of memory and new programs escape it. */
static inline int emulated(void) { return getenv("DICE_EMULATED") != NULL; }

/* ---------------------------------------------------------------- numbers */

/* Memory that is there; zeroed. */
static inline void *room(size_t count, size_t size) {
    void *memory = calloc(count > 0 ? count : 1, size);
    if (memory == NULL) {
        fprintf(stderr, "out of memory\n");
        exit(2);
    }
    return memory;
}

/* A number of 32 random bits (splitmix64). */
static inline uint32_t random_bits(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}

/* From 0 up to and without n. */
static inline int64_t random_below(uint64_t *state, int64_t n) { return (int64_t)(random_bits(state) % (uint32_t)n); }

/* From -scale to scale. */
static inline float random_float(uint64_t *state, float scale) {
    return scale * ((float)(random_bits(state) >> 8) / 8388608.0F - 1.0F);
}

/* ---------------------------------------------------------------- a problem */

/* Compact tensors of random numbers, [n, c, v] and [n, v]. Not to be copied: tensors point into it. */
typedef struct scene {
    int64_t n, c, v;
    size_t num_logits, num_voxels, num_table;
    float *logits, *gradient;
    uint8_t *labels;
    int64_t shape[3], label_shape[2];
    dice_tensor z, y, g;
    dice_problem problem;
} scene;

static inline scene *scene_new(int64_t n, int64_t c, int64_t v, uint64_t seed) {
    const dice_problem problem = DICE_PROBLEM_INIT;
    scene *s = (scene *)room(1, sizeof(scene));
    size_t i;
    s->n = n, s->c = c, s->v = v;
    s->num_logits = (size_t)(n * c * v);
    s->num_voxels = (size_t)(n * v);
    s->num_table = (size_t)(n * (2 + 3 * c)) * 12;
    s->logits = (float *)room(s->num_logits, sizeof(float));
    s->gradient = (float *)room(s->num_logits, sizeof(float));
    s->labels = (uint8_t *)room(s->num_voxels, 1);
    for (i = 0; i < s->num_logits; i++) s->logits[i] = random_float(&seed, 6.0F);
    for (i = 0; i < s->num_voxels; i++) s->labels[i] = (uint8_t)random_below(&seed, c > 1 ? c : 2);
    s->shape[0] = n, s->shape[1] = c, s->shape[2] = v;
    s->label_shape[0] = n, s->label_shape[1] = v;
    s->z = dice_f32(s->logits, 3, s->shape);
    s->g = dice_f32(s->gradient, 3, s->shape);
    s->y = dice_u8(s->labels, 2, s->label_shape);
    s->problem = problem;
    s->problem.target = &s->y;
    return s;
}

static inline void scene_free(scene *s) {
    free(s->logits);
    free(s->gradient);
    free(s->labels);
    free(s);
}

/* A term of the library's defaults. */
static inline dice_term default_term(void) {
    dice_term term;
    memset(&term, 0, sizeof term);
    return term;
}

/* The loss that has this one term. */
static inline dice_loss loss_of(const dice_term *term) {
    dice_loss loss = DICE_LOSS_INIT;
    loss.terms = term;
    loss.num_terms = 1;
    return loss;
}

/* What a call made: to compare bits. */
typedef struct result {
    double value;
    uint64_t gradient; /* FNV-1a */
} result;

static inline uint64_t fnv1a(const void *data, size_t size) {
    const unsigned char *bytes = (const unsigned char *)data;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    size_t i;
    for (i = 0; i < size; i++) hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* The activation, or a sigmoid in the place of a softmax where there is one channel. */
static inline int32_t possible(int32_t activation, int64_t channels) {
    return channels == 1 && activation == DICE_SOFTMAX ? DICE_SIGMOID : activation;
}

/* The default loss; of one channel, the first of its terms under a sigmoid, which is put into `term`. */
static inline dice_loss default_loss_of(int64_t channels, dice_term *term) {
    const dice_loss loss = DICE_LOSS_INIT;
    *term = default_term();
    term->kind = DICE_SOFT_DICE;
    term->activation = DICE_SIGMOID;
    return channels == 1 ? loss_of(term) : loss;
}

/* Value and gradient by the default loss. */
static inline result compute(scene *s) {
    dice_term term;
    const dice_loss loss = default_loss_of(s->c, &term);
    result r = {-1.0, 0};
    memset(s->gradient, 0xa5, s->num_logits * sizeof(float));
    OK(dice_value_and_grad(&s->z, &s->problem, &loss, NULL, 0, &r.value, 1, DICE_OVERWRITE, &s->g));
    r.gradient = fnv1a(s->gradient, s->num_logits * sizeof(float));
    return r;
}

static inline int same(result a, result b) {
    return memcmp(&a.value, &b.value, sizeof a.value) == 0 && a.gradient == b.gradient;
}

#endif
