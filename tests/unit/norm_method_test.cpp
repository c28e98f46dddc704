// Methods of somebody else's: what they are given and refused, and that a failing one leaves no trace.
#include "gradstab/norm_method.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "counting_method.hpp"
#include "gradstab/optimizer.hpp"
#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"

namespace gradstab::testing {
namespace {

using ::testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(NormMethodTest, SeesNormsAndGivesFactorsPerTensor) {
  GradientTransform transform = counting();
  transform.init(three()).check();
  EXPECT_EQ(transform.name(), "counting");
  Gradients gradients(transform.parameters(), DType::float64);
  gradients.set_all(some_gradients());
  gradients.set_absent(1);
  const StepReport report = transform.update(gradients.refs()).value();
  EXPECT_EQ(gradients.values(0), (Values{1.5, 0.0, 0.0, 2.0}));
  EXPECT_EQ(gradients.values(2), (Values{0.5, 1.0, -1.0}));
  EXPECT_EQ(report.tensors[0].factor, 0.5);
  EXPECT_EQ(report.tensors[1].factor, 1.0);
  EXPECT_EQ(values_of(transform, "sum"), (std::vector<double>{5.0, 0.0, 3.0}));
  EXPECT_EQ(values_of(transform, "steps"), std::vector<double>{1.0});
}

TEST(NormMethodTest, SeesWhatTheMethodInFrontHasLeft) {
  GradientTransform transform = chain(scale_by(2.0), counting(), scale_by(3.0));
  transform.init(three()).check();
  Gradients gradients(transform.parameters(), DType::float64);
  gradients.set_all(some_gradients());
  EXPECT_EQ(transform.update(gradients.refs())->tensors[0].factor, 3.0);
  EXPECT_EQ(values_of(transform, "sum", 1), (std::vector<double>{10.0, 26.0, 6.0}));
}

TEST(NormMethodTest, UnitsAreRowsGroupsOrTheModel) {
  const std::pair<Units, std::vector<double>> cases[] = {
      {Units::per_row(), {3.0, 4.0, 13.0, 3.0}},
      {Units::by_name({{"ends", {"a", "c"}}}), {std::sqrt(34.0), 13.0}},
      {Units::whole_model(), {std::sqrt(203.0)}},
  };
  for (const auto& [units, sums] : cases) {
    GradientTransform transform = counting(Counting::Decide(), NormMethodNeeds{.units = units});
    transform.init(three()).check();
    Gradients gradients(transform.parameters(), DType::float64);
    gradients.set_all(some_gradients());
    transform.update(gradients.refs()).value();
    EXPECT_EQ(values_of(transform, "sum"), sums);
    EXPECT_EQ(gradients.values(0), (Values{1.5, 0.0, 0.0, 2.0}));
  }
}

TEST(NormMethodTest, LargestEntriesAndNormsOfParametersWhereAskedFor) {
  std::vector<UnitStep> seen;
  const auto look = [&](std::span<UnitStep> units) {
    seen.assign(units.begin(), units.end());
    return Status();
  };
  const auto with = [&](const Units& units) {
    return counting(look, NormMethodNeeds{.units = units, .max_abs = true, .parameter_norms = true});
  };
  for (const bool model : {false, true}) {
    GradientTransform transform = chain(scale_by(2.0), with(model ? Units::whole_model() : Units()));
    transform.init(three()).check();
    Gradients gradients(transform.parameters(), DType::float64);
    gradients.set_all(some_gradients());
    Gradients parameters(transform.parameters(), DType::float64);
    parameters.set_all({{1.0, 1.0, 1.0, 1.0}, {0.0, 1.5}, {2.0, 0.0, 0.0}});
    transform.update(gradients.refs(), parameters.refs()).value();
    ASSERT_EQ(seen.size(), model ? 1u : 3u);
    EXPECT_EQ(seen[0].max_abs, model ? 24.0 : 8.0);
    EXPECT_EQ(seen[0].parameter_norm, model ? std::sqrt(4.0 + 2.25 + 4.0) : 2.0);
    const double squares[] = {25.0, 169.0, 9.0};
    EXPECT_THAT(transform.decide(squares).status().message(),
                HasSubstr("'counting' needs more than the norms"));
  }
}

TEST(NormMethodTest, IsNotAskedAboutWhatHoldsNoNumber) {
  GradientTransform tensors = counting();
  std::vector<UnitStep> seen;
  GradientTransform model = counting(
      [&](std::span<UnitStep> units) {
        seen.assign(units.begin(), units.end());
        return Status();
      },
      NormMethodNeeds{.units = Units::whole_model()});
  for (GradientTransform* transform : {&tensors, &model}) {
    transform->init(three()).check();
    Gradients gradients(transform->parameters(), DType::float64);
    gradients.set_all({{3.0, kNan, 0.0, 4.0}, {5.0, 12.0}, {0.0, 0.0, 0.0}});
    EXPECT_TRUE(transform->update(gradients.refs())->tensors[0].zeroed);
    EXPECT_EQ(gradients.values(0), (Values{0.0, 0.0, 0.0, 0.0}));
    EXPECT_EQ(gradients.values(1), (Values{2.5, 6.0}));
  }
  EXPECT_EQ(values_of(tensors, "sum"), (std::vector<double>{0.0, 13.0, 0.0}));
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].norm, 13.0);
  EXPECT_FALSE(seen[0].finite);
}

TEST(NormMethodTest, LabelsSpikes) {
  GradientTransform transform = counting([](std::span<UnitStep> units) {
    units[1].spike = true;
    return Status();
  });
  transform.init(three()).check();
  Gradients gradients(transform.parameters(), DType::float32);
  gradients.set_all(some_gradients());
  const StepReport report = transform.update(gradients.refs()).value();
  EXPECT_EQ(report.spikes, 1u);
  EXPECT_TRUE(report.tensors[1].spike);
}

struct Failure {
  std::string what;
  Counting::Decide decide;
  std::string message;
  StatusCode code;
};

std::vector<Failure> failures() {
  const auto gives = [](double factor) {
    return [factor](std::span<UnitStep> units) {
      units.back().factor = factor;
      return Status();
    };
  };
  return {
      {"throws", [](std::span<UnitStep>) -> Status { throw std::runtime_error("no idea"); },
       "'counting': decide failed: no idea", StatusCode::failed_precondition},
      {"throws what is no exception", [](std::span<UnitStep>) -> Status { throw 7; },
       "'counting': decide threw something that is not a std::exception", StatusCode::failed_precondition},
      {"throws an error of the library",
       [](std::span<UnitStep>) -> Status {
         throw Error({StatusCode::unsupported, "not today"});
       },
       "'counting': not today", StatusCode::unsupported},
      {"returns an error", [](std::span<UnitStep>) { return Status(StatusCode::io_error, "no disk"); },
       "'counting': no disk", StatusCode::io_error},
      {"gives NaN, or leaves a unit out", gives(kNan),
       "'counting': the factor of unit 2 is nan, expected a finite number of at least 0",
       StatusCode::invalid_argument},
      {"gives infinity", gives(HUGE_VAL),
       "'counting': the factor of unit 2 is inf, expected a finite number of at least 0",
       StatusCode::invalid_argument},
      {"gives a negative factor", gives(-0.5),
       "'counting': the factor of unit 2 is -0.5, expected a finite number of at least 0",
       StatusCode::invalid_argument},
  };
}

/// Fails in its step `at`.
Counting::Decide in_step(int at, Counting::Decide fail) {
  return [at, fail = std::move(fail), step = 0](std::span<UnitStep> units) mutable {
    return ++step == at ? fail(units) : Status();
  };
}

TEST(NormMethodTest, AFailureLeavesGradientsAndEveryMemoryAsTheyWere) {
  for (const Failure& failure : failures()) {
    SCOPED_TRACE(failure.what);
    const auto make = [&](Counting::Decide decide) {
      return chain(stabilize(), zclip({.warmup_steps = 2}), counting(std::move(decide)), record_norms(),
                   clip_by_value(10.0));
    };
    GradientTransform transform = make(in_step(3, failure.decide));
    GradientTransform expected = make({});
    transform.init(three()).check();
    expected.init(three()).check();
    Gradients gradients(transform.parameters(), DType::float64);
    Gradients others(transform.parameters(), DType::float64);
    for (int step = 1; step <= 4; ++step) {
      gradients.set_all(some_gradients());
      others.set_all(some_gradients());
      if (step == 3) {
        const std::vector<std::byte> before = transform.save().value();
        const Status status = transform.update(gradients.refs(), step).status();
        EXPECT_EQ(status.message(), failure.message);
        EXPECT_EQ(status.code(), failure.code);
        EXPECT_EQ(gradients.values(), some_gradients());
        EXPECT_EQ(transform.save().value(), before);
        EXPECT_EQ(transform.report().step, 2);
        EXPECT_EQ(transform.report().global_norm, transform.report().raw_global_norm);
      }
      // Also the step of the same number, which has not been made.
      transform.update(gradients.refs(), step).value();
      expected.update(others.refs(), step).value();
      EXPECT_EQ(gradients.values(), others.values());
    }
    EXPECT_EQ(transform.save().value(), expected.save().value());
  }
}

TEST(NormMethodTest, AFailureLeavesOptimizersAsTheyWere) {
  for (const Failure& failure : failures()) {
    SCOPED_TRACE(failure.what);
    // One at a time: also the first of many small tensors is not updated when a later one fails.
    Optimizer optimizer(
        AdamOptions::adamw(),
        chain(stabilize(), counting(in_step(2, failure.decide), NormMethodNeeds{.all_units = false})));
    optimizer.init(three()).check();
    Gradients gradients(optimizer.parameters(), DType::float32);
    Gradients parameters(optimizer.parameters(), DType::float32);
    gradients.set_all(some_gradients());
    parameters.set_all(some_gradients());
    optimizer.step(parameters.refs(), gradients.refs()).value();
    const auto values = parameters.values();
    const auto before = optimizer.save().value();
    EXPECT_EQ(optimizer.step(parameters.refs(), gradients.refs()).status().message(), failure.message);
    EXPECT_EQ(parameters.values(), values);
    EXPECT_EQ(optimizer.save().value(), before);
    optimizer.step(parameters.refs(), gradients.refs()).value();
    EXPECT_NE(parameters.values(), values);
  }
}

TEST(NormMethodTest, AFailureInAStepOfOneParameterLeavesThatOneAsItWas) {
  const auto fail = [](std::span<UnitStep>) -> Status { throw std::runtime_error("no idea"); };
  Optimizer optimizer(AdamOptions::adamw(),
                      chain(stabilize(), counting(in_step(2, fail), NormMethodNeeds{.all_units = false})));
  optimizer.init(three()).check();
  optimizer.can_step_one().check();
  Gradients gradients(optimizer.parameters(), DType::float32);
  Gradients parameters(optimizer.parameters(), DType::float32);
  gradients.set_all(some_gradients());
  parameters.set_all(some_gradients());
  EXPECT_DOUBLE_EQ(optimizer.step_one(2, parameters.refs()[2], gradients.refs()[2])->factor, 0.5 / 3.0);
  const auto values = parameters.values();
  const auto before = optimizer.save().value();
  EXPECT_EQ(optimizer.step_one(1, parameters.refs()[1], gradients.refs()[1]).status().message(),
            "'counting': decide failed: no idea");
  EXPECT_EQ(parameters.values(), values);
  EXPECT_EQ(optimizer.save().value(), before);
  optimizer.step_one(1, parameters.refs()[1], gradients.refs()[1]).value();
  EXPECT_NE(parameters.values(1), values[1]);

  Optimizer of_all(AdamOptions::adamw(), counting());
  of_all.init(three()).check();
  EXPECT_THAT(of_all.can_step_one().message(), HasSubstr("'counting' needs the norms of all tensors"));
}

TEST(NormMethodTest, RefusesWhatCannotHold) {
  const auto refusal = [](GradientTransform transform) { return transform.init(three()).message(); };
  EXPECT_EQ(
      refusal(chain(clip_by_value(1.0), counting())),
      "'counting' stands behind 'clip_by_value', which has already changed the gradients when 'counting' "
      "decides, and that may fail; put it in front");
  EXPECT_EQ(refusal(called("stabilize")),
            "a method is called 'stabilize', which is one of the library's own");
  EXPECT_EQ(refusal(called("Mine")),
            "a method is called 'Mine', expected lower-case letters, digits and '_'");
  EXPECT_EQ(refusal(called("")), "a method is called '', expected lower-case letters, digits and '_'");
  EXPECT_EQ(refusal(norm_method(nullptr)), "the method is null");
  struct Unborn : Counting {
    void reset(std::size_t) override { throw std::runtime_error("not ready"); }
  };
  EXPECT_EQ(refusal(norm_method(std::make_unique<Unborn>())), "'counting': reset failed: not ready");
  struct Nameless : Counting {
    std::string name() const override { throw std::runtime_error("who?"); }
  };
  EXPECT_EQ(refusal(norm_method(std::make_unique<Nameless>())), "a method failed to describe itself: who?");
  struct Twice : Counting {
    std::vector<MethodValues> save_unit(std::size_t) const override { return {{"steps", {1.0}}}; }
  };
  EXPECT_EQ(refusal(norm_method(std::make_unique<Twice>())),
            "'counting': save and save_unit have the name 'steps' twice");
  struct Unloadable : NormMethod {
    std::string name() const override { return "unloadable"; }
    void reset(std::size_t) override {}
    Status decide(std::span<UnitStep>) override { return {}; }
    std::vector<MethodValues> save() const override { return {{"steps", {1.0}}}; }
  };
  EXPECT_EQ(refusal(norm_method(std::make_unique<Unloadable>())),
            "'unloadable': there is a state, but the method has no load");
}

}  // namespace
}  // namespace gradstab::testing
