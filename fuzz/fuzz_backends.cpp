// Every backend must make the same of the same gradients.
//
// The input chooses a chain, parameters, element types, layouts, a policy and steps. On every backend
//   - each norm is the reference backend's within rounding, and what is flagged is the same;
//   - each element is its gradient times the reported factor, as the reference backend multiplies;
//   - factors and spikes are, bit for bit, those of a replay: the same chain over gradients that have one
//     element per row or tensor, its norm. The method sees gradients through their norms alone;
//   - saving and loading on the way changes nothing; an error changes nothing and is the same everywhere.
#include <cmath>
#include <limits>
#include <memory>
#include <string>

#include "gradstab/backend.hpp"
#include "input.hpp"
#include "step_case.hpp"
#include "support/elements.hpp"
#include "support/gradients.hpp"

namespace gradstab::fuzz {
namespace {

using testing::StridedTensor;

constexpr double kLargest = std::numeric_limits<double>::max();

bool same(double a, double b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}

/// One transform on one backend, and its replay.
class Runner {
 public:
  Runner(const StepCase& step_case, const Backend& backend) : case_(step_case), backend_(backend) {
    options_ = {.nonfinite = case_.policy, .backend = std::string(backend.name())};
    if (case_.threads > 1) options_.executor = thread_pool(case_.threads).value();
  }

  Status init() {
    std::vector<std::vector<std::int64_t>> norms;
    for (const auto& sizes : case_.sizes) {
      const bool rows = case_.per_row() && sizes.size() >= 2;
      norms.push_back(rows ? std::vector<std::int64_t>{sizes[0], 1} : std::vector<std::int64_t>{1});
    }
    replayed_ = std::make_unique<testing::Gradients>(testing::parameter_set_of_sizes(norms), DType::float64);
    GRADSTAB_RETURN_IF_ERROR(replay_.init(testing::parameter_set_of_sizes(norms),
                                          {.nonfinite = case_.policy, .backend = "reference"}));
    return transform_.init(testing::parameter_set_of_sizes(case_.sizes), options_);
  }

  /// Steps over a copy of the gradients and checks what came out against `before`.
  Result<StepReport> step(const std::vector<GradientCase>& before) {
    gradients_ = before;
    std::vector<TensorRef> refs;
    for (GradientCase& gradient : gradients_) {
      refs.push_back(gradient.tensor.ref());
      refs.back().sparse_values = gradient.sparse;
      if (!gradient.present) refs.back().data = nullptr;
    }
    const auto report = transform_.update(refs);
    if (!report.ok() || report->skip_step) {
      for (std::size_t t = 0; t < before.size(); ++t)
        check(gradients_[t].tensor.memory() == before[t].tensor.memory(), "changed by an error", t);
    } else {
      for (std::size_t t = 0; t < before.size(); ++t) check_elements(*report, before[t], t);
    }
    if (report.ok()) check_replay(*report);
    return report;
  }

  /// A fresh transform goes on from the saved state.
  void save_and_load() {
    GradientTransform fresh = case_.make();
    fresh.init(transform_.parameters(), options_).check();
    fresh.load(transform_.save().value()).check();
    transform_ = std::move(fresh);
  }

  void check(bool condition, const char* what, std::size_t tensor) const {
    GRADSTAB_FUZZ_CHECK(condition, "%s: %s, tensor %zu", backend_.name().data(), what, tensor);
  }

 private:
  std::span<const TensorReport> segments(const StepReport& report, std::size_t tensor) const {
    if (!case_.per_row()) return report.tensors.subspan(tensor, 1);
    return report.rows.subspan(report.first_row[tensor],
                               report.first_row[tensor + 1] - report.first_row[tensor]);
  }

  void check_elements(const StepReport& report, const GradientCase& before, std::size_t t) const {
    StridedTensor expected = before.tensor;
    StridedTensor actual = gradients_[t].tensor;
    check(actual.gaps_intact(), "a gap was written", t);
    const DType dtype = expected.dtype();
    const auto reports = segments(report, t);
    const std::size_t per_segment = reports.empty() ? 0 : expected.count() / reports.size();
    for (std::size_t i = 0; i < per_segment * reports.size(); ++i) {
      const TensorReport& segment = reports[i / per_segment];
      check(segment.present == before.present, "presence", t);
      std::byte* element = expected.element(i);
      if (segment.zeroed) {
        testing::write_element(element, dtype, 0.0);
      } else if (before.present && segment.factor != 1.0) {
        backends().front()->scale(element, dtype, 1, segment.factor);
      }
      if (std::memcmp(element, actual.element(i), size_of(dtype)) == 0) continue;
      check(std::isnan(testing::read_element(element, dtype)) &&
                std::isnan(testing::read_element(actual.element(i), dtype)),
            "an element is not its gradient times the factor", t);
    }
  }

  void check_replay(const StepReport& report) {
    if (case_.needs_max_abs()) return;  // the largest element is lost in the norm
    for (std::size_t t = 0; t < case_.sizes.size(); ++t) {
      testing::Values norms;
      for (const TensorReport& segment : segments(report, t)) norms.push_back(segment.raw_norm);
      replayed_->set(t, norms);
      if (!gradients_[t].present)
        replayed_->set_absent(t);
      else if (norms.empty())
        replayed_->mutable_refs()[t].data = this;  // no rows, but present
    }
    const auto replay = replay_.update(replayed_->refs());
    GRADSTAB_FUZZ_CHECK(replay.ok(), "%s", replay.status().message().c_str());
    for (std::size_t t = 0; t < case_.sizes.size(); ++t) {
      const auto expected = segments(*replay, t);
      const auto actual = segments(report, t);
      check(actual.size() == expected.size(), "number of rows", t);
      for (std::size_t s = 0; s < actual.size(); ++s) {
        check(same(actual[s].raw_norm, expected[s].raw_norm), "the norm of a norm", t);
        check(same(actual[s].factor, expected[s].factor), "a factor differs from the replay's", t);
        check(actual[s].spike == expected[s].spike, "a spike differs from the replay's", t);
        check(actual[s].finite == expected[s].finite, "finite differs from the replay's", t);
        check(actual[s].zeroed == expected[s].zeroed, "zeroed differs from the replay's", t);
      }
      check(same(report.tensors[t].factor, replay->tensors[t].factor), "a tensor's factor", t);
      check(report.tensors[t].present == gradients_[t].present, "a tensor's presence", t);
    }
    check(same(report.raw_global_norm, replay->raw_global_norm), "raw global norm", 0);
    check(same(report.global_norm, replay->global_norm), "global norm", 0);
    check(report.spikes == replay->spikes && report.nonfinite == replay->nonfinite, "counts", 0);
    check(report.skip_step == replay->skip_step && report.step == replay->step, "step", 0);
  }

  const StepCase& case_;
  const Backend& backend_;
  RunOptions options_;
  GradientTransform transform_ = case_.make();
  GradientTransform replay_ = case_.make();
  std::unique_ptr<testing::Gradients> replayed_;
  std::vector<GradientCase> gradients_;
};

/// How far two norms of `count` elements may lie apart: half of what two sums of squares may, in double and
/// in any order, two roots, and for 16-bit types the pairs that are added in float.
double norm_tolerance(DType dtype, std::size_t count, double norm) {
  const double pairs = size_of(dtype) == 2 ? 0x1p-25 : 0.0;
  return ((static_cast<double>(count) + 4.0) * 0x1p-53 + pairs) * norm + 0x1p-1073;
}

/// Whether rounding alone may decide if a norm is a double or infinite.
bool at_the_end_of_range(double norm) {
  return norm >= kLargest * (1.0 - 0x1p-40) && norm <= kLargest;
}

/// False where the input is on an edge that rounding decides.
bool compare(const Runner& runner, const StepReport& report, const StepReport& reference,
             const std::vector<GradientCase>& gradients) {
  const bool rows = !reference.first_row.empty();
  const auto actual = rows ? report.rows : report.tensors;
  const auto expected = rows ? reference.rows : reference.tensors;
  for (std::size_t t = 0; t < gradients.size(); ++t) {
    const std::size_t begin = rows ? reference.first_row[t] : t;
    const std::size_t end = rows ? reference.first_row[t + 1] : t + 1;
    for (std::size_t s = begin; s < end; ++s) {
      const double norm = expected[s].raw_norm;
      if (at_the_end_of_range(norm) || at_the_end_of_range(actual[s].raw_norm)) return false;
      const std::size_t count = gradients[t].tensor.count() / (end - begin);
      const double tolerance = norm_tolerance(gradients[t].tensor.dtype(), count, norm);
      runner.check(same(actual[s].raw_norm, norm) || std::fabs(actual[s].raw_norm - norm) <= tolerance,
                   "a norm differs from the reference's", t);
      runner.check(actual[s].finite == expected[s].finite, "finite differs from the reference's", t);
      runner.check(actual[s].zeroed == expected[s].zeroed, "zeroed differs from the reference's", t);
      runner.check(actual[s].present == expected[s].present, "present differs from the reference's", t);
    }
  }
  return true;
}

void try_case(Input& input) {
  const StepCase step_case = read_case(input);
  std::vector<std::unique_ptr<Runner>> runners;
  std::string refusal;
  for (const Backend* backend : backends()) {
    if (!backend->supported()) continue;
    runners.push_back(std::make_unique<Runner>(step_case, *backend));
    const Status status = runners.back()->init();
    if (runners.size() == 1) refusal = status.message();
    runners.back()->check(status.message() == refusal, "init says something else", 0);
  }
  if (!refusal.empty()) return;
  for (std::size_t step = 0; step < step_case.steps; ++step) {
    const std::vector<GradientCase> gradients = read_gradients(input, step_case);
    const auto reference = runners.front()->step(gradients);
    for (std::size_t r = 1; r < runners.size(); ++r) {
      const auto report = runners[r]->step(gradients);
      runners[r]->check(report.status().message() == reference.status().message(), "the error differs", 0);
      if (report.ok() && !compare(*runners[r], *report, *reference, gradients)) return;
    }
    if (input.below(8) == 7) {
      for (const auto& runner : runners) runner->save_and_load();
    }
  }
}

}  // namespace
}  // namespace gradstab::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  gradstab::fuzz::Input input(data, size);
  gradstab::fuzz::try_case(input);
  return 0;
}
