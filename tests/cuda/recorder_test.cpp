// Norms that a device has measured go into a recording, and nobody waits for the device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "emulated.hpp"
#include "gradstab/norm_recorder.hpp"
#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"

namespace gradstab::testing {
namespace {

struct Kept : RecordingSink {
  void header(const RecordingHeader&) override {}
  bool step(const RecordedStep& step) override {
    steps.push_back(step.step);
    norms.emplace_back(step.norms.begin(), step.norms.end());
    return true;
  }
  std::vector<std::int64_t> steps;
  std::vector<std::vector<double>> norms;
};

TEST(CudaRecorder, TakesTheReportOfAStepWhenItHasArrived) {
  const ParameterSet parameters = parameter_set_of_sizes({{4}, {2}});
  cuda::Transform transform(stabilize());
  ASSERT_TRUE(transform.init(parameters, emulated()).ok());
  Gradients gradients(parameters, DType::float32);
  const std::string path = (std::filesystem::temp_directory_path() /
                            ("gradstab_cuda_recorder_" + std::to_string(::getpid()) + ".gsnorms"))
                               .string();
  std::filesystem::remove(path);
  NormRecorder recorder = NormRecorder::open(path, parameters).value();
  std::int64_t requested = 0;
  const auto record_what_has_arrived = [&] {
    if (requested == 0 || !transform.report_is_ready().value()) return;
    ASSERT_TRUE(recorder.record(transform.report().value(), requested).ok());
    requested = 0;
  };
  for (std::int64_t step = 1; step <= 4; ++step) {
    const double scale = static_cast<double>(step);
    gradients.set(0, Values{3 * scale, 0, 4 * scale, 0});
    gradients.set(1, Values{0, 2 * scale});
    if (step == 3) gradients.set_absent(1);
    ASSERT_TRUE(transform.update(on_device(gradients.refs())).ok());
    record_what_has_arrived();
    if (requested == 0) {
      ASSERT_TRUE(transform.request_report().ok());
      requested = step;
    }
  }
  record_what_has_arrived();
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  Kept kept;
  RecordingReader reader;
  reader.feed(std::as_bytes(std::span(bytes)), kept).value();
  EXPECT_THAT(kept.steps, ::testing::ElementsAre(1, 2, 3, 4));
  for (std::size_t i = 0; i < kept.steps.size(); ++i) {
    const double scale = static_cast<double>(kept.steps[i]);
    EXPECT_EQ(kept.norms[i][0], 5 * scale);
    EXPECT_EQ(kept.norms[i][1], kept.steps[i] == 3 ? kNoGradient : 2 * scale);
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace gradstab::testing
