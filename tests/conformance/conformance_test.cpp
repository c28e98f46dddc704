// Every check on every transform, backend and element type.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <tuple>

#include "conformance/checks.hpp"
#include "conformance/table.hpp"

namespace gradstab::testing {
namespace {

using Check = ::testing::AssertionResult (*)(const Subject&);

class ConformanceTest : public ::testing::TestWithParam<std::tuple<TransformRow, const Backend*>> {
 protected:
  /// For all element types.
  void expect(Check check) {
    for (const DType dtype : kAllDTypes) EXPECT_TRUE(check(subject(dtype))) << to_string(dtype);
  }
  Subject subject(DType dtype) const {
    const auto& [transform, backend] = GetParam();
    return {.make = transform.make,
            .backend = std::string(backend->name()),
            .dtype = dtype,
            .element_wise = transform.element_wise};
  }
};

TEST_P(ConformanceTest, KeepsTheElementType) {
  expect(keeps_the_element_type);
}
TEST_P(ConformanceTest, LeavesZerosUnchanged) {
  expect(leaves_zeros_unchanged);
}
/// Also shows that the check can see a direction that changes.
TEST_P(ConformanceTest, KeepsTheDirectionUnlessItWorksOnSingleElements) {
  for (const DType dtype : kAllDTypes) {
    EXPECT_EQ(bool(keeps_the_direction(subject(dtype))), !subject(dtype).element_wise) << to_string(dtype);
  }
}
TEST_P(ConformanceTest, AcceptsNoParameters) {
  expect(accepts_no_parameters);
}
TEST_P(ConformanceTest, RefusesAnotherNumberOfGradients) {
  expect(refuses_another_number_of_gradients);
}
TEST_P(ConformanceTest, LeavesAbsentGradientsAlone) {
  expect(leaves_absent_gradients_alone);
}
TEST_P(ConformanceTest, ResumesExactly) {
  expect(resumes_exactly);
}
TEST_P(ConformanceTest, IsDeterministic) {
  expect(is_deterministic);
}
TEST_P(ConformanceTest, ChangesNothingOnErrors) {
  expect(changes_nothing_on_errors);
}

std::string name_of(const ::testing::TestParamInfo<ConformanceTest::ParamType>& test) {
  std::string backend(std::get<1>(test.param)->name());
  std::ranges::replace(backend, '-', '_');
  return std::string(std::get<0>(test.param).name) + "_on_" + backend;
}

INSTANTIATE_TEST_SUITE_P(All, ConformanceTest,
                         ::testing::Combine(::testing::ValuesIn(transforms().begin(), transforms().end()),
                                            ::testing::ValuesIn(supported_backends())),
                         name_of);

}  // namespace
}  // namespace gradstab::testing
