// The event files of a run against its metrics.jsonl, number by number, with the reader of gradstab inspect.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "lab/inspect/readers/event_files.hpp"

namespace gradstab::lab {

/// (step, value) of each tag, in the order of the files.
using Series = std::map<std::string, std::vector<std::pair<std::int64_t, double>>>;

class SeriesSink : public inspect::RowSink {
 public:
  void number(std::string_view name, double value) override {
    if (name == inspect::kRecordStep)
      step_ = static_cast<std::int64_t>(value);
    else
      series[std::string(name)].emplace_back(step_, value);
  }
  void text(std::string_view, std::string_view) override {}
  bool end_row() override { return true; }
  Series series;

 private:
  std::int64_t step_ = 0;
};

inline std::vector<std::filesystem::path> event_files_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().filename().string().find("tfevents") != std::string::npos) paths.push_back(entry.path());
  std::ranges::sort(paths);
  return paths;
}

/// What is read of the event files in a folder, with what is noted of them.
inline Series series_in(const std::filesystem::path& folder, std::vector<std::string>& notes) {
  std::vector<std::string> contents;
  std::vector<inspect::EventFile> files;
  const auto paths = event_files_in(folder);
  contents.reserve(paths.size());
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    contents.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    files.push_back({path.filename().string(), inspect::source_of(contents.back())});
  }
  SeriesSink sink;
  inspect::TraceFacts facts;
  const Status status = inspect::event_rows(files, facts, sink);
  EXPECT_TRUE(status.ok()) << status.message();
  notes = facts.notes;
  return sink.series;
}

/// What a run's metrics say, as its events should.
inline Series series_of_metrics(const std::filesystem::path& folder) {
  Series expected;
  std::ifstream lines(folder / "metrics.jsonl");
  for (std::string line; std::getline(lines, line);) {
    const auto json = nlohmann::json::parse(line);
    const std::int64_t step = json.at("step");
    const std::string kind = json.at("kind");
    // An event holds a float32.
    const auto add = [&](const std::string& tag, const nlohmann::json& value) {
      const double number = value.is_null() ? std::nan("") : value.get<double>();
      expected[tag].emplace_back(step, static_cast<float>(number));
    };
    if (kind != "step") {
      for (const auto& [key, value] : json.items())
        if (key != "kind" && key != "step") add(kind + "/" + key, value);
      continue;
    }
    for (const char* key : {"loss", "lr", "grad_norm", "stabilized_norm", "spikes", "nonfinite", "seconds"})
      add(std::string("train/") + key, json.at(key));
    for (const char* norm : {"raw_norm", "transformed_norm"})
      for (const char* key : {"min", "median", "max"})
        add(std::string("train/") + norm + "/" + key, json.at(norm).at(key));
    const bool finite = !json.at("grad_norm").is_null();
    add("train/factor",
        finite ? nlohmann::json(json.at("stabilized_norm").get<double>() / json.at("grad_norm").get<double>())
               : nlohmann::json());
  }
  return expected;
}

/// Every tag of the metrics is in the event files with the same steps and numbers, and nothing twice.
inline void expect_events_like_metrics(const std::filesystem::path& folder) {
  std::vector<std::string> notes;
  const Series found = series_in(folder, notes);
  const Series expected = series_of_metrics(folder);
  ASSERT_GT(expected.size(), 10u);
  for (const auto& [tag, values] : expected) {
    SCOPED_TRACE(tag);
    ASSERT_TRUE(found.contains(tag));
    const auto& others = found.at(tag);
    ASSERT_EQ(others.size(), values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(others[i].first, values[i].first);
      if (std::isnan(values[i].second))
        EXPECT_TRUE(std::isnan(others[i].second)) << "step " << values[i].first;
      else
        EXPECT_EQ(others[i].second, values[i].second) << "step " << values[i].first;
    }
  }
}

}  // namespace gradstab::lab
