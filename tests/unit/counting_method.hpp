// A method of somebody else's that counts, and what its tests give it.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gradstab/norm_method.hpp"
#include "support/gradients.hpp"

namespace gradstab::testing {

/// Counts steps, and sums the norms of each unit; decides by what a test puts in.
struct Counting : NormMethod {
  using Decide = std::function<Status(std::span<UnitStep>)>;

  Counting() = default;
  explicit Counting(Decide given, NormMethodNeeds asked = {})
      : decide_by(std::move(given)), asked_for(asked) {}

  std::string name() const override { return called; }
  NormMethodNeeds needs() const override { return asked_for; }
  std::vector<NormMethodSetting> settings() const override { return {{"kind", "counting"}, {"half", 0.5}}; }
  std::int32_t version() const override { return of_version; }
  void reset(std::size_t count) override {
    steps = 0.0;
    sums.assign(count, 0.0);
  }
  Status decide(std::span<UnitStep> units) override {
    steps += 1.0;
    for (UnitStep& unit : units) {
      sums.at(unit.unit) += unit.norm;
      unit.factor = 0.5;
    }
    return decide_by ? decide_by(units) : Status();
  }
  std::vector<MethodValues> save() const override { return {{"steps", {steps}}}; }
  Status load(std::span<const MethodValues> values, std::int32_t version) override {
    loaded_version = version;
    if (values[0].values.size() != 1 || values[0].values[0] < 0.0)
      return {StatusCode::corrupt_data, "impossible steps"};
    steps = values[0].values[0];
    return {};
  }
  std::vector<MethodValues> save_unit(std::size_t unit) const override { return {{"sum", {sums.at(unit)}}}; }
  Status load_unit(std::size_t unit, std::span<const MethodValues> values, std::int32_t) override {
    sums.at(unit) = values[0].values.at(0);
    return {};
  }

  Decide decide_by;
  NormMethodNeeds asked_for;
  std::string called = "counting";
  std::int32_t of_version = 1;
  std::int32_t loaded_version = 0;
  double steps = 0.0;
  std::vector<double> sums;
};

template <class... Arguments>
GradientTransform counting(Arguments&&... arguments) {
  return norm_method(std::make_unique<Counting>(std::forward<Arguments>(arguments)...));
}

inline GradientTransform called(std::string name) {
  auto method = std::make_unique<Counting>();
  method->called = std::move(name);
  return norm_method(std::move(method));
}

inline ParameterSet three() {
  return ParameterSet::create({{"a", {2, 2}}, {"b", {2}}, {"c", {3}}}).value();
}

/// Norms 5, 13 and 3.
inline std::vector<Values> some_gradients() {
  return {{3.0, 0.0, 0.0, 4.0}, {5.0, 12.0}, {1.0, 2.0, -2.0}};
}

inline std::vector<double> values_of(const GradientTransform& transform, std::string_view field,
                                     std::size_t link = 0) {
  const auto states = transform.state();
  for (const StateField& one : states.at(link).fields) {
    if (one.name == field) return one.values;
  }
  ADD_FAILURE() << "no " << field;
  return {};
}

}  // namespace gradstab::testing
