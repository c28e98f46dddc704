// Saving and loading optimizers, in memory and in files: what goes on, what is refused, and that nothing is
// lost then.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "optimizer/kinds.hpp"
#include "optimizer_support.hpp"

namespace gradstab::testing {
namespace {

namespace fs = std::filesystem;

OptimizerHandle initialised_with(const OptimizerOptions& options, gradstab_transform* transform,
                                 const std::vector<gradstab_parameter>& parameters = {kParameters[0],
                                                                                      kParameters[1]}) {
  OptimizerHandle optimizer = make_optimizer(options, transform);
  EXPECT_TRUE(accepted(
      gradstab_optimizer_init(optimizer.get(), parameters.data(), parameters.size(), nullptr, nullptr, 0),
      optimizer.get()));
  return optimizer;
}

/// Steps of gradients whose norm and signs change from step to step.
void vary(gradstab_optimizer* optimizer, Weights& weights, int first, int last) {
  for (int step = first; step <= last; ++step) {
    Pair gradients;
    for (std::size_t i = 0; i < gradients.weight.size(); ++i)
      gradients.weight[i] *= static_cast<float>((step * 7 + static_cast<int>(i) * 5) % 11 - 4);
    gradients.bias[0] *= static_cast<float>(step % 5 - 1);
    EXPECT_TRUE(accepted(
        gradstab_optimizer_step(optimizer, weights.tensors, gradients.tensors, 2, GRADSTAB_NO_STEP, nullptr),
        optimizer));
  }
}

class COptimizerStateOfEveryKindTest : public ::testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(, COptimizerStateOfEveryKindTest, ::testing::ValuesIn(all_kinds()),
                         [](const auto& test) { return test.param.name; });

TEST_P(COptimizerStateOfEveryKindTest, ALoadedStateContinuesWithTheSameBits) {
  const std::string path =
      (fs::path(::testing::TempDir()) / ("gradstab_c_optimizer_" + GetParam().name)).string();
  const auto fresh = [] { return initialised_with(GetParam().options, make_stabilizer().release()); };
  const OptimizerHandle source = fresh();
  const OptimizerHandle in_memory = fresh();
  const OptimizerHandle in_file = fresh();
  const OptimizerHandle without = fresh();
  Weights weights;
  vary(source.get(), weights, 1, 5);
  const auto state = saved(source.get());
  ASSERT_TRUE(
      accepted(gradstab_optimizer_load(in_memory.get(), state.data(), state.size()), in_memory.get()));
  ASSERT_TRUE(accepted(gradstab_optimizer_save_file(source.get(), path.c_str()), source.get()));
  ASSERT_TRUE(accepted(gradstab_optimizer_load_file(in_file.get(), path.c_str()), in_file.get()));
  fs::remove(path);
  std::vector<std::unique_ptr<Weights>> copies;
  for (int i = 0; i < 3; ++i) {
    auto copy = std::make_unique<Weights>();
    std::ranges::copy(weights.weight, copy->weight.begin());
    std::ranges::copy(weights.bias, copy->bias.begin());
    copies.push_back(std::move(copy));
  }
  vary(source.get(), weights, 6, 35);
  vary(in_memory.get(), *copies[0], 6, 35);
  vary(in_file.get(), *copies[1], 6, 35);
  vary(without.get(), *copies[2], 6, 35);
  EXPECT_TRUE(*copies[0] == weights);
  EXPECT_TRUE(*copies[1] == weights);
  EXPECT_FALSE(*copies[2] == weights) << "without the state the run goes elsewhere";
  EXPECT_EQ(saved(in_memory.get()), saved(source.get()));
  EXPECT_EQ(saved(in_file.get()), saved(source.get()));
}

class COptimizerStateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Weights weights;
    train(source_.get(), weights, 5);
    train(target_.get(), target_weights_, 2);
  }

  /// Loads bytes that the target must refuse; it stays as it was. Returns the status.
  gradstab_status refused_by(gradstab_optimizer* target, const std::vector<unsigned char>& bytes) {
    const auto before = saved(target);
    const gradstab_status status = gradstab_optimizer_load(target, bytes.data(), bytes.size());
    message_ = gradstab_optimizer_last_error(target);
    EXPECT_NE(status, GRADSTAB_OK);
    EXPECT_EQ(saved(target), before);
    return status;
  }

  void expect_refused(const std::vector<unsigned char>& bytes, gradstab_status status,
                      const std::string& message) {
    EXPECT_EQ(refused_by(target_.get(), bytes), status);
    EXPECT_EQ(message_, message);
  }

  const OptimizerHandle source_ = initialised_optimizer();
  const OptimizerHandle target_ = initialised_optimizer();
  Weights target_weights_;
  std::string message_;  // of the last load
};

TEST_F(COptimizerStateTest, NamesMayComeInAnotherOrder) {
  const OptimizerHandle swapped =
      initialised_with(AdamOptions::adamw(), make_stabilizer().release(), {kParameters[1], kParameters[0]});
  const auto state = saved(source_.get());
  ASSERT_TRUE(accepted(gradstab_optimizer_load(swapped.get(), state.data(), state.size()), swapped.get()));
  Weights a;
  Weights b;
  Pair gradients;
  void* const parameters[] = {b.pointers[1], b.pointers[0]};
  void* const data[] = {gradients.pointers[1], gradients.pointers[0]};
  train(source_.get(), a, 1);
  ASSERT_TRUE(accepted(gradstab_optimizer_step_pointers(swapped.get(), parameters, data, 2, GRADSTAB_FLOAT32,
                                                        GRADSTAB_FLOAT32, GRADSTAB_NO_STEP, nullptr),
                       swapped.get()));
  EXPECT_TRUE(a == b);
}

TEST_F(COptimizerStateTest, MissingArgumentsAreNamed) {
  gradstab_optimizer* const o = source_.get();
  void* bytes = o;
  std::size_t size = 5;
  EXPECT_TRUE(refused(gradstab_optimizer_save(o, nullptr, &size), GRADSTAB_INVALID_ARGUMENT, o,
                      "bytes is NULL, expected a void*"));
  EXPECT_EQ(size, 0u);
  EXPECT_TRUE(refused(gradstab_optimizer_save(o, &bytes, nullptr), GRADSTAB_INVALID_ARGUMENT, o,
                      "size is NULL, expected a size_t"));
  EXPECT_EQ(bytes, nullptr);
  EXPECT_TRUE(refused(gradstab_optimizer_load(o, nullptr, 10), GRADSTAB_INVALID_ARGUMENT, o,
                      "bytes is NULL, expected a saved state"));
  EXPECT_TRUE(refused(gradstab_optimizer_save_file(o, nullptr), GRADSTAB_INVALID_ARGUMENT, o,
                      "path is NULL, expected the name of a file"));
  EXPECT_TRUE(refused(gradstab_optimizer_load_file(o, nullptr), GRADSTAB_INVALID_ARGUMENT, o,
                      "path is NULL, expected the name of a file"));
}

TEST_F(COptimizerStateTest, EveryFlippedBitOfEveryByteIsNoticed) {
  const auto state = saved(source_.get());
  for (std::size_t at = 0; at < state.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      const gradstab_status status = refused_by(target_.get(), flipped(state, at, bit));
      const bool in_version = at >= 8 && at < 12;
      ASSERT_EQ(status, in_version ? GRADSTAB_VERSION_MISMATCH : GRADSTAB_CORRUPT_DATA) << at << ' ' << bit;
    }
  }
  EXPECT_TRUE(accepted(gradstab_optimizer_load(target_.get(), state.data(), state.size()), target_.get()));
}

TEST_F(COptimizerStateTest, EveryTruncationIsNoticed) {
  const auto state = saved(source_.get());
  for (std::size_t length = 1; length < state.size(); ++length) {
    // An exact copy, so that the sanitizers see a read behind the end.
    auto cut = std::vector<unsigned char>(state.begin(), state.begin() + static_cast<std::ptrdiff_t>(length));
    cut.shrink_to_fit();
    ASSERT_EQ(refused_by(target_.get(), cut), GRADSTAB_CORRUPT_DATA) << length;
  }
}

TEST_F(COptimizerStateTest, ForeignPaddedAndNewerBytesSayWhatTheyAre) {
  const auto state = saved(source_.get());
  const std::string text = "%PDF-1.7 is no state of an optimizer";
  expect_refused({text.begin(), text.end()}, GRADSTAB_CORRUPT_DATA,
                 "not a gradstab state: it does not begin with 'GRADSTAB'");
  auto padded = state;
  padded.push_back(0);
  expect_refused(padded, GRADSTAB_CORRUPT_DATA,
                 "state is truncated or padded: " + std::to_string(padded.size() - 24) +
                     " bytes follow the header, expected " + std::to_string(state.size() - 24));
  auto newer = state;
  newer[8] = 250;
  expect_refused(newer, GRADSTAB_VERSION_MISMATCH,
                 "state has format version 250, this library reads version " + std::to_string(state[8]));
  const Handle transform = initialised();
  train(transform.get(), 2);
  expect_refused(saved(transform.get()), GRADSTAB_CORRUPT_DATA,
                 "the state is that of a gradient transform, expected one of an optimizer");
  EXPECT_EQ(gradstab_load(transform.get(), state.data(), state.size()), GRADSTAB_CORRUPT_DATA);
  train(target_.get(), target_weights_, 1);
}

TEST_F(COptimizerStateTest, OtherKindsParametersTransformsAndSettingsAreNamed) {
  const auto state = saved(source_.get());
  const auto expect = [&](const OptimizerHandle& target, gradstab_status status, const std::string& message) {
    EXPECT_EQ(refused_by(target.get(), state), status);
    EXPECT_EQ(message_, message);
  };
  expect(initialised_with(AdamOptions{}, make_stabilizer().release()), GRADSTAB_SHAPE_MISMATCH,
         "saved state is of 'adamw', expected 'adam'");
  expect(initialised_with(AdamOptions::adamw(), make_clipper(1.0).release()), GRADSTAB_SHAPE_MISMATCH,
         "saved state is of 'stabilize', expected 'clip_by_global_norm'");
  expect(initialised_with(AdamOptions::adamw(), nullptr), GRADSTAB_SHAPE_MISMATCH,
         "saved state has 1 methods, this transform has 0");
  expect(initialised_with(AdamOptions::adamw(), make_stabilizer().release(), {kParameters[0]}),
         GRADSTAB_SHAPE_MISMATCH, "saved state has a parameter 'bias' that is not registered here");
  expect(initialised_with(AdamOptions::adamw(), make_stabilizer().release(),
                          {kParameters[0], {"bias", 0, nullptr}}),
         GRADSTAB_SHAPE_MISMATCH, "parameter 'bias' has shape [] here but [2] in the saved state");
  AdamOptions amsgrad = AdamOptions::adamw();
  amsgrad.amsgrad = true;
  expect(
      initialised_with(amsgrad, make_stabilizer().release()), GRADSTAB_SHAPE_MISMATCH,
      "state of 'weight' has an array of 0 bytes, expected 24; momentum, amsgrad and the units of adam_mini "
      "must be those of the saved run");
}

TEST_F(COptimizerStateTest, AFileThatCannotBeTakenIsNamedAndLeavesTheState) {
  const fs::path path = fs::path(::testing::TempDir()) / "gradstab_c_optimizer_state";
  const auto state = saved(source_.get());
  const auto before = saved(target_.get());
  const auto expect = [&](gradstab_status status, const std::string& message) {
    EXPECT_TRUE(
        refused(gradstab_optimizer_load_file(target_.get(), path.c_str()), status, target_.get(), message));
    EXPECT_EQ(saved(target_.get()), before);
  };
  const auto write = [&](std::vector<unsigned char> bytes) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  };
  fs::remove(path);
  expect(GRADSTAB_IO_ERROR, "cannot open '" + path.string() + "': No such file or directory");
  write(flipped(state, state.size() - 1, 0));
  expect(GRADSTAB_CORRUPT_DATA,
         "'" + path.string() + "': state is damaged: its checksum does not match its content");
  write({});
  expect(GRADSTAB_CORRUPT_DATA,
         "'" + path.string() + "': not a gradstab state: it does not begin with 'GRADSTAB'");
  ASSERT_TRUE(accepted(gradstab_optimizer_save_file(source_.get(), path.c_str()), source_.get()));
  std::ifstream file(path, std::ios::binary);
  const std::vector<unsigned char> written(std::istreambuf_iterator<char>(file), {});
  EXPECT_EQ(written, state);
  fs::remove(path);
  const std::string missing = (path / "none" / "state").string();
  EXPECT_EQ(gradstab_optimizer_save_file(source_.get(), missing.c_str()), GRADSTAB_IO_ERROR);
  EXPECT_EQ(std::string(gradstab_optimizer_last_error(source_.get())).find("cannot create '" + missing), 0u);
}

TEST_F(COptimizerStateTest, AnotherDtypeIsRefusedByTheNextStep) {
  const OptimizerHandle wide = initialised_optimizer();
  const auto state = saved(source_.get());
  ASSERT_TRUE(accepted(gradstab_optimizer_load(wide.get(), state.data(), state.size()), wide.get()));
  double weight[6] = {};
  double bias[2] = {};
  double gradient[6] = {1};
  double bias_gradient[2] = {1};
  void* const parameters[] = {weight, bias};
  void* const gradients[] = {gradient, bias_gradient};
  EXPECT_TRUE(refused(gradstab_optimizer_step_pointers(wide.get(), parameters, gradients, 2, GRADSTAB_FLOAT64,
                                                       GRADSTAB_FLOAT64, 1, nullptr),
                      GRADSTAB_UNSUPPORTED, wide.get(),
                      "parameter 'weight' is float64, but its state is of float32"));
}

}  // namespace
}  // namespace gradstab::testing
