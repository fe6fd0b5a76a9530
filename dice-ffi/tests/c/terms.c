/* Every field of a term with everything that it may not be: the right status, the field's name in the sentence, outputs as they
 * were. */
#include "check.h"

#include <limits.h>

/* ---------------------------------------------------------------- the fields, and the kinds that read them */

enum {
    ALL = 0x1ff,
    GDL = 1 << DICE_GENERALIZED_DICE,
    SOFT = 1 << DICE_SOFT_DICE,
    JACCARD = 1 << DICE_JACCARD,
    TVERSKYS = 1 << DICE_TVERSKY | 1 << DICE_FOCAL_TVERSKY,
    FOCAL_TVERSKY = 1 << DICE_FOCAL_TVERSKY,
    WASSERSTEIN = 1 << DICE_WASSERSTEIN,
    MCC = 1 << DICE_MCC,
    ENTROPY = 1 << DICE_CROSS_ENTROPY,
    FOCAL = 1 << DICE_FOCAL,
    RATIOS = 0x5e,
    VOXELS = 0x180,
    NUM_KINDS = 9
};

typedef struct field {
    const char *name;
    size_t at;
    char type; /* i: int32_t, d: double, p: pointer, n: length */
    int kinds;
    int32_t variants; /* of an int32_t: numbers from 0 up to and without it mean something */
} field;

#define FIELD(name, type, kinds, variants) {#name, offsetof(dice_term, name), type, kinds, variants}

static const field FIELDS[] = {
    FIELD(kind, 'i', ALL, 9),
    FIELD(activation, 'i', ALL, 3),
    FIELD(grouping, 'i', ALL, 3),
    FIELD(reduction, 'i', ALL, 3),
    FIELD(exclude_background, 'i', ALL, 2),
    FIELD(transform, 'i', ALL, 6),
    FIELD(left_out, 'i', ALL, 2),
    FIELD(reserved, 'i', 0, 1),
    FIELD(factor, 'd', ALL, 0),
    FIELD(transform_exponent, 'd', ALL, 0),
    FIELD(transform_least, 'd', ALL, 0),
    FIELD(class_weights, 'p', ALL, 0),
    FIELD(num_class_weights, 'n', ALL, 0),
    FIELD(weight_mode, 'i', RATIOS | VOXELS, 2),
    FIELD(overlap, 'i', RATIOS | GDL, 2),
    FIELD(empty, 'i', RATIOS | GDL | WASSERSTEIN, 4),
    FIELD(volumes, 'i', SOFT | TVERSKYS, 3),
    FIELD(pooling, 'i', RATIOS, 3),
    FIELD(order, 'i', RATIOS, 3),
    FIELD(complement, 'i', RATIOS, 2),
    FIELD(class_transform, 'i', RATIOS, 6),
    FIELD(class_transform_exponent, 'd', RATIOS, 0),
    FIELD(class_transform_least, 'd', RATIOS, 0),
    FIELD(smooth_numerator, 'd', RATIOS | GDL | WASSERSTEIN, 0),
    FIELD(smooth_denominator, 'd', RATIOS | GDL | WASSERSTEIN, 0),
    FIELD(least_denominator, 'd', SOFT | JACCARD | TVERSKYS, 0),
    FIELD(softening, 'd', RATIOS, 0),
    FIELD(weighting, 'i', GDL, 4),
    FIELD(absent, 'i', GDL, 5),
    FIELD(raw_weights, 'i', GDL, 2),
    FIELD(weighed_volume, 'i', GDL, 2),
    FIELD(zero_non_finite, 'i', GDL, 2),
    FIELD(doubled, 'i', JACCARD, 2),
    FIELD(absent_epsilon, 'd', GDL, 0),
    FIELD(least_union, 'd', GDL, 0),
    FIELD(least_intersection, 'd', SOFT, 0),
    FIELD(false_positives, 'd', TVERSKYS, 0),
    FIELD(false_negatives, 'd', TVERSKYS, 0),
    FIELD(exponents, 'p', FOCAL_TVERSKY | FOCAL, 0),
    FIELD(num_exponents, 'n', FOCAL_TVERSKY | FOCAL, 0),
    FIELD(exponent_least, 'd', FOCAL_TVERSKY, 0),
    FIELD(mcc_smoothing, 'd', MCC, 0),
    FIELD(binary, 'i', VOXELS, 2),
    FIELD(divisor, 'i', VOXELS, 7),
    FIELD(use_alpha, 'i', FOCAL, 2),
    FIELD(reserved_too, 'i', 0, 1),
    FIELD(alpha, 'd', FOCAL, 0),
    FIELD(label_smoothing, 'd', ENTROPY, 0),
    FIELD(positive_weights, 'p', VOXELS, 0),
    FIELD(num_positive_weights, 'n', VOXELS, 0),
    FIELD(cost_weighting, 'i', WASSERSTEIN, 2),
    FIELD(normalise_costs, 'i', WASSERSTEIN, 2),
    FIELD(costs, 'p', WASSERSTEIN, 0),
    FIELD(num_costs, 'n', WASSERSTEIN, 0),
};
enum { NUM_FIELDS = sizeof FIELDS / sizeof FIELDS[0] };

/* ---------------------------------------------------------------- a problem, and calls that are refused */

enum { N = 2, C = 3, V = 10 };

static scene *s;
/* The first term is right; the second is what a test makes of it. */
static dice_term terms[2];
static dice_loss loss;
static double values[N * C + 1], numbers[C * C], costs[C * C];

static void restore(int32_t kind) {
    const dice_loss fresh = DICE_LOSS_INIT;
    size_t i;
    terms[0] = default_term();
    terms[1] = default_term();
    terms[1].kind = kind;
    for (i = 0; i < C * C; i++) numbers[i] = costs[i] = 1.0 + (double)i;
    if (kind == DICE_WASSERSTEIN) terms[1].costs = costs, terms[1].num_costs = C * C;
    loss = fresh;
    loss.terms = terms;
    loss.num_terms = 2;
}

static int outputs_live(void) {
    size_t i;
    for (i = 0; i < N * C + 1; i++) {
        if (values[i] != 7.0) return 0;
    }
    for (i = 0; i < s->num_logits; i++) {
        if (s->gradient[i] != 7.0F) return 0;
    }
    return 1;
}

/* Value with gradient is refused, with this word in the sentence. */
static void refused_at(dice_status expected, const char *word, int line) {
    const dice_status found =
        dice_value_and_grad(&s->z, &s->problem, &loss, NULL, 0, values, 1, DICE_OVERWRITE, &s->g);
    if (!check_status(expected, found, word, __FILE__, line)) return;
    if (!check(strstr(dice_last_error(), word) != NULL, "its name is said", __FILE__, line)) fprintf(stderr, "    %s\n", word);
    check(outputs_live(), "outputs are as they were", __FILE__, line);
}

#define REFUSED(status, word) refused_at(status, word, __LINE__)

/* So are all other calls that read a loss, where the term alone says that it is wrong. */
static void refused_everywhere(dice_status expected, const char *name, int line) {
    char word[64];
    size_t num = 0;
    double value = 7.0;
    snprintf(word, sizeof word, "terms[1].%s", name);
    refused_at(expected, word, line);
    check_status(expected, dice_value(&s->z, &s->problem, &loss, values, 1), word, __FILE__, line);
    check_status(expected, dice_statistics_len(&s->z, &loss, &num), word, __FILE__, line);
    check_status(expected, dice_statistics(&s->z, &s->problem, &loss, NULL, 0), word, __FILE__, line);
    check_status(expected, dice_evaluation_len(&loss, N, C, &num, NULL, NULL), word, __FILE__, line);
    check_status(expected, dice_loss_evaluate(&loss, NULL, 0, N, C, values, 1, NULL, 0, NULL, 0), word, __FILE__, line);
    check_status(expected, dice_pullback(&s->z, &s->problem, &loss, NULL, 0, NULL, 0, DICE_OVERWRITE, &s->g), word, __FILE__,
                 line);
    check_status(expected, dice_statistics_sum(&loss, NULL, 0, N, C, 0, 0, 0, DICE_SUM_TARGET, &value), word, __FILE__, line);
    check_status(expected, dice_cotangent_index(&loss, C, 0, 0, 0, DICE_SUM_PREDICTION, &num), word, __FILE__, line);
    check(num == 0 && value == 7.0 && outputs_live(), "outputs are as they were", __FILE__, line);
}

#define REFUSED_EVERYWHERE(status, name) refused_everywhere(status, name, __LINE__)

static void set_int(const field *f, int32_t value) { memcpy((char *)&terms[1] + f->at, &value, sizeof value); }
static void set_double(const field *f, double value) { memcpy((char *)&terms[1] + f->at, &value, sizeof value); }

/* ---------------------------------------------------------------- fields on their own */

/* What is a number of this size is a field, so that the table above has them all. */
static void every_field_is_listed(void) {
    size_t size = 0, i;
    for (i = 0; i < NUM_FIELDS; i++) {
        const char type = FIELDS[i].type;
        CHECK(FIELDS[i].at == size);
        size += type == 'i' ? sizeof(int32_t) : type == 'd' ? sizeof(double) : type == 'p' ? sizeof(void *) : sizeof(size_t);
    }
    CHECK(size == sizeof(dice_term));
}

/* A field that is not of the kind. */
static void unread_fields(void) {
    int32_t kind;
    size_t i;
    for (kind = 0; kind < NUM_KINDS; kind++) {
        for (i = 0; i < NUM_FIELDS; i++) {
            const field *f = &FIELDS[i];
            restore(kind);
            if (f->kinds & 1 << kind) continue;
            if (f->type == 'i') set_int(f, 1);
            if (f->type == 'd') set_double(f, (double)NAN);
            if (f->type == 'n') *(size_t *)((char *)&terms[1] + f->at) = 3;
            if (f->type == 'p') *(const double **)((char *)&terms[1] + f->at) = numbers;
            REFUSED_EVERYWHERE(DICE_INVALID_ARGUMENT, f->name);
        }
    }
}

/* An option that has no such variant. */
static void wrong_options(void) {
    const int32_t wrong[] = {-1, 99, INT_MIN, INT_MAX, 0};
    int32_t kind;
    size_t i, j;
    for (kind = 0; kind < NUM_KINDS; kind++) {
        for (i = 0; i < NUM_FIELDS; i++) {
            const field *f = &FIELDS[i];
            for (j = 0; f->type == 'i' && f->kinds & 1 << kind && j < sizeof wrong / sizeof wrong[0]; j++) {
                restore(kind);
                set_int(f, wrong[j] == 0 ? f->variants : wrong[j]);
                REFUSED_EVERYWHERE(DICE_INVALID_ARGUMENT, f->name);
            }
        }
    }
}

/* A number out of its range, of which the evaluation tells. */
static void wrong_numbers(void) {
    const double bad[] = {-0.5, (double)NAN, (double)INFINITY, -(double)INFINITY, 1e-40, 1e300, 2.0};
    const struct {
        int32_t kind;
        const char *field, *said;
        int to_one; /* the range ends at 1 */
    } ranges[] = {
        {DICE_GENERALIZED_DICE, "smooth_numerator", "smooth_numerator", 0},
        {DICE_GENERALIZED_DICE, "smooth_denominator", "smooth_denominator", 0},
        {DICE_GENERALIZED_DICE, "least_union", "least_union", 0},
        {DICE_SOFT_DICE, "smooth_numerator", "smooth_numerator", 0},
        {DICE_JACCARD, "smooth_denominator", "smooth_denominator", 0},
        {DICE_TVERSKY, "least_denominator", "least_denominator", 0},
        {DICE_MCC, "softening", "softening", 1},
        {DICE_SOFT_DICE, "least_intersection", "least_intersection", 0},
        {DICE_TVERSKY, "false_positives", "false_positives", 0},
        {DICE_FOCAL_TVERSKY, "false_negatives", "false_negatives", 0},
        {DICE_FOCAL_TVERSKY, "exponent_least", "least", 1},
        {DICE_MCC, "mcc_smoothing", "smoothing", 0},
        {DICE_MCC, "smooth_numerator", "smooth_numerator", 0},
        {DICE_CROSS_ENTROPY, "label_smoothing", "label_smoothing", 1},
        {DICE_FOCAL, "alpha", "alpha", 1},
        {DICE_WASSERSTEIN, "smooth_numerator", "smooth_numerator", 0},
        {DICE_WASSERSTEIN, "smooth_denominator", "smooth_denominator", 0},
    };
    const int32_t powers[] = {DICE_POWER, DICE_POWER_OF_NEGATIVE_LOG}, logs[] = {DICE_NEGATIVE_LOG, DICE_POWER_OF_NEGATIVE_LOG};
    const double no_exponents[] = {0.0, 0.001, 101.0, -1.0, (double)NAN}, no_scores[] = {1.5, -1.0, 1e-40, (double)NAN};
    int32_t kind;
    size_t i, j, k;
    for (i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        for (j = 0; j < sizeof bad / sizeof bad[0]; j++) {
            if (bad[j] == 2.0 && !ranges[i].to_one) continue;
            if (bad[j] == 1e-40 && ranges[i].to_one) continue;
            restore(ranges[i].kind);
            terms[1].use_alpha = ranges[i].kind == DICE_FOCAL;
            for (k = 0; k < NUM_FIELDS; k++) {
                if (strcmp(FIELDS[k].name, ranges[i].field) == 0) set_double(&FIELDS[k], bad[j]);
            }
            REFUSED(DICE_INVALID_ARGUMENT, ranges[i].said);
        }
    }
    for (j = 0; j < 6; j++) {
        for (kind = 0; kind < NUM_KINDS; kind++) {
            restore(kind);
            terms[1].factor = bad[j];
            if (bad[j] != -0.5) REFUSED_EVERYWHERE(DICE_INVALID_ARGUMENT, "factor");
        }
        restore(DICE_GENERALIZED_DICE);
        terms[1].absent = DICE_EPSILON, terms[1].absent_epsilon = bad[j];
        REFUSED(DICE_INVALID_ARGUMENT, "absent epsilon");
        terms[1].absent = DICE_REGULARISED;
        REFUSED(DICE_INVALID_ARGUMENT, "absent regularisation");
        terms[1].absent_epsilon = 0.0;
        REFUSED(DICE_INVALID_ARGUMENT, "absent regularisation");
    }
    for (i = 0; i < 2; i++) {
        for (j = 0; j < 5; j++) {
            restore(DICE_MCC);
            terms[1].transform = powers[i], terms[1].transform_exponent = no_exponents[j];
            REFUSED(DICE_INVALID_ARGUMENT, "exponent");
            restore(DICE_MCC);
            terms[1].class_transform = powers[i], terms[1].class_transform_exponent = no_exponents[j];
            REFUSED(DICE_INVALID_ARGUMENT, "exponent");
        }
        for (j = 0; j < 4; j++) {
            restore(DICE_FOCAL);
            terms[1].transform = logs[i], terms[1].transform_least = no_scores[j], terms[1].transform_exponent = i ? 2.0 : 0.0;
            REFUSED(DICE_INVALID_ARGUMENT, "least score");
            restore(DICE_TVERSKY);
            terms[1].class_transform = logs[i], terms[1].class_transform_least = no_scores[j];
            terms[1].class_transform_exponent = i ? 2.0 : 0.0;
            REFUSED(DICE_INVALID_ARGUMENT, "least score");
        }
    }
    restore(DICE_SOFT_DICE);
    terms[1].transform = DICE_POWER, terms[1].transform_exponent = 2.0, terms[1].transform_least = 1.5;
    REFUSED(DICE_INVALID_ARGUMENT, "least value");
}

/* ---------------------------------------------------------------- arrays */

static const double *pointer_of(const field *f) { return *(const double **)((char *)&terms[1] + f->at); }

static void set_array(const field *f, const double *pointer, size_t len) {
    *(const double **)((char *)&terms[1] + f->at) = pointer;
    *(size_t *)((char *)&terms[1] + f->at + sizeof pointer) = len;
}

static void arrays(void) {
    const double bad[] = {-1.0, (double)NAN, (double)INFINITY, 1e-40, 1e300};
    int32_t kind;
    size_t i, j;
    for (kind = 0; kind < NUM_KINDS; kind++) {
        for (i = 0; i < NUM_FIELDS; i++) {
            const field *f = &FIELDS[i];
            const int is_costs = strcmp(f->name, "costs") == 0, is_exponents = strcmp(f->name, "exponents") == 0;
            const size_t right = is_costs ? C * C : C;
            const char *said = is_costs ? "cost" : is_exponents ? "exponent" : "weight";
            if (f->type != 'p' || !(f->kinds & 1 << kind)) continue;
            restore(kind);
            if (kind == DICE_GENERALIZED_DICE) terms[1].weighting = DICE_FIXED;
            if (strcmp(f->name, "positive_weights") == 0) terms[1].activation = DICE_SIGMOID;
            set_array(f, numbers, right);
            OK(dice_value(&s->z, &s->problem, &loss, values, 1));
            values[0] = 7.0;
            set_array(f, NULL, right);
            REFUSED_EVERYWHERE(DICE_NULL_POINTER, f->name);
            set_array(f, numbers, 0);
            REFUSED_EVERYWHERE(DICE_LENGTH, f->name);
            set_array(f, (const double *)(const void *)((const char *)numbers + 1), right);
            REFUSED_EVERYWHERE(DICE_LAYOUT, f->name);
            set_array(f, numbers, SIZE_MAX);
            CHECK(dice_value(&s->z, &s->problem, &loss, values, 1) == DICE_UNAVAILABLE);
            set_array(f, numbers, right - 1);
            REFUSED(DICE_LENGTH, said);
            for (j = 0; j < sizeof bad / sizeof bad[0]; j++) {
                set_array(f, numbers, right);
                numbers[1] = bad[j];
                /* An exponent may be small. */
                if (kind != DICE_FOCAL || !is_exponents || bad[j] != 1e-40) REFUSED(DICE_INVALID_ARGUMENT, said);
            }
            CHECK(pointer_of(f) == numbers);
        }
    }
    restore(DICE_WASSERSTEIN);
    set_array(&FIELDS[NUM_FIELDS - 2], NULL, 0);
    REFUSED(DICE_LENGTH, "costs");
    restore(DICE_GENERALIZED_DICE);
    terms[1].weighting = DICE_FIXED;
    REFUSED(DICE_LENGTH, "class weights");
    restore(DICE_SOFT_DICE);
    terms[1].exclude_background = 1, terms[1].class_weights = numbers, terms[1].num_class_weights = C;
    REFUSED(DICE_LENGTH, "class weights");
}

/* ---------------------------------------------------------------- fields that contradict each other */

static void contradictions(void) {
    int32_t kind, transform;
    restore(DICE_GENERALIZED_DICE);
    terms[1].class_weights = numbers, terms[1].num_class_weights = C;
    REFUSED_EVERYWHERE(DICE_INVALID_ARGUMENT, "class_weights");
    restore(DICE_GENERALIZED_DICE);
    terms[1].absent_epsilon = 1.0;
    REFUSED_EVERYWHERE(DICE_INVALID_ARGUMENT, "absent_epsilon");
    restore(DICE_FOCAL);
    terms[1].alpha = 0.25;
    REFUSED_EVERYWHERE(DICE_INVALID_ARGUMENT, "alpha");
    for (kind = DICE_CROSS_ENTROPY; kind <= DICE_FOCAL; kind++) {
        restore(kind);
        terms[1].binary = 1;
        REFUSED_EVERYWHERE(DICE_INVALID_ARGUMENT, "binary");
        restore(kind);
        terms[1].positive_weights = numbers, terms[1].num_positive_weights = C;
        REFUSED(DICE_INVALID_ARGUMENT, "positive weights");
    }
    for (kind = 0; kind < NUM_KINDS; kind++) {
        restore(kind);
        terms[1].left_out = 1, terms[1].factor = 1.0;
        REFUSED_EVERYWHERE(DICE_INVALID_ARGUMENT, "factor");
        for (transform = 0; transform < 6; transform++) {
            const int has_exponent = transform == DICE_POWER || transform == DICE_POWER_OF_NEGATIVE_LOG;
            restore(kind);
            terms[1].transform = transform, terms[1].transform_exponent = 1.0;
            if (!has_exponent) REFUSED_EVERYWHERE(DICE_INVALID_ARGUMENT, "transform_exponent");
            terms[1].transform_exponent = 0.0, terms[1].transform_least = 1.0;
            if (!has_exponent && transform != DICE_NEGATIVE_LOG) REFUSED_EVERYWHERE(DICE_INVALID_ARGUMENT, "transform_least");
        }
    }
    restore(DICE_JACCARD);
    terms[1].class_transform_least = 1.0;
    REFUSED_EVERYWHERE(DICE_INVALID_ARGUMENT, "class_transform_least");
    restore(DICE_SOFT_DICE);
    terms[1].volumes = DICE_SQUARED, terms[1].overlap = DICE_DIFFERENCE;
    REFUSED(DICE_INVALID_ARGUMENT, "overlap");
    restore(DICE_TVERSKY);
    terms[1].volumes = DICE_SQUARED_PREDICTION, terms[1].complement = 1;
    REFUSED(DICE_INVALID_ARGUMENT, "complement");
    /* Costs are of labels. */
    {
        const dice_tensor *labels = s->problem.target;
        restore(DICE_WASSERSTEIN);
        s->problem.target = &s->z, s->problem.dense_target = 1;
        REFUSED(DICE_UNSUPPORTED, "costs of a dense target");
        s->problem.target = labels, s->problem.dense_target = 0;
    }
    /* As many values of each term. */
    restore(DICE_SOFT_DICE);
    terms[1].reduction = DICE_NONE;
    REFUSED(DICE_LENGTH, "values of each term");
    terms[0].reduction = DICE_NONE;
    REFUSED(DICE_LENGTH, "values of each term");
    CHECK(dice_evaluation_len(&loss, N, C, NULL, NULL, NULL) == DICE_LENGTH);
    terms[0].grouping = DICE_BATCH, terms[1].pooling = DICE_ALL_CLASSES;
    REFUSED(DICE_LENGTH, "values of each term");
    terms[1].grouping = DICE_BATCH;
    OK(dice_evaluation_len(&loss, N, C, NULL, NULL, NULL));
}

int main(void) {
    size_t i;
    s = scene_new(N, C, V, 4);
    for (i = 0; i < N * C + 1; i++) values[i] = 7.0;
    for (i = 0; i < s->num_logits; i++) s->gradient[i] = 7.0F;
    every_field_is_listed();
    unread_fields();
    wrong_options();
    wrong_numbers();
    arrays();
    contradictions();
    scene_free(s);
    return report("terms");
}
