#include "lab/bounds/heat_maps.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace gradstab::lab {
namespace {

BoundsRequest with_kappa(double kappa) {
  BoundsRequest request;
  request.kappa = kappa;
  return request;
}

TEST(HeatMapsTest, CoverTheGammasOfTheFigure) {
  const HeatMaps maps = heat_maps({});
  EXPECT_EQ(maps.gamma1.front(), 0.0);
  EXPECT_EQ(maps.gamma1.back(), 0.99);
  EXPECT_DOUBLE_EQ(maps.one_minus_gamma2.front(), 0.1);
  EXPECT_NEAR(maps.one_minus_gamma2.back(), 1e-5, 1e-18);
  EXPECT_EQ(maps.published.size(), maps.gamma1.size() * maps.one_minus_gamma2.size());
  EXPECT_TRUE(maps.robust_bound.empty());
  EXPECT_EQ(heat_maps(with_kappa(3.0)).robust_bound.size(), maps.published.size());
}

TEST(HeatMapsTest, EveryPointHoldsTheTwoFactorsAndTheirProduct) {
  const HeatMaps maps = heat_maps({});
  std::size_t without_bound = 0;
  for (std::size_t j = 0; j < maps.one_minus_gamma2.size(); ++j) {
    for (std::size_t i = 0; i < maps.gamma1.size(); ++i) {
      const BoundFactors& point = maps.published[j * maps.gamma1.size() + i];
      const double gamma1 = maps.gamma1[i];
      const double gamma2 = 1.0 - maps.one_minus_gamma2[j];
      // 1 - gamma2 of a gamma2 near 1 has an error of an epsilon; relative to 1e-5 that is 2e-11.
      constexpr double kRelative = 1e-10;
      EXPECT_NEAR(point.spike * std::sqrt(maps.one_minus_gamma2[j]), 1.0 - gamma1,
                  kRelative * (1.0 - gamma1));
      if (gamma1 * gamma1 >= gamma2) {
        EXPECT_TRUE(std::isinf(point.bound)) << gamma1 << " " << gamma2;
        EXPECT_TRUE(std::isinf(point.build_up)) << gamma1 << " " << gamma2;
        ++without_bound;
        continue;
      }
      const double build_up = 1.0 / std::sqrt(1.0 - gamma1 * gamma1 / gamma2);
      EXPECT_NEAR(point.build_up, build_up, kRelative * build_up) << gamma1 << " " << gamma2;
      EXPECT_NEAR(point.bound, point.spike * build_up, kRelative * point.bound) << gamma1 << " " << gamma2;
    }
  }
  EXPECT_GT(without_bound, 10u);  // a corner of the maps
  EXPECT_LT(without_bound, maps.published.size() / 50);
}

TEST(HeatMapsTest, PointOfTheDefaults) {
  const HeatMaps maps = heat_maps({});
  const std::size_t column = 60;
  const std::size_t row = 40;  // two decades of twenty below 0.1
  ASSERT_EQ(maps.gamma1[column], 0.6);
  ASSERT_NEAR(maps.one_minus_gamma2[row], 1e-3, 1e-15);
  const BoundFactors& point = maps.published[row * maps.gamma1.size() + column];
  EXPECT_NEAR(point.spike, 12.649111, 0.5e-6);
  EXPECT_NEAR(point.build_up, 1.0 / std::sqrt(1.0 - 0.36 / 0.999), 1e-12);
  EXPECT_NEAR(point.bound, 15.815842, 0.5e-6);
}

TEST(HeatMapsTest, RobustMomentsNeverLoosenTheBoundAndTightenItSomewhere) {
  const HeatMaps maps = heat_maps(with_kappa(1.5));
  std::size_t tighter = 0;
  for (std::size_t k = 0; k < maps.published.size(); ++k) {
    if (std::isinf(maps.published[k].bound)) {
      EXPECT_TRUE(std::isinf(maps.robust_bound[k]));
      continue;
    }
    EXPECT_LE(maps.robust_bound[k], maps.published[k].bound * (1.0 + 1e-12));
    if (maps.robust_bound[k] < 0.99 * maps.published[k].bound) ++tighter;
  }
  EXPECT_GT(tighter, maps.published.size() / 10);
}

}  // namespace
}  // namespace gradstab::lab
