/* In steady state no call allocates: this program's own malloc counts what the library asks for, on every thread. */
#include "check.h"

#include <errno.h>

#ifdef __GLIBC__

#include "own_malloc.h"

static long allocations;

static void note(void) { __atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED); }
static long count(void) { return __atomic_load_n(&allocations, __ATOMIC_RELAXED); }

void *malloc(size_t size) NOTHROW {
    note();
    return __libc_malloc(size);
}
void *calloc(size_t number, size_t size) NOTHROW {
    note();
    return __libc_calloc(number, size);
}
void *realloc(void *memory, size_t size) NOTHROW {
    note();
    return __libc_realloc(memory, size);
}
void *aligned_alloc(size_t align, size_t size) NOTHROW {
    note();
    return __libc_memalign(align, size);
}
int posix_memalign(void **memory, size_t align, size_t size) NOTHROW {
    note();
    *memory = __libc_memalign(align, size);
    return *memory == NULL ? ENOMEM : 0;
}

/* Every call of a training loop and of its validation. */
typedef struct loop {
    scene *s;
    dice_loss loss;
    int64_t *table, *counts;
    double *values, *cotangent;
    dice_class_report *reports;
    size_t num_values, num_cotangent, num_reports;
} loop;

static void all_calls(loop *l) {
    scene *s = l->s;
    size_t num = 0;
    const double upstream = 0.5;
    OK(dice_value(&s->z, &s->problem, &l->loss, l->values, l->num_values));
    OK(dice_value_and_grad(&s->z, &s->problem, &l->loss, &upstream, 1, l->values, l->num_values, DICE_OVERWRITE, &s->g));
    OK(dice_statistics_len(&s->z, &l->loss, &num));
    OK(dice_statistics(&s->z, &s->problem, &l->loss, l->table, num));
    OK(dice_loss_evaluate(&l->loss, l->table, num, s->n, s->c, l->values, l->num_values, l->cotangent, l->num_cotangent,
                          l->reports, l->num_reports));
    OK(dice_pullback(&s->z, &s->problem, &l->loss, l->cotangent, l->num_cotangent, &upstream, 1, DICE_ACCUMULATE, &s->g));
    OK(dice_confusion(&s->z, &s->problem, 0, l->counts, (size_t)(s->n * s->c * s->c)));
    OK(dice_confusion(&s->y, &s->problem, s->c, l->counts, (size_t)(s->n * s->c * s->c)));
}

static void check_loop(const dice_term *terms, size_t num_terms, int64_t n, int64_t c, int64_t v, uint64_t seed) {
    const dice_loss other = DICE_LOSS_INIT;
    loop l;
    size_t num = 0;
    long least = -1;
    int round, call;
    l.s = scene_new(n, c, v, seed);
    l.loss = loss_of(terms);
    l.loss.num_terms = num_terms;
    OK(dice_statistics_len(&l.s->z, &l.loss, &num));
    OK(dice_evaluation_len(&l.loss, n, c, &l.num_values, &l.num_cotangent, &l.num_reports));
    l.table = (int64_t *)room(num, sizeof(int64_t));
    l.counts = (int64_t *)room((size_t)(n * c * c), sizeof(int64_t));
    l.values = (double *)room(l.num_values, sizeof(double));
    l.cotangent = (double *)room(l.num_cotangent, sizeof(double));
    l.reports = (dice_class_report *)room(l.num_reports, sizeof(dice_class_report));
    /* A worker that was slow to wake may first work, and first need room, in any round. */
    for (round = 0; round < 20 && least != 0; round++) {
        const long before = count();
        long made;
        for (call = 0; call < 5; call++) {
            double value;
            all_calls(&l);
            /* Another loss in between. */
            OK(dice_value(&l.s->z, &l.s->problem, &other, &value, 1));
        }
        made = count() - before;
        if (least < 0 || made < least) least = made;
    }
    CHECK(least == 0);
    scene_free(l.s);
    free(l.table);
    free(l.counts);
    free(l.values);
    free(l.cotangent);
    free(l.reports);
}

int main(void) {
    const double weights[] = {0.1, 1.0, 2.0, 3.0, 0.0, 1.0, 1.0, 1.0, 0.5, 0.0, 2.0, 0.5, 1.0, 1.0, 1.0, 0.0};
    dice_term plain = default_term(), fixed = default_term(), pooled = default_term();
    dice_term compound[4] = {default_term(), default_term(), default_term(), default_term()};
    const long before = count();
    fixed.weighting = DICE_FIXED;
    fixed.class_weights = weights;
    fixed.num_class_weights = 4;
    pooled.grouping = DICE_BATCH;
    compound[0].kind = DICE_FOCAL_TVERSKY, compound[0].class_weights = weights, compound[0].num_class_weights = 4;
    compound[1].kind = DICE_FOCAL, compound[1].activation = DICE_SIGMOID, compound[1].exponents = weights;
    compound[1].num_exponents = 4, compound[1].positive_weights = weights, compound[1].num_positive_weights = 4;
    compound[2].kind = DICE_WASSERSTEIN, compound[2].costs = weights, compound[2].num_costs = 16;
    compound[3].kind = DICE_CROSS_ENTROPY, compound[3].label_smoothing = 0.1;
    free(room(1, 1));
    CHECK(count() > before);
    /* On the caller's thread. */
    check_loop(&plain, 1, 1, 4, 16 * 16 * 16, 1);
    check_loop(&fixed, 1, 1, 4, 1000, 2);
    check_loop(&pooled, 1, 3, 14, 777, 3);
    check_loop(compound, 4, 2, 4, 999, 7);
    check_loop(compound + 3, 1, 2, 14, 999, 8);
    /* On two. */
    OK(dice_set_num_threads(2));
    check_loop(&plain, 1, 1, 4, 100000, 4);
    check_loop(&fixed, 1, 2, 4, 100000, 5);
    check_loop(&plain, 1, 1, 14, 50000, 6);
    check_loop(compound, 4, 1, 4, 50000, 9);
    return report("allocations");
}

#else

int main(void) {
    printf("SKIPPED: the C library does not let a program count allocations\n");
    return report("allocations");
}

#endif
