// Harness: paired, interleaved timing. Other work on the machine comes and goes over seconds, so variants
// take turns within each repeat and are compared within it; what is reported is the median over the repeats.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace gradstab::bench {

struct Summary {
  double median = 0.0;
  double mad = 0.0;  ///< median absolute deviation from the median
};

/// Of at least one sample.
Summary summarize(std::vector<double> samples);

/// Variants of one piece of work, timed in turns.
class Experiment {
 public:
  /// `prepare` runs before every call of `run` and is not timed. Within a repeat `run` is called `calls`
  /// times, and its fastest call counts: what disturbs so short a piece of work only ever slows it.
  void add(std::string name, std::function<void()> prepare, std::function<void()> run, int calls = 1);

  /// One untimed round, then `repeats` rounds, each in an order of its own.
  void run(int repeats);

  /// Seconds per call.
  Summary seconds(const std::string& name) const;

  /// Of (sum of the numerators) / (sum of the denominators), taken within each repeat.
  Summary ratio(const std::vector<std::string>& numerators,
                const std::vector<std::string>& denominators) const;

 private:
  struct Variant {
    std::string name;
    std::function<void()> prepare;
    std::function<void()> run;
    int calls;
  };
  double time(const Variant& variant) const;
  double total(const std::vector<std::string>& names, std::size_t repeat) const;

  std::vector<Variant> variants_;
  std::map<std::string, std::vector<double>> samples_;
};

}  // namespace gradstab::bench
