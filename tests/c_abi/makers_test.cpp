// Making, chaining and freeing transforms: who owns what, in success and in failure.
#include <gtest/gtest.h>

#include <limits>

#include "support.hpp"

namespace gradstab::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

std::string name_of(const gradstab_transform* transform) {
  const char* name = nullptr;
  EXPECT_TRUE(accepted(gradstab_transform_name(transform, &name), transform));
  return name == nullptr ? "" : name;
}

/// A value that a failed maker must replace by NULL.
gradstab_transform* stale() {
  static int somewhere;
  return reinterpret_cast<gradstab_transform*>(&somewhere);
}

TEST(CMakersTest, NameWhatTheyMade) {
  EXPECT_EQ(name_of(make_stabilizer().get()), "stabilize");
  EXPECT_EQ(name_of(make_clipper(2.0).get()), "clip_by_global_norm");
  EXPECT_EQ(name_of(make_recorder().get()), "record_norms");
  const Handle transform = make_stabilizer();
  EXPECT_TRUE(refused(gradstab_transform_name(transform.get(), nullptr), GRADSTAB_INVALID_ARGUMENT,
                      transform.get(), "name is NULL, expected a const char*"));
}

TEST(CMakersTest, NeedSomewhereToPutTheTransform) {
  const std::string message = "transform is NULL, expected where to put the new one";
  EXPECT_TRUE(
      refused(gradstab_stabilize(nullptr, nullptr, nullptr), GRADSTAB_INVALID_ARGUMENT, nullptr, message));
  EXPECT_TRUE(
      refused(gradstab_clip_by_global_norm(1.0, 0, nullptr), GRADSTAB_INVALID_ARGUMENT, nullptr, message));
  EXPECT_TRUE(
      refused(gradstab_record_norms(4.0, nullptr, nullptr), GRADSTAB_INVALID_ARGUMENT, nullptr, message));
  EXPECT_TRUE(refused(gradstab_chain(nullptr, 0, nullptr), GRADSTAB_INVALID_ARGUMENT, nullptr, message));
}

TEST(CMakersTest, RefuseSettingsOutsideTheirRangeAndReturnNothing) {
  gradstab_transform* transform = nullptr;
  const std::pair<double, const char*> limits[] = {{0.0, "0"}, {-2.0, "-2"}, {kNaN, "nan"}, {kInf, "inf"}};
  for (const auto& [value, text] : limits) {
    transform = stale();
    EXPECT_TRUE(refused(gradstab_clip_by_global_norm(value, 0, &transform), GRADSTAB_INVALID_ARGUMENT,
                        nullptr, std::string("max_norm must be finite and above 0, got ") + text));
    EXPECT_EQ(transform, nullptr);
  }
  transform = stale();
  EXPECT_TRUE(refused(gradstab_clip_by_global_norm(1.0, 5, &transform), GRADSTAB_INVALID_ARGUMENT, nullptr,
                      "max_abs must be 0 or 1, got 5"));
  EXPECT_EQ(transform, nullptr);
  transform = stale();
  EXPECT_TRUE(refused(gradstab_record_norms(-1.0, nullptr, &transform), GRADSTAB_INVALID_ARGUMENT, nullptr,
                      "spike_ratio must be above 0, got -1"));
  EXPECT_EQ(transform, nullptr);
}

TEST(CChainTest, TakesItsLinksWhenItSucceeds) {
  // The sanitizers see a link that is freed twice or never.
  gradstab_transform* links[] = {make_recorder().release(), make_clipper(1.0).release(),
                                 make_stabilizer().release()};
  gradstab_transform* made = nullptr;
  ASSERT_TRUE(accepted(gradstab_chain(links, 3, &made)));
  Handle chain(made);
  EXPECT_EQ(name_of(chain.get()), "chain(record_norms, clip_by_global_norm, stabilize)");

  gradstab_transform* nested[] = {chain.release(), make_stabilizer().release()};
  ASSERT_TRUE(accepted(gradstab_chain(nested, 2, &made)));
  chain.reset(made);
  EXPECT_EQ(name_of(chain.get()), "chain(record_norms, clip_by_global_norm, stabilize, stabilize)");
}

TEST(CChainTest, LeavesItsLinksToTheCallerWhenItFails) {
  const Handle first = initialised();
  const Handle second = make_clipper(1.0);
  gradstab_transform* const with_null[] = {first.get(), second.get(), nullptr};
  gradstab_transform* made = stale();
  EXPECT_TRUE(refused(gradstab_chain(with_null, 3, &made), GRADSTAB_INVALID_ARGUMENT, nullptr,
                      "link 2 is NULL, expected a transform"));
  EXPECT_EQ(made, nullptr);
  gradstab_transform* const twice[] = {first.get(), second.get(), first.get()};
  made = stale();
  EXPECT_TRUE(refused(gradstab_chain(twice, 3, &made), GRADSTAB_INVALID_ARGUMENT, nullptr,
                      "link 2 is the same transform as link 0"));
  EXPECT_EQ(made, nullptr);
  made = stale();
  EXPECT_TRUE(refused(gradstab_chain(nullptr, 2, &made), GRADSTAB_INVALID_ARGUMENT, nullptr,
                      "links is NULL, expected an array of 2 transforms"));
  EXPECT_EQ(made, nullptr);
  EXPECT_TRUE(refused(gradstab_chain(twice, 2, nullptr), GRADSTAB_INVALID_ARGUMENT, nullptr,
                      "transform is NULL, expected where to put the new one"));
  train(first.get(), 1);
  EXPECT_EQ(name_of(second.get()), "clip_by_global_norm");
}

TEST(CChainTest, OfNothingChangesNothing) {
  gradstab_transform* made = nullptr;
  ASSERT_TRUE(accepted(gradstab_chain(nullptr, 0, &made)));
  const Handle chain(made);
  ASSERT_TRUE(accepted(gradstab_init(chain.get(), kParameters, 2, nullptr), chain.get()));
  Pair gradients;
  const auto before = gradients.weight;
  gradstab_step_report report = empty_report();
  EXPECT_TRUE(
      accepted(gradstab_update_pointers(chain.get(), gradients.pointers, 2, GRADSTAB_FLOAT32, 1, &report),
               chain.get()));
  EXPECT_EQ(gradients.weight, before);
  EXPECT_EQ(report.global_norm, report.raw_global_norm);
}

}  // namespace
}  // namespace gradstab::testing
