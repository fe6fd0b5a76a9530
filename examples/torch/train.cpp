// Trains the 3-D U-Net of the study (docs/study.md) on patches of a brain, in LibTorch, with the default loss of dice_torch.hpp:
// soft Dice + cross-entropy. See CMakeLists.txt; then:
//
//   build/train data [STEPS]
//
// data is this project's folder of that name: mni152_t1.nii.gz and mni152_tissues.nii.gz, NIfTI files of bytes.
#include <dice_torch.hpp>

#include <zlib.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

namespace nn = torch::nn;

constexpr std::int64_t depth = 189, height = 233, width = 197, classes = 4, patch = 32;

// The voxels of an unsigned 8-bit NIfTI file; they begin at byte 352.
at::Tensor read_volume(const std::string &name) {
    const at::Tensor volume = at::empty({depth, height, width}, at::kByte);
    gzFile file = gzopen(name.c_str(), "rb");
    TORCH_CHECK(file != nullptr, "cannot open ", name);
    const auto size = static_cast<unsigned>(volume.numel());
    const bool read = gzseek(file, 352, SEEK_SET) == 352 && gzread(file, volume.data_ptr(), size) == static_cast<int>(size);
    gzclose(file);
    TORCH_CHECK(read, name, " is too short");
    return volume;
}

nn::Sequential layer(std::int64_t inputs, std::int64_t outputs, std::int64_t stride = 1) {
    return nn::Sequential(nn::Conv3d(nn::Conv3dOptions(inputs, outputs, 3).stride(stride).padding(1)),
                          nn::InstanceNorm3d(nn::InstanceNorm3dOptions(outputs).affine(true)), nn::ReLU());
}

struct UNetImpl : nn::Module {
    UNetImpl()
        : fine(register_module("fine", layer(1, 8))), middle(register_module("middle", layer(8, 16, 2))),
          coarse(register_module("coarse", layer(16, 16, 2))), deepest(register_module("deepest", layer(16, 16))),
          up_to_middle(register_module("up_to_middle", layer(16, 8))), up_to_fine(register_module("up_to_fine", layer(8, 8))),
          logits(register_module("logits", nn::Conv3d(nn::Conv3dOptions(8, classes, 1)))) {}

    at::Tensor forward(const at::Tensor &x) {
        const auto twice = nn::functional::InterpolateFuncOptions().scale_factor(std::vector<double>{2, 2, 2});
        const at::Tensor f = fine->forward(x), m = middle->forward(f);
        at::Tensor c = deepest->forward(coarse->forward(m));
        c = c + c.mean({2, 3, 4}, true);
        const at::Tensor up = up_to_middle->forward(nn::functional::interpolate(c, twice) + m);
        return logits->forward(up_to_fine->forward(nn::functional::interpolate(up, twice) + f));
    }

    nn::Sequential fine, middle, coarse, deepest, up_to_middle, up_to_fine;
    nn::Conv3d logits;
};
TORCH_MODULE(UNet);

int train(const std::string &folder, int steps) {
    const at::Tensor image = read_volume(folder + "/mni152_t1.nii.gz").to(at::kFloat);
    const at::Tensor tissues = read_volume(folder + "/mni152_tissues.nii.gz");
    // Trained on the left half, held to the right one.
    const std::int64_t half = width / 2;
    const at::Tensor left = image.slice(2, 0, half);
    const at::Tensor grey = (image - left.mean()) / left.std();

    torch::manual_seed(1);
    UNet network;
    // Voxel by voxel in memory, which takes half the time on a CPU.
    for (at::Tensor &weights : network->parameters()) {
        if (weights.dim() == 5) weights.set_data(weights.contiguous(torch::MemoryFormat::ChannelsLast3d));
    }
    torch::optim::Adam optimiser(network->parameters(), torch::optim::AdamOptions(3e-3));
    dice::torch_ops::AnyLoss loss;
    const auto place = [](std::int64_t end) { return torch::randint(end - patch + 1, {1}).item<std::int64_t>(); };
    double of_losses = 0.0;
    const auto now = [] { return std::chrono::steady_clock::now(); };
    const auto seconds = [](auto duration) { return std::chrono::duration<double>(duration).count(); };
    const auto started = now();
    double last = 0.0, first = 0.0;
    for (int step = 0; step < steps; ++step) {
        std::vector<at::Tensor> images, labels;
        for (int n = 0; n < 2; ++n) {
            const std::int64_t d = place(depth), h = place(height), w = place(half);
            const auto cut = [&](const at::Tensor &volume) { return volume.slice(0, d, d + patch).slice(1, h, h + patch).slice(2, w, w + patch); };
            images.push_back(cut(grey).unsqueeze(0));
            labels.push_back(cut(tissues));
        }
        const at::Tensor logits = network(torch::stack(images).contiguous(torch::MemoryFormat::ChannelsLast3d));
        const auto before = now();
        const at::Tensor value = loss(logits, torch::stack(labels));
        of_losses += seconds(now() - before);
        optimiser.zero_grad();
        value.backward();
        optimiser.step();
        last = value.item<double>();
        if (step == 0) first = last;
        if (step % 20 == 0) std::printf("step %4d  loss %.4f\n", step, last);
    }
    const double all = seconds(now() - started);

    torch::NoGradGuard no_grad;
    const std::int64_t size = 96;
    const auto part = [&](const at::Tensor &volume) { return volume.slice(0, 48, 48 + size).slice(1, 64, 64 + size).slice(2, half, half + size); };
    const at::Tensor found = network(part(grey).unsqueeze(0).unsqueeze(0)).argmax(1).squeeze(0), truth = part(tissues);
    std::printf("RESULT loss_before=%.4f loss_after=%.4f", first, last);
    const char *const names[] = {"outside", "csf", "grey", "white"};
    for (std::int64_t k = 1; k < classes; ++k) {
        const at::Tensor a = found == k, b = truth == k;
        const double both = (a & b).sum().item<double>(), either = a.sum().item<double>() + b.sum().item<double>();
        std::printf(" %s=%.3f", names[k], either > 0.0 ? 2.0 * both / either : 0.0);
    }
    std::printf("  (%.0f ms a step, %.1f %% of them in the loss's forward pass)\n", 1000.0 * all / steps, 100.0 * of_losses / all);
    return last < 0.9 * first ? EXIT_SUCCESS : EXIT_FAILURE;
}

} // namespace

int main(int argc, char **argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: train FOLDER [STEPS]\n");
        return EXIT_FAILURE;
    }
    try {
        return train(argv[1], argc > 2 ? std::atoi(argv[2]) : 600);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "train: %s\n", error.what());
        return EXIT_FAILURE;
    }
}
