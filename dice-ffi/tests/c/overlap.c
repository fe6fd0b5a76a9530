/* Every output of every function against all that the function reads and writes beside it: memory that overlaps is refused before
 * anything is written, memory that touches is not, and what may be the same as a whole is. */
#include "check.h"

enum { N = 2, C = 3, V = 20, WORDS_OF_TABLE = N * (2 + 3 * C) * 12, SLOT = 1 << 15 };

/* What the functions take, each in a slot of its own. */
enum { LOGITS, LABELS, MASK, VOXEL_WEIGHTS, SAMPLE_WEIGHTS, PREDICTED, UPSTREAM, FROM, GRADIENT, VALUES, TABLE, COTANGENT, REPORTS,
       COUNTS, VOLUMES, WEIGHTS, SUM, ARGUMENTS };

static const char *const NAMES[] = {"logits",  "problem.target", "problem.mask", "problem.voxel_weights", "problem.sample_weights",
                                    "prediction", "upstream", "from", "gradient", "values", "table", "cotangent", "reports",
                                    "counts", "volumes", "weights", "value"};
static const size_t BYTES[] = {N * C * V * sizeof(float), N * V, N * V, N * V * sizeof(float), N * sizeof(float), N * V,
                               sizeof(double), WORDS_OF_TABLE * sizeof(int64_t), N * C * V * sizeof(float), sizeof(double),
                               WORDS_OF_TABLE * sizeof(int64_t), N * C * 3 * sizeof(double), N * C * sizeof(dice_class_report),
                               N * C * C * sizeof(int64_t), C * sizeof(double), C * sizeof(double), sizeof(double)};

static unsigned char *arena, *before;
static unsigned char *at[ARGUMENTS];
static const int64_t SHAPE[] = {N, C, 4, 5}, MAP[] = {N, 4, 5};
static dice_tensor logits, gradient, labels, mask, voxel_weights, predicted;
static dice_problem problem;
static dice_term term;
static dice_loss loss;

/* Everything in its slot, and valid. */
static void apart(void) {
    const dice_problem fresh = DICE_PROBLEM_INIT;
    const dice_loss fresh_loss = DICE_LOSS_INIT;
    uint64_t seed = 5;
    size_t i;
    memset(arena, 0, (size_t)ARGUMENTS * SLOT);
    for (i = 0; i < ARGUMENTS; i++) at[i] = arena + i * SLOT + SLOT / 4;
    for (i = 0; i < N * C * V; i++) ((float *)(void *)at[LOGITS])[i] = random_float(&seed, 4.0F);
    for (i = 0; i < N * V; i++) {
        at[LABELS][i] = at[PREDICTED][i] = (unsigned char)random_below(&seed, C);
        at[MASK][i] = 1;
        ((float *)(void *)at[VOXEL_WEIGHTS])[i] = 1.0F;
    }
    for (i = 0; i < N; i++) ((float *)(void *)at[SAMPLE_WEIGHTS])[i] = 1.0F;
    ((double *)(void *)at[UPSTREAM])[0] = 1.0;
    for (i = 0; i < C; i++) ((double *)(void *)at[VOLUMES])[i] = 1.0;
    problem = fresh;
    loss = fresh_loss;
    memset(&term, 0, sizeof term);
    loss.terms = &term;
    loss.num_terms = 1;
}

/* The structs for where things are now. */
static void place(void) {
    logits = dice_f32((float *)(void *)at[LOGITS], 4, SHAPE);
    gradient = dice_f32((float *)(void *)at[GRADIENT], 4, SHAPE);
    labels = dice_u8(at[LABELS], 3, MAP);
    mask = dice_u8(at[MASK], 3, MAP);
    voxel_weights = dice_f32((float *)(void *)at[VOXEL_WEIGHTS], 3, MAP);
    predicted = dice_u8(at[PREDICTED], 3, MAP);
    problem.target = &labels;
    problem.mask = &mask;
    problem.voxel_weights = &voxel_weights;
    problem.sample_weights = (const float *)(void *)at[SAMPLE_WEIGHTS];
    problem.num_sample_weights = N;
}

#define NUMBERS(argument) ((double *)(void *)at[argument])
#define WORDS(argument) ((int64_t *)(void *)at[argument])

static dice_status value(void) { return dice_value(&logits, &problem, &loss, NUMBERS(VALUES), 1); }
static dice_status value_and_grad(void) {
    return dice_value_and_grad(&logits, &problem, &loss, NUMBERS(UPSTREAM), 1, NUMBERS(VALUES), 1, DICE_OVERWRITE, &gradient);
}
static dice_status statistics(void) { return dice_statistics(&logits, &problem, &loss, WORDS(TABLE), WORDS_OF_TABLE); }
static dice_status statistics_range(void) {
    return dice_statistics_range(&logits, &problem, &loss, 3, V, WORDS(TABLE), WORDS_OF_TABLE);
}
static dice_status merge(void) { return dice_statistics_merge(WORDS(FROM), WORDS_OF_TABLE, WORDS(TABLE), WORDS_OF_TABLE); }
static dice_status evaluate(void) {
    return dice_loss_evaluate(&loss, WORDS(FROM), WORDS_OF_TABLE, N, C, NUMBERS(VALUES), 1, NUMBERS(COTANGENT), N * C * 3,
                              (dice_class_report *)(void *)at[REPORTS], N * C);
}
static dice_status pullback(void) {
    return dice_pullback(&logits, &problem, &loss, NUMBERS(COTANGENT), N * C * 3, NUMBERS(UPSTREAM), 1, DICE_OVERWRITE, &gradient);
}
static dice_status pullback_range(void) {
    return dice_pullback_range(&logits, &problem, &loss, NUMBERS(COTANGENT), N * C * 3, NUMBERS(UPSTREAM), 1, 0, 7, DICE_OVERWRITE,
                               &gradient);
}
static dice_status confusion(void) { return dice_confusion(&logits, &problem, C, WORDS(COUNTS), N * C * C); }
static dice_status confusion_of_labels(void) { return dice_confusion(&predicted, &problem, C, WORDS(COUNTS), N * C * C); }
static dice_status add_volumes(void) { return dice_add_volumes(&problem, NUMBERS(VOLUMES), C); }
static dice_status class_weights(void) {
    return dice_class_weights_from_volumes(NUMBERS(VOLUMES), C, DICE_INVERSE, NUMBERS(WEIGHTS));
}
static dice_status sum(void) {
    return dice_statistics_sum(&loss, WORDS(FROM), WORDS_OF_TABLE, N, C, -1, 1, 0, DICE_SUM_TARGET, NUMBERS(SUM));
}

#define BIT(argument) (1u << (argument))
#define PROBLEM (BIT(LABELS) | BIT(MASK) | BIT(VOXEL_WEIGHTS) | BIT(SAMPLE_WEIGHTS))

static const struct {
    const char *name;
    dice_status (*call)(void);
    unsigned outputs, inputs;
    int same[2]; /* an output and the input whose place it may take; equal for none */
} CALLS[] = {
    {"value", value, BIT(VALUES), BIT(LOGITS) | PROBLEM, {0, 0}},
    {"value_and_grad", value_and_grad, BIT(VALUES) | BIT(GRADIENT), BIT(LOGITS) | BIT(UPSTREAM) | PROBLEM, {GRADIENT, LOGITS}},
    {"statistics", statistics, BIT(TABLE), BIT(LOGITS) | PROBLEM, {0, 0}},
    {"statistics_range", statistics_range, BIT(TABLE), BIT(LOGITS) | PROBLEM, {0, 0}},
    {"merge", merge, BIT(TABLE), BIT(FROM), {TABLE, FROM}},
    {"evaluate", evaluate, BIT(VALUES) | BIT(COTANGENT) | BIT(REPORTS), BIT(FROM), {0, 0}},
    {"pullback", pullback, BIT(GRADIENT), BIT(LOGITS) | BIT(COTANGENT) | BIT(UPSTREAM) | PROBLEM, {GRADIENT, LOGITS}},
    {"pullback_range", pullback_range, BIT(GRADIENT), BIT(LOGITS) | BIT(COTANGENT) | BIT(UPSTREAM) | PROBLEM, {GRADIENT, LOGITS}},
    {"confusion", confusion, BIT(COUNTS), BIT(LOGITS) | PROBLEM, {0, 0}},
    {"confusion of labels", confusion_of_labels, BIT(COUNTS), BIT(PREDICTED) | PROBLEM, {0, 0}},
    {"add_volumes", add_volumes, BIT(VOLUMES), PROBLEM, {0, 0}},
    {"class_weights", class_weights, BIT(WEIGHTS), BIT(VOLUMES), {WEIGHTS, VOLUMES}},
    {"sum", sum, BIT(SUM), BIT(FROM), {0, 0}},
};

int main(void) {
    size_t call;
    int out, other, told;
    arena = (unsigned char *)room(ARGUMENTS, SLOT);
    before = (unsigned char *)room(ARGUMENTS, SLOT);
    for (call = 0; call < sizeof CALLS / sizeof *CALLS; call++) {
        apart();
        place();
        if (!OK(CALLS[call].call())) fprintf(stderr, "    %s\n", CALLS[call].name);
        for (out = 0; out < ARGUMENTS; out++) {
            if (!(CALLS[call].outputs & BIT(out))) continue;
            for (other = 0; other < ARGUMENTS; other++) {
                const int same = CALLS[call].same[0] == out && CALLS[call].same[1] == other && out != other;
                size_t shift;
                if (other == out || !((CALLS[call].inputs | CALLS[call].outputs) & BIT(other))) continue;
                /* At its beginning, within it, and with the last bytes of the output in its first ones. */
                for (shift = 0; shift < 3; shift++) {
                    apart();
                    at[out] = shift == 0 ? at[other] : shift == 1 ? at[other] + ((BYTES[other] - 1) & ~(size_t)7)
                                                                  : at[other] + 8 - ((BYTES[out] + 7) & ~(size_t)7);
                    if (shift > 0 && at[out] == at[other]) continue;
                    place();
                    memcpy(before, arena, (size_t)ARGUMENTS * SLOT);
                    if (shift == 0 && same) {
                        told = OK(CALLS[call].call());
                    } else {
                        told = STATUS(DICE_LAYOUT, CALLS[call].call());
                        told &= CHECK(memcmp(before, arena, (size_t)ARGUMENTS * SLOT) == 0);
                        told &= CHECK(strstr(dice_last_error(), " overlaps that of ") != NULL);
                    }
                    if (!told) fprintf(stderr, "    %s: %s at %s, %d\n", CALLS[call].name, NAMES[out], NAMES[other], (int)shift);
                }
                /* Behind it and before it. */
                for (shift = 0; shift < 2; shift++) {
                    apart();
                    at[out] = shift == 0 ? at[other] + ((BYTES[other] + 7) & ~(size_t)7) : at[other] - ((BYTES[out] + 7) & ~(size_t)7);
                    place();
                    if (!OK(CALLS[call].call())) fprintf(stderr, "    %s: %s beside %s\n", CALLS[call].name, NAMES[out], NAMES[other]);
                }
            }
        }
    }
    free(arena);
    free(before);
    return report("overlap");
}
