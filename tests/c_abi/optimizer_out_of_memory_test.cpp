// As out_of_memory_test.cpp, for optimizers.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <utility>

#include "limited_memory.hpp"
#include "optimizer/kinds.hpp"
#include "optimizer_support.hpp"

namespace gradstab::testing {
namespace {

constexpr std::int64_t kSizes[] = {2, 3};
// Names beyond what a string holds in place, which say something to Adam-mini.
const gradstab_parameter kLongNames[] = {{"model.layers.0.feed_forward.weight", 2, kSizes},
                                         {"model.layers.0.attention.value.weight", 2, kSizes}};

class COptimizerOutOfMemoryTest : public LimitedMemoryTest {
 protected:
  static OptimizerHandle ready(const OptimizerOptions& options = AdamMiniOptions{}) {
    OptimizerHandle optimizer = make_optimizer(options, make_stabilizer().release());
    const gradstab_optimizer_run_options run = optimizer_run_options();
    EXPECT_TRUE(
        accepted(gradstab_optimizer_init(optimizer.get(), kLongNames, 2, &run, nullptr, 0), optimizer.get()));
    return optimizer;
  }

  gradstab_status step(gradstab_optimizer* optimizer, float first = 1) {
    float a[6] = {first, 2, 3, 4, 5, 6};
    float b[6] = {6, 5, 4, 3, 2, 1};
    void* const gradients[] = {a, b};
    void* const parameters[] = {weights_, weights_ + 6};
    gradstab_step_report report = {};
    report.struct_size = sizeof report;
    return gradstab_optimizer_step_pointers(optimizer, parameters, gradients, 2, GRADSTAB_FLOAT32,
                                            GRADSTAB_FLOAT32, GRADSTAB_NO_STEP, &report);
  }

  /// Whether the optimizer is what it was, and steps; or, counted in `gone`, says that it is not initialised,
  /// and can be initialised again.
  void expect_as_before(gradstab_optimizer* optimizer, const std::vector<unsigned char>& before, int& gone) {
    void* bytes = nullptr;
    std::size_t size = 0;
    if (gradstab_optimizer_save(optimizer, &bytes, &size) == GRADSTAB_OK) {
      gradstab_free(bytes);
      EXPECT_EQ(saved(optimizer), before);
      EXPECT_EQ(step(optimizer), GRADSTAB_OK);
      return;
    }
    ++gone;
    EXPECT_STRNE(gradstab_optimizer_last_error(optimizer), "");
    EXPECT_EQ(step(optimizer), GRADSTAB_FAILED_PRECONDITION);
    double lr = 0;
    EXPECT_EQ(gradstab_optimizer_lr(optimizer, 0, &lr), GRADSTAB_OK);
    EXPECT_EQ(gradstab_optimizer_init(optimizer, kLongNames, 2, nullptr, nullptr, 0), GRADSTAB_OK);
    EXPECT_EQ(step(optimizer), GRADSTAB_OK);
  }

  float weights_[12] = {};
};
INSTANTIATE_TEST_SUITE_P(, COptimizerOutOfMemoryTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "OneFails" : "AllFromThenOnFail"; });

TEST_P(COptimizerOutOfMemoryTest, Making) {
  AdamMiniOptions options;
  options.overrides = {{"a pattern that is long enough*", AdamMiniUnit::row}};
  const COptions c(options);
  Handle transform;
  gradstab_optimizer* made = nullptr;
  int lost = 0;
  int kept = 0;
  const int failures = sweep(
      [&] {
        gradstab_optimizer_destroy(std::exchange(made, nullptr));
        transform = make_stabilizer();
      },
      [&] {
        const gradstab_status status = c.make(transform.get(), &made);
        if (status == GRADSTAB_OK) (void)transform.release();
        return status;
      },
      [&] {
        EXPECT_EQ(made, nullptr);
        EXPECT_STREQ(gradstab_optimizer_last_error(nullptr), "out of memory");
        // The transform is what it was, or says that it is lost; it is never something else.
        const gradstab_status status = gradstab_init(transform.get(), kLongNames, 2, nullptr);
        if (status == GRADSTAB_OK) {
          ++kept;
          return;
        }
        ++lost;
        EXPECT_TRUE(refused(status, GRADSTAB_FAILED_PRECONDITION, transform.get(),
                            "the transform was lost when gradstab_adam_mini ran out of memory"));
        EXPECT_TRUE(refused(gradstab_adam(nullptr, transform.get(), &made), GRADSTAB_FAILED_PRECONDITION,
                            nullptr, "the transform was lost when gradstab_adam_mini ran out of memory"));
      });
  EXPECT_GT(failures, 3);
  EXPECT_GT(kept, 0);
  EXPECT_GT(lost, 0);
  EXPECT_EQ(gradstab_optimizer_init(made, kLongNames, 2, nullptr, nullptr, 0), GRADSTAB_OK);
  gradstab_optimizer_destroy(made);
}

TEST_P(COptimizerOutOfMemoryTest, Initialising) {
  const OptimizerHandle optimizer = make_optimizer(AdamMiniOptions{}, make_stabilizer().release());
  const gradstab_adam_mini_options mini = adam_mini_options();
  const std::size_t indices[] = {1, 0};
  const gradstab_optimizer_group groups[] = {{&mini.base, indices, 1}, {&mini.base, indices + 1, 1}};
  gradstab_run_options run = {};
  run.struct_size = sizeof run;
  run.threads = 2;
  gradstab_optimizer_run_options options = optimizer_run_options();
  options.run = &run;
  EXPECT_GT(sweep(
                nothing,
                [&] { return gradstab_optimizer_init(optimizer.get(), kLongNames, 2, &options, groups, 2); },
                [&] {
                  EXPECT_STREQ(gradstab_optimizer_last_error(optimizer.get()), "out of memory");
                  EXPECT_EQ(step(optimizer.get()), GRADSTAB_FAILED_PRECONDITION);
                }),
            20);
  EXPECT_EQ(step(optimizer.get()), GRADSTAB_OK);
}

/// The second of two parameters cannot get its state: the first is as if there had been no step either.
TEST_P(COptimizerOutOfMemoryTest, TheFirstStepIsMadeForAllParametersOrForNone) {
  OptimizerHandle optimizer;
  std::vector<unsigned char> fresh;
  const int failures = sweep(
      [&] {
        optimizer = ready();
        fresh = saved(optimizer.get());
        std::fill(std::begin(weights_), std::end(weights_), 0.5f);
      },
      [&] { return step(optimizer.get()); },
      [&] {
        EXPECT_EQ(saved(optimizer.get()), fresh);
        for (const float weight : weights_) EXPECT_EQ(weight, 0.5f);
      });
  EXPECT_GE(failures, 2) << "one for the units of each parameter";
  EXPECT_NE(saved(optimizer.get()), fresh);
}

TEST_P(COptimizerOutOfMemoryTest, AStepOfOneIsMadeOrNot) {
  OptimizerHandle optimizer;
  std::vector<unsigned char> fresh;
  float gradient[6] = {1, 2, 3, 4, 5, 6};
  gradstab_tensor parameter_tensor = {};
  parameter_tensor.data = weights_;
  gradstab_tensor gradient_tensor = {};
  gradient_tensor.data = gradient;
  const int failures = sweep(
      [&] {
        optimizer = ready();
        fresh = saved(optimizer.get());
      },
      [&] {
        return gradstab_optimizer_step_one(optimizer.get(), 0, &parameter_tensor, &gradient_tensor, nullptr);
      },
      [&] {
        EXPECT_EQ(saved(optimizer.get()), fresh);
        EXPECT_EQ(weights_[0], 0.0f);
      });
  EXPECT_GE(failures, 2) << "its units, and the plan of single steps";
  EXPECT_EQ(sweep(
                nothing,
                [&] {
                  return gradstab_optimizer_step_one(optimizer.get(), 0, &parameter_tensor, &gradient_tensor,
                                                     nullptr);
                },
                nothing),
            0);
  EXPECT_EQ(sweep(
                nothing, [&] { return gradstab_optimizer_measure_one(optimizer.get(), 0, &gradient_tensor); },
                nothing),
            0);
}

TEST_P(COptimizerOutOfMemoryTest, LaterStepsAndLearningRatesNeedNone) {
  for (const Kind& kind : all_kinds()) {
    SCOPED_TRACE(kind.name);
    const OptimizerHandle optimizer = ready(kind.options);
    ASSERT_EQ(step(optimizer.get()), GRADSTAB_OK);
    EXPECT_EQ(sweep(
                  nothing, [&] { return step(optimizer.get()); }, nothing),
              0);
    EXPECT_EQ(sweep(
                  nothing, [&] { return gradstab_optimizer_set_lr(optimizer.get(), 0.01); }, nothing),
              0);
  }
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitizer = true;
#elif defined(__has_feature)
constexpr bool kSanitizer = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitizer = false;
#endif

/// The process may map no more than this beyond what it has, while this lives.
class AddressSpaceLimit {
 public:
  explicit AddressSpaceLimit(rlim_t more) {
    std::ifstream file("/proc/self/statm");
    rlim_t pages = 0;
    file >> pages;
    EXPECT_GT(pages, 0u);
    getrlimit(RLIMIT_AS, &before_);
    const rlimit limit{pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + more, before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
  }
  ~AddressSpaceLimit() { setrlimit(RLIMIT_AS, &before_); }
  AddressSpaceLimit(const AddressSpaceLimit&) = delete;
  AddressSpaceLimit& operator=(const AddressSpaceLimit&) = delete;

 private:
  rlimit before_{};
};

/// State arrays do not come from operator new. The parameter before the one without room had begun its step.
TEST_P(COptimizerOutOfMemoryTest, AStateThatDoesNotFitLeavesTheOthers) {
  if (kSanitizer) GTEST_SKIP() << "sanitizers need the address space for themselves";
  constexpr std::size_t kMany = std::size_t{1} << 24;  // 64 MiB
  const std::int64_t many[] = {kMany};
  const gradstab_parameter parameters[] = {kLongNames[0], {"large.value", 1, many}};
  const OptimizerHandle optimizer = make_optimizer(AdamOptions{});
  gradstab_optimizer* const o = optimizer.get();
  ASSERT_TRUE(accepted(gradstab_optimizer_init(o, parameters, 2, nullptr, nullptr, 0), o));
  const auto fresh = saved(o);
  std::vector<float> large(kMany, 0.5f);
  std::vector<float> large_gradient(kMany, 0.25f);
  float small[6] = {1, 2, 3, 4, 5, 6};
  void* const data[] = {weights_, large.data()};
  void* const gradients[] = {small, large_gradient.data()};
  const auto step = [&] {
    return gradstab_optimizer_step_pointers(o, data, gradients, 2, GRADSTAB_FLOAT32, GRADSTAB_FLOAT32, 1,
                                            nullptr);
  };
  {
    const AddressSpaceLimit limit(rlim_t{32} << 20);
    EXPECT_TRUE(refused(step(), GRADSTAB_OUT_OF_MEMORY, o, "out of memory"));
  }
  EXPECT_EQ(saved(o), fresh);
  EXPECT_EQ(weights_[0], 0.0f);
  EXPECT_EQ(large[0], 0.5f);
  EXPECT_TRUE(accepted(step(), o)) << "with room again, and the step number was not used up";
}

TEST_P(COptimizerOutOfMemoryTest, SettingOptions) {
  AdamMiniOptions changed;
  changed.lr = 0.25;
  changed.overrides = {{"a pattern that is long enough*", AdamMiniUnit::row}};
  const COptions options(changed);
  const OptimizerHandle optimizer = ready();
  const auto expect_lr = [&](double expected) {
    double lr = 0;
    EXPECT_EQ(gradstab_optimizer_lr(optimizer.get(), 0, &lr), GRADSTAB_OK);
    EXPECT_EQ(lr, expected);
  };
  EXPECT_GT(sweep(
                nothing, [&] { return gradstab_optimizer_set_options(optimizer.get(), 0, options.base()); },
                [&] { expect_lr(AdamMiniOptions{}.lr); }),
            2);
  expect_lr(0.25);
}

TEST_P(COptimizerOutOfMemoryTest, Rebinding) {
  OptimizerHandle optimizer;
  std::vector<unsigned char> before;
  const gradstab_parameter more[] = {kLongNames[1], {"model.layers.1.attention.value.weight", 2, kSizes}};
  int gone = 0;
  const int failures = sweep(
      [&] {
        optimizer = ready();
        EXPECT_EQ(step(optimizer.get()), GRADSTAB_OK);
        before = saved(optimizer.get());
      },
      [&] { return gradstab_optimizer_rebind(optimizer.get(), more, 2, nullptr, 0); },
      [&] { expect_as_before(optimizer.get(), before, gone); });
  EXPECT_GT(failures, 20);
  EXPECT_EQ(gone > 0, !GetParam()) << "a single failure can be recovered from";
  EXPECT_EQ(step(optimizer.get()), GRADSTAB_OK);
}

TEST_P(COptimizerOutOfMemoryTest, Saving) {
  const OptimizerHandle optimizer = ready();
  ASSERT_EQ(step(optimizer.get()), GRADSTAB_OK);
  void* bytes = nullptr;
  std::size_t size = 0;
  EXPECT_GT(sweep(
                nothing, [&] { return gradstab_optimizer_save(optimizer.get(), &bytes, &size); },
                [&] {
                  EXPECT_EQ(bytes, nullptr);
                  EXPECT_EQ(size, 0u);
                }),
            5);
  gradstab_free(bytes);
}

TEST_P(COptimizerOutOfMemoryTest, Loading) {
  const OptimizerHandle source = ready();
  EXPECT_EQ(step(source.get(), 7), GRADSTAB_OK);
  const auto state = saved(source.get());
  OptimizerHandle target;
  std::vector<unsigned char> before;
  int gone = 0;
  const int failures = sweep(
      [&] {
        target = ready();
        EXPECT_EQ(step(target.get()), GRADSTAB_OK);
        before = saved(target.get());
      },
      [&] { return gradstab_optimizer_load(target.get(), state.data(), state.size()); },
      [&] { expect_as_before(target.get(), before, gone); });
  EXPECT_GT(failures, 10);
  EXPECT_EQ(gone > 0, !GetParam()) << "a single failure can be recovered from";
  EXPECT_EQ(saved(target.get()), state);
}

TEST_P(COptimizerOutOfMemoryTest, Files) {
  const OptimizerHandle source = ready();
  EXPECT_EQ(step(source.get(), 7), GRADSTAB_OK);
  const std::string path = ::testing::TempDir() + "/gradstab_c_optimizer_out_of_memory_" +
                           (GetParam() ? "one" : "all") + ".gradstab";
  EXPECT_GT(sweep([&] { std::remove(path.c_str()); },
                  [&] { return gradstab_optimizer_save_file(source.get(), path.c_str()); },
                  [&] { EXPECT_EQ(files_beginning_with(path), 0) << "a file was left"; }),
            5);
  OptimizerHandle target;
  EXPECT_GT(sweep([&] { target = ready(); },
                  [&] { return gradstab_optimizer_load_file(target.get(), path.c_str()); }, nothing),
            10);
  EXPECT_EQ(saved(target.get()), saved(source.get()));
  std::remove(path.c_str());
}

TEST_P(COptimizerOutOfMemoryTest, ARefusalSaysSoAllTheSame) {
  const OptimizerHandle optimizer = ready();
  for (int n = 0; n < 10; ++n) {
    limit_memory(n, GetParam());
    const gradstab_status status = gradstab_optimizer_step(optimizer.get(), nullptr, nullptr, 1, 1, nullptr);
    unlimit_memory();
    EXPECT_TRUE(status == GRADSTAB_SHAPE_MISMATCH || status == GRADSTAB_OUT_OF_MEMORY) << status;
    EXPECT_STRNE(gradstab_optimizer_last_error(optimizer.get()), "");
  }
}

}  // namespace
}  // namespace gradstab::testing
