/* Values and gradients against the textbook, for every preset and option. */
#include "reference.h"

/* Those of the generalised Dice loss. */
static const char *const PRESETS[] = {"generalized_dice", "sudre2017", "monai_gdl", "niftynet_gdl", "batch_pooled", "per_sample"};
enum { NUM_PRESETS = 6 };

/* The loss is held to 1e-6, relative where it is large, and the gradient to 1e-6 of the greatest derivative by a probability:
 * both are f32 passes, whose sums and probabilities may be off by 4e-7. */
static void compare(scene *s, const dice_term *term, const double *upstream, size_t num_upstream) {
    const dice_loss loss = loss_of(term);
    size_t num_values = 0, i;
    double expected[16] = {0.0}, found[16] = {0.0}, steepest, worst = 0.0;
    double *gradient = (double *)room(s->num_logits, sizeof(double));
    if (!OK(dice_evaluation_len(&loss, s->n, s->c, &num_values, NULL, NULL)) || num_values > 16) exit(2);
    steepest = reference(s, term, upstream, num_upstream, expected, gradient);
    memset(s->gradient, 0xa5, s->num_logits * sizeof(float));
    OK(dice_value_and_grad(&s->z, &s->problem, &loss, upstream, num_upstream, found, num_values, DICE_OVERWRITE, &s->g));
    for (i = 0; i < num_values; i++) {
        if (!CHECK(fabs(found[i] - expected[i]) <= 1e-6 * fmax(1.0, fabs(expected[i])))) {
            fprintf(stderr, "    value %zu: %.9g, textbook %.9g\n", i, found[i], expected[i]);
        }
    }
    for (i = 0; i < s->num_logits; i++) worst = fmax(worst, fabs((double)s->gradient[i] - gradient[i]));
    if (!CHECK(worst <= 1e-6 * steepest)) fprintf(stderr, "    gradient is off by %g, slope %g\n", worst, steepest);
    memset(found, 0, sizeof found);
    OK(dice_value(&s->z, &s->problem, &loss, found, num_values));
    for (i = 0; i < num_values; i++) CHECK(fabs(found[i] - expected[i]) <= 1e-6 * fmax(1.0, fabs(expected[i])));
    free(gradient);
}

/* Numbers that may be probabilities, for an activation of none. */
static void make_probabilities(scene *s, uint64_t seed) {
    size_t i;
    for (i = 0; i < s->num_logits; i++) s->logits[i] = fabsf(random_float(&seed, 1.0F));
}

static void every_preset(void) {
    const int64_t shapes[][3] = {{1, 2, 1}, {2, 3, 100}, {3, 4, 257}, {2, 1, 65}, {1, 21, 300}, {2, 5, 1000}};
    const double upstream = -2.5;
    size_t i;
    int preset;
    for (i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        for (preset = 0; preset < NUM_PRESETS; preset++) {
            scene *s = scene_new(shapes[i][0], shapes[i][1], shapes[i][2], 7 + i);
            dice_term term;
            size_t num = 0;
            memset(&term, 0xff, sizeof term);
            OK(dice_loss_preset(PRESETS[preset], sizeof(dice_term), &term, 1, &num));
            CHECK(num == 1);
            term.activation = possible(term.activation, s->c);
            if (strcmp(PRESETS[preset], "batch_pooled") == 0) make_probabilities(s, i);
            compare(s, &term, NULL, 0);
            compare(s, &term, &upstream, 1);
            scene_free(s);
        }
    }
}

/* Every choice of every option, the others at random. */
static void every_option(void) {
    const double weights[] = {0.5, 2.0, 1.0, 0.0}, upstream[] = {1.5, -0.5, 3.0};
    uint64_t seed = 42;
    int i;
    for (i = 0; i < 600; i++) {
        scene *s = scene_new(3, 4, 90, (uint64_t)i);
        dice_term term = default_term();
        size_t v, rows;
        term.activation = (int32_t)random_below(&seed, 3);
        term.weighting = (int32_t)random_below(&seed, 4);
        term.absent = (int32_t)random_below(&seed, 5);
        term.raw_weights = (int32_t)random_below(&seed, 2);
        term.exclude_background = (int32_t)random_below(&seed, 2);
        term.grouping = (int32_t)random_below(&seed, 3);
        term.reduction = (int32_t)random_below(&seed, 3);
        term.zero_non_finite = (int32_t)random_below(&seed, 2);
        if (term.absent == DICE_EPSILON || term.absent == DICE_REGULARISED) {
            term.absent_epsilon = random_below(&seed, 2) ? 1e-5 : 0.25;
        }
        term.empty = (int32_t)random_below(&seed, 4);
        term.smooth_numerator = random_below(&seed, 2) ? 0.0 : 1e-3;
        term.smooth_denominator = random_below(&seed, 2) ? 0.0 : 0.5;
        term.least_union = random_below(&seed, 2) ? 0.0 : 40.0;
        term.factor = random_below(&seed, 2) ? 0.0 : -3.0;
        if (term.weighting == DICE_FIXED) {
            term.class_weights = weights;
            term.num_class_weights = term.exclude_background ? 3 : 4;
        }
        if (term.activation == DICE_NO_ACTIVATION) make_probabilities(s, seed);
        for (v = 0; v < s->num_voxels && i % 3 == 0; v++) {
            if (s->labels[v] == 2) s->labels[v] = 0; /* an absent class */
        }
        if (i % 4 == 1) {
            s->problem.use_ignore_index = 1;
            s->problem.ignore_index = i % 8 == 1 ? 3 : 255;
            for (v = 0; v < s->num_voxels; v += 7) s->labels[v] = (uint8_t)s->problem.ignore_index;
        }
        rows = term.grouping == DICE_BATCH ? 1 : 3;
        compare(s, &term, NULL, 0);
        compare(s, &term, upstream, term.reduction == DICE_NONE ? rows : 1);
        scene_free(s);
    }
}

/* The reference's own gradient, against the reference's own values. */
static void reference_differentiates_itself(void) {
    int preset;
    for (preset = 0; preset < NUM_PRESETS; preset++) {
        scene *s = scene_new(2, 3, 20, 99);
        double values[2], *gradient = (double *)room(s->num_logits, sizeof(double));
        double *scratch = (double *)room(s->num_logits, sizeof(double));
        dice_term term;
        size_t i, num;
        OK(dice_loss_preset(PRESETS[preset], sizeof(dice_term), &term, 1, &num));
        make_probabilities(s, 3);
        reference(s, &term, NULL, 0, values, gradient);
        for (i = 0; i < s->num_logits; i++) {
            const float z = s->logits[i], above = z + 1.0F / 256.0F, below = z - 1.0F / 256.0F;
            double up, down;
            s->logits[i] = above;
            reference(s, &term, NULL, 0, values, scratch);
            up = values[0];
            s->logits[i] = below;
            reference(s, &term, NULL, 0, values, scratch);
            down = values[0];
            s->logits[i] = z;
            CHECK(fabs((up - down) / ((double)above - (double)below) - gradient[i]) < 1e-6);
        }
        free(gradient);
        free(scratch);
        scene_free(s);
    }
}

/* A finite input of any size gives finite results; -infinity is probability 0; NaN and +infinity make NaN. */
static void extreme_logits(void) {
    const float huge[] = {1e30F, -1e30F, 3.4e38F, -3.4e38F, 0.0F, 88.0F, -88.0F, 1e-40F};
    const dice_term term = default_term();
    const dice_loss loss = loss_of(&term);
    scene *s = scene_new(1, 3, 500, 5);
    uint64_t seed = 1;
    double value = 0.0;
    size_t i;
    for (i = 0; i < s->num_logits; i++) s->logits[i] = huge[random_below(&seed, 8)];
    OK(dice_value_and_grad(&s->z, &s->problem, &loss, NULL, 0, &value, 1, DICE_OVERWRITE, &s->g));
    CHECK(value >= 0.0 && value <= 1.0);
    for (i = 0; i < s->num_logits; i++) CHECK(isfinite(s->gradient[i]));

    for (i = 0; i < s->num_logits; i++) s->logits[i] = random_float(&seed, 3.0F);
    s->logits[4] = -INFINITY;
    OK(dice_value_and_grad(&s->z, &s->problem, &loss, NULL, 0, &value, 1, DICE_OVERWRITE, &s->g));
    CHECK(isfinite(value) && s->gradient[4] == 0.0F);

    for (i = 0; i < 2; i++) {
        s->logits[4] = i == 0 ? NAN : INFINITY;
        OK(dice_value_and_grad(&s->z, &s->problem, &loss, NULL, 0, &value, 1, DICE_OVERWRITE, &s->g));
        CHECK(isnan(value) && isnan(s->gradient[4]) && isnan(s->gradient[5]));
        /* An ignored voxel contributes nothing, not even NaN. */
        s->labels[4] = 200, s->problem.use_ignore_index = 1, s->problem.ignore_index = 200;
        OK(dice_value_and_grad(&s->z, &s->problem, &loss, NULL, 0, &value, 1, DICE_OVERWRITE, &s->g));
        CHECK(isfinite(value) && s->gradient[4] == 0.0F && !signbit(s->gradient[4]));
        s->labels[4] = 0, s->problem.use_ignore_index = 0;
    }
    scene_free(s);
}

int main(void) {
    every_preset();
    every_option();
    reference_differentiates_itself();
    extreme_logits();
    return report("values");
}
