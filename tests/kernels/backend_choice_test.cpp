// Which backend runs, and that it steps over strides in place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>

#include "gradstab/gradstab.hpp"
#include "support/elements.hpp"
#include "support/gradients.hpp"

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

/// The norm that was reported is, to the last bit, the one that this backend's kernel gives.
TEST(BackendChoice, TheForcedBackendRuns) {
  constexpr std::int64_t kCount = 1009;
  for (const Backend* backend : supported_backends()) {
    const ForcedBackend forced(backend->name());
    GradientTransform transform = stabilize();
    transform.init(parameter_set_of_sizes({{kCount}})).check();
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
  EXPECT_EQ(transform.init(parameter_set_of_sizes({{1}})).code(), StatusCode::invalid_argument);
}

TEST(BackendChoice, WhatThisMachineCannotRunIsRefused) {
  for (const Backend* backend : backends()) {
    if (backend->supported()) continue;
    const Status status = find_backend(backend->name()).status();
    EXPECT_EQ(status.code(), StatusCode::unsupported);
    EXPECT_THAT(status.message(), ::testing::HasSubstr(std::string(backend->name())));
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
      transform.init(parameter_set_of_sizes({sizes, sizes}), {.backend = std::string(backend->name())})
          .check();
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
