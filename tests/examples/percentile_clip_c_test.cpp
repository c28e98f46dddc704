// The method of examples/percentile_clip.h against the same computation, through the C interface.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>

#include "gradstab/cuda.h"
#include "percentile_clip.h"
#include "support/plain_percentile_clip.hpp"

namespace gradstab::testing {
namespace {

constexpr double kTolerance = 1e-13;

const int64_t kMatrix[] = {3, 4};
const int64_t kVector[] = {6};
const gradstab_parameter kParameters[] = {{"matrix", 2, kMatrix}, {"vector", 1, kVector}};

struct Destroy {
  void operator()(gradstab_transform* transform) const { gradstab_destroy(transform); }
  void operator()(gradstab_optimizer* optimizer) const { gradstab_optimizer_destroy(optimizer); }
  void operator()(gradstab_cuda* object) const { gradstab_cuda_destroy(object); }
};
using Transform = std::unique_ptr<gradstab_transform, Destroy>;
using COptimizer = std::unique_ptr<gradstab_optimizer, Destroy>;

Transform made(double percentile = 10.0) {
  gradstab_transform* transform = nullptr;
  EXPECT_EQ(percentile_clip_make(percentile, &transform), GRADSTAB_OK) << gradstab_last_error(nullptr);
  return Transform(transform);
}

Transform bound(Transform transform) {
  EXPECT_EQ(gradstab_init(transform.get(), kParameters, 2, nullptr), GRADSTAB_OK)
      << gradstab_last_error(transform.get());
  return transform;
}

/// The factor of the last tensor in every step, over a checkpoint in the middle.
std::vector<double> factors_of(Transform (*make)()) {
  std::vector<double> factors;
  Transform transform = bound(make());
  for (int step = 1; step <= kRecordedSteps; ++step) {
    std::vector<Values> gradients = clipped_gradients(step);
    void* pointers[] = {gradients[0].data(), gradients[1].data()};
    gradstab_step_report report = {};
    report.struct_size = sizeof report;
    EXPECT_EQ(gradstab_update_pointers(transform.get(), pointers, 2, GRADSTAB_FLOAT64, step, &report),
              GRADSTAB_OK)
        << gradstab_last_error(transform.get());
    factors.push_back(report.tensors[1].factor);
    const double expected = clipped_gradients(step)[1][2] * factors.back();
    EXPECT_NEAR(gradients[1][2], expected, kTolerance * std::fabs(expected));
    if (step != kRecordedSteps / 2) continue;
    void* bytes = nullptr;
    size_t size = 0;
    EXPECT_EQ(gradstab_save(transform.get(), &bytes, &size), GRADSTAB_OK);
    transform = bound(make());
    EXPECT_EQ(gradstab_load(transform.get(), bytes, size), GRADSTAB_OK)
        << gradstab_last_error(transform.get());
    gradstab_free(bytes);
  }
  return factors;
}

TEST(PercentileClipInCTest, ClipsToThePercentileOverACheckpoint) {
  const auto expected = plain_percentile_factors(recorded_norms(), 10.0);
  const auto factors = factors_of([] { return made(); });
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(factors[i], expected[i], kTolerance) << i;
}

TEST(PercentileClipInCTest, BehindStabilizeItSeesStabilizedNorms) {
  std::vector<double> norms;
  std::vector<double> stabilized;
  gradstab_transform* alone = nullptr;
  ASSERT_EQ(gradstab_stabilize(nullptr, nullptr, &alone), GRADSTAB_OK);
  const Transform owner = bound(Transform(alone));
  for (int step = 1; step <= kRecordedSteps; ++step) {
    std::vector<Values> gradients = clipped_gradients(step);
    void* pointers[] = {gradients[0].data(), gradients[1].data()};
    gradstab_step_report report = {};
    report.struct_size = sizeof report;
    ASSERT_EQ(gradstab_update_pointers(alone, pointers, 2, GRADSTAB_FLOAT64, step, &report), GRADSTAB_OK);
    norms.push_back(std::hypot(report.tensors[0].norm, report.tensors[1].norm));
    stabilized.push_back(report.tensors[1].factor);
  }
  const auto clip = plain_percentile_factors(norms, 10.0);
  const auto factors = factors_of([] {
    gradstab_transform* links[2] = {nullptr, made().release()};
    gradstab_transform* chain = nullptr;
    EXPECT_EQ(gradstab_stabilize(nullptr, nullptr, &links[0]), GRADSTAB_OK);
    EXPECT_EQ(gradstab_chain(links, 2, &chain), GRADSTAB_OK) << gradstab_last_error(nullptr);
    return Transform(chain);
  });
  for (std::size_t i = 0; i < clip.size(); ++i)
    EXPECT_NEAR(factors[i], stabilized[i] * clip[i], kTolerance) << i;
}

TEST(PercentileClipInCTest, InFrontOfAFusedOptimizer) {
  const auto factors = plain_percentile_factors(recorded_norms(), 10.0);
  const auto optimizer = [](gradstab_transform* transform) {
    gradstab_optimizer* result = nullptr;
    EXPECT_EQ(gradstab_adam(nullptr, transform, &result), GRADSTAB_OK) << gradstab_last_error(nullptr);
    EXPECT_EQ(gradstab_optimizer_init(result, kParameters, 2, nullptr, nullptr, 0), GRADSTAB_OK)
        << gradstab_optimizer_last_error(result);
    return COptimizer(result);
  };
  const COptimizer fused = optimizer(made().release());
  const COptimizer plain = optimizer(nullptr);
  std::vector<Values> fused_values = clipped_gradients(100);
  std::vector<Values> plain_values = fused_values;
  const auto make_step = [](gradstab_optimizer* stepped, std::vector<Values>& values,
                            std::vector<Values> gradients) {
    void* parameters[] = {values[0].data(), values[1].data()};
    void* pointers[] = {gradients[0].data(), gradients[1].data()};
    EXPECT_EQ(gradstab_optimizer_step_pointers(stepped, parameters, pointers, 2, GRADSTAB_FLOAT64,
                                               GRADSTAB_FLOAT64, GRADSTAB_NO_STEP, nullptr),
              GRADSTAB_OK)
        << gradstab_optimizer_last_error(stepped);
  };
  for (int step = 1; step <= kRecordedSteps; ++step) {
    make_step(fused.get(), fused_values, clipped_gradients(step));
    std::vector<Values> gradients = clipped_gradients(step);
    for (Values& tensor : gradients) {
      for (double& value : tensor) value *= factors[static_cast<std::size_t>(step) - 1];
    }
    make_step(plain.get(), plain_values, gradients);
  }
  for (std::size_t t = 0; t < 2; ++t) {
    for (std::size_t i = 0; i < fused_values[t].size(); ++i)
      EXPECT_NEAR(fused_values[t][i], plain_values[t][i], 1e-12);
    EXPECT_NE(fused_values[t], clipped_gradients(100)[t]);
  }
}

TEST(PercentileClipInCTest, InTwoShardsOnDevicesItIsTheSame) {
  const auto expected = plain_percentile_factors(recorded_norms(), 10.0);
  const int64_t matrix[] = {6};
  const int64_t vector[] = {3};
  const gradstab_parameter parts[] = {{"matrix", 1, matrix}, {"vector", 1, vector}};
  gradstab_cuda_options options;
  ASSERT_EQ(gradstab_cuda_options_init(&options, sizeof options), GRADSTAB_OK);
  options.emulate = 1;
  std::unique_ptr<gradstab_cuda, Destroy> shards[2];
  for (auto& shard : shards) {
    gradstab_cuda* object = nullptr;
    ASSERT_EQ(gradstab_cuda_transform(made().release(), &object), GRADSTAB_OK);
    shard.reset(object);
    ASSERT_EQ(gradstab_cuda_init(object, parts, 2, &options, nullptr, 0), GRADSTAB_OK)
        << gradstab_cuda_last_error(object);
  }
  for (int step = 1; step <= kRecordedSteps; ++step) {
    const std::vector<Values> gradients = clipped_gradients(step);
    std::vector<float> memory[2][2];
    double* squares[2] = {};
    for (std::size_t s = 0; s < 2; ++s) {
      gradstab_tensor tensors[2] = {};
      for (std::size_t t = 0; t < 2; ++t) {
        const std::size_t half = gradients[t].size() / 2;
        for (std::size_t i = 0; i < half; ++i)
          memory[s][t].push_back(static_cast<float>(gradients[t][s * half + i]));
        tensors[t].data = memory[s][t].data();
        tensors[t].device = GRADSTAB_CUDA;
      }
      ASSERT_EQ(gradstab_cuda_measure(shards[s].get(), nullptr, tensors, 2, nullptr), GRADSTAB_OK)
          << gradstab_cuda_last_error(shards[s].get());
      ASSERT_EQ(gradstab_cuda_squared_norms(shards[s].get(), &squares[s]), GRADSTAB_OK);
    }
    for (std::size_t t = 0; t < 2; ++t) squares[0][t] = squares[1][t] = squares[0][t] + squares[1][t];
    for (std::size_t s = 0; s < 2; ++s) {
      ASSERT_EQ(gradstab_cuda_finish(shards[s].get(), nullptr), GRADSTAB_OK);
      const double factor = expected[static_cast<std::size_t>(step) - 1];
      for (std::size_t i = 0; i < 6; ++i) {
        const double value = gradients[0][s * 6 + i] * factor;
        EXPECT_NEAR(memory[s][0][i], value, 1e-6 * std::fabs(value) + 1e-12);
      }
    }
  }
}

/// A method of which a test says what it answers.
struct Answers {
  double factor = 0.5;
  const char* error = nullptr;
  const char* reset_error = nullptr;
  double remembered = 0.0;
  size_t second_size = 1;
  int released = 0;
};

gradstab_norm_method answering(Answers& answers) {
  gradstab_norm_method method = {};
  method.struct_size = sizeof method;
  method.name = "answering";
  method.version = 1;
  method.some_units = 1;
  method.user = &answers;
  method.reset = [](size_t, void* user) { return static_cast<Answers*>(user)->reset_error; };
  method.decide = [](gradstab_unit_step* steps, size_t count, void* user) {
    auto& told = *static_cast<Answers*>(user);
    told.remembered += 1.0;
    for (size_t i = 0; i < count; ++i) steps[i].factor = told.factor;
    steps[0].spike = 1;
    return told.error;
  };
  method.save = [](size_t unit, double* values, size_t capacity, void* user) -> size_t {
    auto& told = *static_cast<Answers*>(user);
    if (unit != GRADSTAB_NO_UNIT) return 0;
    if (capacity == 0) return 1;
    values[0] = told.remembered;
    return told.second_size;
  };
  method.load = [](size_t unit, const double* values, size_t count, int32_t, void* user) -> const char* {
    if (unit != GRADSTAB_NO_UNIT) return nullptr;
    if (count != 1) return "one number was saved";
    static_cast<Answers*>(user)->remembered = values[0];
    return nullptr;
  };
  method.release = [](void* user) { static_cast<Answers*>(user)->released += 1; };
  return method;
}

TEST(MethodInCTest, AWrongAnswerIsAnErrorAndChangesNothing) {
  Answers answers;
  const gradstab_norm_method method = answering(answers);
  gradstab_transform* transform = nullptr;
  ASSERT_EQ(gradstab_own_method(&method, &transform), GRADSTAB_OK) << gradstab_last_error(nullptr);
  const Transform owner = bound(Transform(transform));
  std::vector<Values> gradients = clipped_gradients(1);
  void* pointers[] = {gradients[0].data(), gradients[1].data()};
  const auto update = [&] {
    return gradstab_update_pointers(transform, pointers, 2, GRADSTAB_FLOAT64, GRADSTAB_NO_STEP, nullptr);
  };
  const auto refuses = [&](gradstab_status status, const std::string& message) {
    EXPECT_EQ(update(), status);
    EXPECT_EQ(gradstab_last_error(transform), message);
    EXPECT_EQ(gradients, clipped_gradients(1));
    EXPECT_EQ(answers.remembered, 0.0);
    answers = {};
  };
  answers.error = "no idea";
  refuses(GRADSTAB_FAILED_PRECONDITION, "'answering': no idea");
  answers.factor = -1.0;
  refuses(GRADSTAB_INVALID_ARGUMENT,
          "'answering': the factor of unit 0 is -1, expected a finite number of at least 0");
  answers.factor = NAN;
  refuses(GRADSTAB_INVALID_ARGUMENT,
          "'answering': the factor of unit 0 is nan, expected a finite number of at least 0");
  answers.second_size = 2;
  refuses(GRADSTAB_FAILED_PRECONDITION, "'answering': save gives another number of values when called again");
  EXPECT_EQ(update(), GRADSTAB_OK);
  EXPECT_EQ(gradients[0][0], 0.5 * clipped_gradients(1)[0][0]);
  EXPECT_EQ(answers.remembered, 1.0);
  answers.reset_error = "not ready";
  EXPECT_EQ(gradstab_init(transform, kParameters, 2, nullptr), GRADSTAB_FAILED_PRECONDITION);
  EXPECT_STREQ(gradstab_last_error(transform), "'answering': not ready");
}

TEST(MethodInCTest, ItsUserIsReleasedOnceAndNotAfterAnError) {
  Answers answers;
  gradstab_norm_method method = answering(answers);
  gradstab_transform* transform = nullptr;
  const auto refuses = [&](const std::string& message) {
    EXPECT_NE(gradstab_own_method(&method, &transform), GRADSTAB_OK);
    EXPECT_EQ(gradstab_last_error(nullptr), message);
    EXPECT_EQ(transform, nullptr);
    EXPECT_EQ(answers.released, 0);
    method = answering(answers);
  };
  method.name = nullptr;
  refuses("name is NULL, expected that of the method");
  method.name = "zclip";
  refuses("a method is called 'zclip', which is one of the library's own");
  method.decide = nullptr;
  refuses("decide is NULL, expected a function");
  method.load = nullptr;
  refuses("load is NULL, expected a function, as the other one is there");
  method.version = 0;
  refuses("version of 'answering' must be at least 1, got 0");
  method.max_abs = 2;
  refuses("max_abs must be 0 or 1, got 2");
  ASSERT_EQ(gradstab_own_method(&method, &transform), GRADSTAB_OK);
  gradstab_transform* chain = nullptr;
  ASSERT_EQ(gradstab_chain(&transform, 1, &chain), GRADSTAB_OK);
  EXPECT_EQ(answers.released, 0);
  gradstab_destroy(chain);
  EXPECT_EQ(answers.released, 1);
}

}  // namespace
}  // namespace gradstab::testing
