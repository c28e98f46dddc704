// Run records and run directories made up for the tests of the report.
#pragma once

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "lab/run/formats.hpp"
#include "lab/run/run_record.hpp"

namespace gradstab::lab::testing {

/// A finished run of `count` steps whose figures follow from `loss`.
inline RunRecord make_run(const std::string& name, const std::string& transform, int seed, double loss,
                          std::int64_t count = 40) {
  RunRecord run;
  run.name = name;
  run.task = "llm";
  run.measures = measures_of_format_1(257);
  run.settings = {{"model", "1m"}, {"transform", transform}, {"seed", seed}, {"out", "runs/" + name}};
  run.environment = {{"torch", "1.13.1"}};
  for (std::int64_t step = 1; step <= count; ++step) {
    StepPoint point;
    point.step = step;
    point.loss = loss + 1.0 / static_cast<double>(step);
    point.grad_norm = step == count / 2 ? 123.0 : 1.0;
    point.stabilized_norm = 0.5;
    point.spikes = step == count / 2 ? 3 : 0;
    point.nonfinite = 0;
    point.seconds = 0.5 * static_cast<double>(step);
    point.samples_per_second = 12110;
    run.steps.push_back(point);
    if (step % 10 == 0)
      run.evaluations.push_back({step, {loss + 0.1 * static_cast<double>(count - step), 90.5}});
  }
  RunSummary summary;
  summary.state = "finished";
  summary.step = count;
  summary.final = {loss, std::exp(loss)};
  summary.best_score = loss;
  summary.spikes = 3;
  summary.nonfinite = 0;
  summary.seconds = 0.5 * static_cast<double>(count);
  summary.samples_per_second = 12110;
  run.summary = summary;
  return run;
}

/// A directory under the system's temporary folder that goes away with the object.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gradstab_report_XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void write(const std::string& file, std::string_view text) const { std::ofstream(path_ / file) << text; }

 private:
  std::filesystem::path path_;
};

}  // namespace gradstab::lab::testing
