// Steps through the C interface give the bits that the C++ library gives.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "gradstab/transforms.hpp"
#include "support.hpp"
#include "support/gradients.hpp"

namespace gradstab::testing {
namespace {

const std::vector<Parameter> kModel = {
    {"a.weight", {37, 29}}, {"a.bias", {37}}, {"b.weight", {5, 7, 3}}, {"s", {}}};

std::vector<gradstab_parameter> as_c(const std::vector<Parameter>& parameters) {
  std::vector<gradstab_parameter> list;
  for (const Parameter& parameter : parameters)
    list.push_back({parameter.name.c_str(), parameter.sizes.size(), parameter.sizes.data()});
  return list;
}

/// Normal numbers, a thousand times as large in one of forty steps; one tensor is absent now and then.
void fill(Gradients& gradients, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  for (std::size_t t = 0; t < kModel.size(); ++t) {
    const double scale = random() % 40 == 0 ? 1000.0 : 1.0;
    Values values(static_cast<std::size_t>(element_count(kModel[t].sizes)));
    for (double& value : values) value = scale * normal(random);
    gradients.set(t, values);
    if (random() % 10 == 0) gradients.set_absent(t);
  }
}

std::vector<gradstab_tensor> as_c(std::span<const TensorRef> refs) {
  std::vector<gradstab_tensor> tensors;
  for (const TensorRef& ref : refs) {
    gradstab_tensor tensor = {};
    tensor.data = ref.data;
    tensor.dtype = static_cast<gradstab_dtype>(ref.dtype);
    tensor.device = static_cast<gradstab_device>(ref.device);
    tensor.rank = ref.sizes.size();
    tensor.sizes = ref.sizes.data();
    tensor.strides = ref.strides.empty() ? nullptr : ref.strides.data();
    tensor.sparse_values = ref.sparse_values ? 1 : 0;
    tensors.push_back(tensor);
  }
  return tensors;
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
  EXPECT_EQ(c.struct_size, sizeof c);
  EXPECT_EQ(c.step, expected.step);
  EXPECT_EQ(c.raw_global_norm, expected.raw_global_norm);
  EXPECT_EQ(c.global_norm, expected.global_norm);
  EXPECT_EQ(c.spikes, expected.spikes);
  EXPECT_EQ(c.nonfinite, expected.nonfinite);
  EXPECT_EQ(c.skip_step, expected.skip_step ? 1 : 0);
  ASSERT_EQ(c.tensor_count, expected.tensors.size());
  for (std::size_t t = 0; t < c.tensor_count; ++t) expect_same(c.tensors[t], expected.tensors[t]);
  ASSERT_EQ(c.row_count, expected.rows.size());
  for (std::size_t r = 0; r < c.row_count; ++r) expect_same(c.rows[r], expected.rows[r]);
  ASSERT_EQ(c.first_row == nullptr, expected.first_row.empty());
  for (std::size_t t = 0; t < expected.first_row.size(); ++t)
    EXPECT_EQ(c.first_row[t], expected.first_row[t]);
}

/// Runs both for 60 steps on the same gradients. Returns the number of steps whose gradients differ.
int steps_that_differ(Handle c, GradientTransform cpp, DType dtype) {
  const auto parameters = as_c(kModel);
  EXPECT_TRUE(accepted(gradstab_init(c.get(), parameters.data(), parameters.size(), nullptr), c.get()));
  const ParameterSet set = parameter_set(kModel);
  EXPECT_TRUE(cpp.init(set).ok());
  std::mt19937_64 random_c(7);
  std::mt19937_64 random_cpp(7);
  Gradients for_c(set, dtype);
  Gradients for_cpp(set, dtype);
  int different = 0;
  for (int step = 1; step <= 60; ++step) {
    fill(for_c, random_c);
    fill(for_cpp, random_cpp);
    const auto expected = cpp.update(for_cpp.refs(), step).value();
    gradstab_step_report report = empty_report();
    const auto tensors = as_c(for_c.refs());
    EXPECT_TRUE(accepted(gradstab_update(c.get(), tensors.data(), tensors.size(), step, &report), c.get()));
    bool same = true;
    for (std::size_t t = 0; t < kModel.size(); ++t) same = same && for_c.bytes(t) == for_cpp.bytes(t);
    different += same ? 0 : 1;
    if (same) expect_same(report, expected);
  }
  if (different == 0) {
    const auto state = cpp.save().value();
    const auto state_c = saved(c.get());
    EXPECT_EQ(state_c.size(), state.size());
    EXPECT_EQ(std::memcmp(state_c.data(), state.data(), state.size()), 0);
  }
  return different;
}

Handle made(gradstab_status status, gradstab_transform* transform) {
  EXPECT_TRUE(accepted(status));
  return Handle(transform);
}

Handle stabilizer_of(gradstab_preset preset, const gradstab_units* units = nullptr) {
  gradstab_stabilizer_options options;
  EXPECT_TRUE(accepted(gradstab_stabilizer_options_init(&options, sizeof options, preset)));
  gradstab_transform* transform = nullptr;
  const gradstab_status status = gradstab_stabilize(&options, units, &transform);
  return made(status, transform);
}

class CUpdateEveryDTypeTest : public ::testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(, CUpdateEveryDTypeTest,
                         ::testing::Values(DType::float32, DType::float64, DType::float16, DType::bfloat16),
                         [](const auto& test) { return std::string(to_string(test.param)); });

TEST_P(CUpdateEveryDTypeTest, StabilizeGivesTheBitsOfTheCppLibrary) {
  EXPECT_EQ(steps_that_differ(make_stabilizer(), stabilize(), GetParam()), 0);
}

TEST_P(CUpdateEveryDTypeTest, AChainGivesTheBitsOfTheCppLibrary) {
  gradstab_transform* clip = nullptr;
  ASSERT_TRUE(accepted(gradstab_clip_by_global_norm(0.5, 1, &clip)));
  gradstab_transform* const links[] = {make_recorder().release(), clip,
                                       stabilizer_of(GRADSTAB_PRESET_ROBUST).release()};
  gradstab_transform* chained = nullptr;
  ASSERT_TRUE(accepted(gradstab_chain(links, 3, &chained)));
  EXPECT_EQ(
      steps_that_differ(Handle(chained),
                        chain(record_norms(), clip_by_global_norm(GlobalNormOptions::largest_entry(0.5)),
                              stabilize(StabilizerOptions::robust())),
                        GetParam()),
      0);
}

TEST(CUpdateTest, EveryPresetGivesTheBitsOfTheCppLibrary) {
  EXPECT_EQ(steps_that_differ(stabilizer_of(GRADSTAB_PRESET_PAPER), stabilize(StabilizerOptions::paper()),
                              DType::float32),
            0);
  EXPECT_EQ(steps_that_differ(stabilizer_of(GRADSTAB_PRESET_RELEASED),
                              stabilize(StabilizerOptions::released()), DType::float32),
            0);
}

TEST(CUpdateTest, TheComparisonSeesAnotherSetting) {
  EXPECT_GT(steps_that_differ(make_stabilizer(), stabilize({.gamma1 = 0.6000001}), DType::float32), 50);
}

TEST(CUpdateTest, EveryGranularityGivesTheBitsOfTheCppLibrary) {
  gradstab_units units = {};
  units.struct_size = sizeof units;
  units.granularity = GRADSTAB_PER_ROW;
  EXPECT_EQ(steps_that_differ(stabilizer_of(GRADSTAB_PRESET_DEFAULT, &units), stabilize({}, Units::per_row()),
                              DType::float32),
            0);
  units.granularity = GRADSTAB_WHOLE_MODEL;
  EXPECT_EQ(steps_that_differ(stabilizer_of(GRADSTAB_PRESET_DEFAULT, &units),
                              stabilize({}, Units::whole_model()), DType::float32),
            0);
  const char* const weights[] = {"*.weight"};
  const char* const others[] = {"s", "*bias"};
  const gradstab_unit_group groups[] = {{"weights", weights, 1}, {"others", others, 2}};
  units.granularity = GRADSTAB_PER_GROUP;
  units.groups = groups;
  units.group_count = 2;
  EXPECT_EQ(steps_that_differ(
                stabilizer_of(GRADSTAB_PRESET_DEFAULT, &units),
                stabilize({}, Units::by_name({{"weights", {"*.weight"}}, {"others", {"s", "*bias"}}})),
                DType::float32),
            0);
}

TEST(CUpdateTest, PointersAreContiguousTensorsOfTheRegisteredShape) {
  const Handle by_pointer = initialised();
  const Handle by_tensor = initialised();
  for (int step = 1; step <= 5; ++step) {
    Pair a;
    Pair b;
    if (step == 3) a.pointers[1] = b.tensors[1].data = nullptr;
    ASSERT_TRUE(
        accepted(gradstab_update_pointers(by_pointer.get(), a.pointers, 2, GRADSTAB_FLOAT32, step, nullptr),
                 by_pointer.get()));
    ASSERT_TRUE(accepted(gradstab_update(by_tensor.get(), b.tensors, 2, step, nullptr), by_tensor.get()));
    EXPECT_EQ(a.weight, b.weight);
    EXPECT_EQ(a.bias, b.bias);
    EXPECT_EQ(a.bias[0] == 0.5f, step == 3) << "an absent gradient is left alone";
  }
  EXPECT_EQ(saved(by_pointer.get()), saved(by_tensor.get()));
}

/// A column-major view of [2, 3] with a gap after each column, and a bias with stride 3.
TEST(CUpdateTest, StridedGradientsGiveTheBitsOfTheCppLibrary) {
  std::vector<float> weight = {1, 4, -9, 2, 5, -9, 3, 6, -9};
  std::vector<float> bias = {0.5f, -8, -8, -0.5f, -8, -8};
  const std::int64_t sizes[] = {2, 3};
  const std::int64_t weight_strides[] = {1, 3};
  const std::int64_t bias_sizes[] = {2};
  const std::int64_t bias_strides[] = {3};
  std::vector<float> weight_cpp = weight;
  std::vector<float> bias_cpp = bias;

  const Handle transform = initialised();
  gradstab_tensor tensors[2] = {};
  tensors[0].data = weight.data();
  tensors[0].rank = 2;
  tensors[0].sizes = sizes;
  tensors[0].strides = weight_strides;
  tensors[1].data = bias.data();
  tensors[1].rank = 1;
  tensors[1].strides = bias_strides;  // of the registered shape
  ASSERT_TRUE(accepted(gradstab_update(transform.get(), tensors, 2, 1, nullptr), transform.get()));

  GradientTransform cpp = stabilize();
  ASSERT_TRUE(cpp.init(parameter_set({{"weight", {2, 3}}, {"bias", {2}}})).ok());
  const TensorRef refs[] = {{.data = weight_cpp.data(), .sizes = sizes, .strides = weight_strides},
                            {.data = bias_cpp.data(), .sizes = bias_sizes, .strides = bias_strides}};
  ASSERT_TRUE(cpp.update(refs, 1).ok());
  EXPECT_EQ(weight, weight_cpp);
  EXPECT_EQ(bias, bias_cpp);

  Pair dense;
  const Handle other = initialised();
  ASSERT_TRUE(accepted(gradstab_update(other.get(), dense.tensors, 2, 1, nullptr), other.get()));
  EXPECT_EQ(weight, (std::vector<float>{dense.weight[0], dense.weight[3], -9, dense.weight[1],
                                        dense.weight[4], -9, dense.weight[2], dense.weight[5], -9}));
  EXPECT_EQ(bias, (std::vector<float>{dense.bias[0], -8, -8, dense.bias[1], -8, -8}));
}

TEST(CUpdateTest, SparseValuesCountAsTheWholeGradient) {
  const Handle sparse = initialised();
  const Handle dense = initialised();
  float values[] = {3, 4};
  const std::int64_t stored[] = {2};
  gradstab_tensor tensors[2] = {};
  tensors[0].data = values;
  tensors[0].rank = 1;
  tensors[0].sizes = stored;
  tensors[0].sparse_values = 1;
  gradstab_step_report report = empty_report();
  ASSERT_TRUE(accepted(gradstab_update(sparse.get(), tensors, 2, 1, &report), sparse.get()));
  EXPECT_EQ(report.tensors[0].raw_norm, 5.0);
  EXPECT_EQ(report.tensors[1].present, 0);

  float all[] = {0, 3, 0, 0, 4, 0};
  void* const data[] = {all, nullptr};
  ASSERT_TRUE(
      accepted(gradstab_update_pointers(dense.get(), data, 2, GRADSTAB_FLOAT32, 1, nullptr), dense.get()));
  EXPECT_EQ(values[0], all[1]);
  EXPECT_EQ(values[1], all[4]);
  EXPECT_EQ(saved(sparse.get()), saved(dense.get()));
}

/// A report of a later version of the interface.
struct LaterReport {
  gradstab_step_report known;
  double later;
};

TEST(CUpdateTest, ALargerReportOfALaterVersionIsFilledWithZeros) {
  const Handle transform = initialised();
  Pair gradients;
  LaterReport report;
  std::memset(&report, 0xFF, sizeof report);
  report.known.struct_size = sizeof report;
  ASSERT_TRUE(
      accepted(gradstab_update(transform.get(), gradients.tensors, 2, 1, &report.known), transform.get()));
  EXPECT_EQ(report.known.struct_size, sizeof report);
  EXPECT_EQ(report.known.step, 1);
  EXPECT_EQ(report.known.tensor_count, 2u);
  EXPECT_EQ(report.later, 0.0);
}

}  // namespace
}  // namespace gradstab::testing
