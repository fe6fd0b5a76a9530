/* The host's floating-point mode: it does not change a bit, and is as it was afterwards. */
#include "check.h"

#include <fenv.h>
#include <pthread.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
enum { NUM_FLUSHES = 2 };
/* Flush-to-zero and denormals-are-zero, as frameworks set them. */
static void set_flush(int flush) { _mm_setcsr((_mm_getcsr() & ~0x8040U) | (flush ? 0x8040U : 0U)); }
/* Everything but the sticky flags. */
static unsigned long mode(void) { return _mm_getcsr() & ~0x3fU; }
#elif defined(__aarch64__)
enum { NUM_FLUSHES = 2 };
static unsigned long mode(void) {
    unsigned long fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    return fpcr;
}
static void set_flush(int flush) {
    const unsigned long bit = 1UL << 24, fpcr = (mode() & ~bit) | (flush ? bit : 0UL);
    __asm__ volatile("msr fpcr, %0" : : "r"(fpcr));
}
#else
enum { NUM_FLUSHES = 1 };
static void set_flush(int flush) { (void)flush; }
static unsigned long mode(void) { return (unsigned long)fegetround(); }
#endif

static const int ROUNDINGS[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};

static void set_mode(int flush, int rounding) {
    fesetround(rounding);
    set_flush(flush);
}

static void default_mode(void) { set_mode(0, FE_TONEAREST); }

/* A scene with tiny numbers, which a flush would change. */
static scene *touchy_scene(int64_t v) {
    scene *s = scene_new(2, 3, v, 12);
    size_t i;
    for (i = 0; i < s->num_logits; i += 5) s->logits[i] = 1e-40F;
    for (i = 0; i < s->num_logits; i += 7) s->logits[i] *= 30.0F;
    return s;
}

static void on_this_thread(int64_t v, int32_t activation) {
    dice_term term = default_term();
    const dice_loss loss = loss_of(&term);
    scene *s = touchy_scene(v);
    const size_t bytes = s->num_logits * sizeof(float);
    float *expected = (float *)room(s->num_logits, sizeof(float));
    double first = 0.0, value;
    int flush, rounding;
    term.activation = activation;
    OK(dice_value_and_grad(&s->z, &s->problem, &loss, NULL, 0, &first, 1, DICE_OVERWRITE, &s->g));
    memcpy(expected, s->gradient, bytes);
    for (flush = 0; flush < NUM_FLUSHES; flush++) {
        for (rounding = 0; rounding < 4; rounding++) {
            unsigned long before, after;
            dice_status good, bad;
            int rounding_after;
            memset(s->gradient, 0xa5, bytes);
            value = -1.0;
            set_mode(flush, ROUNDINGS[rounding]);
            before = mode();
            good = dice_value_and_grad(&s->z, &s->problem, &loss, NULL, 0, &value, 1, DICE_OVERWRITE, &s->g);
            bad = dice_value(&s->z, NULL, &loss, &value, 1);
            after = mode();
            rounding_after = fegetround();
            default_mode();
            CHECK(good == DICE_OK && bad == DICE_NULL_POINTER);
            CHECK(before == after && rounding_after == ROUNDINGS[rounding]);
            CHECK(memcmp(&value, &first, sizeof value) == 0 && memcmp(expected, s->gradient, bytes) == 0);
        }
    }
    free(expected);
    scene_free(s);
}

/* A host that lets floating-point exceptions trap: ours are not its. */
static void traps(void) {
#if defined(__GLIBC__) && defined(__x86_64__)
    scene *s = touchy_scene(100);
    const dice_loss loss = DICE_LOSS_INIT;
    dice_status status;
    double value = 0.0;
    int excepts;
    s->logits[3] = NAN, s->logits[9] = INFINITY, s->logits[10] = -INFINITY;
    feclearexcept(FE_ALL_EXCEPT);
    feenableexcept(FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW);
    status = dice_value_and_grad(&s->z, &s->problem, &loss, NULL, 0, &value, 1, DICE_OVERWRITE, &s->g);
    excepts = fegetexcept();
    fedisableexcept(FE_ALL_EXCEPT);
    CHECK(status == DICE_OK && isnan(value));
    CHECK(excepts == (FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW));
    scene_free(s);
#endif
}

/* A host's threads, each in a mode of its own. */
typedef struct work {
    void (*claim)(void *argument);
    void *argument;
    int number, unchanged;
} work;

static void *at_work(void *pointer) {
    work *w = (work *)pointer;
    unsigned long before;
    set_mode(w->number % NUM_FLUSHES, ROUNDINGS[w->number % 4]);
    before = mode();
    w->claim(w->argument);
    w->unchanged = mode() == before && fegetround() == ROUNDINGS[w->number % 4];
    return NULL;
}

static int runs;

static void run(void *context, int32_t limit, void (*claim)(void *argument), void *argument) {
    enum { THREADS = 5 };
    pthread_t threads[THREADS];
    work works[THREADS];
    int i;
    (void)context;
    for (i = 0; i < THREADS && i < limit; i++) {
        works[i].claim = claim, works[i].argument = argument, works[i].number = i + 1, works[i].unchanged = 0;
        CHECK(pthread_create(&threads[i], NULL, at_work, &works[i]) == 0);
    }
    while (i-- > 0) {
        pthread_join(threads[i], NULL);
        CHECK(works[i].unchanged);
    }
    runs++;
}

static void on_threads_of_the_host(void) {
    dice_executor executor = DICE_EXECUTOR_INIT;
    scene *s = touchy_scene(40000);
    const result expected = compute(s);
    executor.run = run;
    executor.threads = 5;
    OK(dice_set_executor(&executor));
    CHECK(same(compute(s), expected));
    CHECK(runs > 0);
    OK(dice_set_executor(NULL));
    scene_free(s);
}

int main(void) {
    int32_t activation;
    for (activation = 0; activation < 3; activation++) {
        on_this_thread(1000, activation);
        on_this_thread(70000, activation); /* large: on several threads */
    }
    traps();
    on_threads_of_the_host();
    OK(dice_shutdown());
    return report("float_mode");
}
