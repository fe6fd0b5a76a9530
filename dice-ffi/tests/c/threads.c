/* Any number of threads, of the library or of the host, in parents and in children: the same bits, and no call that hangs.
 * With LIBDICE_SO, the path of a libdice.so, also what happens when it is loaded and unloaded. */
#include "check.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LARGE = 70000 }; /* voxels of a scene that is worth more than one thread */

static result expected; /* of scene_new(2, 3, LARGE, 1), on one thread */

static scene *large_scene(void) { return scene_new(2, 3, LARGE, 1); }

static void wait_a_little(void) {
    const struct timespec millisecond = {0, 1000000};
    nanosleep(&millisecond, NULL);
}

/* The threads of this process; -1 if that cannot be known. */
static int threads_now(void) {
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    int count = 0;
    if (tasks == NULL) return -1;
    while ((entry = readdir(tasks)) != NULL) count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

/* The same once threads that have ended are gone from the list. */
static int threads_soon(int wanted) {
    int tries, now = threads_now();
    for (tries = 0; now > wanted && tries < 2000; tries++) {
        wait_a_little();
        now = threads_now();
    }
    return now;
}

/* ---------------------------------------------------------------- the library's own */

static void no_thread_before_it_is_needed(void) {
    scene *small = scene_new(2, 3, 1000, 2), *s = large_scene();
    if (threads_now() < 0) {
        printf("threads: SKIPPED counting: no /proc/self/task\n");
    } else {
        CHECK(threads_now() == 1);
        compute(small);
        OK(dice_set_num_threads(5));
        OK(dice_shutdown());
        CHECK(threads_now() == 1);
        OK(dice_set_num_threads(1));
        compute(s);
        CHECK(threads_now() == 1);
        OK(dice_set_num_threads(4));
        compute(s);
        CHECK(threads_now() == 4);
        compute(s);
        OK(dice_set_num_threads(3));
        compute(s);
        CHECK(threads_now() <= 4);
        OK(dice_shutdown());
        CHECK(threads_soon(1) == 1);
        OK(dice_shutdown());
    }
    scene_free(small);
    scene_free(s);
}

static void any_number(void) {
    const int32_t numbers[] = {1, 2, 3, 8, 0, INT_MAX, 2};
    scene *s = large_scene();
    size_t i;
    for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        OK(dice_set_num_threads(numbers[i]));
        CHECK(same(compute(s), expected));
        CHECK(same(compute(s), expected));
        if (i % 2 == 0) OK(dice_shutdown());
    }
    OK(dice_set_num_threads(4));
    scene_free(s);
}

/* Threads that cannot be started: the caller's does it all. */
static void no_threads_to_be_had(void) {
    int status = 0;
    pid_t child;
    fflush(NULL);
    child = fork();
    if (child == 0) {
        scene *s = large_scene();
        struct rlimit limit;
        FILE *file = fopen("/proc/self/statm", "r");
        unsigned long pages = 0;
        alarm(60);
        if (file == NULL || fscanf(file, "%lu", &pages) != 1) _exit(0);
        fclose(file);
        /* A megabyte more than now: too little for a thread's stack. */
        limit.rlim_cur = limit.rlim_max = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + ((rlim_t)1 << 20);
        setrlimit(RLIMIT_AS, &limit);
        checks_failed = 0;
        OK(dice_set_num_threads(3));
        CHECK(same(compute(s), expected));
        CHECK(threads_now() <= 1);
        _exit(checks_failed == 0 ? 0 : 1);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static volatile sig_atomic_t signals_taken;
static pthread_t taken_by;

static void take_signal(int number) {
    (void)number;
    taken_by = pthread_self();
    signals_taken = signals_taken + 1;
}

/* A signal to the process, which this thread does not take: no worker takes it in its place. */
static void signals_are_the_hosts(void) {
    struct sigaction action;
    sigset_t user, old, pending;
    scene *s = large_scene();
    memset(&action, 0, sizeof action);
    action.sa_handler = take_signal;
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
    OK(dice_shutdown());
    OK(dice_set_num_threads(4));
    compute(s); /* workers start with the signal unblocked here */
    sigemptyset(&user);
    sigaddset(&user, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &user, &old);
    CHECK(!sigismember(&old, SIGUSR1));
    kill(getpid(), SIGUSR1);
    CHECK(same(compute(s), expected));
    wait_a_little();
    sigpending(&pending);
    CHECK(signals_taken == 0 && sigismember(&pending, SIGUSR1));
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    CHECK(signals_taken == 1 && pthread_equal(taken_by, pthread_self()));
    signal(SIGUSR1, SIG_DFL);
    scene_free(s);
}

/* ---------------------------------------------------------------- several threads of the host at once */

static void *one_caller(void *pointer) {
    const int number = *(const int *)pointer;
    scene *s = large_scene();
    const dice_loss loss = DICE_LOSS_INIT;
    char label[16];
    double value = 0.0;
    int round;
    snprintf(label, sizeof label, "%d", 100 + number);
    for (round = 0; round < 12; round++) {
        CHECK(same(compute(s), expected));
        /* Errors belong to their thread. */
        dice_error error = DICE_ERROR_INIT;
        s->labels[LARGE + number] = (uint8_t)(100 + number);
        STATUS(DICE_LABEL, dice_value(&s->z, &s->problem, &loss, &value, 1));
        s->labels[LARGE + number] = 0;
        OK(dice_error_info(&error));
        CHECK(error.index == LARGE + number && error.found == 100 + number && strstr(dice_last_error(), label));
        scene_free(s);
        s = large_scene();
    }
    scene_free(s);
    return NULL;
}

static void several_callers(void) {
    enum { CALLERS = 4 };
    pthread_t threads[CALLERS];
    int numbers[CALLERS], i;
    for (i = 0; i < CALLERS; i++) {
        numbers[i] = i;
        CHECK(pthread_create(&threads[i], NULL, one_caller, &numbers[i]) == 0);
    }
    /* Workers may be ended at any time. */
    for (i = 0; i < 5; i++) {
        wait_a_little();
        OK(dice_shutdown());
    }
    for (i = 0; i < CALLERS; i++) pthread_join(threads[i], NULL);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int stop_calling;

static void *call_until_stopped(void *pointer) {
    scene *s = (scene *)pointer;
    while (!__atomic_load_n(&stop_calling, __ATOMIC_RELAXED)) compute(s);
    return NULL;
}

/* A worker that is busy with another thread's call keeps nobody waiting. */
static void no_call_waits_for_another(void) {
    scene *huge = scene_new(1, 8, 3000000, 3), *s = scene_new(1, 2, 70000, 4);
    double start, alone, beside, of_huge;
    pthread_t thread;
    int round, tries = 0;
    OK(dice_set_num_threads(4));
    compute(huge), compute(s);
    start = seconds(), compute(huge), of_huge = seconds() - start;
    start = seconds();
    for (round = 0; round < 20; round++) compute(s);
    alone = seconds() - start;
    do { /* a busy machine may need more than one try */
        stop_calling = 0;
        CHECK(pthread_create(&thread, NULL, call_until_stopped, huge) == 0);
        start = seconds();
        for (round = 0; round < 20; round++) compute(s);
        beside = seconds() - start;
        __atomic_store_n(&stop_calling, 1, __ATOMIC_RELAXED);
        pthread_join(thread, NULL);
    } while (beside > 20.0 * 0.4 * of_huge + 10.0 * alone && ++tries < 5);
    CHECK(tries < 5);
    scene_free(huge);
    scene_free(s);
}

/* ---------------------------------------------------------------- fork */

/* A child whose parent has workers, and other threads in the midst of calls, computes on workers of its own. */
static void in_a_child(int computes_first) {
    int status = 0;
    pid_t child;
    fflush(NULL);
    child = fork();
    if (child == 0) {
        scene *s = large_scene();
        alarm(60); /* a child that hangs ends by this signal */
        checks_failed = 0;
        if (!computes_first) OK(dice_shutdown());
        CHECK(same(compute(s), expected));
        CHECK(threads_now() < 0 || threads_now() == 4);
        OK(dice_shutdown());
        CHECK(same(compute(s), expected));
        if (computes_first) { /* and a child of the child */
            int of_grandchild = 0;
            const pid_t grandchild = fork();
            if (grandchild == 0) {
                alarm(60);
                _exit(same(compute(s), expected) && checks_failed == 0 ? 0 : 1);
            }
            CHECK(waitpid(grandchild, &of_grandchild, 0) == grandchild && of_grandchild == 0);
        }
        _exit(checks_failed == 0 ? 0 : 1);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    if (!CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0)) fprintf(stderr, "    status of the child: %d\n", status);
}

static void forks(void) {
    scene *s = large_scene(), *other = large_scene();
    pthread_t thread;
    int i;
    OK(dice_set_num_threads(4));
    compute(s);
    for (i = 0; i < 3; i++) in_a_child(i % 2);
    stop_calling = 0;
    CHECK(pthread_create(&thread, NULL, call_until_stopped, other) == 0);
    for (i = 0; i < 6; i++) in_a_child(i % 2);
    __atomic_store_n(&stop_calling, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    CHECK(same(compute(s), expected));
    scene_free(s);
    scene_free(other);
}

/* ---------------------------------------------------------------- the host's executor */

typedef struct host {
    int calls; /* how often it was asked to run something */
    int32_t greatest_limit;
    int claims;        /* how often it calls claim; -1 for as often as it may */
    int on_threads;    /* each call of claim on a thread of its own */
    size_t stack_size; /* of these threads, 0 for the default */
} host;

typedef struct claim_call {
    void (*claim)(void *argument);
    void *argument;
} claim_call;

static void *call_claim(void *pointer) {
    const claim_call *call = (const claim_call *)pointer;
    call->claim(call->argument);
    return NULL;
}

static void run_on_host(void *context, int32_t limit, void (*claim)(void *argument), void *argument) {
    enum { MOST = 64 };
    host *h = (host *)context;
    claim_call call;
    pthread_t threads[MOST];
    int started = 0, i, claims = h->claims < 0 || h->claims > limit ? (int)limit : h->claims;
    call.claim = claim, call.argument = argument;
    __atomic_fetch_add(&h->calls, 1, __ATOMIC_RELAXED);
    CHECK(limit >= 1);
    if (limit > __atomic_load_n(&h->greatest_limit, __ATOMIC_RELAXED)) {
        __atomic_store_n(&h->greatest_limit, limit, __ATOMIC_RELAXED);
    }
    for (i = 0; i < claims; i++) {
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        if (h->stack_size > 0) pthread_attr_setstacksize(&attributes, h->stack_size);
        if (h->on_threads && started < MOST && pthread_create(&threads[started], &attributes, call_claim, &call) == 0) {
            started++;
        } else {
            claim(argument);
        }
        pthread_attr_destroy(&attributes);
    }
    for (i = 0; i < started; i++) pthread_join(threads[i], NULL);
}

static void executors(void) {
    host hosts[] = {{0, 0, -1, 1, 0}, {0, 0, 0, 0, 0}, {0, 0, 1, 0, 0}, {0, 0, 1, 1, 0}, {0, 0, -1, 0, 0}, {0, 0, -1, 1, 65536}};
    scene *s = large_scene(), *small = scene_new(1, 2, 100, 5), *wide = scene_new(1, 40, 20000, 6);
    const result of_small = compute(small), of_wide = compute(wide);
    dice_executor executor = DICE_EXECUTOR_INIT;
    size_t i;
    int round;
    OK(dice_shutdown());
    for (i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        executor.context = &hosts[i];
        executor.run = run_on_host;
        executor.threads = 5;
        OK(dice_set_executor(&executor));
        CHECK(same(compute(s), expected));
        CHECK(hosts[i].calls > 0 && hosts[i].greatest_limit == 5);
        CHECK(threads_soon(1) <= 1); /* the library started none */
        CHECK(same(compute(wide), of_wide));
        hosts[i].calls = 0;
        CHECK(same(compute(small), of_small));
        CHECK(hosts[i].calls == 0); /* a small problem stays on the caller's thread */
        executor.threads = INT_MAX;
        hosts[i].greatest_limit = 0;
        OK(dice_set_executor(&executor));
        CHECK(same(compute(s), expected));
        CHECK(hosts[i].greatest_limit > 5 && hosts[i].greatest_limit <= 2 * LARGE);
        executor.threads = 1;
        hosts[i].calls = 0;
        OK(dice_set_executor(&executor));
        CHECK(same(compute(s), expected));
        CHECK(hosts[i].calls == 0);
    }
    executor.context = &hosts[0];
    executor.threads = 3;
    OK(dice_set_executor(&executor));
    several_callers();
    OK(dice_set_executor(NULL));
    CHECK(same(compute(s), expected));
    /* Set, used and taken back all the time. */
    for (round = 0; round < 200; round++) {
        OK(dice_set_executor(&executor));
        if (round % 50 == 0) CHECK(same(compute(s), expected));
        OK(dice_set_executor(NULL));
    }
    scene_free(s);
    scene_free(small);
    scene_free(wide);
}

/* An executor that calls the library from within. */
static void run_and_call(void *context, int32_t limit, void (*claim)(void *argument), void *argument) {
    scene *small = (scene *)context;
    const dice_loss loss = DICE_LOSS_INIT;
    double value = 0.0;
    OK(dice_value(&small->z, &small->problem, &loss, &value, 1));
    STATUS(DICE_NULL_POINTER, dice_value(&small->z, NULL, &loss, &value, 1));
    OK(dice_set_executor(NULL));
    OK(dice_shutdown());
    (void)limit;
    claim(argument);
}

static void calls_from_within(void) {
    dice_executor executor = DICE_EXECUTOR_INIT;
    scene *small = scene_new(1, 2, 100, 5), *s = large_scene();
    executor.context = small;
    executor.run = run_and_call;
    executor.threads = 2;
    OK(dice_set_executor(&executor));
    CHECK(same(compute(s), expected));
    CHECK(same(compute(s), expected));
    scene_free(small);
    scene_free(s);
}

/* ---------------------------------------------------------------- loading and unloading */

typedef dice_status (*value_function)(const dice_tensor *, const dice_problem *, const dice_loss *, double *, size_t);

static void loading(void) {
    const char *path = getenv("LIBDICE_SO");
    const dice_loss loss = DICE_LOSS_INIT;
    scene *s = large_scene();
    int round;
    if (path == NULL) {
        printf("threads: SKIPPED loading: LIBDICE_SO is not set\n");
        scene_free(s);
        return;
    }
    for (round = 0; round < 3; round++) {
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL), *symbol;
        value_function value;
        double found = -1.0;
        if (!CHECK(library != NULL)) {
            fprintf(stderr, "    %s\n", dlerror());
            break;
        }
        symbol = dlsym(library, "dice_value");
        memcpy(&value, &symbol, sizeof value);
        CHECK(value(&s->z, &s->problem, &loss, &found, 1) == DICE_OK);
        CHECK(value(&s->z, &s->problem, NULL, &found, 1) == DICE_NULL_POINTER); /* memory of the thread's own */
        CHECK(memcmp(&found, &expected.value, sizeof found) == 0);
        CHECK(dlclose(library) == 0);
        wait_a_little(); /* workers, if there are any, are still running code */
    }
    in_a_child(1); /* and so is the fork handler */
    scene_free(s);
}

int main(void) {
    scene *s = large_scene();
    alarm(300);
    OK(dice_set_num_threads(1));
    expected = compute(s);
    if (!emulated()) no_threads_to_be_had(); /* before the C library keeps the stack of an ended thread */
    no_thread_before_it_is_needed();
    any_number();
    signals_are_the_hosts();
    several_callers();
    no_call_waits_for_another();
    forks();
    executors();
    calls_from_within();
    OK(dice_set_num_threads(4));
    loading();
    OK(dice_shutdown());
    scene_free(s);
    return report("threads");
}
