// A step allocates nothing.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "gradstab/norm_recorder.hpp"
#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"
#include "support/replaced_new.hpp"

namespace gradstab {
namespace {

using testing::allocations;
using testing::Gradients;
using testing::Values;

/// Allocations of ten steps, after one that may set up whatever is set up once.
std::size_t allocations_of(GradientTransform transform, RunOptions options, bool with_nan) {
  const std::vector<std::int64_t> matrix = {300, 400};
  const std::vector<std::int64_t> transposed = {1, 300};
  const std::vector<std::int64_t> padded = {401, 1};
  const ParameterSet parameters = testing::parameter_set_of_sizes({matrix, {64}, {}, matrix, {70000}});
  EXPECT_TRUE(transform.init(parameters, std::move(options)).ok());
  Gradients gradients(parameters, DType::float32);
  for (std::size_t t = 0; t < parameters.size(); ++t) {
    gradients.set(t, Values(static_cast<std::size_t>(element_count(parameters[t].sizes)), 0.5));
  }
  if (with_nan) gradients.set(2, Values{std::nan("")});
  std::vector<float> wide(300 * 401, 0.25f);
  gradients.mutable_refs()[0].strides = transposed;
  gradients.mutable_refs()[3].strides = padded;
  gradients.mutable_refs()[3].data = wide.data();

  std::size_t failures = transform.update(gradients.refs()).ok() ? 0 : 1;
  const std::size_t before = allocations();
  for (int step = 0; step < 10; ++step) failures += transform.update(gradients.refs()).ok() ? 0 : 1;
  const std::size_t made = allocations() - before;
  EXPECT_EQ(failures, 0u);
  return made;
}

TEST(AllocationTest, TheCounterCounts) {
  const std::size_t before = allocations();
  int* volatile seen = new int(1);  // or the compiler may leave out both calls
  delete seen;
  EXPECT_EQ(allocations(), before + 1);
}

TEST(AllocationTest, StabilizeAllocatesNothingInAStep) {
  EXPECT_EQ(allocations_of(stabilize(), {}, false), 0u);
  EXPECT_EQ(allocations_of(stabilize(), {}, true), 0u);
}

TEST(AllocationTest, AChainWithAllNormsAllocatesNothingInAStep) {
  const auto by_largest = GlobalNormOptions::largest_entry(1.0);
  EXPECT_EQ(allocations_of(chain(record_norms(), clip_by_global_norm(by_largest), stabilize()), {}, false),
            0u);
}

/// `spike_aware_clip` takes contiguous gradients only; its step is in the optimizers' test.
TEST(AllocationTest, NoOtherMethodAllocatesInAStep) {
  EXPECT_EQ(allocations_of(clip_by_value(0.1), {}, true), 0u);
  EXPECT_EQ(allocations_of(clip_by_global_norm({.max_norm = 1.0, .p = 3.0}), {}, true), 0u);
  EXPECT_EQ(allocations_of(zclip({.warmup_steps = 5}), {}, false), 0u);
  EXPECT_EQ(allocations_of(adagc({.warmup_steps = 5}), {}, false), 0u);
  EXPECT_EQ(allocations_of(chain(adaptive_value_clip(), adaptive_norm()), {}, true), 0u);
  EXPECT_EQ(allocations_of(chain(normalize(), scale_by(0.5), clip_by_value(0.1), stabilize()), {}, false),
            0u);
}

TEST(AllocationTest, AVetoedStepAllocatesNothing) {
  EXPECT_EQ(allocations_of(stabilize(), {.nonfinite = NonFinitePolicy::skip_step}, true), 0u);
}

TEST(AllocationTest, UnitsOfAnyGranularityAllocateNothingInAStep) {
  for (const Units& units :
       {Units::per_row(), Units::whole_model(), Units::by_name({{"some", {"t1", "t3"}}})}) {
    EXPECT_EQ(allocations_of(chain(stabilize({}, units), stabilize()), {}, false), 0u);
    EXPECT_EQ(allocations_of(stabilize(StabilizerOptions::robust(), units), {}, true), 0u);
  }
}

/// Looking for shared memory sorts the tensors by address; each step here has another order, and some tensors
/// are missing.
TEST(AllocationTest, TenThousandTensorsInANewOrderEveryStepAllocateNothing) {
  constexpr std::size_t kTensors = 10000;
  const std::vector<std::int64_t> sizes = {3};
  const ParameterSet parameters =
      testing::parameter_set_of_sizes(std::vector<std::vector<std::int64_t>>(kTensors, sizes));
  GradientTransform transform = stabilize();
  ASSERT_TRUE(transform.init(parameters).ok());
  std::vector<float> memory(3 * kTensors, 0.5f);
  std::vector<TensorRef> refs(kTensors);
  constexpr std::size_t kStrides[] = {1, 7919, 3, 9999, 1};  // coprime to the number of tensors
  std::size_t failures = 0;
  const std::size_t before = allocations();
  for (const std::size_t stride : kStrides) {
    for (std::size_t t = 0; t < kTensors; ++t) {
      float* data = memory.data() + 3 * (t * stride % kTensors);
      refs[t] = {.data = t % 97 == stride % 97 ? nullptr : data, .sizes = sizes, .strides = {}};
    }
    failures += transform.update(refs).ok() ? 0 : 1;
  }
  EXPECT_EQ(allocations(), before);
  EXPECT_EQ(failures, 0u);
  refs[4999].data = static_cast<float*>(refs[123].data) + 2;
  EXPECT_EQ(transform.update(refs).status().code(), StatusCode::unsupported) << "and sharing is still found";
}

TEST(AllocationTest, AThreadPoolAllocatesNothingInAStep) {
  EXPECT_EQ(allocations_of(stabilize(), {.executor = thread_pool(3).value()}, false), 0u);
}

TEST(AllocationTest, ARecordedStepAllocatesNothing) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{300, 400}, {64}, {}});
  Gradients gradients(parameters, DType::float32);
  gradients.set_all({Values(120000, 0.5), Values(64, 0.5), {1.0}});
  const std::string path = (std::filesystem::temp_directory_path() /
                            ("gradstab_allocation_" + std::to_string(::getpid()) + ".gsnorms"))
                               .string();
  NormRecorder recorder = NormRecorder::open(path, parameters).value();
  std::size_t failures = recorder.record(gradients.refs(), {}, 2.5).ok() ? 0 : 1;  // with the header
  const std::size_t before = allocations();
  for (int step = 0; step < 10; ++step) failures += recorder.record(gradients.refs(), {}, 2.5).ok() ? 0 : 1;
  EXPECT_EQ(allocations(), before);
  EXPECT_EQ(failures, 0u);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace gradstab
