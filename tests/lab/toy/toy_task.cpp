#include "tests/lab/toy/toy_task.hpp"

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <thread>

#include "lab/support/hashing.hpp"
#include "tests/lab/toy/toy_kind.hpp"

namespace gradstab::lab {
namespace {

struct Point : torch::nn::Module {
  explicit Point(std::int64_t size) { w = register_parameter("w", torch::zeros({size})); }
  torch::Tensor w;
};

/// Uniform in [-1, 1), a function of its arguments.
float draw(std::uint64_t seed, std::uint64_t index, std::uint64_t place) {
  return static_cast<float>(mix64(mix64(mix64(seed) ^ index) ^ place) >> 40) / 8388608.0F - 1.0F;
}

class ToyTask final : public Task {
 public:
  explicit ToyTask(const TrainOptions& options)
      : info_(toy_kind().info()),
        settings_(options.task.as<ToySettings>()),
        seed_(options.seed),
        batch_(options.batch),
        point_(settings_.size),
        target_(torch::linspace(1.0, 2.0, settings_.size)) {
    info_.uninformed = closeness();
  }

  const TaskInfo& info() const noexcept override { return info_; }
  torch::nn::Module& model() override { return point_; }

  torch::Tensor training_loss(std::uint64_t index) override {
    // For a test that kills the program in the middle of a run.
    if (const char* delay = std::getenv("TOY_MILLISECONDS"))
      std::this_thread::sleep_for(std::chrono::milliseconds(std::atoi(delay)));
    torch::Tensor noise = torch::zeros_like(target_);
    for (std::int64_t i = 0; i < settings_.size; ++i)
      noise[i] = settings_.noise * draw(seed_, index, static_cast<std::uint64_t>(i));
    const torch::Tensor loss = (point_.w - target_).square().sum() * 0.5 + (noise * point_.w).sum();
    const bool spike =
        settings_.spike_every > 0 && (index + 1) % static_cast<std::uint64_t>(settings_.spike_every) == 0;
    return spike ? loss * 1000.0 : loss;
  }

  std::int64_t samples(std::uint64_t) const override { return batch_; }
  std::int64_t updates_per_epoch() const noexcept override { return 10; }
  Evaluation evaluate(Extent) override {
    std::vector<std::int64_t> places;
    for (std::int64_t i = 0; i < settings_.size; ++i) places.push_back(i);
    const auto values = [](const torch::Tensor& tensor) {
      std::vector<double> list;
      for (std::int64_t i = 0; i < tensor.size(0); ++i) list.push_back(tensor[i].item<double>());
      return list;
    };
    Evaluation found;
    found.values = {closeness(), distance()};
    found.exhibits.push_back(
        {{"kind", "lines"},
         {"title", "The point"},
         {"caption", "that was looked for, and that was found"},
         {"x", places},
         {"lines", Json::array({{{"label", "looked for"}, {"y", values(target_)}},
                                {{"label", "found"}, {"y", values(point_.w.detach())}}})}});
    return found;
  }
  std::string model_text() const override { return "a point"; }
  nlohmann::ordered_json describe_model() const override { return {{"size", settings_.size}}; }
  nlohmann::ordered_json describe_data() const override { return nullptr; }

 private:
  double distance() const { return (point_.w.detach() - target_).norm().item<double>(); }
  double closeness() const { return -std::log10(distance()); }

  TaskInfo info_;
  ToySettings settings_;
  std::uint64_t seed_;
  std::int64_t batch_;
  Point point_;
  torch::Tensor target_;
};

}  // namespace

Result<std::unique_ptr<Task>> make_toy_task(const TrainOptions& options, const PreparationProgress&) {
  return std::unique_ptr<Task>(std::make_unique<ToyTask>(options));
}

}  // namespace gradstab::lab
