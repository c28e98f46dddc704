// Optimizers through the C interface give the bits that the C++ library gives.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "gradstab/transforms.hpp"
#include "optimizer/kinds.hpp"
#include "optimizer/training.hpp"
#include "optimizer_support.hpp"

namespace gradstab::testing {
namespace {

using MakeFront = std::optional<GradientTransform> (*)();

std::optional<GradientTransform> no_front() {
  return std::nullopt;
}
std::optional<GradientTransform> stabilize_front() {
  return stabilize();
}
std::optional<GradientTransform> chain_front() {
  return chain(clip_by_global_norm(1.0), stabilize());
}

/// What stands in front, in C.
gradstab_transform* c_front(MakeFront front) {
  if (front == no_front) return nullptr;
  if (front == stabilize_front) return make_stabilizer().release();
  gradstab_transform* const links[] = {make_clipper(1.0).release(), make_stabilizer().release()};
  gradstab_transform* chained = nullptr;
  EXPECT_TRUE(accepted(gradstab_chain(links, 2, &chained)));
  return chained;
}

/// One way to train, in both languages.
struct Case {
  OptimizerOptions options = AdamOptions{};
  MakeFront front = stabilize_front;
  DType parameters = DType::float32;
  DType gradients = DType::float32;
  LowPrecision low_precision = LowPrecision::master_copy;
  std::uint64_t seed = 0;
  std::vector<OptimizerGroup> groups = {};
  double size = 1.0;  ///< of gradients
};

std::vector<gradstab_tensor> as_c(std::span<const TensorRef> refs) {
  std::vector<gradstab_tensor> tensors;
  for (const TensorRef& ref : refs) {
    gradstab_tensor tensor = {};
    tensor.data = ref.data;
    tensor.dtype = static_cast<gradstab_dtype>(ref.dtype);
    tensor.rank = ref.sizes.size();
    tensor.sizes = ref.sizes.data();
    tensor.strides = ref.strides.empty() ? nullptr : ref.strides.data();
    tensors.push_back(tensor);
  }
  return tensors;
}

/// A Training whose optimizer is one of the C interface.
struct CTraining {
  explicit CTraining(const Case& c)
      : set(small_model()), weights(set, c.parameters), gradients(set, c.gradients) {
    optimizer = make_optimizer(c.options, c_front(c.front));
    std::vector<gradstab_parameter> parameters;
    for (const Parameter& parameter : set)
      parameters.push_back({parameter.name.c_str(), parameter.sizes.size(), parameter.sizes.data()});
    std::vector<std::unique_ptr<COptions>> options;
    std::vector<gradstab_optimizer_group> groups;
    for (const OptimizerGroup& group : c.groups) {
      options.push_back(std::make_unique<COptions>(group.options));
      groups.push_back({options.back()->base(), group.parameters.data(), group.parameters.size()});
    }
    gradstab_optimizer_run_options run = optimizer_run_options();
    run.low_precision = static_cast<gradstab_low_precision>(c.low_precision);
    run.seed = c.seed;
    EXPECT_TRUE(accepted(gradstab_optimizer_init(get(), parameters.data(), parameters.size(), &run,
                                                 groups.data(), groups.size()),
                         get()));
  }

  gradstab_optimizer* get() const { return optimizer.get(); }

  std::vector<std::byte> weight_bytes() const {
    std::vector<std::byte> result;
    for (std::size_t i = 0; i < set.size(); ++i)
      result.insert(result.end(), weights.bytes(i).begin(), weights.bytes(i).end());
    return result;
  }

  ParameterSet set;
  Gradients weights;
  Gradients gradients;
  OptimizerHandle optimizer;
};

Training cpp_training(const Case& c) {
  return {small_model(), c.parameters, c.gradients,
          c.options,     c.front(),    {.low_precision = c.low_precision, .seed = c.seed},
          c.groups};
}

void expect_same(const gradstab_tensor_report& c, const TensorReport& expected) {
  EXPECT_EQ(c.raw_norm, expected.raw_norm);
  EXPECT_EQ(c.norm, expected.norm());
  EXPECT_EQ(c.factor, expected.factor);
  EXPECT_EQ(c.present, expected.present);
  EXPECT_EQ(c.finite, expected.finite);
  EXPECT_EQ(c.spike, expected.spike);
  EXPECT_EQ(c.zeroed, expected.zeroed);
}

void expect_same(const gradstab_step_report& c, const StepReport& expected) {
  EXPECT_EQ(c.step, expected.step);
  EXPECT_EQ(c.raw_global_norm, expected.raw_global_norm);
  EXPECT_EQ(c.global_norm, expected.global_norm);
  EXPECT_EQ(c.spikes, expected.spikes);
  EXPECT_EQ(c.nonfinite, expected.nonfinite);
  ASSERT_EQ(c.tensor_count, expected.tensors.size());
  for (std::size_t t = 0; t < c.tensor_count; ++t) expect_same(c.tensors[t], expected.tensors[t]);
}

bool same_bytes(const std::vector<unsigned char>& c, const std::vector<std::byte>& cpp) {
  return c.size() == cpp.size() && std::memcmp(c.data(), cpp.data(), c.size()) == 0;
}

constexpr int kSteps = 30;

/// A learning rate for every step.
double scheduled(int step) {
  return 0.02 / (1.0 + 0.1 * step);
}

/// Trains in C and in C++; in every third step a learning rate is set, now and then a gradient is absent.
/// Where the two agree, so do reports and, in the end, the states. Returns the steps after which weights
/// differ.
int steps_that_differ(const Case& in_c, const Case& in_cpp) {
  CTraining c(in_c);
  Training cpp = cpp_training(in_cpp);
  c.weights.set_all(cpp.weights.values());
  std::mt19937_64 random(7);
  int different = 0;
  for (int step = 1; step <= kSteps; ++step) {
    auto values = random_gradients(random, c.set);
    for (Values& tensor : values)
      for (double& value : tensor) value *= in_c.size;
    c.gradients.set_all(values);
    cpp.gradients.set_all(values);
    if (step % 4 == 0) {
      c.gradients.set_absent(static_cast<std::size_t>(step) % c.set.size());
      cpp.gradients.set_absent(static_cast<std::size_t>(step) % c.set.size());
    }
    if (step % 3 == 0) {
      EXPECT_TRUE(accepted(gradstab_optimizer_set_lr(c.get(), scheduled(step)), c.get()));
      EXPECT_TRUE(cpp.optimizer.set_lr(scheduled(step)).ok());
    }
    const auto before = c.gradients.values();
    gradstab_step_report report = empty_report();
    const auto weights = as_c(c.weights.refs());
    const auto gradients = as_c(c.gradients.refs());
    EXPECT_TRUE(accepted(
        gradstab_optimizer_step(c.get(), weights.data(), gradients.data(), c.set.size(), step, &report),
        c.get()));
    const auto expected = cpp.optimizer.step(cpp.weights.refs(), cpp.gradients.refs(), step);
    EXPECT_TRUE(expected.ok()) << expected.status().message();
    EXPECT_EQ(c.gradients.values(), before) << "gradients are not written";
    const bool same = c.weight_bytes() == cpp.weight_bytes();
    different += same ? 0 : 1;
    if (same && expected) expect_same(report, *expected);
  }
  for (const Values& values : c.weights.values())
    for (const double value : values) EXPECT_TRUE(std::isfinite(value));
  if (different == 0) {
    EXPECT_TRUE(same_bytes(saved(c.get()), cpp.optimizer.save().value()));
  }
  return different;
}

int steps_that_differ(const Case& both) {
  return steps_that_differ(both, both);
}

class COptimizerOfEveryKindTest : public ::testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(, COptimizerOfEveryKindTest, ::testing::ValuesIn(all_kinds()),
                         [](const auto& test) { return test.param.name; });

TEST_P(COptimizerOfEveryKindTest, GivesTheBitsOfTheCppLibraryBehindAnyTransform) {
  for (const MakeFront front : {no_front, stabilize_front, chain_front})
    EXPECT_EQ(steps_that_differ({.options = GetParam().options, .front = front}), 0);
}

TEST_P(COptimizerOfEveryKindTest, GivesTheBitsOfTheCppLibraryInEveryDType) {
  const OptimizerOptions& options = GetParam().options;
  for (const DType gradients : {DType::float16, DType::bfloat16, DType::float32}) {
    for (const DType parameters : {DType::float32, DType::bfloat16})
      EXPECT_EQ(steps_that_differ({.options = options, .parameters = parameters, .gradients = gradients}), 0);
    EXPECT_EQ(steps_that_differ({.options = options,
                                 .parameters = DType::bfloat16,
                                 .gradients = gradients,
                                 .low_precision = LowPrecision::stochastic_rounding,
                                 .seed = 5}),
              0);
  }
  EXPECT_EQ(
      steps_that_differ({.options = options, .parameters = DType::float64, .gradients = DType::float64}), 0);
}

/// The library's own numbers for these are in tests/optimizer/number_range_test.cpp.
TEST_P(COptimizerOfEveryKindTest, GivesTheBitsOfTheCppLibraryForGradientsNearTheEndsOfFloat32) {
  for (const double size : {1e-42, 1e36})
    EXPECT_EQ(steps_that_differ({.options = GetParam().options, .size = size}), 0);
}

/// A tenth of everything's weight decay, another learning rate.
OptimizerOptions gentler(OptimizerOptions options) {
  std::visit(
      [](auto& typed) {
        typed.lr *= 0.5;
        typed.weight_decay *= 0.1;
      },
      options);
  return options;
}

TEST_P(COptimizerOfEveryKindTest, GivesTheBitsOfTheCppLibraryInGroups) {
  const OptimizerOptions& options = GetParam().options;
  const std::vector<OptimizerGroup> groups = {{options, {5, 0, 2}}, {gentler(options), {1, 3, 4}}};
  EXPECT_EQ(steps_that_differ({.options = options, .groups = groups}), 0);
  // The comparison sees parameters in another group.
  const std::vector<OptimizerGroup> others = {{options, {5, 0, 1}}, {gentler(options), {2, 3, 4}}};
  EXPECT_GT(steps_that_differ({.options = options, .groups = groups}, {.options = options, .groups = others}),
            kSteps / 2);
}

TEST_P(COptimizerOfEveryKindTest, TheComparisonSeesAnotherSetting) {
  OptimizerOptions other = GetParam().options;
  std::visit([](auto& typed) { typed.weight_decay *= 1.5; }, other);
  EXPECT_GT(steps_that_differ({.options = GetParam().options}, {.options = other}), kSteps / 2);
}

TEST(COptimizerTest, TheComparisonSeesAnotherTransformAndAnotherSeed) {
  EXPECT_GT(steps_that_differ({.front = chain_front}, {.front = no_front}), kSteps / 2);
  const Case random{
      .parameters = DType::bfloat16, .low_precision = LowPrecision::stochastic_rounding, .seed = 5};
  Case other = random;
  other.seed = 6;
  EXPECT_GT(steps_that_differ(random, other), kSteps / 2);
}

TEST(COptimizerTest, OverridesOfAdamMiniReachTheLibrary) {
  AdamMiniOptions options = std::get<AdamMiniOptions>(kind("adam_mini"));
  options.overrides = {{"embed*", AdamMiniUnit::tensor}, {"*.mlp.weight", AdamMiniUnit::element}};
  EXPECT_EQ(steps_that_differ({.options = options}), 0);
  AdamMiniOptions without = options;
  without.overrides.clear();
  EXPECT_GT(steps_that_differ({.options = options}, {.options = without}), kSteps / 2);
}

TEST(COptimizerTest, OptionsAndLearningRatesOfSingleGroupsReachTheLibrary) {
  const AdamOptions first{.lr = 0.01};
  const AdamOptions second{.lr = 0.02, .weight_decay = 0.1};
  const Case both{.groups = {{first, {0, 1, 2}}, {second, {3, 4, 5}}}};
  CTraining c(both);
  Training cpp = cpp_training(both);
  c.weights.set_all(cpp.weights.values());
  std::mt19937_64 random(8);
  for (int step = 1; step <= 6; ++step) {
    const AdamOptions changed{.lr = 0.003 * step, .beta1 = 0.8, .weight_decay = 0.3, .decoupled = true};
    ASSERT_TRUE(accepted(gradstab_optimizer_set_options(c.get(), 1, COptions(changed).base()), c.get()));
    ASSERT_TRUE(accepted(gradstab_optimizer_set_group_lr(c.get(), 0, 0.1 / step), c.get()));
    ASSERT_TRUE(cpp.optimizer.set_options(1, changed).ok());
    ASSERT_TRUE(cpp.optimizer.set_lr(0, 0.1 / step).ok());
    const auto values = random_gradients(random, c.set);
    c.gradients.set_all(values);
    const auto weights = as_c(c.weights.refs());
    const auto gradients = as_c(c.gradients.refs());
    ASSERT_TRUE(accepted(
        gradstab_optimizer_step(c.get(), weights.data(), gradients.data(), 6, GRADSTAB_NO_STEP, nullptr),
        c.get()));
    cpp.step(values);
    ASSERT_EQ(c.weight_bytes(), cpp.weight_bytes()) << step;
  }
}

TEST_P(COptimizerOfEveryKindTest, StepsOneByOneAndMeasuredAheadGiveTheBitsOfStepsOverAll) {
  const Case both{.options = GetParam().options};
  CTraining whole(both);
  CTraining single(both);
  CTraining measured(both);
  std::mt19937_64 random(9);
  std::vector<Values> start;
  for (const Parameter& parameter : whole.set)
    start.push_back(random_values(random, static_cast<std::size_t>(element_count(parameter.sizes)), 1.0));
  for (CTraining* training : {&whole, &single, &measured}) training->weights.set_all(start);
  const bool one_by_one = steps_one_by_one(GetParam().options);
  EXPECT_EQ(gradstab_optimizer_can_step_one(single.get()), one_by_one ? GRADSTAB_OK : GRADSTAB_UNSUPPORTED);
  for (int step = 1; step <= 10; ++step) {
    const auto values = random_gradients(random, whole.set);
    for (CTraining* training : {&whole, &single, &measured}) {
      training->gradients.set_all(values);
      training->gradients.set_absent(static_cast<std::size_t>(step) % 6);
    }
    const auto weights = as_c(whole.weights.refs());
    const auto gradients = as_c(whole.gradients.refs());
    gradstab_step_report report = empty_report();
    ASSERT_TRUE(
        accepted(gradstab_optimizer_step(whole.get(), weights.data(), gradients.data(), 6, step, &report),
                 whole.get()));
    const auto weights_measured = as_c(measured.weights.refs());
    const auto gradients_measured = as_c(measured.gradients.refs());
    for (std::size_t i = 0; i < 6; ++i) {
      ASSERT_TRUE(accepted(gradstab_optimizer_measure_one(measured.get(), i, &gradients_measured[i]),
                           measured.get()));
    }
    ASSERT_TRUE(accepted(gradstab_optimizer_step(measured.get(), weights_measured.data(),
                                                 gradients_measured.data(), 6, step, nullptr),
                         measured.get()));
    ASSERT_EQ(measured.weight_bytes(), whole.weight_bytes()) << step;
    if (!one_by_one) continue;
    const auto weights_single = as_c(single.weights.refs());
    const auto gradients_single = as_c(single.gradients.refs());
    for (std::size_t i = 6; i-- > 0;) {
      gradstab_tensor_report one = {};
      ASSERT_TRUE(accepted(
          gradstab_optimizer_step_one(single.get(), i, &weights_single[i], &gradients_single[i], &one),
          single.get()));
      EXPECT_EQ(one.raw_norm, report.tensors[i].raw_norm);
      EXPECT_EQ(one.norm, report.tensors[i].norm);
      EXPECT_EQ(one.factor, report.tensors[i].factor);
      EXPECT_EQ(one.present, report.tensors[i].present);
      EXPECT_EQ(one.finite, 1);
    }
    ASSERT_EQ(single.weight_bytes(), whole.weight_bytes()) << step;
  }
}

TEST(COptimizerTest, AMeasurementIsTakenWhereTheMemoryIsTheSame) {
  // The gradient changes after it was measured, which the caller must not do: it shows that the norm is the
  // one that was measured.
  const OptimizerHandle optimizer = initialised_optimizer();
  gradstab_optimizer* const o = optimizer.get();
  Weights weights;
  Pair gradients;
  gradients.bias = {3, 4};
  gradients.tensors[1].data = gradients.bias.data();
  ASSERT_TRUE(accepted(gradstab_optimizer_measure_one(o, 1, &gradients.tensors[1]), o));
  gradients.bias[0] = 300;
  gradstab_step_report report = empty_report();
  ASSERT_TRUE(accepted(gradstab_optimizer_step(o, weights.tensors, gradients.tensors, 2, 1, &report), o));
  EXPECT_EQ(report.tensors[1].raw_norm, 5.0);
  ASSERT_TRUE(accepted(gradstab_optimizer_step(o, weights.tensors, gradients.tensors, 2, 2, &report), o));
  EXPECT_NEAR(report.tensors[1].raw_norm, 300.03, 0.01) << "measured again";
}

TEST(COptimizerTest, PointersAreContiguousTensorsOfTheRegisteredShape) {
  const OptimizerHandle by_pointer = initialised_optimizer();
  const OptimizerHandle by_tensor = initialised_optimizer();
  Weights pointed;
  Weights tensors;
  for (int step = 1; step <= 5; ++step) {
    Pair a;
    Pair b;
    if (step == 3) a.pointers[1] = b.tensors[1].data = nullptr;
    ASSERT_TRUE(accepted(gradstab_optimizer_step_pointers(by_pointer.get(), pointed.pointers, a.pointers, 2,
                                                          GRADSTAB_FLOAT32, GRADSTAB_FLOAT32, step, nullptr),
                         by_pointer.get()));
    ASSERT_TRUE(
        accepted(gradstab_optimizer_step(by_tensor.get(), tensors.tensors, b.tensors, 2, step, nullptr),
                 by_tensor.get()));
    EXPECT_TRUE(pointed == tensors);
  }
  EXPECT_FALSE(pointed == Weights());
  EXPECT_EQ(saved(by_pointer.get()), saved(by_tensor.get()));
}

TEST(COptimizerTest, StridedParametersAndGradientsGiveTheBitsOfDenseOnes) {
  const OptimizerHandle dense = initialised_optimizer();
  const OptimizerHandle strided = initialised_optimizer();
  Weights weights;
  Weights transposed;
  Pair gradients;
  // The parameter column by column; the gradient row by row with a gap.
  transposed.weight = {0.1f, 0.4f, 0.2f, 0.5f, 0.3f, 0.6f};
  const std::int64_t weight_strides[] = {1, 2};
  std::vector<float> wide = {1, 2, 3, -9, 4, 5, 6, -9};
  const std::int64_t gradient_strides[] = {4, 1};
  gradstab_tensor parameters[2] = {transposed.tensors[0], transposed.tensors[1]};
  parameters[0].data = transposed.weight.data();
  parameters[0].rank = 2;
  parameters[0].strides = weight_strides;
  gradstab_tensor gaps[2] = {gradients.tensors[0], gradients.tensors[1]};
  gaps[0].data = wide.data();
  gaps[0].rank = 2;
  gaps[0].strides = gradient_strides;
  for (int step = 1; step <= 3; ++step) {
    ASSERT_TRUE(
        accepted(gradstab_optimizer_step(dense.get(), weights.tensors, gradients.tensors, 2, step, nullptr),
                 dense.get()));
    ASSERT_TRUE(
        accepted(gradstab_optimizer_step(strided.get(), parameters, gaps, 2, step, nullptr), strided.get()));
  }
  const std::vector<float>& w = weights.weight;
  EXPECT_EQ(transposed.weight, (std::vector<float>{w[0], w[3], w[1], w[4], w[2], w[5]}));
  EXPECT_EQ(transposed.bias, weights.bias);
}

TEST(COptimizerTest, ResultsDoNotDependOnThreads) {
  const std::int64_t sizes[] = {700, 400};  // more than one block
  const gradstab_parameter parameter = {"w", 2, sizes};
  std::vector<std::vector<float>> results;
  for (const std::uint32_t threads : {0u, 3u}) {
    const OptimizerHandle optimizer = make_optimizer(AdamOptions::adamw(), make_stabilizer().release());
    gradstab_run_options run = {};
    run.struct_size = sizeof run;
    run.threads = threads;
    gradstab_optimizer_run_options options = optimizer_run_options();
    options.run = &run;
    ASSERT_TRUE(accepted(gradstab_optimizer_init(optimizer.get(), &parameter, 1, &options, nullptr, 0),
                         optimizer.get()));
    std::vector<float> weights(700 * 400, 0.5f);
    std::vector<float> gradient(700 * 400);
    for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] = static_cast<float>(i % 1013) * 1e-3f;
    void* const weight_data[] = {weights.data()};
    void* const gradient_data[] = {gradient.data()};
    for (int step = 1; step <= 2; ++step) {
      ASSERT_TRUE(
          accepted(gradstab_optimizer_step_pointers(optimizer.get(), weight_data, gradient_data, 1,
                                                    GRADSTAB_FLOAT32, GRADSTAB_FLOAT32, step, nullptr),
                   optimizer.get()));
    }
    results.push_back(weights);
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_NE(results[0][1], 0.5f);
}

TEST(COptimizerTest, RowsAreReportedWhereAMethodWorksPerRow) {
  gradstab_units units = {};
  units.struct_size = sizeof units;
  units.granularity = GRADSTAB_PER_ROW;
  gradstab_transform* rows = nullptr;
  ASSERT_TRUE(accepted(gradstab_stabilize(nullptr, &units, &rows)));
  const OptimizerHandle optimizer = make_optimizer(SgdOptions{.lr = 1.0}, rows);
  gradstab_optimizer* const o = optimizer.get();
  ASSERT_TRUE(accepted(gradstab_optimizer_init(o, kParameters, 2, nullptr, nullptr, 0), o));
  Weights weights;
  Pair gradients;
  gradients.weight = {3, 4, 0, 0, 6, 8};
  gradients.tensors[0].data = gradients.weight.data();
  gradstab_step_report report = empty_report();
  ASSERT_TRUE(accepted(gradstab_optimizer_step(o, weights.tensors, gradients.tensors, 2, 1, &report), o));
  ASSERT_EQ(report.row_count, 3u);
  EXPECT_EQ(report.rows[0].raw_norm, 5.0);
  EXPECT_EQ(report.rows[1].raw_norm, 10.0);
  EXPECT_EQ(report.first_row[1], 2u);
  EXPECT_NEAR(report.tensors[0].raw_norm, std::sqrt(125.0), 1e-12);
  // Each row of norm 1: the parameter moves by the gradient over its row's norm.
  EXPECT_NEAR(weights.weight[0], 0.1 - 0.6, 1e-6);
  EXPECT_NEAR(weights.weight[5], 0.6 - 0.8, 1e-6);
}

TEST(COptimizerTest, NothingAtAllIsAnOrdinaryCase) {
  const OptimizerHandle optimizer = make_optimizer(AdamOptions{}, make_stabilizer().release());
  gradstab_optimizer* const o = optimizer.get();
  ASSERT_TRUE(accepted(gradstab_optimizer_init(o, nullptr, 0, nullptr, nullptr, 0), o));
  gradstab_step_report report = empty_report();
  EXPECT_TRUE(accepted(gradstab_optimizer_step(o, nullptr, nullptr, 0, 1, &report), o));
  EXPECT_EQ(report.step, 1);
  EXPECT_EQ(report.tensors, nullptr);
}

}  // namespace
}  // namespace gradstab::testing
