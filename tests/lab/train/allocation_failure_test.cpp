#include "lab/train/allocation_failure.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <new>

namespace gradstab::lab {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(AllocationFailureTest, NamesTheBytesThatWereAskedFor) {
  try {
    (void)torch::empty({std::int64_t{1} << 55}, torch::kByte);  // beyond any address space
    FAIL() << "that much memory is there";
  } catch (const c10::Error& error) {
    EXPECT_THAT(
        status_of(error).message(),
        AllOf(HasSubstr("out of memory: a tensor of 36028797.0 GB (36028797018963968 bytes) could not be "
                        "allocated; this machine has"),
              Not(HasSubstr("alloc_cpu")), Not(HasSubstr("enforce")), Not(HasSubstr("\n"))));
  }
  EXPECT_THAT(status_of(std::bad_alloc()).message(), HasSubstr("out of memory: the system gave no more"));
}

TEST(AllocationFailureTest, OtherErrorsKeepTheirFirstLine) {
  try {
    torch::ones({2, 3}).matmul(torch::ones({2, 3}));
    FAIL();
  } catch (const c10::Error& error) {
    EXPECT_THAT(status_of(error).message(), AllOf(HasSubstr("2x3"), Not(HasSubstr("\n"))));
  }
}

}  // namespace
}  // namespace gradstab::lab
