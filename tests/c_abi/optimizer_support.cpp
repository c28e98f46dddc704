#include "optimizer_support.hpp"

#include <string_view>
#include <utility>

namespace gradstab::testing {
namespace {

struct Maker {
  gradstab_transform* transform;
  gradstab_optimizer** optimizer;

#define GRADSTAB_MAKER(word, ...)                                              \
  gradstab_status operator()(const gradstab_##word##_options& options) const { \
    return gradstab_##word(&options, transform, optimizer);                    \
  }
  GRADSTAB_C_OPTIMIZERS(GRADSTAB_MAKER, GRADSTAB_MAKER)
#undef GRADSTAB_MAKER
};

std::string described(gradstab_status status, const gradstab_optimizer* optimizer) {
  return std::string(gradstab_status_name(status)) + " \"" + gradstab_optimizer_last_error(optimizer) + "\"";
}

/// The kinds as messages list them: C numbers the options of the C++ variant from 1.
template <std::size_t... kIndex>
std::string known_kinds(std::index_sequence<kIndex...>) {
  std::string list;
  const auto add = [&list](std::string_view name, std::size_t kind) {
    const std::string_view separator = kind == 1 ? "" : kind == sizeof...(kIndex) ? " and " : ", ";
    list.append(separator).append(name).append(" (" + std::to_string(kind) + ")");
  };
  (add(gradstab::name_of(OptimizerOptions(std::in_place_index<kIndex>)), kIndex + 1), ...);
  return list;
}

}  // namespace

#define GRADSTAB_DEFAULTS(word, ...)                                                 \
  gradstab_##word##_options word##_options() {                                       \
    gradstab_##word##_options options;                                               \
    EXPECT_TRUE(accepted(gradstab_##word##_options_init(&options, sizeof options))); \
    return options;                                                                  \
  }
#define GRADSTAB_WITH_PRESETS(...)
GRADSTAB_C_OPTIMIZERS(GRADSTAB_DEFAULTS, GRADSTAB_WITH_PRESETS)
#undef GRADSTAB_DEFAULTS
#undef GRADSTAB_WITH_PRESETS

gradstab_adam_options adam_options(gradstab_adam_preset preset) {
  gradstab_adam_options options;
  EXPECT_TRUE(accepted(gradstab_adam_options_init(&options, sizeof options, preset)));
  return options;
}

COptions::COptions(const OptimizerOptions& options) {
  std::visit(
      [this](const auto& typed) {
        value_ = c::to_struct(typed);
        std::visit([](auto& made) { made.base.struct_size = sizeof made; }, value_);
      },
      options);
  const auto* mini = std::get_if<AdamMiniOptions>(&options);
  if (mini == nullptr) return;
  for (const auto& override : mini->overrides) patterns_.push_back(override.pattern);
  for (std::size_t i = 0; i < patterns_.size(); ++i) {
    overrides_.push_back(
        {patterns_[i].c_str(), static_cast<gradstab_adam_mini_unit>(mini->overrides[i].unit), 0});
  }
  auto& c = std::get<gradstab_adam_mini_options>(value_);
  c.overrides = overrides_.data();
  c.override_count = overrides_.size();
}

const gradstab_optimizer_options* COptions::base() const {
  return std::visit([](const auto& typed) { return &typed.base; }, value_);
}

gradstab_status COptions::make(gradstab_transform* transform, gradstab_optimizer** optimizer) const {
  return std::visit(Maker{transform, optimizer}, value_);
}

OptimizerHandle make_optimizer(const OptimizerOptions& options, gradstab_transform* transform) {
  gradstab_optimizer* optimizer = nullptr;
  EXPECT_TRUE(accepted(COptions(options).make(transform, &optimizer)));
  return OptimizerHandle(optimizer);
}

gradstab_optimizer_run_options optimizer_run_options() {
  gradstab_optimizer_run_options options = {};
  options.struct_size = sizeof options;
  return options;
}

OptimizerHandle initialised_optimizer(gradstab_nonfinite_policy policy) {
  OptimizerHandle optimizer = make_optimizer(AdamOptions::adamw(), make_stabilizer().release());
  gradstab_run_options run = {};
  run.struct_size = sizeof run;
  run.nonfinite = policy;
  gradstab_optimizer_run_options options = optimizer_run_options();
  options.run = &run;
  EXPECT_TRUE(accepted(gradstab_optimizer_init(optimizer.get(), kParameters, 2, &options, nullptr, 0),
                       optimizer.get()));
  return optimizer;
}

std::string name_of(const gradstab_optimizer* optimizer) {
  const char* name = nullptr;
  EXPECT_TRUE(accepted(gradstab_optimizer_name(optimizer, &name), optimizer));
  return name == nullptr ? "" : name;
}

double lr_of(const gradstab_optimizer* optimizer, std::size_t group) {
  double lr = -1;
  EXPECT_TRUE(accepted(gradstab_optimizer_lr(optimizer, group, &lr), optimizer));
  return lr;
}

std::string unknown_kind(int kind) {
  return "options have unknown kind " + std::to_string(kind) + "; known are " +
         known_kinds(std::make_index_sequence<std::variant_size_v<OptimizerOptions>>()) +
         "; were they filled by their init function?";
}

Weights::Weights() {
  tensors[0].data = weight.data();
  tensors[1].data = bias.data();
}

void train(gradstab_optimizer* optimizer, Weights& weights, int steps) {
  for (int step = 0; step < steps; ++step) {
    const Pair gradients;
    EXPECT_TRUE(accepted(
        gradstab_optimizer_step_pointers(optimizer, weights.pointers, gradients.pointers, 2, GRADSTAB_FLOAT32,
                                         GRADSTAB_FLOAT32, GRADSTAB_NO_STEP, nullptr),
        optimizer));
  }
}

std::vector<unsigned char> saved(const gradstab_optimizer* optimizer) {
  void* bytes = nullptr;
  std::size_t size = 0;
  EXPECT_TRUE(accepted(gradstab_optimizer_save(optimizer, &bytes, &size), optimizer));
  const auto* begin = static_cast<const unsigned char*>(bytes);
  std::vector<unsigned char> copy(begin, begin + size);
  gradstab_free(bytes);
  return copy;
}

::testing::AssertionResult refused(gradstab_status got, gradstab_status expected,
                                   const gradstab_optimizer* optimizer, const std::string& message) {
  if (got == expected && gradstab_optimizer_last_error(optimizer) == message)
    return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "got " << described(got, optimizer) << ", expected "
                                       << gradstab_status_name(expected) << " \"" << message << '"';
}

::testing::AssertionResult refused(gradstab_status got, gradstab_status expected, std::nullptr_t,
                                   const std::string& message) {
  return refused(got, expected, static_cast<const gradstab_optimizer*>(nullptr), message);
}

::testing::AssertionResult accepted(gradstab_status got, const gradstab_optimizer* optimizer) {
  if (got == GRADSTAB_OK && *gradstab_optimizer_last_error(optimizer) == '\0')
    return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "got " << described(got, optimizer);
}

}  // namespace gradstab::testing
