// The optimizers' settings and makers: defaults, ranges, kinds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "gradstab/optimizer.hpp"
#include "optimizer_support.hpp"

namespace gradstab::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

std::string name_of(const gradstab_optimizer* optimizer) {
  const char* name = nullptr;
  EXPECT_TRUE(accepted(gradstab_optimizer_name(optimizer, &name), optimizer));
  return name == nullptr ? "" : name;
}

double lr_of(const gradstab_optimizer* optimizer, std::size_t group = 0) {
  double lr = -1;
  EXPECT_TRUE(accepted(gradstab_optimizer_lr(optimizer, group, &lr), optimizer));
  return lr;
}

/// The kinds as messages list them: C numbers the options of the C++ variant from 1.
template <std::size_t... kIndex>
std::string known_kinds(std::index_sequence<kIndex...>) {
  std::string list;
  const auto add = [&list](std::string_view name, std::size_t kind) {
    const std::string_view separator = kind == 1 ? "" : kind == sizeof...(kIndex) ? " and " : ", ";
    list.append(separator).append(name).append(" (" + std::to_string(kind) + ")");
  };
  (add(gradstab::name_of(OptimizerOptions(std::in_place_index<kIndex>)), kIndex + 1), ...);
  return list;
}

/// What is said of options whose kind is not one of these.
std::string unknown_kind(int kind) {
  return "options have unknown kind " + std::to_string(kind) + "; known are " +
         known_kinds(std::make_index_sequence<std::variant_size_v<OptimizerOptions>>()) +
         "; were they filled by their init function?";
}

/// A value that a failed maker must replace by NULL.
gradstab_optimizer* stale() {
  static int somewhere;
  return reinterpret_cast<gradstab_optimizer*>(&somewhere);
}

TEST(COptimizerOptionsTest, InitFunctionsGiveTheDefaultsOfTheCppLibrary) {
  const gradstab_sgd_options sgd = sgd_options();
  EXPECT_EQ(sgd.base.struct_size, sizeof sgd);
  EXPECT_EQ(sgd.base.kind, GRADSTAB_SGD);
  EXPECT_EQ(sgd.base.reserved, 0);
  EXPECT_EQ(sgd.lr, SgdOptions{}.lr);
  EXPECT_EQ(sgd.momentum, 0.0);
  EXPECT_EQ(sgd.dampening, 0.0);
  EXPECT_EQ(sgd.weight_decay, 0.0);
  EXPECT_EQ(sgd.nesterov, 0);
  const gradstab_adam_options adam = adam_options();
  EXPECT_EQ(adam.base.kind, GRADSTAB_ADAM);
  EXPECT_EQ(adam.lr, AdamOptions{}.lr);
  EXPECT_EQ(adam.beta1, AdamOptions{}.beta1);
  EXPECT_EQ(adam.beta2, AdamOptions{}.beta2);
  EXPECT_EQ(adam.epsilon, AdamOptions{}.epsilon);
  EXPECT_EQ(adam.weight_decay, 0.0);
  EXPECT_EQ(adam.decoupled, 0);
  EXPECT_EQ(adam.amsgrad, 0);
  EXPECT_EQ(adam.reset_interval, 0);
  EXPECT_EQ(adam.compat, GRADSTAB_ROBUST);
  const gradstab_adam_options adamw = adam_options(GRADSTAB_PRESET_ADAMW);
  EXPECT_EQ(adamw.weight_decay, AdamOptions::adamw().weight_decay);
  EXPECT_EQ(adamw.decoupled, 1);
  const gradstab_lion_options lion = lion_options();
  EXPECT_EQ(lion.base.kind, GRADSTAB_LION);
  EXPECT_EQ(lion.lr, LionOptions{}.lr);
  EXPECT_EQ(lion.beta1, LionOptions{}.beta1);
  EXPECT_EQ(lion.beta2, LionOptions{}.beta2);
  EXPECT_EQ(lion.weight_decay, 0.0);
  EXPECT_EQ(lion.decay_over_lr, 0.0);
  const gradstab_adam_mini_options mini = adam_mini_options();
  EXPECT_EQ(mini.base.kind, GRADSTAB_ADAM_MINI);
  EXPECT_EQ(mini.lr, AdamMiniOptions{}.lr);
  EXPECT_EQ(mini.beta2, AdamMiniOptions{}.beta2);
  EXPECT_EQ(mini.dim, 0);
  EXPECT_EQ(mini.n_heads, 0);
  EXPECT_EQ(mini.overrides, nullptr);
  EXPECT_EQ(mini.override_count, 0u);
  const gradstab_spam_options spam = spam_options();
  EXPECT_EQ(spam.base.kind, GRADSTAB_SPAM);
  EXPECT_EQ(spam.epsilon, SpamOptions{}.epsilon);
  EXPECT_EQ(spam.threshold, SpamOptions{}.threshold);
  EXPECT_EQ(spam.reset_interval, SpamOptions{}.reset_interval);
  EXPECT_EQ(spam.warmup_steps, SpamOptions{}.warmup_steps);
  EXPECT_EQ(spam.quiet_steps, SpamOptions{}.quiet_steps);
}

TEST(COptimizerOptionsTest, InitFunctionsNeedAStructAndItsSize) {
  gradstab_sgd_options sgd;
  gradstab_adam_options adam;
  gradstab_lion_options lion;
  gradstab_adam_mini_options mini;
  gradstab_spam_options spam;
  const auto no_struct = [](gradstab_status status, const std::string& name) {
    EXPECT_TRUE(refused(status, GRADSTAB_INVALID_ARGUMENT, nullptr, "options is NULL, expected a " + name));
  };
  no_struct(gradstab_sgd_options_init(nullptr, sizeof sgd), "gradstab_sgd_options");
  no_struct(gradstab_adam_options_init(nullptr, sizeof adam, 0), "gradstab_adam_options");
  no_struct(gradstab_lion_options_init(nullptr, sizeof lion), "gradstab_lion_options");
  no_struct(gradstab_adam_mini_options_init(nullptr, sizeof mini), "gradstab_adam_mini_options");
  no_struct(gradstab_spam_options_init(nullptr, sizeof spam), "gradstab_spam_options");
  const auto bad_size = [](gradstab_status status, const std::string& name, std::size_t got,
                           std::size_t expected) {
    EXPECT_TRUE(refused(status, GRADSTAB_INVALID_ARGUMENT, nullptr,
                        "struct_size of " + name + " is " + std::to_string(got) + ", expected sizeof(" +
                            name + ") = " + std::to_string(expected)));
  };
  bad_size(gradstab_sgd_options_init(&sgd, 0), "gradstab_sgd_options", 0, sizeof sgd);
  bad_size(gradstab_adam_options_init(&adam, offsetof(gradstab_adam_options, reset_interval) - 1, 0),
           "gradstab_adam_options", offsetof(gradstab_adam_options, reset_interval) - 1, sizeof adam);
  bad_size(gradstab_lion_options_init(&lion, 1025), "gradstab_lion_options", 1025, sizeof lion);
  bad_size(gradstab_adam_mini_options_init(&mini, 8), "gradstab_adam_mini_options", 8, sizeof mini);
  bad_size(gradstab_spam_options_init(&spam, SIZE_MAX), "gradstab_spam_options", SIZE_MAX, sizeof spam);
  for (const gradstab_adam_preset unknown : {-1, 2, 256}) {
    EXPECT_TRUE(refused(gradstab_adam_options_init(&adam, sizeof adam, unknown), GRADSTAB_INVALID_ARGUMENT,
                        nullptr, "preset must be adam (0) or adamw (1), got " + std::to_string(unknown)));
  }
}

TEST(COptimizerMakersTest, NameWhatTheyMadeAndWhatStandsInFront) {
  EXPECT_EQ(name_of(make_optimizer(SgdOptions{}).get()), "sgd");
  EXPECT_EQ(name_of(make_optimizer(AdamOptions{}).get()), "adam");
  EXPECT_EQ(name_of(make_optimizer(LionOptions{}).get()), "lion");
  EXPECT_EQ(name_of(make_optimizer(AdamMiniOptions{}).get()), "adam_mini");
  EXPECT_EQ(name_of(make_optimizer(SpamOptions{}).get()), "spam");
  gradstab_transform* const links[] = {make_clipper(1.0).release(), make_stabilizer().release()};
  gradstab_transform* chain = nullptr;
  ASSERT_TRUE(accepted(gradstab_chain(links, 2, &chain)));
  const OptimizerHandle optimizer = make_optimizer(AdamOptions::adamw(), chain);
  EXPECT_EQ(name_of(optimizer.get()), "chain(clip_by_global_norm, stabilize) + adamw");
  EXPECT_TRUE(refused(gradstab_optimizer_name(optimizer.get(), nullptr), GRADSTAB_INVALID_ARGUMENT,
                      optimizer.get(), "name is NULL, expected a const char*"));
}

TEST(COptimizerMakersTest, WithoutOptionsTheDefaultsAreTaken) {
  gradstab_optimizer* made[5] = {};
  ASSERT_TRUE(accepted(gradstab_sgd(nullptr, nullptr, &made[0])));
  ASSERT_TRUE(accepted(gradstab_adam(nullptr, nullptr, &made[1])));
  ASSERT_TRUE(accepted(gradstab_lion(nullptr, nullptr, &made[2])));
  ASSERT_TRUE(accepted(gradstab_adam_mini(nullptr, nullptr, &made[3])));
  ASSERT_TRUE(accepted(gradstab_spam(nullptr, nullptr, &made[4])));
  const std::pair<const char*, double> expected[] = {{"sgd", SgdOptions{}.lr},
                                                     {"adam", AdamOptions{}.lr},
                                                     {"lion", LionOptions{}.lr},
                                                     {"adam_mini", AdamMiniOptions{}.lr},
                                                     {"spam", SpamOptions{}.lr}};
  for (std::size_t i = 0; i < 5; ++i) {
    const OptimizerHandle optimizer(made[i]);
    EXPECT_EQ(name_of(optimizer.get()), expected[i].first);
    EXPECT_EQ(lr_of(optimizer.get()), expected[i].second);
  }
}

/// The maker refuses these options with this message, returns nothing, and the transform is still the
/// caller's.
template <class Options>
void expect_refused(gradstab_status (*maker)(const Options*, gradstab_transform*, gradstab_optimizer**),
                    const Options& options, const std::string& message,
                    gradstab_status status = GRADSTAB_INVALID_ARGUMENT) {
  const Handle transform = initialised();
  gradstab_optimizer* made = stale();
  EXPECT_TRUE(refused(maker(&options, transform.get(), &made), status, nullptr, message));
  EXPECT_EQ(made, nullptr);
  train(transform.get(), 1);
}

/// With one field changed.
template <class Options, class Value>
Options with(Options options, Value Options::*member, Value value) {
  options.*member = value;
  return options;
}

TEST(COptimizerMakersTest, RefuseSettingsOutsideTheirRange) {
  expect_refused(gradstab_sgd, with(sgd_options(), &gradstab_sgd_options::lr, -1.0),
                 "lr must be finite and at least 0, got -1");
  expect_refused(gradstab_sgd, with(sgd_options(), &gradstab_sgd_options::momentum, kNaN),
                 "momentum must be finite and at least 0, got nan");
  expect_refused(gradstab_sgd, with(sgd_options(), &gradstab_sgd_options::dampening, kInf),
                 "dampening must be finite, got inf");
  expect_refused(gradstab_sgd, with(sgd_options(), &gradstab_sgd_options::nesterov, 1),
                 "nesterov needs momentum above 0 and dampening 0, got 0 and 0");
  expect_refused(gradstab_sgd, with(sgd_options(), &gradstab_sgd_options::nesterov, 2),
                 "nesterov must be 0 or 1, got 2");
  expect_refused(gradstab_sgd, with(sgd_options(), &gradstab_sgd_options::reserved, 7),
                 "gradstab_sgd_options.reserved must be 0, got 7; was the struct set to 0 first?");
  expect_refused(gradstab_adam, with(adam_options(), &gradstab_adam_options::beta1, 1.0),
                 "beta1 must be in [0, 1), got 1");
  expect_refused(gradstab_adam, with(adam_options(), &gradstab_adam_options::beta2, -0.5),
                 "beta2 must be in [0, 1), got -0.5");
  expect_refused(gradstab_adam, with(adam_options(), &gradstab_adam_options::epsilon, kInf),
                 "epsilon must be finite and at least 0, got inf");
  expect_refused(gradstab_adam, with(adam_options(), &gradstab_adam_options::weight_decay, kNaN),
                 "weight_decay must be finite and at least 0, got nan");
  expect_refused(gradstab_adam, with(adam_options(), &gradstab_adam_options::decoupled, -1),
                 "decoupled must be 0 or 1, got -1");
  expect_refused(gradstab_adam,
                 with(adam_options(), &gradstab_adam_options::reset_interval, std::int64_t{-1}),
                 "reset_interval must be at least 0, got -1");
  expect_refused(gradstab_adam, with(adam_options(), &gradstab_adam_options::compat, 2),
                 "compat must be from 0 to 1, got 2");
  expect_refused(gradstab_adam, with(adam_options(), &gradstab_adam_options::amsgrad, 256),
                 "amsgrad must be 0 or 1, got 256");
  expect_refused(gradstab_lion, with(lion_options(), &gradstab_lion_options::decay_over_lr, -1.0),
                 "decay_over_lr must be finite and at least 0, got -1");
  expect_refused(gradstab_adam_mini,
                 with(adam_mini_options(), &gradstab_adam_mini_options::dim, std::int64_t{-1}),
                 "dim must be at least 0, got -1");
  expect_refused(gradstab_spam, with(spam_options(), &gradstab_spam_options::threshold, 0.0),
                 "threshold must be above 0, got 0");
  expect_refused(gradstab_spam,
                 with(spam_options(), &gradstab_spam_options::reset_interval, std::int64_t{-5}),
                 "reset_interval must be at least 0, got -5");
}

TEST(COptimizerMakersTest, RefuseOptionsThatTheInitFunctionDidNotFill) {
  gradstab_adam_options adam = {};
  expect_refused(gradstab_adam, adam,
                 "struct_size of gradstab_adam_options is 0, expected sizeof(gradstab_adam_options) = " +
                     std::to_string(sizeof adam));
  adam.base.struct_size = sizeof adam;
  expect_refused(gradstab_adam, adam,
                 "kind of gradstab_adam_options is 0, expected 2; was it filled by its init function?");
  adam = adam_options();
  adam.base.kind = GRADSTAB_SPAM;
  expect_refused(gradstab_adam, adam,
                 "kind of gradstab_adam_options is 5, expected 2; was it filled by its init function?");
  adam = adam_options();
  adam.base.reserved = -1;
  expect_refused(gradstab_adam, adam,
                 "gradstab_adam_options.reserved must be 0, got -1; was the struct set to 0 first?");
}

/// Options of a later version of the interface.
struct LaterOptions {
  gradstab_lion_options known;
  double later;
};

TEST(COptimizerMakersTest, AFieldOfALaterVersionMayBeZeroAndNothingElse) {
  LaterOptions options;
  std::memset(&options, 0xFF, sizeof options);
  ASSERT_TRUE(accepted(gradstab_lion_options_init(&options.known, sizeof options)));
  EXPECT_EQ(options.later, 0.0);
  gradstab_optimizer* made = nullptr;
  ASSERT_TRUE(accepted(gradstab_lion(&options.known, nullptr, &made)));
  gradstab_optimizer_destroy(made);
  options.later = 0.5;
  EXPECT_TRUE(refused(gradstab_lion(&options.known, nullptr, &made), GRADSTAB_UNSUPPORTED, nullptr,
                      std::string("gradstab_lion_options has a field set that version ") +
                          gradstab_version_string() + " of this library does not know"));
}

TEST(COptimizerMakersTest, EveryMistakeInAnOverrideIsNamed) {
  const auto expect = [](const std::vector<gradstab_adam_mini_override>& overrides,
                         const std::string& message) {
    gradstab_adam_mini_options options = adam_mini_options();
    options.overrides = overrides.data();
    options.override_count = overrides.size();
    expect_refused(gradstab_adam_mini, options, message);
  };
  expect({{"a*", GRADSTAB_MINI_ROW, 0}, {nullptr, GRADSTAB_MINI_ROW, 0}},
         "pattern of override 1 is NULL, expected a text");
  expect({{"a*", 4, 0}}, "unit of override 0 must be element (0), head (1), row (2) or tensor (3), got 4");
  expect({{"a*", -1, 0}}, "unit of override 0 must be element (0), head (1), row (2) or tensor (3), got -1");
  expect({{"a*", GRADSTAB_MINI_ROW, 9}},
         "override 0.reserved must be 0, got 9; was the struct set to 0 first?");
  gradstab_adam_mini_options options = adam_mini_options();
  options.override_count = 2;
  expect_refused(gradstab_adam_mini, options, "overrides is NULL, expected an array of 2");
}

TEST(COptimizerMakersTest, NeedSomewhereToPutTheOptimizer) {
  const Handle transform = initialised();
  const std::string message = "optimizer is NULL, expected where to put the new one";
  for (const gradstab_status status : {
           gradstab_sgd(nullptr, transform.get(), nullptr),
           gradstab_adam(nullptr, transform.get(), nullptr),
           gradstab_lion(nullptr, transform.get(), nullptr),
           gradstab_adam_mini(nullptr, transform.get(), nullptr),
           gradstab_spam(nullptr, transform.get(), nullptr),
       })
    EXPECT_TRUE(refused(status, GRADSTAB_INVALID_ARGUMENT, nullptr, message));
  train(transform.get(), 1);
}

TEST(COptimizerGroupsTest, LearningRatesAreReadAndSetBeforeAndAfterInit) {
  const OptimizerHandle optimizer = make_optimizer(AdamOptions{.lr = 0.5}, make_stabilizer().release());
  gradstab_optimizer* const o = optimizer.get();
  std::size_t count = 0;
  EXPECT_TRUE(accepted(gradstab_optimizer_group_count(o, &count), o));
  EXPECT_EQ(count, 1u);
  EXPECT_EQ(lr_of(o), 0.5);
  EXPECT_TRUE(accepted(gradstab_optimizer_set_lr(o, 0.125), o));
  EXPECT_EQ(lr_of(o), 0.125);
  EXPECT_TRUE(accepted(gradstab_optimizer_set_group_lr(o, 0, 0.25), o));
  ASSERT_TRUE(accepted(gradstab_optimizer_init(o, kParameters, 2, nullptr, nullptr, 0), o));
  EXPECT_EQ(lr_of(o), 0.25) << "what was set before init is what it begins with";

  const gradstab_adam_options first = with(adam_options(), &gradstab_adam_options::lr, 0.75);
  const gradstab_adam_options second = with(adam_options(), &gradstab_adam_options::lr, 1.5);
  const std::size_t indices[] = {1, 0};
  const gradstab_optimizer_group groups[] = {{&first.base, indices, 1}, {&second.base, indices + 1, 1}};
  ASSERT_TRUE(accepted(gradstab_optimizer_init(o, kParameters, 2, nullptr, groups, 2), o));
  EXPECT_TRUE(accepted(gradstab_optimizer_group_count(o, &count), o));
  EXPECT_EQ(count, 2u);
  EXPECT_EQ(lr_of(o, 0), 0.75);
  EXPECT_EQ(lr_of(o, 1), 1.5);
  EXPECT_TRUE(accepted(gradstab_optimizer_set_group_lr(o, 1, 0.0), o));
  EXPECT_EQ(lr_of(o, 0), 0.75);
  EXPECT_EQ(lr_of(o, 1), 0.0);
  EXPECT_TRUE(accepted(gradstab_optimizer_set_lr(o, 2.0), o));
  EXPECT_EQ(lr_of(o, 0), 2.0);
  EXPECT_EQ(lr_of(o, 1), 2.0);
}

TEST(COptimizerGroupsTest, LearningRatesThatCannotBeAreRefusedAndChangeNothing) {
  const OptimizerHandle optimizer = make_optimizer(AdamOptions{.lr = 0.5});
  gradstab_optimizer* const o = optimizer.get();
  const std::pair<double, const char*> bad[] = {{kNaN, "nan"}, {-0.5, "-0.5"}, {kInf, "inf"}};
  for (const bool before_init : {true, false}) {
    if (!before_init) {
      ASSERT_TRUE(accepted(gradstab_optimizer_init(o, kParameters, 2, nullptr, nullptr, 0), o));
    }
    for (const auto& [lr, text] : bad) {
      const std::string message = std::string("lr must be finite and at least 0, got ") + text;
      EXPECT_TRUE(refused(gradstab_optimizer_set_lr(o, lr), GRADSTAB_INVALID_ARGUMENT, o, message));
      EXPECT_TRUE(refused(gradstab_optimizer_set_group_lr(o, 0, lr), GRADSTAB_INVALID_ARGUMENT, o, message));
    }
    const std::string no_group = "there is no group 1; there are 1";
    double lr = 7;
    EXPECT_TRUE(refused(gradstab_optimizer_lr(o, 1, &lr), GRADSTAB_INVALID_ARGUMENT, o, no_group));
    EXPECT_EQ(lr, 7.0);
    EXPECT_TRUE(refused(gradstab_optimizer_set_group_lr(o, 1, 0.1), GRADSTAB_INVALID_ARGUMENT, o, no_group));
    EXPECT_TRUE(refused(gradstab_optimizer_lr(o, 0, nullptr), GRADSTAB_INVALID_ARGUMENT, o,
                        "lr is NULL, expected a double"));
    EXPECT_TRUE(refused(gradstab_optimizer_group_count(o, nullptr), GRADSTAB_INVALID_ARGUMENT, o,
                        "count is NULL, expected a size_t"));
    EXPECT_EQ(lr_of(o), 0.5);
  }
}

/// A failed init leaves nothing of the one before, so what is set after it counts for the next.
TEST(COptimizerGroupsTest, AFailedInitLeavesNoGroups) {
  const OptimizerHandle optimizer = make_optimizer(AdamOptions{.lr = 0.5});
  gradstab_optimizer* const o = optimizer.get();
  const gradstab_adam_options own = adam_options();
  const std::size_t both[] = {0, 1};
  const gradstab_optimizer_group groups[] = {{&own.base, both, 2}, {&own.base, nullptr, 0}};
  ASSERT_TRUE(accepted(gradstab_optimizer_init(o, kParameters, 2, nullptr, groups, 2), o));
  EXPECT_EQ(gradstab_optimizer_init(o, nullptr, 2, nullptr, nullptr, 0), GRADSTAB_INVALID_ARGUMENT);
  std::size_t count = 0;
  EXPECT_TRUE(accepted(gradstab_optimizer_group_count(o, &count), o));
  EXPECT_EQ(count, 1u);
  EXPECT_EQ(lr_of(o), 0.5);
  EXPECT_TRUE(accepted(gradstab_optimizer_set_lr(o, 0.25), o));
  ASSERT_TRUE(accepted(gradstab_optimizer_init(o, kParameters, 2, nullptr, nullptr, 0), o));
  EXPECT_EQ(lr_of(o), 0.25);
}

TEST(COptimizerGroupsTest, AllOptionsOfAGroupCanBeSet) {
  const OptimizerHandle optimizer = make_optimizer(AdamOptions{});
  gradstab_optimizer* const o = optimizer.get();
  gradstab_adam_options adamw = adam_options(GRADSTAB_PRESET_ADAMW);
  adamw.lr = 0.25;
  EXPECT_TRUE(accepted(gradstab_optimizer_set_options(o, 0, &adamw.base), o));
  EXPECT_EQ(name_of(o), "adamw") << "before init it is as if it had been made so";
  ASSERT_TRUE(accepted(gradstab_optimizer_init(o, kParameters, 2, nullptr, nullptr, 0), o));
  EXPECT_EQ(lr_of(o), 0.25);
  Weights weights;
  train(o, weights, 1);

  const auto expect_refused_options = [&](const gradstab_optimizer_options* options,
                                          const std::string& message, std::size_t group = 0,
                                          gradstab_status status = GRADSTAB_INVALID_ARGUMENT) {
    EXPECT_TRUE(refused(gradstab_optimizer_set_options(o, group, options), status, o, message));
    EXPECT_EQ(lr_of(o), 0.25);
  };
  const gradstab_sgd_options sgd = sgd_options();
  expect_refused_options(nullptr, "options is NULL, expected those of an optimizer");
  expect_refused_options(&sgd.base, "group 0 is 'adamw', got settings of 'sgd'");
  expect_refused_options(&adamw.base, "there is no group 1; there are 1", 1);
  adamw.lr = kNaN;
  expect_refused_options(&adamw.base, "lr must be finite and at least 0, got nan");
  adamw.lr = 0.125;
  adamw.amsgrad = 1;
  expect_refused_options(&adamw.base,
                         "'weight' has begun to train; momentum and amsgrad cannot be switched any more", 0,
                         GRADSTAB_FAILED_PRECONDITION);
  adamw.base.kind = 77;
  expect_refused_options(&adamw.base, unknown_kind(77));
  adamw.base.kind = GRADSTAB_ADAM;
  adamw.base.struct_size = 16;
  expect_refused_options(&adamw.base,
                         "struct_size of gradstab_adam_options is 16, expected sizeof(gradstab_adam_options) "
                         "= " +
                             std::to_string(sizeof adamw));
}

TEST(COptimizerGroupsTest, AdamMinisDivisionIsSettledByInit) {
  const OptimizerHandle optimizer = make_optimizer(AdamMiniOptions{});
  gradstab_optimizer* const o = optimizer.get();
  ASSERT_TRUE(accepted(gradstab_optimizer_init(o, kParameters, 2, nullptr, nullptr, 0), o));
  const gradstab_adam_mini_override rows = {"weight", GRADSTAB_MINI_ROW, 0};
  gradstab_adam_mini_options options = adam_mini_options();
  options.overrides = &rows;
  options.override_count = 1;
  EXPECT_TRUE(
      refused(gradstab_optimizer_set_options(o, 0, &options.base), GRADSTAB_FAILED_PRECONDITION, o,
              "how 'weight' is divided is settled by init; dim, n_heads and overrides cannot change it "
              "any more"));
}

/// gradstab_optimizer_init and gradstab_optimizer_rebind of kParameters refuse these groups.
void expect_groups_refused(const std::vector<gradstab_optimizer_group>& groups, const std::string& message) {
  const OptimizerHandle optimizer = initialised_optimizer();
  gradstab_optimizer* const o = optimizer.get();
  Weights weights;
  train(o, weights, 2);
  const auto state = saved(o);
  EXPECT_TRUE(refused(gradstab_optimizer_rebind(o, kParameters, 2, groups.data(), groups.size()),
                      GRADSTAB_INVALID_ARGUMENT, o, message));
  EXPECT_EQ(saved(o), state);
  train(o, weights, 1);
  EXPECT_TRUE(refused(gradstab_optimizer_init(o, kParameters, 2, nullptr, groups.data(), groups.size()),
                      GRADSTAB_INVALID_ARGUMENT, o, message));
  EXPECT_TRUE(refused(gradstab_optimizer_can_step_one(o), GRADSTAB_FAILED_PRECONDITION, o,
                      "gradstab_optimizer_can_step_one was called before a successful "
                      "gradstab_optimizer_init"));
}

TEST(COptimizerGroupsTest, EveryMistakeInAGroupIsNamed) {
  const gradstab_adam_options adam = adam_options();
  const gradstab_lion_options lion = lion_options();
  const gradstab_adam_options bad = with(adam_options(), &gradstab_adam_options::beta1, 2.0);
  gradstab_adam_options unfilled = {};
  const std::size_t both[] = {0, 1};
  const std::size_t twice[] = {0, 1, 0};
  const std::size_t outside[] = {0, 2};
  expect_groups_refused({{&adam.base, both, 1}}, "parameter 1 is in no group");
  expect_groups_refused({{&adam.base, both, 2}, {&adam.base, both + 1, 1}},
                        "parameter 1 is in groups 0 and 1");
  expect_groups_refused({{&adam.base, twice, 3}}, "parameter 0 is in groups 0 and 0");
  expect_groups_refused({{&adam.base, outside, 2}}, "group 0 names parameter 2 of 2");
  expect_groups_refused({{&adam.base, both, 1}, {&lion.base, both + 1, 1}},
                        "group 1 has settings of 'lion', expected 'adamw'");
  expect_groups_refused({{&adam.base, both, 1}, {&bad.base, both + 1, 1}},
                        "group 1: beta1 must be in [0, 1), got 2");
  expect_groups_refused({{nullptr, both, 2}}, "options of group 0 is NULL, expected those of an optimizer");
  expect_groups_refused({{&adam.base, nullptr, 2}}, "parameters of group 0 is NULL, expected an array of 2");
  expect_groups_refused({{&unfilled.base, both, 2}}, "group 0: " + unknown_kind(0));
  const OptimizerHandle optimizer = initialised_optimizer();
  EXPECT_TRUE(refused(gradstab_optimizer_rebind(optimizer.get(), kParameters, 2, nullptr, 3),
                      GRADSTAB_INVALID_ARGUMENT, optimizer.get(), "groups is NULL, expected an array of 3"));
}

}  // namespace
}  // namespace gradstab::testing
