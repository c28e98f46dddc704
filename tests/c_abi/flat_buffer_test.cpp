// The function for flat gradient buffers that docs/c-abi.md shows.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>

#include "support.hpp"

extern "C" void** gradient_pointers(float* buffer, const gradstab_parameter* parameters, std::size_t count);

namespace gradstab::testing {
namespace {

TEST(CFlatBufferTest, ThePageFunctionFindsEveryGradient) {
  const gradstab_parameter parameters[] = {kParameters[0], {"scale", 0, nullptr}, kParameters[1]};
  std::vector<float> buffer = {1, 2, 3, 4, 5, 6, 8, 3, 4, -1};
  const std::unique_ptr<void*, decltype(&std::free)> pointers(gradient_pointers(buffer.data(), parameters, 3),
                                                              &std::free);
  ASSERT_NE(pointers, nullptr);
  const Handle transform = make_stabilizer();
  ASSERT_TRUE(accepted(gradstab_init(transform.get(), parameters, 3, nullptr), transform.get()));
  gradstab_step_report report = empty_report();
  ASSERT_TRUE(
      accepted(gradstab_update_pointers(transform.get(), pointers.get(), 3, GRADSTAB_FLOAT32, 1, &report),
               transform.get()));
  // Exact: the sums of squares are 91, 64 and 25.
  EXPECT_EQ(report.tensors[0].raw_norm * report.tensors[0].raw_norm, 91.0);
  EXPECT_EQ(report.tensors[1].raw_norm, 8.0);
  EXPECT_EQ(report.tensors[2].raw_norm, 5.0);
  EXPECT_EQ(buffer[6], 1.0f);
  EXPECT_EQ(buffer[7], 0.6f);
  EXPECT_EQ(buffer[8], 0.8f);
  EXPECT_EQ(buffer[9], -1.0f) << "behind the last gradient";
}

}  // namespace
}  // namespace gradstab::testing
