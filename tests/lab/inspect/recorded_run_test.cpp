// A run that is recorded and logged at the same time: both are inspected alike, and the recording says in
// which tensor a spike began.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "gradstab/norm_recorder.hpp"
#include "lab/inspect/analysis.hpp"
#include "lab/inspect/readers/open.hpp"
#include "lab/inspect/verdict.hpp"

namespace gradstab::lab::inspect {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::int64_t kSteps = 400;
constexpr std::int64_t kSpikeAt = 250;
const char* const kNames[] = {"embedding.weight", "layers.0.weight", "layers.1.weight"};
constexpr std::size_t kCulprit = 1;
constexpr std::size_t kElements = 64;

/// Descent on a noisy quadratic, in which the gradient of one tensor is 400 times too large in one step. What
/// it logs is computed here, in double.
class LoggedRun {
 public:
  explicit LoggedRun(const fs::path& recording) {
    std::vector<Parameter> list;
    for (const char* name : kNames) list.push_back({name, {static_cast<std::int64_t>(kElements)}});
    ParameterSet parameters = ParameterSet::create(std::move(list)).value();
    NormRecorder recorder =
        NormRecorder::open(recording.string(), parameters, {.facts = {{"optimizer", "sgd"}}}).value();
    std::mt19937 random(1);
    std::normal_distribution<double> noise(0.0, 1.0);
    std::vector<std::vector<double>> weights(3, std::vector<double>(kElements, 0.0));
    std::vector<std::vector<float>> gradients(3, std::vector<float>(kElements));
    for (std::int64_t step = 1; step <= kSteps; ++step) {
      double loss = 0.0;
      double squares = 0.0;
      std::string line;
      std::vector<TensorRef> refs;
      for (std::size_t t = 0; t < 3; ++t) {
        double sum = 0.0;
        for (std::size_t i = 0; i < kElements; ++i) {
          const double distance = weights[t][i] - 1.0;
          loss += distance * distance / static_cast<double>(kElements);
          const double scale = step == kSpikeAt && t == kCulprit ? 400.0 : 1.0;
          gradients[t][i] = static_cast<float>(scale * (2.0 * distance + noise(random)));
          sum += static_cast<double>(gradients[t][i]) * static_cast<double>(gradients[t][i]);
          weights[t][i] -= 0.01 * gradients[t][i];
        }
        squares += sum;
        line += fmt::format(R"(,"grad_norm/{}":{:.17g})", kNames[t], std::sqrt(sum));
        refs.push_back({.data = gradients[t].data(), .sizes = parameters[t].sizes, .strides = {}});
      }
      recorder.record(refs, step, loss).check();
      metrics += fmt::format(R"({{"step":{},"loss":{:.17g},"grad_norm":{:.17g}{}}})"
                             "\n",
                             step, loss, std::sqrt(squares), line);
    }
    recorder.close().check();
  }

  std::string metrics;
};

class RecordedRunTest : public ::testing::Test {
 protected:
  RecordedRunTest() {
    std::string name = (fs::temp_directory_path() / "gradstab_recorded_XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~RecordedRunTest() override { fs::remove_all(folder_); }
  fs::path folder_;
};

TEST_F(RecordedRunTest, IsInspectedAsItsMetricsAreAndNamesTheTensorOfTheSpike) {
  const fs::path path = folder_ / "run.gsnorms";
  const LoggedRun run(path);
  const auto traces = open_traces(path, {});
  ASSERT_TRUE(traces.ok()) << traces.status().message();
  const Findings recorded = analyse((*traces)[0], {}).value();
  const Findings logged = analyse(trace_of_bytes(run.metrics, "metrics", {}).value(), {}).value();

  ASSERT_EQ(recorded.event_count, 1);
  const Event& event = recorded.events[0];
  EXPECT_EQ(event.step, kSpikeAt);
  ASSERT_THAT(event.tensors, Not(IsEmpty()));
  EXPECT_EQ(event.tensors[0].name, kNames[kCulprit]);
  EXPECT_EQ(event.tensors[0].step, kSpikeAt);
  EXPECT_GT(event.tensors[0].ratio, 100.0);
  EXPECT_EQ(recorded.facts.optimizer, "sgd");

  // Sums of squares in another order differ by a few units in the last place; norms of tensors are float32
  // here.
  constexpr double kDouble = 1e-12;
  constexpr double kFloat = 4 * 0x1p-24;
  ASSERT_EQ(logged.event_count, 1);
  EXPECT_EQ(logged.events[0].step, event.step);
  EXPECT_EQ(logged.events[0].fate, event.fate);
  EXPECT_NEAR(logged.events[0].size, event.size, kDouble * event.size);
  EXPECT_EQ(logged.events[0].loss_at, event.loss_at);
  ASSERT_EQ(logged.events[0].tensors.size(), event.tensors.size());
  for (std::size_t i = 0; i < event.tensors.size(); ++i) {
    EXPECT_EQ(logged.events[0].tensors[i].name, event.tensors[i].name);
    EXPECT_NEAR(logged.events[0].tensors[i].ratio, event.tensors[i].ratio, kFloat * event.tensors[i].ratio);
  }
  EXPECT_EQ(logged.overview.records, recorded.overview.records);
  EXPECT_NEAR(logged.overview.median, recorded.overview.median, kDouble * recorded.overview.median);
  ASSERT_EQ(logged.effects.size(), recorded.effects.size());
  for (std::size_t i = 0; i < recorded.effects.size(); ++i) {
    EXPECT_NEAR(logged.effects[i].smallest, recorded.effects[i].smallest, kDouble);
    EXPECT_EQ(logged.effects[i].smallest_step, recorded.effects[i].smallest_step);
    EXPECT_EQ(logged.effects[i].shortened, recorded.effects[i].shortened);
  }
  EXPECT_EQ(logged.published.after_spikes.steps, recorded.published.after_spikes.steps);
  EXPECT_EQ(logged.robust.after_spikes.steps, recorded.robust.after_spikes.steps);
  EXPECT_EQ(logged.tensors.norms, recorded.tensors.norms);
  EXPECT_EQ(logged.tensors.most_held, recorded.tensors.most_held);
  EXPECT_EQ(judge(logged).headline, judge(recorded).headline);
  EXPECT_EQ(judge(logged).transform, judge(recorded).transform);
  EXPECT_EQ(judge(logged).reasons, judge(recorded).reasons);
}

}  // namespace
}  // namespace gradstab::lab::inspect
