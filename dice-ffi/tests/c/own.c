/* Losses of one's own: the sums of a table, and the places in a cotangent. */
#include "family.h"

enum { N = 2, C = 3, V = 40 };

static int64_t *table_of(scene *s, const dice_loss *loss, size_t *num) {
    int64_t *table;
    OK(dice_statistics_len(&s->z, loss, num));
    table = (int64_t *)room(*num, sizeof(int64_t));
    OK(dice_statistics(&s->z, &s->problem, loss, table, *num));
    return table;
}

/* Every sum of every term of a compound of all kinds, against the textbook. */
static void every_sum(void) {
    dice_term terms[5] = {default_term(), default_term(), default_term(), default_term(), default_term()};
    dice_loss loss = DICE_LOSS_INIT;
    precise *p = precise_new(N, C, V, 0, 3);
    int64_t *table, sample;
    size_t num = 0, term;
    precise_logits(p, 0, 4);
    terms[0].weighed_volume = DICE_ONES;
    terms[1].kind = DICE_SOFT_DICE, terms[1].volumes = DICE_SQUARED, terms[1].activation = DICE_SIGMOID;
    terms[2].kind = DICE_JACCARD, terms[2].overlap = DICE_DIFFERENCE;
    terms[3].kind = DICE_CROSS_ENTROPY, terms[3].activation = DICE_SIGMOID, terms[3].label_smoothing = 0.5;
    terms[4].kind = DICE_WASSERSTEIN, terms[4].costs = SOME_COSTS, terms[4].num_costs = C * C;
    loss.terms = terms, loss.num_terms = 5;
    OK(dice_statistics_len(&p->z, &loss, &num));
    table = (int64_t *)room(num, sizeof(int64_t));
    OK(dice_statistics(&p->z, &p->problem, &loss, table, num));
    for (sample = -1; sample < N; sample++) {
        for (term = 0; term < 5; term++) {
            /* Those that the term asks for. */
            const uint32_t asked[] = {0x1d, 0x3b, 0x59, 0x781, 0x801};
            sums of[MOST_CLASSES];
            int32_t sum;
            int64_t c;
            family_sums(&p->s, &terms[term], sample < 0 ? 0 : sample, sample < 0 ? (int64_t)N : sample + 1, of);
            for (c = 0; c < C; c++) {
                const double expected[] = {of[c].target,     of[c].target_squares, of[c].target,     of[c].prediction,
                                           of[c].intersection, of[c].squares,      of[c].difference, of[c].inside,
                                           of[c].outside,    of[c].everywhere,     of[c].complement, of[c].cost,
                                           of[c].m,          of[c].voxels};
                for (sum = 0; sum < 14; sum++) {
                    double found = -1.0;
                    if (sum < 12 && !(asked[term] >> sum & 1)) continue;
                    OK(dice_statistics_sum(&loss, table, num, N, C, sample, c, (int64_t)term, sum, &found));
                    if (!CHECK(fabs(found - expected[sum]) <= 1e-11 * fmax(1.0, fabs(expected[sum])))) {
                        fprintf(stderr, "    term %zu, sum %d: %.12g, textbook %.12g\n", term, sum, found, expected[sum]);
                    }
                }
            }
        }
    }
    free(table);
    precise_free(p);
}

/* Log-cosh of the mean soft Dice loss, by hand: the bits of the library's own transform need not be the same, the numbers must. */
static void by_hand(void) {
    dice_term term = default_term(), library;
    const dice_loss loss = loss_of(&term), of_library = loss_of(&library);
    scene *s = scene_new(N, C, V, 9);
    double cotangent[N * C * 3] = {0.0}, L = 0.0, slope, expected = 0.0;
    float *gradient = (float *)room(s->num_logits, sizeof(float)), worst = 0.0F;
    int64_t *table, n, c;
    size_t num = 0, i;
    term.kind = DICE_SOFT_DICE;
    library = term;
    library.transform = DICE_LOG_COSH;
    table = table_of(s, &loss, &num);
    for (n = 0; n < N; n++) {
        for (c = 0; c < C; c++) {
            double T = 0.0, S = 0.0, I = 0.0;
            size_t at = 0;
            OK(dice_statistics_sum(&loss, table, num, N, C, n, c, 0, DICE_SUM_TARGET, &T));
            OK(dice_statistics_sum(&loss, table, num, N, C, n, c, 0, DICE_SUM_PREDICTION, &S));
            OK(dice_statistics_sum(&loss, table, num, N, C, n, c, 0, DICE_SUM_INTERSECTION, &I));
            L += (1.0 - 2.0 * I / (S + T)) / (N * C);
            OK(dice_cotangent_index(&loss, C, n, c, 0, DICE_SUM_INTERSECTION, &at));
            cotangent[at] = -2.0 / (S + T) / (N * C);
            OK(dice_cotangent_index(&loss, C, n, c, 0, DICE_SUM_PREDICTION, &at));
            cotangent[at] = 2.0 * I / ((S + T) * (S + T)) / (N * C);
        }
    }
    slope = tanh(L);
    OK(dice_pullback(&s->z, &s->problem, &loss, cotangent, N * C * 3, &slope, 1, DICE_OVERWRITE, &s->g));
    memcpy(gradient, s->gradient, s->num_logits * sizeof(float));
    OK(dice_value_and_grad(&s->z, &s->problem, &of_library, NULL, 0, &expected, 1, DICE_OVERWRITE, &s->g));
    CHECK(fabs(log(cosh(L)) - expected) < 1e-12);
    for (i = 0; i < s->num_logits; i++) worst = fmaxf(worst, fabsf(gradient[i] - s->gradient[i]));
    CHECK(worst < 1e-8F);
    free(table);
    free(gradient);
    scene_free(s);
}

/* Every place of a cotangent belongs to one sum of one class of one group. */
static void every_place(void) {
    dice_term terms[2] = {default_term(), default_term()};
    dice_loss loss = DICE_LOSS_INIT;
    const int32_t asked[2][3] = {{DICE_SUM_PREDICTION, DICE_SUM_INTERSECTION, DICE_SUM_TARGET},
                                 {DICE_SUM_LOG_INSIDE, DICE_SUM_LOG_OUTSIDE, DICE_SUM_TARGET}};
    int seen[N * C * 5] = {0}, i, term;
    size_t num = 0, at;
    int64_t group, c;
    terms[1].kind = DICE_FOCAL, terms[1].activation = DICE_SIGMOID, terms[1].grouping = DICE_PER_SAMPLE;
    loss.terms = terms, loss.num_terms = 2;
    OK(dice_evaluation_len(&loss, N, C, NULL, &num, NULL));
    CHECK(num == N * C * 5);
    for (group = 0; group < N; group++) {
        for (c = 0; c < C; c++) {
            for (term = 0; term < 2; term++) {
                for (i = 0; i < 3; i++) {
                    OK(dice_cotangent_index(&loss, C, group, c, term, asked[term][i], &at));
                    if (CHECK(at < num)) seen[at] += asked[term][i] == DICE_SUM_TARGET ? 3 : 6;
                }
            }
        }
    }
    for (i = 0; i < N * C * 5; i++) CHECK(seen[i] == 6);
}

static void refusals(void) {
    dice_term terms[2] = {default_term(), default_term()};
    dice_loss loss = DICE_LOSS_INIT;
    const int64_t wrong[] = {-2, -1, 99, INT64_MIN, INT64_MAX};
    scene *s = scene_new(N, C, V, 1);
    dice_error error = DICE_ERROR_INIT;
    double value = 7.0;
    size_t num, index = 7, i;
    int64_t *table;
    int32_t sum;
    terms[1].kind = DICE_CROSS_ENTROPY;
    loss.terms = terms, loss.num_terms = 2;
    table = table_of(s, &loss, &num);
#define SUM(loss, table, num, n, c, sample, class_index, term, sum, value) \
    dice_statistics_sum(loss, table, num, n, c, sample, class_index, term, sum, value)
    STATUS(DICE_NULL_POINTER, SUM(NULL, table, num, N, C, 0, 0, 0, 0, &value));
    STATUS(DICE_NULL_POINTER, SUM(&loss, NULL, num, N, C, 0, 0, 0, 0, &value));
    STATUS(DICE_NULL_POINTER, SUM(&loss, table, num, N, C, 0, 0, 0, 0, NULL));
    STATUS(DICE_LAYOUT, SUM(&loss, (const int64_t *)(const void *)((const char *)table + 4), num, N, C, 0, 0, 0, 0, &value));
    STATUS(DICE_LAYOUT, SUM(&loss, table, num, N, C, 0, 0, 0, 0, (double *)(void *)((char *)table + 1)));
    STATUS(DICE_LENGTH, SUM(&loss, table, num - 12, N, C, 0, 0, 0, 0, &value));
    STATUS(DICE_LENGTH, SUM(&loss, table, num, N + 1, C, 0, 0, 0, 0, &value));
    STATUS(DICE_LENGTH, SUM(&loss, table, num, N, C + 1, 0, 0, 0, 0, &value));
    STATUS(DICE_SHAPE, SUM(&loss, table, num, -1, C, 0, 0, 0, 0, &value));
    STATUS(DICE_SHAPE, SUM(&loss, table, num, N, 0, 0, 0, 0, 0, &value));
    STATUS(DICE_SHAPE, SUM(&loss, table, num, INT64_MAX, INT64_MAX, 0, 0, 0, 0, &value));
    for (i = 0; i < 5; i++) {
        if (wrong[i] != -1) STATUS(DICE_INVALID_ARGUMENT, SUM(&loss, table, num, N, C, wrong[i], 0, 0, 0, &value));
        STATUS(DICE_INVALID_ARGUMENT, SUM(&loss, table, num, N, C, 0, wrong[i], 0, 0, &value));
        CHECK(strstr(dice_last_error(), "class_index") != NULL);
        STATUS(DICE_INVALID_ARGUMENT, SUM(&loss, table, num, N, C, 0, 0, wrong[i], 0, &value));
        CHECK(strstr(dice_last_error(), "term") != NULL);
        STATUS(DICE_INVALID_ARGUMENT, dice_cotangent_index(&loss, C, 0, wrong[i], 0, DICE_SUM_PREDICTION, &index));
        STATUS(DICE_INVALID_ARGUMENT, dice_cotangent_index(&loss, C, 0, 0, wrong[i], DICE_SUM_PREDICTION, &index));
        if (wrong[i] < 0) STATUS(DICE_INVALID_ARGUMENT, dice_cotangent_index(&loss, C, wrong[i], 0, 0, 3, &index));
    }
    /* A sum that nobody asked for, and numbers that are no sum. */
    STATUS(DICE_INVALID_ARGUMENT, SUM(&loss, table, num, N, C, 0, 0, 0, DICE_SUM_COST, &value));
    STATUS(DICE_INVALID_ARGUMENT, SUM(&loss, table, num, N, C, 0, 0, 1, DICE_SUM_LOG_OUTSIDE, &value));
    for (sum = 12; sum < 20; sum++) STATUS(DICE_INVALID_ARGUMENT, dice_cotangent_index(&loss, C, 0, 0, 0, sum, &index));
    STATUS(DICE_INVALID_ARGUMENT, SUM(&loss, table, num, N, C, 0, 0, 0, 14, &value));
    STATUS(DICE_INVALID_ARGUMENT, SUM(&loss, table, num, N, C, 0, 0, 0, -1, &value));
    STATUS(DICE_NULL_POINTER, dice_cotangent_index(NULL, C, 0, 0, 0, DICE_SUM_PREDICTION, &index));
    STATUS(DICE_NULL_POINTER, dice_cotangent_index(&loss, C, 0, 0, 0, DICE_SUM_PREDICTION, NULL));
    STATUS(DICE_SHAPE, dice_cotangent_index(&loss, 0, 0, 0, 0, DICE_SUM_PREDICTION, &index));
    STATUS(DICE_SHAPE, dice_cotangent_index(&loss, C, INT64_MAX, 0, 0, DICE_SUM_PREDICTION, &index));
    table[(2 + 3) * 12 + 7] = INT64_C(1) << 40; /* the highest limb of the last sum of the first class */
    STATUS(DICE_OVERFLOW, SUM(&loss, table, num, N, C, 0, 0, 1, DICE_SUM_LOG_INSIDE, &value));
    OK(dice_error_info(&error));
    CHECK(error.status == DICE_OVERFLOW && value == 7.0 && index == 7);
    /* Sums of no class need neither class nor term. */
    OK(SUM(&loss, table, num, N, C, -1, -5, 99, DICE_SUM_VOXELS, &value));
    CHECK(value == N * V);
    free(table);
    scene_free(s);
}

int main(void) {
    every_sum();
    by_hand();
    every_place();
    refusals();
    return report("own");
}
