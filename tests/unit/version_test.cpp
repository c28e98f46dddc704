#include "gradstab/version.hpp"

#include <gtest/gtest.h>

namespace {

TEST(VersionTest, HeaderAndBuildAgree) {
  EXPECT_STREQ(GRADSTAB_VERSION, GRADSTAB_CMAKE_VERSION);
}

}  // namespace
