// The views of dice.hpp: of pointers, containers, strided and foreign tensors, without a copy.
#include <dice.hpp>

#include "../c/check.h"

#include <cmath>
#include <cstring>
#include <numeric>

#if __has_include(<dlpack/dlpack.h>)
#include <dlpack/dlpack.h>
#define HAS_DLPACK 1
#else
#define HAS_DLPACK 0
#endif
#if __cplusplus >= 202002L && __has_include(<span>)
#include <span>
#define HAS_SPAN 1
#else
#define HAS_SPAN 0
#endif

namespace {

constexpr std::int64_t N = 2, C = 3, H = 4, W = 5;
const dice::Extents shape{N, C, H, W}, map{N, H, W};

std::vector<float> some_logits() {
    std::vector<float> logits(N * C * H * W);
    for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(std::cos(2.3 * double(i)));
    return logits;
}

std::vector<std::uint8_t> some_labels() {
    std::vector<std::uint8_t> labels(N * H * W);
    for (std::size_t v = 0; v < labels.size(); ++v) labels[v] = static_cast<std::uint8_t>(v * 5 % 3);
    return labels;
}

// A copy in other strides.
std::vector<float> laid_out(const std::vector<float> &compact, const dice::Extents &strides, std::size_t room) {
    std::vector<float> there(room, NAN);
    std::size_t from = 0;
    for (std::int64_t n = 0; n < N; ++n)
        for (std::int64_t c = 0; c < C; ++c)
            for (std::int64_t h = 0; h < H; ++h)
                for (std::int64_t w = 0; w < W; ++w)
                    there[static_cast<std::size_t>(n * strides[0] + c * strides[1] + h * strides[2] + w * strides[3])] = compact[from++];
    return there;
}

// A half type of somebody's own.
struct Half {
    std::uint16_t bits;
};

// As std::mdspan is, of which C++17 has none.
template <class T, std::size_t R> struct Span {
    using element_type = T;
    static constexpr std::size_t rank() { return R; }
    T *data_handle() const { return data; }
    int extent(std::size_t axis) const { return extents[axis]; }
    int stride(std::size_t axis) const { return strides[axis]; }
    T *data;
    std::array<int, R> extents, strides;
};

template <class View> double value_of(const View &logits, const dice::Problem &problem) {
    const dice::Result<double> value = dice::try_value(logits, problem);
    if (!CHECK(value.has_value())) std::fprintf(stderr, "    %s\n", value.failure().message.c_str());
    return value ? *value : -1.0;
}

} // namespace

template <> struct dice::TypeOf<Half> {
    static constexpr dice::Type value = dice::Type::f16;
};

namespace {

// The compiler says what is not a view.
static_assert(std::is_constructible_v<dice::Input, const float *, dice::Extents>);
static_assert(std::is_constructible_v<dice::Input, const std::vector<float> &, dice::Extents>);
static_assert(std::is_constructible_v<dice::Output, float *, dice::Extents>);
static_assert(std::is_constructible_v<dice::Output, std::vector<float> &, dice::Extents>);
static_assert(!std::is_constructible_v<dice::Output, const float *, dice::Extents>, "const is not written");
static_assert(!std::is_constructible_v<dice::Output, const std::vector<float> &, dice::Extents>, "const is not written");
static_assert(!std::is_constructible_v<dice::Output, const void *, dice::Type, dice::Extents>, "const is not written");
static_assert(!std::is_constructible_v<dice::Output, Span<const float, 4>>, "const is not written");
static_assert(std::is_constructible_v<dice::Input, Span<const float, 4>>);
static_assert(!std::is_constructible_v<dice::Input, std::vector<float>, dice::Extents>, "a temporary container dangles");
static_assert(!std::is_constructible_v<dice::Output, std::vector<float>, dice::Extents>, "a temporary container dangles");
static_assert(!std::is_constructible_v<dice::Input, std::array<float, 4>, dice::Extents>, "a temporary array dangles");
static_assert(!std::is_constructible_v<dice::Output, std::array<float, 4>, dice::Extents>, "a temporary array dangles");
static_assert(!std::is_constructible_v<dice::Input, std::initializer_list<float>, dice::Extents>, "a temporary list dangles");
static_assert(!std::is_constructible_v<dice::Extents, std::vector<double>>, "extents are whole numbers");
static_assert(!std::is_constructible_v<dice::Extents, std::string>, "extents are whole numbers");
static_assert(std::is_constructible_v<dice::Extents, std::size_t, int, std::int64_t>);
static_assert(!std::is_convertible_v<dice::Common, dice::Loss>, "options that all losses have are no loss");
static_assert(std::is_nothrow_copy_constructible_v<dice::Input>);
static_assert(!std::is_constructible_v<dice::Input, std::vector<bool> &, dice::Extents>, "bits are not elements");
static_assert(!std::is_constructible_v<dice::Output, dice::Input>, "what is read is not written");
static_assert(!std::is_convertible_v<dice::Activation, dice::Grouping>, "options of one kind are not those of another");
static_assert(!std::is_convertible_v<int, dice::Activation>, "a number is no option");

void containers(const std::vector<float> &logits, const std::vector<std::uint8_t> &labels, double expected) {
    const dice::Problem problem{dice::Input(labels, map)};
    CHECK(value_of(dice::Input(logits, shape), problem) == expected);
    CHECK(value_of(dice::Input(logits.data(), shape), problem) == expected);
    CHECK(value_of(dice::Input(logits.data(), dice::Type::f32, shape), problem) == expected);
    std::array<float, N * C * H * W> array;
    std::copy(logits.begin(), logits.end(), array.begin());
    CHECK(value_of(dice::Input(array, shape), problem) == expected);
    float plain[N * C * H * W];
    std::copy(logits.begin(), logits.end(), plain);
    CHECK(value_of(dice::Input(plain, shape), problem) == expected);
    // Whatever has a length is held to it.
    float few[4] = {};
    const float few_const[4] = {};
    std::array<float, 4> few_in_array{};
    std::vector<std::uint16_t> few_halves(4);
    for (const dice::Input &short_one : {dice::Input(few, shape), dice::Input(few_const, shape), dice::Input(few_in_array, shape),
                                         dice::Input(few_halves, dice::Type::f16, shape)}) {
        CHECK(dice::try_value(short_one, problem).failure().status == dice::Status::length);
    }
    CHECK(dice::try_value_and_grad(dice::Input(logits, shape), problem, dice::Loss(), dice::Output(few, shape)).failure().status ==
          dice::Status::length);
    const dice::Extents backwards{C * H * W, -H * W, W, 1};
    CHECK(dice::try_value(dice::Input(logits, shape, backwards), problem).failure().status == dice::Status::layout);
    // Shapes of any whole numbers.
    const std::vector<int> of_ints{2, 3, 4, 5};
    CHECK(value_of(dice::Input(logits, of_ints), problem) == expected);
#if HAS_SPAN
    CHECK(value_of(dice::Input(std::span<const float>(logits), shape), problem) == expected);
    static_assert(!std::is_constructible_v<dice::Output, std::span<const float>, dice::Extents>);
    static_assert(std::is_constructible_v<dice::Output, std::span<float>, dice::Extents>);
#endif
    // Labels of every type.
    const std::vector<std::int8_t> i8(labels.begin(), labels.end());
    const std::vector<std::uint16_t> u16(labels.begin(), labels.end());
    const std::vector<std::int16_t> i16(labels.begin(), labels.end());
    const std::vector<std::int32_t> i32(labels.begin(), labels.end());
    const std::vector<std::int64_t> i64(labels.begin(), labels.end());
    const std::vector<long long> longs(labels.begin(), labels.end());
    for (const dice::Input &view : {dice::Input(i8, map), dice::Input(u16, map), dice::Input(i16, map), dice::Input(i32, map),
                                    dice::Input(i64, map), dice::Input(longs, map)}) {
        CHECK(value_of(dice::Input(logits, shape), dice::Problem(view)) == expected);
    }
    // Half precision by a type of one's own: 1 is 0x3c00.
    const std::vector<Half> halves(N * C * H * W, Half{0x3c00});
    const std::vector<float> ones(N * C * H * W, 1.0F);
    CHECK(value_of(dice::Input(halves, shape), problem) == value_of(dice::Input(ones, shape), problem));
}

void layouts(const std::vector<float> &logits, const std::vector<std::uint8_t> &labels, double expected) {
    const dice::Problem problem{dice::Input(labels, map)};
    const dice::Extents last = dice::channels_last_strides(shape);
    CHECK(last == (dice::Extents{C * H * W, 1, C * W, C}));
    CHECK(dice::compact_strides(shape) == (dice::Extents{C * H * W, H * W, W, 1}));
    const std::vector<float> channels_last = laid_out(logits, last, logits.size());
    CHECK(value_of(dice::Input(channels_last, shape, last), problem) == expected);

    // A part of a larger volume, by a view and by the helper of dice.h.
    const dice::Extents large{N, C, H + 3, W + 2}, strides = dice::compact_strides(large);
    std::vector<float> volume(N * C * (H + 3) * (W + 2), NAN);
    const std::size_t first = static_cast<std::size_t>(2 * strides[2] + 1);
    const std::vector<float> inside = laid_out(logits, strides, volume.size() - first);
    std::copy(inside.begin(), inside.end(), volume.begin() + static_cast<std::ptrdiff_t>(first));
    const dice::Input crop = dice::Input(volume, large).sliced(2, 2, H).sliced(3, 1, W);
    CHECK(value_of(crop, problem) == expected);
    dice_tensor whole = dice_f32(volume.data(), 4, large.data());
    std::int64_t of_large[4];
    dice_compact_strides(4, large.data(), of_large);
    whole.strides = of_large;
    const std::int64_t start[] = {0, 0, 2, 1};
    const dice_tensor part = dice_cropped(whole, start, shape.data()), y = dice_u8(labels.data(), 3, map.data());
    dice_problem numbers = DICE_PROBLEM_INIT;
    numbers.target = &y;
    const dice_loss loss = DICE_LOSS_INIT;
    double value = 0.0;
    OK(dice_value(&part, &numbers, &loss, &value, 1));
    CHECK(value == expected);

    // Flipped twice along an axis is as it was; a view is a value, and outlives what it was made of.
    const dice::Input flipped = dice::Input(logits, shape).sliced(3, W - 1, W, -1);
    CHECK(flipped.strides()[3] == -1 && flipped.tensor().data == logits.data() + W - 1);
    CHECK(value_of(flipped.sliced(0, 1, 1).sliced(3, 1, 3), dice::Problem(dice::Input(labels, map).sliced(0, 1, 1).sliced(2, W - 4, 3))) > 0.0);
    CHECK(value_of(flipped, dice::Problem(dice::Input(labels, map).sliced(2, W - 1, W, -1))) != 0.0);
    CHECK(value_of(flipped.sliced(3, W - 1, W, -1), problem) == expected);
    const dice::Input copy = [&] { const dice::Input made(logits, shape); return made; }();
    CHECK(value_of(copy, problem) == expected && copy.tensor().shape == copy.shape().data());

    // Every second row of the gradient of every second row.
    std::vector<float> gradient(logits.size(), 3.0F);
    const dice::Output rows = dice::Output(gradient, shape).sliced(2, 1, H / 2, 2);
    const dice::Problem of_rows{dice::Input(labels, map).sliced(1, 1, H / 2, 2)};
    CHECK(dice::try_value_and_grad(dice::Input(logits, shape).sliced(2, 1, H / 2, 2), of_rows, dice::Loss(), rows).has_value());
    CHECK(gradient[0] == 3.0F && gradient[W] != 3.0F && gradient[2 * W] == 3.0F);
    const dice::Input all(logits, shape);
    constexpr std::int64_t most = INT64_MAX;
    CHECK(all.sliced(1, 1, 1, INT64_MIN).shape() == (dice::Extents{N, 1, H, W}) && all.sliced(1, 1, 1, most).strides() == all.strides());
    for (const dice::Input &beyond : {all.sliced(2, 3, 2), all.sliced(2, -1, 2), all.sliced(2, 1, 3, -1), all.sliced(2, 0, 2, 4),
                                      all.sliced(2, 0, most), all.sliced(2, 1, 2, most), all.sliced(2, 0, 0), all.sliced(4, 0, 1),
                                      all.sliced(2, 0, 2, 0), all.sliced(2, 1, 2, INT64_MIN), all.sliced(2, 3, 2).sliced(2, 0, 1)}) {
        const dice::Result<double> result = dice::try_value(beyond, problem);
        CHECK(!result && result.failure().status == dice::Status::layout);
        CHECK(!result && result.failure().message == "logits is a slice beyond what it is a slice of");
    }

    // As std::mdspan.
    const Span<const float, 4> span{channels_last.data(), {N, C, H, W}, {C * H * W, 1, C * W, C}};
    CHECK(value_of(dice::Input(span), problem) == expected);
    const Span<float, 4> written{gradient.data(), {N, C, H, W}, {C * H * W, H * W, W, 1}};
    CHECK(dice::try_value_and_grad(span, problem, dice::Loss(), written).has_value());
}

#if HAS_DLPACK
// dice_tensor is DLTensor, field for field.
#define SAME(ours, theirs, field)                                                                                                      \
    static_assert(offsetof(ours, field) == offsetof(theirs, field) && sizeof(ours::field) == sizeof(theirs::field), #field)
SAME(dice_tensor, DLTensor, data);
SAME(dice_tensor, DLTensor, device);
SAME(dice_tensor, DLTensor, ndim);
SAME(dice_tensor, DLTensor, dtype);
SAME(dice_tensor, DLTensor, shape);
SAME(dice_tensor, DLTensor, strides);
SAME(dice_tensor, DLTensor, byte_offset);
SAME(dice_device, DLDevice, device_type);
SAME(dice_device, DLDevice, device_id);
SAME(dice_dtype, DLDataType, code);
SAME(dice_dtype, DLDataType, bits);
SAME(dice_dtype, DLDataType, lanes);
static_assert(sizeof(dice_tensor) == sizeof(DLTensor) && sizeof(dice_device) == sizeof(DLDevice));
static_assert(DICE_CPU == int(kDLCPU) && DICE_INT == int(kDLInt) && DICE_UINT == int(kDLUInt) && DICE_FLOAT == int(kDLFloat));
static_assert(DICE_BFLOAT == int(kDLBfloat));

// As DLManagedTensorVersioned, which this dlpack.h may be too old to have.
struct Versioned {
    void *manager_ctx;
    std::uint64_t flags;
    DLTensor dl_tensor;
};

void dlpack(std::vector<float> logits, const std::vector<std::uint8_t> &labels, double expected) {
    const dice::Problem problem{dice::Input(labels, map)};
    std::int64_t extents[] = {N, C, H, W}, strides[] = {C * H * W, H * W, W, 1};
    DLTensor tensor{};
    tensor.data = logits.data() - 2;
    tensor.byte_offset = 2 * sizeof(float);
    tensor.device = {kDLCPU, 0};
    tensor.ndim = 4;
    tensor.dtype = {kDLFloat, 32, 1};
    tensor.shape = extents;
    CHECK(value_of(dice::Input(tensor), problem) == expected);
    tensor.strides = strides;
    CHECK(value_of(dice::Input(tensor), problem) == expected);
    DLManagedTensor managed{};
    managed.dl_tensor = tensor;
    CHECK(value_of(dice::Input(managed), problem) == expected);
    CHECK(dice::try_value_and_grad(dice::Input(tensor), problem, dice::Loss(), dice::Output(managed)).has_value());
    Versioned versioned{nullptr, 0, tensor};
    CHECK(dice::try_value_and_grad(dice::Input(tensor), problem, dice::Loss(), dice::Output(versioned)).has_value());
    versioned.flags = 1;
    CHECK(dice::try_value(dice::Input(versioned), problem).has_value());
    const auto read_only = dice::try_value_and_grad(dice::Input(tensor), problem, dice::Loss(), dice::Output(versioned));
    CHECK(!read_only && read_only.failure().status == dice::Status::layout);
    DLTensor impossible = tensor;
    for (const int ndim : {-1, 9, INT32_MAX, INT32_MIN}) {
        impossible.ndim = ndim;
        CHECK(dice::try_value(dice::Input(impossible), problem).failure().status == dice::Status::layout);
    }
    impossible.ndim = 4;
    impossible.shape = nullptr;
    CHECK(dice::try_value(dice::Input(impossible), problem).failure().status == dice::Status::layout);
    tensor.device.device_type = kDLCUDA;
    CHECK(dice::try_value(dice::Input(tensor), problem).failure().status == dice::Status::unsupported);
    tensor.device.device_type = kDLCPU;
    tensor.dtype.lanes = 4;
    CHECK(dice::try_value(dice::Input(tensor), problem).failure().status == dice::Status::unsupported);
}
#endif

} // namespace

int main() {
    const std::vector<float> logits = some_logits();
    const std::vector<std::uint8_t> labels = some_labels();
    const double expected = value_of(dice::Input(logits, shape), dice::Problem(dice::Input(labels, map)));
    containers(logits, labels, expected);
    layouts(logits, labels, expected);
#if HAS_DLPACK
    dlpack(logits, labels, expected);
#else
    std::printf("SKIPPED dlpack: dlpack/dlpack.h is not installed\n");
#endif
#if !HAS_SPAN
    std::printf("std::span is of C++20\n");
#endif
    return report("views");
}
