/* Every function with every wrong argument: the right status and numbers, and outputs that are as they were. */
#include "check.h"

#include <limits.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---------------------------------------------------------------- a small problem, and outputs with canaries */

enum { N = 2, C = 3, V = 20, TABLE = N * (2 + 3 * C) * 12, COTANGENT = N * C * 3, REPORTS = N * C };
enum { PUT = DICE_OVERWRITE };

static const int64_t SHAPE[] = {N, C, 4, 5}, LABEL_SHAPE[] = {N, 4, 5};

static struct {
    float logits[N * C * V + 16], dense[N * C * V], voxel_weights[N * V], sample_weights[N];
    uint8_t labels[N * V], mask[N * V], predicted[N * V];
    double cotangent[COTANGENT];
    int64_t table[TABLE];
} in;

static struct {
    float gradient[N * C * V + 16];
    double values[N + 1], cotangent[COTANGENT + 1], volumes[C];
    int64_t table[TABLE + 12], counts[N * C * C + 1];
    dice_class_report reports[REPORTS + 1];
    size_t lens[3];
    dice_term terms[4];
} out;

static dice_tensor z, y, g, dense, mask, voxel_weights, predicted;
static dice_problem problem;
static dice_loss loss;
static dice_term term;

/* Everything valid again. */
static void restore(void) {
    const dice_problem fresh_problem = DICE_PROBLEM_INIT;
    const dice_loss fresh_loss = DICE_LOSS_INIT;
    uint64_t seed = 11;
    size_t i;
    for (i = 0; i < N * C * V; i++) in.logits[i] = random_float(&seed, 4.0F);
    for (i = 0; i < N * C * V; i++) in.dense[i] = random_float(&seed, 1.0F);
    for (i = 0; i < N * V; i++) {
        in.labels[i] = (uint8_t)random_below(&seed, C);
        in.predicted[i] = (uint8_t)random_below(&seed, C);
        in.mask[i] = (uint8_t)random_below(&seed, 2);
        in.voxel_weights[i] = (float)random_below(&seed, 4);
    }
    for (i = 0; i < N; i++) in.sample_weights[i] = 0.5F + (float)i;
    z = dice_f32(in.logits, 4, SHAPE);
    y = dice_u8(in.labels, 3, LABEL_SHAPE);
    g = dice_f32(out.gradient, 4, SHAPE);
    dense = dice_f32(in.dense, 4, SHAPE);
    mask = dice_u8(in.mask, 3, LABEL_SHAPE);
    voxel_weights = dice_f32(in.voxel_weights, 3, LABEL_SHAPE);
    predicted = dice_u8(in.predicted, 3, LABEL_SHAPE);
    problem = fresh_problem;
    problem.target = &y;
    loss = fresh_loss;
    memset(&term, 0, sizeof term);
    loss.terms = &term;
    loss.num_terms = 1;
}

static void set_canaries(void) { memset(&out, 0xa5, sizeof out); }

static int canaries_live(void) {
    const unsigned char *bytes = (const unsigned char *)&out;
    size_t i;
    for (i = 0; i < sizeof out; i++) {
        if (bytes[i] != 0xa5) return 0;
    }
    return 1;
}

/* A refused call: its status, a sentence, the same status in the info, outputs as they were. */
static dice_error refused(dice_status expected, dice_status found, const char *call, int line) {
    dice_error error = DICE_ERROR_INIT;
    check_status(expected, found, call, __FILE__, line);
    check(dice_last_error()[0] != '\0', "a sentence", __FILE__, line);
    check(dice_error_info(&error) == DICE_OK && error.status == expected, "the info has the status", __FILE__, line);
    check(canaries_live(), "outputs are as they were", __FILE__, line);
    set_canaries();
    return error;
}

#define REFUSED(status, call) (void)refused(status, call, #call, __LINE__)
#define REFUSED_AT(status, call, at, what, needed)                                             \
    do {                                                                                       \
        const dice_error e = refused(status, call, #call, __LINE__);                           \
        if (!CHECK(e.index == (at) && e.found == (what) && e.expected == (needed)))            \
            fprintf(stderr, "    %" PRId64 " %" PRId64 " %" PRId64 "\n", e.index, e.found, e.expected); \
    } while (0)

/* The calls that take a whole problem, with the arguments of this file. */
static dice_status value(void) { return dice_value(&z, &problem, &loss, out.values, 1); }
static dice_status value_and_grad(void) { return dice_value_and_grad(&z, &problem, &loss, NULL, 0, out.values, 1, PUT, &g); }
static dice_status statistics(void) { return dice_statistics(&z, &problem, &loss, out.table, TABLE); }
static dice_status pullback(void) {
    return dice_pullback(&z, &problem, &loss, in.cotangent, COTANGENT, NULL, 0, PUT, &g);
}

static dice_status confusion(void) { return dice_confusion(&z, &problem, 0, out.counts, N * C * C); }
static dice_status confusion_of_labels(void) { return dice_confusion(&predicted, &problem, C, out.counts, N * C * C); }

/* A fault in what they all take is refused by each of them. */
#define ALL_REFUSE(status)                                                                                            \
    do {                                                                                                              \
        REFUSED(status, value());                                                                                     \
        REFUSED(status, value_and_grad());                                                                            \
        REFUSED(status, statistics());                                                                                \
        REFUSED(status, pullback());                                                                                  \
        REFUSED(status, dice_statistics_range(&z, &problem, &loss, 0, V, out.table, TABLE));                          \
        REFUSED(status, dice_pullback_range(&z, &problem, &loss, in.cotangent, COTANGENT, NULL, 0, 0, V, PUT, &g));        \
    } while (0)

/* A fault in the problem is refused by confusions too. */
#define PROBLEM_REFUSED(status)                 \
    do {                                        \
        ALL_REFUSE(status);                     \
        REFUSED(status, confusion());           \
        REFUSED(status, confusion_of_labels()); \
    } while (0)

#define MAKE_DENSE problem.target = &dense, problem.dense_target = 1

/* A change of one thing, the refusals that it causes, and the change undone. */
#define WITH(change, refusals) \
    do {                       \
        change;                \
        refusals;              \
        restore();             \
    } while (0)

/* ---------------------------------------------------------------- pointers, sizes, numbers */

static void names_and_numbers(void) {
    dice_status status;
    int32_t isa;
    CHECK(dice_version() == (DICE_VERSION_MAJOR << 16 | DICE_VERSION_MINOR << 8 | DICE_VERSION_PATCH));
    for (status = -3; status < 20; status++) CHECK(dice_status_string(status)[0] != '\0');
    CHECK(strcmp(dice_status_string(DICE_OK), dice_status_string(DICE_PANIC)) != 0);
    CHECK(dice_status_string(INT_MIN) == dice_status_string(99));
    for (isa = -2; isa < 9; isa++) CHECK(dice_isa_name(isa)[0] != '\0');
    CHECK(strcmp(dice_isa_name(DICE_ISA_AVX512), "avx512") == 0 && strcmp(dice_isa_name(77), "unknown") == 0);
    CHECK(dice_tile_voxels() > 0);
    REFUSED_AT(DICE_INVALID_ARGUMENT, dice_set_max_isa(5), -1, 5, -1);
    REFUSED(DICE_INVALID_ARGUMENT, dice_set_max_isa(INT_MIN));
    REFUSED_AT(DICE_INVALID_ARGUMENT, dice_set_num_threads(-1), -1, -1, 0);
    OK(dice_set_num_threads(INT_MAX));
    OK(dice_set_num_threads(0));
}

/* Before anything went wrong in this thread. */
static void no_error_yet(void) {
    dice_error error = DICE_ERROR_INIT;
    OK(dice_error_info(&error));
    CHECK(error.status == DICE_OK && error.index == -1 && error.found == -1 && error.expected == -1);
    CHECK(dice_last_error()[0] == '\0');
}

static void null_pointers(void) {
    const dice_executor nothing = DICE_EXECUTOR_INIT;
    size_t len = 0;
    REFUSED(DICE_NULL_POINTER, dice_error_info(NULL));
    REFUSED(DICE_NULL_POINTER, dice_loss_preset(NULL, sizeof(dice_term), out.terms, 4, out.lens));
    REFUSED(DICE_NULL_POINTER, dice_loss_preset("default", sizeof(dice_term), NULL, 2, out.lens));
    REFUSED(DICE_NULL_POINTER, dice_loss_preset("default", sizeof(dice_term), out.terms, 4, NULL));
    REFUSED(DICE_NULL_POINTER, dice_class_weights_from_volumes(NULL, N, DICE_INVERSE, out.values));
    REFUSED(DICE_NULL_POINTER, dice_class_weights_from_volumes(in.cotangent, N, DICE_INVERSE, NULL));
    REFUSED(DICE_NULL_POINTER, dice_set_executor(&nothing));
    OK(dice_set_executor(NULL));

    REFUSED(DICE_NULL_POINTER, dice_value(NULL, &problem, &loss, out.values, 1));
    REFUSED(DICE_NULL_POINTER, dice_value(&z, NULL, &loss, out.values, 1));
    REFUSED(DICE_NULL_POINTER, dice_value(&z, &problem, NULL, out.values, 1));
    REFUSED(DICE_NULL_POINTER, dice_value(&z, &problem, &loss, NULL, 1));
    REFUSED(DICE_LENGTH, dice_value(&z, &problem, &loss, NULL, 0));

    REFUSED(DICE_NULL_POINTER, dice_value_and_grad(NULL, &problem, &loss, NULL, 0, out.values, 1, PUT, &g));
    REFUSED(DICE_NULL_POINTER, dice_value_and_grad(&z, NULL, &loss, NULL, 0, out.values, 1, PUT, &g));
    REFUSED(DICE_NULL_POINTER, dice_value_and_grad(&z, &problem, NULL, NULL, 0, out.values, 1, PUT, &g));
    REFUSED(DICE_NULL_POINTER, dice_value_and_grad(&z, &problem, &loss, NULL, 1, out.values, 1, PUT, &g));
    REFUSED(DICE_NULL_POINTER, dice_value_and_grad(&z, &problem, &loss, NULL, 0, NULL, 1, PUT, &g));
    REFUSED(DICE_NULL_POINTER, dice_value_and_grad(&z, &problem, &loss, NULL, 0, out.values, 1, PUT, NULL));

    REFUSED(DICE_NULL_POINTER, dice_statistics_len(NULL, &loss, out.lens));
    REFUSED(DICE_NULL_POINTER, dice_statistics_len(&z, NULL, out.lens));
    REFUSED(DICE_NULL_POINTER, dice_statistics_len(&z, &loss, NULL));
    OK(dice_statistics_len(&z, &loss, &len));
    CHECK(len == TABLE);

    REFUSED(DICE_NULL_POINTER, dice_statistics(NULL, &problem, &loss, out.table, TABLE));
    REFUSED(DICE_NULL_POINTER, dice_statistics(&z, NULL, &loss, out.table, TABLE));
    REFUSED(DICE_NULL_POINTER, dice_statistics(&z, &problem, NULL, out.table, TABLE));
    REFUSED(DICE_NULL_POINTER, dice_statistics(&z, &problem, &loss, NULL, TABLE));
    REFUSED(DICE_NULL_POINTER, dice_statistics_range(NULL, &problem, &loss, 0, 5, out.table, TABLE));
    REFUSED(DICE_NULL_POINTER, dice_statistics_range(&z, NULL, &loss, 0, 5, out.table, TABLE));
    REFUSED(DICE_NULL_POINTER, dice_statistics_range(&z, &problem, NULL, 0, 5, out.table, TABLE));
    REFUSED(DICE_NULL_POINTER, dice_statistics_range(&z, &problem, &loss, 0, 5, NULL, TABLE));
    REFUSED(DICE_NULL_POINTER, dice_statistics_merge(NULL, TABLE, out.table, TABLE));
    REFUSED(DICE_NULL_POINTER, dice_statistics_merge(in.table, TABLE, NULL, TABLE));
    OK(dice_statistics_merge(NULL, 0, NULL, 0));

    REFUSED(DICE_NULL_POINTER, dice_evaluation_len(NULL, N, C, out.lens, out.lens + 1, out.lens + 2));
    OK(dice_evaluation_len(&loss, N, C, NULL, NULL, NULL));
    REFUSED(DICE_NULL_POINTER, dice_loss_evaluate(NULL, in.table, TABLE, N, C, out.values, 1, NULL, 0, NULL, 0));
    REFUSED(DICE_NULL_POINTER, dice_loss_evaluate(&loss, NULL, TABLE, N, C, out.values, 1, NULL, 0, NULL, 0));
    REFUSED(DICE_NULL_POINTER, dice_loss_evaluate(&loss, in.table, TABLE, N, C, NULL, 1, NULL, 0, NULL, 0));
    REFUSED(DICE_NULL_POINTER, dice_loss_evaluate(&loss, in.table, TABLE, N, C, NULL, 0, NULL, COTANGENT, NULL, 0));
    REFUSED(DICE_NULL_POINTER, dice_loss_evaluate(&loss, in.table, TABLE, N, C, NULL, 0, NULL, 0, NULL, REPORTS));
    OK(dice_loss_evaluate(&loss, in.table, TABLE, N, C, NULL, 0, NULL, 0, NULL, 0));

    REFUSED(DICE_NULL_POINTER, dice_pullback(NULL, &problem, &loss, in.cotangent, COTANGENT, NULL, 0, PUT, &g));
    REFUSED(DICE_NULL_POINTER, dice_pullback(&z, NULL, &loss, in.cotangent, COTANGENT, NULL, 0, PUT, &g));
    REFUSED(DICE_NULL_POINTER, dice_pullback(&z, &problem, NULL, in.cotangent, COTANGENT, NULL, 0, PUT, &g));
    REFUSED(DICE_NULL_POINTER, dice_pullback(&z, &problem, &loss, NULL, COTANGENT, NULL, 0, PUT, &g));
    REFUSED(DICE_NULL_POINTER, dice_pullback(&z, &problem, &loss, in.cotangent, COTANGENT, NULL, 1, PUT, &g));
    REFUSED(DICE_NULL_POINTER, dice_pullback(&z, &problem, &loss, in.cotangent, COTANGENT, NULL, 0, PUT, NULL));
    REFUSED(DICE_NULL_POINTER, dice_pullback_range(NULL, &problem, &loss, in.cotangent, COTANGENT, NULL, 0, 0, 5, PUT, &g));
    REFUSED(DICE_NULL_POINTER, dice_pullback_range(&z, NULL, &loss, in.cotangent, COTANGENT, NULL, 0, 0, 5, PUT, &g));
    REFUSED(DICE_NULL_POINTER, dice_pullback_range(&z, &problem, NULL, in.cotangent, COTANGENT, NULL, 0, 0, 5, PUT, &g));
    REFUSED(DICE_NULL_POINTER, dice_pullback_range(&z, &problem, &loss, NULL, COTANGENT, NULL, 0, 0, 5, PUT, &g));
    REFUSED(DICE_NULL_POINTER, dice_pullback_range(&z, &problem, &loss, in.cotangent, COTANGENT, NULL, 1, 0, 5, PUT, &g));
    REFUSED(DICE_NULL_POINTER, dice_pullback_range(&z, &problem, &loss, in.cotangent, COTANGENT, NULL, 0, 0, 5, PUT, NULL));

    /* Behind the pointers. */
    WITH(z.data = NULL, ALL_REFUSE(DICE_NULL_POINTER));
    WITH(z.shape = NULL, ALL_REFUSE(DICE_NULL_POINTER));
    WITH(y.data = NULL, ALL_REFUSE(DICE_NULL_POINTER));
    WITH(y.shape = NULL, ALL_REFUSE(DICE_NULL_POINTER));
    WITH(problem.target = NULL, ALL_REFUSE(DICE_NULL_POINTER));
    WITH(loss.terms = NULL, ALL_REFUSE(DICE_NULL_POINTER));
    WITH((term.weighting = DICE_FIXED, term.num_class_weights = 3), ALL_REFUSE(DICE_NULL_POINTER));
    WITH(g.data = NULL, (void)refused(DICE_NULL_POINTER, value_and_grad(), "gradient.data", __LINE__));
    WITH(g.shape = NULL, (void)refused(DICE_NULL_POINTER, pullback(), "gradient.shape", __LINE__));
}

static void sizes_of_structs(void) {
    dice_error error = DICE_ERROR_INIT;
    dice_executor executor = DICE_EXECUTOR_INIT;
    WITH(problem.struct_size = 0, ALL_REFUSE(DICE_STRUCT_SIZE));
    WITH(problem.struct_size = SIZE_MAX, ALL_REFUSE(DICE_STRUCT_SIZE));
    WITH(loss.struct_size -= 1, ALL_REFUSE(DICE_STRUCT_SIZE));
    WITH(loss.term_size = 0, ALL_REFUSE(DICE_STRUCT_SIZE));
    WITH(loss.term_size += 8, ALL_REFUSE(DICE_STRUCT_SIZE));
    WITH(problem.struct_size = 8, REFUSED_AT(DICE_STRUCT_SIZE, value(), -1, 8, (int64_t)sizeof(dice_problem)));
    error.struct_size = sizeof error - 8;
    REFUSED(DICE_STRUCT_SIZE, dice_error_info(&error));
    executor.struct_size = 1;
    REFUSED(DICE_STRUCT_SIZE, dice_set_executor(&executor));
    /* "zero everything and set struct_size": no terms, so no size of terms either. */
    memset(&loss, 0, sizeof loss);
    loss.struct_size = sizeof loss;
    OK(value());
    restore();
    set_canaries();
}

static void no_run(void *context, int32_t limit, void (*claim)(void *argument), void *argument) {
    (void)context, (void)limit, (void)claim, (void)argument;
}

static void numbers_that_mean_nothing(void) {
    const int32_t wrong[] = {-1, 99, INT_MIN, INT_MAX};
    const double bad[] = {-1.0, (double)NAN, (double)INFINITY, -(double)INFINITY, 1e-40, 1e300}, weights[] = {1.0, -1.0, 2.0};
    dice_executor executor = DICE_EXECUTOR_INIT;
    size_t i;
    for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        WITH(term.kind = wrong[i], ALL_REFUSE(DICE_INVALID_ARGUMENT));
        WITH(term.activation = wrong[i], ALL_REFUSE(DICE_INVALID_ARGUMENT));
        WITH(term.weighting = wrong[i], ALL_REFUSE(DICE_INVALID_ARGUMENT));
        WITH(term.absent = wrong[i], ALL_REFUSE(DICE_INVALID_ARGUMENT));
        WITH(term.raw_weights = wrong[i], ALL_REFUSE(DICE_INVALID_ARGUMENT));
        WITH(term.exclude_background = wrong[i], ALL_REFUSE(DICE_INVALID_ARGUMENT));
        WITH(term.grouping = wrong[i], ALL_REFUSE(DICE_INVALID_ARGUMENT));
        WITH(term.reduction = wrong[i], ALL_REFUSE(DICE_INVALID_ARGUMENT));
        WITH(term.zero_non_finite = wrong[i], ALL_REFUSE(DICE_INVALID_ARGUMENT));
        WITH(term.reserved = wrong[i], ALL_REFUSE(DICE_INVALID_ARGUMENT));
        WITH(problem.use_ignore_index = wrong[i], ALL_REFUSE(DICE_INVALID_ARGUMENT));
        WITH(problem.error_on_non_finite = wrong[i], ALL_REFUSE(DICE_INVALID_ARGUMENT));
        WITH(problem.labels_checked = wrong[i], ALL_REFUSE(DICE_INVALID_ARGUMENT));
        WITH(problem.dense_target = wrong[i], ALL_REFUSE(DICE_INVALID_ARGUMENT));
        REFUSED(DICE_INVALID_ARGUMENT, dice_value_and_grad(&z, &problem, &loss, NULL, 0, out.values, 1, wrong[i], &g));
        REFUSED(DICE_INVALID_ARGUMENT,
                dice_pullback(&z, &problem, &loss, in.cotangent, COTANGENT, NULL, 0, wrong[i], &g));
        REFUSED(DICE_INVALID_ARGUMENT,
                dice_pullback_range(&z, &problem, &loss, in.cotangent, COTANGENT, NULL, 0, 0, V, wrong[i], &g));
    }
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        WITH(term.smooth_numerator = bad[i], REFUSED(DICE_INVALID_ARGUMENT, value_and_grad()));
        WITH(term.smooth_denominator = bad[i], REFUSED(DICE_INVALID_ARGUMENT, value_and_grad()));
        WITH(term.least_union = bad[i], REFUSED(DICE_INVALID_ARGUMENT, value_and_grad()));
        WITH((term.absent = DICE_EPSILON, term.absent_epsilon = bad[i]), REFUSED(DICE_INVALID_ARGUMENT, value()));
        WITH((term.absent = DICE_REGULARISED, term.absent_epsilon = bad[i]), REFUSED(DICE_INVALID_ARGUMENT, value()));
        if (bad[i] != -1.0) WITH(term.factor = bad[i], ALL_REFUSE(DICE_INVALID_ARGUMENT));
    }
    WITH(term.absent = DICE_REGULARISED, REFUSED(DICE_INVALID_ARGUMENT, value()));
    WITH((term.weighting = DICE_FIXED, term.class_weights = weights, term.num_class_weights = 3),
         REFUSED(DICE_INVALID_ARGUMENT, value_and_grad()));
    WITH((term.weighting = DICE_FIXED, term.class_weights = weights, term.num_class_weights = 2),
         REFUSED_AT(DICE_LENGTH, value_and_grad(), -1, 2, 3));
    WITH(loss.num_terms = SIZE_MAX, ALL_REFUSE(DICE_LENGTH));
    REFUSED(DICE_INVALID_ARGUMENT, dice_loss_preset("nonsense", sizeof(dice_term), out.terms, 4, out.lens));
    REFUSED(DICE_INVALID_ARGUMENT, dice_loss_preset("", sizeof(dice_term), out.terms, 4, out.lens));
    REFUSED(DICE_INVALID_ARGUMENT, dice_loss_preset("d\xffg\xc3", sizeof(dice_term), out.terms, 4, out.lens));
    executor.run = no_run;
    REFUSED_AT(DICE_INVALID_ARGUMENT, dice_set_executor(&executor), -1, 0, 1);
    executor.threads = 1;
    executor.reserved = 1;
    REFUSED(DICE_INVALID_ARGUMENT, dice_set_executor(&executor));
}

static void lengths(void) {
    size_t len = 0;
    REFUSED_AT(DICE_LENGTH, dice_value(&z, &problem, &loss, out.values, 2), -1, 2, 1);
    REFUSED(DICE_LENGTH, dice_value(&z, &problem, &loss, out.values, SIZE_MAX));
    REFUSED(DICE_LENGTH, dice_value_and_grad(&z, &problem, &loss, in.cotangent, 0, out.values, 1, PUT, &g));
    REFUSED(DICE_LENGTH, dice_value_and_grad(&z, &problem, &loss, in.cotangent, 2, out.values, 1, PUT, &g));
    REFUSED(DICE_LENGTH, dice_value_and_grad(&z, &problem, &loss, in.cotangent, SIZE_MAX, out.values, 1, PUT, &g));
    WITH(term.reduction = DICE_NONE, REFUSED_AT(DICE_LENGTH, value(), -1, 1, N));
    WITH(term.reduction = DICE_NONE,
         REFUSED_AT(DICE_LENGTH, dice_value_and_grad(&z, &problem, &loss, in.cotangent, 3, out.values, N, PUT, &g), -1, 3, N));
    REFUSED_AT(DICE_LENGTH, dice_statistics(&z, &problem, &loss, out.table, TABLE - 12), -1, TABLE - 12, TABLE);
    REFUSED(DICE_LENGTH, dice_statistics_range(&z, &problem, &loss, 0, 5, out.table, TABLE + 1));
    REFUSED(DICE_LENGTH, dice_statistics_merge(in.table, TABLE, out.table, TABLE - 12));
    REFUSED(DICE_LENGTH, dice_statistics_merge(in.table, TABLE - 1, out.table, TABLE - 1));
    REFUSED(DICE_LENGTH, dice_statistics_merge(in.table, SIZE_MAX, out.table, SIZE_MAX));
    REFUSED(DICE_LENGTH, dice_loss_evaluate(&loss, in.table, TABLE - 12, N, C, out.values, 1, NULL, 0, NULL, 0));
    REFUSED(DICE_LENGTH, dice_loss_evaluate(&loss, in.table, TABLE, N, C, out.values, 2, NULL, 0, NULL, 0));
    REFUSED(DICE_LENGTH, dice_loss_evaluate(&loss, in.table, TABLE, N, C, out.values, 0, NULL, 0, NULL, 0));
    REFUSED(DICE_LENGTH, dice_loss_evaluate(&loss, in.table, TABLE, N, C, out.values, 1, out.cotangent, 1, NULL, 0));
    REFUSED(DICE_LENGTH, dice_loss_evaluate(&loss, in.table, TABLE, N, C, out.values, 1, NULL, 0, out.reports, 1));
    REFUSED_AT(DICE_LENGTH, dice_pullback(&z, &problem, &loss, in.cotangent, 17, NULL, 0, PUT, &g), -1, 17, COTANGENT);
    REFUSED(DICE_LENGTH, dice_pullback(&z, &problem, &loss, NULL, 0, NULL, 0, PUT, &g));
    REFUSED(DICE_LENGTH, dice_pullback(&z, &problem, &loss, in.cotangent, COTANGENT, in.cotangent, 2, PUT, &g));
    REFUSED(DICE_LENGTH, dice_pullback(&z, &problem, &loss, in.cotangent, COTANGENT, in.cotangent, 0, PUT, &g));
    /* Ranges. */
    REFUSED_AT(DICE_INVALID_ARGUMENT, dice_statistics_range(&z, &problem, &loss, -1, 5, out.table, TABLE), -1, -1, -1);
    REFUSED(DICE_INVALID_ARGUMENT, dice_statistics_range(&z, &problem, &loss, 0, INT64_MIN, out.table, TABLE));
    REFUSED_AT(DICE_INVALID_ARGUMENT, dice_statistics_range(&z, &problem, &loss, 0, V + 1, out.table, TABLE), -1, V + 1, V);
    REFUSED(DICE_INVALID_ARGUMENT, dice_statistics_range(&z, &problem, &loss, 6, 5, out.table, TABLE));
    REFUSED(DICE_INVALID_ARGUMENT, dice_statistics_range(&z, &problem, &loss, INT64_MAX, INT64_MAX, out.table, TABLE));
    REFUSED(DICE_INVALID_ARGUMENT,
            dice_pullback_range(&z, &problem, &loss, in.cotangent, COTANGENT, NULL, 0, 3, V + 1, PUT, &g));
    /* Extents of tables. */
    REFUSED_AT(DICE_SHAPE, dice_evaluation_len(&loss, -1, C, out.lens, NULL, NULL), -1, -1, 0);
    REFUSED_AT(DICE_SHAPE, dice_evaluation_len(&loss, N, 0, out.lens, NULL, NULL), -1, 0, 1);
    REFUSED(DICE_SHAPE, dice_evaluation_len(&loss, INT64_MAX, INT64_MAX, out.lens, NULL, NULL));
    REFUSED(DICE_SHAPE, dice_evaluation_len(&loss, 1, INT64_MAX, out.lens, NULL, NULL));
    REFUSED(DICE_SHAPE, dice_loss_evaluate(&loss, in.table, TABLE, 1, INT64_MAX, out.values, 1, NULL, 0, NULL, 0));
    OK(dice_evaluation_len(&loss, N, C, &len, NULL, NULL));
    CHECK(len == 1);
    OK(dice_evaluation_len(&loss, N, C, NULL, &len, NULL));
    CHECK(len == COTANGENT);
    OK(dice_evaluation_len(&loss, N, C, NULL, NULL, &len));
    CHECK(len == REPORTS);
}

/* A pointer one byte further on. */
static void *askew(void *pointer) { return (char *)pointer + 1; }

static void misaligned(void) {
    WITH(z.data = askew(z.data), ALL_REFUSE(DICE_LAYOUT));
    WITH(z.byte_offset = 2, ALL_REFUSE(DICE_LAYOUT));
    WITH(z.shape = (const int64_t *)askew(in.table), ALL_REFUSE(DICE_LAYOUT));
    WITH(z.strides = (const int64_t *)askew(in.table), ALL_REFUSE(DICE_LAYOUT));
    WITH(loss.terms = (const dice_term *)askew(&term), ALL_REFUSE(DICE_LAYOUT));
    WITH(problem.target = (const dice_tensor *)askew(&y), ALL_REFUSE(DICE_LAYOUT));
    WITH(g.data = askew(g.data), REFUSED(DICE_LAYOUT, value_and_grad()));
    REFUSED(DICE_LAYOUT, dice_value((const dice_tensor *)askew(&z), &problem, &loss, out.values, 1));
    REFUSED(DICE_LAYOUT, dice_value(&z, (const dice_problem *)askew(&problem), &loss, out.values, 1));
    REFUSED(DICE_LAYOUT, dice_value(&z, &problem, (const dice_loss *)askew(&loss), out.values, 1));
    REFUSED(DICE_LAYOUT, dice_value(&z, &problem, &loss, (double *)askew(out.values), 1));
    REFUSED(DICE_LAYOUT,
            dice_value_and_grad(&z, &problem, &loss, (const double *)askew(in.cotangent), 1, out.values, 1, PUT, &g));
    REFUSED(DICE_LAYOUT, dice_statistics(&z, &problem, &loss, (int64_t *)askew(out.table), TABLE));
    REFUSED(DICE_LAYOUT, dice_statistics_merge((const int64_t *)askew(in.table), TABLE - 12, out.table, TABLE - 12));
    REFUSED(DICE_LAYOUT, dice_statistics_merge(in.table, TABLE, (int64_t *)askew(out.table), TABLE));
    REFUSED(DICE_LAYOUT, dice_loss_preset("default", sizeof(dice_term), (dice_term *)askew(out.terms), 3, out.lens));
    REFUSED(DICE_LAYOUT, dice_evaluation_len(&loss, N, C, out.lens, (size_t *)askew(out.lens + 1), NULL));
    REFUSED(DICE_LAYOUT, dice_evaluation_len(&loss, N, C, out.lens, out.lens + 1, (size_t *)askew(out.lens + 1)));
    REFUSED(DICE_LAYOUT, dice_loss_evaluate(&loss, in.table, TABLE, N, C, out.values, 1, out.cotangent, COTANGENT,
                                            (dice_class_report *)askew(out.reports), REPORTS));
    REFUSED(DICE_LAYOUT, dice_error_info((dice_error *)askew(out.table)));
}

/* ---------------------------------------------------------------- tensors */

static void element_types_and_devices(void) {
    WITH(z.dtype.lanes = 2, ALL_REFUSE(DICE_UNSUPPORTED));
    WITH(z.dtype.lanes = 0, ALL_REFUSE(DICE_UNSUPPORTED));
    WITH(z.device.device_type = 2, ALL_REFUSE(DICE_UNSUPPORTED));
    WITH(z.device.device_type = 0, ALL_REFUSE(DICE_UNSUPPORTED));
    WITH(y.device.device_type = 13, ALL_REFUSE(DICE_UNSUPPORTED));
    WITH(g.device.device_type = 2, REFUSED(DICE_UNSUPPORTED, pullback()));
    WITH((problem.mask = &mask, mask.device.device_type = 2), PROBLEM_REFUSED(DICE_UNSUPPORTED));
    WITH((problem.voxel_weights = &voxel_weights, voxel_weights.device.device_type = 3), PROBLEM_REFUSED(DICE_UNSUPPORTED));
}

/* Whether the sentence of the last error holds a word. */
static int said(const char *word) { return strstr(dice_last_error(), word) != NULL; }

/* Every type code with every width, for every tensor: refused by all functions if it is not one of the tensor's types. */
static void every_element_type(void) {
    const uint8_t widths[] = {0, 1, 8, 16, 32, 64, 128, 255};
    uint8_t code;
    size_t i;
    for (code = 0; code < 9; code++) {
        for (i = 0; i < sizeof widths; i++) {
            const uint8_t bits = widths[i];
            const int is_float = (code == DICE_FLOAT && (bits == 16 || bits == 32 || bits == 64))
                                 || (code == DICE_BFLOAT && bits == 16);
            const int is_byte = bits == 8 && (code == DICE_UINT || code == DICE_BOOL);
            const int is_label = is_byte || (code == DICE_UINT && (bits == 16 || bits == 32 || bits == 64))
                                 || (code == DICE_INT && (bits == 8 || bits == 16 || bits == 32 || bits == 64));
            const dice_dtype dtype = {code, bits, 1};
            size_t len = 0;
            z.dtype = dtype;
            if (is_float) OK(dice_statistics_len(&z, &loss, &len));
            else REFUSED(DICE_UNSUPPORTED, dice_statistics_len(&z, &loss, out.lens));
            if (!is_float) {
                ALL_REFUSE(DICE_UNSUPPORTED);
                if (!is_label) REFUSED(DICE_UNSUPPORTED, dice_confusion(&z, &problem, C, out.counts, N * C * C));
            }
            restore();
            if (!is_label) WITH(y.dtype = dtype, PROBLEM_REFUSED(DICE_UNSUPPORTED));
            if (!is_byte) WITH((problem.mask = &mask, mask.dtype = dtype), PROBLEM_REFUSED(DICE_UNSUPPORTED));
            if (code != DICE_FLOAT || bits != 32) {
                WITH((problem.voxel_weights = &voxel_weights, voxel_weights.dtype = dtype), PROBLEM_REFUSED(DICE_UNSUPPORTED));
            }
            if (!is_float && !is_byte) {
                WITH((MAKE_DENSE, dense.dtype = dtype), ALL_REFUSE(DICE_UNSUPPORTED));
            }
            if (!is_float || bits == 64) {
                WITH(g.dtype = dtype, REFUSED(DICE_UNSUPPORTED, value_and_grad()));
                WITH(g.dtype = dtype, REFUSED(DICE_UNSUPPORTED, pullback()));
            }
            if (!is_float || bits != 64) {
                /* f64 logits that need no memory. */
                const int64_t none[] = {N, C, 0, 5}, no_labels[] = {N, 0, 5};
                WITH((z.dtype.bits = 64, z.shape = none, y.shape = no_labels, g.shape = none, g.dtype = dtype),
                     REFUSED(DICE_UNSUPPORTED, value_and_grad()));
            }
        }
    }
    /* Sentences that help. */
    y = dice_compact(in.labels, DICE_FLOAT, 32, 3, LABEL_SHAPE);
    CHECK(value() == DICE_UNSUPPORTED && said("problem.target is f32") && said("dense_target is 0") && said("i64"));
    restore();
    g.dtype.bits = 64;
    CHECK(pullback() == DICE_UNSUPPORTED && said("gradient is f64") && said("bf16") && said("logits are not f64"));
    restore();
    set_canaries();
}

static void shapes(void) {
    const int64_t no_classes[] = {N, 0, 4, 5}, negative[] = {N, C, -4, 5}, more[] = {N, C, 4, 6}, turned[] = {N, C, 5, 4};
    const int64_t huge[] = {INT64_MAX, C, INT64_MAX, INT64_MAX}, wide[] = {N, C, (int64_t)1 << 40, (int64_t)1 << 40};
    const int64_t hidden[] = {(int64_t)1 << 40, (int64_t)1 << 40, 0, 5}, hidden_labels[] = {(int64_t)1 << 40, 0, 5};
    const int64_t lowest[] = {INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN}, far[] = {1, 1, 1, (int64_t)1 << 61};
    const int64_t map_with_channel[] = {N, 1, 4, 5};
    const int64_t labels_more[] = {N, 4, 6}, two_channels[] = {N, 2, 4, 5}, one_sample[] = {1, 4, 5};
    const int64_t ones[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    int32_t ndim;
    for (ndim = -2; ndim <= 10; ndim++) {
        if (ndim < 1 || ndim > 8) WITH((z.ndim = ndim, z.shape = ones), ALL_REFUSE(DICE_SHAPE));
        if (ndim < 3 || ndim > 4) WITH((y.ndim = ndim, y.shape = ones), ALL_REFUSE(DICE_SHAPE));
    }
    WITH(z.ndim = 1, ALL_REFUSE(DICE_SHAPE));
    WITH(z.ndim = INT_MIN, ALL_REFUSE(DICE_SHAPE));
    WITH(z.ndim = INT_MAX, ALL_REFUSE(DICE_SHAPE));
    WITH(z.shape = no_classes, ALL_REFUSE(DICE_SHAPE));
    WITH(z.shape = negative, ALL_REFUSE(DICE_SHAPE));
    WITH(z.shape = negative, REFUSED_AT(DICE_SHAPE, value(), 2, -4, -1));
    WITH(z.shape = huge, ALL_REFUSE(DICE_SHAPE));
    WITH(z.shape = wide, ALL_REFUSE(DICE_SHAPE));
    WITH((z.shape = huge, z.strides = lowest), ALL_REFUSE(DICE_SHAPE));
    WITH((z.shape = hidden, y.shape = hidden_labels), ALL_REFUSE(DICE_SHAPE));
    WITH((z.shape = hidden), REFUSED(DICE_SHAPE, dice_statistics_len(&z, &loss, out.lens)));
    WITH((z.shape = no_classes), REFUSED(DICE_SHAPE, dice_statistics_len(&z, &loss, out.lens)));
    WITH((z.ndim = 1), REFUSED(DICE_SHAPE, dice_statistics_len(&z, &loss, out.lens)));
    WITH(z.strides = lowest, ALL_REFUSE(DICE_LAYOUT));
    WITH(z.strides = far, ALL_REFUSE(DICE_LAYOUT));
    WITH(z.byte_offset = UINT64_MAX - 3, ALL_REFUSE(DICE_LAYOUT));
    WITH(y.byte_offset = UINT64_MAX, ALL_REFUSE(DICE_LAYOUT));
    /* Shapes that disagree; the index is an axis of the logits. */
    WITH(y.shape = labels_more, ALL_REFUSE(DICE_SHAPE));
    WITH(y.shape = labels_more, REFUSED_AT(DICE_SHAPE, value(), 3, 6, 5));
    WITH(y.shape = one_sample, REFUSED_AT(DICE_SHAPE, value(), 0, 1, N));
    /* A map has one channel: a target of all classes that is not said to be dense is told so. */
    WITH((y.shape = two_channels, y.ndim = 4), REFUSED_AT(DICE_SHAPE, value(), 1, 2, 1));
    y = dice_compact(in.labels, DICE_UINT, 8, 4, two_channels);
    CHECK(value() == DICE_SHAPE && said("problem.target of shape [2, 2, 4, 5]") && said("problem.dense_target = 1"));
    restore();
    /* Of two maps, one with an axis for its channel and one without. */
    WITH((y.shape = labels_more, z = dice_compact(in.labels, DICE_UINT, 8, 4, map_with_channel)),
         REFUSED_AT(DICE_SHAPE, dice_confusion(&z, &problem, C, out.counts, N * C * C), 2, 5, 6));
    WITH(g.shape = more, REFUSED_AT(DICE_SHAPE, value_and_grad(), 3, 6, 5));
    WITH(g.shape = turned, REFUSED_AT(DICE_SHAPE, pullback(), 2, 5, 4));
    WITH(g.ndim = 3, REFUSED(DICE_SHAPE, value_and_grad()));
}

static void overlaps(void) {
    const int64_t broadcast[] = {C * V, V, 0, 1}, interleaved[] = {C * V, V, 4, 1}, flat[] = {0, V, 5, 1};
    const int64_t apart[] = {4 * C * V, 4 * V, 20, 4};
    WITH(g.strides = broadcast, REFUSED_AT(DICE_LAYOUT, value_and_grad(), 2, 0, -1));
    WITH(g.strides = interleaved, REFUSED(DICE_LAYOUT, pullback()));
    WITH(g.strides = flat, REFUSED(DICE_LAYOUT, value_and_grad()));
    /* The gradient one element into the logits, and on the labels. */
    WITH(g.data = in.logits + 1, REFUSED(DICE_LAYOUT, value_and_grad()));
    WITH(z.data = out.gradient + N * C * V - 1, REFUSED(DICE_LAYOUT, value_and_grad()));
    WITH(y.data = out.gradient + 3, REFUSED(DICE_LAYOUT, value_and_grad()));
    /* Between the logits: no shared element, but a shared span. */
    WITH((z.strides = apart, g.strides = apart, z.data = in.table, g.data = (float *)(void *)in.table + 1),
         REFUSED(DICE_LAYOUT, value_and_grad()));
    /* Side by side is fine. */
    z.data = out.gradient;
    g.data = in.logits;
    memcpy(out.gradient, in.logits, sizeof in.logits);
    OK(value_and_grad());
    restore();
    set_canaries();
}

/* The gradient in the place of the logits, which an error must leave as they are. */
static void in_place(void) {
    const int64_t channels_last[] = {C * V, 1, 5 * C, C};
    float before[N * C * V];
    double values[1] = {0.0};
    size_t i;
    memcpy(before, in.logits, sizeof before);
    g.data = in.logits;
    OK(dice_value_and_grad(&z, &problem, &loss, NULL, 0, values, 1, PUT, &g));
    OK(dice_value_and_grad(&z, &problem, &loss, NULL, 0, values, 1, PUT, &z));
    CHECK(memcmp(before, in.logits, sizeof before) != 0);
    restore();
#define REFUSED_IN_PLACE(status, change)                                                                                  \
    do {                                                                                                                  \
        g = z;                                                                                                            \
        change;                                                                                                           \
        memcpy(before, in.logits, sizeof before);                                                                         \
        REFUSED(status, value_and_grad());                                                                                \
        REFUSED(status, pullback());                                                                                      \
        REFUSED(status, dice_pullback_range(&z, &problem, &loss, in.cotangent, COTANGENT, NULL, 0, 0, V, PUT, &g));       \
        CHECK(memcmp(before, in.logits, sizeof before) == 0);                                                             \
        restore();                                                                                                        \
    } while (0)
    REFUSED_IN_PLACE(DICE_LABEL, in.labels[5] = 77);
    REFUSED_IN_PLACE(DICE_WEIGHT, (in.voxel_weights[3] = -1.0F, problem.voxel_weights = &voxel_weights));
    REFUSED_IN_PLACE(DICE_LAYOUT, g.byte_offset = sizeof(float));
    REFUSED_IN_PLACE(DICE_LAYOUT, g.strides = channels_last);
    REFUSED_IN_PLACE(DICE_LAYOUT, (g.dtype.bits = 16));
    REFUSED_IN_PLACE(DICE_LAYOUT, (g.dtype.bits = 16, z.dtype.bits = 16, g.dtype.code = DICE_BFLOAT));
    REFUSED_IN_PLACE(DICE_LAYOUT, y.data = in.logits);
    /* Compact strides are strides too. */
    {
        const int64_t strides[] = {C * V, V, 5, 1}, broadcast[] = {0, V, 5, 1};
        g = z;
        g.strides = strides;
        OK(dice_value_and_grad(&z, &problem, &loss, NULL, 0, values, 1, PUT, &g));
        restore();
        REFUSED_IN_PLACE(DICE_LAYOUT, (g.strides = broadcast, z.strides = broadcast));
    }
    for (i = 0; i < N * C * V; i++) before[i] = in.logits[i];
    REFUSED(DICE_INVALID_ARGUMENT, dice_value_and_grad(&z, &problem, &loss, NULL, 0, out.values, 1, DICE_ACCUMULATE, &z));
    REFUSED(DICE_INVALID_ARGUMENT,
            dice_pullback(&z, &problem, &loss, in.cotangent, COTANGENT, NULL, 0, DICE_ACCUMULATE, &z));
    CHECK(memcmp(before, in.logits, sizeof before) == 0);
    set_canaries();
}

/* ---------------------------------------------------------------- masks, weights, dense targets, slabs */

static void masks_and_weights(void) {
    const int64_t more[] = {N, 4, 6}, one_sample[] = {1, 4, 5}, two_channels[] = {N, 2, 4, 5}, with_channel[] = {N, 1, 4, 5};
    const float bad[] = {-1.0F, -1e-30F, 1.1e8F, INFINITY, -INFINITY, NAN};
    size_t i;
    WITH((problem.mask = &mask, mask.data = NULL), PROBLEM_REFUSED(DICE_NULL_POINTER));
    WITH((problem.mask = &mask, mask.shape = NULL), PROBLEM_REFUSED(DICE_NULL_POINTER));
    WITH((problem.mask = &mask, mask.shape = more), PROBLEM_REFUSED(DICE_SHAPE));
    WITH((problem.mask = &mask, mask.shape = more), REFUSED_AT(DICE_SHAPE, value(), 3, 6, 5));
    WITH((problem.mask = &mask, mask.shape = one_sample), REFUSED_AT(DICE_SHAPE, value(), 0, 1, N));
    WITH((problem.mask = &mask, mask.shape = two_channels, mask.ndim = 4), ALL_REFUSE(DICE_SHAPE));
    WITH((problem.mask = &mask, mask.ndim = 2), ALL_REFUSE(DICE_SHAPE));
    WITH((problem.mask = &mask, mask.ndim = 0), PROBLEM_REFUSED(DICE_SHAPE));
    WITH(problem.mask = (const dice_tensor *)askew(&mask), PROBLEM_REFUSED(DICE_LAYOUT));
    WITH((problem.voxel_weights = &voxel_weights, voxel_weights.data = NULL), PROBLEM_REFUSED(DICE_NULL_POINTER));
    WITH((problem.voxel_weights = &voxel_weights, voxel_weights.byte_offset = 2), PROBLEM_REFUSED(DICE_LAYOUT));
    WITH((problem.voxel_weights = &voxel_weights, voxel_weights.shape = more), PROBLEM_REFUSED(DICE_SHAPE));
    WITH((problem.voxel_weights = &voxel_weights, voxel_weights.shape = more), REFUSED_AT(DICE_SHAPE, value(), 3, 6, 5));
    WITH(problem.voxel_weights = (const dice_tensor *)askew(&voxel_weights), PROBLEM_REFUSED(DICE_LAYOUT));

    WITH(problem.num_sample_weights = N, PROBLEM_REFUSED(DICE_NULL_POINTER));
    WITH((problem.sample_weights = in.sample_weights, problem.num_sample_weights = 0), PROBLEM_REFUSED(DICE_LENGTH));
    WITH((problem.sample_weights = in.sample_weights, problem.num_sample_weights = 1),
         REFUSED_AT(DICE_LENGTH, value(), -1, 1, N));
    WITH((problem.sample_weights = in.sample_weights, problem.num_sample_weights = SIZE_MAX), PROBLEM_REFUSED(DICE_LENGTH));
    WITH((problem.sample_weights = (const float *)askew(in.sample_weights), problem.num_sample_weights = N),
         PROBLEM_REFUSED(DICE_LAYOUT));

    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        WITH((problem.voxel_weights = &voxel_weights, in.voxel_weights[23] = in.voxel_weights[31] = bad[i]),
             PROBLEM_REFUSED(DICE_WEIGHT));
        WITH((problem.voxel_weights = &voxel_weights, in.voxel_weights[23] = in.voxel_weights[31] = bad[i]),
             REFUSED_AT(DICE_WEIGHT, value_and_grad(), 23, -1, -1));
        WITH((problem.sample_weights = in.sample_weights, problem.num_sample_weights = N, in.sample_weights[1] = bad[i]),
             PROBLEM_REFUSED(DICE_WEIGHT));
        WITH((problem.sample_weights = in.sample_weights, problem.num_sample_weights = N, in.sample_weights[1] = bad[i]),
             REFUSED_AT(DICE_WEIGHT, value(), 1, -1, -1));
    }
    /* Both together must be a weight, too. */
    WITH((problem.voxel_weights = &voxel_weights, problem.sample_weights = in.sample_weights, problem.num_sample_weights = N,
          in.sample_weights[1] = 1e5F, in.voxel_weights[23] = 1e5F),
         PROBLEM_REFUSED(DICE_WEIGHT));
    /* A wrong weight or label under the mask is nobody's business, nor is one that was vouched for. */
    problem.mask = &mask, problem.voxel_weights = &voxel_weights;
    in.mask[23] = 0, in.voxel_weights[23] = -1.0F, in.labels[23] = 99;
    mask.ndim = 4, mask.shape = with_channel, mask.dtype.code = DICE_BOOL;
    OK(value_and_grad());
    OK(confusion());
    in.mask[23] = 1, problem.labels_checked = 1;
    OK(pullback());
    CHECK(out.gradient[23 + 40] == 0.0F);
    restore();
    set_canaries();
    WITH((problem.mask = &mask, problem.voxel_weights = &voxel_weights, in.mask[23] = 1, in.voxel_weights[23] = -1.0F),
         PROBLEM_REFUSED(DICE_WEIGHT));

    WITH(problem.voxel_offset = -1, PROBLEM_REFUSED(DICE_INVALID_ARGUMENT));
    WITH(problem.voxel_offset = -1, REFUSED_AT(DICE_INVALID_ARGUMENT, value(), -1, -1, 0));
    WITH(problem.voxel_offset = INT64_MIN, PROBLEM_REFUSED(DICE_INVALID_ARGUMENT));
    WITH(problem.voxel_offset = INT64_MAX, PROBLEM_REFUSED(DICE_INVALID_ARGUMENT));
    problem.voxel_offset = (int64_t)1 << 62;
    OK(value_and_grad());
    OK(confusion());
    restore();
    set_canaries();

    /* The gradient's memory is apart from all of it. */
    WITH((problem.mask = &mask, mask.data = out.gradient), REFUSED(DICE_LAYOUT, value_and_grad()));
    WITH((problem.voxel_weights = &voxel_weights, voxel_weights.data = out.gradient + 7), REFUSED(DICE_LAYOUT, pullback()));
    WITH((MAKE_DENSE, dense.data = out.gradient), REFUSED(DICE_LAYOUT, pullback()));
    memset(out.gradient, 0, 2 * sizeof(float));
    problem.sample_weights = out.gradient, problem.num_sample_weights = N;
    CHECK(value_and_grad() == DICE_LAYOUT && said("problem.sample_weights"));
    restore();
    set_canaries();
}

static void dense_targets(void) {
    const int64_t more[] = {N, C, 4, 6};
    WITH((MAKE_DENSE, dense.shape = more), ALL_REFUSE(DICE_SHAPE));
    WITH((MAKE_DENSE, dense.shape = more), REFUSED_AT(DICE_SHAPE, value(), 3, 6, 5));
    WITH((MAKE_DENSE, dense.shape = LABEL_SHAPE, dense.ndim = 3), ALL_REFUSE(DICE_SHAPE));
    WITH((MAKE_DENSE, problem.use_ignore_index = 1), ALL_REFUSE(DICE_INVALID_ARGUMENT));
    WITH((MAKE_DENSE, dense.data = NULL), ALL_REFUSE(DICE_NULL_POINTER));
    WITH((MAKE_DENSE, dense.byte_offset = 1), ALL_REFUSE(DICE_LAYOUT));
    WITH((MAKE_DENSE, problem.error_on_non_finite = 1, in.dense[44] = NAN, in.dense[50] = NAN),
         REFUSED_AT(DICE_NON_FINITE, value_and_grad(), 44, -1, -1));
    WITH((MAKE_DENSE), REFUSED(DICE_UNSUPPORTED, confusion()));
    WITH((MAKE_DENSE), REFUSED(DICE_UNSUPPORTED, confusion_of_labels()));
    /* A dense target is no label map by its shape alone. */
    WITH(problem.target = &dense, PROBLEM_REFUSED(DICE_UNSUPPORTED));
    WITH(problem.dense_target = 1, ALL_REFUSE(DICE_SHAPE));
}

static void confusions(void) {
    const int64_t no_classes[] = {N, 0, 4, 5}, more[] = {N, 4, 6}, channels[] = {N, 2, 4, 5}, many[] = {1, 1 << 20, 0};
    const int64_t empty[] = {1, 0};
    OK(confusion());
    OK(confusion_of_labels());
    set_canaries();
    REFUSED(DICE_NULL_POINTER, dice_confusion(NULL, &problem, 0, out.counts, N * C * C));
    REFUSED(DICE_NULL_POINTER, dice_confusion(&z, NULL, 0, out.counts, N * C * C));
    REFUSED(DICE_NULL_POINTER, dice_confusion(&z, &problem, 0, NULL, N * C * C));
    REFUSED(DICE_LAYOUT, dice_confusion(&z, &problem, 0, (int64_t *)askew(out.counts), N * C * C));
    REFUSED(DICE_LAYOUT, dice_confusion((const dice_tensor *)askew(&z), &problem, 0, out.counts, N * C * C));
    REFUSED_AT(DICE_LENGTH, dice_confusion(&z, &problem, 0, out.counts, C * C), -1, C * C, N * C * C);
    REFUSED(DICE_LENGTH, dice_confusion(&z, &problem, 0, NULL, 0));
    REFUSED_AT(DICE_SHAPE, dice_confusion(&z, &problem, 2, out.counts, N * C * C), -1, 2, C);
    REFUSED(DICE_SHAPE, dice_confusion(&z, &problem, -1, out.counts, N * C * C));
    REFUSED_AT(DICE_SHAPE, dice_confusion(&predicted, &problem, 0, out.counts, N * C * C), -1, 0, 1);
    REFUSED(DICE_SHAPE, dice_confusion(&predicted, &problem, INT64_MIN, out.counts, N * C * C));
    REFUSED(DICE_SHAPE, dice_confusion(&predicted, &problem, INT64_MAX, out.counts, N * C * C));
    REFUSED(DICE_LENGTH, dice_confusion(&predicted, &problem, 4, out.counts, N * C * C));
    REFUSED_AT(DICE_LABEL, dice_confusion(&predicted, &problem, 1, out.counts, N), 0, in.labels[0], 1);
    WITH(z.shape = no_classes, REFUSED(DICE_SHAPE, confusion()));
    WITH(z.ndim = 1, REFUSED(DICE_SHAPE, confusion()));
    WITH(predicted.shape = more, REFUSED(DICE_SHAPE, confusion_of_labels()));
    WITH((predicted.shape = channels, predicted.ndim = 4), REFUSED(DICE_SHAPE, confusion_of_labels()));
    WITH((predicted.ndim = 0), REFUSED(DICE_SHAPE, confusion_of_labels()));
    WITH((in.predicted[21] = 3, in.predicted[30] = 9), REFUSED_AT(DICE_LABEL, confusion_of_labels(), 21, 3, C));
    WITH((in.labels[21] = 3), REFUSED_AT(DICE_LABEL, confusion_of_labels(), 21, 3, C));
    WITH((in.labels[21] = 3), REFUSED_AT(DICE_LABEL, confusion(), 21, 3, C));
    /* More counts than memory. */
    z = dice_f32(NULL, 3, many);
    y = dice_u8(NULL, 2, empty);
    predicted = y;
    REFUSED(DICE_UNAVAILABLE, dice_confusion(&z, &problem, 0, out.counts, (size_t)1 << 40));
    REFUSED(DICE_UNAVAILABLE, dice_confusion(&predicted, &problem, 1 << 20, out.counts, (size_t)1 << 40));
    restore();
}

static void volumes(void) {
    const int64_t turned[] = {N, 5, 4}, no_sample[] = {0, 4, 5};
    double found[C] = {0.0};
    OK(dice_add_volumes(&problem, found, C));
    CHECK(found[0] + found[1] + found[2] == N * V);
    WITH(y.shape = no_sample, OK(dice_add_volumes(&problem, found, C)));
    CHECK(found[0] + found[1] + found[2] == N * V);
    REFUSED(DICE_NULL_POINTER, dice_add_volumes(NULL, out.volumes, C));
    REFUSED(DICE_NULL_POINTER, dice_add_volumes(&problem, NULL, C));
    REFUSED(DICE_LAYOUT, dice_add_volumes(&problem, (double *)askew(out.volumes), C));
    REFUSED(DICE_SHAPE, dice_add_volumes(&problem, out.volumes, 0));
    REFUSED(DICE_LENGTH, dice_add_volumes(&problem, out.volumes, SIZE_MAX));
    WITH(problem.target = NULL, REFUSED(DICE_NULL_POINTER, dice_add_volumes(&problem, out.volumes, C)));
    WITH((MAKE_DENSE), REFUSED(DICE_UNSUPPORTED, dice_add_volumes(&problem, out.volumes, C)));
    WITH((problem.mask = &mask, mask.shape = turned), REFUSED(DICE_SHAPE, dice_add_volumes(&problem, out.volumes, C)));
    WITH((in.labels[21] = 3, in.labels[30] = 9), REFUSED_AT(DICE_LABEL, dice_add_volumes(&problem, out.volumes, C), 21, 3, C));
}

/* ---------------------------------------------------------------- what the passes find */

static void labels_and_logits(void) {
    const int64_t channels_last[] = {C * V, 1, 5 * C, C}, with_channel[] = {N, 1, 4, 5};
    char sentence[200];
    int checked;
    for (checked = 0; checked < 2; checked++) {
        WITH((in.labels[27] = 3, in.labels[33] = 255), REFUSED_AT(DICE_LABEL, value(), 27, 3, C));
        WITH((in.labels[27] = 3, in.labels[33] = 255), REFUSED_AT(DICE_LABEL, statistics(), 27, 3, C));
        WITH((in.labels[27] = 3, in.labels[33] = 255, problem.labels_checked = checked),
             REFUSED_AT(DICE_LABEL, value_and_grad(), 27, 3, C));
        WITH((in.labels[39] = 9, z.strides = channels_last), REFUSED_AT(DICE_LABEL, value_and_grad(), 39, 9, C));
    }
    WITH((in.labels[0] = 255, y.shape = with_channel, y.ndim = 4), REFUSED_AT(DICE_LABEL, pullback(), 0, 255, C));
    WITH(in.labels[2] = 7, REFUSED(DICE_LABEL, dice_statistics_range(&z, &problem, &loss, 0, 3, out.table, TABLE)));
    WITH(in.labels[2] = 7,
         REFUSED(DICE_LABEL, dice_pullback_range(&z, &problem, &loss, in.cotangent, COTANGENT, NULL, 0, 2, 3, PUT, &g)));
    in.labels[27] = 200;
    CHECK(value() == DICE_LABEL);
    snprintf(sentence, sizeof sentence, "%s", dice_last_error());
    CHECK(strstr(sentence, "200") && strstr(sentence, "27") && strstr(sentence, "from 0 to 2"));
    /* A wrong label outside of the range is nobody's business, nor is one that is ignored, or that was vouched for. */
    OK(dice_statistics_range(&z, &problem, &loss, 0, 5, out.table, TABLE));
    problem.use_ignore_index = 1;
    problem.ignore_index = 200;
    OK(value_and_grad());
    problem.use_ignore_index = 0;
    problem.labels_checked = 1;
    OK(pullback());
    CHECK(out.gradient[27 + 40] == 0.0F);
    restore();
    set_canaries();

    WITH((problem.use_ignore_index = 1, problem.ignore_index = INT64_MIN, in.labels[3] = 3), REFUSED(DICE_LABEL, value()));
    /* No probability, if that is an error. */
    problem.error_on_non_finite = 1;
    OK(value());
    set_canaries();
    WITH((problem.error_on_non_finite = 1, in.logits[71] = NAN), REFUSED_AT(DICE_NON_FINITE, value_and_grad(), 71, -1, -1));
    WITH((problem.error_on_non_finite = 1, in.logits[71] = INFINITY), REFUSED_AT(DICE_NON_FINITE, value(), 71, -1, -1));
    WITH((problem.error_on_non_finite = 1, term.activation = DICE_NO_ACTIVATION, in.logits[9] = -INFINITY),
         REFUSED_AT(DICE_NON_FINITE, statistics(), 9, -1, -1));
}

/* Tables with any words are answered, never with a panic. */
static void any_table(void) {
    uint64_t seed = 77;
    int round, i, overflows = 0;
    for (round = 0; round < 3000; round++) {
        dice_status status;
        for (i = 0; i < TABLE; i++) {
            const uint64_t high = random_bits(&seed), low = random_bits(&seed), shift = random_bits(&seed) % 64;
            in.table[i] = (int64_t)((high << 32 | low) >> (round % 2 ? 0 : shift));
            if (round % 3 && i % 12 >= 8) in.table[i] = 0;
            if (round % 5 == 0) in.table[i] = random_bits(&seed) % 2 ? INT64_MIN : INT64_MAX;
        }
        term.grouping = round % 2 ? DICE_BATCH : DICE_PER_SAMPLE;
        status = dice_loss_evaluate(&loss, in.table, TABLE, N, C, out.values, 1, out.cotangent,
                                    round % 2 ? COTANGENT / N : COTANGENT, out.reports,
                                    round % 2 ? REPORTS / N : REPORTS);
        CHECK(status == DICE_OK || status == DICE_OVERFLOW);
        overflows += status == DICE_OVERFLOW;
        OK(dice_statistics_merge(in.table, TABLE, in.table, TABLE));
    }
    CHECK(overflows > 0 && overflows < 3000);
    memset(in.table, 0, sizeof in.table);
    in.table[2 * 12 + 7] = INT64_C(1) << 40; /* the highest limb of the first sum of a class */
    set_canaries();
    REFUSED(DICE_OVERFLOW, dice_loss_evaluate(&loss, in.table, TABLE, N, C, out.values, 1, NULL, 0, NULL, 0));
    memset(in.table, 0, sizeof in.table);
    restore();
}

/* ---------------------------------------------------------------- nothing, and too much */

static void empty_tensors(void) {
    const int64_t no_voxels[] = {N, C, 4, 0}, no_label_voxels[] = {N, 4, 0}, no_samples[] = {0, C, 4, 5}, no_label_samples[] = {0, 4, 5};
    int32_t grouping, reduction, activation;
    for (grouping = 0; grouping < 3; grouping++) {
        for (reduction = 0; reduction < 3; reduction++) {
            for (activation = 0; activation < 3; activation++) {
                const size_t rows = grouping == DICE_BATCH ? 1 : N;
                size_t num = 1, i;
                term.grouping = grouping;
                term.reduction = reduction;
                term.activation = activation;
                z = dice_f32(NULL, 4, no_voxels);
                g = dice_f32(NULL, 4, no_voxels);
                y = dice_u8(NULL, 3, no_label_voxels);
                OK(dice_value_and_grad(&z, &problem, &loss, NULL, 0, out.values, reduction == DICE_NONE ? rows : 1, PUT,
                                       &g));
                CHECK(out.values[0] == 0.0);
                OK(dice_statistics(&z, &problem, &loss, out.table, TABLE));
                for (i = 0; i < TABLE; i++) CHECK(out.table[i] == 0);
                OK(dice_loss_evaluate(&loss, out.table, TABLE, N, C, out.values, reduction == DICE_NONE ? rows : 1,
                                      out.cotangent, rows * C * 3, out.reports, rows * C));
                OK(dice_pullback(&z, &problem, &loss, out.cotangent, rows * C * 3, NULL, 0, PUT, &g));
                CHECK(out.values[0] == 0.0 && out.reports[0].target == 0.0);

                z = dice_f32(NULL, 4, no_samples);
                g = dice_f32(NULL, 4, no_samples);
                y = dice_u8(NULL, 3, no_label_samples);
                OK(dice_statistics_len(&z, &loss, &num));
                CHECK(num == 0);
                OK(dice_statistics(&z, &problem, &loss, NULL, 0));
                OK(dice_evaluation_len(&loss, 0, C, &num, NULL, NULL));
                CHECK(num == (reduction == DICE_NONE && grouping != DICE_BATCH ? 0 : 1));
                out.values[0] = 7.0;
                OK(dice_value_and_grad(&z, &problem, &loss, NULL, 0, out.values, num, PUT, &g));
                CHECK(out.values[0] == (num == 0 ? 7.0 : 0.0));
                restore();
            }
        }
    }
    /* An empty range of a volume that is not empty. */
    OK(dice_statistics_range(&z, &problem, &loss, 7, 7, out.table, TABLE));
    OK(dice_statistics_range(&z, &problem, &loss, V, V, out.table, TABLE));
    set_canaries();
    OK(dice_pullback_range(&z, &problem, &loss, in.cotangent, COTANGENT, NULL, 0, 7, 7, PUT, &g));
    CHECK(canaries_live());
}

/* More sums than memory, from tensors that need none: an error, not the end of the process. */
static void too_many_sums(void) {
    const int64_t many[] = {1 << 16, 1 << 16, 0}, many_labels[] = {1 << 16, 0};
    const int64_t classes[] = {0, (int64_t)1 << 40, 0}, none[] = {0, 0};
    int32_t grouping;
    for (grouping = 0; grouping < 3; grouping++) {
        z = dice_f32(NULL, 3, many);
        g = dice_f32(NULL, 3, many);
        y = dice_u8(NULL, 2, many_labels);
        term.grouping = grouping;
        REFUSED(DICE_UNAVAILABLE, value());
        REFUSED(DICE_UNAVAILABLE, value_and_grad());
        z = dice_f32(NULL, 3, classes);
        g = dice_f32(NULL, 3, classes);
        y = dice_u8(NULL, 2, none);
        REFUSED(DICE_UNAVAILABLE, value());
        REFUSED(DICE_UNAVAILABLE, value_and_grad());
        REFUSED(DICE_UNAVAILABLE, dice_loss_evaluate(&loss, NULL, 0, 0, (int64_t)1 << 40, out.values, 1, NULL, 0, NULL, 0));
        restore();
    }
    z = dice_f32(NULL, 3, classes);
    y = dice_u8(NULL, 2, none);
    REFUSED(DICE_UNAVAILABLE, dice_statistics(&z, &problem, &loss, NULL, 0));
    REFUSED(DICE_UNAVAILABLE, dice_pullback(&z, &problem, &loss, NULL, 0, NULL, 0, PUT, &z));
    restore();
}

/* The same in a process that may not have much memory. */
static void little_memory(void) {
    pid_t child;
    int status = 0;
    fflush(NULL);
    child = fork();
    if (child == 0) {
        const struct rlimit limit = {(rlim_t)1 << 30, (rlim_t)1 << 30};
        const int64_t many[] = {4096, 4096, 0}, many_labels[] = {4096, 0};
        checks_failed = 0;
        setrlimit(RLIMIT_AS, &limit);
        z = dice_f32(NULL, 3, many);
        y = dice_u8(NULL, 2, many_labels);
        REFUSED(DICE_UNAVAILABLE, value());
        restore();
        OK(value());
        _exit(checks_failed == 0 ? 0 : 1);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---------------------------------------------------------------- layout of the structs */

#define SAME_PLACE(field, offset) CHECK(offsetof(dice_tensor, field) == (offset))

/* Field for field DLPack's DLTensor, on 64 bits. */
static void tensor_is_a_dltensor(void) {
    if (sizeof(void *) != 8) return;
    CHECK(sizeof(dice_tensor) == 48);
    SAME_PLACE(data, 0);
    SAME_PLACE(device, 8);
    SAME_PLACE(ndim, 16);
    SAME_PLACE(dtype, 20);
    SAME_PLACE(shape, 24);
    SAME_PLACE(strides, 32);
    SAME_PLACE(byte_offset, 40);
}

int main(void) {
    no_error_yet();
    restore();
    set_canaries();
    names_and_numbers();
    null_pointers();
    sizes_of_structs();
    numbers_that_mean_nothing();
    lengths();
    misaligned();
    element_types_and_devices();
    every_element_type();
    shapes();
    overlaps();
    in_place();
    masks_and_weights();
    dense_targets();
    confusions();
    volumes();
    labels_and_logits();
    any_table();
    empty_tensors();
    too_many_sums();
    if (!emulated()) little_memory();
    tensor_is_a_dltensor();
    return report("api");
}
