// NormRecorder: what gets into the file, and that the file survives whatever ends its writer.
#include "gradstab/norm_recorder.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"

namespace gradstab {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::Gradients;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

struct Kept : RecordingSink {
  struct Step {
    std::int64_t step;
    std::optional<double> loss;
    double global_norm;
    std::vector<double> norms;
    bool operator==(const Step&) const = default;
  };
  void header(const RecordingHeader& header) override { headers.push_back(header); }
  bool step(const RecordedStep& step) override {
    steps.push_back({step.step, step.loss, step.global_norm, {step.norms.begin(), step.norms.end()}});
    return true;
  }
  std::vector<std::int64_t> numbers() const {
    std::vector<std::int64_t> list;
    for (const Step& each : steps) list.push_back(each.step);
    return list;
  }

  std::vector<RecordingHeader> headers;
  std::vector<Step> steps;
  RecordingReader reader;
};

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

class NormRecorderTest : public ::testing::Test {
 protected:
  NormRecorderTest() {
    std::string name = (fs::temp_directory_path() / "gradstab_recorder_XXXXXX").string();
    folder_ = mkdtemp(name.data());
    path_ = (folder_ / "norms.gsnorms").string();
  }
  ~NormRecorderTest() override { fs::remove_all(folder_); }

  NormRecorder open(NormRecorderOptions options = {}) {
    return NormRecorder::open(path_, parameters_, std::move(options)).value();
  }
  Status refusal(const std::string& path) { return NormRecorder::open(path, parameters_).status(); }
  void read(Kept& kept) const {
    const std::string bytes = bytes_of(path_);
    kept.reader.feed(std::as_bytes(std::span(bytes)), kept).value();
  }

  fs::path folder_;
  std::string path_;
  const ParameterSet parameters_ = testing::parameter_set_of_sizes({{2, 3}, {2}});
};

TEST_F(NormRecorderTest, RecordsWhatTheGradientsHaveInEveryDTypeAndLayout) {
  for (const DType dtype : {DType::float32, DType::float64, DType::float16, DType::bfloat16}) {
    fs::remove(path_);
    Gradients gradients(parameters_, dtype);
    gradients.set_all({{1, 2, 4, 2, 4, 8}, {3, 4}});  // norms that every dtype has: 5 and the root of 105
    NormRecorder recorder = open();
    ASSERT_TRUE(recorder.record(gradients.refs(), 4, 2.5).ok());
    // Transposed memory, and no gradient.
    const std::vector<std::int64_t> strides = {1, 2};
    gradients.mutable_refs()[0].strides = strides;
    gradients.mutable_refs()[1].data = nullptr;
    ASSERT_TRUE(recorder.record(gradients.refs()).ok());
    Kept kept;
    read(kept);
    ASSERT_THAT(kept.headers, SizeIs(1));
    const std::string name(to_string(dtype));
    EXPECT_THAT(kept.headers[0].tensors, ElementsAre(RecordedTensor{parameters_[0].name, 6, name},
                                                     RecordedTensor{parameters_[1].name, 2, name}));
    EXPECT_EQ(kept.headers[0].fact("library"), "gradstab " GRADSTAB_VERSION);
    EXPECT_THAT(kept.numbers(), ElementsAre(4, 5));
    const double root = std::sqrt(105.0);
    EXPECT_NEAR(kept.steps[0].norms[0], root, 0x1p-24 * root);
    EXPECT_EQ(kept.steps[0].norms[1], 5.0);
    // Three roundings of a double: the square root, its square, and the sum's root.
    EXPECT_NEAR(kept.steps[0].global_norm, std::sqrt(130.0), 4 * 0x1p-53 * std::sqrt(130.0));
    EXPECT_EQ(kept.steps[0].loss, 2.5);
    EXPECT_NEAR(kept.steps[1].norms[0], root, 0x1p-24 * root);
    EXPECT_EQ(kept.steps[1].norms[1], kNoGradient);
    EXPECT_EQ(kept.steps[1].loss, std::nullopt);
  }
}

TEST_F(NormRecorderTest, NeitherChangesGradientsNorMindsNaN) {
  Gradients gradients(parameters_, DType::float32);
  gradients.set_all({{1, kNaN, 3, 4, 5, 6}, {HUGE_VAL, 4}});
  NormRecorder recorder = open();
  ASSERT_TRUE(recorder.record(gradients.refs()).ok());
  EXPECT_EQ(gradients.values(0)[2], 3.0);
  EXPECT_TRUE(std::isnan(gradients.values(0)[1]));
  Kept kept;
  read(kept);
  ASSERT_THAT(kept.steps, SizeIs(1));
  EXPECT_TRUE(std::isnan(kept.steps[0].norms[0]));
  EXPECT_EQ(kept.steps[0].norms[1], HUGE_VAL);
  EXPECT_TRUE(std::isnan(kept.steps[0].global_norm));
}

TEST_F(NormRecorderTest, TakesTheNormsOfATransformBeforeItsFactors) {
  GradientTransform transform = chain(scale_by(10.0), stabilize());
  ASSERT_TRUE(transform.init(parameters_).ok());
  Gradients gradients(parameters_, DType::float32);
  NormRecorder recorder = open();
  for (int step = 1; step <= 3; ++step) {
    gradients.set_all({{3, 0, 0, 4, 0, 0}, {0, static_cast<double>(step)}});
    ASSERT_TRUE(recorder.record(transform.update(gradients.refs()).value()).ok());
  }
  Kept kept;
  read(kept);
  ASSERT_THAT(kept.steps, SizeIs(3));
  for (int i = 0; i < 3; ++i)
    EXPECT_THAT(kept.steps[static_cast<std::size_t>(i)].norms, ElementsAre(5.0, i + 1.0));
  GradientTransform other = stabilize();
  ASSERT_TRUE(other.init(testing::parameter_set_of_sizes({{2}})).ok());
  EXPECT_EQ(recorder.record(other.report()).message(),
            "got a report of 1 tensors for 2 registered parameters");
}

TEST_F(NormRecorderTest, RecordsEveryNthStep) {
  NormRecorder recorder = open({.every = 3});
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(recorder.record_norms(std::vector{1.0, 2.0}).ok());
  EXPECT_FALSE(recorder.records_step(100));
  EXPECT_TRUE(recorder.records_step(102));
  ASSERT_TRUE(recorder.record_norms(std::vector{1.0, 2.0}, 100).ok());
  ASSERT_TRUE(recorder.record_norms(std::vector{1.0, 2.0}, 102).ok());
  Kept kept;
  read(kept);
  EXPECT_THAT(kept.numbers(), ElementsAre(3, 6, 102));
  EXPECT_EQ(kept.headers[0].fact("every"), "3");
  EXPECT_EQ(NormRecorder::open(path_, parameters_, {.every = 0}).status().message(),
            "every must be at least 1, got 0");
}

TEST_F(NormRecorderTest, GoesOnWhereItsFileEndsAfterItWasCutOffAnywhere) {
  std::vector<std::size_t> ends;
  {
    NormRecorder recorder = open();
    for (int i = 1; i <= 4; ++i) {
      ASSERT_TRUE(recorder.record_norms(std::vector{i * 1.0, i % 2 ? kNoGradient : 2.0}, {}, i * 0.5).ok());
      ends.push_back(fs::file_size(path_));
    }
    ASSERT_TRUE(recorder.close().ok());
  }
  const std::string whole = bytes_of(path_);
  ASSERT_EQ(whole.size(), ends[3]);
  for (std::size_t size = ends[1]; size <= whole.size(); ++size) {
    write(path_, std::string_view(whole).substr(0, size));
    const std::int64_t left = size == ends[3] ? 4 : size >= ends[2] ? 3 : 2;
    NormRecorder recorder = open();
    EXPECT_EQ(recorder.next_step(), left + 1) << size;
    EXPECT_EQ(fs::file_size(path_), ends[static_cast<std::size_t>(left) - 1]) << "the piece is cut off";
    ASSERT_TRUE(recorder.record_norms(std::vector{9.0, 1.0}).ok());
    Kept kept;
    read(kept);
    ASSERT_EQ(kept.steps.size(), static_cast<std::size_t>(left) + 1) << size;
    for (std::int64_t i = 1; i <= left; ++i)
      EXPECT_EQ(kept.steps[static_cast<std::size_t>(i) - 1].norms[0], i);
    EXPECT_EQ(kept.steps.back().step, left + 1);
    EXPECT_EQ(kept.steps.back().norms[0], 9.0);
    EXPECT_THAT(kept.headers, SizeIs(1)) << "the same tensors have one header";
    EXPECT_EQ(kept.reader.damaged_places(), 0);
    EXPECT_EQ(kept.reader.pending_bytes(), 0u);
  }
}

TEST_F(NormRecorderTest, DamageInTheMiddleStaysAndIsWrittenBehind) {
  {
    NormRecorder recorder = open();
    for (int i = 1; i <= 3; ++i) ASSERT_TRUE(recorder.record_norms(std::vector{1.0, 2.0}).ok());
  }
  std::string bytes = bytes_of(path_);
  bytes[bytes.size() - 60] ^= 1;  // in the second step
  write(path_, bytes);
  {
    NormRecorder recorder = open();
    ASSERT_TRUE(recorder.record_norms(std::vector{1.0, 2.0}).ok());
  }
  Kept kept;
  read(kept);
  EXPECT_THAT(kept.numbers(), ElementsAre(1, 3, 4));
  EXPECT_EQ(kept.reader.damaged_places(), 1);
}

TEST_F(NormRecorderTest, OtherTensorsAndFactsGetANewHeader) {
  {
    NormRecorder recorder = open({.facts = {{"optimizer", "AdamW"}}});
    ASSERT_TRUE(recorder.record_norms(std::vector{1.0, 2.0}).ok());
    ASSERT_TRUE(recorder.set_parameters(testing::parameter_set_of_sizes({{2, 3}, {2}, {5}})).ok());
    ASSERT_TRUE(recorder.record_norms(std::vector{1.0, 2.0, 3.0}).ok());
    EXPECT_EQ(recorder.record_norms(std::vector{1.0, 2.0}).message(),
              "got 2 norms for 3 registered parameters");
    recorder.set_facts({{"optimizer", "SGD"}});
    recorder.set_dtypes({"float16", "", "float8_e5m2"});
    ASSERT_TRUE(recorder.record_norms(std::vector{1.0, 2.0, 3.0}).ok());
  }
  Kept kept;
  read(kept);
  ASSERT_THAT(kept.headers, SizeIs(3));
  EXPECT_THAT(kept.headers[0].tensors, SizeIs(2));
  EXPECT_THAT(kept.headers[1].tensors, SizeIs(3));
  EXPECT_EQ(kept.headers[1].fact("optimizer"), "AdamW");
  EXPECT_EQ(kept.headers[2].fact("optimizer"), "SGD");
  EXPECT_EQ(kept.headers[2].tensors[2].dtype, "float8_e5m2");
  EXPECT_THAT(kept.numbers(), ElementsAre(1, 2, 4));
}

TEST_F(NormRecorderTest, AnotherFileIsRefusedAndLeftAlone) {
  for (const std::string& content : {std::string("step,loss\n1,2\n"), std::string("x")}) {
    write(path_, content);
    const Status status = refusal(path_);
    EXPECT_EQ(status.code(), StatusCode::corrupt_data);
    EXPECT_THAT(status.message(), HasSubstr("is no recording of norms"));
    EXPECT_THAT(status.message(), HasSubstr(path_));
    EXPECT_EQ(bytes_of(path_), content);
  }
}

TEST_F(NormRecorderTest, WhatCannotBeWrittenIsSaidWhenItIsOpened) {
  EXPECT_THAT(refusal((folder_ / "none" / "file").string()).message(),
              HasSubstr("none/file': No such file or directory"));
  EXPECT_EQ(refusal(folder_.string()).code(), StatusCode::io_error);
  EXPECT_THAT(refusal("/dev/full").message(), HasSubstr("is no regular file"));
  const NormRecorder recorder = open();
  EXPECT_THAT(refusal(path_).message(), HasSubstr("is being written by another recorder"));
  EXPECT_FALSE(NormRecorder::open((folder_ / "other").string(), parameters_, {.backend = "abacus"}).ok());
  EXPECT_FALSE(fs::exists(folder_ / "other")) << "nothing is made for nothing";
}

/// No file grows beyond this while it lives: a write fails in its middle, as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

TEST_F(NormRecorderTest, AFullDiskLosesOneStepAndLeavesAWholeFile) {
  NormRecorder recorder = open();
  ASSERT_TRUE(recorder.record_norms(std::vector{1.0, 2.0}).ok());
  const auto size = fs::file_size(path_);
  {
    const FileSizeLimit limit(size + 10);
    const Status status = recorder.record_norms(std::vector{3.0, 4.0});
    EXPECT_EQ(status.code(), StatusCode::io_error);
    EXPECT_THAT(status.message(), HasSubstr("cannot write '" + path_));
    EXPECT_EQ(fs::file_size(path_), size);
  }
  ASSERT_TRUE(recorder.record_norms(std::vector{5.0, 6.0}).ok());
  Kept kept;
  read(kept);
  EXPECT_THAT(kept.numbers(), ElementsAre(1, 3));
  EXPECT_EQ(kept.reader.damaged_places(), 0);
}

TEST_F(NormRecorderTest, WrongTensorsAreErrorsAndTheNextStepIsRecorded) {
  Gradients gradients(parameters_, DType::float32);
  gradients.set_all({{1, 2, 3, 4, 5, 6}, {3, 4}});
  NormRecorder recorder = open();
  EXPECT_EQ(recorder.record(std::span(gradients.refs()).first(1)).code(), StatusCode::shape_mismatch);
  EXPECT_EQ(recorder.record(gradients.refs(), -1).code(), StatusCode::invalid_argument);
  ASSERT_TRUE(recorder.record(gradients.refs()).ok());
  Kept kept;
  read(kept);
  EXPECT_THAT(kept.numbers(), ElementsAre(2));
}

TEST_F(NormRecorderTest, ClosesOnce) {
  NormRecorder recorder = open();
  EXPECT_TRUE(recorder.close().ok());
  EXPECT_TRUE(recorder.close().ok());
  EXPECT_THAT(recorder.record_norms(std::vector{1.0, 2.0}).message(), HasSubstr("has been closed"));
  EXPECT_TRUE(refusal(path_).ok()) << "the lock is gone";
}

TEST_F(NormRecorderTest, AForkedProcessDoesNotWrite) {
  NormRecorder recorder = open();
  ASSERT_TRUE(recorder.record_norms(std::vector{1.0, 2.0}).ok());
  const pid_t child = fork();
  if (child == 0) {
    const Status status = recorder.record_norms(std::vector{3.0, 4.0});
    _exit(status.code() == StatusCode::failed_precondition && recorder.close().ok() ? 0 : 1);
  }
  int result = -1;
  ASSERT_EQ(waitpid(child, &result, 0), child);
  EXPECT_EQ(result, 0);
  ASSERT_TRUE(recorder.record_norms(std::vector{5.0, 6.0}).ok());
  Kept kept;
  read(kept);
  EXPECT_THAT(kept.numbers(), ElementsAre(1, 2));
}

TEST_F(NormRecorderTest, AKilledProcessLeavesAWholeFile) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    NormRecorder recorder = open();
    for (std::int64_t step = 1;; ++step) {
      const double norm = static_cast<double>(step);
      if (!recorder.record_norms(std::vector{norm, 2 * norm}, step).ok()) _exit(1);
      if (step == 1000 && ::write(ready[1], "x", 1) != 1) _exit(2);
    }
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  ASSERT_EQ(kill(child, SIGKILL), 0);
  int result = 0;
  ASSERT_EQ(waitpid(child, &result, 0), child);
  EXPECT_TRUE(WIFSIGNALED(result));
  close(ready[0]);
  close(ready[1]);
  Kept kept;
  read(kept);
  EXPECT_GE(kept.steps.size(), 1000u) << "every step that was recorded is there";
  for (std::size_t i = 0; i < kept.steps.size(); ++i) {
    EXPECT_EQ(kept.steps[i].step, static_cast<std::int64_t>(i) + 1);
    EXPECT_EQ(kept.steps[i].norms[0], static_cast<double>(i) + 1.0);
  }
  EXPECT_EQ(kept.reader.damaged_places(), 0);
  NormRecorder recorder = open();
  EXPECT_EQ(recorder.next_step(), static_cast<std::int64_t>(kept.steps.size()) + 1);
}

}  // namespace
}  // namespace gradstab
