/*
 * dice_torch.hpp - the losses of libdice on LibTorch's tensors, in its automatic differentiation.
 *
 *   #include <dice_torch.hpp>
 *
 *   const at::Tensor loss = dice::torch_ops::loss(logits, labels);    // soft Dice + cross-entropy of [N, C, D, H, W] and [N, D, H, W]
 *   loss.backward();
 *
 *   dice::torch_ops::Tversky tversky;                                 // a module per loss
 *   tversky->options.false_negatives = 0.7;
 *   dice::torch_ops::Target target(labels);                           // and which voxels of them count
 *   target.ignore_index = 255;
 *   tversky(logits, target).backward();
 *
 * Tensors on the CPU are read where they lie, of every type and strides that libdice takes: channels_last_3d, slices, expanded inputs,
 * f16 and bf16. The forward pass takes the statistics, one pass over the logits; the backward pass is the other one, and keeps the
 * logits alive until then, as any function of theirs does. What is wrong is an exception of LibTorch's (c10::Error) with the sentence
 * of libdice. The gradient is that of the loss by the logits; to differentiate it again is an error.
 *
 * It is compiled where LibTorch is: examples/torch has a CMake project.
 */
#ifndef DICE_TORCH_HPP
#define DICE_TORCH_HPP

#include <dice.hpp>

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <optional>
#include <utility>
#include <vector>

namespace dice {
namespace torch_ops {

/* ---------------------------------------------------------------- tensors */

/* The type of libdice for LibTorch's; what libdice does not take is an error that names it. */
inline Type type_of(at::ScalarType type) {
    switch (type) {
    case at::kDouble: return Type::f64;
    case at::kFloat: return Type::f32;
    case at::kHalf: return Type::f16;
    case at::kBFloat16: return Type::bf16;
    case at::kByte: return Type::u8;
    case at::kChar: return Type::i8;
    case at::kShort: return Type::i16;
    case at::kInt: return Type::i32;
    case at::kLong: return Type::i64;
    case at::kBool: return Type::boolean;
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 3)
    case at::kUInt16: return Type::u16;
    case at::kUInt32: return Type::u32;
    case at::kUInt64: return Type::u64;
#endif
    default: TORCH_CHECK_TYPE(false, "dice: tensors of ", type, " are not supported");
    }
}

namespace detail {

/* Refuses what has no elements in the memory of the CPU. */
inline void check(const at::Tensor &tensor, const char *name) {
    TORCH_CHECK(tensor.defined(), "dice: ", name, " is undefined");
    TORCH_CHECK(tensor.layout() == at::kStrided, "dice: ", name, " is ", tensor.layout(), " where strides are needed");
    TORCH_CHECK(tensor.device().is_cpu(), "dice: ", name, " is on ", tensor.device(), " where the CPU is needed");
    TORCH_CHECK(!tensor.is_neg(), "dice: ", name, " is a negated view: call resolve_neg()");
}

/* The value, or LibTorch's error. */
template <class T> T value_of(Result<T> result) {
    TORCH_CHECK_VALUE(result.has_value(), "dice: ", result.failure().message);
    return *std::move(result);
}

} // namespace detail

/* Views of a tensor's elements, which must outlive them. */
inline Input input(const at::Tensor &tensor, const char *name = "input") {
    detail::check(tensor, name);
    return Input(tensor.const_data_ptr(), type_of(tensor.scalar_type()), tensor.sizes(), tensor.strides());
}
inline Output output(const at::Tensor &tensor, const char *name = "output") {
    detail::check(tensor, name);
    return Output(tensor.mutable_data_ptr(), type_of(tensor.scalar_type()), tensor.sizes(), tensor.strides());
}

/* What logits are compared with, and which voxels of it count: dice::Problem, of tensors. */
struct Target {
    /* Labels [N, spatial...] or [N, 1, spatial...] of any integer type. */
    Target(at::Tensor labels) : target(std::move(labels)) {}
    /* How much of each voxel belongs to each class, in the logits' shape. */
    static Target dense(at::Tensor target) {
        Target made(std::move(target));
        made.is_dense = true;
        return made;
    }

    at::Tensor target;
    bool is_dense = false;
    std::optional<std::int64_t> ignore_index;
    at::Tensor mask;                   /* u8 or bool; undefined for none */
    at::Tensor voxel_weights;          /* f32; undefined for none */
    std::vector<float> sample_weights; /* none for 1 each */

    /* It points into the tensors. */
    Problem problem() const {
        Problem problem = is_dense ? Problem::dense(input(target, "target")) : Problem(input(target, "labels"));
        problem.ignore_index = ignore_index;
        if (mask.defined()) problem.mask = input(mask, "mask");
        if (voxel_weights.defined()) problem.voxel_weights = input(voxel_weights, "voxel_weights");
        problem.sample_weights = sample_weights;
        return problem;
    }
};

/* ---------------------------------------------------------------- automatic differentiation */

namespace detail {

/* What the backward pass needs beside the tensors. */
struct Kept : torch::CustomClassHolder {
    Kept(Target target, Loss loss, std::vector<double> cotangent)
        : target(std::move(target)), loss(std::move(loss)), cotangent(std::move(cotangent)) {}
    Target target;
    Loss loss;
    std::vector<double> cotangent;
};

/* A gradient by the logits, under create_graph: what would differentiate it again is told that it cannot. */
class Once : public torch::autograd::Function<Once> {
public:
    static at::Tensor forward(torch::autograd::AutogradContext *, const at::Tensor &, const at::Tensor &, const at::Tensor &gradient) {
        return gradient.clone();
    }
    static torch::autograd::variable_list backward(torch::autograd::AutogradContext *, torch::autograd::variable_list) {
        TORCH_CHECK_NOT_IMPLEMENTED(false, "dice: the gradient of a loss cannot be differentiated again");
    }
};

class Function : public torch::autograd::Function<Function> {
public:
    static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &logits, const Target &target,
                              const Loss &loss) {
        const Input view = input(logits, "logits");
        const Problem problem = target.problem();
        Evaluation made = value_of(try_evaluate(value_of(try_statistics(view, problem, loss)), loss));
        at::Tensor values = torch::tensor(made.values, torch::dtype(at::kDouble));
        // As variables, for LibTorch to say if they were changed before the backward pass.
        context->save_for_backward({logits, target.target, target.mask, target.voxel_weights});
        Target rest = target;
        rest.target = rest.mask = rest.voxel_weights = at::Tensor();
        context->saved_data["kept"] =
            c10::IValue::make_capsule(c10::make_intrusive<Kept>(std::move(rest), loss, std::move(made.cotangent)));
        values = values.to(logits.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
        return is_one(loss) ? values.squeeze(0) : values;
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context,
                                                   torch::autograd::variable_list gradients) {
        const auto kept = c10::static_intrusive_pointer_cast<Kept>(context->saved_data["kept"].toCapsule());
        const torch::autograd::variable_list saved = context->get_saved_variables();
        Target target = kept->target;
        target.target = saved[1];
        target.mask = saved[2];
        target.voxel_weights = saved[3];
        Problem problem = target.problem();
        problem.labels_checked = true; // by the forward pass
        const at::Tensor upstream = gradients[0].to(at::kDouble).contiguous().reshape({-1});
        const double *first = upstream.const_data_ptr<double>();
        // In the strides of the logits, unless elements of these share a place.
        const at::Tensor gradient = at::empty_like(saved[0]);
        value_of(try_pullback(input(saved[0], "logits"), problem, kept->loss, kept->cotangent,
                              std::vector<double>(first, first + upstream.numel()), output(gradient, "gradient")));
        const bool again = at::GradMode::is_enabled();
        return {again ? Once::apply(saved[0], gradients[0], gradient) : gradient, at::Tensor(), at::Tensor()};
    }

private:
    /* Whether the loss reduces to one value, however many there may be otherwise. */
    static bool is_one(const Loss &loss) {
        const std::vector<dice_term> terms = loss.terms();
        return terms.empty() || terms[0].reduction != DICE_NONE;
    }
};

} // namespace detail

/* The value of a loss of the logits, a tensor of no axes; of one of several values (Reduction::none) a tensor [values]. It is f64 for
 * logits of f64, else f32. Logits: f16, bf16, f32 or f64. */
inline at::Tensor loss(const at::Tensor &logits, const Target &target, const Loss &loss = Loss()) {
    detail::check(logits, "logits");
    return detail::Function::apply(logits, target, loss);
}

/* ---------------------------------------------------------------- modules */

/* A loss as a module: options are its fields, which may be changed at any time. */
template <class L> class LossImpl : public torch::nn::Cloneable<LossImpl<L>> {
public:
    explicit LossImpl(L options = L()) : options(std::move(options)) {}
    void reset() override {}
    at::Tensor forward(const at::Tensor &logits, const Target &target) { return loss(logits, target, options); }

    L options;
};

template <class L> struct LossModule : torch::nn::ModuleHolder<LossImpl<L>> {
    using torch::nn::ModuleHolder<LossImpl<L>>::ModuleHolder;
};

/* Any sum of losses, a preset, or the default. */
using AnyLoss = LossModule<Loss>;
using GeneralizedDice = LossModule<dice::GeneralizedDice>;
using SoftDice = LossModule<dice::SoftDice>;
using Jaccard = LossModule<dice::Jaccard>;
using Tversky = LossModule<dice::Tversky>;
using FocalTversky = LossModule<dice::FocalTversky>;
using Wasserstein = LossModule<dice::Wasserstein>;
using Mcc = LossModule<dice::Mcc>;
using CrossEntropy = LossModule<dice::CrossEntropy>;
using Focal = LossModule<dice::Focal>;

/* ---------------------------------------------------------------- threads */

namespace detail {
struct OnTorchThreads {
    template <class Claim> void operator()(std::int32_t limit, Claim claim) const {
        at::parallel_for(0, limit, 1, [&](std::int64_t first, std::int64_t end) {
            for (; first < end; ++first) claim();
        });
    }
};
} // namespace detail

/* Runs the passes on LibTorch's threads (at::parallel_for), as long as what it returns lives. */
[[nodiscard]] inline std::unique_ptr<Executor<detail::OnTorchThreads>> on_torch_threads() {
    return detail::value_of(try_executor(at::get_num_threads(), detail::OnTorchThreads()));
}

} // namespace torch_ops
} // namespace dice
#endif /* DICE_TORCH_HPP */
