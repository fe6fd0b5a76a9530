/* Every kind of loss with every option, drawn at random: values against the textbook, gradients against central differences. */
#include "family.h"

static void every_kind(void) {
    int32_t kind;
    for (kind = 0; kind < NUM_KINDS; kind++) {
        uint64_t seed = 1000 + (uint64_t)kind;
        int round;
        for (round = 0; round < 120; round++) {
            const int64_t classes = kind == DICE_WASSERSTEIN ? 2 + round % 3 : 1 + round % 4;
            const int soft = kind != DICE_WASSERSTEIN && draw(&seed, 3) == 0;
            const dice_term term = random_term(kind, classes, &seed);
            precise *p = precise_new(2, classes, 12, soft, seed);
            precise_logits(p, term.activation == DICE_NO_ACTIVATION, seed);
            check_loss(p, &term, 1, KINDS[kind], round);
            precise_free(p);
        }
    }
}

/* All zero but the kind: the defaults, and the formulas as the header has them. */
static void defaults(void) {
    int32_t kind;
    for (kind = 0; kind < NUM_KINDS; kind++) {
        dice_term term = default_term();
        precise *p = precise_new(2, 3, 20, 0, 77);
        term.kind = kind;
        if (kind == DICE_WASSERSTEIN) term.costs = SOME_COSTS, term.num_costs = 9;
        precise_logits(p, 0, 5);
        check_loss(p, &term, 1, KINDS[kind], -1);
        precise_free(p);
    }
}

/* f32 logits, several tiles: the numbers of one voxel after the other in f64. */
static void large_and_in_f32(void) {
    int32_t kind;
    for (kind = 0; kind < NUM_KINDS; kind++) {
        dice_term term = default_term();
        const dice_loss loss = loss_of(&term);
        const int64_t n = 2, c = 3, v = 9000;
        scene *s = scene_new(n, c, v, 8);
        double *logits = (double *)room(s->num_logits, sizeof(double)), *target = (double *)room(s->num_logits, sizeof(double));
        double *weights = (double *)room(s->num_voxels, sizeof(double)), expected = 0.0, found = -1.0;
        const plain numbers = {n, c, v, logits, target, weights};
        size_t i;
        term.kind = kind;
        if (kind == DICE_WASSERSTEIN) term.costs = SOME_COSTS, term.num_costs = 9;
        for (i = 0; i < s->num_logits; i++) {
            const size_t sample = i / (size_t)(c * v), class_index = i / (size_t)v % (size_t)c, voxel = i % (size_t)v;
            logits[i] = (double)s->logits[i];
            target[i] = s->labels[sample * (size_t)v + voxel] == class_index ? 1.0 : 0.0;
        }
        for (i = 0; i < s->num_voxels; i++) weights[i] = 1.0;
        family_values(&numbers, &term, &expected);
        OK(dice_value(&s->z, &s->problem, &loss, &found, 1));
        if (!CHECK(fabs(found - expected) <= 1e-6 * fmax(1.0, fabs(expected)))) {
            fprintf(stderr, "    %s: %.9g, textbook %.9g\n", KINDS[kind], found, expected);
        }
        free(logits);
        free(target);
        free(weights);
        scene_free(s);
    }
}

/* Finite logits of any size give finite results. */
static void extreme_logits(void) {
    const float huge[] = {1e30F, -1e30F, 1e20F, -1e20F, 0.0F, 88.0F, -88.0F, 1e-40F};
    uint64_t seed = 3;
    int32_t kind;
    for (kind = 0; kind < NUM_KINDS; kind++) {
        int round;
        for (round = 0; round < 40; round++) {
            const dice_term term = random_term(kind, 3, &seed);
            const dice_loss loss = loss_of(&term);
            const size_t num = num_values_of(&term, 2, 3);
            scene *s = scene_new(2, 3, 90, seed);
            double values[6] = {0.0};
            size_t i;
            int finite = 1;
            for (i = 0; i < s->num_logits; i++) {
                s->logits[i] = term.activation == DICE_NO_ACTIVATION ? (float)draw(&seed, 2) : huge[draw(&seed, 8)];
            }
            OK(dice_value_and_grad(&s->z, &s->problem, &loss, NULL, 0, values, num, DICE_OVERWRITE, &s->g));
            for (i = 0; i < num; i++) finite = finite && isfinite(values[i]);
            for (i = 0; i < s->num_logits; i++) finite = finite && isfinite(s->gradient[i]);
            if (!CHECK(finite)) fprintf(stderr, "    %s, round %d: value %g\n", KINDS[kind], round, values[0]);
            scene_free(s);
        }
    }
}

/* The reports of a kind: volumes and the part that each class has. */
static void reports(void) {
    int32_t kind;
    for (kind = 0; kind < NUM_KINDS; kind++) {
        dice_term term = default_term();
        const dice_loss loss = loss_of(&term);
        scene *s = scene_new(1, 3, 400, 6);
        const int has_overlap = !is_voxel_loss(kind) && kind != DICE_WASSERSTEIN;
        dice_class_report found[3];
        double share = 0.0;
        int64_t *table;
        size_t num = 0, c;
        term.kind = kind;
        if (kind == DICE_WASSERSTEIN) term.costs = SOME_COSTS, term.num_costs = 9;
        OK(dice_statistics_len(&s->z, &loss, &num));
        table = (int64_t *)room(num, sizeof(int64_t));
        OK(dice_statistics(&s->z, &s->problem, &loss, table, num));
        OK(dice_loss_evaluate(&loss, table, num, 1, 3, NULL, 0, NULL, 0, found, 3));
        for (c = 0; c < 3; c++) {
            CHECK(found[c].target > 0.0 && found[c].share >= 0.0);
            CHECK(has_overlap ? found[c].prediction > 0.0 && found[c].intersection > 0.0 && found[c].dice > 0.0
                              : found[c].prediction == 0.0 && found[c].intersection == 0.0 && isnan(found[c].dice));
            share += found[c].share;
        }
        if (!CHECK(fabs(share - 1.0) < 1e-9)) fprintf(stderr, "    %s: %g\n", KINDS[kind], share);
        free(table);
        scene_free(s);
    }
}

int main(void) {
    every_kind();
    defaults();
    large_and_in_f32();
    extreme_logits();
    reports();
    return report("kinds");
}
