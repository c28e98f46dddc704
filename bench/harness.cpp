#include "harness.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <thread>

namespace gradstab::bench {
namespace {

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

}  // namespace

Summary summarize(std::vector<double> samples) {
  Summary summary;
  summary.median = median(samples);
  for (double& sample : samples) sample = std::fabs(sample - summary.median);
  summary.mad = median(std::move(samples));
  return summary;
}

void Experiment::add(std::string name, std::function<void()> prepare, std::function<void()> run, int calls) {
  variants_.push_back({std::move(name), std::move(prepare), std::move(run), calls});
}

double Experiment::time(const Variant& variant) const {
  using Clock = std::chrono::steady_clock;
  double fastest = std::numeric_limits<double>::infinity();
  // OpenMP's workers spin for some milliseconds after LibTorch is done with them, on cores that the next
  // variant needs. They get the time to fall asleep; LibTorch itself keeps the spinning, which makes it
  // faster.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  for (int call = 0; call < variant.calls; ++call) {
    variant.prepare();
    const auto begin = Clock::now();
    variant.run();
    fastest = std::min(fastest, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return fastest;
}

void Experiment::run(int repeats) {
  std::vector<std::size_t> order(variants_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::mt19937 generator(1);
  for (int repeat = -1; repeat < repeats; ++repeat) {
    std::shuffle(order.begin(), order.end(), generator);
    for (const std::size_t v : order) {
      const double seconds = time(variants_[v]);
      if (repeat >= 0) samples_[variants_[v].name].push_back(seconds);
    }
  }
}

Summary Experiment::seconds(const std::string& name) const {
  return summarize(samples_.at(name));
}

double Experiment::total(const std::vector<std::string>& names, std::size_t repeat) const {
  double sum = 0.0;
  for (const std::string& name : names) sum += samples_.at(name)[repeat];
  return sum;
}

Summary Experiment::ratio(const std::vector<std::string>& numerators,
                          const std::vector<std::string>& denominators) const {
  std::vector<double> ratios(samples_.at(numerators.front()).size());
  for (std::size_t r = 0; r < ratios.size(); ++r) ratios[r] = total(numerators, r) / total(denominators, r);
  return summarize(std::move(ratios));
}

}  // namespace gradstab::bench
