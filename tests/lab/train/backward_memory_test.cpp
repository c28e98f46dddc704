// Optimizer-in-backward on the CPU LLaMA: what it saves of the process's memory, and that it learns the same.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <torch/torch.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <string>

#include "gradstab/libtorch_fused.hpp"
#include "lab/llm/llama.hpp"
#include "lab/train/environment.hpp"

namespace gradstab::lab {
namespace {

// Wide and shallow enough to train in a second, with many times more bytes of gradients than of activations.
const LlamaConfig kConfig{
    .name = "test", .hidden = 512, .intermediate = 1376, .heads = 8, .layers = 6, .vocab_size = 260};
constexpr int kSteps = 4;

struct Outcome {
  float losses[kSteps];
  std::int64_t peak_bytes;
};

/// "VmHWM" of this process.
std::int64_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    std::int64_t kibibytes = 0;
    if (word == "VmHWM:" && status >> kibibytes) return kibibytes * 1024;
  }
  return 0;
}

Outcome train(bool in_backward) {
  at::set_num_threads(1);
  if (in_backward) return_freed_tensors_to_system();
  Llama model(kConfig, 1);
  FusedSettings settings;
  settings.transform = stabilize();
  FusedAdamW optimizer(model->named_parameters(), torch::optim::AdamWOptions(1e-3), std::move(settings));
  std::optional<BackwardStepper> stepper;
  if (in_backward) stepper.emplace(optimizer);
  Outcome outcome{};
  for (int step = 0; step < kSteps; ++step) {
    torch::manual_seed(static_cast<std::uint64_t>(step));
    const torch::Tensor loss = model->loss(torch::randint(kConfig.vocab_size, {1, 17}));
    loss.backward();
    if (!in_backward) {
      optimizer.step();
      for (torch::Tensor& parameter : model->parameters()) parameter.mutable_grad().reset();
    }
    outcome.losses[step] = loss.item<float>();
  }
  outcome.peak_bytes = peak_resident_bytes();
  return outcome;
}

/// In a process of its own, whose peak is that of this training alone.
std::optional<Outcome> train_apart(bool in_backward) {
  int ends[2];
  if (pipe(ends) != 0) return {};
  const pid_t child = fork();
  if (child < 0) return {};
  if (child == 0) {
    const Outcome outcome = train(in_backward);
    const bool written = write(ends[1], &outcome, sizeof outcome) == sizeof outcome;
    _exit(written ? 0 : 1);
  }
  close(ends[1]);
  Outcome outcome{};
  const bool got = read(ends[0], &outcome, sizeof outcome) == sizeof outcome;
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (!got || status != 0) return {};
  return outcome;
}

TEST(BackwardMemoryTest, FreesAtLeastFourFifthsOfTheGradientsAndLearnsTheSame) {
  const auto ordinary = train_apart(false);
  const auto in_backward = train_apart(true);
  ASSERT_TRUE(ordinary && in_backward);
  for (int step = 0; step < kSteps; ++step)
    EXPECT_EQ(ordinary->losses[step], in_backward->losses[step]) << step;
  const auto gradients = static_cast<double>(parameter_count(kConfig) * 4);
  const auto saved = static_cast<double>(ordinary->peak_bytes - in_backward->peak_bytes);
  RecordProperty("saved_of_gradients", std::to_string(saved / gradients));
  EXPECT_GE(saved, 0.8 * gradients) << "peaks " << ordinary->peak_bytes << " and " << in_backward->peak_bytes
                                    << ", gradients " << gradients;
}

}  // namespace
}  // namespace gradstab::lab
