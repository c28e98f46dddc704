// GRADSTAB_PROPERTY(Suite, Name) { ... }: a RapidCheck property as a gtest, with a fixed seed.
//
// The body draws its inputs with `*generator` and checks with RC_ASSERT. On failure RapidCheck prints the
// smallest inputs it found and how to repeat them. RC_PARAMS="seed=..." in the environment tries others.
#pragma once

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <sstream>

namespace gradstab::testing {

/// Runs a property under the name of the current test.
template <class Property>
void check_property(Property property) {
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  rc::detail::TestMetadata metadata;
  metadata.id = std::string(test->test_suite_name()) + "/" + test->name();
  metadata.description = test->name();
  const auto result = rc::detail::checkTestable(property, metadata);
  if (result.template is<rc::detail::SuccessResult>()) return;
  std::ostringstream text;
  rc::detail::printResultMessage(result, text);
  FAIL() << text.str();
}

}  // namespace gradstab::testing

#define GRADSTAB_PROPERTY(Suite, Name)                            \
  static void Suite##_##Name##_property();                        \
  TEST(Suite, Name) {                                             \
    gradstab::testing::check_property(Suite##_##Name##_property); \
  }                                                               \
  static void Suite##_##Name##_property()
