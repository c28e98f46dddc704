// A report of many runs takes work in proportion to them, counted in allocations, which unlike seconds come
// out the same on every machine.
#include <gtest/gtest.h>

#include "lab/report/report.hpp"
#include "tests/lab/run/test_runs.hpp"
#include "tests/support/replaced_new.hpp"

namespace gradstab::lab {
namespace {

/// Runs that differ in one setting, as a sweep over it leaves them.
std::vector<RunRecord> sweep_over(const char* setting, int count) {
  std::vector<RunRecord> runs;
  for (int i = 0; i < count; ++i) {
    RunRecord run = testing::make_run("run " + std::to_string(i), "stabilize", 0, 4.0 + 0.001 * i, 10);
    run.settings[setting] = i;
    run.command = "gradstab train llm";
    for (int key = 0; key < 40; ++key) run.settings["setting " + std::to_string(key)] = key;
    for (int key = 0; key < 5; ++key) run.settings["unset " + std::to_string(key)] = nullptr;
    runs.push_back(std::move(run));
  }
  return runs;
}

/// Allocations of a report of `count` runs.
double work(const char* setting, int count) {
  const std::vector<RunRecord> runs = sweep_over(setting, count);
  const std::size_t before = gradstab::testing::allocations();
  EXPECT_TRUE(render_report(runs, {}).ok());
  return static_cast<double>(gradstab::testing::allocations() - before);
}

class ReportWorkTest : public ::testing::TestWithParam<const char*> {};

TEST_P(ReportWorkTest, GrowsAsTheNumberOfRuns) {
  // Twice the runs take twice the work; quadratic work would take four times as much.
  const double fewer = work(GetParam(), 200);
  const double more = work(GetParam(), 400);
  EXPECT_GT(more / fewer, 1.8);
  EXPECT_LT(more / fewer, 2.2);
}

INSTANTIATE_TEST_SUITE_P(, ReportWorkTest, ::testing::Values("seed", "lr"));

}  // namespace
}  // namespace gradstab::lab
