#include <gtest/gtest.h>

#include "gradstab/export.hpp"

namespace {

TEST(VersionTest, HeaderAndBuildAgree) {
  EXPECT_STREQ(GRADSTAB_VERSION, GRADSTAB_CMAKE_VERSION);
}

}  // namespace
