// The states of methods of somebody else's: saved, loaded and refused.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "counting_method.hpp"
#include "gradstab/norm_method.hpp"
#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"

namespace gradstab::testing {
namespace {

TEST(NormMethodTest, StateGoesByTheNamesOfParameters) {
  for (const bool rows : {false, true}) {
    const auto make = [&] {
      return chain(counting(Counting::Decide(), NormMethodNeeds{.units = rows ? Units::per_row() : Units()}),
                   stabilize());
    };
    GradientTransform saved = make();
    saved.init(three()).check();
    Gradients gradients(saved.parameters(), DType::float64);
    gradients.set_all(some_gradients());
    saved.update(gradients.refs()).value();
    GradientTransform loaded = make();
    loaded.init(ParameterSet::create({{"c", {3}}, {"a", {2, 2}}, {"b", {2}}}).value()).check();
    loaded.load(saved.save().value()).check();
    const auto sums = values_of(loaded, "sum");
    EXPECT_EQ(values_of(loaded, "steps"), std::vector<double>{1.0});
    const auto before = values_of(saved, "sum");
    ASSERT_EQ(sums.size(), rows ? 4u : 3u);
    EXPECT_EQ(sums.front(), before.back());
    EXPECT_EQ(sums[1], before[0]);

    loaded.rebind(ParameterSet::create({{"new", {5}}, {"b", {2}}}).value()).check();
    EXPECT_EQ(values_of(loaded, "sum"), (std::vector<double>{0.0, sums.back()}));
    EXPECT_EQ(values_of(loaded, "steps"), std::vector<double>{1.0});
  }
}

TEST(NormMethodTest, StateGoesParameterByParameter) {
  GradientTransform transform = counting();
  transform.init(three()).check();
  Gradients gradients(transform.parameters(), DType::float64);
  gradients.set_all(some_gradients());
  transform.update(gradients.refs()).value();
  std::vector<std::vector<ParameterStatistic>> lists;
  for (std::size_t t = 0; t < 3; ++t) lists.push_back(transform.statistics(t).value());
  EXPECT_EQ(lists[1].back(), (ParameterStatistic{"0.counting.sum", {13.0}}));
  GradientTransform other = counting();
  other.init(three()).check();
  other.set_statistics(lists).check();
  EXPECT_EQ(other.save().value(), transform.save().value());
  lists[2].back().values.front() = 4.0;
  other.set_statistics(lists).check();
  EXPECT_EQ(values_of(other, "sum"), (std::vector<double>{5.0, 13.0, 4.0}));
  lists[2].pop_back();
  EXPECT_FALSE(other.set_statistics(lists).ok());
  EXPECT_EQ(values_of(other, "sum"), (std::vector<double>{5.0, 13.0, 4.0}));
}

TEST(NormMethodTest, RefusesStatesThatAreNotItsOwn) {
  const auto make = [](std::int32_t version, const char* name = "counting") {
    auto method = std::make_unique<Counting>();
    method->of_version = version;
    method->called = name;
    return norm_method(std::move(method));
  };
  GradientTransform second = make(2);
  second.init(three()).check();
  GradientTransform first = make(1);
  first.init(three()).check();
  EXPECT_EQ(first.load(second.save().value()).message(),
            "state of 'counting' has version 2, which this one, of version 1, does not read");
  EXPECT_EQ(first.load(second.save().value()).code(), StatusCode::version_mismatch);
  second.load(first.save().value()).check();
  GradientTransform other = make(1, "another");
  other.init(three()).check();
  EXPECT_EQ(other.load(first.save().value()).message(), "saved state is of 'counting', expected 'another'");

  // A load that the method refuses is taken back.
  struct Negative : Counting {
    std::vector<MethodValues> save() const override { return {{"steps", {-steps}}}; }
  };
  GradientTransform negative = norm_method(std::make_unique<Negative>());
  negative.init(three()).check();
  const double squares[] = {1.0, 4.0, 9.0};
  negative.decide(squares).value();
  Gradients gradients(first.parameters(), DType::float64);
  gradients.set_all(some_gradients());
  first.update(gradients.refs()).value();
  const auto before = first.save().value();
  EXPECT_EQ(first.load(negative.save().value()).message(), "'counting': impossible steps");
  EXPECT_EQ(first.save().value(), before);

  struct OtherNames : Counting {
    std::vector<MethodValues> save() const override { return {{"stops", {1.0}}}; }
  };
  GradientTransform renamed = norm_method(std::make_unique<OtherNames>());
  renamed.init(three()).check();
  EXPECT_EQ(first.load(renamed.save().value()).message(),
            "state of 'counting' has other values than it has here: 'stops', expected 'steps'");
  struct OtherSettings : Counting {
    std::vector<NormMethodSetting> settings() const override {
      return {{"kind", "counting"}, {"half", 0.25}};
    }
  };
  GradientTransform quarter = norm_method(std::make_unique<OtherSettings>());
  quarter.init(three()).check();
  EXPECT_EQ(first.load(quarter.save().value()).message(),
            "counting has half = 0.5 here but half = 0.25 in the saved state");
}

TEST(NormMethodTest, EveryTruncationIsAnError) {
  GradientTransform transform = counting();
  transform.init(three()).check();
  const auto bytes = transform.save().value();
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(transform.load(std::span(bytes).first(size)).ok()) << size;
  transform.load(bytes).check();
}

TEST(NormMethodTest, AMethodThatCannotBeSavedIsAnErrorEverywhere) {
  struct Unsaved : Counting {
    std::vector<MethodValues> save() const override {
      if (steps > 0.0) throw std::runtime_error("full");
      return Counting::save();
    }
  };
  GradientTransform transform = norm_method(std::make_unique<Unsaved>());
  transform.init(three()).check();
  Gradients gradients(transform.parameters(), DType::float64);
  gradients.set_all(some_gradients());
  transform.update(gradients.refs()).value();
  const std::string message = "'counting': save failed: full";
  EXPECT_EQ(transform.save().status().message(), message);
  EXPECT_EQ(transform.statistics(0).status().message(), message);
  EXPECT_EQ(transform.rebind(three()).message(), message);
  EXPECT_EQ(transform.update(gradients.refs()).status().message(), message);
  EXPECT_EQ(transform.load({}).message().find("counting"), std::string::npos);  // what is no state, first
}

}  // namespace
}  // namespace gradstab::testing
