/* The three steps, in one piece and in many: the same bits as all at once. */
#include "check.h"

/* What the steps make: values, cotangent and reports, by evaluation of a table. */
typedef struct evaluation {
    double values[8], cotangent[8 * 5 * 3];
    dice_class_report reports[8 * 5];
    size_t num_values, num_cotangent, num_reports;
} evaluation;

static evaluation evaluate(const dice_loss *loss, const int64_t *table, size_t num, int64_t samples, int64_t classes) {
    evaluation e;
    memset(&e, 0, sizeof e);
    OK(dice_evaluation_len(loss, samples, classes, &e.num_values, &e.num_cotangent, &e.num_reports));
    OK(dice_loss_evaluate(loss, table, num, samples, classes, e.values, e.num_values, e.cotangent, e.num_cotangent,
                          e.reports, e.num_reports));
    return e;
}

static void shuffle(size_t *order, size_t len, uint64_t seed) {
    size_t i;
    for (i = 0; i < len; i++) order[i] = i;
    for (i = len; i > 1; i--) {
        const size_t j = (size_t)random_below(&seed, (int64_t)i), kept = order[i - 1];
        order[i - 1] = order[j];
        order[j] = kept;
    }
}

/* Steps against value_and_grad, and pieces against the whole. */
static void pieces(const dice_term *term, int64_t n, int64_t c, int64_t v, uint64_t seed) {
    const dice_loss loss = loss_of(term);
    const int64_t tile = dice_tile_voxels();
    const size_t num_pieces = (size_t)((v + tile - 1) / tile);
    scene *s = scene_new(n, c, v, seed);
    const size_t bytes = s->num_logits * sizeof(float), table_bytes = s->num_table * sizeof(int64_t);
    int64_t *table = (int64_t *)room(s->num_table, sizeof(int64_t)), *merged = (int64_t *)room(s->num_table, sizeof(int64_t));
    int64_t *part = (int64_t *)room(s->num_table, sizeof(int64_t)), *summed = (int64_t *)room(s->num_table, sizeof(int64_t));
    float *expected = (float *)room(s->num_logits, sizeof(float));
    size_t *order = (size_t *)room(num_pieces, sizeof(size_t));
    double values[8] = {0.0};
    const double upstream[] = {0.5, -2.0, 3.0};
    const size_t num_upstream = term->reduction == DICE_NONE ? (term->grouping == DICE_BATCH ? 1 : (size_t)n) : 1;
    size_t num = 0, i, w;
    evaluation e;
    int round;

    OK(dice_statistics_len(&s->z, &loss, &num));
    CHECK(num == s->num_table);
    OK(dice_statistics(&s->z, &s->problem, &loss, table, num));
    e = evaluate(&loss, table, num, n, c);
    OK(dice_value_and_grad(&s->z, &s->problem, &loss, upstream, num_upstream, values, e.num_values, DICE_OVERWRITE, &s->g));
    CHECK(memcmp(values, e.values, e.num_values * sizeof(double)) == 0);
    memcpy(expected, s->gradient, bytes);
    memset(s->gradient, 0xa5, bytes);
    OK(dice_pullback(&s->z, &s->problem, &loss, e.cotangent, e.num_cotangent, upstream, num_upstream, DICE_OVERWRITE, &s->g));
    CHECK(memcmp(expected, s->gradient, bytes) == 0);

    for (round = 0; round < 2; round++) {
        memset(merged, 0, table_bytes);
        memset(summed, 0, table_bytes);
        shuffle(order, num_pieces, seed + (uint64_t)round);
        for (i = 0; i < num_pieces; i++) {
            const int64_t start = (int64_t)order[i] * tile, end = start + tile < v ? start + tile : v;
            OK(dice_statistics_range(&s->z, &s->problem, &loss, start, end, part, num));
            OK(dice_statistics_merge(part, num, merged, num));
            for (w = 0; w < num; w++) summed[w] += part[w];
        }
        CHECK(memcmp(merged, table, table_bytes) == 0);
        /* What MPI_SUM makes of the tables: evaluated as it is, and merged into zeros. */
        {
            const evaluation of_sum = evaluate(&loss, summed, num, n, c);
            CHECK(memcmp(&of_sum, &e, sizeof e) == 0);
        }
        memset(merged, 0, table_bytes);
        OK(dice_statistics_merge(summed, num, merged, num));
        CHECK(memcmp(merged, table, table_bytes) == 0);

        memset(s->gradient, 0xa5, bytes);
        for (i = 0; i < num_pieces; i++) {
            const int64_t start = (int64_t)order[i] * tile, end = start + tile < v ? start + tile : v;
            OK(dice_pullback_range(&s->z, &s->problem, &loss, e.cotangent, e.num_cotangent, upstream, num_upstream, start,
                                   end, DICE_OVERWRITE, &s->g));
        }
        CHECK(memcmp(expected, s->gradient, bytes) == 0);
    }

    /* A range of any bounds writes its voxels and no other. */
    memset(s->gradient, 0xa5, bytes);
    OK(dice_pullback_range(&s->z, &s->problem, &loss, e.cotangent, e.num_cotangent, upstream, num_upstream, v / 3,
                           v / 3 + v / 5 + 1, DICE_OVERWRITE, &s->g));
    for (i = 0; i < s->num_logits; i++) {
        const int64_t voxel = (int64_t)i % v;
        float untouched;
        memset(&untouched, 0xa5, sizeof untouched);
        if (voxel < v / 3 || voxel >= v / 3 + v / 5 + 1) expected[i] = untouched;
    }
    CHECK(memcmp(expected, s->gradient, bytes) == 0);

    scene_free(s);
    free(table);
    free(merged);
    free(part);
    free(summed);
    free(expected);
    free(order);
}

/* Adding the rows of the samples pools a batch. */
static void pooling(void) {
    enum { N = 3, C = 4, ROW = (2 + 3 * C) * 12 };
    dice_term term = default_term();
    const dice_loss loss = loss_of(&term);
    scene *s = scene_new(N, C, 9000, 31);
    int64_t table[N * ROW], pooled[ROW] = {0}, twice[N * ROW];
    evaluation batch, of_pooled, of_twice;
    size_t n, i;
    term.grouping = DICE_BATCH;
    OK(dice_statistics(&s->z, &s->problem, &loss, table, N * ROW));
    for (n = 0; n < N; n++) OK(dice_statistics_merge(table + n * ROW, ROW, pooled, ROW));
    batch = evaluate(&loss, table, N * ROW, N, C);
    of_pooled = evaluate(&loss, pooled, ROW, 1, C);
    CHECK(memcmp(&batch, &of_pooled, sizeof batch) == 0);
    /* Per sample a pooled table is one sample. */
    term.grouping = DICE_PER_SAMPLE;
    of_pooled = evaluate(&loss, pooled, ROW, 1, C);
    CHECK(memcmp(batch.values, of_pooled.values, sizeof batch.values) == 0);
    /* The cotangent of the pooled batch serves all of its samples. */
    term.grouping = DICE_BATCH;
    OK(dice_pullback(&s->z, &s->problem, &loss, batch.cotangent, C * 3, NULL, 0, DICE_OVERWRITE, &s->g));
    /* A table added to itself has twice the volumes. */
    memcpy(twice, table, sizeof twice);
    OK(dice_statistics_merge(twice, N * ROW, twice, N * ROW));
    of_twice = evaluate(&loss, twice, N * ROW, N, C);
    for (i = 0; i < C; i++) {
        CHECK(of_twice.reports[i].target == 2.0 * batch.reports[i].target);
        CHECK(of_twice.reports[i].prediction == 2.0 * batch.reports[i].prediction);
    }
    scene_free(s);
}

/* The reports say what the problem holds. */
static void reports(void) {
    const dice_term term = default_term();
    const dice_loss loss = loss_of(&term);
    scene *s = scene_new(2, 3, 1000, 17);
    int64_t *table = (int64_t *)room(s->num_table, sizeof(int64_t));
    double share = 0.0;
    evaluation e;
    int64_t c, v;
    memset(s->labels, 0, 1000);
    for (v = 0; v < 100; v++) s->labels[v] = 2;
    OK(dice_statistics(&s->z, &s->problem, &loss, table, s->num_table));
    e = evaluate(&loss, table, s->num_table, 2, 3);
    CHECK(e.reports[0].target == 900.0 && e.reports[1].target == 0.0 && e.reports[2].target == 100.0);
    for (c = 0; c < 3; c++) {
        const dice_class_report *r = &e.reports[c];
        CHECK(fabs(r->dice - 2.0 * r->intersection / (r->prediction + r->target)) < 1e-12);
        CHECK(r->prediction > 0.0 && r->prediction < 1000.0 && r->intersection <= r->target);
        share += r->share;
    }
    CHECK(fabs(share - 1.0) < 1e-12);
    CHECK(e.reports[2].weight == 1.0); /* the rarest class that is present */
    free(table);
    scene_free(s);
}

int main(void) {
    dice_term term = default_term();
    const int64_t tile = dice_tile_voxels();
    int32_t activation;
    pieces(&term, 2, 3, 3 * tile + 77, 1); /* large: on several threads */
    pieces(&term, 3, 2, 100, 2);
    for (activation = 0; activation < 3; activation++) {
        term.activation = activation;
        term.reduction = DICE_NONE;
        term.grouping = DICE_PER_SAMPLE;
        pieces(&term, 3, 4, tile + 1, 3);
        term.grouping = DICE_BATCH;
        pieces(&term, 3, 4, 2 * tile, 4);
    }
    pooling();
    reports();
    OK(dice_shutdown());
    return report("steps");
}
