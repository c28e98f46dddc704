// Which backend runs, and that whole steps agree between backends and thread counts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>

#include "gradstab/gradstab.hpp"
#include "support/elements.hpp"

namespace gradstab::testing {
namespace {

/// Sets GRADSTAB_BACKEND for one scope.
class ForcedBackend {
 public:
  explicit ForcedBackend(std::string_view name) {
    if (const char* before = std::getenv(kVariable)) before_ = before;
    setenv(kVariable, std::string(name).c_str(), 1);
  }
  ~ForcedBackend() {
    if (before_) {
      setenv(kVariable, before_->c_str(), 1);
    } else {
      unsetenv(kVariable);
    }
  }
  ForcedBackend(const ForcedBackend&) = delete;
  ForcedBackend& operator=(const ForcedBackend&) = delete;

 private:
  static constexpr const char* kVariable = "GRADSTAB_BACKEND";
  std::optional<std::string> before_;
};

using Shape = std::vector<std::int64_t>;

ParameterSet parameters_of(const std::vector<Shape>& shapes) {
  std::vector<Parameter> parameters;
  for (const Shape& shape : shapes) parameters.push_back({"p" + std::to_string(parameters.size()), shape});
  return ParameterSet::create(parameters).value();
}

/// The norm that was reported is, to the last bit, the one that this backend's kernel gives.
TEST(BackendChoice, TheForcedBackendRuns) {
  constexpr std::int64_t kCount = 1009;
  for (const Backend* backend : supported_backends()) {
    const ForcedBackend forced(backend->name());
    GradientTransform transform = stabilize();
    transform.init(parameters_of({{kCount}})).check();
    EXPECT_EQ(transform.backend_name(), backend->name());
    Elements gradient(DType::float32, kCount);
    gradient.fill(3);
    const double expected = std::sqrt(backend->squared_norm(gradient.data(), DType::float32, kCount));
    const Shape sizes = {kCount};
    const TensorRef ref{gradient.data(), DType::float32, sizes, {}, DeviceType::cpu};
    EXPECT_EQ(transform.update({&ref, 1}).value().tensors[0].raw_norm, expected);
  }
}

/// If all backends added in the same order, the test above would prove nothing.
TEST(BackendChoice, BackendsCanBeToldApartByTheirLastBits) {
  Elements gradient(DType::float32, 1009);
  gradient.fill(3);
  std::vector<double> sums;
  for (const Backend* backend : supported_backends()) {
    sums.push_back(backend->squared_norm(gradient.data(), DType::float32, gradient.count()));
  }
  for (std::size_t i = 1; i < sums.size(); ++i) EXPECT_NE(sums[0], sums[i]) << "backend " << i;
}

TEST(BackendChoice, TheFastestSupportedIsTakenWithoutARequest) {
  const ForcedBackend none("");
  EXPECT_EQ(find_backend().value(), supported_backends().back());
}

TEST(BackendChoice, AnUnknownNameListsTheKnownOnes) {
  const ForcedBackend forced("cpu-mmx");
  const Status status = find_backend().status();
  EXPECT_EQ(status.code(), StatusCode::invalid_argument);
  EXPECT_THAT(status.message(), ::testing::HasSubstr("unknown backend 'cpu-mmx'"));
  for (const Backend* backend : backends()) {
    EXPECT_THAT(status.message(), ::testing::HasSubstr(std::string(backend->name())));
  }
  GradientTransform transform = stabilize();
  EXPECT_EQ(transform.init(parameters_of({{1}})).code(), StatusCode::invalid_argument);
}

TEST(BackendChoice, WhatThisMachineCannotRunIsRefused) {
  for (const Backend* backend : backends()) {
    if (backend->supported()) continue;
    const Status status = find_backend(backend->name()).status();
    EXPECT_EQ(status.code(), StatusCode::unsupported);
    EXPECT_THAT(status.message(), ::testing::HasSubstr(std::string(backend->name())));
  }
}

/// A list of gradients, some steps of a transform over it, and everything that came out.
struct Outcome {
  std::vector<double> norms;
  std::vector<std::vector<std::byte>> gradients;
  bool operator==(const Outcome&) const = default;
};

Outcome run_steps(GradientTransform transform, const std::vector<Shape>& shapes, DType dtype,
                  RunOptions options) {
  transform.init(parameters_of(shapes), std::move(options)).check();
  Outcome outcome;
  for (unsigned step = 0; step < 3; ++step) {
    std::vector<std::unique_ptr<Elements>> gradients;
    std::vector<TensorRef> refs;
    for (const Shape& shape : shapes) {
      const auto count = static_cast<std::size_t>(element_count(shape));
      gradients.push_back(std::make_unique<Elements>(dtype, count, refs.size() % 5));
      gradients.back()->fill(100 * step + static_cast<unsigned>(refs.size()), step == 2 ? 50.0 : 0.5);
      refs.push_back({gradients.back()->data(), dtype, shape, {}, DeviceType::cpu});
    }
    const StepReport report = transform.update(refs).value();
    for (const TensorReport& tensor : report.tensors) {
      outcome.norms.push_back(tensor.raw_norm);
      outcome.norms.push_back(tensor.factor);
    }
    outcome.norms.push_back(report.global_norm);
    for (const auto& gradient : gradients) {
      outcome.gradients.emplace_back(gradient->data(), gradient->data() + gradient->bytes());
    }
  }
  return outcome;
}

const std::vector<Shape> kManyShapes = {{1},         {0},        {3, 5},   {64, 64}, {65536},  {65537},
                                        {1000, 333}, {7},        {768},    {257},    {131, 7}, {2, 3, 4, 5},
                                        {31},        {70001, 3}, {300, 9}, {100003}, {13},     {1, 1}};

TEST(WholeStep, IsBitwiseTheSameForAnyNumberOfThreads) {
  for (const Backend* backend : supported_backends()) {
    for (const DType dtype : {DType::float32, DType::bfloat16}) {
      const auto run = [&](std::shared_ptr<Executor> executor) {
        const RunOptions options{.backend = std::string(backend->name()), .executor = std::move(executor)};
        return run_steps(chain(clip_by_global_norm(1.0), stabilize()), kManyShapes, dtype, options);
      };
      const Outcome alone = run(nullptr);
      for (const unsigned threads : {1u, 2u, 3u}) {
        EXPECT_TRUE(run(thread_pool(threads).value()) == alone)
            << backend->name() << ", " << threads << " threads";
      }
    }
  }
}

/// Every second column of a matrix, and the matrix transposed: the elements between must stay.
TEST(WholeStep, StridedAndPermutedTensorsAreScaledInPlace) {
  constexpr std::int64_t kRows = 37;
  constexpr std::int64_t kColumns = 53;
  for (const Backend* backend : supported_backends()) {
    for (const DType dtype : kAllDTypes) {
      SCOPED_TRACE(std::string(backend->name()) + " " + std::string(to_string(dtype)));
      Elements spaced(dtype, kRows * kColumns * 2, 1);
      Elements permuted(dtype, kRows * kColumns);
      Elements original(dtype, kRows * kColumns * 2);
      spaced.fill(1);
      original.fill(1);
      permuted.fill(1);
      const Shape sizes = {kRows, kColumns};
      const Shape spaced_strides = {kColumns * 2, 2};
      const Shape permuted_strides = {1, kRows};
      GradientTransform transform = stabilize();
      transform.init(parameters_of({sizes, sizes}), {.backend = std::string(backend->name())}).check();
      const TensorRef refs[] = {{spaced.data(), dtype, sizes, spaced_strides, DeviceType::cpu},
                                {permuted.data(), dtype, sizes, permuted_strides, DeviceType::cpu}};
      const StepReport report = transform.update(refs).value();

      double spaced_sum = 0.0;
      for (std::size_t i = 0; i < original.count(); i += 2) spaced_sum += original.get(i) * original.get(i);
      // One element at a time, so also the 16-bit formats are summed in double.
      const double tolerance = 2.0 * (kRows * kColumns + 1) * 0x1p-53;
      EXPECT_NEAR(report.tensors[0].raw_norm, std::sqrt(spaced_sum), std::sqrt(spaced_sum) * tolerance);

      Elements expected_spaced(dtype, original.count());
      expected_spaced.fill(1);
      for (std::size_t i = 0; i < original.count(); i += 2) {
        backends().front()->scale(expected_spaced.data() + i * size_of(dtype), dtype, 1,
                                  report.tensors[0].factor);
      }
      EXPECT_TRUE(std::memcmp(spaced.data(), expected_spaced.data(), spaced.bytes()) == 0);
      EXPECT_TRUE(spaced.guards_intact());

      Elements expected_permuted(dtype, permuted.count());
      expected_permuted.fill(1);
      backends().front()->scale(expected_permuted.data(), dtype, permuted.count(), report.tensors[1].factor);
      EXPECT_TRUE(same_elements(permuted, expected_permuted));
    }
  }
}

}  // namespace
}  // namespace gradstab::testing
