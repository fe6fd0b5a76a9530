/* Tensors flush against memory that may not be touched, before them or behind: no vector reads or writes beyond an end. */
#include "check.h"

#include <sys/mman.h>
#include <unistd.h>

/* Pages that can be used, between two that cannot. */
typedef struct guarded {
    char *start;
    size_t size;
} guarded;

static guarded guarded_new(size_t size) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    guarded g;
    char *all;
    g.size = (size + page - 1) / page * page;
    all = (char *)mmap(NULL, g.size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == (char *)MAP_FAILED || mprotect(all + page, g.size, PROT_READ | PROT_WRITE) != 0) {
        perror("mmap");
        exit(2);
    }
    g.start = all + page;
    return g;
}

/* The first or the last `size` bytes. */
static void *flush_at(const guarded *g, int at_end, size_t size) { return g->start + (at_end ? g->size - size : 0); }

int main(void) {
    enum { MOST = 8 * 9000 };
    const guarded logits = guarded_new(2 * MOST * sizeof(float)), gradient = guarded_new(2 * MOST * sizeof(float));
    const guarded labels = guarded_new(MOST);
    uint64_t seed = 5;
    int32_t isa;
    int round, level;
    const int32_t effective = dice_effective_isa();
    for (round = 0; round < 1500; round++) {
        const int64_t n = 1 + random_below(&seed, 2), c = 1 + random_below(&seed, 5);
        const int64_t v = round % 50 == 0 ? 8000 + random_below(&seed, 400) : 1 + random_below(&seed, 300);
        const int channels_last = random_below(&seed, 3) == 0, offset = random_below(&seed, 3) == 0;
        const int64_t strides[] = {c * v, channels_last ? 1 : v, channels_last ? c : 1};
        /* Not at the very end or beginning of a page, so that no alignment is special. */
        const size_t gap = offset ? sizeof(float) : 0;
        scene *s = scene_new(n, c, v, seed);
        const size_t bytes = s->num_logits * sizeof(float);
        float *plain = (float *)room(s->num_logits, sizeof(float));
        int64_t i, j, k;
        memcpy(plain, s->logits, bytes);
        for (i = 0; i < n; i++)
            for (j = 0; j < c; j++)
                for (k = 0; k < v; k++) s->logits[i * strides[0] + j * strides[1] + k * strides[2]] = plain[(i * c + j) * v + k];
        if (round % 3 == 0) s->problem.use_ignore_index = 1;
        s->z.strides = strides, s->g.strides = strides;
        for (level = 0; level < 2; level++) {
            result expected, found;
            int at_end;
            /* One of another architecture is refused. */
            isa = level == 0 ? effective : (int32_t)random_below(&seed, effective + 1);
            if (dice_set_max_isa(isa) != DICE_OK) OK(dice_set_max_isa(effective));
            s->z.data = s->logits, s->g.data = s->gradient, s->y.data = s->labels;
            expected = compute(s);
            for (at_end = 0; at_end < 2; at_end++) {
                dice_term term;
                const dice_loss loss = default_loss_of(c, &term);
                s->z.data = (char *)flush_at(&logits, at_end, bytes + gap) + (at_end ? 0 : gap);
                s->g.data = (char *)flush_at(&gradient, at_end, bytes + gap) + (at_end ? 0 : gap);
                s->y.data = flush_at(&labels, at_end, s->num_voxels);
                memcpy(s->z.data, s->logits, bytes);
                memcpy(s->y.data, s->labels, s->num_voxels);
                OK(dice_value_and_grad(&s->z, &s->problem, &loss, NULL, 0, &found.value, 1, DICE_OVERWRITE, &s->g));
                found.gradient = fnv1a(s->g.data, bytes);
                CHECK(same(found, expected));
            }
        }
        free(plain);
        scene_free(s);
    }
    return report("guard");
}
