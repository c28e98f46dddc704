#include "lab/reproduce/names.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "lab/reproduce/arms.hpp"
#include "lab/train/task_kind.hpp"

namespace gradstab::lab {
namespace {

/// A coordinate of a plan of ours, and how it is said.
struct CoordinateText {
  std::string_view key;
  std::string_view value;
  std::string_view text;
};

constexpr CoordinateText kCoordinateTexts[] = {
    {"spikes", "no", "no spikes"},
    {"spikes", "1in100", "spikes in 1 % of the updates"},
    {"spike", "no", "no spike"},
    {"spike", "10", "a spike of 10 times the norm"},
    {"spike", "100", "a spike of 100 times the norm"},
    {"spike", "1000", "a spike of 1000 times the norm"},
    {"nan", "no", "no NaN"},
    {"nan", "1in100", "a NaN in 1 % of the updates"},
    {"corrupt_level", "0", "no noise"},
    {"corrupt_level", "1", "noise of level 1"},
    {"corrupt_level", "2", "noise of level 2"},
    {"corrupt_level", "3", "noise of level 3"},
    {"model", "vit", "ViT"},
    {"model", "convnext", "ConvNeXt"},
    {"model", "resnet", "ResNet"},
    {"optimizer", "adam", "Adam"},
    {"optimizer", "adamw", "AdamW"},
    {"optimizer", "adam_mini", "Adam-mini"},
    {"optimizer", "lion", "Lion"},
    {"optimizer", "sgd", "SGD"},
    {"environment", "HalfCheetah-v4", "HalfCheetah"},
    {"environment", "Ant-v4", "Ant"},
    {"environment", "Hopper-v4", "Hopper"},
    {"environment", "Walker2d-v4", "Walker2d"},
    {"regime", "calm", "calm"},
    {"regime", "rate", "high learning rate"},
    {"regime", "rate+warmup", "high learning rate without warm-up"},
    {"regime", "rate+fp4", "high learning rate in FP4"},
    {"regime", "rate+depth", "high learning rate, deeper model"},
};

/// A task, and what its runs are.
constexpr std::pair<std::string_view, std::string_view> kDomains[] = {
    {"llm", "language models"}, {"forecast", "forecasts"}, {"vision", "images"}, {"rl", "robots"}};

/// How long a run is, and of what its updates are.
std::string run_text(const TrainOptions& options) {
  const std::string length = options.epochs > 0 ? fmt::format("{} epochs with updates", options.epochs)
                                                : fmt::format("{} updates", options.steps);
  return fmt::format("{} of {}", length, options.kind->update_text(options));
}

template <class Value>
void add_once(std::vector<Value>& values, const Value& value) {
  if (std::ranges::find(values, value) == values.end()) values.push_back(value);
}

}  // namespace

std::vector<std::string> horizons_in_order(const Records& records) {
  std::vector<std::string> horizons;
  for (const ItemRun& run : records.runs) add_once(horizons, run.horizon);
  return horizons;
}

std::vector<std::string> arms_in_order(const Records& records) {
  std::vector<std::string> arms;
  for (const ItemRun& run : records.runs) add_once(arms, run.arm);
  return arms;
}

std::vector<Settings> contexts_in_order(const Records& records, const std::string& horizon) {
  std::vector<Settings> contexts;
  for (const ItemRun& run : records.runs)
    if (run.horizon == horizon) add_once(contexts, run.coordinates);
  return contexts;
}

std::string arm_label(const std::string& name) {
  return arm_named(name).label;
}

bool is_control(const std::string& arm) {
  return arm_named(arm).control;
}

std::string domain_of(std::string_view task) {
  for (const auto& [name, domain] : kDomains)
    if (name == task) return std::string(domain);
  return std::string(task);
}

std::string coordinate_text(const std::string& key, const std::string& value) {
  for (const CoordinateText& known : kCoordinateTexts)
    if (known.key == key && known.value == value) return std::string(known.text);
  return key + " " + value;
}

std::string context_text(const Settings& context) {
  std::string text;
  for (const auto& [key, value] : context) text += (text.empty() ? "" : ", ") + coordinate_text(key, value);
  return text;
}

std::string horizon_text(const Records& records, const std::string& horizon) {
  std::vector<std::string> texts;
  for (const ItemRun& run : records.runs)
    if (run.horizon == horizon) add_once(texts, run_text(run.options));
  return fmt::format("{}", fmt::join(texts, "; "));
}

bool lies_in(const Settings& coordinates, const Settings& where) {
  return std::ranges::all_of(where, [&](const auto& coordinate) {
    return std::ranges::find(coordinates, coordinate) != coordinates.end();
  });
}

}  // namespace gradstab::lab
