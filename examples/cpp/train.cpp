// Trains a tiny segmentation from C++: a ball within a ball in a noisy volume. There is no network; the logits of each voxel are the
// parameters, and plain gradient descent moves them.
//
//   c++ -std=c++17 -O2 examples/cpp/train.cpp $(pkg-config --cflags --libs dice) -o train && ./train
//
// It shows the three steps as a training loop has them: forward makes the value and keeps the cotangent, backward has the
// upstream gradient that the rest of the graph hands it.
#include <dice.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace {

constexpr std::int64_t classes = 3, depth = 24, height = 32, width = 32, voxels = depth * height * width;
const dice::Extents shape{1, classes, depth, height, width}, map{1, depth, height, width};

// 0 outside, 1 in the large ball, 2 in the small one within it.
std::vector<std::uint8_t> phantom() {
    std::vector<std::uint8_t> labels;
    labels.reserve(voxels);
    for (std::int64_t d = 0; d < depth; ++d) {
        for (std::int64_t h = 0; h < height; ++h) {
            for (std::int64_t w = 0; w < width; ++w) {
                const double x = double(w) - 15.5, y = double(h) - 15.5, z = double(d) - 11.5;
                const double large = std::sqrt(x * x + y * y + z * z), small = std::hypot(x - 3.0, y, z);
                labels.push_back(small < 3.0 ? 2 : large < 9.0 ? 1 : 0);
            }
        }
    }
    return labels;
}

int train() {
    const std::vector<std::uint8_t> labels = phantom();
    std::mt19937 random(1);
    std::normal_distribution<float> noise(0.0F, 1.0F);
    std::vector<float> logits(classes * voxels), gradient(classes * voxels);
    for (float &z : logits) z = noise(random);

    const dice::Loss loss; // soft Dice + cross-entropy; another would be: dice::Tversky() + 0.5 * dice::Focal()
    dice::Problem problem{dice::Input(labels, map)};
    // The loss may be a part of a larger one: loss scaling, here, as mixed precision has it.
    const double scale = 1024.0;
    const float rate = 50000.0F / float(scale);
    double first = 0.0, last = 0.0;
    for (int step = 0; step <= 100; ++step) {
        // Forward: one pass over the volume.
        const dice::Evaluation forward = dice::evaluate(dice::statistics({logits, shape}, problem, loss), loss);
        last = forward.values[0];
        if (step == 0) first = last;
        if (step % 20 == 0) {
            std::printf("step %3d  loss %.6f  Dice", step, last);
            for (const dice_class_report &report : forward.reports) std::printf(" %.4f", report.dice);
            std::printf("\n");
        }
        // Backward: the other one.
        problem.labels_checked = true; // by forward
        dice::pullback({logits, shape}, problem, loss, forward.cotangent, {scale}, {gradient, shape});
        for (std::size_t i = 0; i < logits.size(); ++i) logits[i] -= rate * gradient[i];
    }
    std::printf("RESULT loss_before=%.6f loss_after=%.6f\n", first, last);
    return last < 0.1 * first ? EXIT_SUCCESS : EXIT_FAILURE;
}

} // namespace

int main() {
    try {
        return train();
    } catch (const dice::Error &error) {
        std::fprintf(stderr, "train: %s\n", error.what());
        return EXIT_FAILURE;
    }
}
