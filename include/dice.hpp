/*
 * dice.hpp - the Dice loss family for C++17: dice.h with views, losses as values, and errors that cannot be overlooked.
 *
 *   #include <dice.hpp>          c++ -std=c++17 program.cpp -ldice
 *
 *   std::vector<float> logits, gradient;  std::vector<std::uint8_t> labels;              // [N, C, D, H, W] and [N, D, H, W]
 *   const dice::Extents shape{N, C, D, H, W}, map{N, D, H, W};
 *   const dice::Problem problem{dice::Input(labels, map)};
 *   double loss = dice::value_and_grad({logits, shape}, problem, dice::Loss(), {gradient, shape});   // soft Dice + cross-entropy
 *
 *   dice::Tversky tversky;
 *   tversky.false_negatives = 0.7;
 *   loss = dice::value({logits, shape}, problem, tversky + 0.5 * dice::CrossEntropy());
 *
 * Everything that dice.h says of numbers, threads and memory holds: this header adds no arithmetic and no copy of a volume, it is all
 * inline, and a program that uses it needs libdice alone.
 *
 * ERRORS. A function f throws dice::Error. try_f does the same without exceptions: it returns a dice::Result, which has a value or an
 * error; with -fno-exceptions there is nothing else. Views never fail: what is wrong with one is the error of the call that gets it.
 *
 * VIEWS. dice::Input is of elements that are read, dice::Output of those that are written, which takes no const ones. They own their
 * shape and strides, not the elements; they are made of a pointer or a container (not a temporary one) with a shape, of anything like
 * std::mdspan, and of a DLTensor or DLManagedTensor (versioned or not).
 */
#ifndef DICE_HPP
#define DICE_HPP

#include <dice.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__cpp_exceptions)
#include <stdexcept>
#endif

namespace dice {

/* ---------------------------------------------------------------- errors */

/* dice_status. */
enum class Status : std::int32_t {
    ok = DICE_OK,
    null_pointer = DICE_NULL_POINTER,
    struct_size = DICE_STRUCT_SIZE,
    invalid_argument = DICE_INVALID_ARGUMENT,
    shape = DICE_SHAPE,
    layout = DICE_LAYOUT,
    unsupported = DICE_UNSUPPORTED,
    length = DICE_LENGTH,
    label = DICE_LABEL,
    non_finite = DICE_NON_FINITE,
    overflow = DICE_OVERFLOW,
    unavailable = DICE_UNAVAILABLE,
    panic = DICE_PANIC,
    weight = DICE_WEIGHT
};

/* What went wrong: a sentence, and the numbers in it (-1 for none; see dice_error). */
struct Failure {
    Status status = Status::ok;
    std::string message;
    std::int64_t index = -1;
    std::int64_t found = -1;
    std::int64_t expected = -1;
};

#if defined(__cpp_exceptions)
/* What all functions but those named try_... throw. */
class Error : public std::runtime_error {
public:
    explicit Error(Failure failure)
        : std::runtime_error(failure.message), failure_(std::make_shared<const Failure>(std::move(failure))) {}
    Status status() const noexcept { return failure_->status; }
    const Failure &failure() const noexcept { return *failure_; }

private:
    std::shared_ptr<const Failure> failure_; // so that a copy cannot fail
};
#endif

/* A value, or why there is none. */
template <class T> class [[nodiscard]] Result {
public:
    Result(T value) : value_(std::move(value)) {}
    Result(Failure failure) : failure_(std::move(failure)) {}

    bool has_value() const noexcept { return value_.has_value(); }
    explicit operator bool() const noexcept { return has_value(); }
    /* Of one that has a value. */
    T &operator*() & noexcept { return *value_; }
    const T &operator*() const & noexcept { return *value_; }
    T &&operator*() && noexcept { return *std::move(value_); }
    T *operator->() noexcept { return &*value_; }
    const T *operator->() const noexcept { return &*value_; }
    /* Status::ok and no message, if there is a value. */
    const Failure &failure() const noexcept { return failure_; }

#if defined(__cpp_exceptions)
    /* The value; throws Error if there is none. */
    const T &value() const & {
        check();
        return *value_;
    }
    T value() && {
        check();
        return *std::move(value_);
    }
#endif

private:
#if defined(__cpp_exceptions)
    void check() const {
        if (!value_) throw Error(failure_);
    }
#endif
    std::optional<T> value_;
    Failure failure_;
};

/* What a function returns that has nothing to say but that it succeeded. */
struct Done {};

namespace detail {

/* The failure of the call that returned this status. */
inline Failure failure_of(dice_status status) {
    dice_error error = DICE_ERROR_INIT;
    Failure failure{static_cast<Status>(status), dice_last_error(), -1, -1, -1};
    if (dice_error_info(&error) == DICE_OK) {
        failure.index = error.index;
        failure.found = error.found;
        failure.expected = error.expected;
    }
    return failure;
}

/* Whether num elements are to be had: asked for in a way that can fail, for a vector cannot. */
template <class T> std::optional<Failure> no_room(std::size_t num) {
    void *room = num <= std::numeric_limits<std::size_t>::max() / sizeof(T) / 2 ? ::operator new(num * sizeof(T), std::nothrow) : nullptr;
    if (room == nullptr) {
        return Failure{Status::unavailable, "there is no memory for " + std::to_string(num) + " numbers", -1, -1, -1};
    }
    ::operator delete(room);
    return std::nullopt;
}

/* The value, if the status is that of success. */
template <class T> Result<T> if_ok(dice_status status, T value) {
    if (status != DICE_OK) return failure_of(status);
    return Result<T>(std::move(value));
}

} // namespace detail

/* ---------------------------------------------------------------- tensors */

/* Of f16, bf16 and bool there are bits alone: element types that C++17 has no name for. */
enum class Type : std::uint16_t {
    f64 = DICE_FLOAT << 8 | 64,
    f32 = DICE_FLOAT << 8 | 32,
    f16 = DICE_FLOAT << 8 | 16,
    bf16 = DICE_BFLOAT << 8 | 16,
    u8 = DICE_UINT << 8 | 8,
    u16 = DICE_UINT << 8 | 16,
    u32 = DICE_UINT << 8 | 32,
    u64 = DICE_UINT << 8 | 64,
    i8 = DICE_INT << 8 | 8,
    i16 = DICE_INT << 8 | 16,
    i32 = DICE_INT << 8 | 32,
    i64 = DICE_INT << 8 | 64,
    boolean = DICE_BOOL << 8 | 8
};

/* The type of an element. Specialise it for a half type of your own:
 *   template <> struct dice::TypeOf<my::half> { static constexpr dice::Type value = dice::Type::f16; }; */
template <class T, class = void> struct TypeOf;
template <> struct TypeOf<double> { static constexpr Type value = Type::f64; };
template <> struct TypeOf<float> { static constexpr Type value = Type::f32; };
template <> struct TypeOf<bool> { static constexpr Type value = Type::boolean; };
template <class T> struct TypeOf<T, std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>>> {
    static constexpr Type value =
        static_cast<Type>((std::is_signed_v<T> ? DICE_INT : DICE_UINT) << 8 | std::numeric_limits<unsigned char>::digits * sizeof(T));
};

namespace detail {
/* A number that an extent or a stride may be. */
template <class I> constexpr bool is_extent = std::is_integral_v<I> && !std::is_same_v<I, bool> && !std::is_same_v<I, char>;
} // namespace detail

/* Numbers of axes: a shape, or strides in elements. */
class Extents {
public:
    static constexpr std::size_t max_rank = 8;

    Extents() = default;
    /* Extents{N, C, D, H, W}, of whole numbers of any type. */
    template <class... I, class = std::enable_if_t<(sizeof...(I) > 0) && (detail::is_extent<I> && ...)>> Extents(I... extents) {
        (put(extents), ...);
    }
    /* Of a container of whole numbers, such as std::vector<int> or c10::IntArrayRef. */
    template <class C, class I = std::decay_t<decltype(*std::begin(std::declval<const C &>()))>,
              class = std::enable_if_t<detail::is_extent<I>>>
    Extents(const C &extents) : Extents(std::begin(extents), std::end(extents)) {}
    template <class I, class = typename std::iterator_traits<I>::iterator_category> Extents(I first, I last) {
        for (; first != last; ++first) put(*first);
    }

    /* May be greater than max_rank: then only those are kept, and no tensor has such a shape. */
    std::size_t rank() const noexcept { return rank_; }
    const std::int64_t *data() const noexcept { return extents_.data(); }
    const std::int64_t *begin() const noexcept { return data(); }
    const std::int64_t *end() const noexcept { return data() + (rank_ < max_rank ? rank_ : max_rank); }
    std::int64_t operator[](std::size_t axis) const noexcept { return extents_[axis]; }
    std::int64_t &operator[](std::size_t axis) noexcept { return extents_[axis]; }
    friend bool operator==(const Extents &a, const Extents &b) noexcept { return a.rank_ == b.rank_ && a.extents_ == b.extents_; }
    friend bool operator!=(const Extents &a, const Extents &b) noexcept { return !(a == b); }

private:
    template <class I> void put(I extent) {
        if (rank_ < max_rank) extents_[rank_] = static_cast<std::int64_t>(extent);
        ++rank_;
    }

    std::array<std::int64_t, max_rank> extents_{};
    std::size_t rank_ = 0;
};

/* Strides of a compact row-major tensor. */
[[nodiscard]] inline Extents compact_strides(const Extents &shape) {
    Extents strides = shape;
    if (shape.rank() <= Extents::max_rank) {
        dice_compact_strides(static_cast<std::int32_t>(shape.rank()), shape.data(), &strides[0]);
    }
    return strides;
}

/* Strides of a tensor [N, C, spatial...] that lies in memory as [N, spatial..., C]. */
[[nodiscard]] inline Extents channels_last_strides(const Extents &shape) {
    Extents strides = shape;
    if (shape.rank() <= Extents::max_rank) {
        dice_channels_last_strides(static_cast<std::int32_t>(shape.rank()), shape.data(), &strides[0]);
    }
    return strides;
}

namespace detail {

/* What a pointer points to; an array is a container, not a pointer. */
template <class P> using Pointed = std::enable_if_t<std::is_pointer_v<P> && !std::is_void_v<std::remove_pointer_t<P>>, std::remove_pointer_t<P>>;

template <class T> using DataOf = std::remove_pointer_t<decltype(std::data(std::declval<T &>()))>;

/* Of what is trivially copied, what has its elements in itself, or behind it for no longer than an expression. */
template <class C> struct IsTemporary : std::false_type {};
template <class T, std::size_t K> struct IsTemporary<std::array<T, K>> : std::true_type {};
template <class T> struct IsTemporary<std::initializer_list<T>> : std::true_type {};

/* Containers by reference, and what only points to elements, as std::span does. */
template <class C>
constexpr bool stays = std::is_lvalue_reference_v<C> ||
                       (std::is_trivially_copyable_v<std::decay_t<C>> && !IsTemporary<std::decay_t<C>>::value);

template <class T, class = void> struct IsDlpack : std::false_type {};
template <class T>
struct IsDlpack<T, std::void_t<decltype(std::declval<const T &>().dtype.lanes), decltype(std::declval<const T &>().byte_offset),
                               decltype(std::declval<const T &>().device.device_type)>> : std::true_type {};

template <class T, class = void> struct IsManaged : std::false_type {};
template <class T> struct IsManaged<T, std::void_t<decltype(std::declval<const T &>().dl_tensor)>> : std::true_type {};

template <class T, class = void> struct Flags {
    static constexpr bool read_only(const T &) { return false; }
};
template <class T> struct Flags<T, std::void_t<decltype(std::declval<const T &>().flags)>> {
    static constexpr bool read_only(const T &tensor) { return (tensor.flags & 1) != 0; } // DLPACK_FLAG_BITMASK_READ_ONLY
};

template <class T, class = void> struct IsMdspan : std::false_type {};
template <class T>
struct IsMdspan<T, std::void_t<decltype(std::declval<const T &>().data_handle()), decltype(std::declval<const T &>().extent(0)),
                               decltype(std::declval<const T &>().stride(0))>> : std::true_type {};

/* What Input and Output have in common: where the elements lie. */
class View {
public:
    const Extents &shape() const noexcept { return shape_; }
    const Extents &strides() const noexcept { return strides_; }
    Type type() const noexcept { return type_; }

    /* The tensor of dice.h: it points into this view. */
    dice_tensor tensor() const noexcept {
        const auto type = static_cast<unsigned>(type_);
        return {data_,           {device_, 0}, static_cast<std::int32_t>(shape_.rank()), {static_cast<std::uint8_t>(type >> 8),
                static_cast<std::uint8_t>(type & 0xff), lanes_},
                shape_.data(),   strides_.data(),
                byte_offset_};
    }

    /* What is wrong with it, as no call of dice.h could know: name is what the caller calls it. */
    std::optional<Failure> wrong(const char *name) const {
        const auto text = [name](const char *rest) { return std::string(name) + rest; };
        if (flaw_ != nullptr) return Failure{Status::layout, text(flaw_), -1, -1, -1};
        if (shape_.rank() > Extents::max_rank) {
            return Failure{Status::shape, text(" has ") + std::to_string(shape_.rank()) + " axes where at most 8 are possible", -1,
                           static_cast<std::int64_t>(shape_.rank()), 8};
        }
        if (strides_.rank() != shape_.rank()) {
            return Failure{Status::shape, text(" has ") + std::to_string(strides_.rank()) + " strides where its shape has " +
                               std::to_string(shape_.rank()) + " axes", -1, static_cast<std::int64_t>(strides_.rank()),
                           static_cast<std::int64_t>(shape_.rank())};
        }
        if (held_ != unknown && reaches_back()) {
            return Failure{Status::layout, text(" is a container, whose first element is not the first one of negative strides"), -1, -1, -1};
        }
        if (held_ < needed()) {
            return Failure{Status::length, text(" has ") + std::to_string(held_) + " elements where its shape needs " +
                               std::to_string(needed()), -1, held_, needed()};
        }
        return std::nullopt;
    }

protected:
    View(const void *data, Type type, const Extents &shape, const Extents &strides, std::int64_t held)
        : data_(const_cast<void *>(data)), type_(type), shape_(shape), strides_(strides), held_(held) {}

    template <class D> static View of_dlpack(const D &tensor) {
        // What dice.h refuses is not read here either.
        const bool readable = tensor.ndim >= 0 && tensor.ndim <= static_cast<int>(Extents::max_rank) && tensor.shape != nullptr;
        const auto rank = static_cast<std::size_t>(readable ? tensor.ndim : 0);
        const Extents shape(tensor.shape, tensor.shape + rank);
        const Extents strides = tensor.strides != nullptr && readable ? Extents(tensor.strides, tensor.strides + rank) : compact_strides(shape);
        const auto type = static_cast<Type>(static_cast<unsigned>(tensor.dtype.code) << 8 | tensor.dtype.bits);
        View view(tensor.data, type, shape, strides, unknown);
        view.lanes_ = tensor.dtype.lanes;
        view.device_ = static_cast<std::int32_t>(tensor.device.device_type);
        view.byte_offset_ = tensor.byte_offset;
        if (!readable) view.flaw_ = " is a DLTensor of an impossible ndim, or without a shape";
        return view;
    }

    template <class M> static View of_managed(const M &managed, bool written) {
        View view = of_dlpack(managed.dl_tensor);
        if (written && Flags<M>::read_only(managed)) view.flaw_ = " is read-only, as its DLPack flags say";
        return view;
    }

    template <class M> static View of_mdspan(const M &span) {
        Extents shape, strides;
        std::array<std::int64_t, M::rank()> numbers{};
        for (std::size_t axis = 0; axis < M::rank(); ++axis) numbers[axis] = static_cast<std::int64_t>(span.extent(axis));
        shape = Extents(numbers);
        for (std::size_t axis = 0; axis < M::rank(); ++axis) numbers[axis] = static_cast<std::int64_t>(span.stride(axis));
        strides = Extents(numbers);
        return View(span.data_handle(), TypeOf<std::remove_const_t<typename M::element_type>>::value, shape, strides, unknown);
    }

    /* The elements start, start + step, ... of an axis: extent of them. */
    void slice(std::size_t axis, std::int64_t start, std::int64_t extent, std::int64_t step) {
        if (wrong("")) return;
        const bool exists = axis < shape_.rank() && start >= 0 && start < shape_[axis] && extent > 0;
        // Steps that there are between the first element and the end of the axis.
        const auto size_of_step = step < 0 ? 0 - static_cast<std::uint64_t>(step) : static_cast<std::uint64_t>(step);
        const auto room = static_cast<std::uint64_t>(!exists ? 0 : step < 0 ? start : shape_[axis] - 1 - start);
        if (!exists || (extent > 1 && (step == 0 || static_cast<std::uint64_t>(extent - 1) > room / size_of_step))) {
            flaw_ = " is a slice beyond what it is a slice of";
            return;
        }
        // By address, since strides may be negative: a byte offset is not.
        const auto size = static_cast<std::uintptr_t>((static_cast<unsigned>(type_) & 0xff) / 8);
        const auto moved = static_cast<std::uintptr_t>(start) * static_cast<std::uintptr_t>(strides_[axis]) * size;
        data_ = reinterpret_cast<void *>(reinterpret_cast<std::uintptr_t>(data_) + moved);
        shape_[axis] = extent;
        if (extent > 1) strides_[axis] *= step;
        held_ = unknown;
    }

    static constexpr std::int64_t unknown = std::numeric_limits<std::int64_t>::max();

    /* A container's elements, held to its shape. */
    static std::int64_t count(std::size_t size) noexcept { return static_cast<std::int64_t>(size); }

private:
    bool reaches_back() const noexcept {
        bool back = false;
        for (std::size_t axis = 0; axis < shape_.rank() && axis < Extents::max_rank; ++axis) back |= shape_[axis] > 1 && strides_[axis] < 0;
        return back;
    }

    /* The elements from the first one to the last one. */
    std::int64_t needed() const noexcept {
        std::int64_t last = 0;
        for (std::size_t axis = 0; axis < shape_.rank() && axis < Extents::max_rank; ++axis) {
            if (shape_[axis] <= 0) return 0;
            if (strides_[axis] > 0) {
                // Beyond what a number holds, no container is long enough.
                if (shape_[axis] - 1 > (unknown - 1 - last) / strides_[axis]) return unknown;
                last += (shape_[axis] - 1) * strides_[axis];
            }
        }
        return last + 1;
    }

    void *data_;
    Type type_;
    Extents shape_, strides_;
    std::int64_t held_;
    std::uint64_t byte_offset_ = 0;
    std::uint16_t lanes_ = 1;
    std::int32_t device_ = DICE_CPU;
    const char *flaw_ = nullptr; // in words
};

} // namespace detail

namespace detail {

/* Whether elements of a type may be written, or are only read. */
template <class T, bool written> constexpr bool is_allowed = !written || !std::is_const_v<T>;

/* Input and Output. */
template <bool written> class Elements : public View {
    template <class T> using Allowed = std::enable_if_t<is_allowed<T, written>>;
    using Void = std::conditional_t<written, void, const void>;

public:
    /* Compact elements in row-major order. */
    template <class P, class T = Pointed<P>, class = Allowed<T>> Elements(const P &data, const Extents &shape)
        : Elements(data, shape, compact_strides(shape)) {}
    template <class P, class T = Pointed<P>, class = Allowed<T>> Elements(const P &data, const Extents &shape, const Extents &strides)
        : View(data, TypeOf<std::remove_const_t<T>>::value, shape, strides, unknown) {}
    /* Of a type that has no name: f16 and bf16 by their bits. */
    Elements(Void *data, Type type, const Extents &shape) : Elements(data, type, shape, compact_strides(shape)) {}
    Elements(Void *data, Type type, const Extents &shape, const Extents &strides) : View(data, type, shape, strides, unknown) {}
    /* The elements of a container, which must have as many as shape and strides reach. */
    template <class C, class T = DataOf<C>, class = std::enable_if_t<stays<C>>, class = Allowed<T>>
    Elements(C &&container, const Extents &shape) : Elements(container, shape, compact_strides(shape)) {}
    template <class C, class T = DataOf<C>, class = std::enable_if_t<stays<C>>, class = Allowed<T>>
    Elements(C &&container, const Extents &shape, const Extents &strides)
        : View(std::data(container), TypeOf<std::remove_const_t<T>>::value, shape, strides, count(std::size(container))) {}
    /* The same of a type that has no name: a container of the bits of f16 or bf16. */
    template <class C, class T = DataOf<C>, class = std::enable_if_t<stays<C> && sizeof(T) == 2>, class = Allowed<T>>
    Elements(C &&container, Type type, const Extents &shape) : Elements(container, type, shape, compact_strides(shape)) {}
    template <class C, class T = DataOf<C>, class = std::enable_if_t<stays<C> && sizeof(T) == 2>, class = Allowed<T>>
    Elements(C &&container, Type type, const Extents &shape, const Extents &strides)
        : View(std::data(container), type, shape, strides, count(std::size(container))) {}
    /* A DLTensor, DLManagedTensor or DLManagedTensorVersioned: it must live as long as the view. */
    template <class D, std::enable_if_t<IsDlpack<D>::value, int> = 0> explicit Elements(const D &tensor) : View(of_dlpack(tensor)) {}
    template <class M, std::enable_if_t<IsManaged<M>::value, int> = 0> explicit Elements(const M &tensor)
        : View(of_managed(tensor, written)) {}
    /* Like std::mdspan: data_handle, extent, stride. */
    template <class M, std::enable_if_t<IsMdspan<M>::value, int> = 0, class = Allowed<typename M::element_type>>
    Elements(const M &span) : View(of_mdspan(span)) {}

    /* The part of it with the elements start, start + step, ... of an axis: a crop, or with a step of -1 from the last on a flip. */
    [[nodiscard]] Elements sliced(std::size_t axis, std::int64_t start, std::int64_t extent, std::int64_t step = 1) const {
        Elements part = *this;
        part.slice(axis, start, extent, step);
        return part;
    }
};

} // namespace detail

/* Elements that are read. Shapes are those of dice.h: logits and dense targets [N, C, spatial...], maps [N, spatial...]. */
using Input = detail::Elements<false>;
/* Elements that are written. */
using Output = detail::Elements<true>;

/* ---------------------------------------------------------------- what a prediction is compared with */

/* dice_problem: a target, and which voxels of it count. */
struct Problem {
    /* Labels, one class per voxel. */
    explicit Problem(Input labels) : target(std::move(labels)) {}
    /* How much of each voxel belongs to each class, in the logits' shape. */
    [[nodiscard]] static Problem dense(Input target) {
        Problem problem(std::move(target));
        problem.is_dense = true;
        return problem;
    }

    Input target;
    bool is_dense = false;
    std::optional<std::int64_t> ignore_index; /* voxels of this label do not count */
    std::optional<Input> mask;                /* u8 or bool: only voxels other than 0 count */
    std::optional<Input> voxel_weights;       /* f32, from 0 to 1e8 */
    std::vector<float> sample_weights;        /* N numbers from 0 to 1e8; none for 1 each */
    std::int64_t voxel_offset = 0;            /* of a slab: the index of its first voxel in the whole volume */
    bool error_on_non_finite = false;         /* else NaN propagates */
    bool labels_checked = false;              /* pullback need not look for wrong labels before it writes */
};

/* ---------------------------------------------------------------- losses */

enum class Activation : std::int32_t { softmax = DICE_SOFTMAX, sigmoid = DICE_SIGMOID, none = DICE_NO_ACTIVATION };
enum class Grouping : std::int32_t { automatic = DICE_DEFAULT_GROUPING, per_sample = DICE_PER_SAMPLE, batch = DICE_BATCH };
enum class Reduction : std::int32_t { mean = DICE_MEAN, sum = DICE_SUM, none = DICE_NONE };
enum class WeightMode : std::int32_t { multiply = DICE_MULTIPLY, normalise = DICE_NORMALISE };
enum class Overlap : std::int32_t { product = DICE_PRODUCT, difference = DICE_DIFFERENCE };
enum class Empty : std::int32_t {
    false_positives = DICE_EMPTY_FALSE_POSITIVES,
    ratio = DICE_EMPTY_RATIO,
    skip = DICE_EMPTY_SKIP,
    zero = DICE_EMPTY_ZERO
};
enum class Volumes : std::int32_t { plain = DICE_PLAIN, squared = DICE_SQUARED, squared_prediction = DICE_SQUARED_PREDICTION };
enum class Pooling : std::int32_t {
    per_class = DICE_PER_CLASS,
    all_classes = DICE_ALL_CLASSES,
    all_classes_squared = DICE_ALL_CLASSES_SQUARED
};
enum class Order : std::int32_t { at_once = DICE_AT_ONCE, classes_first = DICE_CLASSES_FIRST, groups_first = DICE_GROUPS_FIRST };
enum class Weighting : std::int32_t {
    inverse = DICE_INVERSE,
    inverse_square = DICE_INVERSE_SQUARE,
    uniform = DICE_UNIFORM,
    fixed = DICE_FIXED
};
enum class Absent : std::int32_t {
    least_present = DICE_LEAST_PRESENT,
    max_finite = DICE_MAX_FINITE,
    epsilon = DICE_EPSILON,
    regularised = DICE_REGULARISED,
    zero = DICE_ZERO
};
enum class WeighedVolume : std::int32_t { target = DICE_TARGET, ones = DICE_ONES };
enum class Divisor : std::int32_t {
    automatic = DICE_DEFAULT_DIVISOR,
    weights = DICE_WEIGHTS,
    voxels = DICE_VOXELS,
    elements = DICE_ELEMENTS,
    all_voxels = DICE_ALL_VOXELS,
    all_elements = DICE_ALL_ELEMENTS,
    one = DICE_ONE
};
enum class CostWeighting : std::int32_t { foreground = DICE_FOREGROUND, inverse_volume = DICE_INVERSE_VOLUME };

/* What becomes of a value L. */
struct Transform {
    std::int32_t kind = DICE_IDENTITY;
    double exponent = 0.0;
    double least = 0.0;

    [[nodiscard]] static Transform identity() { return {}; }
    [[nodiscard]] static Transform negative_log(double least = 1e-7) { return {DICE_NEGATIVE_LOG, 0.0, at_least(least)}; }
    [[nodiscard]] static Transform power(double exponent, double least = 0.0) { return {DICE_POWER, exponent, least}; }
    [[nodiscard]] static Transform log_cosh() { return {DICE_LOG_COSH, 0.0, 0.0}; }
    [[nodiscard]] static Transform negative_score() { return {DICE_NEGATIVE_SCORE, 0.0, 0.0}; }
    [[nodiscard]] static Transform power_of_negative_log(double exponent, double least = 1e-7) {
        return {DICE_POWER_OF_NEGATIVE_LOG, exponent, at_least(least)};
    }

private:
    /* 0 stands for 1e-7 in dice.h, and is no argument of a logarithm: refused. */
    static double at_least(double least) { return least == 0.0 ? -1.0 : least; }
};

/* What every loss has. Fields are those of dice_term, where they are described; a 0 here is a 0. */
struct Common {
    Activation activation = Activation::softmax;
    Grouping grouping = Grouping::automatic;
    Reduction reduction = Reduction::mean;
    bool exclude_background = false;
    Transform transform;
    std::vector<double> class_weights; /* none for 1 each */
};

/* What losses have that are a ratio per class. */
struct Ratio : Common {
    WeightMode weight_mode = WeightMode::multiply;
    Overlap overlap = Overlap::product;
    Empty empty = Empty::false_positives;
    Pooling pooling = Pooling::per_class;
    Order order = Order::at_once;
    bool complement = false;
    Transform class_transform;
    double smooth_numerator = 0.0;
    double smooth_denominator = 0.0;
    double least_denominator = 0.0; /* not of Mcc */
    double softening = 0.0;
};

/* What losses have that are a sum over voxels. */
struct VoxelLoss : Common {
    WeightMode weight_mode = WeightMode::multiply;
    bool binary = false;
    Divisor divisor = Divisor::automatic;
    std::vector<double> positive_weights;
};

/* DICE_GENERALIZED_DICE. class_weights go with Weighting::fixed. */
struct GeneralizedDice : Common {
    Weighting weighting = Weighting::inverse;
    Absent absent = Absent::least_present;
    double absent_epsilon = 0.0;
    bool raw_weights = false;
    WeighedVolume weighed_volume = WeighedVolume::target;
    bool zero_non_finite = false;
    Overlap overlap = Overlap::product;
    Empty empty = Empty::false_positives;
    double smooth_numerator = 0.0;
    double smooth_denominator = 0.0;
    double least_union = 0.0;
};

/* DICE_SOFT_DICE */
struct SoftDice : Ratio {
    Volumes volumes = Volumes::plain;
    double least_intersection = 0.0;
};

/* DICE_JACCARD */
struct Jaccard : Ratio {
    bool doubled = false;
};

/* What the two Tversky losses have. Not both of the factors can be 0. */
struct TverskyRatio : Ratio {
    Volumes volumes = Volumes::plain;
    double false_positives = 0.5;
    double false_negatives = 0.5;
};

/* DICE_TVERSKY */
struct Tversky : TverskyRatio {};

/* DICE_FOCAL_TVERSKY */
struct FocalTversky : TverskyRatio {
    std::vector<double> exponents; /* one, or one per class; none for 0.75 */
    double exponent_least = 1e-7;
};

/* DICE_WASSERSTEIN */
struct Wasserstein : Common {
    std::vector<double> costs; /* [true class][predicted class], of all classes; no default */
    CostWeighting cost_weighting = CostWeighting::foreground;
    bool normalise_costs = false;
    Empty empty = Empty::false_positives;
    double smooth_numerator = 0.0;
    double smooth_denominator = 0.0;
};

/* DICE_MCC */
struct Mcc : Ratio {
    double mcc_smoothing = 1e-5;
};

/* DICE_CROSS_ENTROPY */
struct CrossEntropy : VoxelLoss {
    double label_smoothing = 0.0;
};

/* DICE_FOCAL */
struct Focal : VoxelLoss {
    std::vector<double> exponents; /* gamma: one, or one per class; none for 2 */
    std::optional<double> alpha;
};

namespace detail {

/* A term with the arrays that it points to, which copies share. */
class Term {
public:
    explicit Term(const dice_term &numbers) : term(numbers) {}

    Term(const GeneralizedDice &loss) : Term(DICE_GENERALIZED_DICE, loss) {
        term.weighting = number(loss.weighting);
        term.absent = number(loss.absent);
        term.absent_epsilon = loss.absent_epsilon;
        term.raw_weights = loss.raw_weights;
        term.weighed_volume = number(loss.weighed_volume);
        term.zero_non_finite = loss.zero_non_finite;
        term.overlap = number(loss.overlap);
        smoothing(loss);
        term.least_union = loss.least_union;
    }
    Term(const SoftDice &loss) : Term(DICE_SOFT_DICE, loss) {
        ratio(loss);
        term.volumes = number(loss.volumes);
        term.least_intersection = loss.least_intersection;
    }
    Term(const Jaccard &loss) : Term(DICE_JACCARD, loss) {
        ratio(loss);
        term.doubled = loss.doubled;
    }
    Term(const Tversky &loss) : Term(DICE_TVERSKY, loss) { tversky(loss); }
    Term(const FocalTversky &loss) : Term(DICE_FOCAL_TVERSKY, loss) {
        tversky(loss);
        keep(loss.exponents, term.exponents, term.num_exponents);
        term.exponent_least = or_naught(loss.exponent_least);
    }
    Term(const Wasserstein &loss) : Term(DICE_WASSERSTEIN, loss) {
        smoothing(loss);
        keep(loss.costs, term.costs, term.num_costs);
        term.cost_weighting = number(loss.cost_weighting);
        term.normalise_costs = loss.normalise_costs;
    }
    Term(const Mcc &loss) : Term(DICE_MCC, loss) {
        ratio(loss);
        term.mcc_smoothing = or_naught(loss.mcc_smoothing);
    }
    Term(const CrossEntropy &loss) : Term(DICE_CROSS_ENTROPY, loss) {
        voxels(loss);
        term.label_smoothing = loss.label_smoothing;
    }
    Term(const Focal &loss) : Term(DICE_FOCAL, loss) {
        voxels(loss);
        keep(loss.exponents, term.exponents, term.num_exponents);
        term.use_alpha = loss.alpha.has_value();
        term.alpha = loss.alpha.value_or(0.0);
    }

    dice_term term;

private:
    Term(std::int32_t kind, const Common &loss) : term() {
        term.kind = kind;
        term.activation = number(loss.activation);
        term.grouping = number(loss.grouping);
        term.reduction = number(loss.reduction);
        term.exclude_background = loss.exclude_background;
        transform(loss.transform, term.transform, term.transform_exponent, term.transform_least);
        keep(loss.class_weights, term.class_weights, term.num_class_weights);
    }

    template <class E> static std::int32_t number(E value) { return static_cast<std::int32_t>(value); }
    /* Where 0 stands for another default in dice.h, -1 stands for 0. */
    static double or_naught(double number) { return number == 0.0 ? -1.0 : number; }

    void keep(const std::vector<double> &numbers, const double *&pointer, std::size_t &num) {
        if (numbers.empty()) return;
        arrays_.push_back(std::make_shared<const std::vector<double>>(numbers));
        pointer = arrays_.back()->data();
        num = numbers.size();
    }
    static void transform(const Transform &transform, std::int32_t &kind, double &exponent, double &least) {
        kind = transform.kind;
        exponent = transform.exponent;
        least = transform.least;
    }
    template <class L> void smoothing(const L &loss) {
        term.empty = number(loss.empty);
        term.smooth_numerator = loss.smooth_numerator;
        term.smooth_denominator = loss.smooth_denominator;
    }
    void ratio(const Ratio &loss) {
        smoothing(loss);
        term.weight_mode = number(loss.weight_mode);
        term.overlap = number(loss.overlap);
        term.pooling = number(loss.pooling);
        term.order = number(loss.order);
        term.complement = loss.complement;
        transform(loss.class_transform, term.class_transform, term.class_transform_exponent, term.class_transform_least);
        term.least_denominator = loss.least_denominator;
        term.softening = loss.softening;
    }
    void tversky(const TverskyRatio &loss) {
        ratio(loss);
        term.volumes = number(loss.volumes);
        // Both 0 stand for one half each in dice.h, and a negative one is refused.
        const bool neither = loss.false_positives == 0.0 && loss.false_negatives == 0.0;
        term.false_positives = neither ? -1.0 : loss.false_positives;
        term.false_negatives = loss.false_negatives;
    }
    void voxels(const VoxelLoss &loss) {
        term.weight_mode = number(loss.weight_mode);
        term.binary = loss.binary;
        term.divisor = number(loss.divisor);
        keep(loss.positive_weights, term.positive_weights, term.num_positive_weights);
    }

    std::vector<std::shared_ptr<const std::vector<double>>> arrays_;
};

template <class L> constexpr bool is_loss = std::is_base_of_v<Common, L> && std::is_constructible_v<Term, const L &>;

} // namespace detail

/* A weighted sum of losses: a + 0.5 * b. It takes one pass over the voxels for the value and one for the gradient. */
class Loss {
public:
    /* Soft Dice + cross-entropy. */
    Loss() = default;
    template <class L, class = std::enable_if_t<detail::is_loss<L>>> Loss(const L &loss) : terms_{detail::Term(loss)} {}
    /* Terms of dice.h; what they point to must live as long. */
    explicit Loss(const std::vector<dice_term> &terms) : terms_(terms.begin(), terms.end()) {}

    /* The terms as dice.h has them; none for the default. They point into this loss and copies of it. */
    [[nodiscard]] std::vector<dice_term> terms() const {
        std::vector<dice_term> terms;
        for (const detail::Term &term : terms_) terms.push_back(term.term);
        return terms;
    }

private:
    friend Loss operator+(Loss a, Loss b);
    friend Loss operator*(double factor, Loss loss);
    /* Makes the default the terms that it stands for. */
    void spell_out();

    std::vector<detail::Term> terms_;
};

/* A peer's conventions by name: see dice_loss_preset. */
inline Result<Loss> try_preset(const char *name) {
    std::size_t num = 0;
    dice_status status = dice_loss_preset(name, sizeof(dice_term), nullptr, 0, &num);
    std::vector<dice_term> terms(num);
    if (status == DICE_OK) status = dice_loss_preset(name, sizeof(dice_term), terms.data(), num, &num);
    if (status != DICE_OK) return detail::failure_of(status);
    return Loss(terms);
}

inline void Loss::spell_out() {
    if (!terms_.empty()) return;
    if (const Result<Loss> loss = try_preset("default")) terms_ = loss->terms_;
}

[[nodiscard]] inline Loss operator+(Loss a, Loss b) {
    a.spell_out();
    b.spell_out();
    a.terms_.insert(a.terms_.end(), b.terms_.begin(), b.terms_.end());
    return a;
}

[[nodiscard]] inline Loss operator*(double factor, Loss loss) {
    loss.spell_out();
    for (detail::Term &kept : loss.terms_) {
        dice_term &term = kept.term;
        const double old = term.left_out != 0 ? 0.0 : term.factor == 0.0 ? 1.0 : term.factor;
        // A factor of 0 stands for 1 there.
        term.factor = factor * old;
        term.left_out = term.factor == 0.0;
    }
    return loss;
}

[[nodiscard]] inline Loss operator*(Loss loss, double factor) { return factor * std::move(loss); }

namespace detail {

/* A problem of dice.h and what it points to. */
class Call {
public:
    explicit Call(const Problem &problem) : target_(problem.target.tensor()) {
        note(problem.target, "problem.target");
        numbers.target = &target_;
        numbers.dense_target = problem.is_dense;
        numbers.use_ignore_index = problem.ignore_index.has_value();
        numbers.ignore_index = problem.ignore_index.value_or(0);
        numbers.mask = optional(problem.mask, mask_, "problem.mask");
        numbers.voxel_weights = optional(problem.voxel_weights, voxel_weights_, "problem.voxel_weights");
        numbers.sample_weights = problem.sample_weights.empty() ? nullptr : problem.sample_weights.data();
        numbers.num_sample_weights = problem.sample_weights.size();
        numbers.voxel_offset = problem.voxel_offset;
        numbers.error_on_non_finite = problem.error_on_non_finite;
        numbers.labels_checked = problem.labels_checked;
    }
    Call(const Call &) = delete;
    Call &operator=(const Call &) = delete;

    void note(const View &view, const char *name) {
        if (!wrong) wrong = view.wrong(name);
    }

    dice_problem numbers = DICE_PROBLEM_INIT;
    /* The first view that cannot be. */
    std::optional<Failure> wrong;

private:
    const dice_tensor *optional(const std::optional<Input> &view, dice_tensor &tensor, const char *name) {
        if (!view) return nullptr;
        note(*view, name);
        tensor = view->tensor();
        return &tensor;
    }

    dice_tensor target_, mask_{}, voxel_weights_{};
};

/* A loss of dice.h and its terms. */
class Terms {
public:
    explicit Terms(const Loss &loss) : terms_(loss.terms()) {
        numbers.terms = terms_.data();
        numbers.num_terms = terms_.size();
    }
    Terms(const Terms &) = delete;
    Terms &operator=(const Terms &) = delete;
    dice_loss numbers = DICE_LOSS_INIT;

private:
    std::vector<dice_term> terms_;
};

/* Logits, a problem and a loss, and where a gradient goes. */
class Pass : public Call {
public:
    Pass(const Input &logits, const Problem &problem, const Loss &loss, const Output *to = nullptr)
        : Call(problem), terms(loss), z(logits.tensor()), samples(extent(logits, 0)), classes(extent(logits, 1)) {
        note(logits, "logits");
        if (to == nullptr) return;
        note(*to, "gradient");
        gradient = to->tensor();
    }

    static std::int64_t extent(const View &view, std::size_t axis) { return axis < view.shape().rank() ? view.shape()[axis] : 0; }

    /* How many values the loss has; 1 if that cannot be said, for then the call itself says why: it knows the tensors. */
    std::size_t num_values() const {
        std::size_t values = 1, cotangent = 0, reports = 0;
        const dice_status status = dice_evaluation_len(&terms.numbers, samples, classes, &values, &cotangent, &reports);
        return status == DICE_OK ? values : 1;
    }

    Terms terms;
    dice_tensor z, gradient{};
    std::int64_t samples, classes;
};

} // namespace detail

/* ---------------------------------------------------------------- all at once */

/* What becomes of what a gradient holds. */
enum class Mode : std::int32_t { overwrite = DICE_OVERWRITE, accumulate = DICE_ACCUMULATE };

namespace detail {

/* num values of a loss, and its gradient if there is where. */
inline Result<std::vector<double>> values_of(const Pass &pass, std::size_t num, const std::vector<double> &upstream, Mode mode,
                                             bool with_gradient) {
    if (pass.wrong) return *pass.wrong;
    if (std::optional<Failure> none = no_room<double>(num)) return *std::move(none);
    std::vector<double> values(num);
    const dice_status status =
        with_gradient ? dice_value_and_grad(&pass.z, &pass.numbers, &pass.terms.numbers, upstream.empty() ? nullptr : upstream.data(),
                                            upstream.size(), values.data(), num, static_cast<std::int32_t>(mode), &pass.gradient)
                      : dice_value(&pass.z, &pass.numbers, &pass.terms.numbers, values.data(), num);
    return if_ok(status, std::move(values));
}

/* The one value. */
inline Result<double> one_of(const Result<std::vector<double>> &values) {
    if (!values) return values.failure();
    return (*values)[0];
}

} // namespace detail

/* The values of a loss: one, or several for Reduction::none. */
inline Result<std::vector<double>> try_values(const Input &logits, const Problem &problem, const Loss &loss = Loss()) {
    const detail::Pass pass(logits, problem, loss);
    return detail::values_of(pass, pass.num_values(), {}, Mode::overwrite, false);
}

/* The same, and in gradient the gradient of sum_i upstream_i value_i by the logits; upstream: one number, or one per value. */
inline Result<std::vector<double>> try_values_and_grad(const Input &logits, const Problem &problem, const Loss &loss,
                                                       const Output &gradient, const std::vector<double> &upstream = {},
                                                       Mode mode = Mode::overwrite) {
    const detail::Pass pass(logits, problem, loss, &gradient);
    return detail::values_of(pass, pass.num_values(), upstream, mode, true);
}

/* The value of a loss that has one. */
inline Result<double> try_value(const Input &logits, const Problem &problem, const Loss &loss = Loss()) {
    return detail::one_of(detail::values_of(detail::Pass(logits, problem, loss), 1, {}, Mode::overwrite, false));
}

/* The value of a loss that has one, and in gradient the gradient of upstream times it by the logits. */
inline Result<double> try_value_and_grad(const Input &logits, const Problem &problem, const Loss &loss, const Output &gradient,
                                         double upstream = 1.0, Mode mode = Mode::overwrite) {
    return detail::one_of(detail::values_of(detail::Pass(logits, problem, loss, &gradient), 1, {upstream}, mode, true));
}

/* ---------------------------------------------------------------- the three steps */

/* Voxels start <= v < end of every sample. */
struct Range {
    std::int64_t start;
    std::int64_t end;
};

/* The table of sums that step 1 makes, of samples x classes. */
struct Statistics {
    std::vector<std::int64_t> table;
    std::int64_t samples = 0;
    std::int64_t classes = 0;
};

/* What step 2 makes of it. */
struct Evaluation {
    std::vector<double> values;
    std::vector<double> cotangent;
    std::vector<dice_class_report> reports; /* [group][class] */
};

/* Step 1: of all voxels, or those of a range. */
inline Result<Statistics> try_statistics(const Input &logits, const Problem &problem, const Loss &loss,
                                         std::optional<Range> range = std::nullopt) {
    const detail::Pass pass(logits, problem, loss);
    if (pass.wrong) return *pass.wrong;
    std::size_t num = 0;
    dice_status status = dice_statistics_len(&pass.z, &pass.terms.numbers, &num);
    if (status != DICE_OK) return detail::failure_of(status);
    if (std::optional<Failure> none = detail::no_room<std::int64_t>(num)) return *std::move(none);
    Statistics statistics{std::vector<std::int64_t>(num), pass.samples, pass.classes};
    std::int64_t *table = statistics.table.data();
    status = range ? dice_statistics_range(&pass.z, &pass.numbers, &pass.terms.numbers, range->start, range->end, table, num)
                   : dice_statistics(&pass.z, &pass.numbers, &pass.terms.numbers, table, num);
    return detail::if_ok(status, std::move(statistics));
}

/* Adds the table of another part of the same problem. */
inline Result<Done> try_merge(const Statistics &from, Statistics &into) {
    if (from.samples != into.samples || from.classes != into.classes) {
        const auto extents = [](const Statistics &table) { return std::to_string(table.samples) + " x " + std::to_string(table.classes); };
        return Failure{Status::shape, "statistics of " + extents(from) + " classes do not add to those of " + extents(into), -1, -1, -1};
    }
    const dice_status status = dice_statistics_merge(from.table.data(), from.table.size(), into.table.data(), into.table.size());
    return detail::if_ok(status, Done());
}

/* Step 2. */
inline Result<Evaluation> try_evaluate(const Statistics &statistics, const Loss &loss) {
    const detail::Terms terms(loss);
    const auto &[table, samples, classes] = statistics;
    std::size_t values = 0, cotangent = 0, reports = 0;
    dice_status status = dice_evaluation_len(&terms.numbers, samples, classes, &values, &cotangent, &reports);
    if (status != DICE_OK) return detail::failure_of(status);
    if (std::optional<Failure> none = detail::no_room<double>(cotangent + 8 * reports)) return *std::move(none);
    Evaluation made{std::vector<double>(values), std::vector<double>(cotangent), std::vector<dice_class_report>(reports)};
    status = dice_loss_evaluate(&terms.numbers, table.data(), table.size(), samples, classes, made.values.data(), values,
                                made.cotangent.data(), cotangent, made.reports.data(), reports);
    return detail::if_ok(status, std::move(made));
}

/* Step 3: the gradient of sum_i upstream_i value_i by the logits (none: of their sum), of all voxels or those of a range. */
inline Result<Done> try_pullback(const Input &logits, const Problem &problem, const Loss &loss,
                                 const std::vector<double> &cotangent, const std::vector<double> &upstream, const Output &gradient,
                                 Mode mode = Mode::overwrite, std::optional<Range> range = std::nullopt) {
    const detail::Pass pass(logits, problem, loss, &gradient);
    if (pass.wrong) return *pass.wrong;
    const dice_loss *terms = &pass.terms.numbers;
    const double *ups = upstream.empty() ? nullptr : upstream.data();
    const auto put = static_cast<std::int32_t>(mode);
    const dice_status status =
        range ? dice_pullback_range(&pass.z, &pass.numbers, terms, cotangent.data(), cotangent.size(), ups, upstream.size(),
                                    range->start, range->end, put, &pass.gradient)
              : dice_pullback(&pass.z, &pass.numbers, terms, cotangent.data(), cotangent.size(), ups, upstream.size(), put, &pass.gradient);
    return detail::if_ok(status, Done());
}

/* ---------------------------------------------------------------- volumes and hard overlap */

/* Adds the voxels of each class in the labels of problem to volumes, which has a place per class. */
inline Result<Done> try_add_volumes(const Problem &problem, std::vector<double> &volumes) {
    detail::Call call(problem);
    if (call.wrong) return *call.wrong;
    return detail::if_ok(dice_add_volumes(&call.numbers, volumes.data(), volumes.size()), Done());
}

/* Weights of classes from their volumes in a whole data set. */
inline Result<std::vector<double>> try_class_weights(const std::vector<double> &volumes, Weighting weighting = Weighting::inverse) {
    std::vector<double> weights(volumes.size());
    const dice_status status = dice_class_weights_from_volumes(volumes.data(), volumes.size(), static_cast<std::int32_t>(weighting),
                                                               weights.data());
    return detail::if_ok(status, std::move(weights));
}

/* Counts of voxels [sample][true class][predicted class]: of logits, whose classes are theirs (two for one channel), or of a
 * predicted label map with classes. */
inline Result<std::vector<std::int64_t>> try_confusion(const Input &prediction, const Problem &problem, std::int64_t classes) {
    detail::Call call(problem);
    call.note(prediction, "prediction");
    if (call.wrong) return *call.wrong;
    const dice_tensor p = prediction.tensor();
    const std::int64_t samples = detail::Pass::extent(prediction, 0);
    // More than any memory holds is refused by the call, whatever length it gets.
    const bool possible = samples >= 0 && classes >= 0 && classes < std::int64_t(1) << 24 &&
                          samples <= (std::int64_t(1) << 60) / (classes * classes + 1);
    const std::size_t num = possible ? static_cast<std::size_t>(samples * classes * classes) : 0;
    if (std::optional<Failure> none = detail::no_room<std::int64_t>(num)) return *std::move(none);
    std::vector<std::int64_t> counts(num);
    const dice_status status = dice_confusion(&p, &call.numbers, classes, counts.data(), num);
    return detail::if_ok(status, std::move(counts));
}

/* ---------------------------------------------------------------- instruction set and threads */

/* Levels, least first. */
enum class Isa : std::int32_t {
    scalar = DICE_ISA_SCALAR,
    portable = DICE_ISA_PORTABLE,
    neon = DICE_ISA_NEON,
    avx2 = DICE_ISA_AVX2,
    avx512 = DICE_ISA_AVX512
};

[[nodiscard]] inline Isa effective_isa() noexcept { return static_cast<Isa>(dice_effective_isa()); }
inline Result<Done> try_set_max_isa(Isa isa) { return detail::if_ok(dice_set_max_isa(static_cast<std::int32_t>(isa)), Done()); }
inline Result<Done> try_set_num_threads(std::int32_t threads) { return detail::if_ok(dice_set_num_threads(threads), Done()); }

namespace detail {
/* The executor that the library has, of those that are alive. */
inline std::atomic<const void *> current_executor{nullptr};
} // namespace detail

/* The host's own threads, as long as it lives and no newer one is made: then the library's own again. It must not end while a call
 * is at work. run(limit, claim) calls claim() up to limit times, on any threads, and returns when all these calls have returned. */
template <class Run> class Executor {
public:
    static Result<std::unique_ptr<Executor>> make(std::int32_t threads, Run run) {
        std::unique_ptr<Executor> executor(new Executor(std::move(run)));
        dice_executor numbers = DICE_EXECUTOR_INIT;
        numbers.context = executor.get();
        numbers.run = [](void *context, std::int32_t limit, void (*claim)(void *), void *argument) noexcept {
            static_cast<Executor *>(context)->run_(limit, [claim, argument] { claim(argument); });
        };
        numbers.threads = threads;
        const dice_status status = dice_set_executor(&numbers);
        if (status == DICE_OK) detail::current_executor = executor.get();
        return detail::if_ok(status, std::move(executor));
    }
    Executor(const Executor &) = delete;
    Executor &operator=(const Executor &) = delete;
    ~Executor() {
        const void *ours = this;
        if (detail::current_executor.compare_exchange_strong(ours, nullptr)) (void)dice_set_executor(nullptr);
    }

private:
    explicit Executor(Run run) : run_(std::move(run)) {}
    Run run_;
};

template <class Run> Result<std::unique_ptr<Executor<Run>>> try_executor(std::int32_t threads, Run run) {
    return Executor<Run>::make(threads, std::move(run));
}

/* ---------------------------------------------------------------- the same with exceptions */

#if defined(__cpp_exceptions)

[[nodiscard]] inline Loss preset(const char *name) { return try_preset(name).value(); }
[[nodiscard]] inline double value(const Input &logits, const Problem &problem, const Loss &loss = Loss()) {
    return try_value(logits, problem, loss).value();
}
[[nodiscard]] inline std::vector<double> values(const Input &logits, const Problem &problem, const Loss &loss = Loss()) {
    return try_values(logits, problem, loss).value();
}
inline double value_and_grad(const Input &logits, const Problem &problem, const Loss &loss, const Output &gradient,
                             double upstream = 1.0, Mode mode = Mode::overwrite) {
    return try_value_and_grad(logits, problem, loss, gradient, upstream, mode).value();
}
inline std::vector<double> values_and_grad(const Input &logits, const Problem &problem, const Loss &loss, const Output &gradient,
                                           const std::vector<double> &upstream = {}, Mode mode = Mode::overwrite) {
    return try_values_and_grad(logits, problem, loss, gradient, upstream, mode).value();
}
[[nodiscard]] inline Statistics statistics(const Input &logits, const Problem &problem, const Loss &loss,
                                           std::optional<Range> range = std::nullopt) {
    return try_statistics(logits, problem, loss, range).value();
}
inline void merge(const Statistics &from, Statistics &into) { try_merge(from, into).value(); }
[[nodiscard]] inline Evaluation evaluate(const Statistics &statistics, const Loss &loss) {
    return try_evaluate(statistics, loss).value();
}
inline void pullback(const Input &logits, const Problem &problem, const Loss &loss, const std::vector<double> &cotangent,
                     const std::vector<double> &upstream, const Output &gradient, Mode mode = Mode::overwrite,
                     std::optional<Range> range = std::nullopt) {
    try_pullback(logits, problem, loss, cotangent, upstream, gradient, mode, range).value();
}
inline void add_volumes(const Problem &problem, std::vector<double> &volumes) { try_add_volumes(problem, volumes).value(); }
[[nodiscard]] inline std::vector<double> class_weights(const std::vector<double> &volumes, Weighting weighting = Weighting::inverse) {
    return try_class_weights(volumes, weighting).value();
}
[[nodiscard]] inline std::vector<std::int64_t> confusion(const Input &prediction, const Problem &problem, std::int64_t classes) {
    return try_confusion(prediction, problem, classes).value();
}
inline void set_max_isa(Isa isa) { try_set_max_isa(isa).value(); }
inline void set_num_threads(std::int32_t threads) { try_set_num_threads(threads).value(); }
template <class Run> [[nodiscard]] std::unique_ptr<Executor<Run>> executor(std::int32_t threads, Run run) {
    return try_executor(threads, std::move(run)).value();
}

#endif

} // namespace dice
#endif /* DICE_HPP */
