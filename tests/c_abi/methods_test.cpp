// Methods by their names, and what the library says of them.
#include "gradstab/methods.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "gradstab/transforms.hpp"
#include "optimizer_support.hpp"
#include "support.hpp"

namespace gradstab::testing {
namespace {

/// What the C++ library saves of a transform that was made with these words, after the steps of `train`.
std::vector<unsigned char> state_of(Handle handle) {
  EXPECT_TRUE(accepted(gradstab_init(handle.get(), kParameters, 2, nullptr), handle.get()));
  return saved(handle.get());
}

Handle from_text(const std::string& text) {
  gradstab_transform* made = nullptr;
  EXPECT_TRUE(accepted(gradstab_transform_from_text(text.c_str(), &made))) << text;
  return Handle(made);
}

TEST(CMethodsTest, AllAreMadeByTheirNamesWithTheirDefaults) {
  ASSERT_EQ(gradstab_method_count(), methods().size());
  for (std::size_t m = 0; m < gradstab_method_count(); ++m) {
    const char* name = nullptr;
    const char* summary = nullptr;
    std::size_t count = 0;
    ASSERT_TRUE(accepted(gradstab_method_info(m, &name, &summary, &count)));
    const MethodInfo& info = methods()[m];
    EXPECT_EQ(name, info.name);
    EXPECT_EQ(summary, info.summary);
    ASSERT_EQ(count, info.settings.size());
    std::vector<gradstab_setting> written;
    for (std::size_t s = 0; s < count; ++s) {
      gradstab_setting_description described{};
      described.struct_size = sizeof described;
      ASSERT_TRUE(accepted(gradstab_setting_info(name, s, &described)));
      EXPECT_EQ(described.name, info.settings[s].setting.name);
      EXPECT_EQ(described.help, info.settings[s].setting.help);
      EXPECT_EQ(described.default_text, info.settings[s].default_text);
      EXPECT_EQ(described.range, info.settings[s].setting.range.text);
      written.push_back({described.name, 0.0, described.default_text});
    }
    gradstab_transform* plain = nullptr;
    gradstab_transform* spelled = nullptr;
    ASSERT_TRUE(accepted(gradstab_method(name, nullptr, 0, nullptr, &plain)));
    ASSERT_TRUE(accepted(gradstab_method(name, written.data(), written.size(), nullptr, &spelled)));
    EXPECT_EQ(state_of(Handle(plain)), state_of(Handle(spelled))) << name;
  }
}

TEST(CMethodsTest, SettingsAreNumbersOrTexts) {
  const gradstab_setting settings[] = {
      {"z_threshold", 3.0, nullptr}, {"skip_update_on_spike", 1.0, nullptr}, {"mode", 0.0, "percentile"}};
  gradstab_transform* made = nullptr;
  ASSERT_TRUE(accepted(gradstab_method("zclip", settings, 3, nullptr, &made)));
  EXPECT_EQ(state_of(Handle(made)),
            state_of(from_text("zclip(z_threshold=3, skip_update_on_spike=true, mode=percentile)")));
  EXPECT_NE(state_of(from_text("zclip(z_threshold=3)")), state_of(from_text("zclip")));
}

TEST(CMethodsTest, UnitsAreForMethodsThatHaveThem) {
  const gradstab_units rows{sizeof rows, GRADSTAB_PER_ROW, 0, nullptr, 0};
  gradstab_transform* made = nullptr;
  ASSERT_TRUE(accepted(gradstab_method("normalize", nullptr, 0, &rows, &made)));
  EXPECT_EQ(state_of(Handle(made)), state_of(from_text("normalize(granularity=row)")));
  EXPECT_TRUE(refused(gradstab_method("zclip", nullptr, 0, &rows, &made), GRADSTAB_INVALID_ARGUMENT, nullptr,
                      "units are given, but zclip has none"));
  EXPECT_EQ(made, nullptr);
}

TEST(CMethodsTest, AChainComesFromAText) {
  const Handle chain = from_text("clip_by_global_norm(max_norm=0.5)+stabilize");
  const char* name = nullptr;
  ASSERT_TRUE(accepted(gradstab_transform_name(chain.get(), &name), chain.get()));
  EXPECT_STREQ(name, "chain(clip_by_global_norm, stabilize)");
}

TEST(CMethodsTest, WhatIsUnknownIsRefusedWithTheNearestName) {
  gradstab_transform* made = nullptr;
  const auto invalid = [&](gradstab_status got, const char* message) {
    EXPECT_TRUE(refused(got, GRADSTAB_INVALID_ARGUMENT, nullptr, message));
    EXPECT_EQ(made, nullptr);
  };
  invalid(gradstab_transform_from_text("zclipp", &made),
          "'zclipp' is no method of this library; did you mean zclip?");
  invalid(gradstab_transform_from_text(nullptr, &made), "text is NULL, expected a chain of methods");
  invalid(gradstab_method(nullptr, nullptr, 0, nullptr, &made),
          "method is NULL, expected the name of a method");
  invalid(gradstab_method("zclip", nullptr, 1, nullptr, &made), "settings is NULL, expected an array of 1");
  const gradstab_setting nameless{nullptr, 1.0, nullptr};
  invalid(gradstab_method("zclip", &nameless, 1, nullptr, &made),
          "name of setting 0 is NULL, expected a text");
  const gradstab_setting misspelt{"z_tresh", 3.0, nullptr};
  invalid(gradstab_method("zclip", &misspelt, 1, nullptr, &made),
          "'z_tresh' is no setting of zclip; did you mean z_threshold, which must be finite and above 0?");
  const gradstab_setting outside{"alpha", 1.0, nullptr};
  invalid(gradstab_method("zclip", &outside, 1, nullptr, &made), "alpha must be in [0, 1), got 1");
  EXPECT_TRUE(refused(gradstab_method("zclip", nullptr, 0, nullptr, nullptr), GRADSTAB_INVALID_ARGUMENT,
                      nullptr, "transform is NULL, expected where to put the new one"));
  EXPECT_TRUE(refused(gradstab_method_info(SIZE_MAX, nullptr, nullptr, nullptr), GRADSTAB_INVALID_ARGUMENT,
                      nullptr,
                      "method " + std::to_string(SIZE_MAX) + " does not exist; there are " +
                          std::to_string(methods().size())));
  gradstab_setting_description described{};
  described.struct_size = sizeof described;
  EXPECT_TRUE(refused(gradstab_setting_info("zclip", 10, &described), GRADSTAB_INVALID_ARGUMENT, nullptr,
                      "setting 10 of zclip does not exist; there are 10"));
}

/// A program that was compiled before Adam's resets were here has a shorter struct, and no resets.
TEST(CMethodsTest, AdamOfOlderProgramsHasNoResets) {
  constexpr std::size_t kOlder = offsetof(gradstab_adam_options, reset_interval);
  gradstab_adam_options options;
  std::memset(&options, 0x7F, sizeof options);
  ASSERT_TRUE(accepted(gradstab_adam_options_init(&options, kOlder, GRADSTAB_PRESET_ADAM)));
  EXPECT_EQ(options.base.struct_size, kOlder);
  EXPECT_EQ(options.beta2, AdamOptions{}.beta2);
  EXPECT_NE(options.reset_interval, 0) << "not written";
  gradstab_optimizer* made = nullptr;
  ASSERT_TRUE(accepted(gradstab_adam(&options, nullptr, &made)));
  gradstab_optimizer_destroy(made);
  options.base.struct_size = sizeof options;
  EXPECT_TRUE(
      refused(gradstab_adam(&options, nullptr, &made), GRADSTAB_INVALID_ARGUMENT, nullptr,
              "gradstab_adam_options.reserved must be 0, got 2139062143; was the struct set to 0 first?"));
}

}  // namespace
}  // namespace gradstab::testing
