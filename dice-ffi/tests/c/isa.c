/* Every instruction set of this CPU: the same bits, but for the portable level. */
#include "check.h"

#include <sys/wait.h>
#include <unistd.h>

enum { NUM_SCENES = 9 };

static scene *scene_of(int number) {
    const int64_t shapes[NUM_SCENES][3] = {{1, 1, 1000}, {2, 2, 8192}, {1, 3, 8193}, {2, 4, 300},   {1, 5, 63},
                                           {1, 21, 700}, {1, 2, 1},    {3, 4, 8257}, {1, 40, 16385}};
    return scene_new(shapes[number][0], shapes[number][1], shapes[number][2], (uint64_t)number);
}

static void levels(int32_t effective) {
    int number;
    for (number = 0; number < NUM_SCENES; number++) {
        scene *s = scene_of(number);
        float *expected = (float *)room(s->num_logits, sizeof(float));
        result scalar;
        int32_t isa;
        size_t i;
        OK(dice_set_max_isa(DICE_ISA_SCALAR));
        CHECK(dice_effective_isa() == DICE_ISA_SCALAR);
        scalar = compute(s);
        memcpy(expected, s->gradient, s->num_logits * sizeof(float));
        for (isa = DICE_ISA_PORTABLE; isa <= effective; isa++) {
            float worst = 0.0F;
            result r;
            /* Of another architecture, or not of this CPU. */
            if (dice_set_max_isa(isa) != DICE_OK || dice_effective_isa() != isa) continue;
            r = compute(s);
            if (isa != DICE_ISA_PORTABLE) {
                if (!CHECK(same(r, scalar))) fprintf(stderr, "    %s, scene %d\n", dice_isa_name(isa), number);
                continue;
            }
            CHECK(fabs(r.value - scalar.value) <= 1e-6);
            for (i = 0; i < s->num_logits; i++) worst = fmaxf(worst, fabsf(s->gradient[i] - expected[i]));
            CHECK(worst <= 1e-6F);
        }
        free(expected);
        scene_free(s);
    }
}

/* Runs this program with DICE_MAX_ISA set; returns what it says, the effective level, or -1 if it did not end well. */
static int32_t effective_under(const char *program, const char *name, const char *standard_error) {
    const pid_t child = fork();
    int status = 0;
    if (child == 0) {
        setenv("DICE_MAX_ISA", name, 1);
        if (freopen(standard_error, "w", stderr) == NULL) _exit(100);
        execl(program, program, "say", (char *)NULL);
        _exit(101);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void environment(const char *program, int32_t effective) {
    int32_t isa;
    for (isa = 0; isa <= DICE_ISA_AVX512; isa++) {
        const int32_t found = effective_under(program, dice_isa_name(isa), "/dev/null");
        if (isa != DICE_ISA_SCALAR && isa != DICE_ISA_PORTABLE && (isa == DICE_ISA_NEON) != (effective == DICE_ISA_NEON)) {
            /* Of another architecture: no cap, from the variable or from the call, and the call says so. */
            CHECK(found == effective);
            OK(dice_set_max_isa(DICE_ISA_SCALAR));
            STATUS(DICE_UNAVAILABLE, dice_set_max_isa(isa));
            CHECK(strstr(dice_last_error(), dice_isa_name(isa)) != NULL);
            CHECK(dice_effective_isa() == DICE_ISA_SCALAR);
            continue;
        }
        CHECK(found <= isa && found <= effective && found >= 0);
        OK(dice_set_max_isa(isa));
        CHECK(dice_effective_isa() == found);
    }
    CHECK(effective_under(program, "", "/dev/null") == effective);
    /* No level's name: a complaint and no cap. Where nobody can hear the complaint, still no abort. */
    CHECK(effective_under(program, "sse9", "/dev/null") == effective);
    CHECK(effective_under(program, "sse9", "/dev/full") >= 0);
}

int main(int argc, char **argv) {
    int32_t effective;
    if (argc > 1) return dice_effective_isa();

    unsetenv("DICE_MAX_ISA");
    effective = dice_effective_isa();
    printf("isa: this CPU has %s\n", dice_isa_name(effective));
    if (!emulated()) environment(argv[0], effective);
    /* The call goes before the variable. */
    setenv("DICE_MAX_ISA", "scalar", 1);
    OK(dice_set_max_isa(DICE_ISA_AVX512));
    CHECK(dice_effective_isa() == effective);
    levels(effective);
    OK(dice_shutdown());
    return report("isa");
}
