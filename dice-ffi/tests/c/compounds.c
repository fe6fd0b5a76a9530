/* Weighted sums of terms: values, gradients, sums that they share, pieces, and the same bits whatever computes them. */
#include "family.h"

/* Two to four terms of any kinds, of one value each or of one per sample. */
static size_t random_compound(dice_term *terms, int64_t classes, int soft, uint64_t *seed) {
    const size_t num = 2 + (size_t)draw(seed, 3);
    const int32_t reduction = draw(seed, 3);
    const int probabilities = draw(seed, 3) == 0;
    size_t i;
    for (i = 0; i < num; i++) {
        do {
            terms[i] = random_term(draw(seed, NUM_KINDS), classes, seed);
        } while ((terms[i].kind == DICE_WASSERSTEIN && (soft || classes == 1))
                 || (terms[i].activation == DICE_NO_ACTIVATION) != probabilities);
        terms[i].reduction = reduction;
        if (reduction != DICE_NONE) continue;
        terms[i].grouping = DICE_PER_SAMPLE;
        if (is_ratio(terms[i].kind) && terms[i].pooling == DICE_PER_CLASS) terms[i].pooling = DICE_ALL_CLASSES;
        if (terms[i].kind == DICE_FOCAL_TVERSKY && terms[i].num_exponents > 1) terms[i].num_exponents = 1;
    }
    return num;
}

static void sums_of_terms(void) {
    uint64_t seed = 99;
    int round;
    for (round = 0; round < 150; round++) {
        const int64_t classes = 1 + round % 4;
        const int soft = draw(&seed, 3) == 0;
        dice_term terms[4];
        const size_t num = random_compound(terms, classes, soft, &seed);
        precise *p = precise_new(2, classes, 10, soft, seed);
        precise_logits(p, terms[0].activation == DICE_NO_ACTIVATION, seed);
        check_loss(p, terms, num, "compound", round);
        precise_free(p);
    }
}

/* One value per class of each of two ratios. */
static void values_per_class(void) {
    dice_term terms[2] = {default_term(), default_term()};
    precise *p = precise_new(2, 3, 15, 0, 8);
    terms[0].kind = DICE_SOFT_DICE, terms[0].reduction = DICE_NONE, terms[0].exclude_background = 1;
    terms[1].kind = DICE_TVERSKY, terms[1].reduction = DICE_NONE, terms[1].exclude_background = 1, terms[1].factor = 0.5;
    precise_logits(p, 0, 8);
    check_loss(p, terms, 2, "per class", 0);
    precise_free(p);
}

/* A term that is left out is as good as none, and its sums are there. */
static void left_out(void) {
    dice_term terms[2] = {default_term(), default_term()};
    dice_loss one = DICE_LOSS_INIT, two = DICE_LOSS_INIT;
    scene *s = scene_new(2, 3, 70, 2);
    float *expected = (float *)room(s->num_logits, sizeof(float));
    double a = 0.0, b = 1.0;
    size_t num_one = 0, num_two = 0;
    terms[0].kind = DICE_JACCARD;
    terms[1].kind = DICE_CROSS_ENTROPY, terms[1].left_out = 1;
    one.terms = two.terms = terms, one.num_terms = 1, two.num_terms = 2;
    OK(dice_value_and_grad(&s->z, &s->problem, &one, NULL, 0, &a, 1, DICE_OVERWRITE, &s->g));
    memcpy(expected, s->gradient, s->num_logits * sizeof(float));
    OK(dice_value_and_grad(&s->z, &s->problem, &two, NULL, 0, &b, 1, DICE_OVERWRITE, &s->g));
    CHECK(memcmp(&a, &b, sizeof a) == 0 && memcmp(expected, s->gradient, s->num_logits * sizeof(float)) == 0);
    OK(dice_statistics_len(&s->z, &one, &num_one));
    OK(dice_statistics_len(&s->z, &two, &num_two));
    CHECK(num_one == 2 * (2 + 3 * 3) * 12 && num_two == 2 * (2 + 3 * 4) * 12);
    free(expected);
    scene_free(s);
}

/* Terms share sums under one activation; another activation has its own. */
static void shared_sums(void) {
    const int64_t shape[] = {1, 5, 1};
    const float logits[5] = {0.0F};
    const dice_tensor z = dice_f32(logits, 3, shape);
    dice_term terms[3] = {default_term(), default_term(), default_term()};
    dice_loss loss = DICE_LOSS_INIT;
    size_t num = 0, cotangent = 0;
    terms[1].kind = DICE_TVERSKY, terms[2].kind = DICE_CROSS_ENTROPY;
    loss.terms = terms, loss.num_terms = 2;
    OK(dice_statistics_len(&z, &loss, &num));
    CHECK(num == (2 + 5 * 3) * 12);
    loss.num_terms = 3;
    OK(dice_statistics_len(&z, &loss, &num));
    OK(dice_evaluation_len(&loss, 1, 5, NULL, &cotangent, NULL));
    CHECK(num == (2 + 5 * 4) * 12 && cotangent == 5 * 4);
    terms[1].activation = DICE_SIGMOID;
    OK(dice_statistics_len(&z, &loss, &num));
    CHECK(num == (2 + 5 * 6) * 12);
}

/* A term of the batch beside one of each sample: a row per sample. */
static void rows(void) {
    dice_term terms[2] = {default_term(), default_term()};
    dice_loss loss = DICE_LOSS_INIT;
    size_t cotangent = 0, reports = 0;
    int swapped;
    for (swapped = 0; swapped < 2; swapped++) {
        precise *p = precise_new(3, 2, 15, 0, 4);
        terms[swapped] = default_term();
        terms[1 - swapped] = default_term();
        terms[1 - swapped].kind = DICE_CROSS_ENTROPY;
        loss.terms = terms, loss.num_terms = 2;
        OK(dice_evaluation_len(&loss, 3, 2, NULL, &cotangent, &reports));
        CHECK(cotangent == 3 * 2 * 4 && reports == 3 * 2);
        precise_logits(p, 0, 3);
        check_loss(p, terms, 2, "rows", swapped);
        precise_free(p);
    }
}

/* ---------------------------------------------------------------- the same bits */

typedef struct outcome {
    double values[8];
    uint64_t gradient, table;
} outcome;

static outcome compute_loss(scene *s, const dice_loss *loss) {
    outcome o;
    size_t num = 0, num_values = 0;
    int64_t *table;
    memset(&o, 0, sizeof o);
    OK(dice_evaluation_len(loss, s->n, s->c, &num_values, NULL, NULL));
    if (num_values > 8) exit(2);
    OK(dice_statistics_len(&s->z, loss, &num));
    table = (int64_t *)room(num, sizeof(int64_t));
    memset(s->gradient, 0xa5, s->num_logits * sizeof(float));
    OK(dice_value_and_grad(&s->z, &s->problem, loss, NULL, 0, o.values, num_values, DICE_OVERWRITE, &s->g));
    OK(dice_statistics(&s->z, &s->problem, loss, table, num));
    o.gradient = fnv1a(s->gradient, s->num_logits * sizeof(float));
    o.table = fnv1a(table, num * sizeof(int64_t));
    free(table);
    return o;
}

/* In pieces: the table, and then the gradient. */
static outcome compute_pieces(scene *s, const dice_loss *loss) {
    const int64_t tile = dice_tile_voxels();
    outcome o;
    size_t num = 0, num_values = 0, num_cotangent = 0;
    int64_t *table, *part, start;
    double *cotangent;
    memset(&o, 0, sizeof o);
    OK(dice_evaluation_len(loss, s->n, s->c, &num_values, &num_cotangent, NULL));
    OK(dice_statistics_len(&s->z, loss, &num));
    table = (int64_t *)room(num, sizeof(int64_t));
    part = (int64_t *)room(num, sizeof(int64_t));
    cotangent = (double *)room(num_cotangent, sizeof(double));
    for (start = (s->v - 1) / tile * tile; start >= 0; start -= tile) {
        const int64_t end = start + tile < s->v ? start + tile : s->v;
        OK(dice_statistics_range(&s->z, &s->problem, loss, start, end, part, num));
        OK(dice_statistics_merge(part, num, table, num));
    }
    OK(dice_loss_evaluate(loss, table, num, s->n, s->c, o.values, num_values, cotangent, num_cotangent, NULL, 0));
    for (start = 0; start < s->v; start += tile) {
        const int64_t end = start + tile < s->v ? start + tile : s->v;
        OK(dice_pullback_range(&s->z, &s->problem, loss, cotangent, num_cotangent, NULL, 0, start, end, DICE_OVERWRITE, &s->g));
    }
    o.gradient = fnv1a(s->gradient, s->num_logits * sizeof(float));
    o.table = fnv1a(table, num * sizeof(int64_t));
    free(table);
    free(part);
    free(cotangent);
    return o;
}

static void same_outcome(const outcome *a, const outcome *b, const char *what, int round) {
    if (!CHECK(memcmp(a, b, sizeof *a) == 0)) fprintf(stderr, "    %s, round %d\n", what, round);
}

static void same_bits(void) {
    const int32_t threads[] = {1, 3, 0};
    uint64_t seed = 5;
    int round;
    for (round = 0; round < 3 * NUM_KINDS; round++) {
        scene *s = scene_new(2, 3, 22000, (uint64_t)round); /* large: on several threads */
        dice_term terms[4];
        dice_loss loss = DICE_LOSS_INIT;
        outcome expected, found;
        size_t i;
        loss.terms = terms, loss.num_terms = 1;
        terms[0] = random_term(round % NUM_KINDS, 3, &seed);
        if (round >= NUM_KINDS) loss.num_terms = random_compound(terms, 3, 0, &seed);
        for (i = 0; i < s->num_logits && terms[0].activation == DICE_NO_ACTIVATION; i++) {
            s->logits[i] = 0.5F + s->logits[i] / 13.0F;
        }
        expected = compute_loss(s, &loss);
        for (i = 0; i < 3; i++) {
            OK(dice_set_num_threads(threads[i]));
            found = compute_loss(s, &loss);
            same_outcome(&expected, &found, "threads", round);
        }
        if (dice_effective_isa() != DICE_ISA_PORTABLE && !emulated()) {
            OK(dice_set_max_isa(DICE_ISA_SCALAR));
            found = compute_loss(s, &loss);
            same_outcome(&expected, &found, "scalar", round);
            OK(dice_set_max_isa(DICE_ISA_AVX512));
        }
        found = compute_pieces(s, &loss);
        same_outcome(&expected, &found, "pieces", round);
        scene_free(s);
    }
}

/* ---------------------------------------------------------------- as the README has it */

#ifndef __cplusplus
static void readme(void) {
    scene *s = scene_new(2, 3, 40, 1);
    double value = 0.0;
    dice_term terms[] = {{.kind = DICE_SOFT_DICE}, {.kind = DICE_CROSS_ENTROPY, .factor = 0.5}};
    dice_loss loss = {sizeof loss, sizeof *terms, terms, 2};
    OK(dice_value_and_grad(&s->z, &s->problem, &loss, NULL, 0, &value, 1, DICE_OVERWRITE, &s->g));
    CHECK(value > 0.5);
    scene_free(s);
}
#endif

int main(void) {
    sums_of_terms();
    values_per_class();
    left_out();
    shared_sums();
    rows();
    same_bits();
#ifndef __cplusplus
    readme();
#endif
    OK(dice_shutdown());
    return report("compounds");
}
