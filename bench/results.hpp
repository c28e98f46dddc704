// Results: rows of ratios with their targets, as a table, as JSON, and against an earlier run.
#pragma once

#include <string>
#include <vector>

#include "harness.hpp"

namespace gradstab::bench {

enum class Better { lower, higher };

struct Row {
  std::string name;
  unsigned threads = 1;
  Summary ratio;
  Better better = Better::lower;
  double target = 0.0;   ///< 0: for information
  double seconds = 0.0;  ///< of one step of the transform
  double gigabytes_per_second = 0.0;

  bool met() const { return better == Better::lower ? ratio.median <= target : ratio.median >= target; }
};

struct Results {
  std::string processor;
  unsigned processor_threads = 0;
  std::string backend;
  int repeats = 0;
  bool quick = false;  ///< a smaller model: ratios, but not of the size that the targets are for
  std::vector<Row> rows;
};

void print_table(const Results& results);

/// Throws std::runtime_error when the file cannot be written or read.
void write_json(const Results& results, const std::string& path);
Results read_json(const std::string& path);

/// Prints each row beside the earlier one; the number of rows whose ratio is worse by more than `margin`
/// (0.15: 15 %). Rows that only one run has are named and not counted.
int print_comparison(const Results& now, const Results& before, double margin);

}  // namespace gradstab::bench
