// Recordings through the C interface: the bytes that C++ reads, and what is refused.
#include "gradstab/recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "gradstab/recording.hpp"
#include "gradstab/transform.hpp"
#include "support.hpp"

namespace gradstab::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

struct DestroyRecorder {
  void operator()(gradstab_recorder* recorder) const { gradstab_recorder_destroy(recorder); }
};
using RecorderHandle = std::unique_ptr<gradstab_recorder, DestroyRecorder>;

struct Kept : RecordingSink {
  struct Step {
    std::int64_t step;
    std::optional<double> loss;
    std::vector<double> norms;
  };
  void header(const RecordingHeader& header) override { headers.push_back(header); }
  bool step(const RecordedStep& step) override {
    steps.push_back({step.step, step.loss, {step.norms.begin(), step.norms.end()}});
    return true;
  }
  std::vector<RecordingHeader> headers;
  std::vector<Step> steps;
};

/// Tasks in the calling thread, counted.
void run_counted(size_t count, gradstab_task task, void* context, void* user) {
  ++*static_cast<int*>(user);
  for (size_t i = 0; i < count; ++i) task(context, i);
}

class CRecorderTest : public ::testing::Test {
 protected:
  CRecorderTest() {
    std::string name = (fs::temp_directory_path() / "gradstab_c_recorder_XXXXXX").string();
    folder_ = mkdtemp(name.data());
    path_ = (folder_ / "norms.gsnorms").string();
  }
  ~CRecorderTest() override { fs::remove_all(folder_); }

  RecorderHandle open(const gradstab_recorder_options* options = nullptr) {
    gradstab_recorder* recorder = nullptr;
    EXPECT_EQ(gradstab_recorder_open(path_.c_str(), kParameters, 2, options, &recorder), GRADSTAB_OK)
        << gradstab_recorder_last_error(nullptr);
    return RecorderHandle(recorder);
  }
  std::string refusal(const gradstab_recorder_options& options) {
    gradstab_recorder* recorder = nullptr;
    EXPECT_NE(gradstab_recorder_open(path_.c_str(), kParameters, 2, &options, &recorder), GRADSTAB_OK);
    EXPECT_EQ(recorder, nullptr);
    EXPECT_FALSE(fs::exists(path_));
    return gradstab_recorder_last_error(nullptr);
  }
  void read(Kept& kept) const {
    std::ifstream file(path_, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    RecordingReader reader;
    reader.feed(std::as_bytes(std::span(bytes)), kept).value();
    EXPECT_EQ(reader.whole_bytes(), bytes.size());
  }

  fs::path folder_;
  std::string path_;
};

TEST_F(CRecorderTest, RecordsInAllWays) {
  const gradstab_recording_fact facts[] = {{"optimizer", "AdamW"}, {"beta2", "0.95"}};
  gradstab_recorder_options options = {};
  options.struct_size = sizeof options;
  options.facts = facts;
  options.fact_count = 2;
  int runs = 0;
  gradstab_run_options run = {};
  run.struct_size = sizeof run;
  run.run = run_counted;
  run.user = &runs;
  run.concurrency = 2;
  options.run = &run;
  const RecorderHandle recorder = open(&options);
  Pair pair;
  const double loss = 2.5;
  EXPECT_EQ(gradstab_recorder_record_pointers(recorder.get(), pair.pointers, 2, GRADSTAB_FLOAT32, 10, &loss),
            GRADSTAB_OK);
  EXPECT_GT(runs, 0) << "the engine's own threads";
  pair.tensors[0].data = nullptr;
  EXPECT_EQ(gradstab_recorder_record(recorder.get(), pair.tensors, 2, GRADSTAB_NO_STEP, nullptr),
            GRADSTAB_OK);
  // A transform's report: the norms before it, NaN as well.
  const Handle stabilizer = initialised(GRADSTAB_PASS_THROUGH);
  pair.bias[0] = std::nanf("");
  gradstab_step_report report = empty_report();
  ASSERT_TRUE(
      accepted(gradstab_update_pointers(stabilizer.get(), pair.pointers, 2, GRADSTAB_FLOAT32, 1, &report),
               stabilizer.get()));
  EXPECT_EQ(gradstab_recorder_record_report(recorder.get(), &report, 12, nullptr), GRADSTAB_OK);
  EXPECT_STREQ(gradstab_recorder_last_error(recorder.get()), "");
  Kept kept;
  read(kept);
  ASSERT_THAT(kept.headers, SizeIs(1));
  EXPECT_THAT(kept.headers[0].tensors,
              ElementsAre(RecordedTensor{"weight", 6, "float32"}, RecordedTensor{"bias", 2, "float32"}));
  EXPECT_EQ(kept.headers[0].fact("beta2"), "0.95");
  ASSERT_THAT(kept.steps, SizeIs(3));
  const double weight = std::sqrt(91.0);
  const double bias = std::sqrt(0.5);
  EXPECT_EQ(kept.steps[0].step, 10);
  EXPECT_EQ(kept.steps[0].loss, 2.5);
  EXPECT_NEAR(kept.steps[0].norms[0], weight, 0x1p-24 * weight);
  EXPECT_NEAR(kept.steps[0].norms[1], bias, 0x1p-24 * bias);
  EXPECT_EQ(kept.steps[1].step, 11);
  EXPECT_EQ(kept.steps[1].loss, std::nullopt);
  EXPECT_EQ(kept.steps[1].norms[0], kNoGradient);
  EXPECT_EQ(kept.steps[2].step, 12);
  EXPECT_NEAR(kept.steps[2].norms[0], weight, 0x1p-24 * weight);
  EXPECT_TRUE(std::isnan(kept.steps[2].norms[1]));
}

TEST_F(CRecorderTest, TakesOtherParametersAndEveryNthStep) {
  gradstab_recorder_options options = {};
  options.struct_size = sizeof options;
  options.every = 2;
  const RecorderHandle recorder = open(&options);
  Pair pair;
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(gradstab_recorder_record_pointers(recorder.get(), pair.pointers, 2, GRADSTAB_FLOAT32,
                                                GRADSTAB_NO_STEP, nullptr),
              GRADSTAB_OK);
  EXPECT_EQ(gradstab_recorder_rebind(recorder.get(), kParameters, 1), GRADSTAB_OK);
  EXPECT_EQ(gradstab_recorder_record_pointers(recorder.get(), pair.pointers, 2, GRADSTAB_FLOAT32, 4, nullptr),
            GRADSTAB_SHAPE_MISMATCH);
  EXPECT_STREQ(gradstab_recorder_last_error(recorder.get()), "got 2 gradients for 1 registered parameters");
  EXPECT_EQ(gradstab_recorder_record_pointers(recorder.get(), pair.pointers, 1, GRADSTAB_FLOAT32, 4, nullptr),
            GRADSTAB_OK);
  Kept kept;
  read(kept);
  ASSERT_THAT(kept.steps, SizeIs(2));
  EXPECT_EQ(kept.steps[0].step, 2);
  EXPECT_THAT(kept.steps[1].norms, SizeIs(1));
  EXPECT_EQ(kept.headers.back().fact("every"), "2");
}

TEST_F(CRecorderTest, SaysWhatIsWrong) {
  gradstab_recorder* made = nullptr;
  EXPECT_EQ(gradstab_recorder_open(nullptr, kParameters, 2, nullptr, &made), GRADSTAB_INVALID_ARGUMENT);
  EXPECT_STREQ(gradstab_recorder_last_error(nullptr), "path is NULL, expected the name of a file");
  EXPECT_EQ(gradstab_recorder_open(path_.c_str(), kParameters, 2, nullptr, nullptr),
            GRADSTAB_INVALID_ARGUMENT);
  EXPECT_EQ(gradstab_recorder_open(folder_.c_str(), kParameters, 2, nullptr, &made), GRADSTAB_IO_ERROR);
  EXPECT_THAT(gradstab_recorder_last_error(nullptr), HasSubstr("is no regular file"));
  gradstab_recorder_options options = {};
  EXPECT_THAT(refusal(options), HasSubstr("struct_size of gradstab_recorder_options is 0"));
  options.struct_size = sizeof options;
  options.every = -1;
  EXPECT_EQ(refusal(options), "every must be at least 1, got -1");
  options.every = 1;
  options.fact_count = 1;
  EXPECT_EQ(refusal(options), "facts is NULL, expected an array of 1");
  const gradstab_recording_fact half = {"optimizer", nullptr};
  options.facts = &half;
  EXPECT_EQ(refusal(options), "value of fact 'optimizer' is NULL, expected a text");

  EXPECT_EQ(gradstab_recorder_record(nullptr, nullptr, 0, 1, nullptr), GRADSTAB_INVALID_ARGUMENT);
  EXPECT_STREQ(gradstab_recorder_last_error(nullptr), "recorder is NULL, expected a recorder");
  const RecorderHandle recorder = open();
  Pair pair;
  EXPECT_EQ(gradstab_recorder_record(recorder.get(), nullptr, 2, 1, nullptr), GRADSTAB_INVALID_ARGUMENT);
  EXPECT_EQ(gradstab_recorder_record_report(recorder.get(), nullptr, 1, nullptr), GRADSTAB_INVALID_ARGUMENT);
  pair.tensors[0].device = GRADSTAB_CUDA;
  EXPECT_EQ(gradstab_recorder_record(recorder.get(), pair.tensors, 2, 1, nullptr), GRADSTAB_UNSUPPORTED);
  EXPECT_EQ(gradstab_recorder_close(recorder.get()), GRADSTAB_OK);
  EXPECT_EQ(gradstab_recorder_close(recorder.get()), GRADSTAB_OK);
  EXPECT_EQ(gradstab_recorder_record_pointers(recorder.get(), pair.pointers, 2, GRADSTAB_FLOAT32, 1, nullptr),
            GRADSTAB_FAILED_PRECONDITION);
  EXPECT_EQ(gradstab_recorder_close(nullptr), GRADSTAB_INVALID_ARGUMENT);
  gradstab_recorder_destroy(nullptr);
}

}  // namespace
}  // namespace gradstab::testing
