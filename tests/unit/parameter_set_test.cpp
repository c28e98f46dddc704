#include <gtest/gtest.h>

#include "gradstab/tensor.hpp"

namespace gradstab {
namespace {

Status error_of(std::vector<Parameter> parameters) {
  return ParameterSet::create(std::move(parameters)).status();
}

TEST(ParameterSetTest, KeepsTheGivenOrderAndFindsByName) {
  const ParameterSet set = ParameterSet::create({{"z", {2}}, {"a", {}}, {"m.weight", {3, 0}}}).value();
  ASSERT_EQ(set.size(), 3u);
  EXPECT_EQ(set[0].name, "z");
  EXPECT_EQ(set[2].sizes, (std::vector<std::int64_t>{3, 0}));
  EXPECT_EQ(set.find("z"), 0);
  EXPECT_EQ(set.find("a"), 1);
  EXPECT_EQ(set.find("m.weight"), 2);
  EXPECT_EQ(set.find("m"), -1);
  EXPECT_EQ(set.find(""), -1);
  EXPECT_EQ(ParameterSet().find("a"), -1);
}

TEST(ParameterSetTest, CopiesFindTheirOwnNames) {
  ParameterSet copy;
  {
    const ParameterSet original = ParameterSet::create({{"b", {1}}, {"a", {2}}}).value();
    copy = original;
  }
  EXPECT_EQ(copy.find("a"), 1);
  EXPECT_EQ(copy.find("b"), 0);
}

TEST(ParameterSetTest, RefusesSizesWhoseProductCouldOverflow) {
  constexpr std::int64_t large = std::int64_t{1} << 59;
  EXPECT_TRUE(error_of({{"w", {large, 2}}}).ok());
  EXPECT_TRUE(error_of({{"w", {large, 0, 2}}}).ok());
  for (const std::vector<std::int64_t>& sizes :
       {std::vector<std::int64_t>{large, 3}, {large, 0, 3}, {4 * large, 4}, {3, large}}) {
    const Status status = error_of({{"w", sizes}});
    EXPECT_EQ(status.code(), StatusCode::invalid_argument);
    EXPECT_EQ(status.message(),
              "parameter 'w' has shape " + shape_text(sizes) + ", expected at most 2^60 elements");
  }
}

TEST(ParameterSetTest, RefusesARepeatedName) {
  const Status status = error_of({{"w", {1}}, {"b", {1}}, {"w", {2}}});
  EXPECT_EQ(status.code(), StatusCode::invalid_argument);
  EXPECT_EQ(status.message(), "parameter name 'w' is used twice; names must be unique");
}

TEST(ParameterSetTest, RefusesAnEmptyNameAndSaysWhere) {
  const Status status = error_of({{"w", {1}}, {"", {1}}});
  EXPECT_EQ(status.code(), StatusCode::invalid_argument);
  EXPECT_EQ(status.message(), "parameter 1 has an empty name");
}

TEST(ParameterSetTest, RefusesANegativeSizeAndSaysWhichShape) {
  const Status status = error_of({{"w", {4, -1}}});
  EXPECT_EQ(status.code(), StatusCode::invalid_argument);
  EXPECT_EQ(status.message(), "parameter 'w' has a negative size in [4, -1]");
}

TEST(ParameterSetTest, ShapesReadAsLists) {
  EXPECT_EQ(shape_text({}), "[]");
  EXPECT_EQ(shape_text({5}), "[5]");
  EXPECT_EQ(shape_text({4096, 1024}), "[4096, 1024]");
}

}  // namespace
}  // namespace gradstab
