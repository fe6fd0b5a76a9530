/*
 * Value and gradient of the default generalised Dice loss on a whole brain, as the Rust example exported it:
 *
 *   cargo run --release --example brain -- --export DIR
 *   cc -std=c99 -O2 examples/c/brain.c $(pkg-config --cflags --libs dice) -o brain && ./brain DIR
 *
 * DIR holds shape.txt ("4 D H W": classes and extents), logits.f32 (little-endian, [4, D, H, W]) and labels.u8 ([D, H, W]).
 * The last line names the value and a hash of the gradient's bytes; the Rust example prints the same line.
 */
#include <dice.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what, const char *why) {
    fprintf(stderr, "brain: %s: %s\n", what, why);
    exit(1);
}

/* Ends the program if a call of the library failed. */
static void must(const char *what, dice_status status) {
    if (status != DICE_OK) fail(what, dice_last_error());
}

static void *room(size_t size) {
    void *memory = malloc(size > 0 ? size : 1);
    if (memory == NULL) fail("memory", "there is not enough");
    return memory;
}

static FILE *open_in(const char *directory, const char *name) {
    char path[4096];
    FILE *file;
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path) fail(directory, "the path is too long");
    file = fopen(path, "rb");
    if (file == NULL) fail(path, strerror(errno));
    return file;
}

/* All of a file, which must have this size. */
static void *read_file(const char *directory, const char *name, size_t size) {
    FILE *file = open_in(directory, name);
    void *data = room(size);
    if (fread(data, 1, size, file) != size) fail(name, "is shorter than shape.txt says");
    if (fgetc(file) != EOF) fail(name, "is longer than shape.txt says");
    fclose(file);
    return data;
}

/* The 64-bit FNV-1a hash. */
static uint64_t fnv1a(const void *data, size_t size) {
    const unsigned char *bytes = data;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    size_t i;
    for (i = 0; i < size; i++) hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* What the loss says of each class: the sums over the voxels, then the formula. */
static void print_classes(const dice_tensor *logits, const dice_problem *problem, const dice_loss *loss) {
    static const char *const names[] = {"background", "cerebrospinal", "grey matter", "white matter"};
    const int64_t samples = logits->shape[0], classes = logits->shape[1];
    dice_class_report *reports;
    int64_t *table;
    size_t num_table, num_reports;
    int64_t c;

    must("statistics_len", dice_statistics_len(logits, loss, &num_table));
    must("evaluation_len", dice_evaluation_len(loss, samples, classes, NULL, NULL, &num_reports));
    table = room(num_table * sizeof *table);
    reports = room(num_reports * sizeof *reports);
    must("statistics", dice_statistics(logits, problem, loss, table, num_table));
    must("evaluate", dice_loss_evaluate(loss, table, num_table, samples, classes, NULL, 0, NULL, 0, reports, num_reports));

    printf("%-14s %10s %12s %12s %10s %7s %7s\n", "class", "voxels", "predicted", "both", "weight", "Dice", "share");
    for (c = 0; c < classes; c++) {
        const dice_class_report *r = &reports[c];
        printf("%-14s %10.0f %12.1f %12.1f %10.6f %7.4f %6.1f%%\n", c < 4 ? names[c] : "", r->target, r->prediction,
               r->intersection, r->weight, r->dice, 100.0 * r->share);
    }
    free(table);
    free(reports);
}

int main(int argc, char **argv) {
    const uint16_t one = 1;
    int64_t shape[5] = {1, 0, 0, 0, 0}, label_shape[4] = {1, 0, 0, 0};
    size_t voxels = 1, classes, i;
    double value;
    float *logits, *gradient;
    uint8_t *labels;
    dice_tensor z, y, g;
    dice_problem problem = DICE_PROBLEM_INIT;
    const dice_loss loss = DICE_LOSS_INIT;
    FILE *file;

    if (argc != 2) {
        fprintf(stderr, "usage: %s DIR\n", argv[0]);
        return 2;
    }
    if (*(const unsigned char *)&one != 1) fail(argv[0], "the files are little-endian, this machine is not");
    file = open_in(argv[1], "shape.txt");
    for (i = 1; i < 5; i++) {
        if (fscanf(file, "%" SCNd64, &shape[i]) != 1 || shape[i] < 1 || shape[i] > 4096) {
            fail("shape.txt", "must hold four numbers from 1 to 4096: classes, depth, height, width");
        }
    }
    fclose(file);
    classes = (size_t)shape[1];
    for (i = 1; i < 4; i++) {
        label_shape[i] = shape[i + 1];
        voxels *= (size_t)label_shape[i];
    }
    if (voxels > SIZE_MAX / sizeof(float) / classes) fail("shape.txt", "names more voxels than fit in memory");

    logits = read_file(argv[1], "logits.f32", classes * voxels * sizeof(float));
    labels = read_file(argv[1], "labels.u8", voxels);
    gradient = room(classes * voxels * sizeof(float));

    z = dice_f32(logits, 5, shape);
    g = dice_f32(gradient, 5, shape);
    y = dice_u8(labels, 4, label_shape);
    problem.target = &y;
    must("value_and_grad", dice_value_and_grad(&z, &problem, &loss, NULL, 0, &value, 1, DICE_OVERWRITE, &g));

    printf("libdice %" PRIu32 ".%" PRIu32 ".%" PRIu32 " on %s\n", dice_version() >> 16, dice_version() >> 8 & 255,
           dice_version() & 255, dice_isa_name(dice_effective_isa()));
    print_classes(&z, &problem, &loss);
    printf("EXPORT loss=%.17f gradient_fnv=%016" PRIx64 "\n", value, fnv1a(gradient, classes * voxels * sizeof(float)));

    free(logits);
    free(labels);
    free(gradient);
    return 0;
}
