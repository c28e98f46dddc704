// Backend::update: every rule, storage and gradient dtype on every backend.
//
// The SIMD backends must agree with each other bit for bit. The reference computes in double from the same
// stored floats, so the distance to it is bounded by the float32 roundings that a rule writes down: see
// Bounds in rule_numbers.hpp.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <tuple>

#include "rule_numbers.hpp"
#include "update_arrays.hpp"

namespace gradstab::testing {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Numbers of which none is a float32 and none is neutral.
UpdateScalars awkward_scalars() {
  UpdateScalars s;
  s.gradient_factor = 0.7310585786300049;
  s.l2 = 0.013;
  s.keep = 0.99937;
  s.keep_after = 0.9981;
  s.step_size = 0.0123;
  s.beta1 = 0.91;
  s.weight1 = 0.087;
  s.beta2 = 0.983;
  s.weight2 = 0.0171;
  s.root_factor = 1.37;
  s.epsilon = 1.1e-8;
  s.threshold = 1.7;  // about every second square of the tests exceeds it
  return s;
}

using Combination = std::tuple<UpdateRule, ParameterStorage, DType>;

std::vector<Combination> combinations(std::span<const ParameterStorage> storages) {
  std::vector<Combination> result;
  for (const UpdateRule rule : kUpdateRules)
    for (const ParameterStorage storage : storages)
      for (const DType gradient : kAllDTypes)
        if ((storage == ParameterStorage::float64) == (gradient == DType::float64))
          result.emplace_back(rule, storage, gradient);
  return result;
}

class UpdateKernelTest : public ::testing::TestWithParam<Combination> {
 protected:
  UpdateRule rule() const { return std::get<0>(GetParam()); }
  ParameterStorage storage() const { return std::get<1>(GetParam()); }
  DType gradient_dtype() const { return std::get<2>(GetParam()); }
  const Backend& reference() const { return *backends().front(); }

  /// Every array of `actual` within its bound of the reference's result from the same start.
  void expect_close(const Arrays& start, const Arrays& actual, const Arrays& expected,
                    const UpdateScalars& scalars) const {
    for (std::size_t i = 0; i < start.count; ++i) {
      double old[kMaxStates];
      for (std::size_t k = 0; k < kMaxStates; ++k) old[k] = start.states[k]->get(i);
      const bool has_master = storage() == ParameterStorage::bfloat16_master;
      const double p = has_master ? start.master.get(i) : start.parameter.get(i);
      const Bounds bounds = bounds_of(rule(), scalars, p, start.gradient.get(i), old);
      for (std::size_t k = 0; k < state_count(rule()); ++k)
        ASSERT_NEAR(actual.states[k]->get(i), expected.states[k]->get(i), bounds.states[k])
            << "state " << k << " of element " << i;
      const Elements& result = has_master ? actual.master : actual.parameter;
      const Elements& wanted = has_master ? expected.master : expected.parameter;
      double tolerance = bounds.parameter;
      // Two close floats are rounded with the same random bits: to neighbours at most.
      if (storage() == ParameterStorage::bfloat16_stochastic)
        tolerance += 2.0 * 0x1p-8 * std::fabs(wanted.get(i));
      ASSERT_NEAR(result.get(i), wanted.get(i), tolerance) << "parameter " << i;
    }
  }
};

/// Storages that hold float32 results or better; bfloat16 alone is too coarse to see a small mistake.
class WideUpdateKernelTest : public UpdateKernelTest {};
class StochasticUpdateKernelTest : public UpdateKernelTest {};

TEST_P(UpdateKernelTest, AllLengthsAndAlignmentsAgreeBetweenBackendsAndWithTheReference) {
  const UpdateScalars scalars = awkward_scalars();
  for (const std::size_t count : {0u, 1u, 2u, 3u, 7u, 8u, 15u, 16u, 17u, 31u, 97u, 1009u, 4099u}) {
    Arrays start(storage(), gradient_dtype(), count, 0);
    Arrays expected(storage(), gradient_dtype(), count, 0);
    reference().update(expected.block(rule(), 77), scalars);
    std::unique_ptr<Arrays> simd;  // the first SIMD backend's result
    for (const Backend* backend : supported_backends()) {
      for (const std::size_t offset : {0u, 1u, 3u, 7u}) {
        SCOPED_TRACE(::testing::Message() << backend->name() << ", count " << count << ", offset " << offset);
        auto actual = std::make_unique<Arrays>(storage(), gradient_dtype(), count, offset);
        backend->update(actual->block(rule(), 77), scalars);
        EXPECT_TRUE(actual->guards_intact());
        EXPECT_TRUE(same_elements(actual->gradient, start.gradient)) << "the gradient was written";
        for (std::size_t k = state_count(rule()); k < kMaxStates; ++k)
          EXPECT_TRUE(same_elements(*actual->states[k], *start.states[k])) << "a state it does not have";
        if (backend == &reference() || storage() == ParameterStorage::float64) {
          EXPECT_TRUE(same_arrays(*actual, expected)) << "depends on alignment, or float64 is not double";
          continue;
        }
        expect_close(start, *actual, expected, scalars);
        if (storage() == ParameterStorage::bfloat16_master) {
          for (std::size_t i = 0; i < count; ++i)
            ASSERT_EQ(actual->parameter.get(i), to_float(to_bfloat16(actual->master.get(i))));
        }
        if (!simd)
          simd = std::move(actual);
        else
          EXPECT_TRUE(same_arrays(*actual, *simd)) << "SIMD backends disagree";
      }
    }
    if (count > 100) {
      EXPECT_FALSE(same_elements(expected.parameter, start.parameter) &&
                   same_elements(expected.master, start.master))
          << "nothing was updated";
    }
  }
}

TEST_P(WideUpdateKernelTest, TheToleranceIsTightEnoughToSeeAWrongScalar) {
  constexpr std::size_t kCount = 257;
  Arrays start(storage(), gradient_dtype(), kCount, 0);
  // By one part in ten thousand. `l2` and `epsilon` have little weight here, so theirs is larger.
  struct Change {
    double UpdateScalars::*member;
    double relative;
  };
  const Change changes[] = {
      {&UpdateScalars::gradient_factor, 1e-4},
      {&UpdateScalars::l2, 1e-2},
      {&UpdateScalars::keep, 1e-4},
      {&UpdateScalars::keep_after, 1e-4},
      {&UpdateScalars::step_size, 1e-4},
      {&UpdateScalars::beta1, 1e-3},
      {&UpdateScalars::weight1, 1e-3},
      {&UpdateScalars::beta2, 1e-4},
      {&UpdateScalars::weight2, 1e-3},
      {&UpdateScalars::root_factor, 1e-3},
      {&UpdateScalars::epsilon, 1e6},
      {&UpdateScalars::threshold, 1e-2},
  };
  ASSERT_EQ(std::size(changes), std::size(kUpdateScalars));
  const RuleFacts facts = facts_of(rule());
  const auto among = [](const auto& list, double UpdateScalars::*member) {
    return std::ranges::find(list, member) != list.end();
  };
  for (std::size_t c = 0; c < std::size(changes); ++c) {
    SCOPED_TRACE(::testing::Message() << "scalar " << c);
    UpdateScalars changed = awkward_scalars();
    changed.*changes[c].member *= 1.0 + changes[c].relative;
    Arrays a(storage(), gradient_dtype(), kCount, 0);
    Arrays b(storage(), gradient_dtype(), kCount, 0);
    reference().update(a.block(rule()), awkward_scalars());
    reference().update(b.block(rule()), changed);
    bool seen = false;
    for (std::size_t i = 0; i < kCount; ++i) {
      double old[kMaxStates];
      for (std::size_t k = 0; k < kMaxStates; ++k) old[k] = start.states[k]->get(i);
      const bool has_master = storage() == ParameterStorage::bfloat16_master;
      const double p = has_master ? start.master.get(i) : start.parameter.get(i);
      const Bounds bounds = bounds_of(rule(), awkward_scalars(), p, start.gradient.get(i), old);
      const Elements& left = has_master ? a.master : a.parameter;
      const Elements& right = has_master ? b.master : b.parameter;
      seen = seen || std::fabs(left.get(i) - right.get(i)) > bounds.parameter;
      for (std::size_t k = 0; k < state_count(rule()); ++k)
        seen = seen || std::fabs(a.states[k]->get(i) - b.states[k]->get(i)) > bounds.states[k];
    }
    if (among(facts.only_flips, changes[c].member)) continue;
    EXPECT_EQ(seen, among(facts.scalars, changes[c].member));
  }
}

/// NaN and infinities give what the written operations give in IEEE arithmetic, the same everywhere.
TEST_P(UpdateKernelTest, NaNAndInfinityAreWhatTheReferenceMakesOfThem) {
  const double special[] = {kNaN, kInfinity, -kInfinity, 0.0, -0.0};
  constexpr std::size_t kCount = 5 * 25;
  const auto prepare = [&](Arrays& arrays) {
    for (std::size_t i = 0; i < kCount; ++i) {
      const double g = special[i % 5];
      const double other = special[(i / 5) % 5];
      arrays.gradient.set(i, g);
      switch (i / 25) {
        case 0:
          arrays.states[0]->set(i, other);
          break;
        case 1:
          arrays.states[1]->set(i, std::fabs(other));
          break;
        case 2:
          arrays.states[2]->set(i, std::fabs(other));
          break;
        case 3:
          arrays.parameter.set(i, other);
          arrays.master.set(i, other);
          break;
        default:
          break;
      }
    }
  };
  for (const double threshold : {1.7, kInfinity}) {
    UpdateScalars scalars = awkward_scalars();
    scalars.threshold = threshold;
    scalars.l2 = 0.0;
    Arrays expected(storage(), gradient_dtype(), kCount, 0);
    prepare(expected);
    reference().update(expected.block(rule(), 5), scalars);
    for (const Backend* backend : supported_backends()) {
      SCOPED_TRACE(backend->name());
      Arrays actual(storage(), gradient_dtype(), kCount, 3);
      prepare(actual);
      backend->update(actual.block(rule(), 5), scalars);
      const auto same_kind = [](double a, double b) {
        if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
        if (std::isinf(a) || std::isinf(b)) return a == b;
        return std::fabs(a - b) <= 0x1p-7 * std::fabs(b) + 1e-6;
      };
      for (std::size_t i = 0; i < kCount; ++i) {
        ASSERT_PRED2(same_kind, actual.parameter.get(i), expected.parameter.get(i)) << "parameter " << i;
        if (storage() == ParameterStorage::bfloat16_master) {
          ASSERT_PRED2(same_kind, actual.master.get(i), expected.master.get(i)) << "master " << i;
        }
        for (std::size_t k = 0; k < state_count(rule()); ++k)
          ASSERT_PRED2(same_kind, actual.states[k]->get(i), expected.states[k]->get(i)) << k << " of " << i;
      }
    }
  }
}

/// The rules' own promises about values that are no numbers.
TEST_P(UpdateKernelTest, ANaNGradientMakesTheElementNaNButForLionsSign) {
  for (const Backend* backend : supported_backends()) {
    SCOPED_TRACE(backend->name());
    Arrays arrays(storage(), gradient_dtype(), 19, 1);
    Arrays clean(storage(), gradient_dtype(), 19, 1);
    const double before =
        storage() == ParameterStorage::bfloat16_master ? arrays.master.get(4) : arrays.parameter.get(4);
    arrays.gradient.set(4, kNaN);
    backend->update(arrays.block(rule(), 1), awkward_scalars());
    backend->update(clean.block(rule(), 1), awkward_scalars());
    for (std::size_t k = 0; k < state_count(rule()); ++k) EXPECT_TRUE(std::isnan(arrays.states[k]->get(4)));
    if (facts_of(rule()).steps_by_a_sign) {
      EXPECT_NEAR(arrays.parameter.get(4), awkward_scalars().keep * before, 0x1p-7 * std::fabs(before));
    } else {
      EXPECT_TRUE(std::isnan(arrays.parameter.get(4)));
    }
    for (std::size_t i = 0; i < 19; ++i) {
      if (i == 4) continue;
      EXPECT_EQ(arrays.parameter.get(i), clean.parameter.get(i)) << "NaN reached a neighbour";
    }
  }
}

/// What is rounded is the float32 result of the rule: that of the same update on float32 parameters.
TEST_P(StochasticUpdateKernelTest, ResultsAreNeighboursOfTheFloat32Result) {
  for (const Backend* backend : supported_backends()) {
    if (backend == &reference()) continue;  // its states and results are doubles until they are stored
    Arrays random(storage(), gradient_dtype(), 1009, 1);
    Arrays single(ParameterStorage::float32, gradient_dtype(), 1009, 1);
    for (std::size_t i = 0; i < 1009; ++i) single.parameter.set(i, random.parameter.get(i));
    backend->update(random.block(rule(), 3), awkward_scalars());
    backend->update(single.block(rule()), awkward_scalars());
    for (std::size_t k = 0; k < kMaxStates; ++k)
      EXPECT_TRUE(same_elements(*random.states[k], *single.states[k]));
    for (std::size_t i = 0; i < 1009; ++i) {
      const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(single.parameter.get(i)));
      std::uint16_t result;
      std::memcpy(&result, random.parameter.data() + 2 * i, 2);
      ASSERT_TRUE(result == bits >> 16 || result == (bits >> 16) + 1) << i;
    }
  }
}

std::string name_of(const ::testing::TestParamInfo<Combination>& test) {
  const auto& [rule, storage, gradient] = test.param;
  return std::string(to_string(rule)) + "_" + std::string(to_string(storage)) + "_from_" +
         std::string(to_string(gradient));
}

/// Storages that hold float32 results or better, and the one that is rounded at random.
std::vector<ParameterStorage> storages(bool stochastic) {
  std::vector<ParameterStorage> result;
  for (const ParameterStorage storage : kParameterStorages)
    if ((storage == ParameterStorage::bfloat16_stochastic) == stochastic) result.push_back(storage);
  return result;
}

INSTANTIATE_TEST_SUITE_P(All, UpdateKernelTest, ::testing::ValuesIn(combinations(kParameterStorages)),
                         name_of);
INSTANTIATE_TEST_SUITE_P(All, WideUpdateKernelTest, ::testing::ValuesIn(combinations(storages(false))),
                         name_of);
INSTANTIATE_TEST_SUITE_P(All, StochasticUpdateKernelTest, ::testing::ValuesIn(combinations(storages(true))),
                         name_of);

}  // namespace
}  // namespace gradstab::testing
