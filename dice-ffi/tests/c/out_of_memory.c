/* Memory that is not there: in a process of its own for each, the library's n-th allocation fails, or that and all behind it. A call
 * then gives what it gives otherwise, or DICE_UNAVAILABLE with its outputs untouched; and with memory again, it gives what it gives. */
#include "check.h"

#include <errno.h>
#include <link.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __GLIBC__

#include "own_malloc.h"

/* Where the code of libdice lies: only what it asks for itself fails, not what the C library asks for behind it. */
static uintptr_t code_start, code_end;
/* Allocations of libdice so far; the first that fails, and the first behind it that does not. */
static long allocations, first_failure = -1, end_of_failures;

static int find_code(struct dl_phdr_info *object, size_t size, void *argument) {
    int part;
    (void)size;
    (void)argument;
    for (part = 0; part < object->dlpi_phnum; part++) {
        const uintptr_t start = (uintptr_t)object->dlpi_addr + object->dlpi_phdr[part].p_vaddr;
        const uintptr_t end = start + object->dlpi_phdr[part].p_memsz;
        const uintptr_t ours = (uintptr_t)&dice_version;
        if (object->dlpi_phdr[part].p_type == PT_LOAD && start <= ours && ours < end) code_start = start, code_end = end;
    }
    return 0;
}

static int fails(void *caller) {
    const uintptr_t place = (uintptr_t)caller;
    long number;
    if (place < code_start || place >= code_end) return 0;
    number = __atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);
    return first_failure >= 0 && number >= first_failure && number < end_of_failures;
}

#define FAILS() fails(__builtin_return_address(0))
void *malloc(size_t size) NOTHROW { return FAILS() ? NULL : __libc_malloc(size); }
void *calloc(size_t number, size_t size) NOTHROW { return FAILS() ? NULL : __libc_calloc(number, size); }
void *realloc(void *memory, size_t size) NOTHROW { return FAILS() ? NULL : __libc_realloc(memory, size); }
void *aligned_alloc(size_t align, size_t size) NOTHROW { return FAILS() ? NULL : __libc_memalign(align, size); }
int posix_memalign(void **memory, size_t align, size_t size) NOTHROW {
    *memory = FAILS() ? NULL : __libc_memalign(align, size);
    return *memory == NULL ? ENOMEM : 0;
}

/* ---------------------------------------------------------------- calls */

enum { MOST_OUTPUT = 1 << 13, CANARY = 0xa5 };

/* A problem, and all that calls write. */
typedef struct world {
    scene *s;
    dice_term terms[3];
    dice_loss loss;
    int64_t *table;
    size_t num_table, num_values, num_cotangent, num_reports;
    double cotangent[1000];
    unsigned char output[MOST_OUTPUT];
} world;

static world w;

static void make_world(int64_t v) {
    const dice_loss loss = DICE_LOSS_INIT;
    static const int32_t kinds[] = {DICE_SOFT_DICE, DICE_CROSS_ENTROPY, DICE_FOCAL};
    int i;
    w.s = scene_new(2, 3, v, 1);
    w.loss = loss;
    for (i = 0; i < 3; i++) w.terms[i] = default_term(), w.terms[i].kind = kinds[i];
    w.loss.terms = w.terms, w.loss.num_terms = 3;
    w.num_table = 12 * 100;
    w.table = (int64_t *)room(w.num_table, sizeof(int64_t));
}

/* What the table and the cotangent are, made by calls that do not fail. */
static void prepare(void) {
    OK(dice_statistics_len(&w.s->z, &w.loss, &w.num_table));
    OK(dice_statistics(&w.s->z, &w.s->problem, &w.loss, w.table, w.num_table));
    OK(dice_evaluation_len(&w.loss, 2, 3, &w.num_values, &w.num_cotangent, &w.num_reports));
    OK(dice_loss_evaluate(&w.loss, w.table, w.num_table, 2, 3, NULL, 0, w.cotangent, w.num_cotangent, NULL, 0));
}

#define OUT(type) ((type *)(void *)w.output)
static dice_status value(void) { return dice_value(&w.s->z, &w.s->problem, &w.loss, OUT(double), 1); }
static dice_status value_and_grad(void) {
    return dice_value_and_grad(&w.s->z, &w.s->problem, &w.loss, NULL, 0, OUT(double), 1, DICE_OVERWRITE, &w.s->g);
}
static dice_status default_loss(void) {
    const dice_loss loss = DICE_LOSS_INIT;
    return dice_value_and_grad(&w.s->z, &w.s->problem, &loss, NULL, 0, OUT(double), 1, DICE_ACCUMULATE, &w.s->g);
}
static dice_status statistics_len(void) { return dice_statistics_len(&w.s->z, &w.loss, OUT(size_t)); }
static dice_status statistics(void) {
    return dice_statistics(&w.s->z, &w.s->problem, &w.loss, OUT(int64_t), w.num_table);
}
static dice_status statistics_range(void) {
    return dice_statistics_range(&w.s->z, &w.s->problem, &w.loss, 1, 17, OUT(int64_t), w.num_table);
}
static dice_status evaluation_len(void) {
    return dice_evaluation_len(&w.loss, 2, 3, OUT(size_t), OUT(size_t) + 1, OUT(size_t) + 2);
}
static dice_status evaluate(void) {
    return dice_loss_evaluate(&w.loss, w.table, w.num_table, 2, 3, OUT(double), w.num_values, OUT(double) + 1, w.num_cotangent,
                              NULL, 0);
}
static dice_status pullback(void) {
    return dice_pullback(&w.s->z, &w.s->problem, &w.loss, w.cotangent, w.num_cotangent, NULL, 0, DICE_OVERWRITE, &w.s->g);
}
static dice_status pullback_range(void) {
    return dice_pullback_range(&w.s->z, &w.s->problem, &w.loss, w.cotangent, w.num_cotangent, NULL, 0, 3, 21, DICE_ACCUMULATE,
                               &w.s->g);
}
static dice_status confusion(void) { return dice_confusion(&w.s->z, &w.s->problem, 0, OUT(int64_t), 18); }
static dice_status confusion_of_labels(void) { return dice_confusion(&w.s->y, &w.s->problem, 3, OUT(int64_t), 18); }
static dice_status add_volumes(void) {
    memset(w.output, 0, 3 * sizeof(double));
    return dice_add_volumes(&w.s->problem, OUT(double), 3);
}
static dice_status class_weights(void) {
    const double volumes[] = {5.0, 2.0, 1.0};
    return dice_class_weights_from_volumes(volumes, 3, DICE_INVERSE, OUT(double));
}
static dice_status preset(void) {
    return dice_loss_preset("monai_dice_ce", sizeof(dice_term), OUT(dice_term), 4, OUT(size_t) + 900);
}
/* Ways to fail that have nothing to do with memory. */
static dice_status null_pointer(void) { return dice_value(NULL, NULL, NULL, NULL, 0) == DICE_NULL_POINTER ? DICE_OK : DICE_PANIC; }
static dice_status wrong_shape(void) {
    dice_status status;
    const int64_t shape[] = {2, 7};
    const dice_tensor y = dice_u8(w.s->labels, 2, shape);
    dice_problem problem = DICE_PROBLEM_INIT;
    problem.target = &y;
    status = dice_value(&w.s->z, &problem, &w.loss, OUT(double), 1);
    return status == DICE_SHAPE ? DICE_OK : status == DICE_UNAVAILABLE ? status : DICE_PANIC;
}
static dice_status wrong_label(void) {
    dice_status status;
    const uint8_t label = w.s->labels[5];
    w.s->labels[5] = 77;
    status = value_and_grad();
    w.s->labels[5] = label;
    return status == DICE_LABEL ? DICE_OK : status == DICE_UNAVAILABLE ? status : DICE_PANIC;
}
static dice_status no_preset(void) {
    return dice_loss_preset("no such loss", sizeof(dice_term), OUT(dice_term), 4, OUT(size_t) + 900) == DICE_INVALID_ARGUMENT
               ? DICE_OK : DICE_PANIC;
}
static void on_this_thread(void *context, int32_t limit, void (*claim)(void *), void *argument) {
    (void)context;
    (void)limit;
    claim(argument);
}
static dice_status executor(void) {
    dice_executor own = DICE_EXECUTOR_INIT;
    dice_status status;
    own.run = on_this_thread, own.threads = 2;
    status = dice_set_executor(&own);
    if (status != DICE_OK) return status;
    status = value_and_grad();
    if (dice_set_executor(NULL) != DICE_OK) return DICE_PANIC;
    return status;
}
static dice_status threads(void) {
    dice_status status = dice_set_num_threads(3);
    if (status == DICE_OK) status = value_and_grad();
    return dice_shutdown() == DICE_OK ? status : DICE_PANIC;
}

static dice_status (*const entries[])(void) = {
    value, value_and_grad, default_loss, statistics_len, statistics, statistics_range, evaluation_len, evaluate, pullback,
    pullback_range, confusion, confusion_of_labels, add_volumes, class_weights, preset, null_pointer, wrong_shape, wrong_label,
    no_preset, executor, threads,
};
enum { ENTRIES = sizeof entries / sizeof entries[0] };

/* ---------------------------------------------------------------- processes */

/* What a process found, for its parent. */
typedef struct report_of_child {
    uint64_t outputs;
    long allocations;
    int status;
} report_of_child;

static void clear(void) {
    memset(w.output, CANARY, sizeof w.output);
    memset(w.s->gradient, CANARY, w.s->num_logits * sizeof(float));
}
static uint64_t outputs(void) {
    return fnv1a(w.output, sizeof w.output) ^ fnv1a(w.s->gradient, w.s->num_logits * sizeof(float)) * 31;
}

/* Calls an entry for the first time in a process, while allocations fail. 0 if all was well. */
static int in_child(int entry, int warm, long first, long end, const report_of_child *expected, report_of_child *found) {
    clear();
    if (warm) {
        (void)entries[entry]();
        clear();
    }
    {
        const uint64_t untouched = outputs();
        __atomic_store_n(&allocations, 0, __ATOMIC_RELAXED);
        first_failure = first, end_of_failures = end;
        found->status = entries[entry]();
        first_failure = -1;
        found->allocations = __atomic_load_n(&allocations, __ATOMIC_RELAXED);
        found->outputs = outputs();
        if (expected == NULL) return found->status == DICE_OK ? 0 : 2;
        if (found->status == DICE_OK && found->outputs != expected->outputs) return 3;
        if (found->status != DICE_OK && found->status != DICE_UNAVAILABLE) return 4;
        /* The volumes that are added to are cleared by the entry itself. */
        if (found->status == DICE_UNAVAILABLE && entries[entry] != add_volumes && found->outputs != untouched) return 5;
        if (found->status == DICE_UNAVAILABLE && dice_last_error()[0] == '\0') return 6;
    }
    clear();
    if (entries[entry]() != DICE_OK) return 7;
    return outputs() == expected->outputs ? 0 : 8;
}

static int run(int entry, int warm, long first, long end, const report_of_child *expected, report_of_child *found) {
    const pid_t child = fork();
    int status = 0;
    if (child == 0) _exit(in_child(entry, warm, first, end, expected, found));
    if (child < 0 || waitpid(child, &status, 0) != child) return 100;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* Every entry again and again while nothing is to be had: what the library has in reserve does not wear out. */
static int wear(void) {
    int round, entry;
    for (round = 0; round < 200; round++) {
        for (entry = 0; entry < ENTRIES; entry++) {
            dice_status status;
            first_failure = 0, end_of_failures = 1L << 40;
            status = entries[entry]();
            first_failure = -1;
            if (status != DICE_OK && status != DICE_UNAVAILABLE) return 2;
        }
        {
            /* A preset and an executor of its own each time: what lasts is asked for first. */
            dice_executor own = DICE_EXECUTOR_INIT;
            const char *name = dice_loss_preset_name((size_t)round % 60);
            size_t num;
            own.run = on_this_thread, own.threads = 2, own.context = &w.output[round];
            first_failure = 0;
            if (name != NULL) (void)dice_loss_preset(name, sizeof(dice_term), NULL, 0, &num);
            (void)dice_set_executor(&own);
            first_failure = -1;
        }
    }
    if (dice_set_executor(NULL) != DICE_OK) return 3;
    clear();
    return value_and_grad() == DICE_OK ? 0 : 4;
}

static void *shared_memory(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) exit(2);
    return memory;
}

/* The numbers that steps 2 and 3 need come from a process that ends: in this one the library has never been called. */
static void prepare_elsewhere(void) {
    world *found = (world *)shared_memory(sizeof w);
    int64_t *table = (int64_t *)shared_memory(w.num_table * sizeof(int64_t));
    const pid_t child = fork();
    int status = 0;
    if (child == 0) {
        checks_failed = 0;
        prepare();
        memcpy(found, &w, sizeof w);
        memcpy(table, w.table, w.num_table * sizeof(int64_t));
        _exit(checks_failed);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    memcpy(&w, found, sizeof w);
    memcpy(w.table, table, w.num_table * sizeof(int64_t));
}

static void every_failure(int64_t v) {
    report_of_child *shared = (report_of_child *)shared_memory(sizeof(report_of_child));
    int entry, warm;
    long made = 0, refused = 0;
    make_world(v);
    prepare_elsewhere();
    for (entry = 0; entry < ENTRIES; entry++) {
        for (warm = 0; warm < 2; warm++) {
            report_of_child expected;
            long n;
            CHECK(run(entry, warm, -1, 0, NULL, shared) == 0);
            expected = *shared;
            for (n = 0; n < expected.allocations; n++) {
                int all;
                for (all = 0; all < 2; all++) {
                    const int found = run(entry, warm, n, all ? 1000000000L : n + 1, &expected, shared);
                    if (!CHECK(found == 0)) {
                        fprintf(stderr, "    entry %d, %s, allocation %ld of %ld%s: %d\n", entry, warm ? "warm" : "cold", n,
                                expected.allocations, all ? " and all behind it" : "", found);
                    }
                    made++, refused += shared->status == DICE_UNAVAILABLE;
                }
            }
        }
    }
    {
        const pid_t child = fork();
        int status = 0;
        if (child == 0) _exit(wear());
        if (!CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
            fprintf(stderr, "    wear: %d\n", status);
        }
    }
    printf("out_of_memory: %ld processes of %" PRId64 " voxels, %ld calls refused\n", made, v, refused);
    munmap(shared, sizeof(report_of_child));
    scene_free(w.s);
    free(w.table);
}

int main(void) {
    dl_iterate_phdr(find_code, NULL);
    CHECK(code_start != 0);
    every_failure(40);    /* on the caller's thread */
    every_failure(30000); /* with workers, that are started */
    return report("out_of_memory");
}

#else

int main(void) {
    printf("out_of_memory: SKIPPED: another C library than glibc\n");
    return 0;
}

#endif
