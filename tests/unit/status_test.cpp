#include "gradstab/status.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace gradstab {
namespace {

TEST(StatusTest, DefaultIsOkAndCheckDoesNothing) {
  const Status status;
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(status.code(), StatusCode::ok);
  EXPECT_EQ(status.message(), "");
  EXPECT_NO_THROW(status.check());
}

TEST(StatusTest, CheckThrowsAnErrorWithCodeAndMessage) {
  const Status status(StatusCode::non_finite, "gradient holds NaN");
  EXPECT_FALSE(status.ok());
  try {
    status.check();
    FAIL() << "check did not throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), StatusCode::non_finite);
    EXPECT_STREQ(error.what(), "gradient holds NaN");
  }
}

TEST(StatusTest, EveryCodeHasAName) {
  EXPECT_EQ(to_string(StatusCode::ok), "ok");
  EXPECT_EQ(to_string(StatusCode::invalid_argument), "invalid_argument");
  EXPECT_EQ(to_string(StatusCode::shape_mismatch), "shape_mismatch");
  EXPECT_EQ(to_string(StatusCode::unsupported), "unsupported");
  EXPECT_EQ(to_string(StatusCode::failed_precondition), "failed_precondition");
  EXPECT_EQ(to_string(StatusCode::non_finite), "non_finite");
  EXPECT_EQ(to_string(StatusCode::corrupt_data), "corrupt_data");
  EXPECT_EQ(to_string(StatusCode::version_mismatch), "version_mismatch");
  EXPECT_EQ(to_string(StatusCode::io_error), "io_error");
  EXPECT_EQ(to_string(static_cast<StatusCode>(99)), "unknown");
}

TEST(ResultTest, HoldsAValue) {
  Result<int> result = 7;
  EXPECT_TRUE(result.ok());
  EXPECT_TRUE(result);
  EXPECT_TRUE(result.status().ok());
  EXPECT_EQ(result.value(), 7);
  *result = 8;
  EXPECT_EQ(std::as_const(result).value(), 8);
}

TEST(ResultTest, HoldsTheReasonWhyThereIsNoValue) {
  Result<int> result = Status(StatusCode::io_error, "disk full");
  EXPECT_FALSE(result);
  EXPECT_EQ(result.status().message(), "disk full");
  EXPECT_THROW(result.value(), Error);
  EXPECT_THROW(std::as_const(result).value(), Error);
  EXPECT_THROW(std::move(result).value(), Error);
}

TEST(ResultTest, GivesUpAMoveOnlyValue) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(3);
  EXPECT_EQ(**result, 3);
  EXPECT_EQ(*result->get(), 3);
  const std::unique_ptr<int> taken = std::move(result).value();
  EXPECT_EQ(*taken, 3);
}

Status fails_when(bool fail, bool& reached) {
  GRADSTAB_RETURN_IF_ERROR(fail ? Status(StatusCode::unsupported, "no") : Status());
  reached = true;
  return {};
}

TEST(StatusTest, ReturnIfErrorReturnsErrorsOnly) {
  bool reached = false;
  EXPECT_EQ(fails_when(true, reached).message(), "no");
  EXPECT_FALSE(reached);
  EXPECT_TRUE(fails_when(false, reached).ok());
  EXPECT_TRUE(reached);
}

}  // namespace
}  // namespace gradstab
