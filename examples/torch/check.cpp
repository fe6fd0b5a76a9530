// Tests of dice_torch.hpp: value and gradient against LibTorch's own operations and central differences, in every type, layout and
// kind of view, and what is refused.
#include <dice_torch.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

namespace {

namespace ops = dice::torch_ops;

int checks = 0, failures = 0;

void check(bool holds, const std::string &what) {
    ++checks;
    if (holds) return;
    ++failures;
    std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

constexpr std::int64_t N = 2, C = 3, D = 4, H = 5, W = 6;

at::Tensor some_logits(at::ScalarType type = at::kDouble) { return torch::randn({N, C, D, H, W}, at::kDouble).to(type); }
at::Tensor some_labels() { return torch::randint(C, {N, D, H, W}, at::kLong); }

// Soft Dice + cross-entropy by LibTorch's own operations. All classes are in each sample.
at::Tensor textbook(const at::Tensor &logits, const at::Tensor &labels) {
    const at::Tensor p = logits.softmax(1), g = torch::one_hot(labels, C).movedim(-1, 1).to(logits.scalar_type());
    const at::Tensor i = (p * g).sum({2, 3, 4}), s = p.sum({2, 3, 4}), t = g.sum({2, 3, 4});
    return (1 - 2 * i / (s + t)).mean() + torch::nn::functional::cross_entropy(logits, labels);
}

at::Tensor gradient_of(const at::Tensor &value, const at::Tensor &by) { return torch::autograd::grad({value}, {by})[0]; }

bool close(const at::Tensor &a, const at::Tensor &b, double bound) {
    return a.sizes() == b.sizes() && (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>() <= bound;
}

void against_torch() {
    const at::Tensor logits = some_logits().requires_grad_(), labels = some_labels();
    const at::Tensor ours = ops::loss(logits, ops::Target(labels)), theirs = textbook(logits, labels);
    check(ours.dim() == 0 && ours.scalar_type() == at::kDouble, "one value is a tensor of no axes");
    check(close(ours, theirs, 1e-13), "value of soft Dice + cross-entropy");
    // With an upstream gradient, as a part of a larger loss.
    check(close(gradient_of(3.0 * ours * ours, logits), gradient_of(3.0 * theirs * theirs, logits), 1e-14), "its gradient");

    // Of f32, with every type of labels and a channel axis.
    const at::Tensor single = logits.detach().to(at::kFloat).requires_grad_();
    for (const at::ScalarType type : {at::kByte, at::kChar, at::kShort, at::kInt, at::kLong}) {
        const at::Tensor value = ops::loss(single, ops::Target(labels.to(type).unsqueeze(1)));
        check(value.scalar_type() == at::kFloat && close(value, theirs, 1e-6), std::string("labels of ") + at::toString(type));
        check(close(gradient_of(value, single), gradient_of(textbook(logits, labels), logits), 1e-8), "gradient in f32");
    }
    // Half precision: the numbers that they are, and a gradient in their type.
    for (const at::ScalarType type : {at::kHalf, at::kBFloat16}) {
        const at::Tensor half = logits.detach().to(type).requires_grad_(), exact = half.detach().to(at::kDouble).requires_grad_();
        const at::Tensor value = ops::loss(half, ops::Target(labels)), gradient = gradient_of(value, half);
        check(value.scalar_type() == at::kFloat && close(value, textbook(exact, labels), 1e-6), std::string(at::toString(type)) + ", value");
        check(gradient.scalar_type() == type, "gradient of the logits' type");
        check(close(gradient, gradient_of(textbook(exact, labels), exact), type == at::kHalf ? 1e-5 : 1e-4), "gradient in half precision");
    }
}

// Central differences of the sum of the values, weighed by upstream.
void gradcheck(const std::string &name, const dice::Loss &loss, const ops::Target &target) {
    const at::Tensor logits = some_logits().requires_grad_();
    const at::Tensor values = ops::loss(logits, target, loss), upstream = torch::rand_like(values) + 0.5;
    const at::Tensor gradient = gradient_of((values * upstream).sum(), logits);
    const double step = 1e-6;
    double worst = 0.0;
    torch::NoGradGuard no_grad;
    at::Tensor moved = logits.detach().clone();
    double *z = moved.mutable_data_ptr<double>();
    for (std::int64_t at = 0; at < moved.numel(); at += 7) {
        const double before = z[at];
        const auto value = [&](double to) {
            z[at] = to;
            return (ops::loss(moved, target, loss) * upstream).sum().item<double>();
        };
        const double difference = (value(before + step) - value(before - step)) / (2.0 * step);
        z[at] = before;
        worst = std::max(worst, std::fabs(difference - gradient.flatten()[at].item<double>()));
    }
    check(worst < 1e-8, "gradcheck of " + name + ": " + std::to_string(worst));
}

void gradchecks() {
    const ops::Target labels(some_labels());
    dice::Wasserstein wasserstein;
    wasserstein.costs = {0, 1, 2, 1, 0, 1, 2, 1, 0};
    dice::SoftDice apart;
    apart.reduction = dice::Reduction::none;
    dice::CrossEntropy weighed;
    weighed.class_weights = {1.0, 2.0, 0.5};
    dice::Tversky sigmoid;
    sigmoid.activation = dice::Activation::sigmoid;
    sigmoid.false_negatives = 0.7;
    gradcheck("generalised Dice", dice::GeneralizedDice(), labels);
    gradcheck("soft Dice", dice::SoftDice(), labels);
    gradcheck("a value per class and sample", apart, labels);
    gradcheck("Jaccard", dice::Jaccard(), labels);
    gradcheck("Tversky of sigmoids", sigmoid, labels);
    gradcheck("focal Tversky", dice::FocalTversky(), labels);
    gradcheck("Wasserstein", wasserstein, labels);
    gradcheck("MCC", dice::Mcc(), labels);
    gradcheck("cross-entropy", weighed, labels);
    gradcheck("focal", dice::Focal(), labels);
    gradcheck("a sum", dice::Jaccard() + 0.5 * dice::Focal(), labels);
    ops::Target some = labels;
    some.ignore_index = 2;
    some.mask = torch::rand({N, D, H, W}) < 0.7;
    some.voxel_weights = torch::rand({N, D, H, W});
    some.sample_weights = {1.0F, 0.5F};
    gradcheck("what does not count", dice::Loss(), some);
    gradcheck("a dense target", dice::Loss(), ops::Target::dense(torch::rand({N, C, D, H, W}, at::kDouble).softmax(1)));
}

void views() {
    const at::Tensor labels = some_labels();
    const auto same = [&](const std::string &name, const at::Tensor &view, const at::Tensor &of_view) {
        const at::Tensor a = view.detach().requires_grad_(), b = view.detach().contiguous().requires_grad_();
        const at::Tensor x = ops::loss(a, ops::Target(of_view)), y = ops::loss(b, ops::Target(of_view.contiguous()));
        check(x.equal(y), name + ": value");
        const at::Tensor gradient = gradient_of(x, a);
        check(gradient.equal(gradient_of(y, b)), name + ": gradient");
        return gradient;
    };
    const at::Tensor last = some_logits(at::kFloat).contiguous(torch::MemoryFormat::ChannelsLast3d);
    check(same("channels last", last, labels).is_contiguous(torch::MemoryFormat::ChannelsLast3d), "gradient in the logits' strides");
    const at::Tensor large = torch::randn({N, C, D + 3, H + 2, W});
    same("sliced", large.slice(2, 1, 1 + D).slice(3, 2), labels);
    same("every second", torch::randn({N, C, D, 2 * H, W}).slice(3, 0, torch::nullopt, 2), labels);
    same("expanded samples", torch::randn({1, C, D, H, W}).expand({N, C, D, H, W}), labels);
    same("expanded voxels", torch::randn({N, C, 1, 1, 1}).expand({N, C, D, H, W}), labels);
    same("transposed", torch::randn({N, C, W, H, D}).transpose(2, 4), labels);
    same("labels transposed", some_logits(at::kFloat), torch::randint(C, {N, W, H, D}, at::kByte).transpose(1, 3));
    same("labels of a channel", some_logits(at::kFloat), torch::randint(C, {N, 4, D, H, W}, at::kByte).select(1, 2));

    // A leaf behind a view has the gradient of the expanded elements, added.
    const at::Tensor leaf = torch::randn({1, C, D, H, W}).requires_grad_();
    ops::loss(leaf.expand({N, C, D, H, W}), ops::Target(labels)).backward();
    check(leaf.grad().sizes() == leaf.sizes(), "gradient of an expanded leaf");
    // Gradients add up in a leaf.
    const at::Tensor first = leaf.grad().clone();
    ops::loss(leaf.expand({N, C, D, H, W}), ops::Target(labels)).backward();
    check(close(leaf.grad(), 2 * first, 1e-7), "gradients add up");
}

void modules() {
    const at::Tensor logits = some_logits(at::kFloat), labels = some_labels();
    ops::Tversky tversky;
    tversky->options.false_negatives = 0.9;
    dice::Tversky options;
    options.false_negatives = 0.9;
    check(tversky(logits, labels).equal(ops::loss(logits, ops::Target(labels), options)), "options of a module");
    ops::AnyLoss preset(dice::preset("monai_dice_ce"));
    check(std::isfinite(preset(logits, ops::Target(labels)).item<double>()), "a preset as a module");
    ops::AnyLoss standard;
    check(standard(logits, labels).equal(ops::loss(logits, ops::Target(labels))), "the default as a module");
    torch::nn::Sequential network(torch::nn::Conv3d(torch::nn::Conv3dOptions(1, C, 1)));
    const auto copy = std::dynamic_pointer_cast<ops::LossImpl<dice::Tversky>>(tversky->clone());
    check(copy != nullptr && copy->options.false_negatives == 0.9, "a module can be cloned");
    dice::SoftDice apart;
    apart.reduction = dice::Reduction::none;
    apart.pooling = dice::Pooling::all_classes;
    check(ops::loss(logits.slice(0, 0, 1), ops::Target(labels.slice(0, 0, 1)), apart).sizes() == at::IntArrayRef({1}), "a batch of one sample");
    check(standard->parameters().empty() && network->parameters().size() == 2, "a loss has no parameters");
}

void threads() {
    const at::Tensor logits = torch::randn({2, 4, 64, 64, 64}), labels = torch::randint(4, {2, 64, 64, 64}, at::kByte);
    const at::Tensor alone = ops::loss(logits, ops::Target(labels));
    const auto threads = ops::on_torch_threads();
    check(ops::loss(logits, ops::Target(labels)).equal(alone), "the same bits on LibTorch's threads");
}

void refused(const std::string &words, const std::function<void()> &call) {
    try {
        call();
        check(false, "no error: " + words);
    } catch (const c10::Error &error) {
        check(std::string(error.what()).find(words) != std::string::npos, words + ", not " + error.what_without_backtrace());
    }
}

void errors() {
    const at::Tensor logits = some_logits(at::kFloat), labels = some_labels();
    refused("dice: logits is undefined", [] { ops::loss(at::Tensor(), ops::Target(some_labels())); });
    refused("dice: labels is undefined", [&] { ops::loss(logits, ops::Target(at::Tensor())); });
    refused("ComplexFloat", [&] { ops::loss(torch::randn({1, 2, 3}, at::kComplexFloat), ops::Target(labels)); });
    refused("dice: logits is on meta", [&] { ops::loss(torch::empty({1, 2, 3}, torch::device(at::kMeta)), ops::Target(labels)); });
    refused("dice: labels is Sparse", [&] { ops::loss(logits, ops::Target(labels.to_sparse())); });
    refused("shape", [&] { ops::loss(logits, ops::Target(labels.slice(2, 1))); });
    refused("label", [&] { ops::loss(logits, ops::Target(labels + 7)); });
    refused("9 axes", [&] { ops::loss(torch::randn({1, 2, 1, 1, 1, 1, 1, 1, 1}), ops::Target(labels)); });
    // What was changed before the backward pass.
    const at::Tensor leaf = some_logits(at::kFloat).requires_grad_();
    const at::Tensor moved = leaf * 1.0;
    const at::Tensor changing = labels.clone();
    const at::Tensor value = ops::loss(moved, ops::Target(changing));
    changing.fill_(1);
    refused("modified by an inplace operation", [&] { value.backward(); });
    // A penalty on the gradient would have none itself.
    const at::Tensor once = some_logits().requires_grad_();
    const at::Tensor gradient = torch::autograd::grad({ops::loss(once, ops::Target(labels))}, {once}, {}, true, true)[0];
    refused("cannot be differentiated again", [&] { gradient.square().sum().backward(); });
}

} // namespace

int main() {
    torch::manual_seed(3);
    against_torch();
    gradchecks();
    views();
    modules();
    threads();
    errors();
    std::printf("check: %d checks, %d failed\n", checks, failures);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
