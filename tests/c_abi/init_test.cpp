// Registering parameters, and how a transform is to run.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "gradstab/backend.hpp"
#include "support.hpp"

namespace gradstab::testing {
namespace {

constexpr std::int64_t kTwo[] = {2};

gradstab_run_options run_options() {
  gradstab_run_options options = {};
  options.struct_size = sizeof options;
  return options;
}

class CInitTest : public ::testing::Test {
 protected:
  /// init fails with this message, and the transform is not initialised then, though it was before.
  void expect_refused(const gradstab_parameter* parameters, std::size_t count,
                      const gradstab_run_options* options, const std::string& message,
                      gradstab_status status = GRADSTAB_INVALID_ARGUMENT) {
    gradstab_transform* const t = transform_.get();
    ASSERT_TRUE(accepted(gradstab_init(t, kParameters, 2, nullptr), t));
    EXPECT_TRUE(refused(gradstab_init(t, parameters, count, options), status, t, message));
    const Pair gradients;
    EXPECT_TRUE(refused(gradstab_update_pointers(t, gradients.pointers, 2, GRADSTAB_FLOAT32, 1, nullptr),
                        GRADSTAB_FAILED_PRECONDITION, t,
                        "gradstab_update_pointers was called before a successful gradstab_init"));
  }

  void expect_refused(const gradstab_parameter& parameter, const std::string& message) {
    expect_refused(&parameter, 1, nullptr, message);
  }

  void expect_refused(const gradstab_run_options& options, const std::string& message) {
    expect_refused(kParameters, 2, &options, message);
  }

  const Handle transform_ = make_stabilizer();
};

TEST_F(CInitTest, RegistersNamesInOrder) {
  gradstab_transform* const t = transform_.get();
  ASSERT_TRUE(accepted(gradstab_init(t, kParameters, 2, nullptr), t));
  std::size_t count = 0;
  EXPECT_TRUE(accepted(gradstab_parameter_count(t, &count), t));
  EXPECT_EQ(count, 2u);
  const char* name = nullptr;
  EXPECT_TRUE(accepted(gradstab_parameter_name(t, 0, &name), t));
  EXPECT_STREQ(name, "weight");
  EXPECT_TRUE(accepted(gradstab_parameter_name(t, 1, &name), t));
  EXPECT_STREQ(name, "bias");
  EXPECT_TRUE(refused(gradstab_parameter_name(t, 2, &name), GRADSTAB_INVALID_ARGUMENT, t,
                      "there is no parameter 2; 2 are registered"));
  EXPECT_EQ(name, nullptr);
  EXPECT_TRUE(refused(gradstab_parameter_name(t, 0, nullptr), GRADSTAB_INVALID_ARGUMENT, t,
                      "name is NULL, expected a const char*"));
  EXPECT_TRUE(refused(gradstab_parameter_count(t, nullptr), GRADSTAB_INVALID_ARGUMENT, t,
                      "count is NULL, expected a size_t"));
}

TEST_F(CInitTest, CopiesWhatItIsGiven) {
  std::string name = "weight of a name that is too long to be stored in place";
  std::int64_t sizes[] = {2, 3};
  const gradstab_parameter parameter = {name.c_str(), 2, sizes};
  gradstab_transform* const t = transform_.get();
  ASSERT_TRUE(accepted(gradstab_init(t, &parameter, 1, nullptr), t));
  name[0] = 'X';
  sizes[0] = 77;
  const char* kept = nullptr;
  EXPECT_TRUE(accepted(gradstab_parameter_name(t, 0, &kept), t));
  EXPECT_STREQ(kept, "weight of a name that is too long to be stored in place");
  const Pair gradients;
  EXPECT_TRUE(accepted(gradstab_update_pointers(t, gradients.pointers, 1, GRADSTAB_FLOAT32, 1, nullptr), t));
}

TEST_F(CInitTest, ScalarsAndNothingAtAllAreOrdinaryCases) {
  gradstab_transform* const t = transform_.get();
  const gradstab_parameter scalar = {"scale", 0, nullptr};
  ASSERT_TRUE(accepted(gradstab_init(t, &scalar, 1, nullptr), t));
  float value = 4;
  void* const data[] = {&value};
  EXPECT_TRUE(accepted(gradstab_update_pointers(t, data, 1, GRADSTAB_FLOAT32, 1, nullptr), t));
  EXPECT_EQ(value, 1.0f);

  ASSERT_TRUE(accepted(gradstab_init(t, nullptr, 0, nullptr), t));
  gradstab_step_report report = empty_report();
  EXPECT_TRUE(accepted(gradstab_update(t, nullptr, 0, 1, &report), t));
  EXPECT_EQ(report.step, 1);
  EXPECT_EQ(report.tensor_count, 0u);
  EXPECT_EQ(report.tensors, nullptr);
}

TEST_F(CInitTest, RefusesParametersThatCannotBe) {
  const std::int64_t negative[] = {2, -1};
  const std::int64_t huge[] = {std::int64_t{1} << 40, std::int64_t{1} << 40};
  expect_refused(nullptr, 4, nullptr, "parameters is NULL, expected an array of 4");
  expect_refused({nullptr, 1, kTwo}, "name of parameter 0 is NULL, expected a text");
  expect_refused({"", 1, kTwo}, "parameter 0 has an empty name");
  expect_refused({"w", 2, nullptr}, "sizes of parameter 'w' is NULL, expected an array of 2");
  expect_refused({"w", 65, kTwo}, "parameter 'w' has rank 65, expected at most 64");
  expect_refused({"w", SIZE_MAX, kTwo},
                 "parameter 'w' has rank " + std::to_string(SIZE_MAX) + ", expected at most 64");
  expect_refused({"w", 2, negative}, "parameter 'w' has a negative size in [2, -1]");
  expect_refused({"w", 2, huge},
                 "parameter 'w' has shape [1099511627776, 1099511627776], expected at most 2^60 elements");
  const gradstab_parameter twice[] = {{"w", 1, kTwo}, {"b", 1, kTwo}, {"w", 0, nullptr}};
  expect_refused(twice, 3, nullptr, "parameter name 'w' is used twice; names must be unique");
}

TEST_F(CInitTest, RefusesRunOptionsThatCannotBe) {
  gradstab_run_options options = run_options();
  options.struct_size = 40;
  expect_refused(options,
                 "struct_size of gradstab_run_options is 40, expected sizeof(gradstab_run_options) = " +
                     std::to_string(sizeof options));
  for (const gradstab_nonfinite_policy unknown : {-1, 4, 256}) {
    options = run_options();
    options.nonfinite = unknown;
    expect_refused(options,
                   "nonfinite must be skip tensor (0), skip step (1), raise (2) or pass through (3), "
                   "got " +
                       std::to_string(unknown));
  }
  options = run_options();
  options.reserved = 9;
  expect_refused(options, "gradstab_run_options.reserved must be 0, got 9; was the struct set to 0 first?");
  options = run_options();
  options.backend = "abacus";
  std::string known;
  for (const Backend* backend : backends())
    known += (known.empty() ? "" : ", ") + std::string(backend->name());
  expect_refused(options, "unknown backend 'abacus'; known are " + known);
}

TEST_F(CInitTest, RefusesThreadsThatCannotBe) {
  const gradstab_run_tasks serial = [](std::size_t count, gradstab_task task, void* context, void*) {
    for (std::size_t i = 0; i < count; ++i) task(context, i);
  };
  gradstab_run_options options = run_options();
  options.threads = 1025;
  expect_refused(options, "threads must be at most 1024, got 1025");
  options = run_options();
  options.run = serial;
  expect_refused(options, "concurrency must be at least 1 where run is given, got 0");
  options.concurrency = 2;
  options.threads = 2;
  expect_refused(options, "threads must be 0 where run is given, got 2");
  options = run_options();
  options.concurrency = 4;
  expect_refused(options, "concurrency must be 0 where no run is given, got 4");
  options = run_options();
  options.user = &options;
  expect_refused(options, "user must be NULL where no run is given");
}

TEST_F(CInitTest, AGroupWithoutParametersIsRefused) {
  const char* const patterns[] = {"attention.*"};
  const gradstab_unit_group group = {"attention", patterns, 1};
  gradstab_units units = {};
  units.struct_size = sizeof units;
  units.granularity = GRADSTAB_PER_GROUP;
  units.groups = &group;
  units.group_count = 1;
  gradstab_transform* made = nullptr;
  ASSERT_TRUE(accepted(gradstab_stabilize(nullptr, &units, &made)));
  const Handle transform(made);
  EXPECT_TRUE(refused(gradstab_init(made, kParameters, 2, nullptr), GRADSTAB_INVALID_ARGUMENT, made,
                      "no parameter belongs to group 'attention' (pattern 'attention.*'); the first "
                      "parameter is 'weight'"));
}

TEST_F(CInitTest, UsesTheBackendThatIsAskedFor) {
  gradstab_transform* const t = transform_.get();
  const char* name = nullptr;
  for (const Backend* backend : backends()) {
    const std::string wanted(backend->name());
    gradstab_run_options options = run_options();
    options.backend = wanted.c_str();
    if (backend->supported()) {
      ASSERT_TRUE(accepted(gradstab_init(t, kParameters, 2, &options), t));
      EXPECT_TRUE(accepted(gradstab_backend_in_use(t, &name), t));
      EXPECT_EQ(name, wanted);
    } else {
      expect_refused(kParameters, 2, &options, "backend '" + wanted + "' cannot run on this machine",
                     GRADSTAB_UNSUPPORTED);
    }
  }
  ASSERT_TRUE(accepted(gradstab_init(t, kParameters, 2, nullptr), t));
  EXPECT_TRUE(accepted(gradstab_backend_in_use(t, &name), t));
  EXPECT_EQ(name, find_backend().value()->name());
  EXPECT_TRUE(refused(gradstab_backend_in_use(t, nullptr), GRADSTAB_INVALID_ARGUMENT, t,
                      "name is NULL, expected a const char*"));
}

TEST_F(CInitTest, ASecondInitStartsAfresh) {
  gradstab_transform* const t = transform_.get();
  ASSERT_TRUE(accepted(gradstab_init(t, kParameters, 2, nullptr), t));
  const auto fresh = saved(t);
  train(t, 3);
  EXPECT_NE(saved(t), fresh);
  ASSERT_TRUE(accepted(gradstab_init(t, kParameters, 2, nullptr), t));
  EXPECT_EQ(saved(t), fresh);
}

/// An engine's own threads: every third task on each of three.
struct Engine {
  std::atomic<std::size_t> calls = 0;
  std::atomic<std::size_t> tasks = 0;

  static void run(std::size_t count, gradstab_task task, void* context, void* user) {
    auto* engine = static_cast<Engine*>(user);
    engine->calls += 1;
    engine->tasks += count;
    std::vector<std::thread> threads;
    for (std::size_t first = 0; first < 3; ++first) {
      threads.emplace_back([=] {
        for (std::size_t i = first; i < count; i += 3) task(context, i);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
};

TEST_F(CInitTest, ResultsDoNotDependOnWhoRunsThem) {
  const std::int64_t sizes[] = {700, 400};  // more than one block
  const gradstab_parameter parameter = {"w", 2, sizes};
  Engine engine;
  gradstab_run_options pool = run_options();
  pool.threads = 3;
  gradstab_run_options own = run_options();
  own.run = Engine::run;
  own.user = &engine;
  own.concurrency = 3;
  std::vector<std::vector<float>> results;
  std::vector<std::vector<unsigned char>> states;
  gradstab_transform* const t = transform_.get();
  for (const gradstab_run_options* options :
       {static_cast<const gradstab_run_options*>(nullptr), static_cast<const gradstab_run_options*>(&pool),
        static_cast<const gradstab_run_options*>(&own)}) {
    ASSERT_TRUE(accepted(gradstab_init(t, &parameter, 1, options), t));
    std::vector<float> gradient(700 * 400);
    for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] = static_cast<float>(i % 1013) * 1e-3f;
    void* const data[] = {gradient.data()};
    ASSERT_TRUE(accepted(gradstab_update_pointers(t, data, 1, GRADSTAB_FLOAT32, 1, nullptr), t));
    results.push_back(gradient);
    states.push_back(saved(t));
  }
  EXPECT_EQ(results[1], results[0]);
  EXPECT_EQ(results[2], results[0]);
  EXPECT_EQ(states[1], states[0]);
  EXPECT_EQ(states[2], states[0]);
  EXPECT_GE(engine.calls, 2u) << "measured and scaled";
  EXPECT_GT(engine.tasks, engine.calls) << "in several tasks each";
}

TEST(CRebindTest, KeepsWhatStaysAndStartsTheRestFresh) {
  const Handle transform = initialised();
  gradstab_transform* const t = transform.get();
  train(t, 4);
  const gradstab_parameter more[] = {{"new", 1, kTwo}, kParameters[0], kParameters[1]};
  ASSERT_TRUE(accepted(gradstab_rebind(t, more, 3), t));
  std::size_t count = 0;
  EXPECT_TRUE(accepted(gradstab_parameter_count(t, &count), t));
  EXPECT_EQ(count, 3u);
  Pair gradients;
  float fresh[] = {30, 40};
  void* const data[] = {fresh, gradients.weight.data(), gradients.bias.data()};
  gradstab_step_report report = empty_report();
  ASSERT_TRUE(accepted(gradstab_update_pointers(t, data, 3, GRADSTAB_FLOAT32, 9, &report), t));
  EXPECT_EQ(report.step, 5);
  EXPECT_EQ(report.tensor_count, 3u);
  EXPECT_NEAR(report.tensors[0].norm, 1.0, 1e-12) << "the first norm of its history";
  EXPECT_EQ(report.tensors[0].raw_norm, 50.0);

  // Back to what was before; the moments of the two are those of five steps.
  ASSERT_TRUE(accepted(gradstab_rebind(t, kParameters, 2), t));
  const Handle same = initialised();
  train(same.get(), 5);
  EXPECT_EQ(saved(t), saved(same.get()));
}

TEST(CRebindTest, AnErrorLeavesParametersAndState) {
  const Handle transform = initialised();
  gradstab_transform* const t = transform.get();
  train(t, 4);
  const auto before = saved(t);
  const gradstab_parameter changed[] = {kParameters[0], {"bias", 2, kParameters[0].sizes}};
  EXPECT_TRUE(refused(gradstab_rebind(t, changed, 2), GRADSTAB_SHAPE_MISMATCH, t,
                      "parameter 'bias' has shape [2, 3] here but [2] in the saved state"));
  const gradstab_parameter twice[] = {kParameters[0], kParameters[0]};
  EXPECT_TRUE(refused(gradstab_rebind(t, twice, 2), GRADSTAB_INVALID_ARGUMENT, t,
                      "parameter name 'weight' is used twice; names must be unique"));
  EXPECT_TRUE(refused(gradstab_rebind(t, nullptr, 1), GRADSTAB_INVALID_ARGUMENT, t,
                      "parameters is NULL, expected an array of 1"));
  EXPECT_EQ(saved(t), before);
  train(t, 1);
}

}  // namespace
}  // namespace gradstab::testing
