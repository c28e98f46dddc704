// The optimizers' settings and makers: defaults, ranges, kinds.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "gradstab/optimizer.hpp"
#include "optimizer_support.hpp"

namespace gradstab::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

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

}  // namespace
}  // namespace gradstab::testing
