/* What the header says under THREADS and MEMORY: how much stack a call takes, that a signal or a cancelled thread does no harm,
 * what may be called beside it, and what is kept. */
#include "check.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* A call of each kind, on a large problem. */
typedef struct calls {
    scene *s;
    result expected;
    int64_t counts[2 * 4 * 4];
} calls;

static calls *calls_new(void) {
    calls *c = (calls *)room(1, sizeof(calls));
    c->s = scene_new(2, 4, 40000, 3);
    c->expected = compute(c->s);
    return c;
}

static void make_calls(calls *c) {
    static const int32_t kinds[] = {DICE_GENERALIZED_DICE, DICE_SOFT_DICE, DICE_JACCARD, DICE_TVERSKY, DICE_FOCAL_TVERSKY,
                                    DICE_MCC, DICE_CROSS_ENTROPY, DICE_FOCAL};
    size_t i;
    double value;
    for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        dice_term terms[2];
        dice_loss loss;
        terms[0] = default_term(), terms[1] = default_term();
        terms[0].kind = kinds[i];
        terms[1].kind = DICE_SOFT_DICE, terms[1].activation = DICE_SIGMOID;
        loss = loss_of(terms);
        loss.num_terms = 2;
        OK(dice_value_and_grad(&c->s->z, &c->s->problem, &loss, NULL, 0, &value, 1, DICE_OVERWRITE, &c->s->g));
    }
    OK(dice_confusion(&c->s->z, &c->s->problem, 0, c->counts, 32));
    OK(dice_confusion(&c->s->y, &c->s->problem, 4, c->counts, 32));
    CHECK(dice_value(NULL, NULL, NULL, NULL, 0) == DICE_NULL_POINTER);
    CHECK(same(compute(c->s), c->expected));
}

static void *in_thread(void *argument) {
    make_calls((calls *)argument);
    return NULL;
}

/* ---------------------------------------------------------------- stack */

/* The header's figure, and what glibc takes of a thread's stack for itself. */
enum { STACK = 64 * 1024, OF_THE_C_LIBRARY = 32 * 1024 };

static void little_stack(calls *c) {
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstacksize(&attributes, STACK + OF_THE_C_LIBRARY) == 0);
    if (CHECK(pthread_create(&thread, &attributes, in_thread, c) == 0)) pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
}

/* ---------------------------------------------------------------- cancellation */

/* What a thread does that is to be cancelled, and what came of it: a cancelled thread must not even print. */
typedef struct doomed {
    scene *s;
    dice_status (*call)(scene *);
    dice_status found;
    int went_on;
} doomed;

static dice_status large_call(scene *s) {
    const dice_loss loss = DICE_LOSS_INIT;
    double value;
    return dice_value_and_grad(&s->z, &s->problem, &loss, NULL, 0, &value, 1, DICE_OVERWRITE, &s->g);
}
static dice_status shutdown_call(scene *s) { return large_call(s) != DICE_OK ? DICE_PANIC : dice_shutdown(); }
static dice_status environment_call(scene *s) {
    (void)s;
    return dice_effective_isa() >= 0 ? DICE_OK : DICE_PANIC;
}
static dice_status failing_call(scene *s) {
    (void)s;
    return dice_value(NULL, NULL, NULL, NULL, 0) == DICE_NULL_POINTER ? DICE_OK : DICE_PANIC;
}

static void *cancelled(void *argument) {
    doomed *d = (doomed *)argument;
    pthread_cancel(pthread_self()); /* deferred: it waits for a cancellation point */
    d->found = d->call(d->s);
    d->went_on = 1;
    pthread_testcancel();
    d->went_on = 2;
    return NULL;
}

/* A thread that is to be cancelled ends behind the call, which is no cancellation point, and whatever the thread held is free again:
 * each in a process of its own, in which it is the first call. */
static void cancellation(scene *s) {
    dice_status (*const calls[])(scene *) = {large_call, shutdown_call, environment_call, failing_call};
    size_t i;
    for (i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        const pid_t child = fork();
        int status = 0;
        if (child == 0) {
            doomed d;
            pthread_t thread;
            void *outcome = NULL;
            d.s = s, d.call = calls[i], d.found = DICE_PANIC, d.went_on = 0;
            setenv("DICE_MAX_ISA", "no such level", 1);
            if (freopen("/dev/null", "w", stderr) == NULL || pthread_create(&thread, NULL, cancelled, &d) != 0) _exit(2);
            pthread_join(thread, &outcome);
            if (d.found != DICE_OK || d.went_on != 1 || outcome != PTHREAD_CANCELED) _exit(3);
            _exit(large_call(s) == DICE_OK ? 0 : 4);
        }
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        if (!CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0)) fprintf(stderr, "    call %d: %d\n", (int)i, status);
    }
}

/* ---------------------------------------------------------------- signals */

static volatile sig_atomic_t ticks;

static void tick(int number) {
    (void)number;
    ticks = ticks + 1;
}

/* A profiler's clock, which every thread may take, a worker too. */
static void signals(calls *c) {
    struct sigaction action, before;
    const struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
    int i;
    memset(&action, 0, sizeof action);
    action.sa_handler = tick;
    action.sa_flags = SA_RESTART;
    sigaction(SIGPROF, &action, &before);
    setitimer(ITIMER_PROF, &often, NULL);
    for (i = 0; i < 100 && (i < 3 || ticks < 5); i++) make_calls(c);
    setitimer(ITIMER_PROF, &never, NULL);
    sigaction(SIGPROF, &before, NULL);
    CHECK(ticks >= 5);
}

/* ---------------------------------------------------------------- beside calls */

static int stop;

static void *set_things(void *argument) {
    int i;
    (void)argument;
    for (i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
        OK(dice_set_num_threads(i % 5));
        OK(dice_set_max_isa(i % 2 ? DICE_ISA_SCALAR : dice_effective_isa()));
        OK(dice_set_executor(NULL));
        OK(dice_shutdown());
    }
    return NULL;
}

static void beside(calls *c) {
    pthread_t thread;
    const int32_t isa = dice_effective_isa();
    int i;
    if (!CHECK(pthread_create(&thread, NULL, set_things, NULL) == 0)) return;
    for (i = 0; i < 5; i++) make_calls(c);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    OK(dice_set_num_threads(0));
    OK(dice_set_max_isa(isa));
}

/* ---------------------------------------------------------------- what counts not */

/* A group in which nothing counts: its value is 0, and its gradient +0, whatever the logits. */
static void empty_groups(void) {
    scene *s = scene_new(2, 3, 100, 5);
    const int64_t map_shape[] = {2, 100};
    uint8_t *mask = (uint8_t *)room(200, 1);
    const dice_tensor m = dice_bool(mask, 2, map_shape);
    const int32_t kinds[] = {DICE_GENERALIZED_DICE, DICE_SOFT_DICE, DICE_JACCARD, DICE_TVERSKY, DICE_FOCAL_TVERSKY, DICE_WASSERSTEIN,
                             DICE_CROSS_ENTROPY, DICE_FOCAL};
    const double costs[] = {0, 1, 1, 1, 0, 1, 1, 1, 0};
    size_t i, at;
    int some;
    s->problem.mask = &m;
    s->logits[7] = NAN;
    for (some = 0; some < 2; some++) {
        memset(mask + 100, some, 100); /* the second sample counts, or does not either */
        for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            dice_term term = default_term();
            dice_loss loss;
            double values[2] = {-1.0, -1.0};
            int all_zero = 1;
            term.kind = kinds[i], term.grouping = DICE_PER_SAMPLE, term.reduction = DICE_NONE;
            if (kinds[i] == DICE_WASSERSTEIN) term.costs = costs, term.num_costs = 9;
            /* One value per sample: of a ratio per class, that of all classes together. */
            if (kinds[i] != DICE_GENERALIZED_DICE && kinds[i] != DICE_WASSERSTEIN && kinds[i] < DICE_CROSS_ENTROPY) {
                term.pooling = DICE_ALL_CLASSES;
            }
            loss = loss_of(&term);
            memset(s->gradient, 0xa5, s->num_logits * sizeof(float));
            OK(dice_value_and_grad(&s->z, &s->problem, &loss, NULL, 0, values, 2, DICE_OVERWRITE, &s->g));
            if (!CHECK(values[0] == 0.0 && (some ? values[1] > 0.0 : values[1] == 0.0))) {
                fprintf(stderr, "    kind %d: %g %g\n", kinds[i], values[0], values[1]);
            }
            for (at = 0; at < (some ? s->num_logits / 2 : s->num_logits); at++) {
                uint32_t bits;
                memcpy(&bits, s->gradient + at, sizeof bits);
                all_zero &= bits == 0;
            }
            CHECK(all_zero);
        }
    }
    free(mask);
    scene_free(s);
}

/* Bytes as truth values: any but 0 is true, as label, in a mask, and as a dense target. */
static void truth_values(void) {
    scene *s = scene_new(1, 2, 300, 6);
    const int64_t map[] = {1, 300}, both[] = {1, 2, 300};
    uint8_t *odd = (uint8_t *)room(300, 1), *dense = (uint8_t *)room(600, 1);
    dice_tensor labels = dice_bool(odd, 2, map), mask = dice_bool(odd, 2, map), target = dice_bool(dense, 3, both);
    const result expected = compute(s);
    int64_t counts[4], expected_counts[4];
    size_t i;
    for (i = 0; i < 300; i++) {
        odd[i] = s->labels[i] ? (uint8_t)(1 + i % 255) : 0;
        dense[i] = s->labels[i] ? 0 : (uint8_t)(255 - i % 7);
        dense[300 + i] = odd[i];
    }
    OK(dice_confusion(&s->y, &s->problem, 2, expected_counts, 4));
    s->problem.target = &labels;
    CHECK(same(compute(s), expected));
    OK(dice_confusion(&labels, &s->problem, 2, counts, 4));
    CHECK(memcmp(counts, expected_counts, sizeof counts) == 0);
    s->problem.target = &target, s->problem.dense_target = 1;
    CHECK(fabs(compute(s).value - expected.value) < 1e-6);
    /* The mask leaves what it leaves as bytes 0 and 1. */
    s->problem.target = &s->y, s->problem.dense_target = 0, s->problem.mask = &mask;
    {
        const result odd_mask = compute(s);
        for (i = 0; i < 300; i++) odd[i] = odd[i] != 0;
        CHECK(same(compute(s), odd_mask));
    }
    free(odd);
    free(dense);
    scene_free(s);
}

int main(void) {
    scene *cold = scene_new(2, 4, 40000, 3);
    calls *c;
    cancellation(cold); /* before this process has called anything */
    scene_free(cold);
    c = calls_new();
    make_calls(c);
    /* An emulator has a stack of its own on the thread's. */
    if (!emulated()) little_stack(c);
    if (!emulated()) signals(c);
    beside(c);
    empty_groups();
    truth_values();
    scene_free(c->s);
    free(c);
    OK(dice_shutdown());
    return report("promises");
}
