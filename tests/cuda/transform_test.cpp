// cuda::Transform against the CPU's stabilize, with the device's code run on the host.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "cuda/emulated.hpp"
#include "gradstab/transforms.hpp"
#include "optimizer/training.hpp"
#include "support/gradients.hpp"

namespace gradstab {
namespace {

using testing::emulated;
using testing::Gradients;
using ::testing::HasSubstr;
using testing::on_device;
using testing::parameter_set_of_sizes;
using testing::reports_of;
using testing::Values;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

/// The same transform on the CPU and on an emulated device, over the same values.
struct Pair {
  Pair(const ParameterSet& parameters, DType dtype, StabilizerOptions options = {},
       NonFinitePolicy nonfinite = NonFinitePolicy::skip_tensor)
      : host(stabilize(options)),
        device(stabilize(options)),
        on_host(parameters, dtype),
        on_device_memory(parameters, dtype) {
    host.init(parameters, {.nonfinite = nonfinite}).check();
    device.init(parameters, emulated(nonfinite)).check();
  }

  void set(const std::vector<Values>& values) {
    on_host.set_all(values);
    on_device_memory.set_all(values);
  }
  Status step() {
    const Status expected = host.update(on_host.refs()).status();
    device.update(on_device(on_device_memory.refs())).check();
    return expected;
  }

  GradientTransform host;
  cuda::Transform device;
  Gradients on_host;
  Gradients on_device_memory;
};

/// Six tensors: rank 0, tiny, odd, one of several chunks.
ParameterSet some_parameters() {
  return parameter_set_of_sizes({{}, {3}, {5, 7}, {40001}, {2, 9000}, {16384}});
}

std::vector<Values> gradients_of(const ParameterSet& parameters, std::uint32_t seed, double scale) {
  std::vector<Values> values;
  for (std::size_t t = 0; t < parameters.size(); ++t) {
    const auto count = static_cast<std::size_t>(element_count(parameters[t].sizes));
    values.push_back(testing::normal_values(count, scale, seed + static_cast<std::uint32_t>(t)));
  }
  return values;
}

/// Norms that are the same but for the order of summation and, in 16 bits, sums of two squares in float.
void expect_same_reports(std::span<const TensorReport> actual, std::span<const TensorReport> expected,
                         double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t t = 0; t < actual.size(); ++t) {
    EXPECT_EQ(actual[t].present, expected[t].present) << t;
    EXPECT_EQ(actual[t].finite, expected[t].finite) << t;
    EXPECT_EQ(actual[t].spike, expected[t].spike) << t;
    EXPECT_EQ(actual[t].zeroed, expected[t].zeroed) << t;
    if (std::isfinite(expected[t].raw_norm)) {
      EXPECT_NEAR(actual[t].raw_norm, expected[t].raw_norm, tolerance * expected[t].raw_norm) << t;
      EXPECT_NEAR(actual[t].factor, expected[t].factor, 4 * tolerance * expected[t].factor) << t;
    } else {
      EXPECT_FALSE(std::isfinite(actual[t].raw_norm)) << t;
    }
  }
}

void expect_same_gradients(const Gradients& actual, const Gradients& expected, DType dtype) {
  for (std::size_t t = 0; t < actual.refs().size(); ++t) {
    const Values a = actual.values(t);
    const Values e = expected.values(t);
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (a[i] == e[i] || (std::isnan(a[i]) && std::isnan(e[i]))) continue;
      // A factor that differs in its last digits may round to the next number.
      ASSERT_NEAR(a[i], e[i],
                  2 * testing::unit_roundoff(dtype) * std::fabs(e[i]) + testing::smallest_positive(dtype))
          << t << " " << i;
    }
  }
}

double norm_tolerance(DType dtype) {
  return dtype == DType::float32 ? 0x1p-46 : 0x1p-23;
}

TEST(CudaTransform, DoesWhatTheCpuDoes) {
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
    for (const StabilizerOptions& options : {StabilizerOptions{}, StabilizerOptions::paper(),
                                             StabilizerOptions::released(), StabilizerOptions::robust()}) {
      Pair pair(some_parameters(), dtype, options);
      for (std::uint32_t step = 0; step < 16; ++step) {
        const double scale = step == 12 ? 100.0 : 0.5 + 0.1 * (step % 3);
        pair.set(gradients_of(pair.host.parameters(), 10 * step, scale));
        ASSERT_TRUE(pair.step().ok());
        expect_same_reports(reports_of(pair.device), pair.host.report().tensors, norm_tolerance(dtype));
        expect_same_gradients(pair.on_device_memory, pair.on_host, dtype);
      }
    }
  }
}

/// Sums of these squares are exact in any order, so nothing at all may differ.
TEST(CudaTransform, DoesWhatTheCpuDoesBitForBitWhereSumsAreExact) {
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
    Pair pair(some_parameters(), dtype, StabilizerOptions::robust());
    std::mt19937_64 random(7);
    for (int step = 0; step < 12; ++step) {
      auto values = testing::exact_gradients(random, pair.host.parameters());
      if (step == 9) {
        for (double& value : values[3]) value *= 256;
      }
      pair.set(values);
      ASSERT_TRUE(pair.step().ok());
      for (std::size_t t = 0; t < values.size(); ++t)
        ASSERT_EQ(pair.on_device_memory.bytes(t), pair.on_host.bytes(t)) << step << " " << t;
    }
    EXPECT_EQ(pair.device.save().value(), pair.host.save().value());
  }
}

TEST(CudaTransform, TakesAbsentZeroAndNonFiniteGradientsAsTheCpuDoes) {
  for (const NonFinitePolicy policy :
       {NonFinitePolicy::skip_tensor, NonFinitePolicy::skip_step, NonFinitePolicy::pass_through}) {
    Pair pair(some_parameters(), DType::float32, {}, policy);
    std::mt19937_64 random(3);
    for (int step = 0; step < 6; ++step) {
      auto values = testing::exact_gradients(random, pair.host.parameters());
      if (step == 1) values[1] = {0, 0, 0};
      if (step == 2) values[3][40000] = kNaN;
      if (step == 3) values[2][0] = -kInf;
      pair.set(values);
      if (step == 4) {
        pair.on_host.set_absent(5);
        pair.on_device_memory.set_absent(5);
      }
      ASSERT_TRUE(pair.step().ok());
      expect_same_reports(reports_of(pair.device), pair.host.report().tensors, 0.0);
      expect_same_gradients(pair.on_device_memory, pair.on_host, DType::float32);
      const StepReport report = pair.device.report().value();
      EXPECT_EQ(report.skip_step, pair.host.report().skip_step);
      EXPECT_EQ(*pair.device.skip_flag(), report.skip_step ? 1 : 0);
      EXPECT_EQ(report.step, pair.host.report().step);
      EXPECT_EQ(report.nonfinite, pair.host.report().nonfinite);
      EXPECT_DOUBLE_EQ(report.raw_global_norm, pair.host.report().raw_global_norm);
    }
    EXPECT_EQ(pair.device.save().value(), pair.host.save().value());
  }
}

TEST(CudaTransform, RaiseChangesNothingAndSaysSoInTheReport) {
  Pair pair(some_parameters(), DType::float32, {}, NonFinitePolicy::raise);
  pair.set(gradients_of(pair.host.parameters(), 1, 1.0));
  ASSERT_TRUE(pair.step().ok());
  const auto before = pair.device.save().value();
  auto values = gradients_of(pair.host.parameters(), 2, 1.0);
  values[1][2] = kNaN;
  pair.set(values);
  EXPECT_EQ(pair.step().code(), StatusCode::non_finite);
  pair.device.request_report().check();
  const Status error = pair.device.report().status();
  EXPECT_EQ(error.code(), StatusCode::non_finite);
  EXPECT_THAT(error.message(), HasSubstr("'t1'"));
  EXPECT_EQ(pair.device.save().value(), before);
  EXPECT_EQ(pair.on_device_memory.bytes(0), pair.on_host.bytes(0));
}

TEST(CudaTransform, StateMovesBetweenCpuAndDevice) {
  Pair pair(some_parameters(), DType::bfloat16, StabilizerOptions::robust());
  std::mt19937_64 random(11);
  for (int step = 0; step < 4; ++step) {
    pair.set(testing::exact_gradients(random, pair.host.parameters()));
    ASSERT_TRUE(pair.step().ok());
  }
  Pair other(some_parameters(), DType::bfloat16, StabilizerOptions::robust());
  other.device.load(pair.host.save().value()).check();
  other.host.load(pair.device.save().value()).check();
  const auto values = testing::exact_gradients(random, pair.host.parameters());
  pair.set(values);
  other.set(values);
  ASSERT_TRUE(pair.step().ok());
  ASSERT_TRUE(other.step().ok());
  for (std::size_t t = 0; t < values.size(); ++t) {
    EXPECT_EQ(other.on_device_memory.bytes(t), pair.on_host.bytes(t));
    EXPECT_EQ(other.on_host.bytes(t), pair.on_host.bytes(t));
  }
  // A damaged state leaves what was there.
  auto damaged = pair.host.save().value();
  damaged.back() ^= std::byte{1};
  const auto before = pair.device.save().value();
  EXPECT_EQ(pair.device.load(damaged).code(), StatusCode::corrupt_data);
  EXPECT_EQ(pair.device.save().value(), before);
}

TEST(CudaTransform, AStepIsThreeLaunchesAndNoWait) {
  Pair pair(some_parameters(), DType::float32);
  pair.set(gradients_of(pair.host.parameters(), 1, 1.0));
  ASSERT_TRUE(pair.step().ok());
  const cuda::DeviceCounts first = pair.device.counts();
  EXPECT_EQ(first.launches, 3u);
  EXPECT_EQ(first.copies, 1u);  // where the gradients are
  ASSERT_TRUE(pair.step().ok());
  EXPECT_EQ(pair.device.counts().launches, 6u);
  EXPECT_EQ(pair.device.counts().copies, 1u);  // they are still there
  EXPECT_EQ(pair.device.counts().waits, 0u);
  // The control: the report waits.
  pair.device.request_report().check();
  ASSERT_TRUE(pair.device.report().ok());
  EXPECT_EQ(pair.device.counts().waits, 1u);
}

TEST(CudaTransform, SquaredNormsMayBeSummedBetweenMeasureAndFinish) {
  // Two processes with half of each tensor; the second tensor lies in the first process alone.
  const auto whole = parameter_set_of_sizes({{100}, {30}});
  const auto part = parameter_set_of_sizes({{50}, {30}});
  const auto rest = parameter_set_of_sizes({{50}, {0}});
  cuda::Transform all(stabilize());
  cuda::Transform one(stabilize());
  cuda::Transform two(stabilize());
  all.init(whole, emulated()).check();
  one.init(part, emulated()).check();
  two.init(rest, emulated()).check();
  std::mt19937_64 random(2);
  for (int step = 0; step < 3; ++step) {
    const auto values = testing::exact_gradients(random, whole);
    Gradients together(whole, DType::float32);
    Gradients first(part, DType::float32);
    Gradients second(rest, DType::float32);
    together.set_all(values);
    first.set_all({Values(values[0].begin(), values[0].begin() + 50), values[1]});
    second.set_all({Values(values[0].begin() + 50, values[0].end()), {}});
    auto second_refs = on_device(second.refs());
    std::byte nothing{};
    second_refs[1].data = &nothing;
    all.update(on_device(together.refs())).check();
    one.measure(on_device(first.refs())).check();
    two.measure(second_refs).check();
    for (std::size_t t = 0; t < 2; ++t) {
      const double sum = one.squared_norms()[t] + two.squared_norms()[t];
      one.squared_norms()[t] = sum;
      two.squared_norms()[t] = sum;
    }
    one.finish().check();
    two.finish().check();
    Values joined = first.values(0);
    const Values tail = second.values(0);
    joined.insert(joined.end(), tail.begin(), tail.end());
    EXPECT_EQ(joined, together.values(0));
    EXPECT_EQ(first.values(1), together.values(1));
  }
}

TEST(CudaTransform, MovesToADeviceAndBackInTheMiddleOfARun) {
  const auto parameters = parameter_set_of_sizes({{3}, {2, 2}});
  GradientTransform stays = stabilize();
  GradientTransform moves = stabilize();
  stays.init(parameters).check();
  moves.init(parameters).check();
  Gradients kept(parameters, DType::float32);
  Gradients moved(parameters, DType::float32);
  int count = 0;
  const auto set = [&] {
    // Squares of integers add up exactly, in any order.
    const double size = 1 + (count * 7) % 5;
    for (Gradients* each : {&kept, &moved}) {
      each->set(0, Values{size, 2.0, -3.0});
      each->set(1, Values{1.0, size, 0.0, 5.0});
    }
    ++count;
  };
  const auto step_on_host = [&] {
    set();
    stays.update(kept.refs()).value();
    moves.update(moved.refs()).value();
    EXPECT_EQ(kept.values(0), moved.values(0)) << "step " << count;
  };
  step_on_host();
  step_on_host();
  auto device = cuda::Transform::take(moves, emulated()).value();
  for (int i = 0; i < 3; ++i) {
    set();
    stays.update(kept.refs()).value();
    device.update(on_device(moved.refs())).check();
    EXPECT_EQ(kept.values(1), moved.values(1)) << "step " << count;
  }
  EXPECT_EQ(device.state().value()[0].fields[0].values, stays.state()[0].fields[0].values);
  moves = device.release().value();
  EXPECT_EQ(moves.save().value(), stays.save().value());
  step_on_host();

  GradientTransform clip = clip_by_value(1.0);
  EXPECT_EQ(cuda::Transform::take(clip, emulated()).status().code(), StatusCode::failed_precondition);
  clip.init(parameters).check();
  EXPECT_THAT(cuda::Transform::take(clip, emulated()).status().message(), HasSubstr("clip_by_value"));
  EXPECT_EQ(clip.parameters().size(), 2u) << "it is still there";
}

/// Two processes, of which the first has a gradient of one parameter and the second of another; none has one
/// of the third.
TEST(CudaTransform, PartsCountWhereAnyProcessHasAGradient) {
  const auto whole = parameter_set_of_sizes({{6}, {2}, {3}});
  const std::vector<std::vector<std::int64_t>> shapes[2] = {{{4}, {2}, {1}}, {{2}, {0}, {2}}};
  std::vector<double> squares(3, 0.0);
  std::vector<cuda::Transform> processes;
  std::vector<Gradients> gradients;
  for (const auto& sizes : shapes) {
    std::vector<Parameter> parts;
    for (std::size_t i = 0; i < whole.size(); ++i) parts.push_back({whole[i].name, sizes[i]});
    auto set = ParameterSet::create(std::move(parts)).value();
    GradientTransform host = stabilize();
    host.init(whole).check();
    gradients.emplace_back(set, DType::float32);
    processes.push_back(cuda::Transform::take(host, emulated(), nullptr, std::move(set)).value());
  }
  gradients[0].set(0, Values{1.0, 2.0, 2.0, 4.0});
  gradients[1].set(0, Values{0.0, 0.0});
  gradients[0].set(1, Values{3.0, 4.0});
  for (std::size_t p = 0; p < 2; ++p) {
    auto refs = on_device(gradients[p].refs());
    if (p == 1) refs[0].data = nullptr;  // and so has nothing to scale
    refs[2].data = nullptr;
    if (p == 1) refs[1].data = nullptr;
    processes[p].measure(refs).check();
    for (std::size_t t = 0; t < 3; ++t) squares[t] += processes[p].squared_norms()[t];
  }
  EXPECT_EQ(squares, (std::vector<double>{25.0, 25.0, 0.0}));
  squares[2] = -1.0;
  for (std::size_t p = 0; p < 2; ++p) {
    std::copy(squares.begin(), squares.end(), processes[p].squared_norms());
    processes[p].finish().check();
    const auto reports = testing::reports_of(processes[p]);
    EXPECT_EQ(reports[0].raw_norm, 5.0);
    EXPECT_TRUE(reports[1].present);
    EXPECT_FALSE(reports[2].present);
    const auto state = processes[p].release().value().state();
    EXPECT_EQ(state[0].fields[2].values, (Values{1.0, 1.0, 0.0})) << "norms seen, process " << p;
  }
  EXPECT_EQ(gradients[0].values(1), (Values{3.0f / 5.0f, 4.0f / 5.0f}));
  GradientTransform host = stabilize();
  host.init(whole).check();
  EXPECT_EQ(cuda::Transform::take(host, emulated(), nullptr, parameter_set_of_sizes({{6}})).status().code(),
            StatusCode::shape_mismatch);
}

TEST(CudaTransform, RefusesWhatADeviceHasNot) {
  const auto parameters = parameter_set_of_sizes({{2, 3}});
  cuda::Transform rows(stabilize({}, Units::per_row()));
  EXPECT_THAT(rows.init(parameters, emulated()).message(), HasSubstr("per row"));
  cuda::Transform clip(clip_by_value(1.0));
  EXPECT_THAT(clip.init(parameters, emulated()).message(), HasSubstr("clip_by_value"));
  cuda::Transform adaptive(adaptive_clip());
  EXPECT_THAT(adaptive.init(parameters, emulated()).message(), HasSubstr("adaptive_clip"));
  cuda::Transform sum(clip_by_global_norm({.max_norm = 1.0, .p = 1.0}));
  EXPECT_THAT(sum.init(parameters, emulated()).message(), HasSubstr("clip_by_global_norm"));

  cuda::Transform transform(stabilize());
  EXPECT_EQ(transform.update({}).code(), StatusCode::failed_precondition);
  transform.init(parameters, emulated()).check();
  EXPECT_EQ(transform.finish().code(), StatusCode::failed_precondition);
  EXPECT_EQ(transform.report().status().code(), StatusCode::failed_precondition);
  Gradients gradients(parameters, DType::float32);
  gradients.set(0, Values(6, 1.0));
  EXPECT_THAT(transform.update(gradients.refs()).message(), HasSubstr("is on the CPU"));
  auto refs = on_device(gradients.refs());
  refs[0].dtype = DType::float64;
  EXPECT_THAT(transform.update(refs).message(), HasSubstr("float64"));
  refs = on_device(gradients.refs());
  const std::int64_t gaps[] = {6, 1};
  refs[0].strides = gaps;
  EXPECT_THAT(transform.update(refs).message(), HasSubstr("gaps"));
  const std::int64_t other[] = {3, 2};
  refs = on_device(gradients.refs());
  refs[0].sizes = other;
  EXPECT_EQ(transform.update(refs).code(), StatusCode::shape_mismatch);
}

TEST(CudaTransform, WithoutADeviceInitSaysWhy) {
  if (cuda_available().ok()) GTEST_SKIP() << "this machine has a device";
  cuda::Transform transform(stabilize());
  const Status status = transform.init(parameter_set_of_sizes({{1}}));
  EXPECT_EQ(status.code(), StatusCode::unsupported);
  EXPECT_EQ(status.message(), cuda_available().message());
  EXPECT_THAT(status.message(), HasSubstr("CUDA"));
}

}  // namespace
}  // namespace gradstab
