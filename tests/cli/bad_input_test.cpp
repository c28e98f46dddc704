// Wrong input: one clear line, the right exit code, nothing half-written, nothing overwritten.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "program.hpp"

namespace gradstab::testing_cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class BadInputTest : public testing::Test {
 protected:
  /// Runs and expects one line on standard error.
  void expect_refused(const std::vector<std::string>& arguments, int exit_code,
                      const testing::Matcher<std::string>& message) {
    check(folder_.run(arguments), exit_code, message);
  }

  static void check(const Outcome& outcome, int exit_code, const testing::Matcher<std::string>& message) {
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
    EXPECT_THAT(outcome.err, message);
    // Progress lines may come first; the message itself is the last line and the only one that begins like
    // this.
    const std::size_t last = outcome.err.rfind("gradstab: ");
    ASSERT_NE(last, std::string::npos) << outcome.err;
    EXPECT_EQ(outcome.err.find('\n', last), outcome.err.size() - 1) << "more than one line: " << outcome.err;
    EXPECT_EQ(outcome.err.find("gradstab: "), last);
  }

  void expect_no_run(const std::string& name) {
    EXPECT_FALSE(std::filesystem::exists(folder_.path() / name));
  }

  /// A finished run of three updates.
  void make_run(const std::string& name) {
    const Outcome outcome = folder_.run(Folder::train(name, {"--steps", "3"}));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    // Resuming must not stop at "already finished".
    std::filesystem::remove(folder_.path() / name / "summary.json");
  }

  std::filesystem::path checkpoint(const std::string& run) {
    return folder_.path() / run / "checkpoint.gsck";
  }

  Folder folder_;
};

TEST_F(BadInputTest, UnknownFlag) {
  expect_refused({"train", "llm", "--learning-rate", "1"}, 2, HasSubstr("--learning-rate"));
  expect_refused({"trian"}, 2, HasSubstr("trian"));
}

TEST_F(BadInputTest, ADeviceThatIsNotThere) {
  if (std::filesystem::exists("/dev/nvidia0")) GTEST_SKIP() << "it is there";
  const auto none =
      testing::AnyOf(HasSubstr("gradstab: --device cuda: this LibTorch was built without CUDA\n"),
                     HasSubstr("gradstab: --device cuda: LibTorch found no CUDA device\n"));
  expect_refused(Folder::train("run", {"--device", "cuda"}), 1, none);
  expect_no_run("run");
  expect_refused({"sweep", "llm", "--over", "seed=0..2", "--device", "cuda", "--output", "sweep"}, 1, none);
  expect_no_run("sweep");
}

TEST_F(BadInputTest, Settings) {
  const auto refused = [&](const char* flag, const char* value, const char* expected) {
    expect_refused(Folder::train("run", {flag, value}), 2, AllOf(HasSubstr(expected), HasSubstr(value)));
    expect_no_run("run");
  };
  refused("--device", "gpu", "device must be cpu, cuda or cuda:N");
  refused("--gamma1", "1.5", "gamma1 must be in [0, 1)");
  refused("--kappa", "0.5", "kappa must be 0 (off) or finite and above 1, got 0.5");
  refused("--granularity", "column",
          "granularity of stabilize must be one of 'tensor', 'row', 'group', 'model', got 'column'");
  refused("--inject-spikes", "7", "inject_spikes must be UPDATE:FACTOR");
  refused("--inject-spikes", "0:2", "got '0:2'");
  refused("--gamma2", "-0.1", "gamma2 must be in [0, 1)");
  refused("--lr", "-0.001", "lr must be finite and above 0");
  refused("--lr", "fast", "--lr");
  refused("--steps", "0", "steps must be at least 1");
  refused("--transform", "zclipp", "'zclipp' is no method of this library; did you mean zclip?");
  refused("--transform", "zclip(z_tresh=3)", "did you mean z_threshold, which must be finite and above 0?");
  refused("--transform", "zclip(z_threshold=-1)", "z_threshold must be finite and above 0, got -1");
  refused("--max-abs", "0", "max_abs must be finite and above 0");
  refused("--scale", "nan", "factor must be finite, got nan");
  refused("--optimizer", "sgdd", "optimizer must be one of adamw, adam, sgd, lion");
  refused("--model", "2m", "1m, 9m");
  refused("--precision", "fp8", "precision must be one of fp32, bf16, fp16, fp4, int4, got 'fp8'");
  refused("--fp4-format", "e3m0", "fp4_format must be one of e1m2, e2m1, got 'e3m0'");
  refused("--quantization-group", "0", "quantization_group must be at least 1, got 0");
  refused("--quantization-rounding", "up", "quantization_rounding must be one of nearest, stochastic");
  refused("--quantization-compat", "old", "quantization_compat must be one of robust, released");
  refused("--loss-scale-init", "0",
          "loss_scale_init must be from 1.2e-38 to 3.4e38, the range of f32, got 0");
  refused("--loss-scale-init", "1e+39", "loss_scale_init must be from 1.2e-38 to 3.4e38");
  refused("--loss-scale-init", "nan", "loss_scale_init must be from 1.2e-38 to 3.4e38");
  refused("--loss-scale-growth-interval", "0", "loss_scale_growth_interval must be at least 1, got 0");
}

TEST_F(BadInputTest, NumbersAreReadExactlyAndInFull) {
  const auto refused = [&](const char* flag, const char* value, const std::string& expected) {
    expect_refused({"train", "llm", "--output", "run", flag, value}, 2,
                   HasSubstr(std::string(flag) + ": expected " + expected + ", got '" + value + "'"));
    expect_no_run("run");
  };
  for (const char* value : {"", "0x1p-3", "+1", "1 ", "0.5x"}) {
    for (const char* flag : {"--weight-decay", "--lr"}) refused(flag, value, "a number");
    // What stands for a setting of the transform is read as there.
    for (const auto& [flag, setting] :
         {std::pair("--gamma1", "gamma1"), std::pair("--kappa", "robust_kappa")}) {
      expect_refused({"train", "llm", "--output", "run", flag, value}, 2,
                     HasSubstr(std::string(setting) + " of stabilize must be a number, got '" + value + "'"));
    }
  }
  refused("--lr", "INF", "a number");
  expect_refused({"train", "llm", "--output", "run", "--gamma1", "INF"}, 2,
                 HasSubstr("gamma1 must be in [0, 1), got inf"));
  for (const char* flag : {"--steps", "--layers", "--threads", "--vocab-size"})
    for (const char* value : {"", "1e3", "10.0", "0x10", "+5", "ten"}) refused(flag, value, "a whole number");
  for (const char* value : {"", "-1", "1e3"}) refused("--seed", value, "a whole number of at least 0");
  refused("--steps", "99999999999999999999",
          "a whole number from -9223372036854775808 to 9223372036854775807");
  refused("--seed", "18446744073709551616", "a whole number from 0 to 18446744073709551615");
  refused("--threads", "2147483648", "a whole number from -2147483648 to 2147483647");
  refused("--lr", "1e999", "a number that 64-bit floating point can hold");
  // Of every verb that takes numbers.
  const auto refused_by = [&](const std::vector<std::string>& arguments, const char* flag) {
    expect_refused(arguments, 2, AllOf(HasSubstr(flag), HasSubstr("got ''")));
  };
  for (const char* flag : {"--gamma1", "--gamma2", "--kappa", "--history"})
    refused_by({"bounds", flag, ""}, flag);
  refused_by({"data", "corpus.txt", "--vocab-size", ""}, "--vocab-size");
}

TEST_F(BadInputTest, CountsOfRunsAndSeeds) {
  for (const char* value : {"", "0x2", "1e1", "0", "-1", "2.5"}) {
    expect_refused({"reproduce", "figure-1", "--seeds", value}, 2, HasSubstr("--seeds"));
    expect_refused({"reproduce", "figure-1", "--jobs", value}, 2, HasSubstr("--jobs"));
    expect_refused({"sweep", "llm", "--over", "seed=0..1", "--output", "sweep", "--jobs", value}, 2,
                   HasSubstr("--jobs"));
    expect_no_run("sweep");
  }
}

TEST_F(BadInputTest, WhatCannotFitThisMachineIsRefusedAtOnce) {
  const auto refused = [&](const char* flag, const char* value, int exit_code,
                           const testing::Matcher<std::string>& message) {
    expect_refused({"train", "llm", "--data", "corpus.txt", "--output", "run", flag, value}, exit_code,
                   message);
    expect_no_run("run");
  };
  const auto memory = AllOf(HasSubstr("this run needs at least"), HasSubstr("this machine has"),
                            HasSubstr("bytes)"), HasSubstr("--ignore-limits"));
  refused("--layers", "1000000", 1, memory);
  refused("--batch", "1000000000", 1, memory);
  refused("--threads", "100000", 2,
          AllOf(HasSubstr("threads must be at most"), HasSubstr("--ignore-limits")));
  refused("--accumulation", "2147483648", 2, HasSubstr("accumulation must be at most 1000000"));
  expect_refused(
      {"sweep", "llm", "--over", "layers=1,1000000", "--output", "sweep"}, 1,
      AllOf(HasSubstr("run 'layers=1000000': this run needs at least"), HasSubstr("this machine has")));
  expect_no_run("sweep");
  EXPECT_EQ(folder_.run(Folder::train("run", {"--steps", "3", "--ignore-limits"})).exit_code, 0);
}

TEST_F(BadInputTest, FilesThatAreNestedDeep) {
  make_run("run");
  const std::string deep = "{\"format\":1,\"settings\":" + std::string(100'000, '[');
  const std::string good = read(folder_.path() / "run" / "run.json");
  write(folder_.path() / "run" / "run.json", deep);
  expect_refused({"report", "run"}, 1, AllOf(HasSubstr("run.json"), HasSubstr("nested too deep")));
  expect_refused({"train", "llm", "--resume", "run"}, 1,
                 AllOf(HasSubstr("run.json"), HasSubstr("nested too deep")));
  write(folder_.path() / "run" / "run.json", good);
  write(folder_.path() / "run" / "metrics.jsonl", deep + "\n");
  expect_refused({"report", "run"}, 1,
                 AllOf(HasSubstr("metrics.jsonl line 1"), HasSubstr("nested too deep")));
  write(folder_.path() / "deep.json", deep);
  expect_refused({"replay", "--input", "deep.json", "--output", "out.json"}, 1, HasSubstr("nested too deep"));
  expect_refused({"reproduce", "figure-1", "--records", "deep.json", "--output", "again"}, 1,
                 HasSubstr("nested too deep"));
}

TEST_F(BadInputTest, LossScalingCannotStepInBackward) {
  expect_refused(
      Folder::train("run", {"--precision", "fp16", "--step-in-backward"}), 2,
      HasSubstr("precision must be fp32 or bf16 with step_in_backward, since loss scaling looks at all "
                "gradients before the first update, got 'fp16'"));
  expect_no_run("run");
}

TEST_F(BadInputTest, QuantizersThatTheAuthorsCodeDoesNotHave) {
  expect_refused(Folder::train("run", {"--precision", "fp4", "--quantization-compat", "released",
                                       "--quantization-rounding", "stochastic"}),
                 2, HasSubstr("precision 'fp4': rounding must be nearest_even for format fp4_e1m2 under"));
  expect_refused(Folder::train("run", {"--precision", "int4", "--quantization-group", "2"}), 2,
                 HasSubstr("precision 'int4': keep_largest must be between 0 and 8 and below group_size 2"));
  expect_no_run("run");
}

TEST_F(BadInputTest, BoundsSettings) {
  expect_refused({"bounds", "--gamma1", "1"}, 2, HasSubstr("gamma1 must be in [0, 1), got 1"));
}

TEST_F(BadInputTest, Corpus) {
  expect_refused({"train", "llm", "--data", "absent.txt", "--output", "run"}, 1, HasSubstr("absent.txt"));
  write(folder_.path() / "empty.txt", "");
  expect_refused({"train", "llm", "--data", "empty.txt", "--output", "run"}, 1,
                 AllOf(HasSubstr("empty.txt"), HasSubstr("empty")));
  write(folder_.path() / "binary.bin", std::string(5000, '\0') + "text");
  expect_refused({"train", "llm", "--data", "binary.bin", "--output", "run"}, 1, HasSubstr("binary.bin"));
  expect_no_run("run");
}

TEST_F(BadInputTest, ExistingRunIsNotOverwrittenWithoutForce) {
  make_run("run");
  const std::string before = read(folder_.path() / "run" / "metrics.jsonl");
  expect_refused(Folder::train("run", {"--steps", "4"}), 1, AllOf(HasSubstr("'run'"), HasSubstr("--force")));
  EXPECT_EQ(read(folder_.path() / "run" / "metrics.jsonl"), before);
  EXPECT_EQ(folder_.run(Folder::train("run", {"--steps", "4", "--force"})).exit_code, 0);
}

TEST_F(BadInputTest, OutputFolderNotWritable) {
  write(folder_.path() / "file", "in the way");
  expect_refused(Folder::train("file", {"--steps", "3"}), 1, HasSubstr("'file'"));
  expect_refused(Folder::train("/proc/gradstab", {"--steps", "3"}), 1, HasSubstr("/proc/gradstab"));
}

TEST_F(BadInputTest, FullDisk) {
  // The corpus is prepared before, so that what fails is the run.
  ASSERT_EQ(folder_.run({"data", "corpus.txt", "--tokenizer", "bytes"}).exit_code, 0);
  const Outcome outcome = Child(Folder::train("run", {"--steps", "3"}), folder_.path(), true).wait();
  check(outcome, 1, AllOf(HasSubstr("checkpoint.gsck"), HasSubstr("File too large")));
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path() / "run")) {
    EXPECT_THAT(entry.path().filename().string(), testing::Not(HasSubstr("tmp")));
    EXPECT_NE(entry.path().filename(), "checkpoint.gsck");
  }
}

TEST_F(BadInputTest, ResumeWithoutARun) {
  expect_refused({"train", "llm", "--resume", "nothing"}, 1, HasSubstr("'nothing' is not a run directory"));
}

TEST_F(BadInputTest, TruncatedOrDamagedOrForeignCheckpoint) {
  make_run("run");
  const std::string good = read(checkpoint("run"));
  const auto resume_with = [&](const std::string& bytes, const char* expected) {
    write(checkpoint("run"), bytes);
    expect_refused({"train", "llm", "--resume", "run"}, 1,
                   AllOf(HasSubstr("checkpoint.gsck"), HasSubstr(expected)));
  };
  resume_with(good.substr(0, good.size() / 2), "truncated");
  resume_with(good.substr(0, 12), "truncated");
  resume_with("", "not a gradstab checkpoint");
  resume_with("something else entirely", "not a gradstab checkpoint");
  std::string damaged = good;
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 1);
  resume_with(damaged, "damaged");
  std::string newer = good;
  newer[8] = 77;
  resume_with(newer, "version 77");
  std::filesystem::remove(checkpoint("run"));
  expect_refused({"train", "llm", "--resume", "run"}, 1,
                 AllOf(HasSubstr("has no checkpoint.gsck"), HasSubstr("--force")));
}

TEST_F(BadInputTest, CheckpointOfAnotherModel) {
  make_run("small");
  const Outcome other = folder_.run(Folder::train("other", {"--steps", "3", "--model", "9m"}));
  ASSERT_EQ(other.exit_code, 0) << other.err;
  std::filesystem::copy_file(checkpoint("other"), checkpoint("small"),
                             std::filesystem::copy_options::overwrite_existing);
  expect_refused({"train", "llm", "--resume", "small"}, 1,
                 AllOf(HasSubstr("another model"), HasSubstr("\"9m\""), HasSubstr("\"1m\"")));
}

TEST_F(BadInputTest, ReportOfSomethingElse) {
  expect_refused({"report", "nowhere"}, 1, HasSubstr("nowhere"));
  make_run("run");
  expect_refused({"report", "run", "-o", "/proc/report.html"}, 1, HasSubstr("/proc/report.html"));
}

}  // namespace
}  // namespace gradstab::testing_cli
