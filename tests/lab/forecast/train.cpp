// Trains PatchTST on a series at the published settings, with plain Adam, and says what every epoch took and
// reached on all test windows. Not a test: docs and reviewers run it where a series that may not be copied
// here lies. Usage: gradstab_forecast_train FILE.csv [HORIZON] [EPOCHS] [SEED] [THREADS] [COMPAT]
#include <malloc.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <thread>
#include <vector>

#include "lab/forecast/batches.hpp"
#include "lab/forecast/linear_model.hpp"
#include "lab/forecast/patch_tst.hpp"
#include "lab/forecast/published.hpp"
#include "lab/forecast/read_series.hpp"
#include "lab/forecast/trivial_predictors.hpp"
#include "lab/train/denormals.hpp"
#include "tests/lab/forecast/published_config.hpp"

namespace gradstab::lab::forecast {
namespace {

/// What the published code does that its name or documents do not say.
struct PublishedQuirks {
  bool drop_last = false;  ///< the smaller last batch of every part is left out
  bool one_cycle_start =
      false;  ///< a schedule that is made and not used: 1/25 of the rate at first, beta1 0.95
  bool revin_inverse = false;  ///< PatchTstConfig::compat_revin_inverse
};

/// Of the learning rate in `epoch`, from 0, by the rule "type3".
double type3_factor(std::int64_t epoch, const PublishedQuirks& quirks) {
  if (epoch < 1 && quirks.one_cycle_start) return 1.0 / 25;
  return epoch <= 3 ? 1 : std::pow(0.9, static_cast<double>(epoch - 3));
}

/// Wall and processor time since it was made.
class Watch {
 public:
  double wall() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - wall_).count();
  }
  double processor() const { return static_cast<double>(std::clock() - processor_) / CLOCKS_PER_SEC; }

 private:
  std::chrono::steady_clock::time_point wall_ = std::chrono::steady_clock::now();
  std::clock_t processor_ = std::clock();
};

void say(const char* what, const Score& score, const Watch& watch) {
  std::printf("%-12s MSE %.4f  MAE %.4f  (%.1f s, %.1f processor s)\n", what, score.mean_squared_error(),
              score.mean_absolute_error(), watch.wall(), watch.processor());
  std::fflush(stdout);
}

int run(const char* file, std::int64_t horizon, std::int64_t epochs, std::uint64_t seed,
        const PublishedQuirks& quirks) {
  const Series series = read_series(file).value();
  for (const std::string& note : series.notes) std::printf("note: %s\n", note.c_str());
  const PublishedSettings* settings = published_settings(series.name);
  if (settings == nullptr) settings = published_settings("ETTh1");
  PatchTstConfig config = config_of(*settings, horizon);
  config.compat_revin_inverse = quirks.revin_inverse;
  const Parts parts = split_rows(series, config.look_back, horizon).value();
  const auto scale = Standardization::of(series, parts.training);
  const StandardSeries standard = StandardSeries::of(series, scale, parts.training).value();
  const Windows training(standard, parts.training, config.look_back, horizon);
  const Windows validation(standard, parts.validation, config.look_back, horizon);
  const Windows test(standard, parts.test, config.look_back, horizon);
  std::printf("%s, %s: %lld/%lld/%lld windows, %lld parameters, %d threads\n", series.name.c_str(),
              parts.rule.c_str(), static_cast<long long>(training.count()),
              static_cast<long long>(validation.count()), static_cast<long long>(test.count()),
              static_cast<long long>(config.parameter_count()), torch::get_num_threads());
  const Watch trivial;
  say("last value", score_last_value(test), trivial);
  say("window mean", score_window_mean(test), trivial);
  const Watch linear;
  say("linear", LinearModel::fit(training).score(test), linear);

  const FlushDenormals flush_denormals;
  PatchTst model(config, seed);
  torch::optim::Adam optimizer(
      model->parameters(),
      torch::optim::AdamOptions(settings->learning_rate).betas({quirks.one_cycle_start ? 0.95 : 0.9, 0.999}));
  const WindowOrder order(training.count(), settings->batch, seed, quirks.drop_last);
  const auto evaluate = [&](const Windows& windows, bool drop_last = false) {
    model->eval();
    return score([&](const torch::Tensor& inputs) { return model->forward(inputs); }, windows,
                 in_whole_batches(windows.count(), settings->batch, drop_last), settings->batch);
  };
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    const Watch watch;
    model->train();
    static_cast<torch::optim::AdamOptions&>(optimizer.param_groups()[0].options())
        .lr(settings->learning_rate * type3_factor(epoch, quirks));
    double sum = 0;
    for (std::int64_t step = 0; step < order.batches_per_epoch(); ++step) {
      const auto update = static_cast<std::uint64_t>(epoch * order.batches_per_epoch() + step);
      std::vector<std::int64_t> indices(static_cast<std::size_t>(order.size(update)));
      order.batch(update, indices);
      const Batch batch = gather(training, indices);
      optimizer.zero_grad();
      const torch::Tensor loss =
          torch::mse_loss(model->forward(batch.inputs, nn::Draw{seed, update}), batch.targets);
      loss.backward();
      optimizer.step();
      sum += loss.item<double>() * static_cast<double>(indices.size());
    }
    std::printf("epoch %lld: training MSE %.4f  (%.1f s, %.1f processor s)\n",
                static_cast<long long>(epoch + 1), sum / static_cast<double>(training.count()), watch.wall(),
                watch.processor());
    const Watch evaluation;
    say("  validation", evaluate(validation), evaluation);
    say("  test", evaluate(test), evaluation);
    if (quirks.drop_last) say("  published", evaluate(test, true), evaluation);
  }
  return 0;
}

}  // namespace
}  // namespace gradstab::lab::forecast

int main(int count, char** arguments) {
  if (count < 2) {
    std::fprintf(stderr, "usage: %s FILE.csv [HORIZON] [EPOCHS] [SEED] [THREADS] [COMPAT]\n", arguments[0]);
    return 2;
  }
  const auto number = [&](int index, int otherwise) {
    return count > index ? std::atoi(arguments[index]) : otherwise;
  };
  // As gradstab-train does.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  at::set_num_threads(number(5, static_cast<int>(std::thread::hardware_concurrency())));
  return gradstab::lab::forecast::run(arguments[1], number(2, 96), number(3, 14),
                                      static_cast<std::uint64_t>(number(4, 2021)),
                                      {number(6, 0) != 0, number(6, 0) != 0, number(6, 0) != 0});
}
