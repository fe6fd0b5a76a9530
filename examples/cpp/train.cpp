// Trains a tiny segmentation with the C interface from C++: a ball within a ball in a noisy volume. There is no network; the
// logits of each voxel are the parameters, and plain gradient descent moves them.
//
//   c++ -std=c++17 -O2 examples/cpp/train.cpp $(pkg-config --cflags --libs dice) -o train && ./train
//
// It shows the three steps as a training loop has them: forward makes the value and keeps the cotangent, backward has the
// upstream gradient that the rest of the graph hands it.
#include <dice.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr std::int64_t classes = 3, depth = 24, height = 32, width = 32, voxels = depth * height * width;

// An exception for a call that failed.
void must(dice_status status) {
    if (status != DICE_OK) throw std::runtime_error(dice_last_error());
}

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

// Logits of a loss under the default generalised Dice, and what their gradient needs.
class Loss {
public:
    Loss(const std::vector<float> &logits, const std::vector<std::uint8_t> &labels)
        : logits_(dice_f32(logits.data(), 5, shape_.data())), labels_(dice_u8(labels.data(), 4, label_shape_.data())) {
        std::size_t num_table = 0, num_values = 0, num_cotangent = 0, num_reports = 0;
        must(dice_statistics_len(&logits_, &loss_, &num_table));
        must(dice_evaluation_len(&loss_, shape_[0], classes, &num_values, &num_cotangent, &num_reports));
        table_.resize(num_table);
        cotangent_.resize(num_cotangent);
        reports_.resize(num_reports);
    }
    Loss(const Loss &) = delete; // the tensors point into it
    Loss &operator=(const Loss &) = delete;

    // Steps 1 and 2.
    double forward() {
        const dice_problem problem = this->problem();
        double value = 0.0;
        must(dice_statistics(&logits_, &problem, &loss_, table_.data(), table_.size()));
        must(dice_loss_evaluate(&loss_, table_.data(), table_.size(), shape_[0], classes, &value, 1, cotangent_.data(),
                                cotangent_.size(), reports_.data(), reports_.size()));
        return value;
    }

    // Step 3: the gradient of upstream times the value.
    void backward(double upstream, std::vector<float> &gradient) const {
        dice_problem problem = this->problem();
        problem.labels_checked = 1; // by forward
        const dice_tensor to = dice_f32(gradient.data(), 5, shape_.data());
        must(dice_pullback(&logits_, &problem, &loss_, cotangent_.data(), cotangent_.size(), &upstream, 1, DICE_OVERWRITE,
                           &to));
    }

    double dice_of(std::int64_t c) const { return reports_[static_cast<std::size_t>(c)].dice; }

private:
    dice_problem problem() const {
        dice_problem problem = DICE_PROBLEM_INIT;
        problem.target = &labels_;
        return problem;
    }

    const std::array<std::int64_t, 5> shape_{1, classes, depth, height, width};
    const std::array<std::int64_t, 4> label_shape_{1, depth, height, width};
    const dice_tensor logits_, labels_;
    const dice_loss loss_ = DICE_LOSS_INIT;
    std::vector<std::int64_t> table_;
    std::vector<double> cotangent_;
    std::vector<dice_class_report> reports_;
};

int train() {
    const std::vector<std::uint8_t> labels = phantom();
    std::mt19937 random(1);
    std::normal_distribution<float> noise(0.0F, 1.0F);
    std::vector<float> logits(classes * voxels), gradient(classes * voxels);
    for (float &z : logits) z = noise(random);

    Loss loss(logits, labels);
    // The loss may be a part of a larger one: loss scaling, here, as mixed precision has it.
    const double scale = 1024.0;
    const float rate = 50000.0F / float(scale);
    double first = 0.0, last = 0.0;
    for (int step = 0; step <= 100; ++step) {
        last = loss.forward();
        if (step == 0) first = last;
        if (step % 20 == 0) {
            std::printf("step %3d  loss %.6f  Dice %.4f %.4f %.4f\n", step, last, loss.dice_of(0), loss.dice_of(1),
                        loss.dice_of(2));
        }
        loss.backward(scale, gradient);
        for (std::size_t i = 0; i < logits.size(); ++i) logits[i] -= rate * gradient[i];
    }
    std::printf("RESULT loss_before=%.6f loss_after=%.6f\n", first, last);
    return last < 0.1 * first ? EXIT_SUCCESS : EXIT_FAILURE;
}

} // namespace

int main() {
    try {
        return train();
    } catch (const std::exception &error) {
        std::fprintf(stderr, "train: %s\n", error.what());
        return EXIT_FAILURE;
    }
}
