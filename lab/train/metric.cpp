#include "lab/train/metric.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>

namespace gradstab::lab {
namespace {

constexpr const char* kLower = "lower";
constexpr const char* kHigher = "higher";
constexpr int kMostDigits = 12;

Json to_json(const Metric& metric) {
  return {{"key", metric.key},
          {"title", metric.title},
          {"noun", metric.noun},
          {"unit", metric.unit},
          {"better", metric.better == Better::lower ? kLower : kHigher},
          {"digits", metric.digits},
          {"meaning", metric.meaning},
          {"exp_of_score", metric.exp_of_score}};
}

Metric metric_from_json(const JsonReader& json) {
  Metric metric;
  metric.key = json["key"].text();
  metric.title = json["title"].text();
  metric.noun = json["noun"].text();
  metric.unit = json["unit"].text();
  const std::string better = json["better"].text();
  if (better != kLower && better != kHigher) json["better"].refuse("\"lower\" or \"higher\"");
  metric.better = better == kHigher ? Better::higher : Better::lower;
  metric.digits = static_cast<int>(json["digits"].whole(0, kMostDigits));
  metric.meaning = json["meaning"].text_or("");
  metric.exp_of_score = json["exp_of_score"].truth_or(false);
  if (metric.key.empty()) json["key"].refuse("a text that is not empty");
  return metric;
}

Json number_or_null(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

bool is_upper(char c) {
  return std::isupper(static_cast<unsigned char>(c)) != 0;
}

}  // namespace

double cost(const Metric& metric, double value) noexcept {
  return metric.better == Better::lower ? value : -value;
}

bool is_better(const Metric& metric, double value, double other) noexcept {
  return cost(metric, value) < cost(metric, other);
}

std::vector<double> with_derived(const TaskInfo& info, std::span<const double> measured) {
  std::vector<double> values;
  std::size_t next = 0;
  for (const Metric& metric : info.metrics) {
    if (metric.exp_of_score) {
      values.push_back(values.empty() ? kNoValue : std::exp(values.front()));
    } else {
      values.push_back(next < measured.size() ? measured[next] : kNoValue);
      ++next;
    }
  }
  return values;
}

bool have_same_metrics(const TaskInfo& a, const TaskInfo& b) noexcept {
  return std::ranges::equal(a.metrics, b.metrics, [](const Metric& one, const Metric& other) {
    return one.key == other.key && one.better == other.better;
  });
}

bool is_diverged(const TaskInfo& info, double score) noexcept {
  if (std::isnan(info.uninformed)) return !std::isfinite(score);
  return !is_better(info.score(), score, info.uninformed);
}

std::string_view direction_text(const Metric& metric) noexcept {
  return metric.better == Better::lower ? "lower is better" : "higher is better";
}

std::string in_sentence(const std::string& title) {
  std::string text = title;
  const bool abbreviation = text.size() > 1 && is_upper(text[0]) && is_upper(text[1]);
  if (!text.empty() && !abbreviation)
    text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

std::string TaskInfo::sample_in_words() const {
  std::string words = sample;
  std::ranges::replace(words, '_', ' ');
  return words;
}

std::string as_heading(const std::string& noun) {
  std::string text = noun;
  if (!text.empty()) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

Json to_json(const TaskInfo& info) {
  Json metrics = Json::array();
  for (const Metric& metric : info.metrics) metrics.push_back(to_json(metric));
  return {{"task", info.name},
          {"sample", info.sample},
          {"held_out", info.held_out},
          {"loss_unit", info.loss_unit},
          {"metrics", metrics},
          {"uninformed", number_or_null(info.uninformed)},
          {"loss_spike", info.loss_spike}};
}

TaskInfo task_info_from_json(const JsonReader& json) {
  TaskInfo info;
  info.name = json["task"].text();
  info.sample = json["sample"].text();
  info.held_out = json["held_out"].text();
  info.loss_unit = json["loss_unit"].text();
  const JsonReader metrics = json["metrics"];
  for (std::size_t i = 0; i < metrics.size(); ++i) info.metrics.push_back(metric_from_json(metrics.item(i)));
  for (std::size_t i = 0; i < info.metrics.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (info.metrics[j].key == info.metrics[i].key)
        metrics.item(i)["key"].refuse("a key that no other metric has");
  if (info.sample.empty()) json["sample"].refuse("a word for what is counted");
  if (info.metrics.empty() || info.metrics.front().exp_of_score) {
    metrics.refuse("a list that begins with a measured metric");
    info.metrics.assign(1, Metric());
  }
  info.uninformed = json["uninformed"].number_or_nan();
  info.loss_spike = json["loss_spike"].number();
  if (info.loss_spike < 0.0) json["loss_spike"].refuse("a number from 0 on");
  return info;
}

}  // namespace gradstab::lab
