// The comparison must be able to fail, or no golden test means anything.
#include "golden/comparison.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace gradstab::fixture {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

std::string compare(std::vector<double> got, std::vector<double> expected, double tolerance) {
  return difference(std::span<const double>(got), std::span<const double>(expected), tolerance);
}

TEST(ComparisonTest, IsRelativeToTheLargestValue) {
  EXPECT_EQ(compare({100.0, 1.00005}, {100.0, 1.0}, 1e-6), "");
  EXPECT_NE(compare({100.0, 1.0002}, {100.0, 1.0}, 1e-6), "");
}

TEST(ComparisonTest, NoticesANonFiniteValueOnOneSideOnly) {
  EXPECT_EQ(compare({kNaN, -kInf, 1.0}, {kNaN, -kInf, 1.0}, 0.0), "");
  EXPECT_NE(compare({kNaN, 1.0}, {2.0, 1.0}, 1e3), "");
  EXPECT_NE(compare({2.0, 1.0}, {kNaN, 1.0}, 1e3), "");
  EXPECT_NE(compare({kInf, 1.0}, {-kInf, 1.0}, 1e3), "");
  EXPECT_NE(compare({2.0, 1.0}, {kInf, 1.0}, 1e3), "");
}

TEST(ComparisonTest, NoticesALengthThatDiffers) {
  EXPECT_EQ(compare({1.0}, {1.0, 2.0}, 1.0), "got 1 values, expected 2");
}

TEST(ComparisonTest, ZeroMustBeExact) {
  EXPECT_EQ(compare({0.0, -0.0}, {-0.0, 0.0}, 1e-6), "");
  EXPECT_NE(compare({1e-300}, {0.0}, 1e-6), "");
}

TEST(ComparisonTest, PerturbedValuesAreJustOutsideTheTolerance) {
  const std::vector<std::vector<double>> values = {{1.0, kNaN}, {-8.0, 3.0}};
  EXPECT_NE(difference(perturbed(values, 1e-6), values, 1e-6), "");
  EXPECT_EQ(difference(perturbed(values, 1e-6), values, 3e-6), "");
}

}  // namespace
}  // namespace gradstab::fixture
