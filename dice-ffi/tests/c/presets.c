/* Peers' conventions by name: what they fill in, how many terms they are, and their values and gradients against the textbook. */
#include "family.h"

enum { MOST_TERMS = 4 };

/* The terms of a preset, after checks of what its capacity does. */
static size_t fill(const char *name, dice_term *terms) {
    dice_error error = DICE_ERROR_INIT;
    dice_term canary[MOST_TERMS + 1];
    size_t num = 0, needed = 0;
    if (!OK(dice_loss_preset(name, sizeof(dice_term), NULL, 0, &needed)) || needed > MOST_TERMS) exit(2);
    CHECK(needed >= 1);
    memset(terms, 0xa5, (MOST_TERMS + 1) * sizeof *terms);
    memset(canary, 0xa5, sizeof canary);
    for (num = needed > 1 ? 1 : 0; num < needed; num++) {
        size_t told = 77;
        STATUS(DICE_LENGTH, dice_loss_preset(name, sizeof(dice_term), terms, num, &told));
        OK(dice_error_info(&error));
        CHECK(error.found == (int64_t)num && error.expected == (int64_t)needed && told == 77);
        CHECK(memcmp(terms, canary, sizeof canary) == 0);
    }
    OK(dice_loss_preset(name, sizeof(dice_term), terms, needed, &num));
    CHECK(num == needed);
    CHECK(memcmp(terms + needed, canary, sizeof *terms) == 0);
    memset(terms, 0xa5, (MOST_TERMS + 1) * sizeof *terms);
    OK(dice_loss_preset(name, sizeof(dice_term), terms, MOST_TERMS + 1, &num));
    CHECK(num == needed && memcmp(terms + needed, canary, sizeof *terms) == 0);
    return num;
}

static void every_preset(void) {
    const char *name;
    size_t index, i;
    int several = 0, left_out = 0;
    for (index = 0; (name = dice_loss_preset_name(index)) != NULL; index++) {
        dice_term terms[MOST_TERMS + 1];
        const size_t num = fill(name, terms);
        int64_t classes = strstr(name, "one_channel") != NULL ? 1 : 3;
        int probabilities = 0, soft;
        for (i = 0; i < num; i++) {
            if (terms[i].num_class_weights == 2 || terms[i].num_exponents == 2) classes = 2;
        }
        for (i = 0; i < num; i++) {
            if (terms[i].kind == DICE_WASSERSTEIN) terms[i].costs = SOME_COSTS, terms[i].num_costs = 9;
            probabilities = probabilities || terms[i].activation == DICE_NO_ACTIVATION;
            left_out += terms[i].left_out;
        }
        several += num > 1;
        for (soft = 0; soft < 2; soft++) {
            precise *p = precise_new(2, classes, 20, soft, 31);
            if (soft && (terms[0].kind == DICE_WASSERSTEIN || terms[0].weighed_volume != DICE_TARGET)) {
                precise_free(p);
                continue;
            }
            precise_logits(p, probabilities, 9);
            check_loss(p, terms, num, name, soft);
            precise_free(p);
        }
    }
    CHECK(index >= 40 && several > 5 && left_out == 4);
    CHECK(strcmp(dice_loss_preset_name(0), "default") == 0);
    CHECK(dice_loss_preset_name(SIZE_MAX) == NULL);
}

/* Some of them by hand. */
static void by_hand(void) {
    dice_term terms[MOST_TERMS + 1], hand = default_term();
    CHECK(fill("generalized_dice", terms) == 1);
    hand.grouping = DICE_PER_SAMPLE, hand.factor = 1.0;
    CHECK(memcmp(terms, &hand, sizeof hand) == 0);

    CHECK(fill("default", terms) == 2);
    hand = default_term();
    hand.kind = DICE_SOFT_DICE, hand.grouping = DICE_PER_SAMPLE, hand.factor = 1.0;
    CHECK(memcmp(&terms[0], &hand, sizeof hand) == 0);
    hand = default_term();
    hand.kind = DICE_CROSS_ENTROPY, hand.grouping = DICE_BATCH, hand.factor = 1.0, hand.divisor = DICE_WEIGHTS;
    CHECK(memcmp(&terms[1], &hand, sizeof hand) == 0);

    CHECK(fill("monai_dice_ce", terms) == 2);
    hand = default_term();
    hand.kind = DICE_SOFT_DICE, hand.grouping = DICE_PER_SAMPLE, hand.factor = 1.0;
    hand.smooth_numerator = hand.smooth_denominator = 1e-5, hand.empty = DICE_EMPTY_RATIO;
    CHECK(memcmp(&terms[0], &hand, sizeof hand) == 0);
    hand = default_term();
    hand.kind = DICE_CROSS_ENTROPY, hand.grouping = DICE_BATCH, hand.factor = 1.0, hand.divisor = DICE_WEIGHTS;
    CHECK(memcmp(&terms[1], &hand, sizeof hand) == 0);

    CHECK(fill("nnunet_dc_ce", terms) == 2);
    CHECK(terms[0].class_transform == DICE_NEGATIVE_SCORE && terms[0].exclude_background == 1);
    CHECK(terms[0].least_denominator == 1e-8 && terms[1].exclude_background == 0);

    CHECK(fill("monai_focal", terms) == 1);
    CHECK(terms[0].kind == DICE_FOCAL && terms[0].activation == DICE_SIGMOID && terms[0].use_alpha == 0);
    CHECK(terms[0].num_exponents == 1 && terms[0].exponents[0] == 2.0 && terms[0].divisor == DICE_ELEMENTS);

    CHECK(fill("monai_unified_focal", terms) == 2);
    CHECK(terms[0].num_class_weights == 2 && fabs(terms[0].class_weights[1] - 0.7) < 1e-15);
    /* The library keeps the arrays: the same ones for every caller. */
    hand = terms[0];
    CHECK(fill("monai_unified_focal", terms) == 2 && terms[0].class_weights == hand.class_weights);
}

/* What is off by default is turned on by its factor, and left_out must go with it. */
static void turned_on(void) {
    dice_term terms[MOST_TERMS + 1];
    dice_loss loss = DICE_LOSS_INIT;
    scene *s = scene_new(2, 3, 50, 5);
    double off = 0.0, on = 0.0;
    loss.terms = terms, loss.num_terms = fill("jdt", terms);
    CHECK(loss.num_terms == 3 && terms[0].left_out == 0 && terms[1].left_out == 1 && terms[1].factor == 0.0);
    OK(dice_value(&s->z, &s->problem, &loss, &off, 1));
    terms[1].factor = 0.5;
    STATUS(DICE_INVALID_ARGUMENT, dice_value(&s->z, &s->problem, &loss, &on, 1));
    terms[1].left_out = 0;
    OK(dice_value(&s->z, &s->problem, &loss, &on, 1));
    CHECK(on > off);
    scene_free(s);
}

/* A loss of no terms is the default, to the bits, and so is one of these two terms. */
static void of_no_terms(void) {
    dice_term terms[MOST_TERMS + 1], two[2];
    dice_loss none = DICE_LOSS_INIT, named = DICE_LOSS_INIT, by_hand = DICE_LOSS_INIT;
    scene *s = scene_new(2, 4, 300, 8);
    const result expected = compute(s);
    double value[3] = {0.0};
    size_t num[3] = {0}, i;
    const dice_loss *all[3];
    all[0] = &none, all[1] = &named, all[2] = &by_hand;
    named.terms = terms, named.num_terms = fill("default", terms);
    two[0] = default_term(), two[1] = default_term();
    two[0].kind = DICE_SOFT_DICE, two[1].kind = DICE_CROSS_ENTROPY;
    by_hand.terms = two, by_hand.num_terms = 2;
    for (i = 0; i < 3; i++) {
        OK(dice_statistics_len(&s->z, all[i], &num[i]));
        OK(dice_value_and_grad(&s->z, &s->problem, all[i], NULL, 0, &value[i], 1, DICE_OVERWRITE, &s->g));
        CHECK(num[i] == num[0] && memcmp(&value[i], &expected.value, sizeof(double)) == 0);
        CHECK(fnv1a(s->gradient, s->num_logits * sizeof(float)) == expected.gradient);
    }
    scene_free(s);
}

static void weights_from_volumes(void) {
    const double volumes[] = {4.0, 2.0, 1.0, 0.0}, bad[] = {-1.0, (double)NAN, (double)INFINITY, 1e-40, 1e300};
    double weights[4] = {9.0, 9.0, 9.0, 9.0}, in_place[2] = {2.0, 1.0}, wrong[2] = {1.0, 1.0};
    size_t i;
    OK(dice_class_weights_from_volumes(volumes, 3, DICE_INVERSE, weights));
    CHECK(fabs(weights[0] - 3.0 / 7.0) < 1e-15 && fabs(weights[2] - 12.0 / 7.0) < 1e-15 && weights[3] == 9.0);
    OK(dice_class_weights_from_volumes(in_place, 2, DICE_INVERSE_SQUARE, in_place));
    CHECK(fabs(in_place[0] - 0.4) < 1e-15 && fabs(in_place[1] - 1.6) < 1e-15);
    OK(dice_class_weights_from_volumes(volumes, 4, DICE_UNIFORM, weights));
    CHECK(weights[0] == 1.0 && weights[3] == 1.0);
    OK(dice_class_weights_from_volumes(volumes, 4, DICE_INVERSE, weights));
    CHECK(weights[3] == weights[0]);
    for (i = 0; i < 5; i++) {
        wrong[1] = bad[i];
        STATUS(DICE_INVALID_ARGUMENT, dice_class_weights_from_volumes(wrong, 2, DICE_INVERSE, wrong));
        CHECK(strstr(dice_last_error(), "volume") != NULL && wrong[0] == 1.0);
    }
    STATUS(DICE_INVALID_ARGUMENT, dice_class_weights_from_volumes(volumes + 3, 1, DICE_INVERSE, weights));
    STATUS(DICE_INVALID_ARGUMENT, dice_class_weights_from_volumes(volumes, 0, DICE_INVERSE, weights));
    STATUS(DICE_INVALID_ARGUMENT, dice_class_weights_from_volumes(volumes, 3, DICE_FIXED, weights));
    STATUS(DICE_INVALID_ARGUMENT, dice_class_weights_from_volumes(volumes, 3, -1, weights));
    STATUS(DICE_LENGTH, dice_class_weights_from_volumes(volumes, SIZE_MAX, DICE_INVERSE, weights));
}

int main(void) {
    every_preset();
    by_hand();
    of_no_terms();
    turned_on();
    weights_from_volumes();
    return report("presets");
}
