// How parameters and gradients may lie in memory.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "gradstab/transforms.hpp"
#include "optimizer/kinds.hpp"
#include "optimizer/training.hpp"

namespace gradstab::testing {
namespace {

using Sizes = std::vector<std::int64_t>;

constexpr std::int64_t kN = 3, kC = 4, kH = 5, kW = 2;
const Sizes kShape = {kN, kC, kH, kW};

Sizes row_major(const Sizes& sizes) {
  Sizes strides(sizes.size());
  std::int64_t stride = 1;
  for (std::size_t d = sizes.size(); d-- > 0;) {
    strides[d] = stride;
    stride *= sizes[d];
  }
  return strides;
}

/// A tensor of any strides, in memory of its own that is marked where no element lies.
struct Strided {
  Strided(Sizes shape, Sizes steps, DType type)
      : sizes(std::move(shape)), strides(std::move(steps)), dtype(type) {
    std::int64_t extent = 1;
    for (std::size_t d = 0; d < sizes.size(); ++d) extent += (sizes[d] - 1) * strides[d];
    if (element_count(sizes) == 0) extent = 0;
    memory.assign(static_cast<std::size_t>(extent) * size_of(dtype), std::byte{0x7B});
  }

  std::size_t offset_of(std::int64_t index) const {
    std::int64_t offset = 0;
    for (std::size_t d = sizes.size(); d-- > 0;) {
      offset += index % sizes[d] * strides[d];
      index /= sizes[d];
    }
    return static_cast<std::size_t>(offset) * size_of(dtype);
  }
  /// Row-major contiguous bytes in, and out again.
  void set(const std::vector<std::byte>& contiguous) {
    for (std::int64_t i = 0; i < element_count(sizes); ++i)
      std::memcpy(memory.data() + offset_of(i),
                  contiguous.data() + static_cast<std::size_t>(i) * size_of(dtype), size_of(dtype));
  }
  std::vector<std::byte> get() const {
    std::vector<std::byte> contiguous(static_cast<std::size_t>(element_count(sizes)) * size_of(dtype));
    for (std::int64_t i = 0; i < element_count(sizes); ++i)
      std::memcpy(contiguous.data() + static_cast<std::size_t>(i) * size_of(dtype),
                  memory.data() + offset_of(i), size_of(dtype));
    return contiguous;
  }
  TensorRef ref() { return {.data = memory.data(), .dtype = dtype, .sizes = sizes, .strides = strides}; }

  Sizes sizes, strides;
  DType dtype;
  std::vector<std::byte> memory;
};

const Sizes kChannelsLast = {kH * kW * kC, 1, kW* kC, kC};
const Sizes kTransposed = {1, kN, kN* kC, kN* kC* kH};
const Sizes kPadded = {200, 40, 7, 3};            // gaps everywhere
const Sizes kPaddedTransposed = {1, 4, 20, 120};  // a gap after the innermost run

struct LayoutCase {
  const char* name;
  Sizes parameter, gradient;

  friend std::ostream& operator<<(std::ostream& out, const LayoutCase& c) { return out << c.name; }
};

std::vector<LayoutCase> layout_cases() {
  const Sizes contiguous = row_major(kShape);
  return {{"both_contiguous", contiguous, contiguous},
          {"gradient_strided", contiguous, kPadded},
          {"gradient_transposed", contiguous, kTransposed},
          {"gradient_channels_last", contiguous, kChannelsLast},
          {"gradient_padded_and_transposed", contiguous, kPaddedTransposed},
          {"both_channels_last", kChannelsLast, kChannelsLast},
          {"parameter_channels_last", kChannelsLast, contiguous},
          {"parameter_channels_last_gradient_strided", kChannelsLast, kPadded},
          {"parameter_transposed", kTransposed, contiguous},
          {"parameter_transposed_gradient_channels_last", kTransposed, kChannelsLast}};
}

class LayoutTest : public ::testing::TestWithParam<std::tuple<LayoutCase, std::string, DType>> {
 protected:
  /// Three steps of the optimizer over one tensor of these layouts; the parameter afterwards, row-major.
  std::vector<std::byte> train(const Sizes& parameter_strides, const Sizes& gradient_strides,
                               std::optional<GradientTransform> transform, OptimizerRunOptions run = {},
                               bool with_nan = false) {
    const DType gradient_dtype = std::get<2>(GetParam());
    const DType parameter_dtype = gradient_dtype == DType::float64   ? DType::float64
                                  : gradient_dtype == DType::float32 ? DType::float32
                                                                     : DType::bfloat16;
    // Large enough for several blocks of the copy (1024 elements) where it is gathered.
    const ParameterSet parameters = parameter_set({{"features.bias", kShape}});  // "bias": Adam in Adam-mini
    Optimizer optimizer(kind(std::get<1>(GetParam())), std::move(transform));
    optimizer.init(parameters, std::move(run)).check();
    std::mt19937_64 random(23);
    Gradients contiguous(parameters, parameter_dtype);
    contiguous.set(0, exact_gradients(random, parameters)[0]);
    Strided parameter(kShape, parameter_strides, parameter_dtype);
    parameter.set(contiguous.bytes(0));
    Strided gradient(kShape, gradient_strides, gradient_dtype);
    Gradients values(parameters, gradient_dtype);
    for (int step = 0; step < 3; ++step) {
      Values now = exact_gradients(random, parameters)[0];
      // Sizes that change, or Lion's signs would not see a stabilized norm.
      for (double& value : now) value *= step == 1 ? 8.0 : 0.25;
      if (with_nan && step == 1) now[37] = std::numeric_limits<double>::quiet_NaN();
      values.set(0, now);
      gradient.set(values.bytes(0));
      const auto before = gradient.memory;
      const std::vector<TensorRef> p = {parameter.ref()};
      const std::vector<TensorRef> g = {gradient.ref()};
      optimizer.step(p, g).value();
      EXPECT_EQ(gradient.memory, before);
    }
    return parameter.get();
  }
};

TEST_P(LayoutTest, EqualsTheContiguousRunBitForBit) {
  const auto& layout = std::get<0>(GetParam());
  const Sizes contiguous = row_major(kShape);
  const auto expected = train(contiguous, contiguous, {});
  EXPECT_EQ(train(layout.parameter, layout.gradient, {}), expected);
  const auto stabilized = train(contiguous, contiguous, stabilize());
  EXPECT_NE(stabilized, expected);
  EXPECT_EQ(train(layout.parameter, layout.gradient, stabilize()), stabilized);
}

TEST_P(LayoutTest, ANonFiniteGradientReadsAsZeroInEveryLayout) {
  const auto& layout = std::get<0>(GetParam());
  const Sizes contiguous = row_major(kShape);
  const auto expected = train(contiguous, contiguous, stabilize(), {}, true);
  EXPECT_EQ(train(layout.parameter, layout.gradient, stabilize(), {}, true), expected);
}

INSTANTIATE_TEST_SUITE_P(
    All, LayoutTest,
    ::testing::Combine(::testing::ValuesIn(layout_cases()), ::testing::Values("amsgrad", "lion", "spam"),
                       ::testing::Values(DType::float32, DType::float64, DType::bfloat16, DType::float16)),
    [](const auto& test) {
      return std::string(std::get<0>(test.param).name) + "_" + std::get<1>(test.param) + "_" +
             std::string(to_string(std::get<2>(test.param)));
    });

/// Larger than the stretch that is copied at a time, and than a block of the step plan: whatever belongs to
/// an element, its states and its master copy too, must go on from stretch to stretch.
TEST(OptimizerLayoutTest, LargeTransposedGradientsEqualTheContiguousRun) {
  const Sizes shape = {300, 701};
  const ParameterSet parameters = parameter_set({{"w", shape}});
  for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16}) {
    SCOPED_TRACE(to_string(dtype));
    std::mt19937_64 random(5);
    Training straight(parameters, dtype, AdamOptions{.amsgrad = true}, stabilize());
    Training gathered(parameters, dtype, AdamOptions{.amsgrad = true}, stabilize());
    Strided transposed(shape, {1, 300}, dtype);
    for (int step = 0; step < 3; ++step) {
      straight.step(exact_gradients(random, parameters));
      transposed.set(straight.gradients.bytes(0));
      const std::vector<TensorRef> gradients = {transposed.ref()};
      ASSERT_TRUE(gathered.optimizer.step(gathered.weights.refs(), gradients).ok());
      ASSERT_TRUE(gathered.weight_bytes() == straight.weight_bytes()) << "step " << step;
    }
    EXPECT_EQ(gathered.optimizer.parameter_state(0)->values, straight.optimizer.parameter_state(0)->values);
  }
}

TEST(OptimizerLayoutTest, PerRowTransformsTakeStridedGradients) {
  const ParameterSet parameters = parameter_set({{"w", {6, 10}}});
  std::mt19937_64 random(5);
  Training straight(parameters, DType::float32, AdamOptions{}, stabilize({}, Units::per_row()));
  Training strided(parameters, DType::float32, AdamOptions{}, stabilize({}, Units::per_row()));
  for (const Sizes& strides : {Sizes{1, 6}, Sizes{31, 3}}) {
    Strided gradient({6, 10}, strides, DType::float32);
    straight.step(exact_gradients(random, parameters));
    gradient.set(straight.gradients.bytes(0));
    const std::vector<TensorRef> gradients = {gradient.ref()};
    ASSERT_TRUE(strided.optimizer.step(strided.weights.refs(), gradients).ok());
    EXPECT_EQ(strided.weight_bytes(), straight.weight_bytes());
  }
}

/// What the optimizer says about one parameter of shape [4, 6] in these layouts.
Status refusal(Sizes parameter_strides, Sizes gradient_strides, OptimizerOptions options = AdamOptions{},
               std::optional<GradientTransform> transform = {}, const std::string& name = "w") {
  const ParameterSet parameters = parameter_set({{name, {4, 6}}});
  Optimizer optimizer(std::move(options), std::move(transform));
  optimizer.init(parameters).check();
  const auto fresh = optimizer.save().value();
  std::vector<float> p(1000, 1.0f);
  std::vector<float> g(1000, 1.0f);
  const Sizes shape = {4, 6};
  const std::vector<TensorRef> ps = {
      {.data = p.data(), .dtype = DType::float32, .sizes = shape, .strides = parameter_strides}};
  const std::vector<TensorRef> gs = {
      {.data = g.data(), .dtype = DType::float32, .sizes = shape, .strides = gradient_strides}};
  const Status status = optimizer.step(ps, gs).status();
  EXPECT_EQ(optimizer.save().value(), fresh) << "a refused step must leave no state";
  EXPECT_EQ(p, std::vector<float>(1000, 1.0f));
  if (optimizer.can_step_one().ok()) {
    EXPECT_EQ(optimizer.step_one(0, ps[0], gs[0]).status().message(), status.message());
    EXPECT_EQ(optimizer.save().value(), fresh);
    EXPECT_EQ(p, std::vector<float>(1000, 1.0f));
  }
  return status;
}

TEST(OptimizerLayoutTest, ParametersWithGapsOrOverlapsAreRefused) {
  EXPECT_EQ(refusal({7, 1}, {}).message(), "parameter 'w' has gaps in memory; it must be dense");
  EXPECT_EQ(refusal({12, 2}, {}).message(), "parameter 'w' has gaps in memory; it must be dense");
  EXPECT_EQ(refusal({0, 1}, {}).message(),
            "parameter 'w' overlaps itself in memory (size 4 with stride 0); pass a contiguous copy");
  EXPECT_EQ(refusal({-6, 1}, {}).message(), "parameter 'w' has a negative stride");
  EXPECT_EQ(refusal({6}, {}).message(), "parameter 'w' has 2 sizes but 1 strides");
}

TEST(OptimizerLayoutTest, GradientsThatOverlapAreRefused) {
  EXPECT_EQ(refusal({}, {0, 1}).message(),
            "gradient of 'w' overlaps itself in memory (size 4 with stride 0); pass a contiguous copy");
  EXPECT_EQ(refusal({}, {6}).message(), "gradient of 'w' has 2 sizes but 1 strides");
  EXPECT_EQ(refusal({}, {6, -1}).message(), "gradient of 'w' has a negative stride");
}

TEST(OptimizerLayoutTest, UnitsOfAParameterNeedItContiguous) {
  EXPECT_EQ(refusal({1, 4}, {}, AdamOptions{}, stabilize({}, Units::per_row())).message(),
            "parameter 'w' is not contiguous, but is divided into 4 units");
  EXPECT_EQ(refusal({1, 4}, {}, AdamMiniOptions{}, {}, "embed").message(),
            "parameter 'embed' is not contiguous, but is divided into 4 units");
}

TEST(OptimizerLayoutTest, HeadsNeedAContiguousGradientToo) {
  AdamMiniOptions options;
  options.dim = 4;
  options.n_heads = 2;
  EXPECT_EQ(refusal({}, {1, 4}, options, {}, "wq").message(),
            "gradient of 'wq' is not contiguous, but is divided into 3 pieces; pass a contiguous copy");
}

Status step_with(const ParameterSet& parameters, const std::vector<TensorRef>& ps,
                 const std::vector<TensorRef>& gs) {
  Optimizer optimizer(AdamOptions{});
  optimizer.init(parameters).check();
  const auto fresh = optimizer.save().value();
  const Status status = optimizer.step(ps, gs).status();
  EXPECT_TRUE(status.ok() || optimizer.save().value() == fresh);
  return status;
}

TEST(OptimizerLayoutTest, ShapesCountsAndMissingDataAreRefused) {
  const ParameterSet parameters = parameter_set({{"a", {4}}, {"b", {2, 3}}});
  std::vector<float> memory(64, 1.0f);
  const Sizes four = {4}, two_three = {2, 3}, three_two = {3, 2}, six = {6};
  const auto ref = [&](std::size_t at, const Sizes& sizes, DType dtype = DType::float32) {
    return TensorRef{.data = memory.data() + at, .dtype = dtype, .sizes = sizes, .strides = {}};
  };
  const std::vector<TensorRef> ps = {ref(0, four), ref(8, two_three)};
  const std::vector<TensorRef> gs = {ref(16, four), ref(24, two_three)};
  EXPECT_TRUE(step_with(parameters, ps, gs).ok());
  EXPECT_EQ(step_with(parameters, {ps[0]}, gs).message(), "got 1 parameters for 2 registered ones");
  EXPECT_EQ(step_with(parameters, ps, {gs[0]}).message(), "got 1 gradients for 2 registered parameters");
  EXPECT_EQ(step_with(parameters, {ps[0], ref(8, three_two)}, gs).message(),
            "parameter 'b' has shape [3, 2], expected [2, 3]");
  EXPECT_EQ(step_with(parameters, ps, {gs[0], ref(24, six)}).message(),
            "gradient of 'b' has shape [6], expected [2, 3]");
  TensorRef no_data = ps[1];
  no_data.data = nullptr;
  EXPECT_EQ(step_with(parameters, {ps[0], no_data}, gs).message(),
            "parameter 'b' has a gradient but no data");
  EXPECT_TRUE(step_with(parameters, {ps[0], no_data}, {gs[0], TensorRef{}}).ok()) << "no gradient: left out";
  TensorRef on_gpu = ps[1];
  on_gpu.device = DeviceType::cuda;
  EXPECT_EQ(step_with(parameters, {ps[0], on_gpu}, gs).message(), "parameter 'b' is on a CUDA device");
  TensorRef sparse = gs[1];
  sparse.sparse_values = true;
  EXPECT_EQ(step_with(parameters, ps, {gs[0], sparse}).message(),
            "parameter 'b' has a sparse gradient, which fused optimizers do not accept");
}

/// Two names for one tensor would be updated twice, by two threads at once.
TEST(OptimizerLayoutTest, ParametersThatShareMemoryAreRefused) {
  const ParameterSet parameters = parameter_set({{"a", {4}}, {"b", {4}}});
  std::vector<float> memory(64, 1.0f);
  const Sizes four = {4};
  const auto ref = [&](std::size_t at) {
    return TensorRef{.data = memory.data() + at, .dtype = DType::float32, .sizes = four, .strides = {}};
  };
  const std::vector<TensorRef> gs = {ref(16), ref(24)};
  EXPECT_EQ(step_with(parameters, {ref(0), ref(0)}, gs).message(),
            "parameters 'a' and 'b' share memory and would be updated twice; register them once");
  EXPECT_EQ(step_with(parameters, {ref(3), ref(0)}, gs).message(),
            "parameters 'b' and 'a' share memory and would be updated twice; register them once");
  EXPECT_TRUE(step_with(parameters, {ref(4), ref(0)}, gs).ok());
  EXPECT_TRUE(step_with(parameters, {ref(0), ref(0)}, {gs[0], TensorRef{}}).ok()) << "only one of them moves";
}

/// The gradient of a step per parameter is as little trusted as that of a step over all.
TEST(OptimizerLayoutTest, AStepOfOneParameterChecksItsGradientFirst) {
  const ParameterSet parameters = parameter_set({{"a", {2, 3}}});
  Optimizer optimizer(AdamOptions{}, stabilize());
  ASSERT_TRUE(optimizer.init(parameters).ok());
  const auto fresh = optimizer.save().value();
  std::vector<float> memory(64, 1.0f);
  const Sizes sizes = {2, 3}, transposed = {1, 2}, short_strides = {1}, wrong = {3}, wrong_strides = {2};
  const TensorRef parameter{
      .data = memory.data(), .dtype = DType::float32, .sizes = sizes, .strides = transposed};
  TensorRef gradient{
      .data = memory.data() + 10, .dtype = DType::float32, .sizes = sizes, .strides = short_strides};
  EXPECT_EQ(optimizer.step_one(0, parameter, gradient).status().message(),
            "gradient of 'a' has 2 sizes but 1 strides");
  gradient.sizes = wrong;
  gradient.strides = wrong_strides;
  EXPECT_EQ(optimizer.step_one(0, parameter, gradient).status().message(),
            "gradient of 'a' has shape [3], expected [2, 3]");
  EXPECT_EQ(optimizer.save().value(), fresh);
}

TEST(OptimizerLayoutTest, RankZeroAndEmptyTensorsStep) {
  const ParameterSet parameters = parameter_set(
      {{"scalar", {}}, {"none", {0}}, {"no_rows", {0, 5}}, {"no_columns", {3, 0}}, {"one", {1, 1, 1}}});
  for (const Kind& kind : all_kinds()) {
    SCOPED_TRACE(kind.name);
    for (int front = 0; front < 3; ++front) {
      std::optional<GradientTransform> transform;
      if (front == 1) transform = stabilize();
      if (front == 2) transform = stabilize({}, Units::per_row());
      if (front == 2 && std::holds_alternative<AdamMiniOptions>(kind.options)) continue;
      Training training(parameters, DType::float32, kind.options, std::move(transform));
      training.weights.set(0, Values{1.0});
      const auto report = training.step({{2.0}, {}, {}, {}, {3.0}});
      EXPECT_EQ(report.tensors[0].raw_norm, 2.0);
      EXPECT_LT(training.weights.values(0)[0], 1.0);
      EXPECT_TRUE(training.optimizer.load(training.optimizer.save().value()).ok());
    }
  }
}

/// An empty tensor usually has an address all the same.
TEST(OptimizerLayoutTest, EmptyTensorsWithAnAddressStepToo) {
  const ParameterSet parameters = parameter_set({{"embed.none", {0, 5}}, {"mlp.none", {3, 0}}, {"w", {2}}});
  for (const Kind& kind : all_kinds()) {
    SCOPED_TRACE(kind.name);
    Optimizer optimizer(kind.options, stabilize());
    ASSERT_TRUE(optimizer.init(parameters).ok());
    std::vector<float> memory(16, 1.0f);
    const Sizes no_rows = {0, 5}, no_columns = {3, 0}, two = {2};
    const auto ref = [&](std::size_t at, const Sizes& sizes) {
      return TensorRef{.data = memory.data() + at, .dtype = DType::float32, .sizes = sizes, .strides = {}};
    };
    const auto report = optimizer.step(std::vector{ref(0, no_rows), ref(0, no_columns), ref(0, two)},
                                       std::vector{ref(8, no_rows), ref(8, no_columns), ref(8, two)});
    ASSERT_TRUE(report.ok()) << report.status().message();
    EXPECT_LT(memory[0], 1.0f);
    EXPECT_EQ(memory[2], 1.0f);
    EXPECT_TRUE(optimizer.load(optimizer.save().value()).ok());
  }
}

}  // namespace
}  // namespace gradstab::testing
