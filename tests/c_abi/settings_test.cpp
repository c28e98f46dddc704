// Presets, struct sizes, and every setting outside its range.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "gradstab/bounds.hpp"
#include "gradstab/options.hpp"
#include "support.hpp"

namespace gradstab::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

gradstab_stabilizer_options preset(gradstab_preset which) {
  gradstab_stabilizer_options options;
  std::memset(&options, 0xFF, sizeof options);
  EXPECT_TRUE(accepted(gradstab_stabilizer_options_init(&options, sizeof options, which)));
  return options;
}

void expect_same(const gradstab_stabilizer_options& c, const StabilizerOptions& expected) {
  EXPECT_EQ(c.struct_size, sizeof c);
  EXPECT_EQ(c.gamma1, expected.gamma1);
  EXPECT_EQ(c.gamma2, expected.gamma2);
  EXPECT_EQ(c.epsilon, expected.epsilon);
  EXPECT_EQ(c.spike_ratio, expected.spike_ratio);
  EXPECT_EQ(c.robust_kappa, expected.robust_kappa);
  EXPECT_EQ(c.bias_correction, expected.bias_correction ? 1 : 0);
  EXPECT_EQ(c.reserved, 0);
}

TEST(CStabilizerOptionsTest, PresetsAreThoseOfTheCppLibrary) {
  expect_same(preset(GRADSTAB_PRESET_DEFAULT), StabilizerOptions{});
  expect_same(preset(GRADSTAB_PRESET_PAPER), StabilizerOptions::paper());
  expect_same(preset(GRADSTAB_PRESET_RELEASED), StabilizerOptions::released());
  expect_same(preset(GRADSTAB_PRESET_ROBUST), StabilizerOptions::robust());
}

TEST(CStabilizerOptionsTest, InitRefusesWhatItDoesNotKnow) {
  gradstab_stabilizer_options options = preset(GRADSTAB_PRESET_DEFAULT);
  EXPECT_TRUE(refused(gradstab_stabilizer_options_init(nullptr, sizeof options, GRADSTAB_PRESET_DEFAULT),
                      GRADSTAB_INVALID_ARGUMENT, nullptr,
                      "options is NULL, expected a gradstab_stabilizer_options"));
  for (const gradstab_preset unknown : {-1, 4, INT32_MAX}) {
    EXPECT_TRUE(refused(
        gradstab_stabilizer_options_init(&options, sizeof options, unknown), GRADSTAB_INVALID_ARGUMENT,
        nullptr,
        "preset must be default (0), paper (1), released (2) or robust (3), got " + std::to_string(unknown)));
  }
  for (const std::size_t size : {std::size_t{0}, sizeof options - 1, std::size_t{1025}, SIZE_MAX}) {
    EXPECT_TRUE(
        refused(gradstab_stabilizer_options_init(&options, size, GRADSTAB_PRESET_DEFAULT),
                GRADSTAB_INVALID_ARGUMENT, nullptr,
                "struct_size of gradstab_stabilizer_options is " + std::to_string(size) +
                    ", expected sizeof(gradstab_stabilizer_options) = " + std::to_string(sizeof options)));
  }
}

/// A struct of a later version of the interface, with a field that this one does not know.
struct LaterOptions {
  gradstab_stabilizer_options known;
  double later;
};

TEST(CStabilizerOptionsTest, ALargerStructOfALaterVersionIsFilledWithZeros) {
  LaterOptions options;
  std::memset(&options, 0xFF, sizeof options);
  EXPECT_TRUE(
      accepted(gradstab_stabilizer_options_init(&options.known, sizeof options, GRADSTAB_PRESET_DEFAULT)));
  EXPECT_EQ(options.known.struct_size, sizeof options);
  EXPECT_EQ(options.known.gamma2, 0.999);
  EXPECT_EQ(options.later, 0.0);
}

/// What gradstab_stabilize says to these options; "" if it takes them.
std::string error_of(const gradstab_stabilizer_options& options) {
  gradstab_transform* transform = nullptr;
  const gradstab_status status = gradstab_stabilize(&options, nullptr, &transform);
  const Handle made(transform);
  EXPECT_EQ(made == nullptr, status != GRADSTAB_OK);
  if (status == GRADSTAB_OK) return "";
  EXPECT_EQ(status, GRADSTAB_INVALID_ARGUMENT);
  return gradstab_last_error(nullptr);
}

std::string error_of(double gradstab_stabilizer_options::*field, double value) {
  gradstab_stabilizer_options options = preset(GRADSTAB_PRESET_DEFAULT);
  options.*field = value;
  return error_of(options);
}

TEST(CStabilizerOptionsTest, EveryFieldOutsideItsRangeIsNamedWithItsValue) {
  using Options = gradstab_stabilizer_options;
  EXPECT_EQ(error_of(&Options::gamma1, -0.1), "gamma1 must be in [0, 1), got -0.1");
  EXPECT_EQ(error_of(&Options::gamma1, 1.0), "gamma1 must be in [0, 1), got 1");
  EXPECT_EQ(error_of(&Options::gamma2, 1.5), "gamma2 must be in [0, 1), got 1.5");
  EXPECT_EQ(error_of(&Options::gamma2, kNaN), "gamma2 must be in [0, 1), got nan");
  EXPECT_EQ(error_of(&Options::epsilon, -1.0), "epsilon must be finite and at least 0, got -1");
  EXPECT_EQ(error_of(&Options::epsilon, kInf), "epsilon must be finite and at least 0, got inf");
  EXPECT_EQ(error_of(&Options::spike_ratio, 0.0), "spike_ratio must be above 0, got 0");
  EXPECT_EQ(error_of(&Options::robust_kappa, 1.0),
            "robust_kappa must be 0 (off) or finite and above 1, got 1");
  for (double Options::*field : {&Options::gamma1, &Options::gamma2, &Options::epsilon})
    EXPECT_EQ(error_of(field, 0.25), "");
  gradstab_stabilizer_options options = preset(GRADSTAB_PRESET_DEFAULT);
  options.bias_correction = 2;
  EXPECT_EQ(error_of(options), "bias_correction must be 0 or 1, got 2");
  options = preset(GRADSTAB_PRESET_DEFAULT);
  options.reserved = 7;
  EXPECT_EQ(error_of(options),
            "gradstab_stabilizer_options.reserved must be 0, got 7; was the struct set to 0 first?");
}

TEST(CStabilizerOptionsTest, OptionsThatWereNeverSetAreRefused) {
  gradstab_stabilizer_options options = {};
  EXPECT_EQ(error_of(options),
            "struct_size of gradstab_stabilizer_options is 0, expected sizeof(gradstab_stabilizer_options) "
            "= " +
                std::to_string(sizeof options));
  options.struct_size = sizeof options;
  EXPECT_EQ(error_of(options), "spike_ratio must be above 0, got 0");
}

TEST(CStabilizerOptionsTest, AFieldOfALaterVersionMayBeZeroAndNothingElse) {
  LaterOptions options = {preset(GRADSTAB_PRESET_DEFAULT), 0.0};
  options.known.struct_size = sizeof options;
  EXPECT_EQ(error_of(options.known), "");
  options.later = 0.5;
  gradstab_transform* transform = nullptr;
  EXPECT_TRUE(refused(gradstab_stabilize(&options.known, nullptr, &transform), GRADSTAB_UNSUPPORTED, nullptr,
                      std::string("gradstab_stabilizer_options has a field set that version ") +
                          gradstab_version_string() + " of this library does not know"));
}

/// What gradstab_stabilize and gradstab_record_norms say to these units.
std::string error_of(const gradstab_units& units) {
  gradstab_transform* transform = nullptr;
  const gradstab_status status = gradstab_stabilize(nullptr, &units, &transform);
  const std::string message = gradstab_last_error(nullptr);
  const Handle stabilizer(transform);
  EXPECT_EQ(gradstab_record_norms(4.0, &units, &transform), status);
  EXPECT_EQ(gradstab_last_error(nullptr), message);
  const Handle recorder(transform);
  EXPECT_TRUE(status == GRADSTAB_OK || status == GRADSTAB_INVALID_ARGUMENT) << status;
  EXPECT_EQ(status == GRADSTAB_OK, message.empty());
  return message;
}

gradstab_units units_of(gradstab_granularity granularity) {
  gradstab_units units = {};
  units.struct_size = sizeof units;
  units.granularity = granularity;
  return units;
}

TEST(CUnitsTest, EveryGranularityIsTaken) {
  EXPECT_EQ(error_of(units_of(GRADSTAB_PER_TENSOR)), "");
  EXPECT_EQ(error_of(units_of(GRADSTAB_PER_ROW)), "");
  EXPECT_EQ(error_of(units_of(GRADSTAB_WHOLE_MODEL)), "");
  const char* const patterns[] = {"a*", "b"};
  const gradstab_unit_group group = {"g", patterns, 2};
  gradstab_units units = units_of(GRADSTAB_PER_GROUP);
  units.groups = &group;
  units.group_count = 1;
  EXPECT_EQ(error_of(units), "");
}

TEST(CUnitsTest, EveryMistakeIsNamed) {
  for (const gradstab_granularity unknown : {-1, 4, 256, INT32_MIN}) {
    EXPECT_EQ(error_of(units_of(unknown)),
              "granularity must be per tensor (0), row (1), group (2) or whole model (3), got " +
                  std::to_string(unknown));
  }
  gradstab_units units = units_of(GRADSTAB_PER_ROW);
  units.reserved = -3;
  EXPECT_EQ(error_of(units), "gradstab_units.reserved must be 0, got -3; was the struct set to 0 first?");
  units = units_of(GRADSTAB_PER_ROW);
  units.struct_size = 4;
  EXPECT_EQ(error_of(units), "struct_size of gradstab_units is 4, expected sizeof(gradstab_units) = " +
                                 std::to_string(sizeof units));
  EXPECT_EQ(error_of(units_of(GRADSTAB_PER_GROUP)), "granularity 'group' needs at least one group, got none");
  units = units_of(GRADSTAB_PER_GROUP);
  units.group_count = 3;
  EXPECT_EQ(error_of(units), "groups is NULL, expected an array of 3");
}

TEST(CUnitsTest, EveryMistakeInAGroupIsNamed) {
  const auto error_of_groups = [](const std::vector<gradstab_unit_group>& groups) {
    gradstab_units units = units_of(GRADSTAB_PER_GROUP);
    units.groups = groups.data();
    units.group_count = groups.size();
    return error_of(units);
  };
  const char* const good[] = {"a*"};
  const char* const missing[] = {"a*", nullptr};
  EXPECT_EQ(error_of_groups({{"g", good, 1}, {nullptr, good, 1}}),
            "name of group 1 is NULL, expected a text");
  EXPECT_EQ(error_of_groups({{"", good, 1}}), "group 0 has an empty name");
  EXPECT_EQ(error_of_groups({{"g", good, 1}, {"g", good, 1}}),
            "group name 'g' is used twice; names must be unique");
  EXPECT_EQ(error_of_groups({{"g", nullptr, 2}}), "patterns of group 'g' is NULL, expected an array of 2");
  EXPECT_EQ(error_of_groups({{"g", nullptr, 0}}), "group 'g' has no patterns");
  EXPECT_EQ(error_of_groups({{"g", missing, 2}}), "pattern 1 of group 'g' is NULL, expected a text");
  const gradstab_unit_group group = {"g", good, 1};
  gradstab_units units = units_of(GRADSTAB_PER_TENSOR);
  units.groups = &group;
  units.group_count = 1;
  EXPECT_EQ(error_of(units), "groups are given, but granularity is 'tensor', expected 'group'");
}

TEST(CBoundsTest, AreThoseOfTheCppLibrary) {
  double bound = 0;
  EXPECT_TRUE(accepted(gradstab_uniform_bound(nullptr, &bound)));
  EXPECT_EQ(bound, uniform_bound({}));
  EXPECT_NEAR(bound, 15.8158, 5e-5);
  const gradstab_stabilizer_options paper = preset(GRADSTAB_PRESET_PAPER);
  for (const std::int64_t step : {1, 10, 1000}) {
    EXPECT_TRUE(accepted(gradstab_step_bound(nullptr, step, &bound)));
    EXPECT_EQ(bound, step_bound({}, step));
    EXPECT_TRUE(accepted(gradstab_step_bound(&paper, step, &bound)));
    EXPECT_EQ(bound, step_bound(StabilizerOptions::paper(), step));
    EXPECT_NE(bound, step_bound({}, step));
  }
}

TEST(CBoundsTest, RefuseWhatHasNoBound) {
  double bound = 3.0;
  EXPECT_TRUE(refused(gradstab_step_bound(nullptr, 0, &bound), GRADSTAB_INVALID_ARGUMENT, nullptr,
                      "step must be at least 1, got 0"));
  gradstab_stabilizer_options options = preset(GRADSTAB_PRESET_DEFAULT);
  options.gamma1 = 2.0;
  EXPECT_TRUE(refused(gradstab_step_bound(&options, 1, &bound), GRADSTAB_INVALID_ARGUMENT, nullptr,
                      "gamma1 must be in [0, 1), got 2"));
  EXPECT_TRUE(refused(gradstab_uniform_bound(&options, &bound), GRADSTAB_INVALID_ARGUMENT, nullptr,
                      "gamma1 must be in [0, 1), got 2"));
  EXPECT_EQ(bound, 3.0);
  EXPECT_TRUE(refused(gradstab_uniform_bound(nullptr, nullptr), GRADSTAB_INVALID_ARGUMENT, nullptr,
                      "bound is NULL, expected a double"));
  EXPECT_TRUE(refused(gradstab_step_bound(nullptr, 1, nullptr), GRADSTAB_INVALID_ARGUMENT, nullptr,
                      "bound is NULL, expected a double"));
}

}  // namespace
}  // namespace gradstab::testing
