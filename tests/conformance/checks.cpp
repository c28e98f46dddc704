#include "conformance/checks.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include "gradstab/backend.hpp"
#include "support/gradients.hpp"

namespace gradstab::testing {
namespace {

using ::testing::AssertionFailure;
using ::testing::AssertionResult;
using ::testing::AssertionSuccess;

constexpr int kSteps = 12;  // two more than the history that a spike needs, and two after it

/// One transform and its gradients, stepped through the same data as any other of the same sizes.
class Run {
 public:
  Run(const Subject& subject, int number, const std::vector<Sizes>& sizes, RunOptions options = {},
      std::size_t offset = 0)
      : subject_(subject),
        number_(number),
        transform_(subject.make()),
        tensors_(sizes, subject.dtype, offset),
        parameters_(sizes, subject.dtype) {
    parameters_.fill(0);
    options.backend = subject.backend;
    transform_.init(parameter_set_of_sizes(sizes), std::move(options)).check();
  }

  /// Updates what is in the tensors.
  StepReport update(int step) {
    const StepReport report = transform_.update(tensors_.refs(), parameters_.refs()).value();
    if (subject_.tamper) subject_.tamper(number_, step, tensors_);
    return report;
  }
  StepReport fill_and_update(int step) {
    tensors_.fill(step);
    return update(step);
  }
  /// An update that must fail.
  bool refused(std::span<const TensorRef> refs, int step = 0) {
    const bool failed = !transform_.update(refs, parameters_.refs()).ok();
    if (subject_.tamper) subject_.tamper(number_, step, tensors_);
    return failed;
  }

  Tensors& tensors() { return tensors_; }
  GradientTransform& transform() { return transform_; }
  std::vector<std::byte> state() const { return transform_.save().value(); }

 private:
  const Subject& subject_;
  int number_;
  GradientTransform transform_;
  Tensors tensors_;
  Tensors parameters_;
};

/// The numbers of a report, for comparing two.
std::vector<double> numbers(const StepReport& report) {
  std::vector<double> list = {report.raw_global_norm, report.global_norm, static_cast<double>(report.spikes),
                              static_cast<double>(report.step)};
  for (const auto& reports : {report.tensors, report.rows}) {
    for (const TensorReport& each : reports) {
      for (const double number : {each.raw_norm, each.factor, each.spike ? 1.0 : 0.0}) list.push_back(number);
    }
  }
  return list;
}

/// Compares everything that two runs have made of step `step`.
AssertionResult agree(Run& run, const StepReport& report, Run& other, const StepReport& other_report,
                      int step) {
  for (std::size_t t = 0; t < run.tensors().size(); ++t) {
    const Elements& ours = run.tensors()[t];
    const Elements& theirs = other.tensors()[t];
    if (ours.bytes() != theirs.bytes() || std::memcmp(ours.data(), theirs.data(), ours.bytes()) != 0)
      return AssertionFailure() << "step " << step << ": gradients of tensor " << t << " differ";
  }
  if (numbers(report) != numbers(other_report))
    return AssertionFailure() << "step " << step << ": reports differ";
  const auto state = run.state();
  const auto other_state = other.state();
  if (state.size() != other_state.size() || std::memcmp(state.data(), other_state.data(), state.size()) != 0)
    return AssertionFailure() << "step " << step << ": states differ";
  return AssertionSuccess();
}

Values values_of(const std::vector<std::byte>& bytes, DType dtype, const Segment& segment) {
  Values values;
  for (std::size_t i = 0; i < segment.count; ++i) {
    values.push_back(read_element(bytes.data() + (segment.begin + i) * size_of(dtype), dtype));
  }
  return values;
}

/// 1 - cos, as half the squared distance of the two directions: without the cancellation of the difference.
double angle_deficit(const Values& before, const Values& after) {
  const long double norm_before = norm_of(before);
  const long double norm_after = norm_of(after);
  long double distance = 0.0L;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const long double difference = before[i] / norm_before - after[i] / norm_after;
    distance += difference * difference;
  }
  return static_cast<double>(0.5L * distance);
}

}  // namespace

AssertionResult keeps_the_element_type(const Subject& subject) {
  Run run(subject, 0, ordinary_sizes());
  for (int step = 1; step <= kSteps; ++step) {
    run.tensors().fill(step);
    auto expected = run.tensors().bytes();
    const StepReport report = run.update(step);
    if (subject.element_wise) {
      if (!std::isfinite(report.global_norm))
        return AssertionFailure() << "step " << step << ": made a gradient that is not finite";
      expected = run.tensors().bytes();
    }
    for (const Segment& segment : segments_of(report, run.tensors())) {
      if (subject.element_wise || segment.report->factor == 1.0) continue;
      backends().front()->scale(expected[segment.tensor].data() + segment.begin * size_of(subject.dtype),
                                subject.dtype, segment.count, segment.report->factor);
    }
    for (std::size_t t = 0; t < expected.size(); ++t) {
      if (run.tensors().bytes(t) != expected[t])
        return AssertionFailure() << "step " << step << ": tensor " << t
                                  << " is not its gradient times the reported factors, rounded once";
    }
    if (!run.tensors().guards_intact())
      return AssertionFailure() << "step " << step << ": something was written beside a tensor";
  }
  return AssertionSuccess();
}

AssertionResult leaves_zeros_unchanged(const Subject& subject) {
  Run run(subject, 0, ordinary_sizes());
  for (int step = 1; step <= kSteps; ++step) {
    run.tensors().fill(step);
    for (std::size_t t = 0; t < run.tensors().size(); ++t) {
      if (step == 6 || t % 3 == static_cast<std::size_t>(step) % 3)
        run.tensors().fill_with(t, t % 2 ? 0.0 : -0.0);
    }
    const auto before = run.tensors().bytes();
    run.update(step);
    for (std::size_t t = 0; t < before.size(); ++t) {
      const bool zero = step == 6 || t % 3 == static_cast<std::size_t>(step) % 3;
      if (zero && run.tensors().bytes(t) != before[t])
        return AssertionFailure() << "step " << step << ": the zeros of tensor " << t << " changed";
    }
  }
  return AssertionSuccess();
}

AssertionResult keeps_the_direction(const Subject& subject) {
  Run run(subject, 0, ordinary_sizes());
  for (int step = 1; step <= kSteps; ++step) {
    run.tensors().fill(step);
    const auto before = run.tensors().bytes();
    const StepReport report = run.update(step);
    for (const Segment& segment : segments_of(report, run.tensors())) {
      const Values raw = values_of(before[segment.tensor], subject.dtype, segment);
      const Values after = values_of(run.tensors().bytes(segment.tensor), subject.dtype, segment);
      const double norm = norm_of(after);
      if (norm_of(raw) == 0.0) continue;
      // Each element is off by a relative roundoff, or by half the smallest number of its type; as vectors
      // that is this part of the norm. The two norms here are doubles, rounded once each.
      const auto n = static_cast<double>(segment.count);
      const double error =
          unit_roundoff(subject.dtype) + 0.5 * std::sqrt(n) * smallest_positive(subject.dtype) / norm;
      const double bound = 2.0 * error * error + 0x1p-104;
      const double deficit = angle_deficit(raw, after);
      if (!(deficit <= bound))
        return AssertionFailure() << "step " << step << ": tensor " << segment.tensor << " from element "
                                  << segment.begin << " turned: 1 - cos is " << deficit << ", at most "
                                  << bound << " by rounding";
    }
  }
  return AssertionSuccess();
}

AssertionResult accepts_no_parameters(const Subject& subject) {
  GradientTransform transform = subject.make();
  if (const Status status = transform.init({}, {.backend = subject.backend}); !status.ok())
    return AssertionFailure() << "init: " << status.message();
  const auto report = transform.update({});
  if (!report.ok()) return AssertionFailure() << "update: " << report.status().message();
  if (!report->tensors.empty() || report->step != 1 || report->global_norm != 0.0)
    return AssertionFailure() << "the report is not that of an empty step";
  const auto state = transform.save();
  if (!state.ok()) return AssertionFailure() << "save: " << state.status().message();
  if (const Status status = transform.load(*state); !status.ok())
    return AssertionFailure() << "load: " << status.message();
  return AssertionSuccess();
}

AssertionResult refuses_another_number_of_gradients(const Subject& subject) {
  Run run(subject, 0, ordinary_sizes());
  run.fill_and_update(1);
  const auto state = run.state();
  std::vector<TensorRef> one_more = run.tensors().refs();
  one_more.push_back(one_more.back());
  for (const std::span<const TensorRef> refs :
       {std::span<const TensorRef>(), std::span<const TensorRef>(one_more)}) {
    const auto report = run.transform().update(refs);
    const std::string expected = "got " + std::to_string(refs.size()) + " gradients for " +
                                 std::to_string(run.tensors().size()) + " registered parameters";
    if (report.ok()) return AssertionFailure() << refs.size() << " gradients were accepted";
    if (report.status().code() != StatusCode::shape_mismatch || report.status().message() != expected)
      return AssertionFailure() << "refused with: " << report.status().message();
    if (run.state() != state) return AssertionFailure() << "the state changed";
  }
  return AssertionSuccess();
}

AssertionResult leaves_absent_gradients_alone(const Subject& subject) {
  Run zero(subject, 0, ordinary_sizes());
  Run absent(subject, 1, ordinary_sizes());
  for (int step = 1; step <= kSteps; ++step) {
    const auto is_absent = [&](std::size_t t) { return t % 4 == static_cast<std::size_t>(step / 2) % 4; };
    zero.tensors().fill(step);
    absent.tensors().fill(step);
    const std::vector<TensorRef> all = absent.tensors().refs();
    for (std::size_t t = 0; t < all.size(); ++t) {
      if (!is_absent(t)) continue;
      zero.tensors().fill_with(t, 0.0);
      absent.tensors().refs()[t].data = nullptr;
    }
    const auto before = absent.tensors().bytes();
    const StepReport of_zero = zero.update(step);
    const StepReport of_absent = absent.update(step);
    for (const Segment& segment : segments_of(of_absent, absent.tensors())) {
      const bool gone = is_absent(segment.tensor);
      if (segment.report->present == gone)
        return AssertionFailure() << "step " << step << ": tensor " << segment.tensor
                                  << " is reported wrongly";
      if (gone && (segment.report->factor != 1.0 || segment.report->raw_norm != 0.0))
        return AssertionFailure() << "step " << step << ": tensor " << segment.tensor
                                  << " has a factor or a norm without a gradient";
    }
    for (std::size_t t = 0; t < all.size(); ++t) {
      const auto& expected = is_absent(t) ? before[t] : zero.tensors().bytes(t);
      if (absent.tensors().bytes(t) != expected)
        return AssertionFailure() << "step " << step << ": tensor " << t << " came out differently";
    }
    if (of_absent.global_norm != of_zero.global_norm)
      return AssertionFailure() << "step " << step << ": the global norms differ";
    absent.tensors().refs() = all;
  }
  return AssertionSuccess();
}

AssertionResult resumes_exactly(const Subject& subject) {
  for (const int interruption : {0, 1, 5, kSteps - 1}) {
    Run whole(subject, 0, ordinary_sizes());
    Run first(subject, 1, ordinary_sizes());
    Run second(subject, 2, ordinary_sizes());
    second.fill_and_update(kSteps + 1);  // a state that loading must replace
    for (int step = 1; step <= kSteps; ++step) {
      if (step == interruption + 1) {
        if (const Status status = second.transform().load(first.state()); !status.ok())
          return AssertionFailure() << "load after step " << interruption << ": " << status.message();
      }
      Run& resumed = step <= interruption ? first : second;
      const StepReport expected = whole.fill_and_update(step);
      const StepReport actual = resumed.fill_and_update(step);
      if (const AssertionResult same = agree(resumed, actual, whole, expected, step); !same)
        return AssertionFailure() << "interrupted after step " << interruption << ", " << same.message();
    }
  }
  return AssertionSuccess();
}

AssertionResult is_deterministic(const Subject& subject) {
  struct Variant {
    unsigned threads;
    std::size_t offset;
  };
  constexpr int kFew = 2;
  Run plain(subject, 0, long_sizes());
  std::vector<std::unique_ptr<Run>> others;
  for (const Variant& variant : {Variant{1, 1}, Variant{2, 0}, Variant{3, 7}}) {
    RunOptions options;
    options.executor = thread_pool(variant.threads).value();
    const int number = static_cast<int>(others.size()) + 1;
    others.push_back(std::make_unique<Run>(subject, number, long_sizes(), options, variant.offset));
  }
  for (int step = 1; step <= kFew; ++step) {
    plain.tensors().fill(step);
    for (const auto& other : others) other->tensors().copy(plain.tensors());
    const StepReport expected = plain.update(step);
    for (std::size_t i = 0; i < others.size(); ++i) {
      const StepReport actual = others[i]->update(step);
      if (const AssertionResult same = agree(*others[i], actual, plain, expected, step); !same)
        return AssertionFailure() << "with " << i + 1 << " threads, " << same.message();
    }
  }
  return AssertionSuccess();
}

AssertionResult changes_nothing_on_errors(const Subject& subject) {
  const RunOptions raise{.nonfinite = NonFinitePolicy::raise};
  Run undisturbed(subject, 0, ordinary_sizes(), raise);
  Run run(subject, 1, ordinary_sizes(), raise);
  const std::size_t last = run.tensors().size() - 1;
  constexpr std::size_t kMatrix = 3;
  const Sizes other = {9};
  const Sizes overlapping = {0, 1};
  const std::vector<std::function<void(std::vector<TensorRef>&)>> mistakes = {
      [&](auto& refs) { refs[last].sizes = other; },
      [&](auto& refs) { refs[last].dtype = static_cast<DType>(9); },
      [&](auto& refs) { refs[last].device = DeviceType::cuda; },
      [&](auto& refs) { refs[kMatrix].strides = overlapping; },
      [&](auto& refs) {
        refs[6].data = static_cast<std::byte*>(refs[kMatrix].data) + size_of(subject.dtype);
      },
      [&](auto& refs) { refs.pop_back(); },
      [&](auto&) { run.tensors()[5].set(7, std::numeric_limits<double>::quiet_NaN()); },
      [&](auto&) { run.tensors()[0].set(0, -std::numeric_limits<double>::infinity()); },
  };
  for (int step = 1; step <= kSteps; ++step) {
    run.tensors().fill(step);
    const auto state = run.state();
    const std::size_t which = static_cast<std::size_t>(step) % mistakes.size();
    std::vector<TensorRef> refs = run.tensors().refs();
    mistakes[which](refs);
    const auto before = run.tensors().bytes();
    if (!run.refused(refs, step)) return AssertionFailure() << "mistake " << which << " was accepted";
    if (run.tensors().bytes() != before)
      return AssertionFailure() << "mistake " << which << " changed gradients";
    std::vector<std::byte> damaged = state;
    damaged.back() ^= std::byte{1};
    if (run.transform().load(damaged).ok()) return AssertionFailure() << "a damaged state was accepted";
    if (run.state() != state) return AssertionFailure() << "mistake " << which << " changed the state";
    const StepReport expected = undisturbed.fill_and_update(step);
    const StepReport actual = run.fill_and_update(step);
    if (const AssertionResult same = agree(run, actual, undisturbed, expected, step); !same) return same;
  }
  return AssertionSuccess();
}

}  // namespace gradstab::testing
