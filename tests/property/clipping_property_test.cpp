// What the methods of clipping.hpp promise of every sequence of norms.
#include <algorithm>
#include <cmath>
#include <limits>

#include "gradstab/bounds.hpp"
#include "gradstab/transforms.hpp"
#include "property/generators.hpp"
#include "property/property.hpp"
#include "support/saved_state.hpp"

namespace gradstab {
namespace {

using testing::Gradients;
using testing::Values;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr std::size_t kLongest = 200;

/// Two tensors whose norms follow two sequences.
class Model {
 public:
  explicit Model(GradientTransform transform) : transform_(std::move(transform)) {
    transform_.init(parameters_).check();
  }
  StepReport step(double first, double second) {
    gradients_.set(0, testing::vector_of_norm(random_, 6, first));
    gradients_.set(1, testing::vector_of_norm(random_, 3, second));
    return transform_.update(gradients_.refs()).value();
  }
  const Gradients& gradients() const { return gradients_; }
  std::vector<double> saved(std::string_view name) const { return testing::saved_numbers(transform_, name); }

 private:
  const ParameterSet parameters_ = testing::parameter_set_of_sizes({{2, 3}, {3}});
  Gradients gradients_{parameters_, DType::float64};
  GradientTransform transform_;
  std::mt19937_64 random_ = testing::random_engine();
};

double p_norm(const std::vector<Values>& tensors, double p) {
  double sum = 0.0;
  double largest = 0.0;
  for (const Values& tensor : tensors) {
    for (const double value : tensor) {
      sum += std::pow(std::fabs(value), p);
      largest = std::max(largest, std::fabs(value));
    }
  }
  return std::isinf(p) ? largest : std::pow(sum, 1.0 / p);
}

std::vector<double> norms_within(double limit) {
  return (*testing::norm_sequence({}, kLongest, limit)).norms;
}

GRADSTAB_PROPERTY(ClippingPropertyTest, ThePNormThatWasAskedForIsAtMostTheLimit) {
  const double p = *rc::gen::element(1.0, 1.25, 2.0, 3.0, 7.5, kInf);
  Model model(clip_by_global_norm({.max_norm = 0.5, .p = p}));
  for (const double norm : norms_within(1e12)) {
    model.step(norm, 0.25 * norm);
    RC_ASSERT(p_norm(model.gradients().values(), p) <= 0.5 * (1.0 + 1e-12));
  }
}

GRADSTAB_PROPERTY(ClippingPropertyTest, ValueClippingBoundsEveryElementAndChangesNoneWithin) {
  const double limit = *rc::gen::element(1e-200, 0.1, 1e200);
  Model model(clip_by_value(limit));
  for (const double norm : norms_within(1e300)) {
    model.step(norm, norm);
    for (const Values& tensor : model.gradients().values()) {
      for (const double value : tensor) RC_ASSERT(std::fabs(value) <= limit);
    }
  }
}

GRADSTAB_PROPERTY(ClippingPropertyTest, ZClipKeepsToItsFixedLimitAndItsMeanToTheNormsItSaw) {
  ZClipOptions options;
  options.warmup_steps = 1 + testing::any_of(30);
  options.mode = *rc::gen::element(ZClipMode::zscore, ZClipMode::percentile);
  options.target = *rc::gen::element(ZClipTarget::adaptive_scaling, ZClipTarget::mean);
  options.skip_update_on_spike = *rc::gen::arbitrary<bool>();
  options.max_norm = *rc::gen::element(1.0, kInf);
  Model model(zclip(options));
  double largest = 0.0;
  for (const double norm : norms_within(1e100)) {
    const StepReport report = model.step(norm, 0.5 * norm);
    RC_ASSERT(report.global_norm <= options.max_norm * (1.0 + 1e-12));
    RC_ASSERT(report.global_norm <= report.raw_global_norm * (1.0 + 1e-12));
    largest = std::max(largest, report.raw_global_norm);
    RC_ASSERT(model.saved("mean").front() <= largest * (1.0 + 1e-12));
    RC_ASSERT(model.saved("var").front() >= 0.0);
  }
}

GRADSTAB_PROPERTY(ClippingPropertyTest, AdaGcLimitsEachNormByItsAverageWhichGrowsSlowly) {
  AdaGcOptions options;
  options.relative = 1.0 + 0.01 * testing::any_of(100);
  options.beta = 0.01 * testing::any_of(100);
  options.warmup_steps = testing::any_of(20);
  options.global_warmup = *rc::gen::arbitrary<bool>();
  Model model(adagc(options));
  const double growth = 1.0 + (1.0 - options.beta) * (options.relative - 1.0);
  const auto averages = [&] {
    const auto average = model.saved("gamma");
    const auto count = model.saved("k");
    std::vector<std::pair<double, double>> all;
    for (std::size_t i = 0; i < 2; ++i) all.emplace_back(average.at(i), count.at(i));
    return all;
  };
  int steps = 0;
  for (const double norm : norms_within(1e100)) {
    const auto before = averages();
    const StepReport report = model.step(norm, 0.25 * norm);
    const auto after = averages();
    steps += norm > 0.0 ? 1 : 0;
    for (std::size_t i = 0; i < 2; ++i) {
      if (before[i].second == 0) continue;
      RC_ASSERT(after[i].first <= before[i].first * growth * (1.0 + 1e-12));
      if (steps > options.warmup_steps)
        RC_ASSERT(report.tensors[i].norm() <= options.relative * before[i].first * (1.0 + 1e-12));
    }
  }
}

GRADSTAB_PROPERTY(ClippingPropertyTest, AgcKeepsEveryRowWithinItsShareOfTheParameter) {
  const double factor = *rc::gen::element(0.01, 0.3, 2.0);
  const ParameterSet parameters = testing::parameter_set_of_sizes({{2, 3}, {3}});
  GradientTransform transform = adaptive_clip({.clip_factor = factor, .exclude = {}});
  transform.init(parameters).check();
  Gradients gradients(parameters, DType::float64);
  Gradients values(parameters, DType::float64);
  auto random = testing::random_engine();
  for (const double norm : norms_within(1e100)) {
    const double size = std::sqrt(norm);
    gradients.set_all({testing::vector_of_norm(random, 6, norm), testing::vector_of_norm(random, 3, norm)});
    values.set_all({testing::vector_of_norm(random, 6, size), testing::vector_of_norm(random, 3, size)});
    const StepReport report = transform.update(gradients.refs(), values.refs()).value();
    const Values matrix = values.values(0);
    for (std::size_t row = 0; row < 2; ++row) {
      const double of_parameter = testing::norm_of(std::span(matrix).subspan(3 * row, 3));
      RC_ASSERT(report.rows[row].norm() <= factor * std::max(of_parameter, 1e-3) * (1.0 + 1e-12));
    }
    RC_ASSERT(report.rows[2].norm() <=
              factor * std::max(testing::norm_of(values.values(1)), 1e-3) * (1.0 + 1e-12));
  }
}

/// The theorems on GradientStabilizer are theorems on AdaGN.
GRADSTAB_PROPERTY(ClippingPropertyTest, AdaGnStaysWithinTheBoundOfItsDecays) {
  const StabilizerOptions same{.gamma1 = 0.7, .gamma2 = 0.9};
  Model model(adaptive_norm());
  std::int64_t step = 0;
  for (const double norm : norms_within(1e300)) {
    if (norm == 0.0) continue;
    ++step;
    const StepReport report = model.step(norm, norm);
    for (const TensorReport& tensor : report.tensors)
      RC_ASSERT(tensor.norm() <= step_bound(same, step) * (1.0 + testing::rounding_slack(same, step)));
  }
}

}  // namespace
}  // namespace gradstab
