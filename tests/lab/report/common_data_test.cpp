#include "lab/report/common_data.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gradstab::lab {
namespace {

using ::testing::HasSubstr;

TEST(CommonDataTest, RunsOfOneTextHaveOneSum) {
  const auto run = [](const std::string& name, const std::string& data, const char* sum) {
    RunRecord record;
    record.name = name;
    record.task = "llm";
    record.settings = {{"data", data}, {"tokenizer", "bytes"}};
    if (sum != nullptr) record.data = {{"sha256", sum}};
    return record;
  };
  EXPECT_TRUE(check_common_data({}).ok());
  std::vector<RunRecord> runs = {run("a", "x.txt", "1"), run("b", "y.txt", "2"), run("c", "x.txt", nullptr),
                                 run("d", "x.txt", "1")};
  EXPECT_TRUE(check_common_data(runs).ok()) << "older runs, and other texts, have nothing to compare";
  runs.push_back(run("e", "x.txt", "3"));
  EXPECT_THAT(check_common_data(runs).message(),
              HasSubstr("runs 'a' and 'e' were trained on different data"));
}

TEST(CommonDataTest, RunsOfOtherTasksAreNotCompared) {
  std::vector<RunRecord> runs(2);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    runs[i].task = "of another program";
    runs[i].data = {{"sha256", i}};
  }
  EXPECT_TRUE(check_common_data(runs).ok());
}

}  // namespace
}  // namespace gradstab::lab
