// Resuming: every tensor of a checkpoint is checked before any is loaded, no code of it is run, and
// checkpoints of the version before go on to the same bits.
#include "lab/train/stored_state.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <sstream>

#include "lab/run/torch_archive.hpp"
#include "lab/support/files.hpp"
#include "lab/train/optimizer_factory.hpp"
#include "lab/train/trainer.hpp"

namespace gradstab::lab {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using namespace std::string_literals;

struct Inner : torch::nn::Module {
  torch::Tensor w;
  Inner() { w = register_parameter("w", torch::tensor({0.5F, -0.75F, 1.25F})); }
};
/// Two levels, a matrix, and a parameter of one element.
struct Weights : torch::nn::Module {
  std::shared_ptr<Inner> inner;
  torch::Tensor m, s;
  Weights() {
    m = register_parameter("m", torch::arange(6, torch::kFloat).view({2, 3}) * 0.25F);
    s = register_parameter("s", torch::tensor({2.0F}));
    inner = register_module("inner", std::make_shared<Inner>());
  }
};

/// A different quadratic of the weights in every update.
class QuadraticTask final : public Task {
 public:
  const TaskInfo& info() const noexcept override { return info_; }
  torch::nn::Module& model() override { return weights_; }
  torch::Tensor training_loss(std::uint64_t index) override {
    if (before_batch) before_batch(index);
    const double factor = 1.0 + std::sin(static_cast<double>(index));
    return weights_.inner->w.square().sum() * factor + weights_.m.square().sum() +
           (weights_.s - 1.0).square().sum();
  }
  std::int64_t samples(std::uint64_t) const override { return 1; }
  Evaluation evaluate(Extent) override { return {{0.0}}; }
  std::string model_text() const override { return "quadratic"; }
  Json describe_model() const override { return "quadratic"; }
  Json describe_data() const override { return nullptr; }

  std::function<void(std::uint64_t)> before_batch;

 private:
  Weights weights_;
  const TaskInfo info_ = {.name = "quadratic",
                          .sample = "samples",
                          .held_out = "",
                          .loss_unit = "",
                          .metrics = {{.key = "loss", .title = "Loss", .noun = "loss", .unit = ""}},
                          .uninformed = 1.0};
};

std::string bytes_of(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

struct Setup {
  std::string name;
  std::string optimizer;
  std::string engine;
};

class StoredStateTest : public ::testing::TestWithParam<Setup> {
 protected:
  StoredStateTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gradstab_stored_XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~StoredStateTest() override { std::filesystem::remove_all(folder_); }

  TrainOptions options() const {
    TrainOptions options;
    options.optimizer = GetParam().optimizer;
    options.optimizer_engine = GetParam().engine;
    options.lr = 0.01;
    options.steps = 8;
    options.warmup = 2;
    options.checkpoint_every = 3;
    return options;
  }

  TrainRequest request(const std::string& name) const {
    TrainRequest request;
    request.options = options();
    request.directory = folder_ / name;
    return request;
  }

  std::filesystem::path checkpoint(const std::string& name) const {
    return folder_ / name / "checkpoint.gsck";
  }

  /// Stops after the third update, with a checkpoint.
  void begin(const std::string& name) const {
    QuadraticTask task;
    auto begun = request(name);
    int updates = 0;
    begun.on_step = [&](const TrainProgress&) { ++updates; };
    begun.should_stop = [&] { return updates == 3; };
    const auto result = train(task, std::move(begun));
    ASSERT_TRUE(result.ok()) << result.status().message();
    ASSERT_EQ(result->outcome, TrainOutcome::interrupted);
  }

  Result<TrainResult> resume(const std::string& name) const {
    QuadraticTask task;
    auto resumed = request(name);
    resumed.resumed = RunDirectory::open(resumed.directory).value();
    return train(task, std::move(resumed));
  }

  Json weights_of_whole_run() const {
    QuadraticTask task;
    return train(task, request("whole")).value().summary["weights_checksum"];
  }

  std::string refused(const std::string& name) const {
    const auto result = resume(name);
    EXPECT_FALSE(result.ok());
    return result.ok() ? "" : result.status().message();
  }

  /// Rewrites the checkpoint of a run after a change to what it holds.
  template <class Change>
  void change(const std::string& name, Change change) const {
    Checkpoint stored = read_checkpoint(checkpoint(name)).value();
    change(stored);
    write_checkpoint(checkpoint(name), stored).check();
  }

  std::filesystem::path folder_;
};

TEST_P(StoredStateTest, AResumedRunEndsInTheSameWeights) {
  begin("run");
  const auto resumed = resume("run");
  ASSERT_TRUE(resumed.ok()) << resumed.status().message();
  EXPECT_EQ(resumed->summary["weights_checksum"], weights_of_whole_run());
}

// The control of the test above: what is compared depends on weights and on the optimizer's state.
TEST_P(StoredStateTest, AChangedStateEndsInOtherWeights) {
  begin("run");
  const std::string values = bytes_of({9.0F, 9.0F, 9.0F});
  change("run", [&](Checkpoint& stored) { stored.tensors.at("weights/inner.w").bytes = values; });
  const auto resumed = resume("run");
  ASSERT_TRUE(resumed.ok()) << resumed.status().message();
  EXPECT_NE(resumed->summary["weights_checksum"], weights_of_whole_run());
}

TEST_P(StoredStateTest, WhatDoesNotFitIsRefusedByName) {
  begin("run");
  const std::string good = read_file(checkpoint("run"), kCheckpointFile).value();
  const std::string one(4, '\0');
  const std::string three(24, '\0');
  const auto refused_after = [&](auto change_it) {
    std::ofstream(checkpoint("run"), std::ios::binary) << good;
    change("run", change_it);
    return refused("run");
  };
  EXPECT_THAT(refused_after([&](Checkpoint& c) {
                c.tensors["weights/inner.w"] = {DType::float32, {1}, one};
              }),
              AllOf(HasSubstr("checkpoint.gsck' does not fit this run"),
                    HasSubstr("tensor 'weights/inner.w' is float32 [1], expected float32 [3]")));
  EXPECT_THAT(refused_after([&](Checkpoint& c) {
                c.tensors["weights/inner.w"] = {DType::float64, {3}, three};
              }),
              HasSubstr("tensor 'weights/inner.w' is float64 [3], expected float32 [3]"));
  EXPECT_THAT(refused_after([&](Checkpoint& c) {
                c.tensors.at("weights/m").sizes = {3, 2};
              }),
              HasSubstr("tensor 'weights/m' is float32 [3, 2], expected float32 [2, 3]"));
  EXPECT_THAT(refused_after([&](Checkpoint& c) { c.tensors.erase("weights/s"); }),
              HasSubstr("it has no tensor 'weights/s', float32 [1]"));
  EXPECT_THAT(refused_after([&](Checkpoint& c) {
                c.tensors["weights/more"] = {DType::float32, {1}, one};
              }),
              HasSubstr("it has a tensor 'weights/more', which this run does not have"));
  EXPECT_THAT(refused_after([&](Checkpoint& c) {
                c.tensors["optimizer/more/m"] = {DType::float32, {1}, one};
              }),
              HasSubstr("it has a tensor 'optimizer/more/m', which this run does not have"));
  const bool fused = GetParam().engine == "fused";
  EXPECT_THAT(refused_after([&](Checkpoint& c) { c.blobs.clear(); }),
              HasSubstr(fused ? "it has no state 'optimizer'" : "it has no state 'transform'"));
  EXPECT_THAT(refused_after([&](Checkpoint& c) { c.blobs.begin()->second = "made up"; }),
              HasSubstr("does not fit this run"));
  // Nothing was loaded by all of this.
  std::ofstream(checkpoint("run"), std::ios::binary) << good;
  EXPECT_EQ(resume("run").value().summary["weights_checksum"], weights_of_whole_run());
}

// As the version before wrote them: LibTorch's archives, the optimizer's with code and with names made of
// addresses.
std::string archive_of_weights(const torch::nn::Module& module) {
  const std::function<void(const torch::nn::Module&, torch::serialize::OutputArchive&)> save =
      [&](const torch::nn::Module& part, torch::serialize::OutputArchive& archive) {
        for (const auto& parameter : part.named_parameters(/*recurse=*/false))
          archive.write(parameter.key(), parameter.value());
        for (const auto& child : part.named_children()) {
          torch::serialize::OutputArchive below(archive.compilation_unit());
          save(*child.value(), below);
          archive.write(child.key(), below);
        }
      };
  const torch::NoGradGuard no_grad;
  torch::serialize::OutputArchive archive;
  save(module, archive);
  std::ostringstream bytes;
  archive.save_to(bytes);
  return std::move(bytes).str();
}

std::string block(const std::string& bytes) {
  const std::uint64_t size = bytes.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof size) + bytes;
}

std::string version_1(const Json& header, const std::string& model, const std::string& optimizer) {
  const std::uint64_t count = 2;
  const std::string payload = block(header.dump()) +
                              std::string(reinterpret_cast<const char*>(&count), sizeof count) +
                              block("model") + block(model) + block("optimizer") + block(optimizer);
  const std::uint32_t version = 1;
  const auto sum =
      static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(payload.data()), payload.size()));
  const std::uint64_t length = payload.size();
  std::string file = "GSTBCKPT";
  file.append(reinterpret_cast<const char*>(&version), sizeof version);
  file.append(reinterpret_cast<const char*>(&sum), sizeof sum);
  file.append(reinterpret_cast<const char*>(&length), sizeof length);
  return file + payload;
}

/// The optimizer of a run after its checkpoint was loaded, as the version before archived it.
template <class Optimizer>
std::string archived(Optimizer& optimizer) {
  std::ostringstream bytes;
  torch::save(optimizer, bytes);
  return std::move(bytes).str();
}

TEST_P(StoredStateTest, CheckpointsOfTheVersionBeforeGoOnToTheSameWeights) {
  begin("run");
  const Checkpoint stored = read_checkpoint(checkpoint("run")).value();
  // What the version before had in memory at this point: the same weights, and an optimizer with this state.
  Weights weights;
  const auto optimizer = make_optimizer(options(), weights);
  CheckpointLoader loader(stored);
  for_each_weight(weights, [&](const std::string& name, const torch::Tensor& weight) {
    return loader.expect(name, weight);
  }).check();
  optimizer->expect(stored, loader).check();
  optimizer->load(stored);
  loader.load();
  Json header = stored.header;
  header.erase("optimizer");
  const std::string file = version_1(header, archive_of_weights(weights), archived(optimizer->optimizer()));
  EXPECT_THAT(file, HasSubstr(".py")) << "there is code in it";
  std::ofstream(checkpoint("run"), std::ios::binary) << file;

  const auto resumed = resume("run");
  ASSERT_TRUE(resumed.ok()) << resumed.status().message();
  EXPECT_EQ(resumed->summary["weights_checksum"], weights_of_whole_run());
  EXPECT_EQ(read_file(checkpoint("run"), kCheckpointFile).value()[8], 2) << "and is written as today's";
}

// All updates so far were skipped for overflow: the optimizer has not made a step yet.
TEST_P(StoredStateTest, ARunWhoseStepsWereSkippedGoesOn) {
  const auto half = [&](const std::string& name) {
    auto scaled = request(name);
    scaled.options.precision = "fp16";
    scaled.options.loss_scale_init = 3e38;  // the largest gradient is 2.5 times that
    return scaled;
  };
  QuadraticTask whole;
  const auto expected = train(whole, half("whole16")).value().summary;
  ASSERT_GE(expected["skipped_steps"], 1);
  ASSERT_LT(expected["skipped_steps"], 8);
  QuadraticTask task;
  auto begun = half("stopped");
  begun.should_stop = [] { return true; };
  const auto stopped = train(task, std::move(begun)).value().summary;
  EXPECT_EQ(stopped["step"], 1);
  EXPECT_EQ(stopped["skipped_steps"], 1);
  QuadraticTask again;
  auto resumed = half("stopped");
  resumed.resumed = RunDirectory::open(resumed.directory).value();
  const auto result = train(again, std::move(resumed));
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->summary["weights_checksum"], expected["weights_checksum"]);
}

TEST_P(StoredStateTest, StoppedBetweenMicroBatchesAnUpdateIsLeftOut) {
  const auto with_accumulation = [&](const std::string& name) {
    auto accumulating = request(name);
    accumulating.options.accumulation = 4;
    return accumulating;
  };
  QuadraticTask whole;
  const Json expected = train(whole, with_accumulation("whole4")).value().summary["weights_checksum"];

  QuadraticTask task;
  bool stop = false;
  task.before_batch = [&](std::uint64_t index) { stop = index == 4 * 4 + 1; };  // in the fifth update
  auto begun = with_accumulation("stopped");
  begun.should_stop = [&] { return stop; };
  const auto stopped = train(task, std::move(begun));
  ASSERT_TRUE(stopped.ok()) << stopped.status().message();
  EXPECT_EQ(stopped->outcome, TrainOutcome::interrupted);
  EXPECT_EQ(stopped->summary["step"], 4);

  QuadraticTask again;
  auto resumed = with_accumulation("stopped");
  resumed.resumed = RunDirectory::open(resumed.directory).value();
  EXPECT_EQ(train(again, std::move(resumed)).value().summary["weights_checksum"], expected);

  // In the very first one there is nothing to keep.
  QuadraticTask first;
  auto at_once = with_accumulation("at_once");
  at_once.should_stop = [] { return true; };
  const auto nothing = train(first, std::move(at_once)).value();
  EXPECT_EQ(nothing.summary["step"], 0);
  EXPECT_FALSE(std::filesystem::exists(checkpoint("at_once")));
}

INSTANTIATE_TEST_SUITE_P(Optimizers, StoredStateTest,
                         ::testing::Values(Setup{"AdamW", "adamw", "fused"}, Setup{"Lion", "lion", "fused"},
                                           Setup{"Spam", "spam", "fused"},
                                           Setup{"LibTorchAdamW", "adamw", "libtorch"},
                                           Setup{"LibTorchAdam", "adam", "libtorch"},
                                           Setup{"LibTorchSgd", "sgd", "libtorch"}),
                         [](const auto& setup) { return setup.param.name; });

TEST(TorchArchiveTest, TensorsNumbersAndTextsComeBack) {
  torch::serialize::OutputArchive archive;
  const torch::Tensor matrix = torch::arange(6, torch::kFloat).view({2, 3});
  archive.write("matrix", matrix);
  archive.write("bytes", torch::arange(10).to(torch::kByte), /*is_buffer=*/true);
  archive.write("part", matrix.slice(0, 1, 2).clone(), /*is_buffer=*/true);
  archive.write("rate", c10::IValue(0.5));
  archive.write("large", c10::IValue(std::int64_t{-1} << 40));
  archive.write("yes", c10::IValue(true));
  archive.write("word", c10::IValue(std::string("text")));
  torch::serialize::OutputArchive below(archive.compilation_unit());
  below.write("n", c10::IValue(std::int64_t{300}));
  archive.write("below", below);
  std::ostringstream stream;
  archive.save_to(stream);
  const std::string bytes = std::move(stream).str();
  const ArchiveValue value = read_torch_archive(bytes).value();
  const auto* const tensor = value.member("matrix")->as<ArchiveTensor>();
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->storage, "FloatStorage");
  EXPECT_EQ(tensor->sizes, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(std::memcmp(tensor->bytes.data(), matrix.data_ptr(), 24), 0);
  EXPECT_EQ(value.member("bytes")->as<ArchiveTensor>()->bytes,
            std::string_view("\0\1\2\3\4\5\6\7\10\11", 10));
  EXPECT_EQ(*value.member("rate")->as<double>(), 0.5);
  EXPECT_EQ(*value.member("large")->as<std::int64_t>(), std::int64_t{-1} << 40);
  EXPECT_EQ(*value.member("yes")->as<bool>(), true);
  EXPECT_EQ(*value.member("word")->as<std::string_view>(), "text");
  EXPECT_EQ(*value.member("below")->member("n")->as<std::int64_t>(), 300);
  EXPECT_EQ(value.member("nothing"), nullptr);

  for (std::size_t length = 0; length < bytes.size(); length += 7)
    EXPECT_FALSE(read_torch_archive(std::string_view(bytes).substr(0, length)).ok()) << length;
  // Every byte of what describes the tensors, changed: taken or refused, never beyond the file.
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ 0x11);
    (void)read_torch_archive(changed);
  }
}

// A pickle may name any function of Python, and code that LibTorch would compile.
TEST(TorchArchiveTest, CallsAreNoPartOfAnArchive) {
  const auto refused = [](const std::string& pickle) {
    // A ZIP archive with this data.pkl alone.
    const auto number = [](std::uint64_t value, int bytes) {
      return std::string(reinterpret_cast<const char*>(&value), static_cast<std::size_t>(bytes));
    };
    const std::string name = "archive/data.pkl";
    const std::string sizes = number(0, 4) + number(pickle.size(), 4) + number(pickle.size(), 4);
    const std::string local =
        "PK\x03\x04" + std::string(10, '\0') + sizes + number(name.size(), 2) + number(0, 2) + name + pickle;
    const std::string entry =
        "PK\x01\x02" + std::string(12, '\0') + sizes + number(name.size(), 2) + std::string(16, '\0') + name;
    const std::string zip = local + entry + "PK\x05\x06" + std::string(8, '\0') + number(entry.size(), 4) +
                            number(local.size(), 4) + number(0, 2);
    const auto value = read_torch_archive(zip);
    return value.ok() ? std::string() : value.status().message();
  };
  const std::string begin = "\x80\x02";
  EXPECT_EQ(refused(begin + "K\x07."), "") << "the control: a number";
  EXPECT_THAT(refused(begin + "cposix\nsystem\nX\x02\0\0\0ls\x85R."s),
              HasSubstr("a call of a function that does not make a tensor in its pickle"));
  EXPECT_THAT(refused(begin + "c__torch__.Evil\nModule\n)R."),
              HasSubstr("a call of a function that does not"));
  EXPECT_THAT(refused(begin + "cbuiltins\neval\n)\x81."), HasSubstr("an object that is not a module"));
  EXPECT_THAT(refused(begin + "(lp0\n."), HasSubstr("an operation that such archives do not use"));
  EXPECT_THAT(refused(begin + "K\x07"), HasSubstr("is cut off"));
  std::string deep = begin + "K\x07";
  for (int i = 0; i < 100'000; ++i) deep += '\x85';
  EXPECT_THAT(refused(deep + "."), HasSubstr("nested too deep"));
}

}  // namespace
}  // namespace gradstab::lab
