// A run's folder that a test writes as a run would, line by line.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace gradstab::lab::watch {

/// The numbers of the step-th update, all of which follow from the step.
inline double loss_at(std::int64_t step) {
  return 2.0 + 8.0 / static_cast<double>(step);
}
inline double norm_at(std::int64_t step) {
  return step % 50 == 0 ? 64.0 : 0.5 + 0.25 * static_cast<double>(step % 4);
}

inline std::string step_text(std::int64_t step) {
  return fmt::format(
      R"({{"kind":"step","step":{},"loss":{},"grad_norm":{},"stabilized_norm":1.0,"spikes":{},"nonfinite":0,"seconds":{},"tokens":1,"tokens_per_second":100}})"
      "\n",
      step, loss_at(step), norm_at(step), step % 50 == 0 ? 1 : 0, 0.5 * static_cast<double>(step));
}

inline std::string eval_text(std::int64_t step) {
  return fmt::format(R"({{"kind":"eval","step":{},"validation_loss":{}}})"
                     "\n",
                     step, loss_at(step) + 0.125);
}

/// The description of a language model's run.
inline std::string run_text(const std::string& name, std::int64_t updates, const std::string& task = "llm") {
  return fmt::format(
      R"({{"format":2,"name":"{}","task":"{}","settings":{{"lr":0.01,"seed":0,"transform":"{}"}},"updates":{},)"
      R"("measures":{{"task":"{}","sample":"tokens","held_out":"on held-out text","loss_unit":"nats","uninformed":8.0,"loss_spike":0.5,)"
      R"("metrics":[{{"key":"validation_{}","title":"Validation","noun":"loss","unit":"nats","better":"lower","digits":4}}]}}}})",
      name, task, name, updates, task, task == "llm" ? "loss" : "error");
}

class RunFolder {
 public:
  RunFolder(std::filesystem::path path, const std::string& name, std::int64_t updates,
            const std::string& task = "llm")
      : path_(std::move(path)) {
    std::filesystem::create_directories(path_);
    write("run.json", run_text(name, updates, task));
  }
  const std::filesystem::path& path() const { return path_; }
  void write(const std::string& file, const std::string& text) const {
    std::ofstream(path_ / file, std::ios::binary) << text;
  }
  void append(const std::string& text) const {
    std::ofstream(path_ / "metrics.jsonl", std::ios::binary | std::ios::app) << text;
  }
  /// Updates `from` to `to`, with an evaluation after every tenth.
  void train(std::int64_t from, std::int64_t to) const { append(lines(from, to)); }
  static std::string lines(std::int64_t from, std::int64_t to) {
    std::string text;
    for (std::int64_t step = from; step <= to; ++step) {
      text += step_text(step);
      if (step % 10 == 0) text += eval_text(step);
    }
    return text;
  }
  void finish(std::int64_t step) const {
    write("summary.json",
          fmt::format(
              R"({{"format":2,"state":"finished","step":{},"final_validation_loss":2.5,"diverged":false}})",
              step));
  }

 private:
  std::filesystem::path path_;
};

}  // namespace gradstab::lab::watch
