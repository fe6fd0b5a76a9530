/* One problem in every layout: the same bits, and not a byte written beside the gradient's elements. */
#include "check.h"

enum { N = 2, C = 3, D = 5, H = 7, W = 11, V = D * H * W, ROOM = 8 * N * C * V };

typedef struct layout {
    const char *name;
    int64_t strides[5]; /* of [n, c, d, h, w] */
    int64_t start;      /* the element of index (0, 0, ...) */
} layout;

static const layout LAYOUTS[] = {
    {"channels first", {C * V, V, H * W, W, 1}, 0},
    {"channels last", {C * V, 1, H * W * C, W * C, C}, 0},
    {"samples innermost", {1, V * N, H * W * N, W * N, N}, 0},
    {"axes reversed", {1, N, N * C, N * C * D, N * C * D * H}, 0},
    {"rows padded to 16", {C * D * H * 16, D * H * 16, H * 16, 16, 1}, 0},
    {"every second element", {2 * C * V, 2 * V, 2 * H * W, 2 * W, 2}, 5},
    {"width backwards", {C * V, V, H * W, W, -1}, W - 1},
    {"all backwards", {-C * V, -V, -H * W, -W, -1}, N * C * V - 1},
    {"classes backwards", {C * V, -V, H * W, W, 1}, (C - 1) * V},
};
enum { NUM_LAYOUTS = sizeof LAYOUTS / sizeof LAYOUTS[0] };

static const int64_t SHAPE[] = {N, C, D, H, W};

static float *element(float *data, const layout *l, int64_t n, int64_t c, int64_t d, int64_t h, int64_t w) {
    const int64_t *s = l->strides;
    return data + l->start + n * s[0] + c * s[1] + d * s[2] + h * s[3] + w * s[4];
}

/* Copies a tensor from one layout to another. */
static void copy(float *from, const layout *from_layout, float *to, const layout *to_layout) {
    int64_t n, c, d, h, w;
    for (n = 0; n < N; n++)
        for (c = 0; c < C; c++)
            for (d = 0; d < D; d++)
                for (h = 0; h < H; h++)
                    for (w = 0; w < W; w++)
                        *element(to, to_layout, n, c, d, h, w) = *element(from, from_layout, n, c, d, h, w);
}

static dice_tensor tensor_of(float *data, const layout *l, int by_byte_offset) {
    dice_tensor t = dice_f32(data, 5, SHAPE);
    t.strides = l->strides;
    if (by_byte_offset) t.byte_offset = (uint64_t)l->start * sizeof(float);
    else t.data = data + l->start;
    return t;
}

static void every_pair(scene *s, const result *expected) {
    const dice_loss loss = DICE_LOSS_INIT;
    float *logits = (float *)room(ROOM, sizeof(float)), *gradient = (float *)room(ROOM, sizeof(float));
    float *plain = (float *)room(N * C * V, sizeof(float)), *beside = (float *)room(ROOM, sizeof(float));
    int i, j;
    for (i = 0; i < NUM_LAYOUTS; i++) {
        copy(s->logits, &LAYOUTS[0], logits, &LAYOUTS[i]);
        for (j = 0; j < NUM_LAYOUTS; j++) {
            const dice_tensor z = tensor_of(logits, &LAYOUTS[i], i % 2), g = tensor_of(gradient, &LAYOUTS[j], j % 2);
            result r = {-1.0, 0};
            memset(gradient, 0xa5, ROOM * sizeof(float));
            memset(beside, 0xa5, ROOM * sizeof(float));
            OK(dice_value_and_grad(&z, &s->problem, &loss, NULL, 0, &r.value, 1, DICE_OVERWRITE, &g));
            copy(gradient, &LAYOUTS[j], plain, &LAYOUTS[0]);
            r.gradient = fnv1a(plain, N * C * V * sizeof(float));
            if (!CHECK(same(r, *expected))) fprintf(stderr, "    %s to %s\n", LAYOUTS[i].name, LAYOUTS[j].name);
            copy(beside, &LAYOUTS[j], gradient, &LAYOUTS[j]);
            CHECK(memcmp(gradient, beside, ROOM * sizeof(float)) == 0);
        }
    }
    free(logits);
    free(gradient);
    free(plain);
    free(beside);
}

/* Labels as [n, spatial] and [n, 1, spatial], strided, reversed, and the same for all samples. */
static void label_layouts(scene *s, const result *expected) {
    const int64_t with_channel[] = {N, 1, D, H, W}, plain[] = {N, D, H, W};
    const int64_t strided[] = {3 * V, 3 * H * W, 3 * W, 3}, strided_channel[] = {3 * V, 12345, 3 * H * W, 3 * W, 3};
    const int64_t backwards[] = {-V, -H * W, -W, -1}, shared[] = {0, H * W, W, 1};
    uint8_t *labels = (uint8_t *)room(3 * N * V, 1);
    result once;
    int64_t i;
    s->y = dice_u8(s->labels, 5, with_channel);
    CHECK(same(compute(s), *expected));
    for (i = 0; i < N * V; i++) labels[3 * i] = s->labels[i];
    s->y = dice_u8(labels, 4, plain);
    s->y.strides = strided;
    CHECK(same(compute(s), *expected));
    s->y.ndim = 5, s->y.shape = with_channel, s->y.strides = strided_channel;
    CHECK(same(compute(s), *expected));
    for (i = 0; i < N * V; i++) labels[N * V - 1 - i] = s->labels[i];
    s->y = dice_u8(labels, 4, plain);
    s->y.strides = backwards, s->y.byte_offset = N * V - 1;
    CHECK(same(compute(s), *expected));
    /* A label map that all samples share. */
    memcpy(labels, s->labels, V);
    memcpy(labels + V, s->labels, V);
    s->y = dice_u8(labels, 4, plain);
    once = compute(s);
    s->y.strides = shared;
    CHECK(same(compute(s), once));
    free(labels);
}

/* Logits that are broadcast; they may be read from one place many times. */
static void broadcast_logits(void) {
    const int64_t strides[] = {0, 1, 0}, shape[] = {2, 3, 50};
    scene *s = scene_new(2, 3, 50, 8);
    result expected;
    int64_t n, c, v;
    for (n = 0; n < 2; n++)
        for (c = 0; c < 3; c++)
            for (v = 0; v < 50; v++) s->logits[(n * 3 + c) * 50 + v] = (float)c;
    expected = compute(s);
    s->logits[1] = 1.0F, s->logits[2] = 2.0F;
    s->z = dice_f32(s->logits, 3, shape);
    s->z.strides = strides;
    CHECK(same(compute(s), expected));
    scene_free(s);
}

/* No spatial axis, and six. */
static void ranks(void) {
    const int64_t flat[] = {60, 3}, flat_labels[] = {60}, six[] = {1, 3, 2, 1, 3, 1, 5, 2}, six_labels[] = {1, 2, 1, 3, 1, 5, 2};
    const dice_term term = default_term();
    const dice_loss loss = loss_of(&term);
    scene *s = scene_new(1, 3, 60, 4);
    double expected, found = -1.0;
    expected = compute(s).value;
    s->z = dice_f32(s->logits, 8, six), s->g = dice_f32(s->gradient, 8, six), s->y = dice_u8(s->labels, 7, six_labels);
    found = compute(s).value;
    CHECK(memcmp(&found, &expected, sizeof found) == 0);
    s->z = dice_f32(s->logits, 2, flat), s->g = dice_f32(s->gradient, 2, flat), s->y = dice_u8(s->labels, 1, flat_labels);
    OK(dice_value_and_grad(&s->z, &s->problem, &loss, NULL, 0, &found, 1, DICE_OVERWRITE, &s->g));
    CHECK(found > 0.0 && found < 1.0);
    scene_free(s);
}

int main(void) {
    scene *s = scene_new(N, C, V, 6);
    const int64_t label_shape[] = {N, D, H, W};
    result expected = compute(s);
    s->z = dice_f32(s->logits, 5, SHAPE);
    s->g = dice_f32(s->gradient, 5, SHAPE);
    s->y = dice_u8(s->labels, 4, label_shape);
    CHECK(same(compute(s), expected));
    every_pair(s, &expected);
    label_layouts(s, &expected);
    scene_free(s);
    broadcast_logits();
    ranks();
    return report("layouts");
}
