// dice.hpp as its users have it: the losses, the calls and the errors, against dice.h and small numbers done by hand.
#include <dice.hpp>

#include "../c/check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

#if __has_include(<span>) && __cplusplus >= 202002L
#include <span>
#endif

namespace {

const dice::Extents shape{2, 3, 4, 5}, map{2, 4, 5};
constexpr std::size_t num = 2 * 3 * 4 * 5, voxels = 2 * 4 * 5;

struct Data {
    std::vector<float> logits = std::vector<float>(num), gradient = std::vector<float>(num, 7.0F);
    std::vector<std::uint8_t> labels = std::vector<std::uint8_t>(voxels);

    Data() {
        for (std::size_t i = 0; i < num; ++i) logits[i] = static_cast<float>(std::sin(1.7 * double(i)));
        for (std::size_t v = 0; v < voxels; ++v) labels[v] = static_cast<std::uint8_t>(v * 7 % 3);
    }
    dice::Problem problem() const { return dice::Problem(dice::Input(labels, map)); }
};

// The value of dice.h for these terms.
double by_c(const Data &data, const std::vector<dice_term> &terms) {
    const dice_tensor z = dice_f32(data.logits.data(), 4, shape.data()), y = dice_u8(data.labels.data(), 3, map.data());
    dice_problem problem = DICE_PROBLEM_INIT;
    problem.target = &y;
    dice_loss loss = DICE_LOSS_INIT;
    loss.terms = terms.data();
    loss.num_terms = terms.size();
    double value = -1.0;
    OK(dice_value(&z, &problem, &loss, &value, 1));
    return value;
}

template <class L> double by_struct(const Data &data, const L &loss) {
    const dice::Result<double> value = dice::try_value({data.logits, shape}, data.problem(), loss);
    if (!CHECK(value.has_value())) std::fprintf(stderr, "%s\n", value.failure().message.c_str());
    return value ? *value : -2.0;
}

dice_term kind(std::int32_t kind) {
    dice_term term{};
    term.kind = kind;
    return term;
}

// Defaults are those of dice.h, kind by kind, and every field arrives at its place.
void losses() {
    const Data data;
    dice::Wasserstein wasserstein;
    wasserstein.costs = {0, 1, 2, 1, 0, 1, 2, 1, 0};
    dice_term costs = kind(DICE_WASSERSTEIN);
    costs.costs = wasserstein.costs.data();
    costs.num_costs = 9;
    CHECK(by_struct(data, dice::GeneralizedDice()) == by_c(data, {kind(DICE_GENERALIZED_DICE)}));
    CHECK(by_struct(data, dice::SoftDice()) == by_c(data, {kind(DICE_SOFT_DICE)}));
    CHECK(by_struct(data, dice::Jaccard()) == by_c(data, {kind(DICE_JACCARD)}));
    CHECK(by_struct(data, dice::Tversky()) == by_c(data, {kind(DICE_TVERSKY)}));
    CHECK(by_struct(data, dice::FocalTversky()) == by_c(data, {kind(DICE_FOCAL_TVERSKY)}));
    CHECK(by_struct(data, dice::Mcc()) == by_c(data, {kind(DICE_MCC)}));
    CHECK(by_struct(data, dice::CrossEntropy()) == by_c(data, {kind(DICE_CROSS_ENTROPY)}));
    CHECK(by_struct(data, dice::Focal()) == by_c(data, {kind(DICE_FOCAL)}));
    CHECK(by_struct(data, wasserstein) == by_c(data, {costs}));
    CHECK(by_struct(data, dice::Loss()) == by_c(data, {}));
    CHECK(by_struct(data, dice::SoftDice() + dice::CrossEntropy()) == by_c(data, {}));

    // A 0 is a 0, where dice.h has -1 for it.
    dice::FocalTversky focal;
    focal.exponent_least = 0.0;
    CHECK(dice::Loss(focal).terms()[0].exponent_least == -1.0);
    dice::Mcc mcc;
    mcc.mcc_smoothing = 0.0;
    CHECK(dice::Loss(mcc).terms()[0].mcc_smoothing == -1.0);

    // What dice.h takes for another default is refused, not replaced.
    dice::Tversky neither;
    neither.false_positives = neither.false_negatives = 0.0;
    CHECK(dice::try_value({data.logits, shape}, data.problem(), neither).failure().status == dice::Status::invalid_argument);
    dice::SoftDice logarithm;
    logarithm.transform = dice::Transform::negative_log(0.0);
    CHECK(dice::try_value({data.logits, shape}, data.problem(), logarithm).failure().status == dice::Status::invalid_argument);

    // Sums and factors; the default is spelled out where it is a part.
    const dice::Loss sum = 0.5 * (dice::Loss() + 4.0 * dice::Jaccard());
    const std::vector<dice_term> terms = sum.terms();
    CHECK(terms.size() == 3 && terms[0].factor == 0.5 && terms[1].kind == DICE_CROSS_ENTROPY && terms[2].factor == 2.0);
    CHECK((0.0 * dice::Jaccard() + dice::SoftDice()).terms()[0].left_out == 1);
    CHECK(by_struct(data, 0.0 * dice::Jaccard() + dice::SoftDice()) == by_c(data, {kind(DICE_SOFT_DICE)}));

    // Arrays are the loss's own, and live as long as any copy.
    dice::Loss kept;
    {
        dice::CrossEntropy weighed;
        weighed.class_weights = {1.0, 2.0, 3.0};
        weighed.positive_weights = {};
        const dice::Loss first = weighed;
        kept = first;
    }
    const std::vector<dice_term> of_kept = kept.terms();
    CHECK(of_kept[0].num_class_weights == 3 && of_kept[0].class_weights[2] == 3.0);
    CHECK(by_struct(data, kept) == by_c(data, of_kept));

    // Presets are the library's.
    for (std::size_t index = 0; dice_loss_preset_name(index) != nullptr; ++index) {
        const char *name = dice_loss_preset_name(index);
        CHECK(dice::try_preset(name).has_value());
    }
    const dice::Result<dice::Loss> unknown = dice::try_preset("nonsense");
    CHECK(!unknown && unknown.failure().status == dice::Status::invalid_argument);
    CHECK(unknown.failure().message.find("nonsense") != std::string::npos);
}

// Each field of each loss, changed, is the field of dice_term of that name: no other one changes, and it does.
void fields() {
    const auto numbers = [](const dice_term &term) {
        std::vector<unsigned char> bytes(sizeof term);
        std::memcpy(bytes.data(), &term, sizeof term);
        return bytes;
    };
    // place and size of what differs from the default of the kind
    const auto differs = [&](const dice::Loss &loss, std::size_t place, std::size_t size) {
        dice_term changed = loss.terms()[0], base = kind(changed.kind);
        if (changed.kind == DICE_TVERSKY || changed.kind == DICE_FOCAL_TVERSKY) base = dice::Loss(dice::Tversky()).terms()[0];
        if (changed.kind == DICE_FOCAL_TVERSKY) base = dice::Loss(dice::FocalTversky()).terms()[0];
        if (changed.kind == DICE_MCC) base = dice::Loss(dice::Mcc()).terms()[0];
        const std::vector<unsigned char> a = numbers(changed), b = numbers(base);
        for (std::size_t i = 0; i < a.size(); ++i) {
            const bool inside = i >= place && i < place + size;
            if (a[i] != b[i] && !inside) return false;
        }
        return !std::equal(a.begin() + static_cast<std::ptrdiff_t>(place), a.begin() + static_cast<std::ptrdiff_t>(place + size),
                           b.begin() + static_cast<std::ptrdiff_t>(place));
    };
#define FIELD(Kind, field, value, name)                                                                                                \
    do {                                                                                                                               \
        dice::Kind loss;                                                                                                               \
        loss.field = value;                                                                                                            \
        CHECK(differs(loss, offsetof(dice_term, name), sizeof(dice_term::name)));                                                      \
    } while (0)
#define COMMON(Kind)                                                                                                                   \
    FIELD(Kind, activation, dice::Activation::sigmoid, activation);                                                                    \
    FIELD(Kind, grouping, dice::Grouping::batch, grouping);                                                                            \
    FIELD(Kind, reduction, dice::Reduction::none, reduction);                                                                          \
    FIELD(Kind, exclude_background, true, exclude_background);                                                                         \
    FIELD(Kind, transform, dice::Transform::log_cosh(), transform)
#define RATIO(Kind)                                                                                                                    \
    COMMON(Kind);                                                                                                                      \
    FIELD(Kind, weight_mode, dice::WeightMode::normalise, weight_mode);                                                                \
    FIELD(Kind, overlap, dice::Overlap::difference, overlap);                                                                          \
    FIELD(Kind, empty, dice::Empty::skip, empty);                                                                                      \
    FIELD(Kind, pooling, dice::Pooling::all_classes, pooling);                                                                         \
    FIELD(Kind, order, dice::Order::groups_first, order);                                                                              \
    FIELD(Kind, complement, true, complement);                                                                                         \
    FIELD(Kind, class_transform, dice::Transform::negative_score(), class_transform);                                                  \
    FIELD(Kind, smooth_numerator, 0.25, smooth_numerator);                                                                             \
    FIELD(Kind, smooth_denominator, 0.25, smooth_denominator);                                                                         \
    FIELD(Kind, least_denominator, 0.25, least_denominator);                                                                           \
    FIELD(Kind, softening, 0.25, softening)
#define VOXELS(Kind)                                                                                                                   \
    COMMON(Kind);                                                                                                                      \
    FIELD(Kind, weight_mode, dice::WeightMode::normalise, weight_mode);                                                                \
    FIELD(Kind, binary, true, binary);                                                                                                 \
    FIELD(Kind, divisor, dice::Divisor::voxels, divisor)
    RATIO(SoftDice);
    RATIO(Jaccard);
    RATIO(Tversky);
    RATIO(FocalTversky);
    RATIO(Mcc);
    VOXELS(CrossEntropy);
    VOXELS(Focal);
    COMMON(Wasserstein);
    COMMON(GeneralizedDice);
    FIELD(GeneralizedDice, weighting, dice::Weighting::uniform, weighting);
    FIELD(GeneralizedDice, absent, dice::Absent::zero, absent);
    FIELD(GeneralizedDice, absent_epsilon, 0.5, absent_epsilon);
    FIELD(GeneralizedDice, raw_weights, true, raw_weights);
    FIELD(GeneralizedDice, weighed_volume, dice::WeighedVolume::ones, weighed_volume);
    FIELD(GeneralizedDice, zero_non_finite, true, zero_non_finite);
    FIELD(GeneralizedDice, overlap, dice::Overlap::difference, overlap);
    FIELD(GeneralizedDice, empty, dice::Empty::ratio, empty);
    FIELD(GeneralizedDice, smooth_numerator, 0.5, smooth_numerator);
    FIELD(GeneralizedDice, smooth_denominator, 0.5, smooth_denominator);
    FIELD(GeneralizedDice, least_union, 0.5, least_union);
    FIELD(SoftDice, volumes, dice::Volumes::squared, volumes);
    FIELD(SoftDice, least_intersection, 0.5, least_intersection);
    FIELD(Jaccard, doubled, true, doubled);
    FIELD(Tversky, volumes, dice::Volumes::squared, volumes);
    FIELD(Tversky, false_positives, 0.75, false_positives);
    FIELD(Tversky, false_negatives, 0.75, false_negatives);
    FIELD(FocalTversky, exponent_least, 0.5, exponent_least);
    FIELD(Mcc, mcc_smoothing, 0.5, mcc_smoothing);
    FIELD(Wasserstein, cost_weighting, dice::CostWeighting::inverse_volume, cost_weighting);
    FIELD(Wasserstein, normalise_costs, true, normalise_costs);
    FIELD(Wasserstein, empty, dice::Empty::zero, empty);
    FIELD(Wasserstein, smooth_numerator, 0.5, smooth_numerator);
    FIELD(Wasserstein, smooth_denominator, 0.5, smooth_denominator);
    FIELD(CrossEntropy, label_smoothing, 0.5, label_smoothing);
#undef VOXELS
#undef RATIO
#undef COMMON
#undef FIELD
    dice::Focal focal;
    focal.alpha = 0.0;
    focal.exponents = {1.5};
    focal.positive_weights = {2.0, 3.0};
    const dice::Loss kept = focal;
    const dice_term term = kept.terms()[0];
    CHECK(term.use_alpha == 1 && term.alpha == 0.0 && term.num_exponents == 1 && term.exponents[0] == 1.5);
    CHECK(term.num_positive_weights == 2 && term.positive_weights[1] == 3.0);
    dice::SoftDice power;
    power.class_transform = dice::Transform::power(0.5, 0.125);
    power.transform = dice::Transform::negative_log(0.25);
    const dice_term of_power = dice::Loss(power).terms()[0];
    CHECK(of_power.class_transform == DICE_POWER && of_power.class_transform_exponent == 0.5 && of_power.class_transform_least == 0.125);
    CHECK(of_power.transform == DICE_NEGATIVE_LOG && of_power.transform_least == 0.25);
}

// Value and gradient at once, in three steps, in parts and added: the same numbers.
void calls() {
    Data data;
    const dice::Loss loss = dice::GeneralizedDice() + 0.5 * dice::CrossEntropy();
    const dice::Input logits(data.logits, shape);
    const dice::Output gradient(data.gradient, shape);
    const dice::Result<double> value = dice::try_value(logits, data.problem(), loss);
    const dice::Result<double> again = dice::try_value_and_grad(logits, data.problem(), loss, gradient, 2.0);
    CHECK(value && again && *value == *again);
    const std::vector<float> first = data.gradient;

    const dice::Result<dice::Statistics> whole = dice::try_statistics(logits, data.problem(), loss);
    if (!CHECK(whole.has_value())) return;
    const dice::Result<dice::Evaluation> made = dice::try_evaluate(*whole, loss);
    if (!CHECK(made.has_value())) return;
    CHECK(made->values.size() == 1 && made->values[0] == *value && made->reports.size() == 2 * 3);
    std::fill(data.gradient.begin(), data.gradient.end(), 0.0F);
    CHECK(dice::try_pullback(logits, data.problem(), loss, made->cotangent, {2.0}, gradient).has_value());
    CHECK(data.gradient == first);
    CHECK(dice::try_pullback(logits, data.problem(), loss, made->cotangent, {2.0}, gradient, dice::Mode::accumulate).has_value());
    CHECK(data.gradient[5] == 2.0F * first[5]);

    dice::Result<dice::Statistics> left = dice::try_statistics(logits, data.problem(), loss, dice::Range{0, 8});
    const dice::Result<dice::Statistics> right = dice::try_statistics(logits, data.problem(), loss, dice::Range{8, 20});
    CHECK(left && right && dice::try_merge(*right, *left));
    const dice::Result<dice::Evaluation> of_parts = dice::try_evaluate(*left, loss);
    CHECK(of_parts && std::fabs(of_parts->values[0] - *value) < 1e-6);
    std::fill(data.gradient.begin(), data.gradient.end(), 0.0F);
    for (const dice::Range range : {dice::Range{8, 20}, dice::Range{0, 8}}) {
        CHECK(dice::try_pullback(logits, data.problem(), loss, made->cotangent, {2.0}, gradient, dice::Mode::overwrite, range).has_value());
    }
    CHECK(data.gradient == first);

    dice::Statistics of_others = *whole;
    of_others.samples = 1;
    of_others.classes = 6;
    CHECK(dice::try_merge(of_others, *left).failure().status == dice::Status::shape);

    // What no memory holds.
    const dice::Extents empty{std::int64_t(1) << 36, 100, 0}, empty_map{std::int64_t(1) << 36, 0};
    const dice::Problem nothing{dice::Input(data.labels, empty_map)};
    CHECK(dice::try_statistics({data.logits, empty}, nothing, loss).failure().status == dice::Status::unavailable);
    const dice::Statistics huge{{}, std::int64_t(1) << 36, 100};
    CHECK(dice::try_evaluate(huge, loss).failure().status == dice::Status::unavailable);

    // Several values, and their upstream.
    dice::SoftDice apart;
    apart.reduction = dice::Reduction::none;
    const auto several = dice::try_values(logits, data.problem(), apart);
    CHECK(several && several->size() == 6);
    const auto with = dice::try_values_and_grad(logits, data.problem(), apart, gradient, {1, 0, 0, 0, 0, 0});
    CHECK(with && *with == *several);
    CHECK(std::all_of(data.gradient.begin() + num / 2, data.gradient.end(), [](float g) { return g == 0.0F; }));
    CHECK(dice::try_value(logits, data.problem(), apart).failure().status == dice::Status::length);

    // Which voxels count.
    dice::Problem part = data.problem();
    part.ignore_index = 2;
    const std::vector<std::uint8_t> mask(voxels, 1);
    const std::vector<float> weights(voxels, 0.5F), one_hot(num, 1.0F / 3.0F);
    const dice::Result<double> ignoring = dice::try_value(logits, part, dice::SoftDice());
    CHECK(ignoring && *ignoring != *dice::try_value(logits, data.problem(), dice::SoftDice()));
    dice::Problem weighed = data.problem();
    weighed.mask = dice::Input(mask, map);
    weighed.voxel_weights = dice::Input(weights, map);
    weighed.sample_weights = {2.0F, 2.0F};
    CHECK(*dice::try_value(logits, weighed, dice::SoftDice()) == *dice::try_value(logits, data.problem(), dice::SoftDice()));
    CHECK(dice::try_value(logits, dice::Problem::dense(dice::Input(one_hot, shape)), dice::SoftDice()).has_value());

    // Volumes and confusion.
    std::vector<double> volumes(3);
    CHECK(dice::try_add_volumes(data.problem(), volumes) && volumes[0] + volumes[1] + volumes[2] == double(voxels));
    const auto class_weights = dice::try_class_weights(volumes, dice::Weighting::inverse_square);
    CHECK(class_weights && class_weights->size() == 3);
    const auto counts = dice::try_confusion(dice::Input(data.labels, map), data.problem(), 3);
    CHECK(counts && counts->size() == 18 && (*counts)[0] + (*counts)[9] == std::int64_t(volumes[0]) && (*counts)[1] == 0);
    CHECK(dice::try_confusion(logits, data.problem(), -1).failure().status != dice::Status::ok);
    CHECK(dice::try_confusion(logits, data.problem(), std::int64_t(1) << 40).failure().status != dice::Status::ok);
    const auto many = dice::try_confusion(dice::Input(data.labels, map), data.problem(), std::int64_t(1) << 20);
    CHECK(!many && many.failure().status == dice::Status::unavailable);
}

// Threads of the host's, for as long as the executor lives.
void executors() {
    Data data;
    std::vector<float> large(4 * 3 * 64 * 64 * 16);
    const dice::Extents large_shape{4, 3, 64, 64, 16}, large_map{4, 64, 64, 16};
    const std::vector<std::uint8_t> labels(4 * 64 * 64 * 16, 1);
    for (std::size_t i = 0; i < large.size(); ++i) large[i] = static_cast<float>(i % 31) * 0.1F;
    const dice::Problem problem{dice::Input(labels, large_map)};
    const double alone = *dice::try_value({large, large_shape}, problem);
    int calls = 0;
    {
        const auto executor = dice::try_executor(2, [&calls](std::int32_t limit, auto claim) {
            ++calls;
            std::thread other([&] { claim(); });
            if (limit > 1) claim();
            other.join();
        });
        CHECK(executor.has_value());
        CHECK(*dice::try_value({large, large_shape}, problem) == alone);
        CHECK(calls > 0);
    }
    // A newer one takes the place of one that still lives, and is not unset by its end.
    int newer_calls = 0;
    const auto on_this = [](int &count) {
        return [&count](std::int32_t, auto claim) {
            ++count;
            claim();
        };
    };
    {
        auto executor = dice::try_executor(2, on_this(calls));
        auto newer = dice::try_executor(3, on_this(newer_calls));
        executor = dice::Failure();
        CHECK(*dice::try_value({large, large_shape}, problem) == alone);
        CHECK(newer_calls > 0);
    }
    const int before = calls + newer_calls;
    CHECK(*dice::try_value({large, large_shape}, problem) == alone);
    CHECK(calls + newer_calls == before);
    const auto none = dice::try_executor(0, [](std::int32_t, auto) {});
    CHECK(!none && none.failure().status == dice::Status::invalid_argument);
    CHECK(dice::try_set_num_threads(0) && !dice::try_set_num_threads(-1));
    CHECK(dice::try_set_max_isa(dice::effective_isa()).has_value());
}

// What is wrong is said, by its name, and nothing is written.
void errors() {
    Data data;
    const std::vector<float> before = data.gradient;
    const dice::Output gradient(data.gradient, shape);
    const auto refused = [&](const dice::Input &logits, const dice::Problem &problem, const dice::Output &to, dice::Status status,
                             const char *words) {
        const dice::Result<double> result = dice::try_value_and_grad(logits, problem, dice::Loss(), to);
        const bool right = !result && result.failure().status == status && result.failure().message.find(words) != std::string::npos;
        if (!CHECK(right)) std::fprintf(stderr, "    %s, where: %s\n", result.failure().message.c_str(), words);
        CHECK(data.gradient == before);
    };
    const dice::Input logits(data.logits, shape);
    refused({data.logits, {2, 3, 4, 6}}, data.problem(), gradient, dice::Status::length, "logits has 120 elements where its shape needs 144");
    refused(logits, data.problem(), {data.gradient, {2, 3, 4, 5, 2}}, dice::Status::length, "gradient has 120 elements");
    refused({data.logits, {1, 1, 1, 1, 1, 1, 1, 1, 1}}, data.problem(), gradient, dice::Status::shape, "logits has 9 axes");
    refused({data.logits.data(), shape, {1, 2}}, data.problem(), gradient, dice::Status::shape, "logits has 2 strides where its shape has 4 axes");
    refused(logits, dice::Problem(dice::Input(data.labels, {2, 4, 6})), gradient, dice::Status::length, "problem.target has 40 elements");
    refused({data.logits, {2, 3, 5, 4}}, data.problem(), {data.gradient, {2, 3, 5, 4}}, dice::Status::shape, "shape");
    refused(logits, data.problem(), gradient.sliced(1, 0, 4), dice::Status::layout, "gradient is a slice beyond");
    dice::Problem wrong = data.problem();
    wrong.mask = dice::Input(data.labels, {1, 4, 50});
    refused(logits, wrong, gradient, dice::Status::length, "problem.mask has 40 elements");
    data.labels[17] = 3;
    const dice::Result<double> label = dice::try_value(logits, data.problem());
    CHECK(!label && label.failure().status == dice::Status::label && label.failure().index == 17 && label.failure().found == 3);
#if defined(__cpp_exceptions)
    try {
        (void)dice::value(logits, data.problem());
        CHECK(false);
    } catch (const dice::Error &error) {
        CHECK(error.status() == dice::Status::label && error.failure().index == 17);
        CHECK(std::string(error.what()) == label.failure().message);
    }
    data.labels[17] = 2;
    CHECK(dice::value(logits, data.problem(), dice::preset("nnunet_dc_ce")) == dice::values(logits, data.problem(), dice::preset("nnunet_dc_ce"))[0]);
    const dice::Loss loss;
    dice::Statistics statistics = dice::statistics(logits, data.problem(), loss);
    const dice::Evaluation made = dice::evaluate(statistics, loss);
    dice::pullback(logits, data.problem(), loss, made.cotangent, {}, gradient);
    const std::vector<float> first = data.gradient;
    CHECK(dice::value_and_grad(logits, data.problem(), loss, gradient) == made.values[0] && data.gradient == first);
    CHECK(dice::values_and_grad(logits, data.problem(), loss, gradient) == made.values && data.gradient == first);
    dice::merge(statistics, statistics);
    std::vector<double> volumes(3);
    dice::add_volumes(data.problem(), volumes);
    CHECK(dice::class_weights(volumes).size() == 3);
    CHECK(dice::confusion({data.labels, map}, data.problem(), 3).size() == 18);
    dice::set_num_threads(0);
    dice::set_max_isa(dice::effective_isa());
    CHECK(dice::executor(1, [](std::int32_t, auto claim) { claim(); }) != nullptr);
#endif
}

} // namespace

int main() {
    losses();
    fields();
    calls();
    executors();
    errors();
    return report("product");
}
